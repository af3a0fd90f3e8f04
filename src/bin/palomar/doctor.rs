//! `doctor`: what a connection needs, looked at one after the other, with what to do where something is wrong.

use std::time::Duration;

use palomar::client::net::{self, Advice, Egress, NetError, Tcp};
use palomar::client::payload::BUILT_IN_VERSION;
use palomar::clock::Clock;
use palomar::crypto::os_rng;
use palomar::store::{Accounts, StoreError};
use serde_json::json;
use std::sync::Arc;

use crate::accounts;
use crate::config::Config;
use crate::drift;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::version::{self, Age};

/// For resolving a name.
const RESOLVE: Duration = Duration::from_secs(10);
/// A clock that is off by more makes certificates fail sooner or later.
const CLOCK_SECONDS: i64 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Note,
    Bad,
}

/// What one look found.
struct Finding {
    about: &'static str,
    verdict: Verdict,
    found: String,
    next: Option<String>,
    exit: Exit,
}

impl Finding {
    fn new(about: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { about, verdict, found: found.into(), next: None, exit: Exit::Failed }
    }

    fn good(about: &'static str, found: impl Into<String>) -> Self {
        Self::new(about, Verdict::Good, found)
    }

    fn note(about: &'static str, found: impl Into<String>) -> Self {
        Self::new(about, Verdict::Note, found)
    }

    fn bad(about: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..Self::new(about, Verdict::Bad, found) }
    }

    fn show(&self, output: Output) {
        let mark = match self.verdict {
            Verdict::Good => "ok  ",
            Verdict::Note => "note",
            Verdict::Bad => "BAD ",
        };
        let next = self.next.as_ref().map(|next| format!("\n              next: {next}")).unwrap_or_default();
        let name = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Note => "note",
            Verdict::Bad => "bad",
        };
        output.line(
            format_args!("{mark}  {:<8}{}{next}", self.about, self.found),
            &json!({ "check": self.about, "verdict": name, "found": self.found, "next": self.next }),
        );
    }
}

/// Runs all checks. The first thing that is wrong decides the exit code.
pub async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let mut worst: Option<Failure> = None;
    let mut look = |finding: Finding| {
        finding.show(output);
        let going_on = finding.verdict != Verdict::Bad;
        if !going_on {
            let failure = Failure::new(finding.exit, format!("{}: {}", finding.about, finding.found));
            worst.get_or_insert(Failure { next: finding.next, ..failure });
        }
        going_on
    };
    look(configuration(config));
    look(limits(config));
    look(version(config, Clock::system().wall_s()));
    look(drift(config));
    for finding in store(config).await {
        look(finding);
    }
    if look(resolve(config).await) {
        for finding in connect(config).await {
            look(finding);
        }
    }
    worst.map_or(Ok(()), Err)
}

fn configuration(config: &Config) -> Finding {
    let file = config.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let server = if config.other_server { "another server" } else { "the service" };
    let found = format!("{file}; {server} at {}; {}", config.endpoint.address, config.egress);
    Finding::good("config", found)
}

/// The version that is presented; what matters to the service only.
fn version(config: &Config, now: i64) -> Finding {
    let age = Age::of(config.version, now);
    let whose = if config.version == BUILT_IN_VERSION { "built in" } else { "as configured" };
    let found = format!("{} ({whose}), about {} days old", config.version, age.days());
    let means = match age {
        Age::Fresh(_) => return Finding::good("version", found),
        Age::Old(_) | Age::TooOldToLink(_) if config.other_server => {
            return Finding::good(
                "version",
                format!("{found}: old for the service, no matter for this server"),
            );
        }
        Age::Old(_) => "it still serves, for some weeks",
        Age::TooOldToLink(_) => "logging in may still work; `palomar link` refuses to link a phone with it",
    };
    Finding { next: Some(format!("{means}; {}", version::WHERE_FROM)), ..Finding::note("version", found) }
}

/// What the service sent that this build does not know.
fn drift(config: &Config) -> Finding {
    let next = "`palomar doctor drift` shows the shapes; `--save FILE` writes them for an issue report";
    match drift::kept(config) {
        Ok(report) if report.is_empty() => Finding::good("drift", "nothing unknown was received"),
        Ok(report) => {
            let found =
                format!("{} shapes that this build does not know were received", report.entries().len());
            Finding { next: Some(next.to_owned()), ..Finding::note("drift", found) }
        }
        Err(failure) => Finding { next: failure.next, ..Finding::note("drift", failure.what) },
    }
}

/// The limits that somebody set, and who.
fn limits(config: &Config) -> Finding {
    Finding::good("limits", config.limits.to_string())
}

