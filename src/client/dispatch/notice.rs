//! `<notification>` (protocol 05c §1, §2): each is answered exactly once, after its effect is durable.

use super::{Dispatcher, Purpose};
use crate::client::event::{Event, Notice};
use crate::client::limits;
use crate::client::messaging::Messaging;
use crate::client::pair::{self, GateInput};
use crate::stanza::ack::{Answerable, Nack};
use crate::stanza::pair as pair_stanza;
use crate::stanza::restrictions::GroupChange;
use crate::store::StoreError;
use crate::wire::{Content, Node, NodeRef, json};

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
        if kind == "account_sync" {
            self.push_name(node).await?;
            if node.find("blocklist").is_some() {
                self.conn.ctx.blocklist_named.notify_one();
            }
        }
        if kind == "w:gp2" {
            self.group_limits(node).await?;
        }
        let nack = match (&self.purpose, kind.as_ref()) {
            (Purpose::Register(_), kind) => return self.pairing_notice(node, kind, &answer).await,
            (Purpose::LogIn(messaging), kind)
                if Messaging::takes_notification(kind, node.find("devices").is_some()) =>
            {
                self.handed_on = true;
                messaging.stanza(node.to_node()).await;
                return Ok(());
            }
            (Purpose::LogIn(_), "registration") => self.number_registered(node).await?,
            (Purpose::LogIn(_), "server") => {
                if node.find("abprops").is_some() {
                    self.conn.ctx.props_named.notify_one();
                }
                None
            }
            (Purpose::LogIn(_), kind) if SHOWN.contains(&kind) => self.show(node, kind).await?,
            (Purpose::LogIn(_), kind) => {
                self.show(node, kind).await?;
                Some(Nack::UnrecognizedStanza)
            }
        };
        self.answer(&answer, nack).await;
        Ok(())
    }

    /// `account_sync` may bring the own push name.
    async fn push_name(&self, node: NodeRef<'_>) -> Result<(), StoreError> {
        let Some(name) = node.str("pushname").filter(|name| !name.is_empty()) else { return Ok(()) };
        let name = name.into_owned();
        self.conn.ctx.store.write(move |tx| tx.set_push_name(&name)).await?;
        self.conn.ctx.name_changed.notify_waiters();
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
