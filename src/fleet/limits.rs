//! The numbers that keep a fleet inconspicuous, with the defaults of the operations guide (research, SR-010 to SR-064), and
//! the ranges outside of which a start warns.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The limits of a fleet. Every count of connections is per egress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Whether more than one account is served at all (`USE_MULTI_SESSION`).
    pub multi: bool,
    /// Accounts connected at once (`MAX_CONCURRENT_CONNECTIONS`).
    pub connected: usize,
    /// Accounts between dial and ready at once (`MAX_CONNECTING`).
    pub connecting: usize,
    /// The random delay before a dial (`CONNECT_DELAY_MIN_MS`, `CONNECT_DELAY_MAX_MS`).
    pub connect_delay: RangeInclusive<Duration>,
    /// The pause of the queue between two accounts (`QUEUE_PAUSE_MS`).
    pub queue_pause: Duration,
    /// Rounds of QR codes before a link request has expired; each round is one connection.
    pub qr_rounds: u32,
    /// From the start of one link to the start of the next.
    pub link_pace: Duration,
    /// From the end of one link to the start of the next, while an account of the egress is in cooldown.
    pub link_pace_in_trouble: RangeInclusive<Duration>,
    /// Link attempts of one account in an hour.
    pub links_per_hour: usize,
    /// No link before this, after a start that follows a clean wipe.
    pub first_link_after_wipe: Duration,
    /// The cooldown after a log-out, drawn once for each (`LOGOUT_COOLDOWN_MIN_MS`, `LOGOUT_COOLDOWN_MAX_MS`).
    pub logout_cooldown: RangeInclusive<Duration>,
    /// Dials of one account in an hour, of its own accord.
    pub dials_per_hour: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            multi: true,
            connected: 5,
            connecting: 3,
            connect_delay: seconds(1)..=seconds(3),
            queue_pause: seconds(2),
            qr_rounds: 5,
            link_pace: seconds(30),
            link_pace_in_trouble: seconds(60)..=seconds(120),
            links_per_hour: 3,
            first_link_after_wipe: seconds(60),
            logout_cooldown: seconds(300)..=seconds(600),
            dials_per_hour: 30,
        }
    }
}

/// One of the limits, by the name it is configured under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `MAX_CONCURRENT_CONNECTIONS`.
    Connected,
    /// `MAX_CONNECTING`.
    Connecting,
    /// `CONNECT_DELAY_MIN_MS` and `CONNECT_DELAY_MAX_MS`.
    ConnectDelay,
    /// `QUEUE_PAUSE_MS`.
    QueuePause,
    /// `LOGOUT_COOLDOWN_MIN_MS` and `LOGOUT_COOLDOWN_MAX_MS`.
    LogoutCooldown,
}

impl Limit {
    /// The variable or variables that set it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "MAX_CONCURRENT_CONNECTIONS",
            Self::Connecting => "MAX_CONNECTING",
            Self::ConnectDelay => "CONNECT_DELAY_MIN_MS, CONNECT_DELAY_MAX_MS",
            Self::QueuePause => "QUEUE_PAUSE_MS",
            Self::LogoutCooldown => "LOGOUT_COOLDOWN_MIN_MS, LOGOUT_COOLDOWN_MAX_MS",
        }
    }
}

/// A limit outside the range that is known to go well: it is kept as it is, and a start warns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange {
    /// Which.
    pub limit: Limit,
    /// Why it is doubtful.
    pub why: &'static str,
}

impl Limits {
    /// What a start warns about. Nothing is clamped.
    #[must_use]
    pub fn doubts(&self) -> Vec<OutOfRange> {
        let defaults = Self::default();
        let checks = [
            (
                self.connected > defaults.connected,
                Limit::Connected,
                "more than five accounts on one address draw suspicion",
            ),
            (
                self.connecting > defaults.connecting,
                Limit::Connecting,
                "more than three dials at once look like a machine",
            ),
            (
                self.connected == 0 || self.connecting == 0,
                Limit::Connecting,
                "with none allowed nothing ever connects",
            ),
            (
                self.connect_delay.start() < defaults.connect_delay.start() || self.connect_delay.is_empty(),
                Limit::ConnectDelay,
                "dials closer than a second look like a machine; the lower end comes first",
            ),
            (
                self.queue_pause < defaults.queue_pause,
                Limit::QueuePause,
                "accounts that start closer than two seconds look like a machine",
            ),
            (
                self.logout_cooldown.start() < defaults.logout_cooldown.start()
                    || self.logout_cooldown.is_empty(),
                Limit::LogoutCooldown,
                "linking again sooner than five minutes after a log-out is often refused",
            ),
        ];
        checks
            .into_iter()
            .filter(|(doubtful, ..)| *doubtful)
            .map(|(_, limit, why)| OutOfRange { limit, why })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_raise_no_doubt_and_every_breach_does() {
        assert!(Limits::default().doubts().is_empty());
        let doubtful = Limits {
            connected: 20,
            connecting: 10,
            connect_delay: Duration::from_millis(100)..=Duration::from_secs(1),
            queue_pause: Duration::ZERO,
            logout_cooldown: Duration::from_secs(30)..=Duration::from_secs(40),
            ..Limits::default()
        };
        let doubts = doubtful.doubts();
        let names: Vec<_> = doubts.iter().map(|doubt| doubt.limit.name()).collect();
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(doubts.iter().all(|doubt| !doubt.why.is_empty()));
    }
}
