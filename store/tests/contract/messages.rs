//! Inbox, outbox, retries, owed receipts, housekeeping.

use palomar_store::housekeeping::DAY;
use palomar_store::{
    AskedRetry, ChatTimer, Enqueued, EventState, KeyPairBytes, Limits, MessageKey, Missed, NewEvent,
    NewOutgoing, OutgoingState, OwedReceipt, Placeholder, Result, Round, Secret, SecretBytes, SecretOf,
    SignedPrekey, StoreError, Target, Tx,
};

use crate::{Bench, NOW, contract};

contract! {
    events_are_handed_out_in_order_until_acknowledged
    an_event_id_is_written_once
    acknowledging_erases_the_payload_and_keeps_the_id
    opened_ciphertexts_and_obtained_messages_are_recognised
    an_idempotency_key_is_accepted_once
    a_message_id_is_used_once_in_a_chat
    sends_stay_open_until_the_server_answered
    receipts_raise_a_send_and_never_lower_it
    targets_are_confirmed_device_by_device
    retry_counters_are_kept_both_ways
    receipts_are_owed_until_settled
    ratchet_inbox_and_outbox_are_one_transaction
    housekeeping_forgets_what_is_old_and_keeps_what_is_open
    secrets_of_messages_stay_30_days_and_those_of_polls_90
    the_hash_of_a_pkmsg_without_one_time_prekey_stays_until_its_signed_prekey_is_erased
    kept_plaintexts_are_bounded_in_number
    keys_with_zero_bytes_do_not_collide
    what_is_owed_to_missed_devices_stays_until_settled
    a_chat_keeps_the_younger_timer
    a_round_of_housekeeping_is_cut_into_steps_and_ends_as_one_transaction_would
    an_event_waits_for_its_message_or_for_its_time_and_no_more_than_512_do
    a_withdrawn_event_leaves_no_trace
}

fn event(id: &str) -> NewEvent {
    NewEvent {
        event_id: id.into(),
        kind: "message".into(),
        message: Some(MessageKey::new("chat", "sender", id)),
        payload: SecretBytes::from(id.as_bytes()),
    }
}

fn outgoing(key: &str, message_id: &str) -> NewOutgoing {
    NewOutgoing {
        key: key.into(),
        message_id: message_id.into(),
        chat: "chat".into(),
        kind: "text".into(),
        plaintext: SecretBytes::from(&b"hello"[..]),
        edit: None,
        campaign: false,
    }
}

fn ids(tx: &Tx<'_>, after: u64) -> Result<Vec<String>> {
    Ok(tx.open_events(after, 100)?.into_iter().map(|event| event.event_id).collect())
}

