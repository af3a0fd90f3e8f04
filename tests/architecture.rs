//! The rooms of `src/` call each other only along the arrows of the design: pure rooms know no IO, `client` and `sim`
//! never see each other, and nothing sees the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

/// Room, and the rooms of this crate that it may name.
const ARROWS: [(&str, &[&str]); 10] = [
    ("crypto", &[]),
    ("clock", &[]),
    ("wire", &[]),
    ("noise", &["crypto", "wire"]),
    // `clock` for the type of a wall time only; the words below keep pure rooms from reading it.
    ("signal", &["clock", "crypto"]),
    ("stanza", &["clock", "crypto", "wire"]),
    ("media", &["crypto", "wire"]),
    ("client", &["crypto", "clock", "wire", "noise", "signal", "stanza", "media"]),
    ("fleet", &["crypto", "clock", "wire", "noise", "signal", "stanza", "media", "client"]),
    ("sim", &["crypto", "clock", "wire", "noise", "signal", "stanza", "media"]),
];

/// Rooms that do no IO, read no clock and keep no global state.
const PURE: [&str; 7] = ["crypto", "wire", "noise", "signal", "stanza", "media", "fleet/scheduler"];

fn sources(under: &Path) -> Vec<PathBuf> {
    if under.is_file() {
        return vec![under.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(under) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { sources(&path) } else { vec![path] }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The files of a room: a folder with that name, or one file.
fn room(name: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = sources(&src.join(name));
    files.extend(sources(&src.join(format!("{name}.rs"))));
    files
}

/// The code of a file: without line comments, and without its unit tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The first path segments behind `crate::` in the code, `use crate::{a, b}` included.
fn named_rooms(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut word)),
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            names.push(word);
        } else {
            names.push(rest.to_owned());
        }
    }
    names
        .iter()
        .map(|name| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn rooms_name_only_the_rooms_they_may() {
    let rooms: Vec<_> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (name, allowed) in ARROWS {
        for file in room(name) {
            for named in named_rooms(&code(&file)) {
                let other_room =
                    rooms.contains(&named.as_str()) || ["fleet", "daemon"].contains(&named.as_str());
                if other_room && named != name && !allowed.contains(&named.as_str()) {
                    wrong.push(format!("{}: {name} names {named}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "against the arrows:\n{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_do_no_io_and_read_no_clock() {
    const FORBIDDEN: [&str; 8] = [
        "tokio::",
        "std::fs",
        "std::net",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "palomar_store",
        "std::env",
    ];
    let mut wrong = Vec::new();
    for name in PURE {
        for file in room(name) {
            let code = code(&file);
            for word in FORBIDDEN {
                if code.contains(word) {
                    wrong.push(format!("{}: {word}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "pure rooms reach outside:\n{}", wrong.join("\n"));
}

#[test]
fn the_store_knows_no_protocol() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("store/Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    assert!(
        !text.contains("palomar-proto") && !text.contains("palomar = "),
        "the store depends on the protocol"
    );
}

#[test]
fn client_and_simulator_read_time_only_from_the_clock() {
    let mut wrong = Vec::new();
    for name in ["client", "sim"] {
        for file in room(name) {
            let code = code(&file);
            for word in ["SystemTime::now", "std::thread::sleep"] {
                if code.contains(word) {
                    wrong.push(format!("{}: {word}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "time that does not come from the clock:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_says_first_what_lives_there() {
    let silent: Vec<_> = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .into_iter()
        .filter(|path| path.file_name().is_none_or(|name| name != "tests.rs"))
        .filter(|path| !std::fs::read_to_string(path).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "modules that do not begin with //!: {silent:?}");
}

#[test]
fn the_scan_finds_names_in_every_form_of_use() {
    let code = "use crate::wire::Jid; use crate::{crypto, signal::{a, b}}; fn f() { crate::noise::x() }";
    assert_eq!(named_rooms(code), ["wire", "crypto", "signal", "noise"]);
}
