//! The web client's version as data that is kept fresh (protocol 01 §13): how old one is, and what the service itself
//! says is current. None of it ever holds up a login.
//!
//! | file | subject |
//! |---|---|
//! | `age` | pure: the day a revision appeared |
//! | `discovery` | asking the service's web page |

mod age;
mod discovery;

use std::time::Duration;

pub use age::{OLD_DAYS, age};
pub use discovery::{Discovery, DiscoveryError, revision};

use crate::client::config::Config;
use crate::client::context::Context;
use crate::client::payload::ClientVersion;
use crate::clock::UnixMillis;
use crate::store::{Store, StoreError};

/// Where the store keeps what was discovered: the version, then when, in Unix milliseconds.
const FOUND: &str = "client_version";

/// An answer is used for so long.
const FRESH: UnixMillis = 24 * 60 * 60 * 1000;

/// After a failure.
const AGAIN: Duration = Duration::from_secs(3600);

/// What an earlier run discovered is taken into use.
pub(crate) async fn recall(store: &Store, config: &Config) -> Result<(), StoreError> {
    let found = store.read(|tx| tx.setting(FOUND)).await?;
    let found = found.and_then(|found| {
        let (version, at) = std::str::from_utf8(found.expose()).ok()?.split_once(' ')?;
        Some((version.parse().ok()?, at.parse().ok()?))
    });
    if let Some((version, at)) = found {
        config.version.refresh(version);
        config.version.note_checked(at);
    }
    Ok(())
}

/// Asks once a day where that is configured, and says when the version in use is old. Lives as long as the account is
/// open.
pub(crate) async fn keep_fresh(ctx: &Context) {
    loop {
        warn_if_old(ctx);
        let wait = if ctx.config.discovery.is_some() {
            let checked = ctx.config.version.checked_at();
            let now = ctx.clock.wall_ms();
            // Accounts of one process share the answer.
            let due = checked.filter(|at| *at <= now).map_or(0, |at| (at + FRESH - now).max(0));
            ctx.clock.sleep(Duration::from_millis(due.unsigned_abs())).await;
            if ctx.config.version.checked_at() != checked || discover(ctx).await { None } else { Some(AGAIN) }
        } else {
            Some(Duration::from_millis(FRESH.unsigned_abs()))
        };
        if let Some(wait) = wait {
            ctx.clock.sleep(wait).await;
        }
    }
}

/// Asks the service now. A newer version is in use from here on; `false` if there was no usable answer.
pub(crate) async fn discover(ctx: &Context) -> bool {
    let Some(discovery) = &ctx.config.discovery else { return false };
    let found = discovery::fetch(discovery, &ctx.config, &ctx.clock).await;
    let revision = match found {
        Ok(revision) => revision,
        Err(error) => {
            tracing::info!(%error, "the current client version was not found");
            return false;
        }
    };
    let ClientVersion([primary, secondary, _]) = ctx.config.version.get();
    let version = ClientVersion([primary, secondary, revision]);
    if ctx.config.version.refresh(version) {
        tracing::info!(%version, "a newer client version is in use");
    }
    let now = ctx.clock.wall_ms();
    ctx.config.version.note_checked(now);
    let found = format!("{} {now}", ctx.config.version.get());
    let kept = ctx.store.write(move |tx| tx.set_setting(FOUND, Some(found.as_bytes()))).await;
    if let Err(error) = kept {
        tracing::error!(%error, "the store failed");
    }
    true
}

/// Only the real service refuses old versions.
fn warn_if_old(ctx: &Context) {
    let version = ctx.config.version.get();
    let age = age(version, ctx.clock.wall_s());
    if age > OLD_DAYS && ctx.config.endpoint.is_service() {
        tracing::warn!(%version, age, "the client version is old: first it links no more, then it is refused");
    }
}

/// A sentence for a person whose link did not come about; empty while the version is young.
pub(crate) fn suspicion(ctx: &Context) -> String {
    let version = ctx.config.version.get();
    let age = age(version, ctx.clock.wall_s());
    if age > OLD_DAYS {
        format!("; client version {version} is {age} days old, which may be why: give a newer one")
    } else {
        String::new()
    }
}
