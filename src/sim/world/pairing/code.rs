//! Pairing by code: the server only carries what companion and phone say (02 §8, 09 §8).

use super::{World, child_content, child_fixed};
use crate::clock::UnixMillis;
use crate::sim::world::iq::{Refusal, Reply, text_of};
use crate::sim::world::queue::Kind;
use crate::sim::world::timers::Timer;
use crate::sim::world::{ConnectionId, Origin};
use crate::wire::{Jid, Node};

/// How long a hello's ref lives.
const HELLO_MS: i64 = 180_000;
/// Hellos for one number within an hour.
const HELLOS_PER_HOUR: usize = 3;
const HOUR_MS: i64 = 3_600_000;
const REG: &str = "link_code_companion_reg";

/// A code pairing under way on a connection.
#[derive(Debug)]
pub(crate) struct Hello {
    /// The ref, which phone and companion name.
    pub text: String,
    /// The account.
    pub number: String,
    /// When the ref dies.
    pub until_ms: UnixMillis,
}

impl World {
    /// A `link_code_companion_reg` of a registering connection.
    pub(crate) fn code_stage(&mut self, id: ConnectionId, iq: &Node) -> Reply {
        let stage = iq.find(REG).ok_or(Refusal::BAD_REQUEST)?;
        match stage.str("stage").as_deref() {
            Some("companion_hello") => self.companion_hello(id, stage),
            Some("companion_finish") => self.companion_finish(id, stage),
            _ => Err(Refusal::BAD_REQUEST),
        }
    }

    fn companion_hello(&mut self, id: ConnectionId, stage: &Node) -> Reply {
        let number = self.code_account(stage.jid("jid").ok_or(Refusal::BAD_REQUEST)?)?;
        if self.judge_cooldown(&number, id).is_err() {
            return Err(Refusal::RATE_OVERLIMIT);
        }
        let wrapped: Option<[u8; 80]> =
            child_fixed(stage, "link_code_pairing_wrapped_companion_ephemeral_pub");
        let key: Option<[u8; 32]> = child_fixed(stage, "companion_server_auth_key_pub");
        let (Some(wrapped), Some(key)) = (wrapped, key) else { return Err(Refusal::BAD_REQUEST) };
        let platform = text_of(stage, "companion_platform_id").ok_or(Refusal::BAD_REQUEST)?;
        let display = text_of(stage, "companion_platform_display").ok_or(Refusal::BAD_REQUEST)?;
        if self.connections.get(&id).and_then(|c| c.noise).is_none_or(|noise| *noise.as_bytes() != key) {
            self.connection_fault(id, "code-key-mismatch", "the hello names another Noise key".to_owned());
            return Err(Refusal::BAD_REQUEST);
        }
        if !is_browser_on_system(&display) {
            return Err(Refusal::BAD_REQUEST);
        }
        let now = self.now_ms;
        let account = self.accounts.get_mut(&number).ok_or(Refusal::BAD_REQUEST)?;
        account.code_hellos.retain(|at| now - at < HOUR_MS);
        if account.code_hellos.len() >= HELLOS_PER_HOUR {
            return Err(Refusal::RATE_OVERLIMIT);
        }
        account.code_hellos.push(now);

        let text = self.new_ref::<24>();
        let hello = Hello { text: text.clone(), number: number.clone(), until_ms: now + HELLO_MS };
        if let Some(registration) = self.connections.get_mut(&id).and_then(|c| c.registration_mut()) {
            registration.hello = Some(hello);
        }
        self.timers.set(now + HELLO_MS, Timer::HelloExpired(id));
        let told = Node::new(REG)
            .attr("stage", "companion_hello")
            .child(Node::new("link_code_pairing_wrapped_companion_ephemeral_pub").bytes(wrapped))
            .child(Node::new("companion_server_auth_key_pub").bytes(key))
            .child(Node::new("companion_platform_id").text_bytes(&platform))
            .child(Node::new("companion_platform_display").text_bytes(&display))
            .child(Node::new("link_code_pairing_ref").text_bytes(&text));
        let notification = self.notification(Jid::service(), REG).child(told);
        self.hand_to_phone(&number, Kind::Notification, notification);
        Ok(vec![Node::new(REG).child(Node::new("link_code_pairing_ref").text_bytes(&text))])
    }

