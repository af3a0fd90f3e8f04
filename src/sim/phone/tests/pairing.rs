//! The phone's part of pairing: QR, code, planted faults (02 §6, §8).

use super::companion::Companion;
use super::*;
use crate::proto::message::protocol_message::Type;
use crate::signal::adv::{AdvError, key_index};
use crate::sim::seam::Corrupt;

impl Sim {
    /// Links a companion by QR.
    pub(super) fn link(&mut self, number: &str, seed: u64) -> Companion {
        let mut companion = Companion::register(self, seed);
        assert_eq!(self.scan(number, &mut companion, None), "");
        companion
    }

    /// Lets the phone scan; the admin code of what failed, empty if nothing did.
    pub(super) fn scan(
        &mut self,
        number: &str,
        companion: &mut Companion,
        corrupt: Option<Corrupt>,
    ) -> String {
        let qr = companion.qr();
        let op = self.order(number, |op| PhoneCommand::ScanQr { op, qr, corrupt }).unwrap();
        companion.pump(self);
        self.failure(op)
    }

    fn failure(&self, op: u64) -> String {
        let shown = format!("{:?}", self.0.ops.get(&op));
        match shown.split_once("code: \"") {
            Some((_, rest)) => rest.split('"').next().unwrap().to_owned(),
            None if shown.contains("Paired {") => String::new(),
            None => shown,
        }
    }

    pub(super) fn key_index_list(&self, number: &str) -> key_index::KeyIndexList {
        let account = self.0.accounts.get(number).unwrap();
        let signed = key_index::Signed::parse(&account.key_index_list.as_ref().unwrap().bytes).unwrap();
        signed.verify(&account.devices[&0].keys.as_ref().unwrap().identity).unwrap()
    }
}

