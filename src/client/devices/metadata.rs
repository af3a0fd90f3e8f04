//! What messages say of device lists (`deviceListMetadata`, protocol 05a §7 rule 11): a younger list than ours is
//! expected, and asked for (05a §3).

use crate::client::devices::own::Own;
use crate::proto::MessageContextInfo;
use crate::stanza::message::{Chat, Source};
use crate::store::{StoreError, Tx};
use crate::wire::Jid;

/// Takes over the times that a message names for its sender's list and for the other side's.
pub(crate) fn heard(
    tx: &mut Tx<'_>,
    own: &Own,
    source: &Source,
    info: &MessageContextInfo,
) -> Result<(), StoreError> {
    let Some(lists) = &info.device_list_metadata else { return Ok(()) };
    if let Some(t) = lists.sender_timestamp {
        expect(tx, &source.sender, t)?;
    }
    if let (Some(t), Chat::Direct) = (lists.recipient_timestamp, source.kind) {
        let other = if source.from_me { &source.chat } else { &own.pn };
        expect(tx, other, t)?;
    }
    Ok(())
}

fn expect(tx: &mut Tx<'_>, user: &Jid, t: u64) -> Result<(), StoreError> {
    let Some(mut list) = tx.device_list(&user.to_user().to_string())? else { return Ok(()) };
    let Ok(t) = i64::try_from(t) else { return Ok(()) };
    if list.ts.is_some_and(|ts| t > ts) && list.expected_ts.is_none_or(|known| t > known) {
        list.expected_ts = Some(t);
        tx.put_device_list(&list)?;
    }
    Ok(())
}
