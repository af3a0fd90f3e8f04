//! Installs the foreign clients once per machine and lock file, into cargo's folder for tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a foreign client stands, ready to run.
pub struct Installed {
    /// The interpreter.
    pub program: PathBuf,
    /// The script that drives the client.
    pub script: PathBuf,
}

/// Whether missing Node or Python is a failure (`PALOMAR_INTEROP=require`).
fn required() -> bool {
    std::env::var_os("PALOMAR_INTEROP").is_some_and(|value| value == "require")
}

/// Prints that a test was not run, or fails where it must run.
fn not_run(client: &str, why: &str) {
    assert!(!required(), "{client} can't be run here: {why}");
    println!("NOT RUN: tests with {client}: {why}");
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name)
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{command:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

fn version_at_least(program: &str, wanted: (u32, u32)) -> Result<(), String> {
    let output =
        Command::new(program).arg("--version").output().map_err(|error| format!("{program}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers =
        text.trim_start_matches(|c: char| !c.is_ascii_digit()).split('.').map(str::parse::<u32>);
    let found = (numbers.next().and_then(Result::ok), numbers.next().and_then(Result::ok));
    match found {
        (Some(major), Some(minor)) if (major, minor) >= wanted => Ok(()),
        _ => Err(format!("{program} {}.{} or newer is needed, found {}", wanted.0, wanted.1, text.trim())),
    }
}

/// Runs `install` in a fresh folder unless `lock_file`'s content was installed before. Processes that come at the same
/// time wait for the first.
fn once(
    name: &str,
    lock_file: &Path,
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop");
    fs::create_dir_all(&root).map_err(|error| error.to_string())?;
    let guard = File::create(root.join(format!("{name}.lock"))).map_err(|error| error.to_string())?;
    guard.lock().map_err(|error| error.to_string())?;
    let folder = root.join(name);
    let stamp = folder.join("installed.stamp");
    let wanted = fs::read(lock_file).map_err(|error| error.to_string())?;
    if fs::read(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    }
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    install(&folder)?;
    fs::write(stamp, wanted).map_err(|error| error.to_string())?;
    Ok(folder)
}

fn install_node(name: &str) -> Result<Installed, String> {
    version_at_least("node", (20, 9))?;
    let from = source(name);
    let folder = once(name, &from.join("package-lock.json"), |folder| {
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(from.join(file), folder.join(file)).map_err(|error| error.to_string())?;
        }
        run(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(folder))
    })?;
    let script = folder.join(format!("peer-{}.mjs", std::process::id()));
    fs::copy(from.join("peer.mjs"), &script).map_err(|error| error.to_string())?;
    Ok(Installed { program: "node".into(), script })
}

fn install_whatsmeow() -> Result<Installed, String> {
    version_at_least("python3", (3, 11))?;
    let from = source("whatsmeow");
    let folder = once("whatsmeow", &from.join("requirements.txt"), |folder| {
        run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(folder))?;
        run(Command::new(folder.join("venv/bin/pip"))
            .args(["install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r"])
            .arg(from.join("requirements.txt")))
    })?;
    Ok(Installed { program: folder.join("venv/bin/python"), script: from.join("peer.py") })
}

/// Baileys, or `None` (printed) where it can't be run and needn't.
pub fn baileys() -> Option<Installed> {
    install_node("baileys").map_err(|why| not_run("Baileys", &why)).ok()
}

/// zapo-js, or `None` (printed) where it can't be run and needn't.
pub fn zapo() -> Option<Installed> {
    install_node("zapo").map_err(|why| not_run("zapo-js", &why)).ok()
}

/// whatsmeow, or `None` (printed) where it can't be run and needn't.
pub fn whatsmeow() -> Option<Installed> {
    install_whatsmeow().map_err(|why| not_run("whatsmeow", &why)).ok()
}
