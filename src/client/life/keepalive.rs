//! When to ping, and when a connection is dead (protocol 01 §16). Pure: times come in, decisions go out. The
//! driver that pings and aborts is in the connection.

use std::time::Duration;

use rand::RngExt as _;
use rand_core::CryptoRng;
use tokio::time::Instant;

use crate::clock::UnixMillis;

/// The numbers of keepalive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Shortest time between two ticks.
    pub tick_min: Duration,
    /// Longest time between two ticks.
    pub tick_max: Duration,
    /// How long nothing may come after a ping.
    pub dead_after: Duration,
    /// How long one frame may take from its first byte.
    pub frame_max: Duration,
    /// A difference of wall and monotonic time above this means the machine slept.
    pub sleep_jump: Duration,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            tick_min: Duration::from_secs(15),
            tick_max: Duration::from_secs(30),
            dead_after: Duration::from_secs(20),
            frame_max: Duration::from_secs(180),
            sleep_jump: Duration::from_secs(60),
        }
    }
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing before the next deadline.
    Wait,
    /// Send a ping.
    Ping,
    /// Abort the socket.
    Dead,
}

/// One connection's liveness.
#[derive(Debug, Clone)]
pub struct Keepalive {
    numbers: Numbers,
    next_tick: Instant,
    last_received: Instant,
    /// The dead timer's start: the first send after a receive that expects a reply.
    armed: Option<Instant>,
    /// The first ping since the last receive: it is this one that is judged.
    pinged: Option<Instant>,
    /// First byte of a frame that is not complete.
    incomplete: Option<Instant>,
    /// A pair of readings of both clocks.
    clocks: (Instant, UnixMillis),
}

impl Keepalive {
    /// From the end of the handshake at `now`.
    pub fn new<R: CryptoRng + ?Sized>(numbers: Numbers, now: Instant, wall: UnixMillis, rng: &mut R) -> Self {
        let mut this = Self {
            numbers,
            next_tick: now,
            last_received: now,
            armed: None,
            pinged: None,
            incomplete: None,
            clocks: (now, wall),
        };
        this.draw_tick(now, rng);
        this
    }

    /// Bytes came; `incomplete` says that the last of them belong to a frame that is not whole.
    pub fn received(&mut self, now: Instant, completed: bool, incomplete: bool) {
        self.last_received = now;
        self.armed = None;
        self.pinged = None;
        if completed || !incomplete {
            self.incomplete = None;
        }
        if incomplete {
            self.incomplete.get_or_insert(now);
        }
    }

    /// Something was sent that expects a reply. Later sends do not push the dead timer out.
    pub fn sent(&mut self, now: Instant) {
        self.armed.get_or_insert(now);
    }