    fn code_account(&mut self, jid: Jid) -> Result<String, Refusal> {
        if let Some(at) = self.resolve(&jid) {
            return Ok(at.number);
        }
        if !self.config.auto_accounts {
            return Err(Refusal::BAD_REQUEST);
        }
        let new = crate::sim::NewAccount { number: Some(jid.user().to_owned()), ..Default::default() };
        self.create_account(new).map_err(|_| Refusal::BAD_REQUEST)
    }

    fn companion_finish(&mut self, id: ConnectionId, stage: &Node) -> Reply {
        let bundle =
            child_content(stage, "link_code_pairing_wrapped_key_bundle").ok_or(Refusal::BAD_REQUEST)?;
        let identity: [u8; 32] =
            child_fixed(stage, "companion_identity_public").ok_or(Refusal::BAD_REQUEST)?;
        let text = text_of(stage, "link_code_pairing_ref").ok_or(Refusal::BAD_REQUEST)?;
        let registration = self.connections.get_mut(&id).and_then(|c| c.registration_mut());
        let hello = registration.and_then(|r| r.hello.as_ref()).filter(|hello| hello.text == text);
        let number = hello.ok_or(Refusal::ITEM_NOT_FOUND)?.number.clone();
        let told = Node::new(REG)
            .attr("stage", "companion_finish")
            .child(Node::new("link_code_pairing_wrapped_key_bundle").bytes(bundle))
            .child(Node::new("companion_identity_public").bytes(identity))
            .child(Node::new("link_code_pairing_ref").text_bytes(&text));
        let notification = self.notification(Jid::service(), REG).child(told);
        self.hand_to_phone(&number, Kind::Notification, notification);
        Ok(Vec::new())
    }

    /// The phone's answer to a hello, carried to the companion.
    pub(crate) fn primary_hello(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let stage = iq.find(REG).filter(|_| origin.device.device == 0).ok_or(Refusal::BAD_REQUEST)?;
        let text = text_of(stage, "link_code_pairing_ref").ok_or(Refusal::BAD_REQUEST)?;
        let wrapped = child_content(stage, "link_code_pairing_wrapped_primary_ephemeral_pub");
        let identity = child_content(stage, "primary_identity_pub");
        let (Some(wrapped), Some(identity)) = (wrapped, identity) else { return Err(Refusal::BAD_REQUEST) };
        let now = self.now_ms;
        let found = self.connections.iter_mut().find_map(|(id, connection)| {
            let hello = connection.registration_mut()?.hello.as_ref()?;
            (hello.text == text && hello.number == origin.device.number && now < hello.until_ms)
                .then_some(*id)
        });
        let id = found.ok_or(Refusal::ITEM_NOT_FOUND)?;
        let told = Node::new(REG)
            .attr("stage", "primary_hello")
            .child(Node::new("link_code_pairing_ref").text_bytes(&text))
            .child(Node::new("link_code_pairing_wrapped_primary_ephemeral_pub").bytes(wrapped))
            .child(Node::new("primary_identity_pub").bytes(identity));
        let notification = self.notification(Jid::service(), REG).child(told);
        self.write(id, notification);
        Ok(Vec::new())
    }

    pub(crate) fn hello_expired(&mut self, id: ConnectionId) {
        let now = self.now_ms;
        let Some(registration) = self.connections.get_mut(&id).and_then(|c| c.registration_mut()) else {
            return;
        };
        if registration.hello.as_ref().is_none_or(|hello| now < hello.until_ms) {
            return;
        }
        registration.hello = None;
        if registration.refs_over && registration.pending.is_none() {
            self.end_with(id, None, 0);
        }
    }
}

/// `Browser (OS)`, both real: others are refused by the service (02 §8).
fn is_browser_on_system(display: &str) -> bool {
    const BROWSERS: [&str; 7] = ["Chrome", "Edge", "Firefox", "IE", "Opera", "Safari", "Chromium"];
    const SYSTEMS: [&str; 8] = ["Windows", "Mac OS", "macOS", "Linux", "Ubuntu", "Android", "iOS", "Debian"];
    let Some((browser, system)) = display.strip_suffix(')').and_then(|text| text.split_once(" (")) else {
        return false;
    };
    BROWSERS.contains(&browser) && SYSTEMS.contains(&system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_names_a_browser_on_a_system() {
        for good in ["Chrome (Linux)", "Chrome (Mac OS)", "Firefox (Ubuntu)", "Safari (Mac OS)"] {
            assert!(is_browser_on_system(good), "{good}");
        }
        for bad in ["Chrome (Acme)", "Palomar (Linux)", "Chrome", "Chrome Linux"] {
            assert!(!is_browser_on_system(bad), "{bad}");
        }
    }
}
