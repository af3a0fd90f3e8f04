//! When to ask for the next part of the offline queue (protocol 01 §15.1) and when to stop waiting for its end
//! (01 §14.2 steps 4 and 5). Pure: times come in, decisions go out.

use std::time::Duration;

use tokio::time::Instant;

/// How many stanzas one request asks for.
pub const BATCH: u32 = 200;
/// At most this many offline messages may wait for decryption when more are asked for.
pub const WAITING_MAX: usize = 200;
/// The shortest time between two requests.
const REQUEST_GAP: Duration = Duration::from_millis(100);
/// Quiet times after which a request is made without an offline stanza, first and second.
const FALLBACKS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// Inactivity after which the phase counts as over for the application.
const INACTIVE: Duration = Duration::from_secs(60);
/// A second preview this soon adds to the first.
const PREVIEW_ADDS: Duration = Duration::from_secs(1);
/// No sign of the offline phase this long after `<success>` of an active login: one `<active/>` all the same.
const DEAF_AFTER: Duration = Duration::from_secs(10);

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing before the next deadline.
    Wait,
    /// Send `<offline_batch/>`.
    Request,
    /// Send `<active/>`: the server does not start by itself.
    Activate,
    /// Go on without the end marker; the application is free.
    GoOn {
        /// Fewer stanzas came than announced: [`Action::Request`] was due once more and is included here.
        ask_again: bool,
    },
    /// Still no end marker a minute later: reconnect (at most once an hour for this cause).
    Reconnect,
}

/// One connection's offline phase.
#[derive(Debug, Clone)]
pub struct Offline {
    started: Instant,
    /// Login with `passive=false`: the guard of step 4 stands.
    guard: bool,
    preview: Option<(Instant, u64)>,
    received: u64,
    last_request: Option<Instant>,
    /// An offline stanza came since the last request.
    wanted: bool,
    /// Latest of preview, `<active/>`, request, offline stanza.
    last_activity: Instant,
    fallbacks: usize,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Gone on without the marker at this time; `short` if stanzas were missing.
    GoneOn {
        at: Instant,
        short: bool,
    },
    Over,
}

impl Offline {
    /// From `<success>` at `now`; `passive` as the login payload said.
    #[must_use]
    pub fn new(now: Instant, passive: bool) -> Self {
        Self {
            started: now,
            guard: !passive,
            preview: None,
            received: 0,
            last_request: None,
            wanted: false,
            last_activity: now,
            fallbacks: 0,
            phase: Phase::Running,
        }
    }

    /// `<offline_preview count/>`. A second one within a second adds, a later one is ignored.
    pub fn preview(&mut self, now: Instant, count: u64) {
        self.guard = false;
        match &mut self.preview {
            None => self.preview = Some((now, count)),
            Some((first, total)) if now < *first + PREVIEW_ADDS => *total = total.saturating_add(count),
            Some(_) => return,
        }
        self.last_activity = now;
    }

    /// `<active/>` of a passive login went out.
    pub fn activated(&mut self, now: Instant) {
        self.last_activity = now;
    }

    /// A stanza carrying `offline` came.
    pub fn stanza(&mut self, now: Instant) {
        self.guard = false;
        self.received = self.received.saturating_add(1);
        self.wanted = true;
        self.fallbacks = 0;
        self.last_activity = now;
    }

    /// `<offline/>` came.
    pub fn ended(&mut self) {
        self.guard = false;
        self.phase = Phase::Over;
    }

