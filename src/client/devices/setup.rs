//! Sessions with devices that have none: prekey fetch, checks, X3DH (protocol 05a §5).

use crate::client::devices::bundle;
use crate::client::devices::own::Own;
use crate::client::devices::{Devices, DevicesError, address, identity, session};
use crate::client::line::IqError;
use crate::clock::UnixMillis;
use crate::crypto::PublicKey;
use crate::stanza::keys::Bundle;
use crate::stanza::prekeys::{self, NoBundle};
use crate::store::{StoreError, Tx};
use crate::wire::Jid;
use rand_chacha::ChaCha20Rng;

/// Devices of one fetch.
const MAX_FETCH: usize = 500;

/// What became of a set-up.
#[derive(Debug, Clone, Default)]
pub(crate) struct SetUp {
    /// The server says that a device of these is no more: their users' lists are stale.
    pub(crate) gone: Vec<Jid>,
    /// The own phone has shown another identity.
    pub(crate) own_phone_changed: bool,
    /// Users whose phone has shown another identity.
    pub(crate) changed: Vec<Jid>,
}

impl Devices {
    /// Makes sure that there is a session with each device, as far as the server has keys for it.
    pub(crate) async fn sessions(&self, devices: &[Jid]) -> Result<SetUp, DevicesError> {
        self.set_up(devices, false).await
    }

    /// A new session with each device, whatever there is (a retry request, a device that was missed).
    pub(crate) async fn new_sessions(&self, devices: &[Jid]) -> Result<SetUp, DevicesError> {
        self.set_up(devices, true).await
    }

    async fn set_up(&self, devices: &[Jid], force: bool) -> Result<SetUp, DevicesError> {
        let ticket = self.ticket();
        let mut fetched = self.fetching.lock().await;
        let mut result = SetUp::default();
        let (devices, now) = (devices.to_vec(), self.clock.wall_ms());
        let mut wanted = self.store.write(move |tx| wanted(tx, &devices, force, now)).await?;
        // Somebody else may have made the new session meanwhile.
        wanted.retain(|device| !(force && fetched.since(&address::key(device), ticket)));
        for part in wanted.chunks(MAX_FETCH) {
            let began = self.ticket();
            self.fetch(part, &mut result).await?;
            fetched.note(part.iter().map(address::key), began);
        }
        Ok(result)
    }

    /// `named`: canonical addresses.
    async fn fetch(&self, named: &[Jid], result: &mut SetUp) -> Result<(), DevicesError> {
        let named = named.to_vec();
        let asked = named.clone();
        let is_new = self.store.read(move |tx| {
            asked.iter().map(|jid| identity::is_new(tx, jid)).collect::<Result<Vec<_>, StoreError>>()
        });
        let devices: Vec<(&Jid, bool)> = named.iter().zip(is_new.await?).collect();
        let answer = match self.line.ask(prekeys::fetch(devices)).await {
            Ok(answer) => answer,
            Err(IqError::Refused { code: 406, .. }) => {
                result.gone.extend(named);
                let gone = result.gone.clone();
                return self.store.write(move |tx| drop_lists(tx, &gone)).await.map_err(Into::into);
            }
            Err(error) => return Err(error.into()),
        };
        let mut answers = prekeys::parse_fetched(&answer).unwrap_or_default();
        // Phones first: their keys vouch for companions.
        answers.sort_by_key(|(jid, _)| jid.device() != 0);
        let (now, mut rng) = (self.clock.wall_ms(), self.chance.fork());
        let done: SetUp = self
            .store
            .write(move |tx| {
                let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
                let mut done = SetUp::default();
                for (jid, answer) in answers.into_iter().filter(|(jid, _)| named.contains(jid)) {
                    match answer {
                        Ok(keys) => match install(tx, &own, &jid, &keys, now, &mut rng)? {
                            Installed::Yes { changed } => {
                                identity::note_new(tx, &jid, false)?;
                                done.changed.extend(changed.then(|| jid.to_user()));
                            }
                            Installed::No => tracing::warn!("the keys of a device were not taken"),
                            Installed::OwnPhoneChanged => done.own_phone_changed = true,
                        },
                        Err(NoBundle::Refused(error)) if error.code == 406 => done.gone.push(jid),
                        Err(error) => tracing::warn!(%error, "no keys for a device"),
                    }
                }
                drop_lists(tx, &done.gone)?;
                Ok::<_, DevicesError>(done)
            })
            .await?;
        if done.own_phone_changed {
            self.line.own_phone_changed();
        }
        result.gone.extend(done.gone);
        result.changed.extend(done.changed);
        result.own_phone_changed |= done.own_phone_changed;
        Ok(())
    }
}

/// The canonical addresses of the devices that need a session, each once.
fn wanted(tx: &mut Tx<'_>, devices: &[Jid], all: bool, now: UnixMillis) -> Result<Vec<Jid>, StoreError> {
    let mut wanted: Vec<Jid> = Vec::new();
    for jid in devices {
        let canonical = address::canonical(tx, jid)?;
        let needed = all || !session::can_send(tx, &address::key(&canonical), now)?;
        if needed && !wanted.contains(&canonical) {
            wanted.push(canonical);
        }
    }
    Ok(wanted)
}

fn drop_lists(tx: &mut Tx<'_>, devices: &[Jid]) -> Result<(), StoreError> {
    for jid in devices {
        tx.delete_device_list(&jid.to_user().to_string())?;
    }
    Ok(())
}

/// What installing a bundle came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Installed {
    Yes {
        /// It is a phone, and it had another identity before.
        changed: bool,
    },
    /// Nobody vouches for the companion, or its keys are our own.
    No,
    OwnPhoneChanged,
}

/// Checks who vouches for the keys, makes the session, applies the identity policy. `jid` is canonical.
pub(crate) fn install(
    tx: &mut Tx<'_>,
    own: &Own,
    jid: &Jid,
    keys: &Bundle,
    now: UnixMillis,
    rng: &mut ChaCha20Rng,
) -> Result<Installed, StoreError> {
    let Ok(bundle) = bundle::checked(keys) else { return Ok(Installed::No) };
    let identity = *bundle.identity();
    if jid.device() != 0
        && identity::stored(tx, jid)? != Some(identity.0)
        && !bundle::is_vouched(keys, phone_of(tx, jid)?.as_ref())
    {
        return Ok(Installed::No);
    }
    let seen = identity::saw(tx, own, jid, &identity, bundle.registration_id(), now)?;
    if seen == identity::Seen::OwnPhoneChanged {
        return Ok(Installed::OwnPhoneChanged);
    }
    match session::install(tx, own, &address::key(jid), &bundle, now, rng)? {
        Ok(()) => Ok(Installed::Yes { changed: jid.device() == 0 && seen == identity::Seen::Changed }),
        Err(_) => Ok(Installed::No),
    }
}

/// The identity of the phone of a device's user.
pub(crate) fn phone_of(tx: &Tx<'_>, jid: &Jid) -> Result<Option<PublicKey>, StoreError> {
    identity::stored(tx, &address::canonical(tx, &jid.to_user())?)
}
