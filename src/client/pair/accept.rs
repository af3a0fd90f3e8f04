//! Pair-success: verification, the one transaction, the reply (protocol 02 §5). Pure but for the transaction.

use prost::Message as _;

use crate::client::config::PairCandidate;
use crate::crypto::{KeyPair, PublicKey, random_bytes};
use crate::proto::ClientPairingProps;
use crate::signal::Address;
use crate::signal::adv::{self, AdvSecret, companion};
use crate::stanza::pair::PairSuccess;
use crate::store::{Flag, Link, StoreError, Tx, UnixMillis};
use crate::wire::Jid;

use rand_core::CryptoRng;

/// Why a pair-success was refused: what the server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub code: u32,
    pub text: &'static str,
    /// More for the person.
    pub detail: String,
}

impl Refused {
    pub fn internal(detail: impl Into<String>) -> Self {
        Self { code: 500, text: "internal-error", detail: detail.into() }
    }
}

impl From<adv::AdvError> for Refused {
    fn from(error: adv::AdvError) -> Self {
        Self { code: u32::from(error.code()), text: error.text(), detail: error.to_string() }
    }
}

/// A pair-success that passed every check: what is stored, what is answered.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub jid: Jid,
    pub lid: Option<Jid>,
    pub platform: String,
    pub business: Option<String>,
    pub account_key: PublicKey,
    pub key_index: u32,
    /// For the store: all four fields.
    pub account: Vec<u8>,
    /// For the reply: without the account's key.
    pub reply: Vec<u8>,
    lid_migrated: bool,
}

/// Steps 1 to 6.
pub(crate) fn verify<R: CryptoRng + ?Sized>(
    told: &PairSuccess,
    secret: &AdvSecret,
    identity: &KeyPair,
    expected: Option<&PublicKey>,
    veto: impl FnOnce(&PairCandidate) -> Result<(), String>,
    rng: &mut R,
) -> Result<Accepted, Refused> {
    let container = told.container.as_deref().ok_or_else(|| Refused::internal("no device identity"))?;
    let jid = told.jid.clone().filter(|jid| jid.is_pn() && jid.device() > 0);
    let jid = jid.ok_or_else(|| Refused::internal("no device address"))?;
    let verified = companion::verify(container, secret, identity.public(), expected)?;
    let candidate =
        PairCandidate { jid: jid.clone(), platform: told.platform.clone(), business: told.business.clone() };
    veto(&candidate).map_err(Refused::internal)?;
    let linked = verified.sign(identity, &random_bytes(rng));
    let props = told.client_props.as_deref().and_then(|bytes| ClientPairingProps::decode(bytes).ok());
    Ok(Accepted {
        jid,
        lid: told.lid.clone().filter(Jid::is_lid),
        platform: told.platform.clone().unwrap_or_default(),
        business: told.business.clone(),
        account_key: verified.account_key,
        key_index: verified.details.key_index,
        account: linked.account,
        reply: linked.reply,
        lid_migrated: props.and_then(|props| props.is_chat_db_lid_migrated).unwrap_or(false),
    })
}

impl Accepted {
    /// Step 7. The caller's transaction is all or nothing.
    pub fn store(&self, tx: &mut Tx<'_>, now: UnixMillis) -> Result<(), StoreError> {
        if tx.link()?.is_some() {
            return Err(StoreError::Refused("the account is linked already"));
        }
        tx.set_link(Some(&Link {
            pn: self.jid.to_string(),
            lid: self.lid.as_ref().map(Jid::to_string),
            account: self.account.clone(),
            key_index: self.key_index,
            platform: self.platform.clone(),
            business_name: self.business.clone(),
            lid_migrated: self.lid_migrated,
            linked_at: now,
        }))?;
        if let Some(name) = &self.business {
            tx.set_push_name(name)?;
        }
        let pn = self.jid.to_user();
        if let Some(lid) = &self.lid {
            tx.put_mapping(&pn.to_string(), &lid.to_user().to_string())?;
        }
        // The phone's identity is the account key.
        tx.save_identity(&self.phone_address(), self.account_key.as_bytes(), now)?;
        tx.set_login(&crate::store::Login::default())?;
        tx.set_flag(Flag::ServerHasNoPrekeys, true)?;
        tx.set_flag(Flag::InitialSyncNeeded, true)?;
        tx.set_adv_secret(None)
    }

    /// Undoes step 7, where the reply could not be sent: the link, what was learned of the phone, and the event that
    /// told of it.
    pub fn undo(&self, tx: &mut Tx<'_>, event_id: &str) -> Result<(), StoreError> {
        tx.set_link(None)?;
        // The same link may come about later, and is then to be told.
        tx.withdraw_event(event_id)?;
        if self.business.is_some() {
            tx.forget_push_name()?;
        }
        if let Some(lid) = &self.lid {
            tx.delete_mapping(&self.jid.to_user().to_string(), &lid.to_user().to_string())?;
        }
        tx.delete_identity(&self.phone_address())?;
        tx.set_flag(Flag::ServerHasNoPrekeys, false)?;
        tx.set_flag(Flag::InitialSyncNeeded, false)
    }

    /// Where the phone's identity is kept: under its LID, else under its number.
    fn phone_address(&self) -> String {
        let user = self.lid.as_ref().map_or_else(|| self.jid.to_user(), Jid::to_user);
        Address::new(user.signal_name(), 0).to_string()
    }
}
