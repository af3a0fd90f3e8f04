//! What the service's parting words mean for us: every row of protocol 01 §17 (`<failure>`) and 01 §18
//! (`<stream:error>`) as one pure function each. Who acts on the verdict is the life loop.

use std::time::Duration;

use crate::client::state::{LogOut, Stop};
use crate::clock::UnixMillis;
use crate::stanza::{
    failure::Failure,
    stream_error::{Conflict, StreamError},
};

/// What follows the end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Stand still, keep everything, tell a person.
    Stop(Stop),
    /// The link is gone: quarantine the store.
    LogOut(LogOut),
    /// Dial again at once, with the login payload (unpaired: the register payload). Not an error.
    Restart,
    /// Dial again after the backoff.
    Retry(Retry),
}

/// How a retry differs from a plain one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retry {
    /// Extra steps of the delay sequence, this once.
    pub extra: u32,
    /// Extra steps that stay until a later connection has been stable.
    pub penalise: bool,
    /// The least delay, as named by the service.
    pub minimum: Duration,
}

/// When the socket is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// By us, now.
    Now,
    /// By the server; by us if it takes longer than 10 s.
    AwaitServer,
}

/// The row of 01 §17 for a login connection (a registration connection never stops or wipes anything: there
/// every reason just ends the attempt). `version` is the client version that was used.
#[must_use]
pub fn failure(failure: &Failure, version: &str, now: UnixMillis) -> Verdict {
    let minimum = Duration::from_secs(failure.backoff.unwrap_or(0));
    let unknown = Verdict::Stop(Stop::UnknownFailure { reason: failure.reason });
    match failure.reason {
        Some(reason @ (401 | 403 | 406)) => Verdict::LogOut(LogOut::OnConnect { reason }),
        Some(402) => temp_ban(failure, now).map_or(unknown, Verdict::Stop),
        Some(405) => Verdict::Stop(Stop::ClientTooOld { version: version.to_owned() }),
        Some(409) => Verdict::Stop(Stop::BadUserAgent),
        Some(429) => Verdict::Retry(Retry { extra: 0, penalise: true, minimum }),
        Some(500 | 503) => Verdict::Retry(Retry { minimum, ..Retry::default() }),
        _ => unknown,
    }
}

/// A ban needs both its code and its length; a zero ban is none.
fn temp_ban(failure: &Failure, now: UnixMillis) -> Option<Stop> {
    let (code, expire) = (failure.code?, failure.expire?);
    let length = i64::try_from(expire).ok()?.checked_mul(1000)?;
    Some(Stop::TempBanned { code, until: now.saturating_add(length) })
}

