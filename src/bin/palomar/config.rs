//! The configuration: flag, else environment, else `.env` in the working folder, else the file, else the default.
//!
//! A key that nobody knows is an error wherever it stands: a misspelt `PALOMAR_SERVER` must not end at the real service.
//!
//! `layers` has the names of the variables, `limits` the 15 limits.

mod layers;
mod limits;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Toml};
use palomar::client::net::{Address, Egress, Endpoint, Tls};
use palomar::client::payload::{BUILT_IN_VERSION, ClientVersion};
use palomar::crypto::PublicKey;
use palomar::store::sqlite::{Durability, Node, Options, Use};
use palomar::store::{AccountId, DataDir};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::args::Global;
use crate::exit::Failure;
use crate::version;
use layers::{Layer, account_name, dotenv};
use limits::Limits;

/// The configuration as written, in whichever layer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    data: Option<PathBuf>,
    server: Option<String>,
    root_key: Option<String>,
    ca: Option<PathBuf>,
    proxy: Option<String>,
    log: Option<String>,
    client_version: Option<String>,
    drift: Option<Switch>,
    #[serde(default)]
    node: WrittenNode,
    #[serde(default)]
    store: WrittenStore,
    /// Checked by [`Limits::read`].
    #[serde(default, rename = "limits")]
    _limits: IgnoredAny,
    #[serde(default)]
    accounts: BTreeMap<String, WrittenAccount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNode {
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStore {
    durability: Option<WrittenDurability>,
}

/// `[accounts.ID]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAccount {
    record: Option<PathBuf>,
}

/// A switch of the file, or the text of a variable.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "SwitchText")]
struct Switch(bool);

#[derive(Deserialize)]
#[serde(untagged)]
enum SwitchText {
    Switch(bool),
    Text(String),
}

impl TryFrom<SwitchText> for Switch {
    type Error = String;

