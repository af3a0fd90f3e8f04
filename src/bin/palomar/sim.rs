//! `sim run`, `sim pki`, `sim deviations`: the simulator as a program of its own.

mod script;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use palomar::sim::{
    CertMode, ClockMode, FailOn, IkMode, JudgeTables, Mode, OperatingRules, PhoneMode, Profile, SimConfig,
    Simulator, StartError,
};
use palomar::stanza::judge::{Deviation, Deviations};
use serde_json::json;

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::parity::ParityArgs;

/// `sim` commands.
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    /// Run the simulator until Ctrl-C; prints where it listens and whom clients must trust
    Run(Box<RunArgs>),
    /// Print the CA file, its fingerprint and the Noise root key of a simulator's folder; makes them if missing
    Pki(PkiArgs),
    /// Print where palomar's stanzas differ from the official client's on purpose, and why
    Deviations(DeviationsArgs),
    /// Play palomar's first minute and a quiet day in virtual time and compare them with what is expected
    Parity(ParityArgs),
    /// Compare a recording (`listen ID --record FILE`) with the official client's shapes and order, in words
    Compare(crate::record::CompareArgs),
}

/// Options of `sim deviations`.
#[derive(Debug, Args)]
pub struct DeviationsArgs {
    /// As the page docs/deviations.md
    #[arg(long)]
    markdown: bool,
}

/// Options of `sim run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Fixes keys, ids, refs and jitter
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How strictly clients are judged: strict, lenient, bench; crude: a server worse than the real one, to be lived on
    #[arg(long, default_value = "strict")]
    profile: Profile,
    /// The folder of the state: PKI, accounts, queues (else nothing outlives the run)
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The loopback address of all listeners
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Chat, plain WebSocket
    #[arg(long, value_name = "PORT", default_value_t = 8099)]
    chat_port: u16,
    /// Chat over TLS
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    tls_port: u16,
    /// CONNECT proxy to the TLS listeners
    #[arg(long, value_name = "PORT", default_value_t = 8445)]
    proxy_port: u16,
    /// Admin API
    #[arg(long, value_name = "PORT", default_value_t = 8098)]
    admin_port: u16,
    /// Let the system choose every port
    #[arg(long, conflicts_with_all = ["chat_port", "tls_port", "proxy_port", "admin_port"])]
    any_ports: bool,
    /// Demand this bearer token at the admin API
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<String>,
    /// The certificate chain shown: ok, or one defect (expired, future, wrong-root, leaf-sig, ...)
    #[arg(long, value_name = "MODE", default_value = "ok")]
    cert: CertMode,
    /// What an IK hello gets: accept, fallback, drop
    #[arg(long, value_name = "MODE", default_value = "fallback")]
    ik: IkMode,
    /// Offline delivery waits for the client's first <active/> after a passive login
    #[arg(long)]
    hold_until_active: bool,
    /// A pairing code for an unknown number makes the account
    #[arg(long)]
    auto_accounts: bool,
    /// Judge stanzas by this table instead of the built-in one (same columns)
    #[arg(long, value_name = "FILE")]
    stanza_table: Option<PathBuf>,
    /// Judge payloads by this schema instead of the built-in one (same columns)
    #[arg(long, value_name = "FILE")]
    schema_table: Option<PathBuf>,
    /// The enums of the schema
    #[arg(long, value_name = "FILE")]
    enum_table: Option<PathBuf>,
    /// Accept --listen addresses that are not loopback ones
    #[arg(long)]
    i_know_this_is_not_loopback: bool,
    /// Which violations make the exit code 1: report (any), enforce (of rules that are enforced), critical
    #[arg(long, value_name = "WHICH", default_value = "report")]
    fail_on: FailOn,
    /// The operating rules (09 section 23): off, report, enforce; by default as the profile says
    #[arg(long, value_name = "MODE")]
    rules: Option<Mode>,
    /// The world's time: real, or virtual (from 2026-08-06, or from UNIX seconds given as virtual:UNIX); POST
    /// /v1/clock moves it on
    #[arg(long, value_name = "CLOCK", default_value = "real", value_parser = clock)]
    clock: ClockMode,
    /// Clients below this version get failure 405
    #[arg(long, value_name = "A.B.C", value_parser = version)]
    min_version: Option<[u32; 3]>,
    /// Compress stanzas above N bytes
    #[arg(long, value_name = "N")]
    compress: Option<usize>,
    /// Whether each login gets edge routing
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    edge_routing: bool,
    /// Ping clients every N seconds
    #[arg(long, value_name = "N")]
    server_ping: Option<u64>,
    /// Leave a device list that the asker has out of usync answers
    #[arg(long)]
    usync_delta: bool,
    /// More than N usync queries a minute of one account get error 429
    #[arg(long, value_name = "N")]
    usync_throttle: Option<usize>,
    /// Put the account signature key into key bundles
    #[arg(long)]
    bundle_account_key: bool,
    /// Deliver chat states younger than N seconds at a login
    #[arg(long, value_name = "N", default_value_t = 0)]
    chatstate_ttl: i64,
    /// Merge the receipts of several members for one message of a group
    #[arg(long)]
    group_receipts: bool,
    /// New groups are LID addressed
    #[arg(long)]
    lid_only_group: bool,
    /// Who plays the phones: real, or stub (takes everything, sends nothing)
    #[arg(long, value_name = "WHO", default_value = "real")]
    phones: PhoneMode,
    /// Run these admin calls, one JSON object a line, and end; fails at the first that answers otherwise than it says
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