fn protocol_types(companion: &Companion) -> Vec<i32> {
    let protocol = companion.got.iter().filter_map(|got| got.message.protocol_message.as_ref());
    protocol.filter_map(|message| message.r#type).collect()
}

#[test]
fn a_scanned_companion_gets_keys_and_an_empty_history_at_once() {
    let sim = &mut Sim::new();
    let a = sim.account();
    let companion = sim.link(&a, 1);
    assert_eq!(companion.jid, Some(sim.pn(&a).with_device(1)));
    let history = Type::HistorySyncNotification as i32;
    assert_eq!(protocol_types(&companion), [Type::AppStateSyncKeyShare as i32, history, history, history]);
    for got in &companion.got {
        assert_eq!(got.stanza.str("category").as_deref(), Some("peer"));
        assert_eq!(got.stanza.jid("from"), Some(sim.pn(&a)));
        assert!(super::companion::is_prekey(got));
    }
    let share = companion.got[0].message.protocol_message.as_ref().unwrap();
    let key = &share.app_state_sync_key_share.as_ref().unwrap().keys[0];
    assert_eq!(key.key_id.as_ref().unwrap().key_id.as_ref().unwrap().len(), 6);
    let data = key.key_data.as_ref().unwrap();
    let fingerprint = data.fingerprint.as_ref().unwrap();
    assert_eq!(data.key_data.as_ref().unwrap().len(), 32);
    assert!(
        data.timestamp.is_some() && fingerprint.raw_id.is_some() && !fingerprint.device_indexes.is_empty()
    );
    let list = sim.key_index_list(&a);
    assert_eq!((list.current_index, list.valid_indexes), (1, vec![1]));
    sim.assert_clean();
}

#[test]
fn the_inline_history_inflates_to_a_complete_chunk() {
    use prost::Message as _;
    use std::io::Read;
    let sim = &mut Sim::new();
    let a = sim.account();
    let companion = sim.link(&a, 1);
    for got in &companion.got[1..] {
        let protocol = got.message.protocol_message.as_ref().unwrap();
        let notification = protocol.history_sync_notification.as_ref().unwrap();
        let payload = notification.initial_hist_bootstrap_inline_payload.as_ref().unwrap();
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(&payload[..]).read_to_end(&mut bytes).unwrap();
        let chunk = crate::proto::HistorySync::decode(&*bytes).unwrap();
        assert_eq!(chunk.sync_type, notification.sync_type);
        assert_eq!((chunk.progress, chunk.conversations.len()), (Some(100), 0));
    }
}

#[test]
fn a_second_companion_has_its_own_index_and_the_list_names_both() {
    let sim = &mut Sim::new();
    let a = sim.account();
    let (one, two) = (sim.link(&a, 1), sim.link(&a, 2));
    assert_eq!((one.jid.unwrap().device(), two.jid.unwrap().device()), (1, 2));
    let list = sim.key_index_list(&a);
    assert_eq!((list.current_index, list.valid_indexes), (2, vec![1, 2]));
}

#[test]
fn two_pairings_at_once_end_with_two_valid_indexes() {
    let sim = &mut Sim::new();
    let a = sim.account();
    let mut companions = [Companion::register(sim, 1), Companion::register(sim, 2)];
    for companion in &companions {
        let qr = companion.qr();
        sim.order(&a, |op| PhoneCommand::ScanQr { op, qr, corrupt: None }).unwrap();
    }
    companions.iter_mut().for_each(|companion| companion.pump(sim));
    let list = sim.key_index_list(&a);
    assert_eq!((list.current_index, list.valid_indexes), (2, vec![1, 2]));
}

#[test]
fn each_planted_fault_is_refused_by_its_check_and_consumes_no_index() {
    let sim = &mut Sim::new();
    let a = sim.account();
    for (fault, error) in [
        (Corrupt::Hmac, AdvError::Hmac),
        (Corrupt::AccountSig, AdvError::Signature),
        (Corrupt::KeyIndex, AdvError::Malformed),
        (Corrupt::Identity, AdvError::Signature),
    ] {
        let mut companion = Companion::register(sim, 1);
        let failure = sim.scan(&a, &mut companion, Some(fault));
        assert_eq!(companion.refused, Some(error), "{fault:?}");
        assert_eq!(failure, error.code().to_string(), "{fault:?}");
    }
    sim.link(&a, 1);
    assert_eq!(sim.key_index_list(&a).current_index, 1);
}

#[test]
fn a_bad_qr_an_unknown_ref_and_a_fifth_companion_are_refused() {
    let sim = &mut Sim::new();
    let a = sim.account();
    let bad = sim.order(&a, |op| PhoneCommand::ScanQr { op, qr: "nonsense".to_owned(), corrupt: None });
    assert_eq!(bad, Err(PhoneError::BadQr));
    let mut companion = Companion::register(sim, 9);
    companion.refs[0] = "2@nobody".to_owned();
    assert_eq!(sim.scan(&a, &mut companion, None), "ref-unknown");
    for seed in 0..4 {
        sim.link(&a, seed);
    }
    let mut fifth = Companion::register(sim, 5);
    assert_eq!(sim.scan(&a, &mut fifth, None), "companion-limit");
    assert_eq!(fifth.jid, None);
}

#[test]
fn pairing_by_code_with_a_wrong_code_first() {
    let sim = &mut Sim::new();
    let a = sim.account();
    let mut companion = Companion::register(sim, 1);
    let code = companion.ask_code(sim, &a).display();
    let mut enter = |sim: &mut Sim, code: &str| {
        let code = code.to_owned();
        let op = sim.order(&a, |op| PhoneCommand::EnterCode { op, code, corrupt: None }).unwrap();
        companion.pump(sim);
        companion.pump(sim);
        sim.failure(op)
    };
    assert_eq!(enter(sim, "ABCD-EFGH"), "bad-code");
    assert_eq!(enter(sim, &code.to_lowercase().replace('-', "")), "");
    assert_eq!(companion.jid, Some(sim.pn(&a).with_device(1)));
    assert_eq!(protocol_types(&companion).len(), 4);
    sim.assert_clean();
}

#[test]
fn a_code_without_a_hello_or_no_code_at_all_is_bad() {
    let sim = &mut Sim::new();
    let a = sim.account();
    for code in ["1234-5678", "not a code"] {
        let code = code.to_owned();
        let order = sim.order(&a, |op| PhoneCommand::EnterCode { op, code, corrupt: None });
        assert_eq!(order, Err(PhoneError::BadCode));
    }
}

#[test]
fn unlinking_signs_a_new_list_and_gives_the_others_a_new_key() {
    let sim = &mut Sim::new();
    let a = sim.account();
    let (mut one, mut two) = (sim.link(&a, 1), sim.link(&a, 2));
    let before = two.got.len();
    sim.0.command(&a, PhoneCommand::Unlink { device: Some(1) }).unwrap();
    one.pump(sim);
    two.pump(sim);
    assert!(one.heard.iter().any(|node| node.tag == "stream:error"));
    let list = sim.key_index_list(&a);
    assert_eq!((list.current_index, list.valid_indexes), (2, vec![2]));
    let share = two.got[before..].iter().find_map(|got| got.message.protocol_message.as_ref()).unwrap();
    assert_eq!(share.app_state_sync_key_share.as_ref().unwrap().keys.len(), 2);
    let again = sim.0.command(&a, PhoneCommand::Unlink { device: Some(1) });
    assert!(matches!(again, Err(PhoneError::Unknown(_))));
    sim.assert_clean();
}
