//! How old a version of the web client is (protocol 01 §13): an old one links no more, later logs in no more. Pure.

use crate::client::payload::ClientVersion;

/// Revisions and the day they appeared, days since the Unix epoch.
const KNOWN: [(u32, i64); 7] = [
    (1_021_018_791, 20_166),
    (1_025_473_630, 20_304),
    (1_030_403_648, 20_423),
    (1_033_287_297, 20_495),
    (1_037_076_227, 20_553),
    (1_040_847_988, 20_608),
    (1_045_649_367, 20_685),
];
/// How much the revision grows a day, beyond what is known.
const PER_DAY: i64 = 50_000;
/// From this age on a version is said to be old.
pub const OLD_DAYS: i64 = 60;

/// The age in days, at `now` (Unix seconds).
#[must_use]
pub fn age(version: ClientVersion, now: i64) -> i64 {
    let ClientVersion([_, _, revision]) = version;
    now.div_euclid(86_400) - day(revision)
}

/// The day a revision appeared, interpolated.
fn day(revision: u32) -> i64 {
    let revision = i64::from(revision);
    let known = KNOWN.map(|(revision, day)| (i64::from(revision), day));
    let between = known.windows(2).find_map(|pair| match pair {
        [(low, from), (high, to)] if (*low..=*high).contains(&revision) => {
            Some(from + (to - from) * (revision - low) / (high - low))
        }
        _ => None,
    });
    let [(first, first_day), .., (last, last_day)] = known;
    between.unwrap_or_else(|| {
        if revision < first {
            first_day - (first - revision) / PER_DAY
        } else {
            last_day + (revision - last) / PER_DAY
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_version_is_interpolated_between_known_ones() {
        let at = |revision, day: i64| age(ClientVersion([2, 3000, revision]), day * 86_400);
        for (revision, day) in KNOWN {
            assert_eq!(at(revision, day + 5), 5);
        }
        assert_eq!(at((1_025_473_630 + 1_030_403_648) / 2, 20_423), 60);
        assert_eq!(at(1_045_649_367 + 500_000, 20_695), 0);
        assert!(at(1_000_000_000, 20_166) > 300);
    }
}
