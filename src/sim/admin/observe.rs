//! Calls that only look.

use std::time::Duration;

use super::Admin;
use super::types::{
    AccountInfo, AdminError, ConnectionInfo, DeviceInfo, Expectation, PhoneInfo, TrafficFilter,
};
use crate::clock::UnixMillis;
use crate::noise::Pattern;
use crate::proto::json;
use crate::sim::rules::Rules;
use crate::sim::seam::InboxItem;
use crate::sim::traffic::{Direction, TrafficItem};
use crate::sim::violations::Violations;
use crate::sim::world::{Account, Connection, DeviceRef, OutboxItem, World, state_name};
use crate::wire::Node;

type Result<T> = std::result::Result<T, AdminError>;

impl Admin {
    /// The world's time.
    #[must_use]
    pub fn now_ms(&self) -> UnixMillis {
        self.shared.now_ms()
    }

    /// One account.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn account(&self, number: &str) -> Result<AccountInfo> {
        let found =
            self.shared.look(|world| world.accounts.get(number).map(|account| account_info(world, account)));
        found.ok_or_else(|| AdminError::no_account(number))
    }

    /// All accounts, by number.
    pub async fn accounts(&self) -> Vec<AccountInfo> {
        self.shared
            .look(|world| world.accounts.values().map(|account| account_info(world, account)).collect())
    }

    /// The messages that reached the phone, from position `since` on; the next call continues at `since` plus
    /// their number.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn inbox(&self, number: &str, since: usize) -> Result<Vec<InboxItem>> {
        let found = self.shared.look(|world| world.accounts.get(number).map(|account| inbox(account, since)));
        found.ok_or_else(|| AdminError::no_account(number))
    }

    /// As [`Admin::inbox`], but waits until there is at least one, or the time is up (then it may be empty).
    ///
    /// # Errors
    /// `not-found`.
    pub async fn wait_inbox(&self, number: &str, since: usize, within: Duration) -> Result<Vec<InboxItem>> {
        self.shared
            .wait(within, |world| {
                world.accounts.get(number).map(|a| inbox(a, since)).filter(|i| !i.is_empty())
            })
            .await;
        self.inbox(number, since).await
    }

    /// Waits for a message of this text to reach the phone.
    ///
    /// # Errors
    /// `expectation-failed` if it does not within the time.
    pub async fn wait_text(&self, number: &str, text: &str, within: Duration) -> Result<InboxItem> {
        let found = self.shared.wait(within, |world| {
            let items = &world.accounts.get(number)?.inbox;
            items.iter().find(|item| item.text.as_deref() == Some(text)).cloned()
        });
        found
            .await
            .ok_or_else(|| AdminError::new("expectation-failed", format!("no {text:?} reached {number}")))
    }

    /// What the phone sent, and what came of it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn outbox(&self, number: &str) -> Result<Vec<OutboxItem>> {
        let found =
            self.shared.look(|world| world.accounts.get(number).map(|account| account.outbox.to_vec()));
        found.ok_or_else(|| AdminError::no_account(number))
    }

    /// Waits until the phone's message has a receipt of this type (`delivered`, `read` …).
    ///
    /// # Errors
    /// `expectation-failed` if it has none within the time.
    pub async fn wait_receipt(&self, number: &str, id: &str, kind: &str, within: Duration) -> Result<()> {
        let found = self.shared.wait(within, |world| {
            let item = world.accounts.get(number)?.outbox.iter().find(|item| item.id == id)?;
            item.receipts.iter().any(|receipt| receipt.kind == kind).then_some(())
        });
        found
            .await
            .ok_or_else(|| AdminError::new("expectation-failed", format!("no {kind} receipt for {id}")))
    }

    /// The live connections.
    pub async fn connections(&self) -> Vec<ConnectionInfo> {
        self.shared.look(|world| world.connections.iter().map(|(id, c)| connection_info(*id, c)).collect())
    }

    /// Waits until a device is logged in and its offline delivery is over.
    ///
    /// # Errors
    /// `expectation-failed` if it is not within the time.
    pub async fn wait_online(&self, number: &str, device: u16, within: Duration) -> Result<u64> {
        let at = DeviceRef { number: number.to_owned(), device };
        let found = self.shared.wait(within, |world| {
            let id = world.device(&at)?.connection?;
            world.session(id).filter(|session| session.active && session.backlog.done).map(|_| id)
        });
        let error =
            || AdminError::new("expectation-failed", format!("{number}:{device} did not come online"));
        found.await.ok_or_else(error)
    }

    /// The traffic log, oldest first.
    pub async fn traffic(&self, filter: &TrafficFilter) -> Vec<TrafficItem> {
        let read = |world: &mut World| {
            let items: Vec<TrafficItem> =
                world.traffic.since(filter.since).filter(|item| filter.matches(item)).cloned().collect();
            (!items.is_empty()).then_some(items)
        };
        let within = Duration::from_millis(filter.wait_ms.unwrap_or_default());
        self.shared.wait(within, read).await.unwrap_or_default()
    }

    /// The last stanza's cursor.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.shared.look(|world| world.traffic.last_cursor()).unwrap_or_default()
    }

    /// Waits for stanzas of a client.
    ///
    /// # Errors
    /// `expectation-failed`, with the tags of what came instead.
    pub async fn expect(&self, expectation: &Expectation) -> Result<Vec<TrafficItem>> {
        let since = expectation.since.unwrap_or_else(|| self.cursor());
        let wanted = expectation.count.max(1);
        let read = |world: &mut World| {
            let items = world.traffic.since(since).filter(|item| expectation.matches(item));
            let items: Vec<TrafficItem> = items.cloned().collect();
            (items.len() >= wanted).then_some(items)
        };
        let found = self.shared.wait(expectation.within, read).await;
        match (found, expectation.absent) {
            (Some(items), false) => Ok(items),
            (None, true) => Ok(Vec::new()),
            (found, _) => Err(self.instead(expectation, since, found.is_some())),
        }
    }

    fn instead(&self, expectation: &Expectation, since: u64, came: bool) -> AdminError {
        let tags: Vec<String> = self.shared.look(|world| {
            let from = world.traffic.since(since).filter(|item| item.direction == Direction::In);
            let from = from.filter(|item| belongs(item, &expectation.account));
            from.map(|item| item.node.tag.to_string()).take(20).collect()
        });
        let what = if came { "came though it must not" } else { "did not come" };
        AdminError::new("expectation-failed", format!("<{}> {what}; there were {tags:?}", expectation.tag))
    }

    /// Counters and the present state, as Prometheus text.
    pub async fn metrics(&self) -> String {
        self.shared.look(|world| world.metrics())
    }

    /// The faults of this run, armed and spent, as JSON (09 §21).
    pub async fn faults(&self) -> Vec<serde_json::Value> {
        self.shared.look(|world| world.faults_json())
    }

    /// The groups, as JSON (09 §21); those of one address.
    pub async fn groups(&self, jid: Option<&str>) -> Vec<serde_json::Value> {
        self.shared.look(|world| world.groups_json(jid))
    }

    /// The modes of the rules.
    pub async fn rules(&self) -> Rules {
        self.shared.look(|world| world.rules.clone())
    }

    /// What clients did wrong.
    pub async fn violations(&self) -> Violations {
        self.shared.look(|world| world.violations.clone())
    }
}

