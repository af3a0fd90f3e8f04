//! Once a day all lists with companions are gone over: old ones are asked for again, very old ones lose their companions
//! until a fresh one comes (protocol 05a §3).

use crate::client::devices::{Devices, DevicesError, address, identity};
use crate::store::{DeviceList, StoreError, Tx};
use crate::wire::Jid;

const DAY: i64 = 86_400;

/// A list of this age is asked for again, and one of that age says nothing any more, in seconds.
const OLD: i64 = 28 * DAY;
const TOO_OLD: i64 = 35 * DAY;

/// Lists that are looked at in one step.
const PAGE: usize = 256;

/// What is to be done with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Ask,
    /// Without its companions from now on.
    DropAndAsk,
}

fn due(list: &DeviceList, now_s: i64) -> Due {
    let Some(ts) = list.ts.filter(|_| list.devices.iter().any(|device| device.id != 0)) else {
        return Due::Nothing;
    };
    let age = now_s.saturating_sub(ts);
    match age {
        _ if age > TOO_OLD => Due::DropAndAsk,
        _ if age > OLD || list.expected_ts.is_some_and(|expected| ts < expected) => Due::Ask,
        _ => Due::Nothing,
    }
}

/// Judges a page of lists behind `after`; returns whom to ask for, and where the next page begins.
fn page(tx: &mut Tx<'_>, after: Option<u64>, now_s: i64) -> Result<(Vec<Jid>, Option<u64>), StoreError> {
    let lists = tx.device_lists(after, PAGE)?;
    let next = lists.last().map(|(row, _)| *row);
    let mut ask = Vec::new();
    for (_, mut list) in lists {
        let due = due(&list, now_s);
        let name = list.lid.as_ref().or(list.pn.as_ref());
        let Some(user) = name.and_then(|name| name.parse::<Jid>().ok()).filter(|_| due != Due::Nothing)
        else {
            continue;
        };
        if due == Due::DropAndAsk {
            let companions: Vec<u16> = list.devices.iter().map(|device| device.id).collect();
            for form in address::both(tx, &user)? {
                identity::forget_devices(tx, &form, |id| id != 0 && companions.contains(&id))?;
            }
            list.devices.retain(|device| device.id == 0);
            list.fetched_at = None;
            tx.put_device_list(&list)?;
        }
        ask.push(user);
    }
    Ok((ask, next))
}

impl Devices {
    /// Goes over all lists. What could not be asked for stays old, and is asked for at the next send or round.
    pub(crate) async fn go_over(&self) -> Result<(), DevicesError> {
        let mut after = None;
        loop {
            let now_s = self.clock.wall_s();
            let (ask, next) = self.store.write(move |tx| page(tx, after, now_s)).await?;
            if !ask.is_empty() {
                self.lists(&ask, true).await?;
            }
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Device;

    #[test]
    fn a_list_is_asked_for_after_28_days_and_loses_its_companions_after_35() {
        let now = 1_760_000_000;
        let phone = Device { id: 0, key_index: None, hosted: false };
        let companion = Device { id: 3, key_index: Some(1), hosted: false };
        let list = |age: i64| DeviceList {
            devices: vec![phone.clone(), companion.clone()],
            ts: Some(now - age),
            ..DeviceList::default()
        };
        assert_eq!(due(&list(28 * DAY), now), Due::Nothing);
        assert_eq!(due(&list(28 * DAY + 1), now), Due::Ask);
        assert_eq!(due(&list(35 * DAY + 1), now), Due::DropAndAsk);
        let expected = DeviceList { expected_ts: Some(now - 5), ..list(10) };
        assert_eq!(due(&expected, now), Due::Ask);
        let alone = DeviceList { devices: vec![phone.clone()], ..list(40 * DAY) };
        assert_eq!(due(&alone, now), Due::Nothing);
    }
}
