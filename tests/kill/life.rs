//! The lives of the client process: traffic both ways until the instant at which it ends.

use std::time::{Duration, Instant};

use palomar::sim::{Admin, Expectation};
use rand::RngExt as _;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::books::{Books, shortened};
use crate::process::{Place, Process};
use crate::{ACCOUNT, PATIENCE};

/// Messages that may be under way to the application, and from it. What comes in is quicker, and keeps the store busy.
const WINDOW_IN: usize = 3;
const WINDOW_OUT: usize = 12;

/// When a life ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// So long after the start of the process.
    Started(Duration),
    /// So long after its login.
    LoggedIn(Duration),
    /// When everything has arrived; no new messages.
    Settled,
}

/// Both sides of the conversation.
pub struct Harness {
    admin: Admin,
    /// The account's number.
    own: String,
    /// The contact's number.
    contact: String,
    place: Place,
    rng: ChaCha20Rng,
    pub books: Books,
    next: u64,
    /// Items that are booked: of the own phone's inbox, of the contact's.
    booked: [usize; 2],
    /// How long the slowest start took, from the process to the login, up to a limit.
    start: Duration,
    undecryptable: usize,
    kills: usize,
}

impl Harness {
    pub fn new(admin: Admin, own: String, contact: String, place: Place, seed: u64) -> Self {
        Self {
            admin,
            own,
            contact,
            place,
            rng: ChaCha20Rng::seed_from_u64(seed),
            books: Books::default(),
            next: 0,
            booked: [0; 2],
            start: Duration::from_millis(50),
            undecryptable: 0,
            kills: 0,
        }
    }

    /// The next instant: one in three during the start.
    pub fn draw(&mut self) -> End {
        if self.rng.random_range(0..3) == 0 {
            End::Started(self.start.mul_f64(self.rng.random_range(0.0..1.3)))
        } else {
            End::LoggedIn(Duration::from_millis(self.rng.random_range(5..=150)))
        }
    }

    /// One line about the run.
    pub fn summary(&self) -> String {
        let (towards, from) = self.books.totals();
        format!(
            "{} kills, {towards} messages in, {from} out, {} events again, {} first undecryptable, start {:?}",
            self.kills, self.books.repeated, self.undecryptable, self.start
        )
    }

    /// Starts the process, lets both sides talk until `end`, kills it.
    pub async fn live(&mut self, end: End) {
        let settle = matches!(end, End::Settled);
        let ended = instant(self.admin.clone(), self.own.clone(), self.admin.cursor(), end);
        tokio::pin!(ended);
        let mut process = Process::start(&self.place, &["listen", ACCOUNT, "--commands"]);
        for text in self.books.unanswered() {
            self.offer(&mut process, &text);
        }
        if self.next == 0 {
            self.contact_sends().await;
            self.client_sends(&mut process);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.book_phones().await;
            if settle && self.is_settled() {
                break;
            }
            if !settle {
                self.top_up(&mut process).await;
            }
            let admin = self.admin.clone();
            let (own, contact, [at_own, at_contact]) = (self.own.clone(), self.contact.clone(), self.booked);
            tokio::select! {
                biased;
                start = &mut ended => {
                    self.note_start(start);
                    break;
                }
                line = process.line() => match line {
                    Some(line) => self.hear(&line, settle, Some(&mut process)),
                    None => self.died(process),
                },
                _ = admin.wait_inbox(&own, at_own, PATIENCE), if settle => {}
                _ = admin.wait_inbox(&contact, at_contact, PATIENCE), if settle => {}
            }
            let stuck = || shortened(&[self.books.verdict(), self.books.open()].concat());
            assert!(Instant::now() < deadline, "stuck: {}\n{}", self.summary(), stuck());
        }
        self.kills += usize::from(!settle);
        // What it had printed has reached the application, but no answer reaches the process any more.
        for line in process.kill().await {
            self.hear(&line, settle, None);
        }
    }

    fn is_settled(&self) -> bool {
        self.books.underway_in() + self.books.underway_out() + self.books.missing_at_phones() == 0
    }

    async fn top_up(&mut self, process: &mut Process) {
        while self.books.underway_in() < WINDOW_IN {
            self.contact_sends().await;
        }
        while self.books.underway_out() < WINDOW_OUT {
            self.client_sends(process);
        }
    }

    async fn contact_sends(&mut self) {
        self.next += 1;
        let text = format!("in-{:06}", self.next);
        self.admin.send_text(&self.contact, &self.own, &text).await.expect("the contact's phone sends");
        self.books.contact_sent(&text);
    }

    fn client_sends(&mut self, process: &mut Process) {
        self.next += 1;
        let text = format!("out-{:06}", self.next);
        self.offer(process, &text);
    }

    fn offer(&mut self, process: &mut Process, text: &str) {
        self.books.offer(text);
        process.tell(&json!({ "send": { "to": self.contact, "text": text, "key": text } }));
    }

    /// One line of the process, and the application's answer to it.
    fn hear(&mut self, line: &Value, settle: bool, process: Option<&mut Process>) {
        if let Some(key) = line["accepted"].as_str() {
            self.books.accepted(key);
        }
        if let Some(key) = line["sent"].as_str() {
            self.books.sent(key);
        }
        assert!(line.get("failed").is_none() && line.get("error").is_none(), "{line}");
        let Some(id) = line["event_id"].as_str() else { return };
        match line["event"].as_str() {
            Some("message") if line["from_me"] == false => {
                self.books.application_got(id, line["text"].as_str().unwrap_or_default());
            }
            Some("outgoing") => assert!(line["state"].get("sent").is_some(), "{line}"),
            Some("undecryptable") => self.undecryptable += 1,
            _ => {}
        }
        // Now and then the application falls over before it can acknowledge: the event must come again.
        let acknowledges = settle || self.rng.random_range(0..10) > 0;
        if let (Some(process), true) = (process, acknowledges) {
            process.tell(&json!({ "ack": id }));
        }
    }

    async fn book_phones(&mut self) {
        let items = self.admin.inbox(&self.own, self.booked[0]).await.expect("an account");
        self.booked[0] += items.len();
        for item in items.iter().filter(|item| item.own_copy && item.decrypt_ok) {
            self.books.own_phone_got(item.text.as_deref().unwrap_or_default());
        }
        let items = self.admin.inbox(&self.contact, self.booked[1]).await.expect("an account");
        self.booked[1] += items.len();
        for item in items.iter().filter(|item| item.decrypt_ok) {
            self.books.contact_got(item.text.as_deref().unwrap_or_default());
        }
    }

    fn note_start(&mut self, start: Option<Duration>) {
        let start = start.unwrap_or_default().min(Duration::from_secs(1));
        self.start = self.start.max(start);
    }

    fn died(&self, mut process: Process) -> ! {
        let (status, log) = process.end();
        panic!("the process ended by itself ({status}) after {}\n{log}", self.summary());
    }
}

/// Comes to an end when the life does. How long the start took, where that was seen.
async fn instant(admin: Admin, own: String, since: u64, end: End) -> Option<Duration> {
    let begun = Instant::now();
    match end {
        End::Started(delay) => {
            sleep(delay).await;
            None
        }
        End::LoggedIn(delay) => {
            // The first thing that a client says on its own after a login.
            let first = Expectation {
                account: own,
                tag: "ib".to_owned(),
                since: Some(since),
                within: PATIENCE,
                ..Expectation::default()
            };
            admin.expect(&first).await.expect("the client logs in");
            let start = begun.elapsed();
            sleep(delay).await;
            Some(start)
        }
        End::Settled => std::future::pending().await,
    }
}