    fn try_from(text: SwitchText) -> Result<Self, String> {
        match text {
            SwitchText::Switch(on) => Ok(Self(on)),
            SwitchText::Text(text) => {
                text.trim().parse().map(Self).map_err(|_| format!("{text:?} is neither true nor false"))
            }
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenDurability {
    Full,
    Normal,
}

/// The configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// The data folder.
    pub data: DataDir,
    /// Where the service is.
    pub endpoint: Endpoint,
    /// Whether that is another server than the service.
    pub other_server: bool,
    /// The way out.
    pub egress: Egress,
    /// What to log.
    pub log: String,
    /// How stores are opened by a command.
    pub store: Options,
    /// The limits that somebody set.
    pub limits: Limits,
    /// The web client's version to present.
    pub version: ClientVersion,
    /// Whether what the service sends is compared with what is known.
    pub drift: bool,
    /// Accounts whose connections are recorded, by [`account_name`], and the file.
    records: BTreeMap<String, PathBuf>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Where values come from besides the command line.
pub struct Surroundings {
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The working folder.
    pub folder: PathBuf,
}

impl Surroundings {
    /// This process's.
    pub fn of_process() -> Self {
        // Variables that are no text can't be ours.
        let environment =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self { environment: environment.collect(), folder: std::env::current_dir().unwrap_or_default() }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl Config {
    /// Reads all layers.
    pub fn read(global: &Global, around: &Surroundings) -> Result<Self, Failure> {
        let dotenv = dotenv(&around.folder.join(".env"))?;
        let file = file(global, around, &dotenv)?;
        let mut figment = Figment::new();
        if let Some(file) = &file {
            figment = figment.merge(Toml::file_exact(file));
        }
        figment = figment.merge(Layer::of_variables("the file .env", &dotenv)?);
        figment = figment.merge(Layer::of_variables("the environment", &around.environment)?);
        let written: Written =
            figment.extract().map_err(|e| Failure::usage(format!("configuration: {e}")))?;
        let limits = Limits::read(&figment)?;
        Self::check(global, written, limits, file, around)
    }

    /// Where an account's connections are recorded, if they are.
    pub fn record(&self, id: &AccountId) -> Option<&Path> {
        self.records.get(&account_name(id.as_str())).map(PathBuf::as_path)
    }

    fn check(
        global: &Global,
        written: Written,
        limits: Limits,
        file: Option<PathBuf>,
        around: &Surroundings,
    ) -> Result<Self, Failure> {
        let data = global.data.clone().or(written.data).map_or_else(|| default_data(around), Ok)?;
        let server = global.server.as_ref().or(written.server.as_ref());
        let root_key = global.root_key.as_ref().or(written.root_key.as_ref());
        let ca = global.ca.as_deref().or(written.ca.as_deref());
        let endpoint = endpoint(server.map(String::as_str), root_key.map(String::as_str), ca)?;
        let egress = match global.proxy.as_ref().or(written.proxy.as_ref()) {
            Some(proxy) => proxy.parse().map_err(|e| Failure::usage(format!("proxy: {e}")))?,
            None => Egress::Direct,
        };
        let mut node = Node::this_host();
        if let Some(name) = written.node.name {
            node.name = name;
        }
        let durability = match written.store.durability {
            Some(WrittenDurability::Normal) => Durability::Normal,
            Some(WrittenDurability::Full) | None => Durability::Full,
        };
        let store = Options { used_by: Use::Command, durability, node, take_over: global.take_over };
        let version = match global.client_version.as_ref().or(written.client_version.as_ref()) {
            Some(text) => text
                .trim()
                .parse()
                .map_err(|e| Failure::usage(format!("client_version: {e}")).next(version::WHERE_FROM))?,
            None => BUILT_IN_VERSION,
        };
        let records = written.accounts.into_iter();
        let records = records.filter_map(|(id, own)| Some((account_name(&id), own.record?))).collect();
        let log = global.log.clone().or(written.log).unwrap_or_else(|| "warn".to_owned());
        Ok(Self {
            data: DataDir::new(data),
            other_server: server.is_some(),
            endpoint,
            egress,
            log,
            store,
            limits,
            version,
            drift: written.drift.is_none_or(|Switch(on)| on),
            records,
            file,
        })
    }
}

/// The service, or the server that was given with its root.
fn endpoint(server: Option<&str>, root_key: Option<&str>, ca: Option<&Path>) -> Result<Endpoint, Failure> {
    let no_ca = |e| Failure::usage(format!("ca: {e}")).next("give the PEM file that `palomar sim run` names");
    match (server, root_key) {
        (None, None) => Endpoint::production(ca).map_err(no_ca),
        (None, Some(_)) => Err(Failure::usage("--root-key is given without --server")
            .next("the service's own root is built in; give --server URL for another server")),
        (Some(_), None) => Err(Failure::usage("--server is given without --root-key")
            .next("give the server's Noise root key; `palomar sim run` prints it")),
        (Some(server), Some(root)) => {
            let address: Address = server.parse().map_err(|e| Failure::usage(format!("server: {e}")))?;
            let wrong = || Failure::usage("root-key: not 64 hex digits of a usable key");
            let bytes = hex::decode(root.trim()).map_err(|_| wrong())?;
            let root = PublicKey::from_slice(&bytes).ok_or_else(wrong)?;
            Ok(Endpoint::at(address, root, Tls::new(ca).map_err(no_ca)?))
        }
    }
}

fn default_data(around: &Surroundings) -> Result<PathBuf, Failure> {
    user_folder(around, "XDG_DATA_HOME", ".local/share").ok_or_else(|| {
        Failure::usage("there is no user's data folder (HOME is not set)")
            .next("give --data DIR or set PALOMAR_DATA")
    })
}

/// The program's folder below one of the user's.
fn user_folder(around: &Surroundings, xdg: &str, below_home: &str) -> Option<PathBuf> {
    let base = if cfg!(windows) {
        around.variable("APPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        around.variable("HOME").map(|home| Path::new(home).join("Library/Application Support"))
    } else {
        let given = around.variable(xdg).map(PathBuf::from).filter(|path| path.is_absolute());
        given.or_else(|| around.variable("HOME").map(|home| Path::new(home).join(below_home)))
    };
    base.map(|base| base.join("palomar"))
}

fn file(
    global: &Global,
    around: &Surroundings,
    dotenv: &BTreeMap<String, String>,
) -> Result<Option<PathBuf>, Failure> {
    let named = global.config.clone().or_else(|| around.variable("PALOMAR_CONFIG").map(PathBuf::from));
    let named = named.or_else(|| dotenv.get("PALOMAR_CONFIG").map(PathBuf::from));
    if let Some(path) = named {
        let there = path.is_file();
        return if there {
            Ok(Some(path))
        } else {
            Err(Failure::usage(format!("there is no configuration file {}", path.display())))
        };
    }
    let users = user_folder(around, "XDG_CONFIG_HOME", ".config").map(|folder| folder.join("palomar.toml"));
    let places = [Some(around.folder.join("palomar.toml")), users];
    Ok(places.into_iter().flatten().find(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(arguments: &[&str]) -> Global {
        use clap::Parser;
        let all = ["palomar"].iter().chain(arguments).chain(&["accounts"]).copied();
        crate::args::Cli::try_parse_from(all).unwrap().global
    }

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(self, name: &str, text: &str) -> Self {
            std::fs::write(self.0.path().join(name), text).unwrap();
            self
        }

        fn read(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Config, Failure> {
            let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            let home = ("HOME".to_owned(), self.0.path().join("home").to_str().unwrap().to_owned());
            let environment = environment.chain([home]).collect();
            Config::read(&global(arguments), &Surroundings { environment, folder: self.0.path().to_owned() })
        }

        fn data(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
            self.read(arguments, environment).unwrap().data.root().display().to_string()
        }
    }

    #[test]
    fn flag_goes_before_environment_before_dotenv_before_file_before_default() {
        let place = Place::new();
        assert!(place.data(&[], &[]).ends_with("home/.local/share/palomar"));
        let place = place.write("palomar.toml", "data = '/file'");
        assert_eq!(place.data(&[], &[]), "/file");
        let place = place.write(".env", "# comment\nexport PALOMAR_DATA=\"/dotenv\"\nOTHER=1\n");
        assert_eq!(place.data(&[], &[]), "/dotenv");
        assert_eq!(place.data(&[], &[("PALOMAR_DATA", "/environment")]), "/environment");
        assert_eq!(place.data(&["--data", "/flag"], &[("PALOMAR_DATA", "/environment")]), "/flag");
    }

    #[test]
    fn keys_of_sections_are_variables_too() {
        let place =
            Place::new().write("palomar.toml", "[node]\nname = 'east'\n[store]\ndurability = 'full'\n");
        let config = place.read(&[], &[("PALOMAR_STORE_DURABILITY", "normal")]).unwrap();
        assert_eq!((config.store.node.name.as_str(), config.store.durability), ("east", Durability::Normal));
    }

    #[test]
    fn the_pace_of_writing_is_configured_by_file_and_variable() {
        let place = Place::new().write("palomar.toml", "[limits]\nmin_message_gap_ms = 3000\n");
        let variable = [("PALOMAR_MAX_MESSAGES_PER_MINUTE", "12")];
        let pacing = place.read(&[], &variable).unwrap().limits.pacing();
        assert_eq!((pacing.gap.as_secs(), pacing.per_minute), (3, 12));
        let error = place.read(&[], &[("PALOMAR_MIN_MESSAGE_GAP_MS", "soon")]).unwrap_err();
        assert!(error.what.contains("soon"), "{}", error.what);
    }

    #[test]
    fn every_limit_is_read_under_its_three_names_and_the_prefixed_one_wins() {
        let place = Place::new();
        for (key, default) in limits::LIMITS {
            let bare = key.to_uppercase();
            let names = [format!("PALOMAR_{bare}"), format!("PALOMAR_LIMITS_{bare}"), bare.clone()];
            for name in &names {
                let limits = place.read(&[], &[(name, "7")]).unwrap().limits;
                assert_eq!((limits.0.len(), limits.0[0].key, limits.0[0].value), (1, key, 7), "{name}");
                assert_eq!(limits.0[0].origin, "the environment");
            }
            assert_ne!(default, 7);
            let limits = place.read(&[], &[(&bare, "7"), (&names[0], "8")]).unwrap().limits;
            assert_eq!(limits.0[0].value, 8, "{key}");
        }
        assert!(place.read(&[], &[("USE_MULTI_SESSION", "false")]).unwrap().limits.0[0].value == 0);
        let place = place.write("palomar.toml", "[limits]\nmax_conecting = 3\n");
        assert!(place.read(&[], &[]).unwrap_err().next.unwrap().contains("max_connecting"));
    }

    #[test]
    fn an_account_has_a_recording_of_its_own_by_file_or_variable() {
        let place = Place::new().write("palomar.toml", "[accounts.alice]\nrecord = '/a.jsonl'\n");
        let config = place.read(&[], &[("PALOMAR_ACCOUNTS_BOB_2_RECORD", "/b.jsonl")]).unwrap();
        let of =
            |id: &str| config.record(&AccountId::new(id).unwrap()).map(|path| path.display().to_string());
        assert_eq!(
            (of("alice").as_deref(), of("bob-2").as_deref(), of("carol")),
            (Some("/a.jsonl"), Some("/b.jsonl"), None)
        );
    }

    #[test]
    fn the_client_version_is_configured_without_a_new_build() {
        let place =
            Place::new().write("palomar.toml", "client_version = '2.3000.1050000000'\ndrift = false\n");
        let config = place.read(&[], &[]).unwrap();
        assert_eq!((config.version.to_string().as_str(), config.drift), ("2.3000.1050000000", false));
        let flag = ["--client-version", "2.3000.1060000000"];
        let config = place.read(&flag, &[("PALOMAR_DRIFT", "true")]).unwrap();
        assert_eq!((config.version.to_string().as_str(), config.drift), ("2.3000.1060000000", true));
        let error = place.read(&["--client-version", "newest"], &[]).unwrap_err();
        assert!(error.what.contains("client_version") && error.next.is_some());
    }

    #[test]
    fn unknown_names_are_refused_wherever_they_stand() {
        let place = Place::new();
        for name in ["PALOMAR_INTEROP", "PALOMAR_VECTORS"] {
            place.read(&[], &[(name, "x")]).unwrap();
        }
        let error = place.read(&[], &[("PALOMAR_SERVR", "ws://127.0.0.1/")]).unwrap_err();
        assert!(error.what.contains("PALOMAR_SERVR") && error.next.unwrap().contains("PALOMAR_SERVER"));
        let error = place.write("palomar.toml", "servr = 'x'").read(&[], &[]).unwrap_err();
        assert!(error.what.contains("servr"), "{}", error.what);
    }

    #[test]
    fn another_server_needs_its_root() {
        let place = Place::new();
        let server = ["--server", "ws://127.0.0.1:8099/ws/chat"];
        assert!(place.read(&server, &[]).unwrap_err().next.unwrap().contains("sim run"));
        assert!(place.read(&["--root-key", &"09".repeat(32)], &[]).is_err());
        for bad in ["", "xy", &"0".repeat(63)] {
            assert_eq!(
                place.read(&[&server[..], &["--root-key", bad]].concat(), &[]).unwrap_err().exit as u8,
                2
            );
        }
        let config = place.read(&[&server[..], &["--root-key", &"09".repeat(32)]].concat(), &[]).unwrap();
        assert!(config.other_server && !config.endpoint.address.tls);
    }

    #[test]
    fn bad_values_name_their_key() {
        let place = Place::new();
        let root = "09".repeat(32);
        let cases = [
            (vec!["--server", "http://x/", "--root-key", &root], "server"),
            (vec!["--proxy", "ftp://x"], "proxy"),
            (vec!["--ca", "/nowhere/ca.pem"], "ca"),
            (vec!["--config", "/nowhere.toml"], "/nowhere.toml"),
        ];
        for (arguments, key) in cases {
            let error = place.read(&arguments, &[]).unwrap_err();
            assert!(error.exit as u8 == 2 && error.what.contains(key), "{}", error.what);
        }
    }
}
