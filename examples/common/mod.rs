//! Opening an account's client, for all examples: the store in `./palomar-data`, the production service, or the one
//! that `PALOMAR_SERVER` and `PALOMAR_ROOT_KEY` name (a simulator, for instance).

use std::error::Error;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use palomar::client::net::{Egress, Endpoint, Tcp, Tls};
use palomar::client::{Client, Config};
use palomar::crypto::PublicKey;
use palomar::store::sqlite::{Options, SqliteAccounts, Writers};
use palomar::store::{AccountId, Accounts, DataDir, StoreError};

/// What an example's `main` gives back.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Opens the account `id`, and makes it if there is none.
pub async fn open(id: &str) -> Outcome<Client> {
    let id: AccountId = id.parse()?;
    let writers = Arc::new(Writers::new()?);
    let accounts = SqliteAccounts::new(DataDir::new("palomar-data"), writers, Options::default())?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let store = match accounts.open(&id, now) {
        Err(StoreError::NoAccount(_)) => accounts.create(&id, now)?,
        opened => opened?,
    };
    let config = Config::new(endpoint()?, Egress::Direct.dialer(Arc::new(Tcp)));
    Ok(Client::open(store, config).await?)
}

fn endpoint() -> Outcome<Endpoint> {
    let Ok(url) = std::env::var("PALOMAR_SERVER") else { return Ok(Endpoint::production(None)?) };
    let root = hex::decode(std::env::var("PALOMAR_ROOT_KEY")?)?;
    let root = PublicKey::from_slice(&root).ok_or("PALOMAR_ROOT_KEY is not 32 bytes in hex")?;
    Ok(Endpoint::at(url.parse()?, root, Tls::new(None)?))
}
