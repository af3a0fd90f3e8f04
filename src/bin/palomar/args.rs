//! The words of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// WhatsApp multi-device client, and a simulator of the other side.
#[derive(Debug, Parser)]
#[command(name = "palomar", version, about, long_about = None, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 needs a person (link, passkey); \
4 held by another process; 5 refused by a limit, try later; 6 the service refused (logged out, banned, outdated); \
7 store damaged or newer; 130 interrupted.

Settings (data, server, root_key, ca, proxy, log, client_version, drift, node.name, store.durability, accounts.ID.record, and \
the 15 of [limits]) are also environment variables (PALOMAR_DATA, PALOMAR_SERVER, PALOMAR_STORE_DURABILITY, ...), lines of a \
.env file in the working folder, and keys of the configuration file; the first that is set counts, in this order. A limit has \
its bare name too (MAX_MESSAGES_PER_MINUTE).";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The data folder (else PALOMAR_DATA, else the user's data folder)
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Another server than the service: a simulator's chat URL
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The root of that server's Noise certificates, 64 hex digits
    #[arg(long, global = true, value_name = "HEX")]
    pub root_key: Option<String>,
    /// A file of further certificate authorities (PEM), for wss:// servers
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The way out: http://[user:password@]host:port or socks5://...
    #[arg(long, global = true, value_name = "URL")]
    pub proxy: Option<String>,
    /// The web client's version to present, 2.3000.N (else the one that is built in)
    #[arg(long, global = true, value_name = "VERSION")]
    pub client_version: Option<String>,
    /// Machine output: one JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to log to stderr: error, warn, info, debug, trace, or filters such as palomar=debug
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
    /// The configuration file (else PALOMAR_CONFIG, else ./palomar.toml, else the user's)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Open accounts that another node did not release; only when that node has stopped for good
    #[arg(long, global = true)]
    pub take_over: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See three accounts link, talk and recover, on an embedded simulator
    Demo(crate::demo::DemoArgs),
    /// List the accounts and how they stand
    Accounts {
        #[command(subcommand)]
        what: Option<AccountsCommand>,
    },
    /// Link an account to a phone
    Link(crate::link::LinkArgs),
    /// Send a text
    Send(crate::send::SendArgs),
    /// Print what arrives, and acknowledge what was printed
    Listen(crate::listen::ListenArgs),
    /// Check everything a connection needs, and say what to do
    Doctor(DoctorArgs),
    /// Print what the service sent that this build does not know: shapes and counts, never values
    Drift(crate::drift::DriftArgs),
    /// The simulator of the other side
    #[command(subcommand)]
    Sim(crate::sim::SimCommand),
}

/// What can be asked of one account.
#[derive(Debug, Subcommand)]
pub enum AccountsCommand {
    /// What the service limits, until when, what Palomar does and what to do
    Health(crate::health::HealthArgs),
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(subcommand)]
    pub look: Option<Look>,
}

/// What `doctor` looks at by itself.
#[derive(Debug, Subcommand)]
pub enum Look {
    /// The same as `palomar drift`
    Drift(crate::drift::DriftArgs),
}
