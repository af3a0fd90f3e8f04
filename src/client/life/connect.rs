//! Dial and handshake (protocol 01 §2, §5, §6), for a login or a registration.

use std::sync::Arc;

use super::end::End;
use super::restore;
use crate::client::context::Context;
use crate::client::net::{self, Addresses, CachedChain, Established, Handshake, NetError};
use crate::client::pair::keys::{self, OwnKeys, Registering};
use crate::client::payload::{self, Login, Registration};
use crate::client::profile::DeviceProfile;
use crate::crypto::PublicKey;
use crate::noise::{CertChain, Certificate};
use crate::store::{CachedCert, Flag, ServerChain, StoreError, Tx};
use crate::wire::Jid;

/// Fewer unused one-time prekeys than this are uploaded before the queue (01 §14.1).
pub(crate) const PREKEYS_MIN: u64 = 5;

/// What one account remembers between its dials.
#[derive(Debug, Default)]
pub(crate) struct Way {
    addresses: Addresses,
    memory: net::Memory,
}

/// A login's connection after its handshake.
pub(crate) struct LoggingIn {
    pub established: Established,
    pub passive: bool,
}

/// What a login reads of the store.
struct Credentials {
    keys: OwnKeys,
    profile: DeviceProfile,
    pn: Jid,
    counter: i32,
    passive: bool,
    routing: Option<Vec<u8>>,
    chain: Option<CertChain>,
}

impl Way {
    /// Connects with the login payload; the login counter has moved on when this returns a connection.
    pub async fn log_in(&mut self, ctx: &Context) -> Result<LoggingIn, End> {
        if ctx.store.read(|tx| tx.flag(Flag::Restored)).await.map_err(store)? {
            let (now, mut rng) = (ctx.clock.wall_ms(), ctx.chance.fork());
            ctx.store.write(move |tx| restore::settle(tx, now, &mut rng)).await.map_err(store)?;
        }
        let credentials = ctx.store.read(credentials).await.map_err(store)?;
        let username =
            credentials.pn.user().parse().map_err(|_| End::GaveUp("the own number is no number"))?;
        let payload = payload::login(
            ctx.config.version.get(),
            &credentials.profile,
            &Login {
                username,
                device: u32::from(credentials.pn.device()),
                passive: credentials.passive,
                counter: credentials.counter,
            },
        );
        let now = ctx.clock.wall_s();
        let how = Handshake {
            noise: &credentials.keys.noise,
            payload: &payload,
            routing: credentials.routing.as_deref(),
            server_static: self.memory.choose(true, credentials.chain.as_ref(), now),
            root: ctx.config.endpoint.root,
        };
        let outcome = self.connect(ctx, &how).await;
        let cache = self.memory.note(true, outcome.as_ref());
        let connected = outcome.is_ok();
        ctx.store.write(move |tx| after_handshake(tx, cache, connected)).await.map_err(store)?;
        Ok(LoggingIn { established: outcome.map_err(End::Net)?, passive: credentials.passive })
    }

    /// Connects with the registration payload; keys and profile are made if there are none.
    pub async fn register(&mut self, ctx: &Context) -> Result<(Established, Arc<Registering>), End> {
        let (mut rng, now) = (ctx.chance.fork(), ctx.clock.wall_ms());
        let own = ctx.store.write(move |tx| keys::ensure(tx, now, &mut rng)).await.map_err(store)?;
        let (id, key, signature) = &own.signed_prekey;
        let payload = payload::register(
            ctx.config.version.get(),
            &own.profile,
            &Registration {
                registration_id: own.keys.registration_id,
                identity: own.keys.identity.public(),
                signed_prekey: (*id, key, signature),
            },
        );
        let how = Handshake {
            noise: &own.keys.noise,
            payload: &payload,
            routing: None,
            server_static: None,
            root: ctx.config.endpoint.root,
        };
        let established = self.connect(ctx, &how).await.map_err(End::Net)?;
        Ok((established, Arc::new(own)))
    }

    async fn connect(&mut self, ctx: &Context, how: &Handshake<'_>) -> Result<Established, NetError> {
        let endpoint = &ctx.config.endpoint;
        let mut rng = ctx.chance.fork();
        let address = self.addresses.next(endpoint);
        let dialer = &*ctx.config.egress;
        let socket = match net::open(dialer, endpoint, address, how.routing, &ctx.clock, &mut rng).await {
            Ok(socket) => socket,
            Err(error) => {
                self.addresses.failed();
                return Err(error);
            }
        };
        net::handshake(socket, how, &ctx.clock, &mut rng).await
    }
}

fn store(error: StoreError) -> End {
    End::Store(error.to_string())
}

fn credentials(tx: &Tx<'_>) -> Result<Credentials, StoreError> {
    let missing = StoreError::Refused("the account is not linked");
    let (Some(keys), Some(link)) = (tx.keys()?, tx.link()?) else { return Err(missing) };
    let pn: Jid = link.pn.parse().map_err(|_| StoreError::Refused("the own address can't be read"))?;
    let profile = tx.profile()?.as_ref().and_then(DeviceProfile::from_record);
    Ok(Credentials {
        keys: OwnKeys::from_record(&keys),
        profile: profile.ok_or(StoreError::Refused("the device profile can't be read"))?,
        pn,
        counter: i32::try_from(tx.login()?.counter).unwrap_or(0),
        passive: work_is_due(tx)?,
        routing: tx.routing()?,
        chain: tx.server_chain()?.map(|chain| CertChain {
            leaf: certificate(&chain.leaf),
            intermediate: certificate(&chain.intermediate),
        }),
    })
}

/// Whether something has to be done before the queue comes (01 §14.1).
pub(crate) fn work_is_due(tx: &Tx<'_>) -> Result<bool, StoreError> {
    Ok(tx.flag(Flag::ServerHasNoPrekeys)?
        || tx.prekey_count()? < PREKEYS_MIN
        || tx.props()?.is_none()
        || tx.owed_receipt_count()? > 0)
}

fn after_handshake(tx: &mut Tx<'_>, cache: CachedChain, connected: bool) -> Result<(), StoreError> {
    match cache {
        CachedChain::Keep => {}
        CachedChain::Delete => tx.set_server_chain(None)?,
        CachedChain::Store(chain) => tx.set_server_chain(Some(&ServerChain {
            leaf: cached(&chain.leaf),
            intermediate: cached(&chain.intermediate),
        }))?,
    }
    if connected { tx.advance_login_counter() } else { Ok(()) }
}

fn cached(certificate: &Certificate) -> CachedCert {
    CachedCert {
        key: *certificate.key.as_bytes(),
        not_before: i64::try_from(certificate.not_before).unwrap_or(i64::MAX),
        not_after: i64::try_from(certificate.not_after).unwrap_or(i64::MAX),
    }
}

/// Serial numbers are not cached: they played their part when the chain was verified.
fn certificate(cached: &CachedCert) -> Certificate {
    Certificate {
        serial: 0,
        issuer_serial: 0,
        key: PublicKey(cached.key),
        not_before: u64::try_from(cached.not_before).unwrap_or(0),
        not_after: u64::try_from(cached.not_after).unwrap_or(0),
    }
}