    /// When [`poll`](Self::poll) is due next.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let judged = self.pinged.map(|at| at + self.numbers.dead_after);
        let frame = self.incomplete.map(|at| at + self.numbers.frame_max);
        [judged, frame].into_iter().flatten().fold(self.next_tick, Instant::min)
    }

    /// Decides. After [`Action::Ping`] the ping counts as sent at `now`.
    pub fn poll<R: CryptoRng + ?Sized>(&mut self, now: Instant, wall: UnixMillis, rng: &mut R) -> Action {
        if self.incomplete.is_some_and(|at| now >= at + self.numbers.frame_max) || self.ping_unanswered(now) {
            return Action::Dead;
        }
        let slept = self.slept(now, wall);
        if now < self.next_tick && !slept {
            return Action::Wait;
        }
        self.draw_tick(now, rng);
        let quiet = now >= self.last_received + self.numbers.dead_after;
        if self.armed.is_some() && !quiet && !slept {
            // A skipped ping must not postpone the detection of a line that has just died.
            self.next_tick = self.next_tick.min(self.last_received + self.numbers.tick_max);
            return Action::Wait;
        }
        self.sent(now);
        self.pinged.get_or_insert(now);
        Action::Ping
    }

    /// A ping was sent, and since then no byte came for the whole dead time. The dead timer has then expired
    /// too: the ping itself armed it at the latest.
    fn ping_unanswered(&self, now: Instant) -> bool {
        self.pinged.is_some_and(|at| now >= at + self.numbers.dead_after)
    }

    /// The wall moved much more than the monotonic clock since the last look.
    fn slept(&mut self, now: Instant, wall: UnixMillis) -> bool {
        let (then, wall_then) = self.clocks;
        self.clocks = (now, wall);
        let monotonic = i64::try_from(now.saturating_duration_since(then).as_millis()).unwrap_or(i64::MAX);
        let limit = u64::try_from(self.numbers.sleep_jump.as_millis()).unwrap_or(u64::MAX);
        wall.saturating_sub(wall_then).saturating_sub(monotonic).unsigned_abs() > limit
    }

    fn draw_tick<R: CryptoRng + ?Sized>(&mut self, now: Instant, rng: &mut R) {
        self.next_tick = now + rng.random_range(self.numbers.tick_min..=self.numbers.tick_max);
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    struct Line {
        keepalive: Keepalive,
        start: Instant,
        rng: ChaCha20Rng,
    }

    impl Line {
        fn new(seed: u64) -> Self {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let start = Instant::now();
            Self { keepalive: Keepalive::new(Numbers::default(), start, 0, &mut rng), start, rng }
        }

        fn poll(&mut self, at: Instant) -> Action {
            let wall = i64::try_from((at - self.start).as_millis()).unwrap();
            self.keepalive.poll(at, wall, &mut self.rng)
        }

        /// Polls at every deadline until it is dead; `on` may answer or send in between.
        fn run(
            &mut self,
            limit: Duration,
            mut on: impl FnMut(&mut Keepalive, Instant, Action),
        ) -> Option<Duration> {
            loop {
                let now = self.keepalive.deadline();
                if now - self.start > limit {
                    return None;
                }
                match self.poll(now) {
                    Action::Dead => return Some(now - self.start),
                    action => on(&mut self.keepalive, now, action),
                }
            }
        }
    }

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_half_open_server_is_dead_within_20_seconds_and_one_interval() {
        for seed in 0..200 {
            let dead = Line::new(seed).run(DAY, |_, _, _| ()).unwrap();
            assert!(dead >= Duration::from_secs(35) && dead <= Duration::from_secs(50), "{dead:?}");
        }
    }

    #[test]
    fn continuous_outbound_traffic_does_not_postpone_detection() {
        for seed in 0..200 {
            let mut line = Line::new(seed);
            let (mut second, mut dead) = (0_u64, None);
            while dead.is_none() {
                second += 1;
                let now = line.start + Duration::from_secs(second);
                line.keepalive.sent(now);
                dead = (line.poll(now) == Action::Dead).then_some(second);
            }
            assert!(dead <= Some(51), "{dead:?}");
        }
    }

    #[test]
    fn a_healthy_quiet_server_is_never_left() {
        let dead = Line::new(7).run(DAY, |keepalive, now, action| {
            if action == Action::Ping {
                keepalive.received(now + Duration::from_millis(80), true, false);
            }
        });
        assert_eq!(dead, None);
    }

    #[test]
    fn one_request_that_the_server_ignores_does_not_end_the_connection() {
        let mut line = Line::new(8);
        line.keepalive.sent(line.start);
        let dead = line.run(DAY, |keepalive, now, action| {
            if action == Action::Ping {
                keepalive.received(now + Duration::from_secs(1), true, false);
                keepalive.sent(now + Duration::from_secs(2));
            }
        });
        assert_eq!(dead, None);
    }

    #[test]
    fn a_slow_frame_is_alive_until_180_seconds_after_its_first_byte() {
        let mut line = Line::new(9);
        let first = line.start + Duration::from_secs(1);
        line.keepalive.received(first, false, true);
        let dead = line.run(DAY, |keepalive, now, _| keepalive.received(now, false, true));
        assert_eq!(dead, Some(Duration::from_secs(181)));
    }

    #[test]
    fn after_the_machine_slept_it_pings_at_once() {
        let mut line = Line::new(10);
        let now = line.start + Duration::from_secs(2);
        assert_eq!(line.keepalive.poll(now, 2_000, &mut line.rng), Action::Wait);
        let later = line.start + Duration::from_secs(3);
        assert_eq!(line.keepalive.poll(later, 3_600_000, &mut line.rng), Action::Ping);
    }
}