async fn store(config: &Config) -> Vec<Finding> {
    let folder = match accounts::existing(config) {
        Ok(Some(folder)) => folder,
        Ok(None) => {
            let found =
                format!("{}: no data folder yet; `palomar link ID` makes it", config.data.root().display());
            return vec![Finding::good("store", found)];
        }
        Err(failure) => return vec![Finding::from_failure(failure)],
    };
    let root = folder.data().root().display().to_string();
    let ids = match folder.list() {
        Ok(ids) => ids,
        Err(error) => return vec![Finding::from_failure(error.into())],
    };
    let mut findings = vec![Finding::good(
        "store",
        format!("{root}: {} account{}", ids.len(), if ids.len() == 1 { "" } else { "s" }),
    )];
    for id in ids {
        findings.push(match folder.open(&id, Clock::system().wall_ms()) {
            Ok(store) => {
                let aside = store
                    .read(|tx| Ok::<_, StoreError>((tx.link()?.is_some(), tx.quarantine_count()?)))
                    .await;
                accounts::close(&store).await;
                match aside {
                    Ok((linked, 0)) => {
                        let state = if linked { "sound, linked" } else { "sound, not linked" };
                        Finding::good("account", format!("{id}: {state}"))
                    }
                    Ok((_, count)) => {
                        Finding::note("account", format!("{id}: {count} damaged records were set aside"))
                    }
                    Err(error) => Finding::from_failure(error.into()),
                }
            }
            Err(error @ StoreError::Held { .. }) => Finding::note("account", error.to_string()),
            Err(error) => Finding::from_failure(error.into()),
        });
    }
    findings.push(Finding::note("store", "not encrypted at rest: whoever reads the folder is that device"));
    findings
}

impl Finding {
    fn from_failure(failure: Failure) -> Self {
        let next = failure.next.unwrap_or_else(|| "see the message".to_owned());
        Self { exit: failure.exit, ..Self::bad("store", failure.what, next) }
    }
}

/// The name that this host has to resolve: the server's, or the proxy's.
async fn resolve(config: &Config) -> Finding {
    let (host, port) = match &config.egress {
        Egress::Direct => (config.endpoint.address.host.clone(), config.endpoint.address.port),
        Egress::HttpConnect { host, port, .. } | Egress::Socks5 { host, port, .. } => (host.clone(), *port),
    };
    let next = "check the name, the network and the resolver (/etc/resolv.conf); a proxy is set with --proxy";
    match tokio::time::timeout(RESOLVE, tokio::net::lookup_host((host.as_str(), port))).await {
        Ok(Ok(addresses)) => {
            let count = addresses.count();
            if count == 0 {
                return Finding::bad("resolve", format!("{host} has no address"), next);
            }
            Finding::good("resolve", format!("{host}: {count} address{}", if count == 1 { "" } else { "es" }))
        }
        Ok(Err(error)) => Finding::bad("resolve", format!("{host}: {error}"), next),
        Err(_) => Finding::bad("resolve", format!("{host}: no answer within 10 s"), next),
    }
}

async fn connect(config: &Config) -> Vec<Finding> {
    let (endpoint, clock) = (&config.endpoint, Clock::system());
    let dialer = config.egress.clone().dialer(Arc::new(Tcp));
    let before = clock.wall_s();
    match net::open(&*dialer, endpoint, &endpoint.address, None, &clock, &mut os_rng()).await {
        Ok(socket) => {
            let tls = if endpoint.address.tls { "TLS and upgrade" } else { "upgrade, without TLS" };
            vec![
                Finding::good("connect", format!("{}: {tls}", endpoint.address)),
                time(socket.date(), before),
            ]
        }
        Err(error) => vec![refused(&error, config)],
    }
}

fn refused(error: &NetError, config: &Config) -> Finding {
    let next = match error.advice() {
        Advice::ClockOrCertificate => "compare this host's clock with a good one".to_owned(),
        Advice::Untrusted if config.other_server => "give the server's CA file with --ca".to_owned(),
        Advice::Untrusted => {
            "something between this host and the service answers in its place: check the proxy".to_owned()
        }
        Advice::Configuration => "check --proxy: host, port, user and password".to_owned(),
        _ if config.other_server => "check that the server runs and that --server is its chat URL".to_owned(),
        _ => "check the firewall and the proxy; try again in some minutes".to_owned(),
    };
    Finding::bad("connect", error.to_string(), next)
}

/// Compares this host's clock with the server's header `Date`.
fn time(date: Option<&str>, now: i64) -> Finding {
    let server = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let server = server.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let Some(server) = server.and_then(|since| i64::try_from(since.as_secs()).ok()) else {
        return Finding::note("clock", "the server named no time, so the clock was not compared");
    };
    let off = now - server;
    if off.abs() <= CLOCK_SECONDS {
        return Finding::good("clock", format!("{off} s from the server's"));
    }
    Finding::bad("clock", format!("{off} s from the server's"), "set this host's clock (NTP)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_said_to_be() {
        let date = "Tue, 24 Nov 2026 23:00:00 GMT";
        let at = 1_795_561_200;
        assert_eq!(time(Some(date), at).verdict, Verdict::Good);
        assert_eq!(time(Some(date), at + 3600).verdict, Verdict::Bad);
        assert_eq!(time(None, at).verdict, Verdict::Note);
        assert_eq!(time(Some("yesterday"), at).verdict, Verdict::Note);
    }
}
