//! What others send: messages, receipts, notifications about keys and devices. A batch of stanzas is one transaction:
//! ratchets, prekeys, identities, mappings, events; then it is answered (design §2 rule 2, protocol 05b §7).

mod answer;
mod bot;
pub(crate) mod change;
mod content;
pub(crate) mod env;
mod message;
pub(crate) mod notice;
mod open;
mod phone;
pub(crate) mod receipts;
mod share;

pub(crate) use env::{AskAgain, Effect, Env, Guards};

use std::collections::HashMap;

use crate::stanza::receipt::{Kind, MAX_IDS, Receipt};
use crate::store::{StoreError, Tx};
use crate::wire::{Jid, NodeRef, Token, token};

/// Stanzas of one transaction, and their bytes (05b §7 no. 5).
pub(crate) const BATCH: usize = 400;
pub(crate) const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What handles one stanza, inside the transaction of its batch.
pub(crate) type Handler = fn(&mut Tx<'_>, &mut Env, NodeRef<'_>) -> Result<(), StoreError>;

const MESSAGE: Token = token("message");
const STATUS: Token = token("status");
const RECEIPT: Token = token("receipt");
const NOTIFICATION: Token = token("notification");

/// Handles a stanza.
pub(crate) fn handle(tx: &mut Tx<'_>, env: &mut Env, stanza: NodeRef<'_>) -> Result<(), StoreError> {
    match stanza.tag_token() {
        Some(MESSAGE | STATUS) => message::handle(tx, env, stanza),
        Some(RECEIPT) => receipts::handle(tx, env, stanza),
        Some(NOTIFICATION) => notice::handle(tx, env, stanza),
        _ => Ok(()),
    }
}

/// Receipts that differ in their id only become one; `now_s` goes into those of several. The order of the first ids
/// stays.
pub(crate) fn aggregate(receipts: Vec<Receipt>, now_s: u64) -> Vec<Receipt> {
    let mut order: Vec<Receipt> = Vec::new();
    let mut places: HashMap<(Kind, Jid, Option<Jid>, Option<Jid>), usize> = HashMap::new();
    for mut receipt in receipts {
        let key = (receipt.kind, receipt.to.clone(), receipt.participant.clone(), receipt.recipient.clone());
        let place = places.get(&key).copied().and_then(|at| order.get_mut(at));
        match place {
            Some(first) if first.ids.len() + receipt.ids.len() <= MAX_IDS => {
                first.ids.append(&mut receipt.ids);
                first.t = Some(now_s);
            }
            _ => {
                places.insert(key, order.len());
                order.push(receipt);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregated_receipts_have_at_most_256_ids_and_a_time_in_seconds() {
        let to = Jid::lid("5").unwrap().with_device(3);
        let receipts = (0..600).map(|at| Receipt::new(Kind::Delivery, to.clone(), vec![at.to_string()]));
        let merged = aggregate(receipts.collect(), 1_700_000_000);
        assert_eq!(merged.iter().map(|receipt| receipt.ids.len()).collect::<Vec<_>>(), [256, 256, 88]);
        assert!(merged.iter().all(|receipt| receipt.t == Some(1_700_000_000)));
        let one = aggregate(vec![Receipt::new(Kind::Sender, to, vec!["A".to_owned()])], 5);
        assert_eq!(one[0].t, None);
    }
}
