//! `<notification>` (protocol 05c §1, §2): each is answered exactly once, after its effect is durable.

use super::{Dispatcher, Purpose};
use crate::client::devices::mapping;
use crate::client::devices::own::Own;
use crate::client::event::{Event, Notice};
use crate::client::limits;
use crate::client::pair::{self, GateInput};
use crate::stanza::ack::{Answerable, Nack};
use crate::stanza::pair as pair_stanza;
use crate::stanza::restrictions::GroupChange;
use crate::store::StoreError;
use crate::wire::{Content, Jid, Node, NodeRef, json};

/// Types that are acked, and shown to the application as they are.
const SHOWN: [&str; 19] = [
    "account_sync",
    "picture",
    "status",
    "contacts",
    "server_sync",
    "mediaretry",
    "business",
    "disappearing_mode",
    "newsletter",
    "w:gp2",
    "psa",
    "pay",
    "hosted",
    "waffle",
    "w:growth",
    "fb:update",
    "fbid:devices",
    "fbid:thread",
    "digital_commerce_subscription",
];

/// Types that only a registration connection acts on.
const OF_PAIRING: [&str; 4] =
    ["companion_reg_refresh", "link_code_companion_reg", "passkey_prologue_request", "crsc_continuation"];

/// Whether a notification of a known type has what its type requires (05c §1, §2).
fn is_complete(node: NodeRef<'_>, kind: &str) -> bool {
    let all = |tag, keys: &[&str]| {
        node.find_all(tag).all(|child: NodeRef<'_>| keys.iter().all(|key| child.get(*key).is_some()))
    };
    match kind {
        "disappearing_mode" => node.find("disappearing_mode").is_some() && all("disappearing_mode", &["t"]),
        "server_sync" => node.find("collection").is_some() && all("collection", &["name", "version"]),
        "contacts" => all("modify", &["old", "new"]),
        "mediaretry" => node.find("rmr").is_some(),
        _ => true,
    }
}

impl Dispatcher {
    pub(super) async fn notice(&mut self, node: NodeRef<'_>) -> Result<(), StoreError> {
        let answer = match Answerable::of(node) {
            Ok(Some(answer)) => answer,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!(%error, "a notification without id or sender can't be answered");
                return Ok(());
            }
        };
        let kind = node.str("type").unwrap_or_default();
        if kind == "w:gp2" {
            self.group_limits(node).await?;
        }
        let nack = match (&self.purpose, kind.as_ref()) {
            (Purpose::Register(_), kind) => return self.pairing_notice(node, kind, &answer).await,
            (Purpose::LogIn(_), "registration") => self.number_registered(node).await?,
            (Purpose::LogIn(_), "server") => {
                if node.find("abprops").is_some() {
                    self.conn.ctx.props_named.notify_one();
                }
                None
            }
            // Of a pairing that is over: nothing to do (02 §3, §8, §9).
            (Purpose::LogIn(_), kind) if OF_PAIRING.contains(&kind) => None,
            (Purpose::LogIn(_), kind) if SHOWN.contains(&kind) => {
                self.show(node, kind).await?;
                (!is_complete(node, kind)).then_some(Nack::Parsing)
            }
            (Purpose::LogIn(_), kind) => {
                self.show(node, kind).await?;
                Some(Nack::UnrecognizedStanza)
            }
        };
        self.answer(&answer, nack).await;
        Ok(())
    }

    /// What a notification says beside what it is shown or handled for: the own push name, settings that are to be
    /// asked for again (the next start-up asks in any case), the addresses of somebody with a new number.
    pub(super) async fn hints(&self, node: NodeRef<'_>) -> Result<(), StoreError> {
        let ctx = &self.conn.ctx;
        match node.str("type").as_deref() {
            Some("account_sync") => {
                let Some(from) = node.jid("from") else { return Ok(()) };
                let own = ctx.store.read(Own::load).await?;
                if !own.is_some_and(|own| own.is_own(&from)) {
                    return Ok(());
                }
                if let Some(name) = node.str("pushname").filter(|name| !name.is_empty()) {
                    let name = name.into_owned();
                    ctx.store.write(move |tx| tx.set_push_name(&name)).await?;
                    ctx.name_changed.notify_waiters();
                }
                if node.find("privacy").is_some() {
                    self.conn.privacy_told.notify_one();
                }
                if node.find("blocklist").is_some() {
                    ctx.blocklist_named.notify_one();
                }
            }
            Some("contacts") => {
                let Some(modify) = node.find("modify") else { return Ok(()) };
                let now = ctx.clock.wall_ms();
                let pairs = [("old", "old_lid"), ("new", "new_lid")]
                    .map(|(pn, lid)| modify.jid(pn).zip(modify.jid(lid)));
                let [Some(old), Some(new)] = pairs else { return Ok(()) };
                ctx.store
                    .write(move |tx| -> Result<(), StoreError> {
                        for (pn, lid) in [old, new] {
                            mapping::learn(tx, &pn, &lid, now)?;
                        }
                        Ok(())
                    })
                    .await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A group may be locked or suspended.
    async fn group_limits(&self, node: NodeRef<'_>) -> Result<(), StoreError> {
        let ctx = &self.conn.ctx;
        let changes = GroupChange::all(node);
        let Some(group) = node.jid("from").filter(|_| !changes.is_empty()) else { return Ok(()) };
        let times = ctx.times();
        ctx.store.write(move |tx| limits::group(tx, &group, &changes, times)).await?;
        ctx.limits.changed();
        ctx.inbox.notify_waiters();
        Ok(())
    }

    async fn answer(&self, answer: &Answerable, nack: Option<Nack>) {
        let stanza = match nack {
            None => answer.ack(None),
            Some(nack) => answer.nack(None, nack),
        };
        // A connection that breaks here gets the stanza again.
        let _ = self.conn.link.send(&stanza).await;
    }

    /// The notifications of a registration connection change nothing by themselves: acked first, then worked on.
    async fn pairing_notice(
        &self,
        node: NodeRef<'_>,
        kind: &str,
        answer: &Answerable,
    ) -> Result<(), StoreError> {
        if node.jid("from").is_some_and(|from| from != Jid::service()) {
            tracing::warn!(kind, "a pairing notification from somebody else is ignored");
            self.answer(answer, None).await;
            return Ok(());
        }
        let input = match kind {
            "companion_reg_refresh" => {
                self.answer(answer, None).await;
                let known = node.find("companion_reg_refresh").or_else(|| node.find("pair-device-rotate-qr"));
                known.map(|_| pair::Input::Refresh)
            }
            "link_code_companion_reg" => {
                let told = pair_stanza::link_code(node);
                self.answer(answer, told.is_none().then_some(Nack::Parsing)).await;
                told.map(pair::Input::LinkCode)
            }
            "passkey_prologue_request" => {
                self.answer(answer, None).await;
                Some(pair::Input::Gate(GateInput::Request(pair_stanza::passkey_options(node))))
            }
            "crsc_continuation" => {
                self.answer(answer, None).await;
                Some(pair::Input::Gate(GateInput::Continuation(pair_stanza::passkey_continuation(node))))
            }
            _ => {
                self.answer(answer, Some(Nack::UnrecognizedStanza)).await;
                None
            }
        };
        if let Some(input) = input {
            self.to_pairing(input).await;
        }
        Ok(())
    }

    /// Somebody registers this number on another phone. The code in the stanza would hand the account over: it is
    /// neither shown nor logged nor stored.
    async fn number_registered(&self, node: NodeRef<'_>) -> Result<Option<Nack>, StoreError> {
        let id = node.str("id").unwrap_or_default().into_owned();
        self.conn.ctx.publish(Event::NumberRegistration { id }).await?;
        Ok(None)
    }

    pub(super) async fn show(&self, node: NodeRef<'_>, kind: &str) -> Result<Option<Nack>, StoreError> {
        let notice = Notice {
            kind: kind.to_owned(),
            id: node.str("id").unwrap_or_default().into_owned(),
            from: node.str("from").unwrap_or_default().into_owned(),
            stanza: json::to_json(&without_secrets(node)),
        };
        self.conn.ctx.publish(Event::Notice(notice)).await?;
        Ok(None)
    }
}

/// The stanza without the children that hold a secret (05c §2).
fn without_secrets(node: NodeRef<'_>) -> Node {
    let mut shown = node.to_node();
    if let Content::Nodes(children) = &mut shown.content {
        children.retain(|child| child.tag != "wa_ad_account_nonce");
    }
    shown
}
