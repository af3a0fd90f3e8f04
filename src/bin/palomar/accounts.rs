//! `accounts`: the accounts there are and how they stand. And opening them, for the other commands.

use std::sync::Arc;
use std::time::Duration;

use palomar::clock::Clock;
use palomar::store::sqlite::{SqliteAccounts, Writers};
use palomar::store::{AccountId, Accounts, Store, StoreError, Tx};
use serde_json::{Value, json};

use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};

/// How long a command waits for its accounts to be closed cleanly.
const SETTLE: Duration = Duration::from_secs(5);

/// The accounts of the configured data folder.
pub fn folder(config: &Config) -> Result<Folder, Failure> {
    let accounts = SqliteAccounts::new(config.data.clone(), Arc::new(Writers::new()?), config.store.clone())?;
    Ok(Folder(Arc::new(accounts)))
}

/// As [`folder`], where only what is there already matters: nothing is made, and `None` says that there is no data folder.
pub fn existing(config: &Config) -> Result<Option<Folder>, Failure> {
    if config.data.root().exists() { folder(config).map(Some) } else { Ok(None) }
}

/// The store of an account that must be there already.
pub fn open(config: &Config, id: &AccountId) -> Result<(Folder, Store), Failure> {
    let folder = existing(config)?.ok_or_else(|| Failure::from(StoreError::NoAccount(id.to_string())))?;
    let store = folder.open(id, Clock::system().wall_ms())?;
    Ok((folder, store))
}

/// The data folder while a command uses it; what the command opened is closed cleanly when it is dropped.
#[derive(Debug)]
pub struct Folder(pub Arc<SqliteAccounts>);

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.0.settle(SETTLE) {
            tracing::warn!("an account was not closed in time; nothing is lost");
        }
    }
}

impl std::ops::Deref for Folder {
    type Target = SqliteAccounts;
    fn deref(&self) -> &SqliteAccounts {
        &self.0
    }
}

/// How an account stands.
#[derive(Debug)]
struct Standing {
    state: &'static str,
    detail: Option<String>,
    pn: Option<String>,
    lid: Option<String>,
    profile: Option<String>,
    last_login: Option<i64>,
    waiting_events: u64,
    waiting_sends: u64,
}

impl Standing {
    fn unread(state: &'static str, detail: String) -> Self {
        Self {
            state,
            detail: Some(detail),
            pn: None,
            lid: None,
            profile: None,
            last_login: None,
            waiting_events: 0,
            waiting_sends: 0,
        }
    }

    fn read(tx: &Tx<'_>) -> Result<Self, StoreError> {
        let link = tx.link()?;
        let stop = tx.stop_state()?;
        let state = match (&link, &stop) {
            (_, Some(_)) => "stopped",
            (Some(_), None) => "linked",
            (None, None) => "not linked",
        };
        Ok(Self {
            state,
            detail: stop.map(|stop| format!("{}: {}", stop.kind, stop.detail)),
            lid: link.as_ref().and_then(|link| link.lid.clone()),
            pn: link.map(|link| link.pn),
            profile: tx.profile()?.map(|profile| profile.display_name),
            last_login: tx.login()?.last_success,
            waiting_events: tx.open_event_count()?,
            waiting_sends: tx.open_outgoing_count()?,
        })
    }

    fn value(&self, id: &AccountId) -> Value {
        json!({
            "id": id.as_str(), "state": self.state, "detail": self.detail, "pn": self.pn, "lid": self.lid,
            "device_profile": self.profile, "last_login_ms": self.last_login,
            "waiting_events": self.waiting_events, "waiting_sends": self.waiting_sends,
        })
    }

    fn row(&self, id: &AccountId) -> Vec<String> {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let state =
            self.detail.as_ref().map_or_else(|| self.state.to_owned(), |d| format!("{}: {d}", self.state));
        vec![
            id.to_string(),
            or_dash(&self.pn),
            or_dash(&self.profile),
            self.waiting_events.to_string(),
            self.waiting_sends.to_string(),
            state,
        ]
    }
}

/// Runs the command. An account that can't be opened is listed with the reason.
pub async fn run(config: &Config, output: Output) -> Result<(), Failure> {
    let folder = existing(config)?;
    let mut rows = Vec::new();
    let mut damaged = None;
    for (folder, id) in all(folder.as_ref())? {
        let standing = match stand(folder, &id).await {
            Ok(standing) => standing,
            Err(error @ StoreError::Held { .. }) => Standing::unread("in use", error.to_string()),
            Err(error) => {
                let standing = Standing::unread("can't be opened", error.to_string());
                damaged.get_or_insert_with(|| Failure::from(error));
                standing
            }
        };
        if output.is_json() {
            output.line("", &standing.value(&id));
        }
        rows.push(standing.row(&id));
    }
    if rows.is_empty() {
        output.text(format_args!(
            "no accounts in {} yet; `palomar link ID` makes one",
            config.data.root().display()
        ));
    } else {
        output.text(table(&["account", "number", "device", "events", "sends", "state"], &rows));
    }
    match damaged {
        Some(failure) if failure.exit == Exit::Store => Err(failure),
        _ => Ok(()),
    }
}

/// The accounts of a folder, if there is one.
fn all(folder: Option<&Folder>) -> Result<Vec<(&Folder, AccountId)>, Failure> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    Ok(folder.list()?.into_iter().map(|id| (folder, id)).collect())
}

async fn stand(folder: &Folder, id: &AccountId) -> Result<Standing, StoreError> {
    let store = folder.open(id, Clock::system().wall_ms())?;
    let standing = store.read(Standing::read).await;
    close(&store).await;
    standing
}

/// Closes a store; what can go wrong then loses nothing.
pub async fn close(store: &Store) {
    if let Err(error) = store.close().await {
        tracing::warn!(%error, "an account did not close cleanly");
    }
}
