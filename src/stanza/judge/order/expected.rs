//! What is expected, as data: each stanza with its place in the order and how often it may come there, and the counts of a
//! quiet day. Every row names the place in the protocol chapters that demands it.

use super::mark::Mark;

/// A stanza with its place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The stanza.
    pub mark: Mark,
    /// The first and the last stage at which it may come. Stanzas of one stage come in any order.
    pub stages: (u8, u8),
    /// How often at least.
    pub least: u32,
    /// How often at most.
    pub most: u32,
    /// Where the chapters say so.
    pub place: &'static str,
}

const fn step(mark: Mark, stages: (u8, u8), counts: (u32, u32), place: &'static str) -> Step {
    Step { mark, stages, least: counts.0, most: counts.1, place }
}

/// As often as it likes.
const ANY: u32 = u32::MAX;

/// From the first stanza of a registration to a minute after "ready" of the login that follows it. That login is passive,
/// and before the critical app state was synced there is no `unified_session`.
pub const LINK: &[Step] = &[
    step(Mark::PairDevice, (0, 0), (1, 1), "02 §3"),
    step(Mark::Result, (1, 9), (1, ANY), "02 §3, and 01 §14.3"),
    step(Mark::PairSuccess, (2, 2), (1, 1), "02 §5"),
    step(Mark::PairDeviceSign, (3, 3), (1, 1), "02 §5"),
    step(Mark::Restart, (4, 4), (1, 1), "02 §5"),
    step(Mark::Success, (5, 5), (1, 1), "01 §14"),
    step(Mark::OfflinePreview, (6, 8), (0, 2), "01 §14.2 step 5"),
    step(Mark::PrekeyUpload, (6, 6), (1, 1), "01 §14.2 step 3"),
    step(Mark::Properties, (6, 6), (1, 1), "01 §14.2 step 3"),
    step(Mark::Active, (7, 7), (1, 1), "01 §14.2 step 4"),
    step(Mark::OfflineBatch, (6, 8), (0, ANY), "01 §15.1"),
    step(Mark::OfflineEnd, (6, 8), (1, 1), "01 §14.2 step 5"),
    step(Mark::Unavailable, (9, 9), (1, 1), "01 §14.2 step 6"),
    step(Mark::Privacy, (9, 9), (1, 1), "01 §14.2 step 7"),
    step(Mark::Blocklist, (9, 9), (0, 1), "01 §14.2 step 7"),
    step(Mark::DeviceQuery, (9, 9), (1, 1), "05a §2, own devices"),
    step(Mark::Mex, (9, 9), (0, 2), "05d §9.1"),
    step(Mark::UnifiedSession, (9, 9), (0, 0), "01 §14.2 step 2"),
    step(Mark::KeyCount, (9, 9), (0, 0), "05a §5.1"),
    step(Mark::KeyDigest, (9, 9), (0, 0), "05a §5.1"),
    step(Mark::Rotation, (9, 9), (0, 0), "04 §2"),
    step(Mark::Available, (9, 9), (0, 0), "05d §1"),
    step(Mark::Stats, (9, 9), (0, 0), "01 §14.2"),
    step(Mark::Ping, (0, 9), (0, ANY), "01 §16"),
    step(Mark::Receipt, (6, 9), (0, ANY), "05b §8"),
];