/// Where a virtual clock begins unless told otherwise, Unix seconds.
const VIRTUAL_START: i64 = 1_786_000_000;

fn clock(text: &str) -> Result<ClockMode, String> {
    let start = match text.split_once(':') {
        None if text == "real" => return Ok(ClockMode::Real),
        None if text == "virtual" => VIRTUAL_START,
        Some(("virtual", seconds)) => {
            seconds.parse().map_err(|_| "UNIX seconds follow virtual:".to_owned())?
        }
        _ => return Err("real, virtual, or virtual:UNIX".to_owned()),
    };
    Ok(ClockMode::Virtual { start: start.saturating_mul(1000) })
}

fn version(text: &str) -> Result<[u32; 3], String> {
    let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
    parts
        .ok()
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| "three numbers, such as 2.3000.1".to_owned())
}

/// Options of `sim pki`.
#[derive(Debug, Args)]
pub struct PkiArgs {
    /// The folder of the state
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The seed of the world that the root key belongs to
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl RunArgs {
    fn config(&self) -> SimConfig {
        let at = |port| Some(SocketAddr::new(self.listen, if self.any_ports { 0 } else { port }));
        SimConfig {
            seed: self.seed,
            profile: self.profile,
            chat: at(self.chat_port),
            chat_tls: at(self.tls_port),
            proxy: at(self.proxy_port),
            admin: at(self.admin_port),
            admin_token: self.admin_token.clone(),
            allow_non_loopback: self.i_know_this_is_not_loopback,
            cert: self.cert,
            ik: self.ik,
            state_dir: self.state.clone(),
            hold_until_active: self.hold_until_active,
            auto_accounts: self.auto_accounts,
            fail_on: self.fail_on,
            operating_rules: self.rules.map_or(OperatingRules::OfProfile, OperatingRules::All),
            clock: self.clock,
            min_version: self.min_version,
            compress_above: self.compress,
            edge_routing: self.edge_routing,
            server_ping: self.server_ping.map(Duration::from_secs),
            usync_delta: self.usync_delta,
            usync_per_min: self.usync_throttle,
            bundle_account_key: self.bundle_account_key,
            chatstate_ttl_s: self.chatstate_ttl,
            group_receipts: self.group_receipts,
            lid_only_groups: self.lid_only_group,
            phones: self.phones,
            judge: JudgeTables {
                stanzas: self.stanza_table.clone(),
                schema: self.schema_table.clone(),
                enums: self.enum_table.clone(),
            },
            ..SimConfig::default()
        }
    }
}

/// Runs `sim run`: until `stop` comes.
pub async fn run(args: &RunArgs, output: Output, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let simulator = start(args.config()).await?;
    announce(&simulator, output)?;
    let scripted = match &args.script {
        Some(file) => scripted(&simulator, file, args.admin_token.as_deref(), output).await,
        None => {
            stop.await;
            Ok(())
        }
    };
    let violations = simulator.admin().violations().await;
    let counted = violations.counted(args.fail_on, &simulator.admin().rules().await);
    simulator.stop().await.map_err(|e| Failure::failed(e.to_string()))?;
    report(&violations, counted, output)?;
    scripted
}

async fn scripted(
    simulator: &Simulator,
    file: &Path,
    token: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let admin =
        simulator.admin().info().admin.ok_or_else(|| Failure::usage("a script needs the admin API"))?;
    script::run(file, admin, token, |answered| {
        let text = format!("line {}: {} -> {}", answered.line, answered.call, answered.status);
        let value = json!({
            "event": "called", "line": answered.line, "call": answered.call, "status": answered.status,
        });
        output.line(text, &value);
    })
    .await
}

async fn start(config: SimConfig) -> Result<Simulator, Failure> {
    Simulator::start(config).await.map_err(|e| {
        let next = match e {
            StartError::Tables(_) => "mend that line, or leave the option out for the built-in table",
            _ => "choose other ports (--any-ports lets the system choose), or another --state folder",
        };
        Failure::new(Exit::Failed, format!("the simulator does not start: {e}")).next(next)
    })
}

fn announce(simulator: &Simulator, output: Output) -> Result<(), Failure> {
    let info = simulator.admin().info();
    let mut value = serde_json::to_value(info).map_err(|e| Failure::failed(e.to_string()))?;
    let (chat, tls) = (simulator.chat_url(), simulator.chat_tls_url());
    if let Some(object) = value.as_object_mut() {
        object.insert("event".to_owned(), json!("listening"));
        object.insert("chat_url".to_owned(), json!(chat));
        object.insert("chat_tls_url".to_owned(), json!(tls));
        object.insert("ca_pem".to_owned(), json!(simulator.ca_pem()));
    }
    let http = |at: Option<SocketAddr>| at.map_or_else(|| "-".to_owned(), |at| format!("http://{at}"));
    let ca = info.ca_path.as_ref().map_or_else(
        || "in memory only; --state DIR writes it to a file".to_owned(),
        |path| path.display().to_string(),
    );
    let text = format!(
        "simulator {}, profile {:?}, seed {}\n  chat      {}\n  chat TLS  {}\n  proxy     {}\n  admin     {}\n  \
         root key  {}\n  serial    {}\n  CA        {ca}\n  CA SHA-256 {}\nstop it with Ctrl-C",
        info.version,
        info.profile,
        info.seed,
        chat.as_deref().unwrap_or("-"),
        tls.as_deref().unwrap_or("-"),
        http(info.proxy),
        http(info.admin),
        info.root_key,
        info.root_serial,
        info.ca_fingerprint,
    );
    output.line(text, &value);
    Ok(())
}

fn report(violations: &palomar::sim::Violations, counted: u64, output: Output) -> Result<(), Failure> {
    for item in violations.items() {
        let account = item.account.as_deref().unwrap_or("-");
        let text = format!("violation {} x{} by {account}: {}", item.code, item.count, item.detail);
        output.line(text, &json!({ "event": "violation", "violation": item }));
    }
    let total = violations.total();
    output.line(format_args!("{total} violations"), &json!({ "event": "stopped", "violations": total }));
    match counted {
        0 => Ok(()),
        _ => Err(Failure::failed(format!("clients broke the protocol {counted} times"))),
    }
}

/// Runs `sim pki`.
pub async fn pki(args: &PkiArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let folder = args.state.clone().unwrap_or_else(|| config.data.root().join("sim"));
    // No listener: only the folder is made or read.
    let none = SimConfig { chat: None, chat_tls: None, proxy: None, admin: None, ..SimConfig::default() };
    let simulator = start(SimConfig { seed: args.seed, state_dir: Some(folder), ..none }).await?;
    let info = simulator.admin().info().clone();
    let path = info.ca_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let text = format!(
        "CA          {path}\nCA SHA-256  {}\nroot key    {}\nserial      {}",
        info.ca_fingerprint, info.root_key, info.root_serial
    );
    let value = json!({
        "ca": path, "ca_fingerprint": info.ca_fingerprint,
        "root_key": info.root_key, "root_serial": info.root_serial,
    });
    output.line(text, &value);
    simulator.stop().await.map_err(|e| Failure::failed(e.to_string()))
}

/// Runs `sim deviations`.
pub fn deviations(args: &DeviationsArgs, output: Output) -> Result<(), Failure> {
    let list = Deviations::built_in().map_err(|e| Failure::failed(e.to_string()))?;
    if args.markdown {
        output.text(list.to_markdown().trim_end());
    }
    for Deviation { op, path, attr, what, reason } in
        list.iter().filter(|_| output.is_json() || !args.markdown)
    {
        let place = if attr.is_empty() { path.clone() } else { format!("{path}@{attr}") };
        let attr = Some(attr).filter(|attr| !attr.is_empty());
        let value = json!({
            "event": "deviation", "op": op, "path": path, "attr": attr, "what": what, "reason": reason,
        });
        output.line(format_args!("{op}  {place}  {what}\n    {reason}"), &value);
    }
    Ok(())
}
