//! How old the web client's version in use is (protocol 01 §13): an old one links no more, later logs in no more.

use palomar::client::payload::ClientVersion;
use palomar::client::version::{OLD_DAYS, age};

use crate::exit::{Exit, Failure};

/// From here on no phone is linked with it unless forced: 12 weeks. About then linking begins to fail on the phone
/// although everything looks well here.
const LINK_DAYS: i64 = 84;

/// Where a newer version comes from.
pub const WHERE_FROM: &str = "take a newer build of palomar, or open https://web.whatsapp.com/sw.js in a browser, find the \
number behind client_revision, and give it: --client-version 2.3000.NUMBER (or client_version in palomar.toml)";

/// How old a version is, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Nothing to say.
    Fresh(i64),
    /// Old enough to be looked after.
    Old(i64),
    /// Too old to link a phone with.
    TooOldToLink(i64),
}

impl Age {
    /// At `now` (Unix seconds).
    pub fn of(version: ClientVersion, now: i64) -> Self {
        match age(version, now) {
            days if days > LINK_DAYS => Self::TooOldToLink(days),
            days if days > OLD_DAYS => Self::Old(days),
            days => Self::Fresh(days),
        }
    }

    /// The days.
    pub fn days(self) -> i64 {
        match self {
            Self::Fresh(days) | Self::Old(days) | Self::TooOldToLink(days) => days,
        }
    }
}

/// Refuses to link with a version that is too old for it.
pub fn may_link(version: ClientVersion, now: i64) -> Result<(), Failure> {
    let Age::TooOldToLink(days) = Age::of(version, now) else { return Ok(()) };
    let what = format!(
        "the web client's version {version} is about {days} days old: with one older than {LINK_DAYS} days phones show \
         \"couldn't link device\", and an outdated client draws attention"
    );
    Err(Failure::new(Exit::Refused, what).next(format!("{WHERE_FROM}; --force-version links all the same")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_phone_is_linked_with_a_version_older_than_twelve_weeks() {
        let version = ClientVersion([2, 3000, 1_045_649_367]);
        let on = |day: i64| (20_685 + day) * 86_400;
        assert_eq!(Age::of(version, on(60)), Age::Fresh(60));
        assert_eq!(Age::of(version, on(61)), Age::Old(61));
        may_link(version, on(84)).unwrap();
        let refused = may_link(version, on(85)).unwrap_err();
        assert_eq!(refused.exit, Exit::Refused);
        assert!(refused.what.contains("85 days") && refused.next.unwrap().contains("--force-version"));
    }
}
