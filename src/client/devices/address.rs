//! Which Signal address stands for a device: the LID form where the mapping is known (protocol 04 §11.3).

use crate::client::devices::own::is_pn_family;
use crate::signal::Address;
use crate::store::{StoreError, Tx};
use crate::wire::{Jid, Server};

/// The text key of a device's session, identity and sender keys in the store.
pub(crate) fn key(jid: &Jid) -> String {
    Address::new(jid.signal_name(), jid.device()).to_string()
}

/// What all keys of a user's devices in one namespace begin with.
pub(crate) fn prefix(user: &Jid) -> String {
    format!("{}.", user.signal_name())
}

/// The device number at the end of a key.
pub(crate) fn device_of(key: &str) -> Option<u16> {
    key.rsplit_once('.')?.1.parse().ok()
}

/// The canonical form of a device's address: LID if mapped, else as given.
pub(crate) fn canonical(tx: &Tx<'_>, jid: &Jid) -> Result<Jid, StoreError> {
    if !is_pn_family(jid) {
        return Ok(jid.clone());
    }
    let lid = tx.lid_of(&jid.to_user().to_string())?.and_then(|lid| lid.parse::<Jid>().ok());
    Ok(lid.map_or_else(|| jid.clone(), |lid| in_server_like(jid, &lid).with_device(jid.device())))
}

/// The other namespace's form of a device, where the mapping is known.
pub(crate) fn other_form(tx: &Tx<'_>, jid: &Jid) -> Result<Option<Jid>, StoreError> {
    let user = jid.to_user();
    let other = if is_pn_family(jid) { tx.lid_of(&user.to_string())? } else { tx.pn_of(&user.to_string())? };
    let other = other.and_then(|other| other.parse::<Jid>().ok());
    Ok(other.map(|other| in_server_like(jid, &other).with_device(jid.device())))
}

/// Both user addresses of a user: as given, and the other one where known.
pub(crate) fn both(tx: &Tx<'_>, user: &Jid) -> Result<Vec<Jid>, StoreError> {
    let mut forms = vec![user.to_user()];
    forms.extend(other_form(tx, &user.to_user())?);
    Ok(forms)
}

/// `user` on the hosted server of its family if `like` is hosted.
fn in_server_like(like: &Jid, user: &Jid) -> Jid {
    let server = match user.server() {
        Server::Pn if like.is_hosted() => Server::Hosted,
        Server::Lid if like.is_hosted() => Server::HostedLid,
        _ => return user.clone(),
    };
    Jid::new(user.user(), server).unwrap_or_else(|_| user.clone())
}
