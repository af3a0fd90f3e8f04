//! Contact tokens: the one we hold, or a computed one, goes beside our messages, and one of ours lets the contact reach us
//! (protocol 05a §13, 05d §6).

use prost::Message as _;

use crate::client::devices::address;
use crate::client::devices::own::Own;
use crate::client::line::Line;
use crate::client::messaging::Messaging;
use crate::client::properties::{Properties, Property};
use crate::client::send::settle;
use crate::proto::Message;
use crate::stanza::contact_token::{self, Buckets, cstoken};
use crate::stanza::outgoing::ContactToken;
use crate::store::{ContactToken as Stored, Outgoing, StoreError, Tx};
use crate::wire::Jid;

/// Contacts that are looked at in one step.
const PAGE: usize = 256;

fn buckets(said: &Properties, duration: Property, count: Property) -> Buckets {
    Buckets::new(said.number(duration).unwrap_or(604_800), said.number(count).unwrap_or(4))
}

/// The buckets of the tokens that we got.
fn received(said: &Properties) -> Buckets {
    buckets(said, Property::ReceivedBucket, Property::ReceivedBuckets)
}

/// The buckets of the tokens that we gave.
fn given(said: &Properties) -> Buckets {
    buckets(said, Property::IssuedBucket, Property::IssuedBuckets)
}

fn unsigned(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0)
}

/// The name under which a contact's tokens stand: the LID where it is known.
pub(crate) fn name(tx: &Tx<'_>, contact: &Jid) -> Result<String, StoreError> {
    Ok(address::canonical(tx, &contact.to_user())?.to_user().to_string())
}

/// Tokens are between us and regular users: not ourselves, not the service, not bots.
fn is_regular(own: &Own, contact: &Jid) -> bool {
    contact.is_user() && !contact.is_bot() && !own.is_own(contact) && contact.user() != "0"
}

/// The token that we hold from a contact, while it is good.
fn held(tx: &Tx<'_>, said: &Properties, name: &str, server_s: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let stored = tx.contact_token(name)?;
    let expired = received(said).is_expired(unsigned(server_s), stored.t.map(unsigned));
    Ok(stored.token.filter(|_| !expired))
}

/// Whether a contact lets us through what closes other chats (05d §9.2): we hold its token, and that is good.
pub(crate) fn is_held(tx: &Tx<'_>, contact: &Jid, server_s: i64) -> Result<bool, StoreError> {
    Ok(held(tx, &Properties::load(tx)?, &name(tx, contact)?, server_s)?.is_some())
}

/// What goes beside a message to a contact: its token while it is good, else a computed one where the server wants that.
pub(crate) fn beside(
    tx: &Tx<'_>,
    own: &Own,
    contact: &Jid,
    server_s: i64,
) -> Result<Option<ContactToken>, StoreError> {
    if !is_regular(own, contact) {
        return Ok(None);
    }
    let said = Properties::load(tx)?;
    let name = name(tx, contact)?;
    if let Some(token) = held(tx, &said, &name, server_s)? {
        return Ok(Some(ContactToken::Trusted(token)));
    }
    let lid = name.parse::<Jid>().ok().filter(Jid::is_lid);
    match (said.is_on(Property::ComputedTokens), tx.nct_salt()?, lid) {
        (true, Some(salt), Some(lid)) => Ok(Some(ContactToken::Computed(cstoken(salt.expose(), &lid)))),
        _ => Ok(None),
    }
}

/// Whether a token goes out with this message: not with protocol messages, and not twice in a bucket.
pub(crate) fn offers(tx: &Tx<'_>, row: &Outgoing, server_s: i64) -> Result<bool, StoreError> {
    let message = Message::decode(row.plaintext.expose()).unwrap_or_default();
    let (Some(own), Some(chat)) = (Own::load(tx)?, settle::chat_of(row)) else { return Ok(false) };
    Ok(message.protocol_message.is_none() && due(tx, &own, &chat, Issue::Fresh, server_s)?.is_some())
}

/// Why a token is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Issue {
    /// One of this bucket, if none was issued in it.
    Fresh,
    /// The contact's identity has changed: the one that it had, with its old time, if that is not expired.
    Again,
}

/// To which address, and with which time a token is to be issued now; `None`: not due, or the address is not known.
fn due(
    tx: &Tx<'_>,
    own: &Own,
    contact: &Jid,
    issue: Issue,
    server_s: i64,
) -> Result<Option<(Jid, i64)>, StoreError> {
    if !is_regular(own, contact) {
        return Ok(None);
    }
    let said = Properties::load(tx)?;
    let issued = tx.contact_token(&name(tx, contact)?)?.issued_t;
    let (buckets, now) = (given(&said), unsigned(server_s));
    let t = match (issue, issued) {
        (Issue::Fresh, issued) => buckets.is_due(now, issued.map(unsigned)).then_some(server_s),
        (Issue::Again, issued) => issued.filter(|t| !buckets.is_expired(now, Some(unsigned(*t)))),
    };
    let Some(t) = t else { return Ok(None) };
    let (contact, by_lid) = (contact.to_user(), said.is_on(Property::IssueToLid));
    let fits = if by_lid { contact.is_lid() } else { contact.is_pn() };
    let address = if fits { Some(contact) } else { address::other_form(tx, &contact)? };
    Ok(address.map(|address| (address, t)))
}

