//! What happens in the demo, in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use palomar::crypto::os_rng;
use palomar::sim::{Admin, AdminError, Kick, Simulator};
use rand::RngExt as _;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::actor::Actor;
use super::ledger::{Ledger, Message};
use super::{ACCOUNTS, DORA};
use crate::exit::Failure;
use crate::output::Output;
use crate::qr::Picture;

/// Between two accounts that begin to connect.
const STAGGER_MS: std::ops::RangeInclusive<u64> = 1000..=3000;
/// Accounts that connect at the same time, at most.
const CONNECTING: usize = 3;
/// For one step; much more than it takes.
const STEP: Duration = Duration::from_secs(20);

/// The demo while it plays.
pub struct Stage {
    pub admin: Admin,
    pub ledger: Arc<Ledger>,
    pub output: Output,
    started: Instant,
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        Self::failed(format!("a simulated phone: {error}"))
    }
}

fn name_of(number: &str) -> &'static str {
    ACCOUNTS.iter().find(|(_, of)| *of == number).map_or("dora", |(name, _)| *name)
}

/// Phones that look at what comes: they count it, and read what is meant for them.
pub fn watch_phones(admin: &Admin, ledger: &Arc<Ledger>) -> JoinSet<()> {
    let mut watchers = JoinSet::new();
    for number in ACCOUNTS.iter().map(|(_, number)| *number).chain([DORA]) {
        watchers.spawn(watch(admin.clone(), Arc::clone(ledger), number));
    }
    watchers
}

async fn watch(admin: Admin, ledger: Arc<Ledger>, number: &'static str) {
    let mut seen = 0;
    let mut texts = Vec::new();
    while let Ok(items) = admin.wait_inbox(number, seen, Duration::from_secs(3600)).await {
        seen += items.len();
        for item in items.into_iter().filter(|item| item.decrypt_ok && !item.own_copy) {
            let Some(text) = item.text else { continue };
            texts.push(text);
            if let Err(error) = admin.receipt(number, &[item.id], &item.chat, "read").await {
                tracing::warn!(%error, number, "a simulated phone could not read");
            }
        }
        ledger.with(|book| book.phone_has(number, &texts));
    }
}