    /// True from the end marker on, or once we went on without it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase != Phase::Running
    }

    /// When [`poll`](Self::poll) is due next, if no more stanza comes. `waiting`: offline messages that wait for
    /// decryption.
    #[must_use]
    pub fn deadline(&self, waiting: usize) -> Option<Instant> {
        match self.phase {
            Phase::Over => None,
            Phase::GoneOn { at, short } => short.then(|| at + INACTIVE),
            Phase::Running => {
                let guard = self.guard.then(|| self.started + DEAF_AFTER);
                let next = [guard, self.request_due(waiting), self.fallback_due()];
                Some(next.into_iter().flatten().fold(self.last_activity + INACTIVE, Instant::min))
            }
        }
    }

    /// Decides. A request or `<active/>` counts as sent at `now`.
    pub fn poll(&mut self, now: Instant, waiting: usize) -> Action {
        match self.phase {
            Phase::Over => Action::Wait,
            Phase::GoneOn { at, short } => {
                if short && now >= at + INACTIVE {
                    self.phase = Phase::Over;
                    return Action::Reconnect;
                }
                Action::Wait
            }
            Phase::Running => self.poll_running(now, waiting),
        }
    }

    fn poll_running(&mut self, now: Instant, waiting: usize) -> Action {
        if self.guard && now >= self.started + DEAF_AFTER {
            self.guard = false;
            self.last_activity = now;
            return Action::Activate;
        }
        if now >= self.last_activity + INACTIVE {
            let short = self.preview.is_some_and(|(_, count)| self.received < count);
            self.phase = Phase::GoneOn { at: now, short };
            return Action::GoOn { ask_again: short };
        }
        if self.request_due(waiting).is_some_and(|due| now >= due) {
            self.requested(now);
            return Action::Request;
        }
        if self.fallback_due().is_some_and(|due| now >= due) {
            self.fallbacks += 1;
            self.requested(now);
            return Action::Request;
        }
        Action::Wait
    }

    fn requested(&mut self, now: Instant) {
        self.wanted = false;
        self.last_request = Some(now);
        self.last_activity = now;
    }

    /// Rules 1 and 2.
    fn request_due(&self, waiting: usize) -> Option<Instant> {
        if !self.wanted || waiting > WAITING_MAX {
            return None;
        }
        Some(self.last_request.map_or(self.last_activity, |last| self.last_activity.max(last + REQUEST_GAP)))
    }

    /// Rule 3; it rests while rule 2 waits for decryption.
    fn fallback_due(&self) -> Option<Instant> {
        let announced = self.preview.is_some_and(|(_, count)| count > 0);
        if !announced || self.wanted {
            return None;
        }
        FALLBACKS.get(self.fallbacks).map(|quiet| self.last_activity + *quiet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Polls at each deadline up to `until` and gives what happened, in seconds since the start.
    fn run(offline: &mut Offline, start: Instant, until: u64) -> Vec<(f64, Action)> {
        let mut log = Vec::new();
        while let Some(due) = offline.deadline(0).filter(|due| *due <= start + Duration::from_secs(until)) {
            let action = offline.poll(due, 0);
            if action != Action::Wait {
                log.push(((due - start).as_secs_f64(), action));
            }
        }
        log
    }

    #[test]
    fn no_request_before_the_first_stanza_that_carries_offline() {
        let start = Instant::now();
        let mut offline = Offline::new(start, true);
        offline.preview(start, 450);
        assert_eq!(offline.poll(start + Duration::from_millis(1900), 0), Action::Wait);
        offline.stanza(start + Duration::from_millis(1950));
        assert_eq!(offline.poll(start + Duration::from_millis(1950), 0), Action::Request);
    }

    #[test]
    fn batches_are_requested_until_the_end_and_never_within_100_ms_of_the_last() {
        let start = Instant::now();
        let mut offline = Offline::new(start, true);
        offline.preview(start, 450);
        let mut requests = Vec::new();
        for n in 0..450_u64 {
            let now = start + Duration::from_millis(n);
            offline.stanza(now);
            if offline.poll(now, 0) == Action::Request {
                requests.push(n);
            }
        }
        assert_eq!(requests, [0, 100, 200, 300, 400]);
        offline.ended();
        assert_eq!(offline.deadline(0), None);
    }

    #[test]
    fn nothing_is_asked_while_more_than_200_wait_for_decryption() {
        let start = Instant::now();
        let mut offline = Offline::new(start, true);
        offline.preview(start, 450);
        offline.stanza(start);
        assert_eq!(offline.poll(start + Duration::from_secs(20), 201), Action::Wait);
        assert_eq!(offline.poll(start + Duration::from_secs(20), 200), Action::Request);
    }

    #[test]
    fn without_primer_one_request_after_2_s_a_second_10_s_later_then_the_limit() {
        let start = Instant::now();
        let mut offline = Offline::new(start, true);
        offline.preview(start, 450);
        assert_eq!(
            run(&mut offline, start, 600),
            [
                (2.0, Action::Request),
                (12.0, Action::Request),
                (72.0, Action::GoOn { ask_again: true }),
                (132.0, Action::Reconnect),
            ]
        );
    }

    #[test]
    fn a_new_offline_stanza_starts_the_fallback_afresh() {
        let start = Instant::now();
        let mut offline = Offline::new(start, true);
        offline.preview(start, 450);
        run(&mut offline, start, 15);
        offline.stanza(start + Duration::from_secs(20));
        assert_eq!(
            run(&mut offline, start, 40),
            [(20.0, Action::Request), (22.0, Action::Request), (32.0, Action::Request)]
        );
    }

    #[test]
    fn an_active_login_without_a_sign_of_the_phase_sends_active_once_after_10_s() {
        let start = Instant::now();
        let mut offline = Offline::new(start, false);
        assert_eq!(
            run(&mut offline, start, 600),
            [(10.0, Action::Activate), (70.0, Action::GoOn { ask_again: false })]
        );
        let mut told = Offline::new(start, false);
        told.preview(start, 0);
        assert_eq!(run(&mut told, start, 30), []);
    }

    #[test]
    fn a_second_preview_within_a_second_adds_and_a_later_one_is_ignored() {
        let start = Instant::now();
        let mut offline = Offline::new(start, true);
        offline.preview(start, 1);
        offline.preview(start + Duration::from_millis(900), 2);
        offline.preview(start + Duration::from_millis(1100), 40);
        assert_eq!(offline.preview.map(|(_, count)| count), Some(3));
    }
}
