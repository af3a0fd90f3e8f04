//! What the messaging half knows of its own account: addresses, identity key, signed device identity.

use crate::crypto::{KeyPair, PublicKey};
use crate::signal::Local;
use crate::store::account::KeyPairBytes;
use crate::store::{StoreError, Tx};
use crate::wire::Jid;

/// The own account, as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    /// Own address with device, phone-number form.
    pub(crate) pn: Jid,
    /// Own address with device, LID form.
    pub(crate) lid: Option<Jid>,
    pub(crate) identity: KeyPair,
    pub(crate) registration_id: u32,
    /// The serialized `ADVSignedDeviceIdentity`, which goes beside every `pkmsg`.
    pub(crate) account: Vec<u8>,
    /// The phone said that 1:1 chats are LID-addressed.
    pub(crate) migrated: bool,
}

/// A key pair as the store has it.
pub(crate) fn pair(keys: &KeyPairBytes) -> KeyPair {
    KeyPair::from_stored(keys.private.expose(), PublicKey(keys.public))
}

impl Own {
    /// Reads it; `None` while the account is not linked.
    pub(crate) fn load(tx: &Tx<'_>) -> Result<Option<Self>, StoreError> {
        let (Some(keys), Some(link)) = (tx.keys()?, tx.link()?) else { return Ok(None) };
        let Ok(pn) = link.pn.parse::<Jid>() else { return Ok(None) };
        Ok(Some(Self {
            pn,
            lid: link.lid.and_then(|lid| lid.parse().ok()),
            identity: pair(&keys.identity),
            registration_id: keys.registration_id,
            account: link.account,
            migrated: link.lid_migrated,
        }))
    }

    /// For the Signal layer.
    pub(crate) fn local(&self) -> Local<'_> {
        Local { identity: &self.identity, registration_id: self.registration_id }
    }

    /// Whether an address is one of the own account, any device.
    pub(crate) fn is_own(&self, jid: &Jid) -> bool {
        self.pn.same_user(jid) || self.lid.as_ref().is_some_and(|lid| lid.same_user(jid))
    }

    /// Whether an address is this very device.
    pub(crate) fn is_this_device(&self, jid: &Jid) -> bool {
        self.is_own(jid) && jid.device() == self.pn.device()
    }

    /// The own address in the namespace of `chat`, with device.
    pub(crate) fn in_namespace_of(&self, chat: &Jid) -> &Jid {
        match &self.lid {
            Some(lid) if is_lid_family(chat) => lid,
            _ => &self.pn,
        }
    }
}

/// Whether an address is of the LID family, hosted ones included.
pub(crate) fn is_lid_family(jid: &Jid) -> bool {
    jid.to_user().is_lid()
}

/// Whether an address is of the phone-number family, hosted ones included.
pub(crate) fn is_pn_family(jid: &Jid) -> bool {
    jid.to_user().is_pn()
}