impl Stage {
    /// A stage on a simulator.
    pub fn new(admin: &Admin, ledger: Arc<Ledger>, output: Output) -> Self {
        Self { admin: admin.clone(), ledger, output, started: Instant::now() }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Says what happens.
    pub fn say(&self, who: &str, what: &str) {
        let seconds = self.seconds();
        let value = json!({ "event": "step", "seconds": seconds, "account": who, "what": what });
        self.output.line(format_args!("{seconds:5.1} s  {who:<6} {what}"), &value);
    }

    /// Who is there, and how fast it goes.
    pub fn introduce(&self, simulator: &Simulator, actors: &[Actor]) {
        let url = simulator.chat_url().unwrap_or_default();
        self.say("demo", &format!("simulator at {url}, strict; phones of alice, bob, carol and dora are on"));
        self.say(
            "demo",
            "linking is paced for the demo: 1 to 3 s apart, at most 3 connecting (real accounts: one in 30 s); \
             messages 0.3 to 0.5 s apart (real accounts: 2 to 3 s)",
        );
        for actor in actors {
            self.say(actor.name, &format!("device profile {}", actor.presents_as()));
        }
    }

    /// Everything.
    pub async fn play(&self, actors: &mut [Actor]) -> Result<(), Failure> {
        self.link(actors).await?;
        let [alice, bob, carol] = actors else {
            return Err(Failure::failed("the demo needs three accounts"));
        };
        self.talk(alice, bob, carol).await?;
        self.drop_connection(alice).await?;
        self.kill(bob, carol).await?;
        self.wait_for_all().await
    }

    async fn link(&self, actors: &mut [Actor]) -> Result<(), Failure> {
        for actor in actors.iter_mut() {
            actor.start().await?;
        }
        let connecting = Semaphore::new(CONNECTING);
        let mut wait = Duration::ZERO;
        let links = actors.iter().map(|actor| {
            wait += Duration::from_millis(os_rng().random_range(STAGGER_MS));
            self.link_one(actor, wait, &connecting)
        });
        try_join_all(links.collect::<Vec<_>>()).await.map(drop)
    }

    async fn link_one(&self, actor: &Actor, wait: Duration, connecting: &Semaphore) -> Result<(), Failure> {
        self.output.progress(format_args!("{} begins to link in {:.1} s", actor.name, wait.as_secs_f32()));
        tokio::time::sleep(wait).await;
        let place = connecting.acquire().await.map_err(|e| Failure::failed(e.to_string()))?;
        let scan = |text: String| async move {
            let drawn = Picture::of(&text)?.terminal(self.output.has_colours());
            self.say(actor.name, "shows a QR; its phone scans it");
            self.output.text(drawn);
            self.admin.scan_qr(actor.number, &text).await?;
            Ok(())
        };
        let jid = actor.link(scan).await?;
        self.say(actor.name, &format!("linked as {jid}"));
        actor.ready(STEP).await?;
        drop(place);
        self.say(actor.name, "ready");
        Ok(())
    }

    async fn talk(&self, alice: &Actor, bob: &Actor, carol: &Actor) -> Result<(), Failure> {
        self.account_sends(alice, DORA, "alice to dora: hello from a linked account").await?;
        self.phone_sends(DORA, bob, "dora to bob: hello from a phone").await?;
        for (from, to) in [(alice, bob), (bob, carol), (carol, alice)] {
            let text = format!("{} to {}: from account to account", from.name, to.name);
            self.account_sends(from, to.number, &text).await?;
        }
        self.arrive("everything said so far").await
    }

    async fn drop_connection(&self, alice: &Actor) -> Result<(), Failure> {
        let dropped = self.admin.kick(alice.number, None, Kick::Reset, None).await?;
        self.say(alice.name, &format!("loses its connection without a word ({dropped} dropped)"));
        self.phone_sends(DORA, alice, "dora to alice: said while you were away").await?;
        self.arrive("what was said meanwhile, after the reconnect").await?;
        alice.ready(STEP).await
    }

    async fn kill(&self, bob: &mut Actor, carol: &Actor) -> Result<(), Failure> {
        self.account_sends(bob, carol.number, "bob to carol: said in the moment of the kill").await?;
        self.phone_sends(DORA, bob, "dora to bob: said in the moment of the kill").await?;
        bob.kill().await?;
        self.say(bob.name, "stopped in the middle: no goodbye to the server");
        self.phone_sends(DORA, bob, "dora to bob: said while you were dead").await?;
        bob.start().await?;
        bob.connect().await?;
        bob.ready(STEP).await?;
        self.say(bob.name, "reopened and ready");
        self.account_sends(bob, DORA, "bob to dora: I am back").await?;
        self.arrive("everything said around the kill").await
    }

    async fn wait_for_all(&self) -> Result<(), Failure> {
        self.ledger.wait(STEP, |book| book.complaints().is_empty()).await;
        let total = self.ledger.with(|book| book.total());
        self.say("demo", &format!("receipts: {} delivered, {} read", total.delivered, total.read));
        Ok(())
    }

    async fn account_sends(&self, from: &Actor, to: &str, text: &str) -> Result<(), Failure> {
        self.plan(Some(from.index), to, text);
        from.send(to, text).await?;
        self.say(from.name, &format!("sends \"{text}\""));
        Ok(())
    }

    async fn phone_sends(&self, from: &str, to: &Actor, text: &str) -> Result<(), Failure> {
        self.plan(None, to.number, text);
        let sent = self.admin.send_text(from, to.number, text).await?;
        self.ledger.with(|book| book.phone_sent(text, sent.id));
        self.say(name_of(from), &format!("sends \"{text}\" (from the phone)"));
        Ok(())
    }

    fn plan(&self, from: Option<usize>, to: &str, text: &str) {
        let to_account = ACCOUNTS.iter().position(|(_, number)| *number == to);
        self.ledger.with(|book| book.plan(text, Message::new(from, to_account, to)));
    }

    /// Waits until everything planned was accepted and has arrived.
    async fn arrive(&self, what: &str) -> Result<(), Failure> {
        self.output.progress(format_args!("waiting for {what}"));
        let there = self.ledger.wait(STEP, |book| book.all_there()).await;
        if !there {
            let missing = self.ledger.with(|book| book.complaints().join("; "));
            return Err(Failure::failed(format!("did not arrive within {} s: {missing}", STEP.as_secs())));
        }
        let total = self.ledger.with(|book| book.total());
        self.say(
            "demo",
            &format!(
                "arrived: {what} ({} messages, {} delivered, {} read)",
                total.received, total.delivered, total.read
            ),
        );
        Ok(())
    }
}
