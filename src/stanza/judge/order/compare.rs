//! The comparison: what was seen beside what is expected.

use std::collections::BTreeMap;
use std::fmt;

use super::expected::{Allowance, Step};
use super::mark::Mark;

/// What was seen of one stanza: how often, and where in the row of all of them, counted from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The positions among the marks that were seen.
    pub positions: Vec<usize>,
}

/// In what way something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It came too seldom, or not at all.
    Missing,
    /// It came more often than it may.
    TooOften,
    /// It came behind something that has to come later.
    Late,
    /// It has no place in this order.
    Unexpected,
}

impl Fault {
    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::TooOften => "too often",
            Self::Late => "out of order",
            Self::Unexpected => "unexpected",
        }
    }
}

/// One row of the comparison with an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The stanza.
    pub mark: Mark,
    /// What is expected of it; `None` where it has no place.
    pub expected: Option<Step>,
    /// What was seen.
    pub seen: Seen,
    /// How the two differ.
    pub fault: Option<Fault>,
}

/// Holds what was seen, in its order, against an order. A row for each expected step, in the order of `steps`, then one for
/// everything that has no place in it.
#[must_use]
pub fn compare(steps: &[Step], seen: &[Mark]) -> Vec<Row> {
    let mut positions: BTreeMap<Mark, Vec<usize>> = BTreeMap::new();
    let mut late = Vec::new();
    let mut reached = 0;
    for (at, mark) in seen.iter().enumerate() {
        positions.entry(*mark).or_default().push(at + 1);
        let Some(step) = steps.iter().find(|step| step.mark == *mark) else { continue };
        if step.stages.1 < reached {
            late.push(*mark);
        }
        reached = reached.max(step.stages.0);
    }
    let mut rows = Vec::new();
    for step in steps {
        let seen = Seen { positions: positions.remove(&step.mark).unwrap_or_default() };
        let fault = fault(seen.count(), (step.least, step.most))
            .or_else(|| late.contains(&step.mark).then_some(Fault::Late));
        rows.push(Row { mark: step.mark, expected: Some(*step), seen, fault });
    }
    rows.extend(positions.into_iter().map(|(mark, positions)| Row {
        mark,
        expected: None,
        seen: Seen { positions },
        fault: Some(Fault::Unexpected),
    }));
    rows
}

/// One row of the comparison with the counts of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// What is allowed.
    pub allowed: Allowance,
    /// How often it was seen.
    pub seen: u32,
    /// How the two differ.
    pub fault: Option<Fault>,
}

/// Holds the counts of what was seen against what is allowed.
#[must_use]
pub fn count(allowed: &[Allowance], seen: &[Mark]) -> Vec<Count> {
    let row = |allowed: &Allowance| {
        let times = seen.iter().filter(|mark| **mark == allowed.mark).count();
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        Count { allowed: *allowed, seen: times, fault: fault(times, (allowed.least, allowed.most)) }
    };
    allowed.iter().map(row).collect()
}

fn fault(times: u32, (least, most): (u32, u32)) -> Option<Fault> {
    match times {
        few if few < least => Some(Fault::Missing),
        many if many > most => Some(Fault::TooOften),
        _ => None,
    }
}

impl Seen {
    /// How often.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.positions.len()).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Seen {
    /// The positions, at most four of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.positions.iter().take(4).map(|at| format!("#{at}")).collect();
        match self.positions.len() {
            0 => f.write_str("-"),
            few if few <= 4 => f.write_str(&shown.join(" ")),
            many => write!(f, "{} … ({many} times)", shown.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::expected::{Day, LINK, LOGIN, quiet_day};
    use super::*;

    const GOOD: [Mark; 7] = [
        Mark::Success,
        Mark::OfflineEnd,
        Mark::UnifiedSession,
        Mark::Ping,
        Mark::Unavailable,
        Mark::Privacy,
        Mark::Ping,
    ];

    fn faults(steps: &[Step], seen: &[Mark]) -> Vec<(Mark, Fault)> {
        compare(steps, seen).into_iter().filter_map(|row| Some((row.mark, row.fault?))).collect()
    }

    #[test]
    fn a_good_login_has_no_fault_and_each_single_change_has_one() {
        assert_eq!(faults(LOGIN, &GOOD), []);
        let without = |mark: Mark| GOOD.into_iter().filter(|seen| *seen != mark).collect::<Vec<_>>();
        assert_eq!(faults(LOGIN, &without(Mark::Privacy)), [(Mark::Privacy, Fault::Missing)]);
        let with = |mark: Mark| GOOD.into_iter().chain([mark]).collect::<Vec<_>>();
        assert_eq!(faults(LOGIN, &with(Mark::KeyCount)), [(Mark::KeyCount, Fault::TooOften)]);
        assert_eq!(faults(LOGIN, &with(Mark::Privacy)), [(Mark::Privacy, Fault::TooOften)]);
        assert_eq!(faults(LOGIN, &with(Mark::PairDevice)), [(Mark::PairDevice, Fault::Unexpected)]);
        let mut late = without(Mark::UnifiedSession);
        late.push(Mark::UnifiedSession);
        assert_eq!(faults(LOGIN, &late), [(Mark::UnifiedSession, Fault::Late)]);
    }

    #[test]
    fn every_order_names_a_stanza_once() {
        for steps in [LINK, LOGIN] {
            let mut marks: Vec<Mark> = steps.iter().map(|step| step.mark).collect();
            marks.sort_unstable();
            marks.dedup();
            assert_eq!(marks.len(), steps.len());
            assert!(steps.iter().all(|step| step.stages.0 <= step.stages.1 && step.least <= step.most));
        }
    }

    #[test]
    fn counts_outside_their_bounds_are_faults() {
        let day = Day { hours: 24, reconnects: 3, contacts: 5, received: 50, sent: 20 };
        let allowed = quiet_day(&day);
        let fault = |mark: Mark, times: usize| {
            let row = count(&allowed, &vec![mark; times]).into_iter().find(|row| row.allowed.mark == mark);
            row.and_then(|row| row.fault)
        };
        assert_eq!(fault(Mark::Privacy, 3), None);
        assert_eq!(fault(Mark::Privacy, 2), Some(Fault::Missing));
        assert_eq!(fault(Mark::Privacy, 4), Some(Fault::TooOften));
        assert_eq!(fault(Mark::KeyDigest, 1), Some(Fault::TooOften));
        assert_eq!(fault(Mark::DeviceQuery, 6), Some(Fault::TooOften));
        assert_eq!(fault(Mark::Ping, 3800), None);
    }

    #[test]
    fn positions_are_shown_shortly() {
        let shown = |positions: &[usize]| Seen { positions: positions.to_vec() }.to_string();
        assert_eq!((shown(&[]), shown(&[2, 7])), ("-".to_owned(), "#2 #7".to_owned()));
        assert_eq!(shown(&[1, 2, 3, 4, 5]), "#1 #2 #3 #4 … (5 times)");
    }
}
