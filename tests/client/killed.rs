//! The store fails at every step of receiving and sending, as if the process were killed there (protocol 04 §22 no. 19,
//! 02 §16 no. 10). The judge of the simulator sees every counter; the books see what is lost or shown twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use palomar::client::Event;
use palomar::client::send::SendOutcome;
use palomar::store::StoreError;
use palomar::wire::Jid;

use crate::faulty::{Plan, faulty};
use crate::world::{ANNA, BERT, Device, World, within};

/// More steps than an exchange has.
const MANY: u64 = 3000;

/// What reached the application, by text: the ids of its events.
#[derive(Default)]
struct Books(BTreeMap<String, Vec<String>>);

impl Books {
    /// Takes every open event; an acknowledged one never comes again.
    async fn take(&mut self, device: &Device) {
        let mut events = device.client.events();
        while let Ok(delivery) = tokio::time::timeout(Duration::from_millis(1), events.next()).await {
            let delivery = delivery.unwrap();
            match &delivery.event {
                Event::Message(message) => {
                    let ids = self.0.entry(message.text.clone().unwrap_or_default()).or_default();
                    if !ids.contains(&delivery.id) {
                        ids.push(delivery.id.clone());
                    }
                }
                Event::Undecryptable(message) => panic!("{message:?} could not be read"),
                _ => {}
            }
            delivery.ack().await.unwrap();
        }
    }
}

/// How many one-time prekeys are left, and whether the inbox shows this text.
async fn received(device: &Device, text: &str) -> (u64, bool) {
    let (left, rows) = device
        .store
        .read(|tx| Ok::<_, StoreError>((tx.prekey_count()?, tx.open_events(0, 1000)?)))
        .await
        .unwrap();
    let shows = rows.iter().any(|row| {
        matches!(Event::read(row.payload.expose()), Some(Event::Message(m)) if m.text.as_deref() == Some(text))
    });
    (left, shows)
}

/// Ends the process and starts it anew on the same store, which works again.
async fn restart(world: &World, device: &mut Device, plan: &Plan) {
    plan.heal();
    world.restart(device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
}

/// One exchange a round, both ways at once; in each round the store fails one step later, until a whole exchange has
/// gone by.
async fn killed_at_every_step(new_sessions: bool) {
    let world = World::new().await;
    let (admin, bert) = (world.sim.admin(), Jid::pn(BERT).unwrap());
    let mut anna = world.linked(ANNA, 1).await;
    let plan = Arc::new(Plan::default());
    anna.store = faulty(&anna.store, &plan);
    restart(&world, &mut anna, &plan).await;
    let own = anna.store.read(|tx| tx.link()).await.unwrap().unwrap().lid.unwrap();
    let mut books = Books::default();
    let mut rounds = 0;
    for steps in 0..MANY {
        let (text_in, text_out) = (format!("in {steps}"), format!("out {steps}"));
        if new_sessions {
            // Both sides begin anew: prekeys are consumed both ways.
            admin.drop_session(BERT, &own).await.unwrap();
            let remote = admin.account(BERT).await.unwrap().lid;
            let prefix = remote.split('@').next().unwrap().to_owned();
            anna.store
                .write(move |tx| {
                    for address in tx.session_addresses(&prefix)? {
                        tx.delete_session(&address)?;
                    }
                    Ok::<_, StoreError>(())
                })
                .await
                .unwrap();
        }
        let (keys_before, _) = received(&anna, "").await;
        plan.fail_after(steps);
        // What was not accepted is asked for again with the same key; so is what was, by a caller that did not hear.
        let _ = anna.client.send_text(&bert, &text_out, &text_out).await;
        admin.send_text(BERT, ANNA, &text_in).await.unwrap();
        world.clock.sleep(Duration::from_secs(5)).await;
        let failed = plan.failed();
        plan.heal();
        if new_sessions && failed {
            let (keys, shown) = received(&anna, &text_in).await;
            assert_eq!(keys_before - keys, u64::from(shown), "step {steps}: a prekey without its message");
        }
        restart(&world, &mut anna, &plan).await;
        anna.client.send_text(&bert, &text_out, &text_out).await.unwrap();
        let outcome = within(anna.client.outcome(&text_out)).await.unwrap();
        assert!(matches!(outcome, Some(SendOutcome::Sent { .. })), "step {steps}: {outcome:?}");
        admin.wait_text(BERT, &text_out, Duration::from_secs(60)).await.unwrap();
        world.clock.sleep(Duration::from_secs(2)).await;
        books.take(&anna).await;
        assert_eq!(
            books.0.get(&text_in).map(Vec::len),
            Some(1),
            "step {steps}: {text_in} lost or shown twice"
        );
        rounds += 1;
        if !failed {
            break;
        }
    }
    println!("{rounds} kills, one after each step");
    assert!((50..MANY).contains(&rounds), "{rounds} rounds");
    for (text, ids) in &books.0 {
        assert_eq!(ids.len(), 1, "{text} was shown under {ids:?}");
    }
    for steps in 0..rounds {
        let text = format!("out {steps}");
        let there = admin.inbox(BERT, 0).await.unwrap();
        let copies = there.iter().filter(|item| item.text.as_ref() == Some(&text)).count();
        assert_eq!(copies, 1, "{text}");
    }
    let device = admin.account(ANNA).await.unwrap().devices.pop().unwrap();
    assert_eq!(device.queue, 0, "something was never answered");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_19_killed_at_every_step_of_a_conversation_nothing_is_lost_and_no_counter_reused() {
    killed_at_every_step(false).await;
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_19_killed_at_every_step_of_a_first_contact_no_prekey_goes_without_its_session() {
    killed_at_every_step(true).await;
}