/// The row of 01 §18: conflict first, then code, then children.
#[must_use]
pub fn stream_error(error: &StreamError) -> (Verdict, Close) {
    let minimum = Duration::from_secs(error.backoff.unwrap_or(0));
    let retry = Verdict::Retry(Retry { minimum, ..Retry::default() });
    match &error.conflict {
        Some(Conflict::Replaced) => return (Verdict::Stop(Stop::Replaced), Close::Now),
        Some(Conflict::DeviceRemoved) => return (Verdict::LogOut(LogOut::DeviceRemoved), Close::Now),
        // An unknown word wipes nothing: the next login confirms it.
        Some(Conflict::Other) => return (retry, Close::Now),
        None => {}
    }
    match error.code {
        Some(409) => (Verdict::Stop(Stop::Replaced), Close::Now),
        Some(515) => (Verdict::Restart, Close::Now),
        Some(516) => (Verdict::LogOut(LogOut::Forced), Close::Now),
        Some(429) => (Verdict::Retry(Retry { extra: 0, penalise: true, minimum }), Close::Now),
        Some(503) => (retry, Close::AwaitServer),
        // 401 is no log-out: the next login confirms it.
        Some(401 | 500..=599) => (retry, Close::Now),
        _ if error.not_well_formed => (retry, Close::Now),
        _ => (retry, Close::AwaitServer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = 1_786_000_000_000;

    fn judge(reason: impl Into<Option<u32>>) -> Verdict {
        failure(&Failure { reason: reason.into(), ..Failure::default() }, "2.3000.1", NOW)
    }

    fn retry() -> Verdict {
        Verdict::Retry(Retry::default())
    }

    fn penalised() -> Verdict {
        Verdict::Retry(Retry { penalise: true, ..Retry::default() })
    }

    #[test]
    fn each_failure_row_drives_exactly_the_stated_action() {
        for reason in [401, 403, 406] {
            assert_eq!(judge(reason), Verdict::LogOut(LogOut::OnConnect { reason }), "{reason}");
        }
        assert_eq!(judge(405), Verdict::Stop(Stop::ClientTooOld { version: "2.3000.1".into() }));
        assert_eq!(judge(409), Verdict::Stop(Stop::BadUserAgent));
        assert_eq!(judge(429), penalised());
        for reason in [500, 503] {
            assert_eq!(judge(reason), retry(), "{reason}");
        }
        for reason in [400, 402, 411, 413, 414, 415, 418, 501, 404, 599, 0, 70_000] {
            let stop = Stop::UnknownFailure { reason: Some(reason) };
            assert_eq!(judge(reason), Verdict::Stop(stop), "{reason}");
        }
        assert_eq!(judge(None), Verdict::Stop(Stop::UnknownFailure { reason: None }));
    }

    #[test]
    fn a_temporary_ban_needs_code_and_expire_and_counts_seconds_from_now() {
        let ban = |code, expire| Failure { reason: Some(402), code, expire, ..Failure::default() };
        let until = NOW + 3_600_000;
        let told = Verdict::Stop(Stop::TempBanned { code: 101, until });
        assert_eq!(failure(&ban(Some(101), Some(3600)), "", NOW), told);
        let unknown = Verdict::Stop(Stop::UnknownFailure { reason: Some(402) });
        assert_eq!(failure(&ban(None, Some(3600)), "", NOW), unknown);
        assert_eq!(failure(&ban(Some(101), None), "", NOW), unknown);
        assert_eq!(failure(&ban(Some(101), Some(u64::MAX)), "", NOW), unknown);
    }

    #[test]
    fn backoff_named_by_the_service_is_a_minimum() {
        let told = Failure { reason: Some(503), backoff: Some(90), ..Failure::default() };
        let minimum = Duration::from_secs(90);
        assert_eq!(failure(&told, "", NOW), Verdict::Retry(Retry { minimum, ..Retry::default() }));
        let told = StreamError { code: Some(429), backoff: Some(90), ..StreamError::default() };
        assert_eq!(stream_error(&told).0, Verdict::Retry(Retry { penalise: true, minimum, extra: 0 }));
    }

    #[test]
    fn each_stream_error_row_drives_exactly_the_stated_action() {
        let row = |code: Option<u32>, conflict: Option<Conflict>| StreamError {
            code,
            conflict,
            ..StreamError::default()
        };
        let replaced = (Verdict::Stop(Stop::Replaced), Close::Now);
        let removed = (Verdict::LogOut(LogOut::DeviceRemoved), Close::Now);
        let cases = [
            (row(None, Some(Conflict::Replaced)), replaced.clone()),
            (row(Some(401), Some(Conflict::Replaced)), replaced.clone()),
            (row(Some(401), Some(Conflict::DeviceRemoved)), removed.clone()),
            (row(Some(515), Some(Conflict::DeviceRemoved)), removed),
            (row(Some(401), Some(Conflict::Other)), (retry(), Close::Now)),
            (row(Some(401), None), (retry(), Close::Now)),
            (row(Some(409), None), replaced),
            (row(Some(515), None), (Verdict::Restart, Close::Now)),
            (row(Some(516), None), (Verdict::LogOut(LogOut::Forced), Close::Now)),
            (row(Some(429), None), (penalised(), Close::Now)),
            (row(Some(503), None), (retry(), Close::AwaitServer)),
            (row(Some(500), None), (retry(), Close::Now)),
            (row(Some(599), None), (retry(), Close::Now)),
            (row(Some(477), None), (retry(), Close::AwaitServer)),
            (row(None, None), (retry(), Close::AwaitServer)),
        ];
        for (error, expected) in cases {
            assert_eq!(stream_error(&error), expected, "{error:?}");
        }
        let broken = StreamError { not_well_formed: true, ..StreamError::default() };
        assert_eq!(stream_error(&broken), (retry(), Close::Now));
        let unacked = StreamError { unacked: Some("3EB0".into()), ..StreamError::default() };
        assert_eq!(stream_error(&unacked), (retry(), Close::AwaitServer));
    }
}