async fn events_are_handed_out_in_order_until_acknowledged(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
                assert_eq!(tx.push_event(&event(id), NOW)?, number as u64 + 1);
            }
            tx.mark_delivered("a")?;
            assert!(tx.acknowledge("b", NOW)?);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    store
        .write(|tx| {
            assert_eq!(ids(tx, 0)?, ["a", "c"], "delivered but not acknowledged: again");
            assert_eq!(ids(tx, 1)?, ["c"]);
            assert_eq!(tx.event("a")?.unwrap().state, EventState::Delivered);
            assert_eq!(tx.push_event(&event("d"), NOW)?, 4, "numbers go on");
            assert_eq!((tx.open_event_count()?, tx.last_event()?), (3, 4));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn an_event_id_is_written_once(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            let first = tx.push_event(&event("a"), NOW)?;
            tx.acknowledge("a", NOW)?;
            assert_eq!(tx.push_event(&event("a"), NOW)?, first);
            assert!(ids(tx, 0)?.is_empty(), "an acknowledged event does not come back");
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn acknowledging_erases_the_payload_and_keeps_the_id(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.push_event(&event("a"), NOW)?;
            assert_eq!(tx.event("a")?.unwrap().payload.expose(), b"a");
            assert!(tx.acknowledge("a", NOW + 1)?);
            assert!(!tx.acknowledge("a", NOW + 2)?);
            assert!(!tx.acknowledge("unknown", NOW)?);
            let row = tx.event("a")?.unwrap();
            assert!(row.payload.is_empty() && row.acknowledged_at == Some(NOW + 1));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn opened_ciphertexts_and_obtained_messages_are_recognised(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            let message = MessageKey::new("chat", "sender", "1");
            assert!(tx.seen_hash(&[3; 32])?.is_none());
            tx.mark_hash_seen(&[3; 32], &message, NOW)?;
            assert_eq!(tx.seen_hash(&[3; 32])?.unwrap().message, message);
            assert!(tx.seen_message(&message)?.is_none(), "a hash alone is not the content (04 R1)");
            tx.mark_message_seen(&message, None, NOW)?;
            assert_eq!(tx.seen_message(&message)?.unwrap().at, NOW);
            assert!(tx.seen_message(&MessageKey::new("chat", "other", "1"))?.is_none());
            tx.put_message_secret(&message, &Secret::new([4; 32]), SecretOf::Message, NOW)?;
            assert_eq!(tx.message_secret(&message)?.unwrap().expose(), &[4; 32]);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn an_idempotency_key_is_accepted_once(bench: Bench) {
    let store = bench.store();
    let first = store.write(|tx| tx.enqueue(&outgoing("k", "M1"), NOW)).await.unwrap();
    assert!(matches!(first, Enqueued::New(_)));
    let store = bench.restart(store).await;
    match store.write(|tx| tx.enqueue(&outgoing("k", "M2"), NOW + 1)).await.unwrap() {
        Enqueued::Known(row) => assert_eq!((row.message_id.as_str(), row.created_at), ("M1", NOW)),
        Enqueued::New(_) => panic!("the same key was accepted twice"),
    }
    assert_eq!(store.read(|tx| tx.open_outgoing_count()).await.unwrap(), 1);
}

async fn a_message_id_is_used_once_in_a_chat(bench: Bench) {
    let store = bench.store();
    store.write(|tx| tx.enqueue(&outgoing("k1", "M"), NOW)).await.unwrap();
    let again = store.write(|tx| tx.enqueue(&outgoing("k2", "M"), NOW)).await;
    assert!(matches!(again, Err(StoreError::Refused(_))));
    assert!(store.read(|tx| tx.outgoing("k2")).await.unwrap().is_none());
}

async fn sends_stay_open_until_the_server_answered(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            for (key, id) in [("k1", "M1"), ("k2", "M2"), ("k3", "M3")] {
                tx.enqueue(&outgoing(key, id), NOW)?;
            }
            let mut row = tx.outgoing("k1")?.unwrap();
            row.state = OutgoingState::Encrypted;
            row.stanza = Some(SecretBytes::from(&b"stanza"[..]));
            row.attempts = 1;
            tx.put_outgoing(&row)?;
            let mut done = tx.outgoing("k2")?.unwrap();
            done.state = OutgoingState::Sent;
            done.server_time = Some(5);
            tx.put_outgoing(&done)
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    let open = store.read(|tx| tx.open_outgoing(0, 10)).await.unwrap();
    assert_eq!(open.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["k1", "k3"]);
    assert_eq!(open[0].stanza.as_ref().unwrap().expose(), b"stanza");
    assert_eq!(store.read(|tx| tx.outgoing_chats(10)).await.unwrap(), ["chat"]);
    let by_id = store.read(|tx| tx.outgoing_message("chat", "M2")).await.unwrap().unwrap();
    assert_eq!((by_id.key.as_str(), by_id.state), ("k2", OutgoingState::Sent));
    assert_eq!(store.read(|tx| tx.outgoing_ids("chat", 10)).await.unwrap(), ["M1", "M2", "M3"]);
}

async fn receipts_raise_a_send_and_never_lower_it(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.enqueue(&outgoing("k", "M"), NOW)?;
            let raised = tx.raise_outgoing("chat", "M", OutgoingState::Read)?;
            assert_eq!(raised.unwrap().state, OutgoingState::Read);
            assert!(tx.raise_outgoing("chat", "M", OutgoingState::Delivered)?.is_none());
            assert!(tx.raise_outgoing("chat", "unknown", OutgoingState::Read)?.is_none());
            assert_eq!(tx.outgoing("k")?.unwrap().state, OutgoingState::Read);
            assert_eq!(tx.open_outgoing_count()?, 0);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn targets_are_confirmed_device_by_device(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            let target = |device: &str| Target {
                device: device.into(),
                identity: vec![1],
                confirmed: false,
                group_only: false,
            };
            tx.put_targets("chat", "M", &[target("d1"), target("d2")])?;
            tx.put_targets("chat", "M10", &[target("d9")])?;
            assert!(tx.confirm_target("chat", "M", "d2")?);
            assert!(!tx.confirm_target("chat", "M", "d9")?);
            let confirmed: Vec<bool> =
                tx.targets("chat", "M")?.iter().map(|target| target.confirmed).collect();
            assert_eq!(confirmed, [false, true]);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn retry_counters_are_kept_both_ways(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            let message = MessageKey::new("chat", "sender", "1");
            let placeholder = Placeholder {
                message: message.clone(),
                count: 2,
                hash: Some([1; 32]),
                receipt_acked: true,
                asked_phone: false,
                envelope: SecretBytes::from(&b"<message/>"[..]),
                created_at: NOW,
            };
            tx.put_placeholder(&placeholder)?;
            assert_eq!(tx.placeholder(&message)?.unwrap().count, 2);
            assert_eq!(tx.placeholders(5)?.len(), 1);
            assert!(tx.delete_placeholder(&message)?);
            assert_eq!(tx.asked_retry("d", "1")?, AskedRetry::default());
            tx.put_asked_retry("d", "1", &AskedRetry { requests: 3, base_key: Some(vec![5]), at: NOW })?;
            assert_eq!(tx.asked_retry("d", "1")?.requests, 3);
            assert_eq!(tx.session_recreated_at("d")?, None);
            tx.mark_session_recreated("d", NOW)?;
            assert_eq!(tx.session_recreated_at("d")?, Some(NOW));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn receipts_are_owed_until_settled(bench: Bench) {
    let store = bench.store();
    let receipt = |id: &str| OwedReceipt {
        to: "chat".into(),
        ids: vec![id.into()],
        since: NOW,
        ..OwedReceipt::default()
    };
    let (one, two) = (receipt("1"), receipt("2"));
    let first = store
        .write(move |tx| {
            let first = tx.owe_receipt(&one)?;
            tx.owe_receipt(&two)?;
            Ok::<_, StoreError>(first)
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    store
        .write(move |tx| {
            assert_eq!(tx.owed_receipt_count()?, 2);
            assert!(tx.settle_receipt(first)? && !tx.settle_receipt(first)?);
            let left = tx.owed_receipts(10)?;
            assert_eq!(left[0].1.ids, ["2"]);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn ratchet_inbox_and_outbox_are_one_transaction(bench: Bench) {
    let store = bench.store();
    let all = |tx: &mut Tx<'_>| {
        tx.put_session("a", b"advanced")?;
        tx.push_event(&event("e"), NOW)?;
        tx.enqueue(&outgoing("k", "M"), NOW)?;
        tx.mark_hash_seen(&[1; 32], &MessageKey::new("c", "s", "i"), NOW)
    };
    let failed: Result<()> = store
        .write(move |tx| {
            all(tx)?;
            Err(StoreError::Refused("late"))
        })
        .await;
    assert!(failed.is_err());
    store
        .write(move |tx| {
            assert!(tx.session("a")?.is_none() && tx.event("e")?.is_none() && tx.outgoing("k")?.is_none());
            assert!(tx.seen_hash(&[1; 32])?.is_none());
            all(tx)
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    store
        .read(|tx| {
            assert!(tx.session("a")?.is_some() && tx.event("e")?.is_some() && tx.outgoing("k")?.is_some());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn housekeeping_forgets_what_is_old_and_keeps_what_is_open(bench: Bench) {
    let store = bench.store();
    let limits = Limits { plaintexts_least: 1, ..Limits::default() };
    store
        .write(move |tx| {
            let message = MessageKey::new("chat", "sender", "1");
            tx.mark_hash_seen(&[1; 32], &message, NOW)?;
            tx.mark_message_seen(&message, None, NOW)?;
            tx.push_event(&event("acked"), NOW)?;
            tx.acknowledge("acked", NOW)?;
            tx.push_event(&event("open"), NOW)?;
            for (key, id) in [("done", "M1"), ("open", "M2"), ("newest", "M3")] {
                tx.enqueue(&outgoing(key, id), NOW)?;
                if key != "open" {
                    tx.raise_outgoing("chat", id, OutgoingState::Sent)?;
                }
            }
            assert!(!tx.prune(NOW + 13 * DAY, &limits)?.any(), "nothing is old yet");
            assert_eq!(tx.prune(NOW + 15 * DAY, &limits)?.outgoing, 1);
            assert!(tx.outgoing("done")?.unwrap().plaintext.is_empty());
            assert_eq!(tx.outgoing("newest")?.unwrap().plaintext.expose(), b"hello");
            assert!(tx.seen_hash(&[1; 32])?.is_some());
            let pruned = tx.prune(NOW + 31 * DAY, &limits)?;
            assert_eq!((pruned.seen, pruned.events), (2, 1));
            assert!(tx.event("acked")?.is_none() && tx.event("open")?.is_some());
            tx.prune(NOW + 100 * DAY, &limits)?;
            assert!(tx.outgoing("done")?.is_none());
            assert_eq!(
                tx.outgoing("open")?.unwrap().plaintext.expose(),
                b"hello",
                "an open send stays whole"
            );
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn secrets_of_messages_stay_30_days_and_those_of_polls_90(bench: Bench) {
    let store = bench.store();
    let left = store.write(|tx| {
        let (message, poll) = (MessageKey::new("c", "s", "message"), MessageKey::new("c", "s", "poll"));
        tx.put_message_secret(&message, &Secret::new([1; 32]), SecretOf::Message, NOW)?;
        tx.put_message_secret(&poll, &Secret::new([2; 32]), SecretOf::PollOrEvent, NOW)?;
        let mut left = Vec::new();
        for day in [30, 31, 90, 91] {
            tx.prune(NOW + day * DAY, &Limits::default())?;
            left.push((tx.message_secret(&message)?.is_some(), tx.message_secret(&poll)?.is_some()));
        }
        Ok::<_, StoreError>(left)
    });
    assert_eq!(left.await.unwrap(), [(true, true), (false, true), (false, true), (false, false)]);
}

async fn the_hash_of_a_pkmsg_without_one_time_prekey_stays_until_its_signed_prekey_is_erased(bench: Bench) {
    let store = bench.store();
    let left = store.write(|tx| {
        let signed = |id: u32| SignedPrekey {
            id,
            keys: KeyPairBytes { public: [1; 32], private: Secret::new([2; 32]) },
            signature: [9; 64],
            created_at: NOW,
        };
        tx.set_signed_prekey(&signed(1))?;
        tx.mark_replayable_hash_seen(&[1; 32], &MessageKey::new("c", "s", "i"), 1, NOW)?;
        let mut left = Vec::new();
        // Current, previous, the one before, erased.
        for id in 2..=4 {
            tx.prune(NOW + 100 * DAY, &Limits::default())?;
            left.push(tx.seen_hash(&[1; 32])?.is_some());
            tx.set_signed_prekey(&signed(id))?;
        }
        tx.prune(NOW + 29 * DAY, &Limits::default())?;
        left.push(tx.seen_hash(&[1; 32])?.is_some());
        tx.prune(NOW + 31 * DAY, &Limits::default())?;
        left.push(tx.seen_hash(&[1; 32])?.is_some());
        Ok::<_, StoreError>(left)
    });
    assert_eq!(left.await.unwrap(), [true, true, true, true, false]);
}

async fn kept_plaintexts_are_bounded_in_number(bench: Bench) {
    let store = bench.store();
    let limits = Limits { plaintexts_least: 2, plaintexts_most: 5, ..Limits::default() };
    let kept = store.write(move |tx| {
        for number in 0..20 {
            let id = format!("M{number}");
            tx.enqueue(&outgoing(&id, &id), NOW)?;
            tx.raise_outgoing("chat", &id, OutgoingState::Sent)?;
        }
        tx.prune(NOW, &limits)?;
        let mut kept = 0;
        for number in 0..20 {
            kept += usize::from(!tx.outgoing(&format!("M{number}"))?.unwrap().plaintext.is_empty());
        }
        Ok::<_, StoreError>(kept)
    });
    assert_eq!(kept.await.unwrap(), 5);
}

async fn keys_with_zero_bytes_do_not_collide(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            let odd = [("a", "b\0c"), ("a\0b", "c"), ("a\0", "b"), ("", "a"), ("a", ""), ("a", "b")];
            for (number, (chat, sender)) in odd.iter().enumerate() {
                tx.mark_message_seen(&MessageKey::new(*chat, *sender, "1"), None, number as i64)?;
            }
            for (number, (chat, sender)) in odd.iter().enumerate() {
                let seen = tx.seen_message(&MessageKey::new(*chat, *sender, "1"))?.unwrap();
                assert_eq!(seen.at, number as i64);
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn what_is_owed_to_missed_devices_stays_until_settled(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            for (seq, stanza) in [(7, None), (3, Some(SecretBytes::from(&b"stanza"[..])))] {
                let (key, hash) = (seq.to_string(), "2:AAAAAAAA".to_owned());
                tx.put_missed(seq, &Missed { key, hash, until: NOW, stanza })?;
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    store
        .write(|tx| {
            let all = tx.all_missed(10)?;
            assert_eq!(all.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [3, 7]);
            assert_eq!(all[0].1.stanza.as_ref().map(SecretBytes::expose), Some(&b"stanza"[..]));
            assert!(tx.settle_missed(3)? && !tx.settle_missed(3)?);
            assert!(tx.missed(3)?.is_none() && tx.missed(7)?.is_some());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn a_chat_keeps_the_younger_timer(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            assert_eq!(tx.chat_timer("c")?, None);
            assert!(tx.set_chat_timer("c", ChatTimer { seconds: 5, set_at: 20 })?);
            assert!(!tx.set_chat_timer("c", ChatTimer { seconds: 6, set_at: 10 })?);
            assert!(tx.set_chat_timer("c", ChatTimer { seconds: 0, set_at: 20 })?);
            assert_eq!(tx.forget_chat_timer("c")?, Some(ChatTimer { seconds: 0, set_at: 20 }));
            assert_eq!(tx.chat_timer("c")?, None);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn a_round_of_housekeeping_is_cut_into_steps_and_ends_as_one_transaction_would(bench: Bench) {
    let store = bench.store();
    let key = |n: usize| MessageKey::new("chat", "sender", n.to_string());
    store
        .write(move |tx| {
            for n in 0..1000 {
                tx.mark_message_seen(&key(n), None, NOW + if n % 2 == 0 { 0 } else { 20 * DAY })?;
                tx.mark_hash_seen(&[(n % 251) as u8; 32], &key(n), NOW)?;
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let (mut round, mut steps) = (Round::default(), 0);
    while !round.is_done() {
        round = store.write(|tx| tx.prune_step(round, NOW + 31 * DAY, &Limits::default())).await.unwrap();
        steps += 1;
    }
    assert!(steps >= 1000 / 256 + 7, "{steps} steps");
    assert_eq!(round.pruned.seen, 500 + 251);
    assert!(store.read(move |tx| tx.seen_message(&key(0))).await.unwrap().is_none());
    assert!(store.read(move |tx| tx.seen_message(&key(999))).await.unwrap().is_some());
}

async fn an_event_waits_for_its_message_or_for_its_time_and_no_more_than_512_do(bench: Bench) {
    let store = bench.store();
    let (first, second) = (MessageKey::new("chat", "a", "1"), MessageKey::new("chat", "a", "2"));
    store
        .write(move |tx| {
            assert!(tx.hold_event(&first, &event("edit"), NOW + 5)?);
            assert!(tx.hold_event(&second, &event("revoke"), NOW + 9)?);
            assert_eq!(tx.next_overdue()?, Some(NOW + 5));
            assert!(ids(tx, 0)?.is_empty(), "what waits is not handed out");
            let taken = tx.take_held(&second)?;
            assert_eq!(taken.len(), 1);
            tx.push_event(&taken[0].event(), NOW)?;
            assert_eq!(ids(tx, 0)?, ["revoke"]);
            assert!(tx.take_held(&second)?.is_empty(), "once");
            assert!(tx.take_overdue(NOW + 4)?.is_empty());
            assert_eq!(tx.take_overdue(NOW + 5)?.len(), 1);
            assert_eq!(tx.next_overdue()?, None);
            for n in 0..512 {
                assert!(tx.hold_event(&first, &event(&n.to_string()), NOW)?);
            }
            assert!(!tx.hold_event(&first, &event("one more"), NOW)?);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    assert_eq!(store.read(|tx| tx.held_count()).await.unwrap(), 512, "over a restart");
}

async fn a_withdrawn_event_leaves_no_trace(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.push_event(&event("linked"), NOW)?;
            assert!(tx.withdraw_event("linked")?);
            assert!(!tx.withdraw_event("linked")?);
            assert!(tx.event("linked")?.is_none());
            assert!(ids(tx, 0)?.is_empty());
            tx.push_event(&event("linked"), NOW)?;
            assert_eq!(ids(tx, 0)?, ["linked"], "it may come about later");
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}