/// From `<success>` of any later login to a minute after "ready": nothing is due, so the login is not passive.
pub const LOGIN: &[Step] = &[
    step(Mark::Success, (0, 0), (1, 1), "01 §14"),
    step(Mark::UnifiedSession, (1, 1), (1, 1), "01 §14.2 step 2"),
    step(Mark::OfflinePreview, (1, 2), (0, 2), "01 §14.2 step 5"),
    step(Mark::OfflineBatch, (1, 2), (0, ANY), "01 §15.1"),
    step(Mark::OfflineEnd, (1, 2), (1, 1), "01 §14.2 step 5"),
    step(Mark::Unavailable, (3, 3), (1, 1), "01 §14.2 step 6"),
    step(Mark::Privacy, (3, 3), (1, 1), "01 §14.2 step 7"),
    step(Mark::Blocklist, (3, 3), (0, 1), "01 §14.2 step 7"),
    step(Mark::Mex, (3, 3), (0, 2), "05d §9.1"),
    step(Mark::Properties, (3, 3), (0, 0), "01 §14.2 step 7, not due"),
    step(Mark::DeviceQuery, (3, 3), (0, 0), "05a §3, the list is fresh"),
    step(Mark::PrekeyUpload, (3, 3), (0, 0), "05a §5.1, not due"),
    step(Mark::Active, (3, 3), (0, 0), "01 §14.2 step 4"),
    step(Mark::KeyCount, (3, 3), (0, 0), "05a §5.1"),
    step(Mark::KeyDigest, (3, 3), (0, 0), "05a §5.1"),
    step(Mark::Rotation, (3, 3), (0, 0), "04 §2, not due"),
    step(Mark::Available, (3, 3), (0, 0), "05d §1"),
    step(Mark::Stats, (3, 3), (0, 0), "01 §14.2"),
    step(Mark::Ping, (0, 3), (0, ANY), "01 §16"),
    step(Mark::Receipt, (1, 3), (0, ANY), "05b §8"),
    step(Mark::Result, (0, 3), (0, ANY), "01 §14.3, the server's pings"),
];

/// What happens on a quiet day of an account that is linked and ready when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Its length.
    pub hours: u32,
    /// How often a connection is lost and made anew.
    pub reconnects: u32,
    /// People who write or are written to.
    pub contacts: u32,
    /// Messages that come.
    pub received: u32,
    /// Messages that go out.
    pub sent: u32,
}

/// How often something may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// What.
    pub mark: Mark,
    /// How often at least.
    pub least: u32,
    /// How often at most.
    pub most: u32,
    /// Where the chapters say so.
    pub place: &'static str,
}

/// How often each stanza of a client goes out on a quiet day.
#[must_use]
pub fn quiet_day(day: &Day) -> Vec<Allowance> {
    let Day { hours, reconnects, contacts, received, sent } = *day;
    let per_day = hours.div_ceil(24);
    let pings = (hours * 3600 / 31, hours * 3600 / 15 + reconnects);
    let rows = [
        (Mark::Message, (sent, sent), "05a §7, nothing twice"),
        (Mark::Receipt, (1, received), "05b §8, one delivery receipt a message"),
        (Mark::Ping, pings, "01 §16, every 15 to 30 s"),
        (Mark::UnifiedSession, (reconnects, reconnects), "01 §14.2 step 2, once a connection"),
        (Mark::Unavailable, (reconnects, reconnects), "05d §1, once a connection"),
        (Mark::Available, (0, 0), "05d §1, only where it is asked for"),
        (Mark::Privacy, (reconnects, reconnects), "01 §14.2 step 7, once a connection"),
        (Mark::Blocklist, (0, reconnects), "01 §14.2 step 7"),
        (Mark::Properties, (0, per_day), "01 §14.2 step 7, when the last are old"),
        (Mark::OfflineBatch, (0, 2 * reconnects), "01 §15.1, where there is a queue"),
        (Mark::Active, (0, 0), "01 §14.2 step 4, after passive logins only"),
        (Mark::DeviceQuery, (0, contacts), "05a §3, once a contact"),
        (Mark::ContactToken, (0, contacts), "05d §6, once a contact and period"),
        (Mark::KeyFetch, (0, contacts), "05a §5, once a contact"),
        (Mark::PrekeyUpload, (0, 1), "04 §2, when few are left"),
        (Mark::KeyCount, (0, 0), "05a §5.1, never at a login"),
        (Mark::KeyDigest, (0, 0), "05a §5.1, when the server asks"),
        (Mark::Rotation, (0, 1), "04 §2, every 27 days"),
        (Mark::Mex, (0, 2 * reconnects + 2), "05d §9.1, twice a start"),
        (Mark::MediaHosts, (0, 0), "08, no media"),
        (Mark::Stats, (0, 0), "01 §14.2"),
        (Mark::OtherQuery, (0, 0), "nothing else"),
    ];
    rows.map(|(mark, (least, most), place)| Allowance { mark, least, most, place }).to_vec()
}
