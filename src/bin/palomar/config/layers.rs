//! The layers below the command line that are made of variables: the environment, and the file `.env`. Every key of
//! the file is a variable `PALOMAR_SECTION_KEY`; a limit has two shorter names besides.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::limits::{LIMITS, SECTION};
use crate::exit::Failure;

/// The keys of the file besides the limits and what an account has of its own.
const KEYS: [&[&str]; 10] = [
    &["data"],
    &["server"],
    &["root_key"],
    &["ca"],
    &["proxy"],
    &["log"],
    &["client_version"],
    &["drift"],
    &["node", "name"],
    &["store", "durability"],
];
/// What an account has of its own: `[accounts.ID]`, `PALOMAR_ACCOUNTS_ID_RECORD`.
const ACCOUNTS: &str = "accounts";
const RECORD: &str = "record";
/// Names that are read elsewhere: where the file is, and what the tests use.
const OTHER_NAMES: [&str; 3] = ["PALOMAR_CONFIG", "PALOMAR_INTEROP", "PALOMAR_VECTORS"];

/// An account's id as it is written in a variable's name, and as it is compared.
pub fn account_name(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// A key's place in the file, and the names of its variables; the first that is set counts.
fn known() -> impl Iterator<Item = (Vec<&'static str>, Vec<String>)> {
    let full = |path: &[&str]| format!("PALOMAR_{}", path.join("_").to_uppercase());
    let keys = KEYS.iter().map(move |path| (path.to_vec(), vec![full(path)]));
    let limits = LIMITS.iter().map(move |(key, _)| {
        let bare = key.to_uppercase();
        (vec![SECTION, *key], vec![format!("PALOMAR_{bare}"), full(&[SECTION, key]), bare])
    });
    keys.chain(limits)
}

/// `NAME=value` lines; `#` starts a comment line, quotes around a value are taken off, `export` is tolerated.
pub fn dotenv(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(e) => return Err(Failure::usage(format!("{}: {e}", path.display()))),
    };
    let mut values = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            return Err(Failure::usage(format!("{}: line {} is not NAME=value", path.display(), number + 1)));
        };
        let value = value.trim();
        let unquoted = ['"', '\''].iter().find_map(|&q| value.strip_prefix(q)?.strip_suffix(q));
        values.insert(name.trim().to_owned(), unquoted.unwrap_or(value).to_owned());
    }
    Ok(values)
}

/// A layer made of variables.
pub struct Layer {
    name: &'static str,
    values: Dict,
}

impl Layer {
    /// Takes the variables that are ours; an unknown one with our prefix is an error.
    pub fn of_variables(name: &'static str, variables: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let mut values = Dict::new();
        let mut names = Vec::new();
        for (path, of_key) in known() {
            let set = of_key.iter().find_map(|name| variables.get(name).filter(|value| !value.is_empty()));
            if let Some(value) = set {
                put(&mut values, &path, value);
            }
            names.extend(of_key);
        }
        for (variable, value) in variables.iter().filter(|(name, _)| name.starts_with("PALOMAR_")) {
            if names.contains(variable) || OTHER_NAMES.contains(&variable.as_str()) {
                continue;
            }
            let Some(account) = account_of(variable) else {
                let known: Vec<&str> =
                    names.iter().map(String::as_str).filter(|name| name.starts_with("PALOMAR_")).collect();
                return Err(Failure::usage(format!("{name}: {variable} is not a known name"))
                    .next(format!("known are {}", known.join(", "))));
            };
            if !value.is_empty() {
                put(&mut values, &[ACCOUNTS, account, RECORD], value);
            }
        }
        Ok(Self { name, values })
    }
}

/// The account that a variable `PALOMAR_ACCOUNTS_ID_RECORD` is about.
fn account_of(variable: &str) -> Option<&str> {
    let account = variable.strip_prefix("PALOMAR_ACCOUNTS_")?.strip_suffix("_RECORD")?;
    (!account.is_empty()).then_some(account)
}

fn put(values: &mut Dict, path: &[&str], value: &str) {
    match path {
        [] => {}
        [key] => {
            values.insert((*key).to_owned(), Value::from(value));
        }
        [section, rest @ ..] => {
            let entry = values.entry((*section).to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = entry {
                put(inner, rest, value);
            }
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}
