//! One account's client for one command: made or opened, connected, closed cleanly.

use std::path::Path;
use std::sync::Arc;

use palomar::client::net::Tcp;
use palomar::client::send::SendError;
use palomar::client::{self, Client, ClientError, DeviceProfile, LogOut, Stop};
use palomar::clock::Clock;
use palomar::crypto::os_rng;
use palomar::store::{AccountId, Accounts, Store, StoreError};

use crate::accounts::{Folder, close};
use crate::config::Config;
use crate::drift::Keeper;
use crate::exit::{Exit, Failure};
use crate::record;

/// An account's id as given.
pub fn id(text: &str) -> Result<AccountId, Failure> {
    Ok(AccountId::new(text)?)
}

/// Opens an account, or makes it with a device profile that no other account of the folder has.
pub async fn open_or_make(folder: &Folder, id: &AccountId) -> Result<Store, Failure> {
    match folder.open(id, Clock::system().wall_ms()) {
        Err(StoreError::NoAccount(_)) => {
            let taken = profiles(folder).await?;
            let store = folder.create(id, Clock::system().wall_ms())?;
            let profile = DeviceProfile::draw_unlike(&taken, &mut os_rng());
            store.write(move |tx| tx.set_profile(&profile.record())).await?;
            Ok(store)
        }
        other => Ok(other?),
    }
}

/// The device profiles of the accounts that can be opened now.
async fn profiles(folder: &Folder) -> Result<Vec<DeviceProfile>, Failure> {
    let mut profiles = Vec::new();
    for id in folder.list()? {
        match folder.open(&id, Clock::system().wall_ms()) {
            Ok(store) => {
                let profile = store.read(|tx| tx.profile()).await?;
                profiles.extend(profile.as_ref().and_then(DeviceProfile::from_record));
                close(&store).await;
            }
            // Another process has it: its profile can't be read, and a collision costs nothing but variety.
            Err(error) => tracing::info!(account = %id, %error, "its device profile is not known"),
        }
    }
    Ok(profiles)
}

/// Archives an account whose link is gone, and makes it anew with the same device profile.
pub async fn renew(folder: &Folder, id: &AccountId, store: Store) -> Result<(Store, String), Failure> {
    let profile = store.read(|tx| tx.profile()).await?;
    close(&store).await;
    drop(store);
    let now = Clock::system().wall_ms();
    let name = folder.archive(id, now)?;
    let store = folder.create(id, now)?;
    if let Some(profile) = profile {
        store.write(move |tx| tx.set_profile(&profile)).await?;
    }
    Ok((store, name))
}

/// A client on the configured service, for one command; what it counts is kept when it is dropped.
pub struct Session {
    client: Client,
    _keeper: Option<Keeper>,
}

impl std::ops::Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Session {
    /// Ends the client.
    pub async fn end(self) {
        if let Err(error) = self.client.close().await {
            tracing::debug!(%error, "closing the client");
        }
    }
}

/// Opens an account's client; its connections are recorded in `record`.
pub async fn client(store: Store, config: &Config, record: Option<&Path>) -> Result<Session, Failure> {
    let egress = config.egress.clone().dialer(Arc::new(Tcp));
    let keeper = Keeper::of(config);
    let config = client::Config {
        drift: keeper.as_ref().map(Keeper::counter),
        recorder: record.map(record::open).transpose()?,
        pacing: config.limits.pacing(),
        version: client::config::VersionCell::new(config.version),
        ..client::Config::new(config.endpoint.clone(), egress)
    };
    let client = Client::open(store, config).await?;
    Ok(Session { client, _keeper: keeper })
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Store(error) => error.into(),
            ClientError::NotLinked => {
                Self::new(Exit::Person, error.to_string()).next("run `palomar link ID`")
            }
            ClientError::Linked => Self::usage(error.to_string()),
            ClientError::Stopped(stop) => stopped(&stop),
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Store(error) => error.into(),
            SendError::NotLinked => Self::new(Exit::Person, error.to_string()).next("run `palomar link ID`"),
            SendError::BadRecipient(_) | SendError::BadContent | SendError::TooLateToEdit => {
                Self::usage(error.to_string())
            }
        }
    }
}

/// Why an account stands still, for the exit code and the person.
pub fn stopped(stop: &Stop) -> Failure {
    let exit = match stop {
        Stop::LoggedOut { .. } | Stop::ClientTooOld { .. } | Stop::BadUserAgent | Stop::TempBanned { .. } => {
            Exit::Refused
        }
        Stop::UnknownFailure { .. } => Exit::Refused,
        _ => Exit::Person,
    };
    let failure = Failure::new(exit, format!("the account is stopped: {stop}"));
    match stop {
        Stop::LoggedOut { reason: LogOut::DeviceRemoved } => {
            failure.next("it was removed on the phone; `palomar link ID` archives it and links it anew")
        }
        Stop::LoggedOut { .. } => failure.next("`palomar link ID` archives it and links it anew"),
        _ => failure,
    }
}
