//! Calls that change the world.

use std::time::Duration;

use super::Admin;
use super::types::{AccountInfo, AdminError, Kick, Linked, Sent};
use crate::sim::config::CertMode;
use crate::sim::rules::{Rules, RulesError};
use crate::sim::seam::{Corrupt, PhoneCommand, PhoneContent};
use crate::sim::world::{Ban, DeviceRef, FaultOrder, NetRule, NewAccount, Outcome};
use crate::stanza::judge::payload::Envelope;
use crate::stanza::judge::{Finding, Judgement};
use crate::wire::{Jid, Node};

/// A companion has 30 s to sign; then the phone gets its answer.
const PAIRING_WITHIN: Duration = Duration::from_secs(40);
/// What a phone is told to do ends at once or not at all.
const COMMAND_WITHIN: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, AdminError>;

impl Admin {
    /// Makes an account; its phone is switched on unless said otherwise.
    ///
    /// # Errors
    /// `exists` or `bad-number`.
    pub async fn create_account(&self, new: NewAccount) -> Result<AccountInfo> {
        let made = self.shared.with(|world| world.create_account(new));
        let number = made.map_err(|error| AdminError::new("bad-account", error.to_string()))?;
        self.account(&number).await
    }

    /// Removes an account; its connections end like those of unlinked devices.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn delete_account(&self, number: &str) -> Result<()> {
        let removed = self.shared.with(|world| world.delete_account(number));
        if removed { Ok(()) } else { Err(AdminError::no_account(number)) }
    }

    /// The phone scans a QR; returns when the new companion has signed.
    ///
    /// # Errors
    /// `bad-qr`, `ref-unknown`, `ref-expired`, `pub-key-mismatch`, `companion-limit`, `phone-offline`,
    /// `device-error`, `timeout`.
    pub async fn scan_qr(&self, number: &str, qr: &str) -> Result<Linked> {
        self.scan_qr_with(number, qr, None).await
    }

    /// As [`Admin::scan_qr`], with a planted fault.
    ///
    /// # Errors
    /// As [`Admin::scan_qr`].
    pub async fn scan_qr_with(&self, number: &str, qr: &str, corrupt: Option<Corrupt>) -> Result<Linked> {
        let qr = qr.to_owned();
        self.pair(number, |op| PhoneCommand::ScanQr { op, qr, corrupt }).await
    }

    /// A person types a pairing code on the phone.
    ///
    /// # Errors
    /// As [`Admin::scan_qr`], and `bad-code`.
    pub async fn enter_code(&self, number: &str, code: &str) -> Result<Linked> {
        self.enter_code_with(number, code, None).await
    }

    /// As [`Admin::enter_code`], with a planted fault.
    ///
    /// # Errors
    /// As [`Admin::enter_code`].
    pub async fn enter_code_with(
        &self,
        number: &str,
        code: &str,
        corrupt: Option<Corrupt>,
    ) -> Result<Linked> {
        let code = code.to_owned();
        self.pair(number, |op| PhoneCommand::EnterCode { op, code, corrupt }).await
    }

    async fn pair(&self, number: &str, command: impl FnOnce(u64) -> PhoneCommand) -> Result<Linked> {
        let op = self.order(number, command)?;
        let outcome = self.shared.wait(PAIRING_WITHIN, |world| world.ops.remove(&op)).await;
        match outcome {
            Some(Outcome::Paired { jid }) => self.linked(number, &jid),
            Some(Outcome::PairFailed { code, text }) => {
                let mut error = pairing_error(&code, &text);
                if error.code == "cooldown" {
                    error.retry_after_s = Some(self.shared.look(|world| world.cooldown_rest_s(number)));
                }
                Err(error)
            }
            Some(_) => Err(AdminError::new("device-error", "the phone answered something else")),
            None => Err(AdminError::new("timeout", "the companion did not answer")),
        }
    }

    fn linked(&self, number: &str, jid: &Jid) -> Result<Linked> {
        let device = jid.device();
        self.shared.look(|world| {
            let account = world.accounts.get(number).ok_or_else(|| AdminError::no_account(number))?;
            let lid = account.lid.with_device(device).to_string();
            Ok(Linked { device, jid: account.pn.with_device(device).to_string(), lid })
        })
    }

    fn order(&self, number: &str, command: impl FnOnce(u64) -> PhoneCommand) -> Result<u64> {
        self.shared.with(|world| {
            let op = world.new_op();
            world.command(number, command(op))?;
            Ok(op)
        })
    }

    /// Switches a phone on or off.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn power(&self, number: &str, online: bool) -> Result<()> {
        self.known(number)?;
        self.shared.with(|world| world.power(number, online));
        Ok(())
    }

    /// A new phone with the same number: all companions are unlinked, the identity changes.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn reinstall(&self, number: &str) -> Result<()> {
        self.known(number)?;
        self.shared.with(|world| world.reinstall(number));
        Ok(())
    }

    /// The phone unlinks one companion, or all.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`.
    pub async fn unlink(&self, number: &str, device: Option<u16>) -> Result<()> {
        if let Some(device) = device {
            let at = DeviceRef { number: number.to_owned(), device };
            if device == 0 || self.shared.look(|world| world.device(&at).is_none()) {
                return Err(AdminError::new("not-found", format!("{number} has no companion {device}")));
            }
        }
        self.simple(number, PhoneCommand::Unlink { device })
    }

    /// Adds virtual companions, which the phone runs; their device numbers.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`, `companion-limit`.
    pub async fn add_virtual_devices(&self, number: &str, count: u16) -> Result<Vec<u16>> {
        self.known(number)?;
        let added = self.shared.with(|world| world.add_virtual_devices(number, count));
        Ok(added?)
    }

    /// Changes the push name on the phone.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`.
    pub async fn push_name(&self, number: &str, name: &str) -> Result<()> {
        self.known(number)?;
        self.shared.with(|world| {
            if let Some(account) = world.accounts.get_mut(number) {
                name.clone_into(&mut account.push_name);
            }
        });
        self.simple(number, PhoneCommand::PushName { name: name.to_owned() })
    }

    pub(super) fn simple(&self, number: &str, command: PhoneCommand) -> Result<()> {
        self.shared.with(|world| world.command(number, command))?;
        Ok(())
    }

    pub(super) fn known(&self, number: &str) -> Result<()> {
        let known = self.shared.look(|world| world.accounts.contains_key(number));
        if known { Ok(()) } else { Err(AdminError::no_account(number)) }
    }

    /// The phone sends a text. `to`: a number, a JID as text.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`, `send-failed`.
    pub async fn send_text(&self, number: &str, to: &str, text: &str) -> Result<Sent> {
        self.send(number, to, PhoneContent::Text(text.to_owned()), None).await
    }

    /// The phone sends anything.
    ///
    /// # Errors
    /// As [`Admin::send_text`].
    pub async fn send(
        &self,
        number: &str,
        to: &str,
        content: PhoneContent,
        id: Option<String>,
    ) -> Result<Sent> {
        self.send_as(number, 0, to, content, id).await
    }

    /// A virtual companion of the phone sends anything; device 0 is the phone itself.
    ///
    /// # Errors
    /// As [`Admin::send_text`].
    pub async fn send_as(
        &self,
        number: &str,
        device: u16,
        to: &str,
        content: PhoneContent,
        id: Option<String>,
    ) -> Result<Sent> {
        let to = self.address(to)?;
        let op = self.order(number, |op| PhoneCommand::Send { op, to, content, id, device })?;
        let outcome = self.shared.wait(COMMAND_WITHIN, |world| world.ops.remove(&op)).await;
        match outcome {
            Some(Outcome::Sent { id, targets }) => {
                Ok(Sent { id, targets: targets.iter().map(Jid::to_string).collect() })
            }
            Some(Outcome::SendFailed { reason }) => Err(AdminError::new("send-failed", reason)),
            _ => Err(AdminError::new("send-failed", "the phone did not send it")),
        }
    }

    /// An address: a JID as text, or a known number or LID.
    pub(super) fn address(&self, text: &str) -> Result<Jid> {
        let bad = || AdminError::new("bad-address", format!("{text:?} is no number and no address"));
        if text.contains('@') {
            return text.parse().map_err(|_| bad());
        }
        let digits = text.trim_start_matches('+');
        let lid = self.shared.look(|world| {
            let lid = world.accounts.values().find(|account| account.lid.user() == digits);
            lid.map(|account| account.lid.clone())
        });
        lid.map_or_else(|| Jid::pn(digits).map_err(|_| bad()), Ok)
    }

    /// The phone sends a receipt: `delivered`, `read`, `played` or `retry`.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`.
    pub async fn receipt(&self, number: &str, ids: &[String], chat: &str, kind: &str) -> Result<()> {
        self.receipt_of(number, ids, (chat, None), kind).await
    }

    /// As [`Admin::receipt`], in a group for messages of this author.
    ///
    /// # Errors
    /// As [`Admin::receipt`].
    pub async fn receipt_of(
        &self,
        number: &str,
        ids: &[String],
        (chat, author): (&str, Option<&str>),
        kind: &str,
    ) -> Result<()> {
        let (chat, participant) =
            (self.address(chat)?, author.map(|author| self.address(author)).transpose()?);
        let kind = kind.to_owned();
        self.simple(number, PhoneCommand::Receipt { ids: ids.to_vec(), chat, kind, participant })
    }

    /// The phone's presence: `available`, `unavailable`, `subscribe`, `unsubscribe`.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`.
    pub async fn presence(&self, number: &str, kind: &str, to: Option<&str>) -> Result<()> {
        let to = to.map(|to| self.address(to)).transpose()?;
        self.simple(number, PhoneCommand::Presence { kind: kind.to_owned(), to })
    }

    /// The phone's chat state: `composing`, `recording`, `paused`.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`.
    pub async fn chatstate(&self, number: &str, to: &str, state: &str) -> Result<()> {
        let to = self.address(to)?;
        self.simple(number, PhoneCommand::Chatstate { to, state: state.to_owned() })
    }

    /// The phone forgets its Signal session with a device.
    ///
    /// # Errors
    /// `not-found`, `phone-offline`.
    pub async fn drop_session(&self, number: &str, device: &str) -> Result<()> {
        let device = self.address(device)?;
        self.simple(number, PhoneCommand::DropSession { device })
    }

    /// Ends live connections: those of one device, or of all companions. `code` goes with
    /// [`Kick::StreamError`]. Returns how many.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn kick(
        &self,
        number: &str,
        device: Option<u16>,
        how: Kick,
        code: Option<u16>,
    ) -> Result<usize> {
        self.known(number)?;
        Ok(self.shared.with(|world| world.kick(number, device, how, code)))
    }

    /// Bans an account, its live connections included.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn ban(&self, number: &str, ban: Ban) -> Result<()> {
        self.ban_with(number, ban, None).await
    }

    /// As [`Admin::ban`]; live connections end with this stream error instead of a plain close.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn ban_with(&self, number: &str, ban: Ban, stream_error: Option<u16>) -> Result<()> {
        self.known(number)?;
        self.shared.with(|world| world.ban(number, Some(ban), stream_error));
        Ok(())
    }

    /// Lifts a ban.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn unban(&self, number: &str) -> Result<()> {
        self.known(number)?;
        self.shared.with(|world| world.ban(number, None, None));
        Ok(())
    }

    /// Makes a group as a member's phone; returns its address. Its address form is PN unless `lid`.
    ///
    /// # Errors
    /// `bad-group`.
    pub async fn create_group(
        &self,
        creator: &str,
        subject: &str,
        members: &[String],
        lid: bool,
    ) -> Result<String> {
        let made = self.shared.with(|world| world.create_group_as(creator, subject, members, lid));
        made.ok_or_else(|| AdminError::new("bad-group", "unknown creator or too many members"))
    }

    /// Writes a stanza to a connection; nothing if it is gone.
    pub async fn inject(&self, connection: u64, node: Node) {
        self.shared.with(|world| world.write(connection, node));
    }

    /// # Errors
    /// `not-found` if there is no such connection.
    pub(crate) fn live(&self, connection: u64) -> Result<()> {
        let live = self.shared.look(|world| world.connections.contains_key(&connection));
        let gone = || AdminError::new("not-found", format!("there is no connection {connection}"));
        if live { Ok(()) } else { Err(gone()) }
    }

    /// Writes bytes to a connection: a frame's plaintext, or as they are, below the encryption.
    pub async fn inject_bytes(&self, connection: u64, bytes: Vec<u8>, encrypted: bool) {
        use crate::sim::world::Out;
        let out = if encrypted { Out::Plaintext(bytes) } else { Out::Raw(bytes) };
        self.shared.with(|world| world.out(connection, out));
    }

    /// The certificate chain of the handshakes to come.
    pub async fn set_cert(&self, mode: CertMode) {
        self.shared.with(|world| world.config.cert = mode);
    }

    /// Moves the world's time on; what becomes due on the way happens in order.
    pub async fn advance(&self, by: Duration) {
        self.shared.advance(by);
    }

    /// Closes every connection and makes a new world, or only forgets what happened and keeps the accounts.
    pub async fn reset(&self, keep_accounts: bool) {
        self.shared.with(|world| world.reset(keep_accounts));
    }

    /// Changes rules.
    pub async fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        self.shared.with(|world| change(&mut world.rules));
    }

    /// Changes what this names (`{"R4":{"mode":"off"}}`); everything else stays.
    ///
    /// # Errors
    /// `unknown-field`, `bad-body`.
    pub async fn merge_rules(&self, change: &serde_json::Value) -> Result<()> {
        self.shared.with(|world| world.rules.merge(change)).map_err(|error| {
            let code =
                if matches!(error, RulesError::UnknownField(_)) { "unknown-field" } else { "bad-body" };
            AdminError::new(code, error.to_string())
        })
    }

    /// What the stanza judge has said so far, device by device (the shape of GET `/v1/judge`, 09 §21, and how often
    /// each operation was seen). The count begins anew with a new world.
    pub async fn judge_totals(&self) -> serde_json::Value {
        self.shared.with(|world| world.shapes.totals())
    }

    /// What the stanza judge says of one stanza; nothing is counted.
    ///
    /// # Errors
    /// `no-table` if there is no table.
    pub async fn judge(&self, node: &Node) -> Result<Judgement> {
        let judgement = self.shared.with(|world| world.shapes.judge_tree(node));
        judgement.ok_or_else(|| AdminError::new("no-table", "the table of shapes can't be read"))
    }

    /// What the payload judge says of one serialised `Message` without padding; nothing is counted. Without an
    /// envelope only the message by itself is judged.
    pub async fn judge_message(&self, message: &[u8], envelope: Option<&Envelope>) -> Vec<Finding> {
        self.shared.with(|world| world.shapes.message(message, envelope))
    }

    /// Shapes the network towards the clients in the rule's scope, or lifts what shaped it.
    ///
    /// # Errors
    /// `bad-body` if a figure is impossible.
    pub async fn set_net(&self, rule: NetRule) -> Result<()> {
        if !rule.is_possible() {
            return Err(AdminError::new(
                "bad-body",
                "shares lie between 0 and 1, times between 0 and 600000 ms",
            ));
        }
        self.shared.with(|world| world.set_net(rule));
        Ok(())
    }

    /// Arms a fault (09 §22); its id.
    ///
    /// # Errors
    /// `too-many-faults`.
    pub async fn arm_fault(&self, order: FaultOrder) -> Result<u64> {
        let armed = self.shared.with(|world| world.arm(order));
        armed.map_err(|error| AdminError::new("too-many-faults", error.to_string()))
    }

    /// Disarms a fault.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn disarm_fault(&self, id: u64) -> Result<()> {
        let known = self.shared.with(|world| world.disarm(id));
        if known { Ok(()) } else { Err(AdminError::new("not-found", format!("there is no fault {id}"))) }
    }

    /// Forgets the violations.
    pub async fn clear_violations(&self) {
        self.shared.with(|world| world.violations = Default::default());
    }
}

/// The admin code of what a phone reports.
fn pairing_error(code: &str, text: &str) -> AdminError {
    let admin = match (code, text) {
        (_, "ref-expired") => "ref-expired",
        (_, "cooldown") => "cooldown",
        (_, "double-link") => "companion-limit",
        (_, "pub-key-mismatch") => "pub-key-mismatch",
        ("404", _) => "ref-unknown",
        ("409", _) => "companion-limit",
        ("408", _) => "timeout",
        ("bad-code" | "ref-unknown" | "timeout" | "bad-qr" | "companion-limit", _) => code,
        _ => "device-error",
    };
    AdminError::new(admin, format!("{code} {text}"))
}
