//! The commands of a documentation page: every line of its fenced `sh` and `console` blocks. Commands named in the
//! text of a page don't count.

use std::path::Path;

/// The commands of a page, in order.
pub fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut block: Option<&str> = None;
    let mut begun = String::new();
    for line in page.lines().map(str::trim) {
        if let Some(info) = line.strip_prefix("```") {
            block = if block.is_some() { None } else { Some(info.trim()) };
            continue;
        }
        let said = match block {
            Some("sh") => line,
            Some("console") => match line.strip_prefix("$ ") {
                Some(said) => said,
                None => continue,
            },
            _ => continue,
        };
        if let Some(part) = said.strip_suffix('\\') {
            begun.push_str(part);
            continue;
        }
        let whole = std::mem::take(&mut begun) + said;
        if !words(&whole).is_empty() {
            commands.push(whole);
        }
    }
    commands
}

/// The words of a command as a shell would take them: quotes hold a word together, `#` begins a comment.
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (None, '#') if word.is_none() => break,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// README and all of `docs/`: name and text.
pub fn all() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> =
        std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.push(root.join("README.md"));
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn fenced_commands_count_and_what_the_text_names_does_not() {
    let page = "Run `palomar nothing`.\n\n```sh\n# a remark\npalomar a --b \\\n  'c d'   # why\n\n```\n\n```toml\nx = 1\n```\n\
                ```console\n$ palomar e \"f # g\"\nwhat it prints\n```\n";
    let commands = commands(page);
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert_eq!(words(&commands[0]), ["palomar", "a", "--b", "c d"]);
    assert_eq!(words(&commands[1]), ["palomar", "e", "f # g"]);
}