/// The contact's identity has changed: the token that we gave it is owed again, also after a crash. Whether there is one.
pub(crate) fn owe_again(tx: &mut Tx<'_>, contact: &Jid) -> Result<bool, StoreError> {
    let name = name(tx, contact)?;
    let stored = tx.contact_token(&name)?;
    if stored.issued_t.is_none() {
        return Ok(false);
    }
    tx.put_contact_token(&name, &Stored { reissue: true, ..stored })?;
    Ok(true)
}

/// The contact's number and hidden id are one: so are its tokens. The younger ones count.
pub(crate) fn join(tx: &mut Tx<'_>, pn: &Jid, lid: &Jid) -> Result<(), StoreError> {
    let (from, to) = (pn.to_string(), lid.to_string());
    let (old, kept) = (tx.contact_token(&from)?, tx.contact_token(&to)?);
    if old == Stored::default() {
        return Ok(());
    }
    let (token, t) = if old.t > kept.t { (old.token, old.t) } else { (kept.token, kept.t) };
    let issued_t = old.issued_t.max(kept.issued_t);
    let joined = Stored { token, t, issued_t, reissue: old.reissue || kept.reissue };
    tx.put_contact_token(&to, &joined)?;
    tx.put_contact_token(&from, &Stored::default())
}

/// Drops what is expired on either side.
pub(crate) fn prune(tx: &mut Tx<'_>, server_s: i64) -> Result<(), StoreError> {
    let (said, now) = (Properties::load(tx)?, unsigned(server_s));
    let mut after: Option<String> = None;
    loop {
        let names = tx.contacts_with_tokens(after.as_deref(), PAGE)?;
        let Some(last) = names.last() else { return Ok(()) };
        after = Some(last.clone());
        for name in names {
            let stored = tx.contact_token(&name)?;
            let mut kept = stored.clone();
            if received(&said).is_expired(now, stored.t.map(unsigned)) {
                (kept.token, kept.t) = (None, None);
            }
            if given(&said).is_expired(now, stored.issued_t.map(unsigned)) {
                (kept.issued_t, kept.reissue) = (None, false);
            }
            if kept != stored {
                tx.put_contact_token(&name, &kept)?;
            }
        }
    }
}

impl Messaging {
    /// Gives a contact a token of ours; one question at a time for each contact.
    pub(crate) async fn issue_token(&self, contact: Jid, issue: Issue) -> Result<(), StoreError> {
        let asked = contact.clone();
        let contact = self.ctx.store.read(move |tx| name(tx, &asked)).await?;
        let Ok(contact) = contact.parse::<Jid>() else { return Ok(()) };
        let Some(_alone) = self.issuing.begin(contact.to_string()) else { return Ok(()) };
        let (asked, server_s) = (contact.clone(), self.ctx.server_ms() / 1000);
        let due = self
            .ctx
            .store
            .read(move |tx| match Own::load(tx)? {
                Some(own) => due(tx, &own, &asked, issue, server_s),
                None => Ok(None),
            })
            .await?;
        let issued = match due {
            // Nothing to give: what was owed is settled.
            None if issue == Issue::Fresh => return Ok(()),
            None => None,
            Some((address, t)) => {
                let question = contact_token::issue(&address, unsigned(t));
                if let Err(error) = Line::ask(&*self.ctx, question).await {
                    tracing::info!(%error, "a contact token was not issued");
                    return Ok(());
                }
                Some(t)
            }
        };
        self.ctx
            .store
            .write(move |tx| {
                let name = name(tx, &contact)?;
                let stored = tx.contact_token(&name)?;
                let issued_t = issued.or(stored.issued_t);
                tx.put_contact_token(&name, &Stored { issued_t, reissue: false, ..stored })
            })
            .await
    }

    /// Tokens that were owed again when the process before this one ended.
    pub(crate) async fn issue_owed_tokens(&self) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let begin = after.clone();
            let names =
                self.ctx.store.read(move |tx| tx.contacts_with_tokens(begin.as_deref(), PAGE)).await?;
            let Some(last) = names.last() else { return Ok(()) };
            after = Some(last.clone());
            for name in names {
                let asked = name.clone();
                let owed = self.ctx.store.read(move |tx| tx.contact_token(&asked)).await?.reissue;
                if let (true, Ok(contact)) = (owed, name.parse()) {
                    self.issue_token(contact, Issue::Again).await?;
                }
            }
        }
    }
}
