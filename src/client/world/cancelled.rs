//! Futures of encrypting and decrypting dropped at every point where they wait (protocol 04 §22 no. 22, S4).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::{Device, World};
use crate::client::send::SendOutcome;
use crate::signal::{PreKeySignalMessage, SignalMessage};
use crate::store::{Done, Engine, Job, Store};
use crate::wire::Node;

/// A future that is dropped instead of being polled once more than `left` times.
struct After<F> {
    left: u64,
    work: Pin<Box<F>>,
}

/// Runs `work` for at most so many polls. `None`: it was cancelled.
pub(super) fn after<F: Future>(polls: u64, work: F) -> impl Future<Output = Option<F::Output>> {
    After { left: polls, work: Box::pin(work) }
}

impl<F: Future> Future for After<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.work.as_mut().poll(cx).map(Some)
    }
}

/// A store whose transactions run in a task of their own, as with a writer's thread: whoever asks has to wait, and a
/// caller that is gone does not undo them.
struct Elsewhere {
    jobs: mpsc::UnboundedSender<Job>,
    inner: Arc<dyn Engine>,
}

impl Engine for Elsewhere {
    fn submit(&self, job: Job) {
        assert!(self.jobs.send(job).is_ok(), "the writer is gone");
    }

    fn close(&self, done: Done) {
        self.inner.close(done);
    }
}

fn elsewhere(store: &Store) -> Store {
    let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
    let inner = Arc::clone(store.engine());
    let engine = Arc::clone(&inner);
    tokio::spawn(async move {
        while let Some(job) = queue.recv().await {
            tokio::task::yield_now().await;
            engine.submit(job);
        }
    });
    Store::new(Arc::new(Elsewhere { jobs, inner }))
}

/// Every ciphertext in the stanzas of a device, by ratchet key and counter: never two.
fn assert_no_counter_twice(sent: &[Node]) {
    let mut seen: BTreeMap<([u8; 32], u32), Vec<u8>> = BTreeMap::new();
    let encs = sent.iter().flat_map(|message| {
        let targets = message.find("participants").into_iter().flat_map(|all| all.find_all("to"));
        targets.flat_map(|to| to.find_all("enc")).chain(message.find_all("enc")).collect::<Vec<_>>()
    });
    for enc in encs {
        let bytes = enc.content_bytes().unwrap().into_owned();
        let inner = match enc.str("type").unwrap().as_ref() {
            "pkmsg" => PreKeySignalMessage::parse(&bytes).unwrap().inner().to_vec(),
            _ => bytes,
        };
        let header = SignalMessage::parse(&inner).unwrap();
        let used = (header.ratchet_key().0, header.counter());
        let first = seen.entry(used).or_insert_with(|| inner.clone());
        assert_eq!(*first, inner, "counter {} of one chain under two ciphertexts", used.1);
    }
}

async fn acknowledge_all(device: &Device) {
    device
        .edit(|tx| {
            for event in tx.open_events(0, 10_000)? {
                tx.acknowledge(&event.event_id, 1)?;
            }
            Ok(())
        })
        .await;
}

/// Starts the device anew after its workers were dropped; whatever was under way comes to its end.
async fn again(world: &World, device: Device, store: &Store, polls: Option<u64>) -> Device {
    let (pn, lid) = (device.pn.clone(), device.lid.clone());
    device.disconnect();
    drop(device);
    world.start_for(polls, store.clone(), pn, lid).await
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_22_a_send_cancelled_at_every_await_point_reuses_no_counter_and_sends_once() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let store = elsewhere(&a0.store);
    let a0 = again(&world, a0, &store, None).await;
    let mut points = 0;
    for polls in 0.. {
        assert!(polls < 1000);
        let text = format!("text {polls}");
        let done = after(polls, a0.messaging.send_text(&b0.lid, &text, &text)).await;
        world.settle().await;
        // Asked for again, as by a caller that did not hear the answer.
        a0.messaging.send_text(&b0.lid, &text, &text).await.unwrap();
        let outcome = a0.messaging.outcome(&text).await.unwrap();
        assert!(matches!(outcome, Some(SendOutcome::Sent { .. })), "{outcome:?}");
        world.settle().await;
        assert_eq!(b0.texts().await.iter().filter(|one| **one == text).count(), 1, "{text}");
        points = polls;
        if done.is_some() {
            break;
        }
    }
    assert!(points >= 2, "{points} points: nothing was cancelled");
    assert_no_counter_twice(&world.router.sent(&a0, "message"));
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_22_the_workers_cancelled_at_every_await_point_lose_and_repeat_nothing() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let store = elsewhere(&a0.store);
    let mut a0 = a0;
    let mut points = 0;
    for polls in 1.. {
        assert!(polls < 2000);
        a0 = again(&world, a0, &store, Some(polls)).await;
        let (text_in, text_out) = (format!("in {polls}"), format!("out {polls}"));
        a0.messaging.send_text(&b0.lid, &text_out, &text_out).await.unwrap();
        b0.messaging.send_text(&a0.lid, &text_in, &text_in).await.unwrap();
        world.settle().await;
        let cancelled = a0.worker.is_finished();
        a0 = again(&world, a0, &store, None).await;
        let outcome = a0.messaging.outcome(&text_out).await.unwrap();
        assert!(matches!(outcome, Some(SendOutcome::Sent { .. })), "poll {polls}: {outcome:?}");
        world.settle().await;
        for (device, text) in [(&a0, &text_in), (&b0, &text_out)] {
            let copies = device.texts().await.iter().filter(|one| *one == text).count();
            assert_eq!(copies, 1, "poll {polls}: {text}");
            assert_eq!(world.router.unanswered(device), 0, "poll {polls}");
            acknowledge_all(device).await;
        }
        points = polls;
        if !cancelled {
            break;
        }
    }
    println!("cancelled at {points} polls");
    assert!(points > 10, "{points} points: nothing was cancelled");
    assert_no_counter_twice(&world.router.sent(&a0, "message"));
}