fn inbox(account: &Account, since: usize) -> Vec<InboxItem> {
    account.inbox.iter().skip(since).cloned().collect()
}

fn account_info(world: &World, account: &Account) -> AccountInfo {
    let devices = account.companions().filter_map(|(id, device)| {
        let pairing = device.pairing.as_ref()?;
        Some(DeviceInfo {
            device: id,
            jid: account.pn.with_device(id).to_string(),
            lid: account.lid.with_device(id).to_string(),
            key_index: pairing.key_index,
            os: pairing.os.clone(),
            platform: pairing.platform_type,
            paired_at_ms: pairing.paired_ms,
            connection: device.connection,
            queue: device.queue.len(),
            prekeys: device.keys.as_ref().map(|keys| keys.one_time.len()),
            driven: device.driven,
        })
    });
    AccountInfo {
        number: account.number.clone(),
        lid: account.lid.to_string(),
        push_name: account.push_name.clone(),
        about: account.about.clone(),
        picture_id: account.picture.as_ref().map(|picture| picture.id.clone()),
        profile: account.profile,
        restricted: account.restricted,
        business: account.business,
        privacy: account.privacy.clone(),
        blocked: account.blocked.iter().cloned().collect(),
        phone: PhoneInfo {
            online: account.phone_online,
            platform: account.platform.clone(),
            clock_offset_s: account.phone_clock_offset_s,
        },
        devices: devices.collect(),
        groups: world.groups_of(&account.number),
        appstate: account.collections.clone(),
    }
}

fn connection_info(id: u64, connection: &Connection) -> ConnectionInfo {
    let session = connection.session();
    let (bytes_in, bytes_out) = connection.bytes.get();
    let payload = Some(&connection.payload).filter(|payload| !payload.is_empty());
    ConnectionInfo {
        id,
        account: session.map(|session| session.device.number.clone()),
        device: session.map(|session| session.device.device),
        state: state_name(&connection.state),
        source: connection.peer.source.clone(),
        origin: connection.peer.origin.clone(),
        user_agent: connection.peer.user_agent.clone(),
        handshake: connection.handshake.map(|pattern| match pattern {
            Pattern::Xx => "xx",
            Pattern::Ik => "ik",
            Pattern::XxFallback => "xx-fallback",
        }),
        version: connection.version.map(|[a, b, c]| format!("{a}.{b}.{c}")),
        payload: payload.and_then(|payload| json::to_json("ClientPayload", payload).ok()),
        bytes_in,
        bytes_out,
        opened_at_ms: connection.opened_ms,
        stanzas_in: connection.stanzas_in,
        stanzas_out: connection.stanzas_out,
        last_in_at_ms: connection.last_in_ms,
        last_in: connection.last_in.clone(),
        last_out: connection.last_out.clone(),
    }
}

fn belongs(item: &TrafficItem, account: &str) -> bool {
    item.device.as_ref().is_some_and(|device| device.number == account)
}

impl TrafficFilter {
    fn matches(&self, item: &TrafficItem) -> bool {
        self.account.as_ref().is_none_or(|account| belongs(item, account))
            && self.tag.as_ref().is_none_or(|tag| *tag == item.node.tag)
            && self.verdict.as_ref().is_none_or(|verdict| item.verdict() == Some(verdict))
    }
}

impl Expectation {
    fn matches(&self, item: &TrafficItem) -> bool {
        let node = &item.node;
        let path = self.child.as_deref().unwrap_or_default();
        item.direction == Direction::In
            && belongs(item, &self.account)
            && node.tag == self.tag
            && self.xmlns.as_ref().is_none_or(|xmlns| node.str("xmlns").as_deref() == Some(xmlns))
            && (path.is_empty() || descend(node, path).is_some())
            && self.attrs.iter().all(|(key, value)| node.str(key).as_deref() == value.as_deref())
    }
}

fn descend<'n>(node: &'n Node, path: &str) -> Option<&'n Node> {
    path.split('/').try_fold(node, |node, tag| node.find(tag))
}
