//! The stanzas of pairing (protocol 02), companion side: what comes in and what goes out. Order, secrets and
//! timers live in `client`.

use crate::wire::{Jid, Node, NodeRef};

use super::iq;

/// The most refs that are used, and the longest.
const REFS_MAX: usize = 20;
const REF_LENGTH_MAX: usize = 1024;

/// The usable refs of a `<pair-device>`.
#[must_use]
pub fn refs(pair_device: NodeRef<'_>) -> Vec<String> {
    pair_device
        .nodes()
        .filter(|child| child.tag() == "ref")
        .filter_map(|child| String::from_utf8(child.content_bytes()?.into_owned()).ok())
        .filter(|text| !text.is_empty() && text.len() <= REF_LENGTH_MAX)
        .take(REFS_MAX)
        .collect()
}

/// A `<pair-success>` before any check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PairSuccess {
    /// `t` of the stanza, Unix seconds.
    pub server_time: Option<i64>,
    /// `<device-identity>`: the container.
    pub container: Option<Vec<u8>>,
    /// `<device jid>`.
    pub jid: Option<Jid>,
    /// `<device lid>`.
    pub lid: Option<Jid>,
    /// `<platform name>`: the phone's.
    pub platform: Option<String>,
    /// `<biz name>`.
    pub business: Option<String>,
    /// `<client-props>`.
    pub client_props: Option<Vec<u8>>,
}

impl PairSuccess {
    /// Reads the stanza; what is mandatory is checked by the caller, who answers with the right code.
    #[must_use]
    pub fn parse(iq: NodeRef<'_>) -> Self {
        let Some(node) = iq.find("pair-success") else { return Self::default() };
        let device = node.find("device");
        let bytes =
            |tag| node.find(tag).and_then(|child| child.content_bytes()).map(std::borrow::Cow::into_owned);
        let name = |tag| node.find(tag).and_then(|child| child.str("name")).map(std::borrow::Cow::into_owned);
        Self {
            server_time: iq.u64("t").and_then(|t| i64::try_from(t).ok()),
            container: bytes("device-identity"),
            jid: device.and_then(|device| device.jid("jid")),
            lid: device.and_then(|device| device.jid("lid")),
            platform: name("platform"),
            business: name("biz"),
            client_props: bytes("client-props"),
        }
    }
}

/// The reply to a good `<pair-success>`.
#[must_use]
pub fn device_sign(id: &str, key_index: u32, identity: Vec<u8>) -> Node {
    let identity = Node::new("device-identity").attr("key-index", key_index.to_string()).bytes(identity);
    Node::new("iq")
        .attr("to", Jid::service())
        .attr("type", "result")
        .attr("id", id.to_owned())
        .child(Node::new("pair-device-sign").child(identity))
}

/// Orders the server to remove this device (02 §11). The only reason that we ever give.
#[must_use]
pub fn remove_companion(own: Jid) -> Node {
    let remove = Node::new("remove-companion-device").attr("jid", own).attr("reason", "user_initiated");
    iq::set("md", Jid::service()).child(remove)
}

/// What the first stage of code pairing sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanionHello {
    /// The phone's JID.
    pub phone: Jid,
    /// The wrapped ephemeral key, 80 bytes.
    pub wrapped_ephemeral: Vec<u8>,
    /// Noise public key.
    pub noise_public: [u8; 32],
    /// Client type character.
    pub platform_id: char,
    /// `Browser (OS)`.
    pub platform_display: String,
}

/// Stage 1 of code pairing, without id.
#[must_use]
pub fn companion_hello(hello: CompanionHello) -> Node {
    let bytes = |tag, value: Vec<u8>| Node::new(tag).bytes(value);
    let reg = Node::new("link_code_companion_reg")
        .attr("jid", hello.phone)
        .attr("stage", "companion_hello")
        .attr("should_show_push_notification", "true")
        .child(bytes("link_code_pairing_wrapped_companion_ephemeral_pub", hello.wrapped_ephemeral))
        .child(bytes("companion_server_auth_key_pub", hello.noise_public.to_vec()))
        .child(bytes("companion_platform_id", hello.platform_id.to_string().into_bytes()))
        .child(bytes("companion_platform_display", hello.platform_display.into_bytes()))
        .child(bytes("link_code_pairing_nonce", vec![0]));
    iq::set("md", Jid::service()).child(reg)
}

/// The ref in the answer to stage 1.
#[must_use]
pub fn companion_hello_ref(answer: &Node) -> Option<Vec<u8>> {
    let reg = answer.find("link_code_companion_reg")?;
    Some(reg.find("link_code_pairing_ref")?.content_bytes()?.into_owned())
}

/// Stage 3 of code pairing, without id.
#[must_use]
pub fn companion_finish(phone: Jid, bundle: Vec<u8>, identity: [u8; 32], reference: Vec<u8>) -> Node {
    let reg = Node::new("link_code_companion_reg")
        .attr("jid", phone)
        .attr("stage", "companion_finish")
        .child(Node::new("link_code_pairing_wrapped_key_bundle").bytes(bundle))
        .child(Node::new("companion_identity_public").bytes(identity.to_vec()))
        .child(Node::new("link_code_pairing_ref").bytes(reference));
    iq::set("md", Jid::service()).child(reg)
}

/// A `link_code_companion_reg` notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkCode {
    /// Stage 2: the phone has a code.
    PrimaryHello {
        /// Must be ours.
        reference: Vec<u8>,
        /// `None`: the account is behind the passkey gate.
        wrapped_ephemeral: Option<Vec<u8>>,
        /// The phone's identity key.
        identity: Option<Vec<u8>>,
    },
    /// The code that is shown is void.
    RefreshCode {
        /// Must be ours.
        reference: Vec<u8>,
    },
}

/// Reads a `link_code_companion_reg` notification. `None`: no content, an unknown stage, or no ref; to be acked
/// with error 487.
#[must_use]
pub fn link_code(notification: NodeRef<'_>) -> Option<LinkCode> {
    let reg = notification.find("link_code_companion_reg")?;
    let bytes = |tag| reg.find(tag).and_then(|child| child.content_bytes()).map(std::borrow::Cow::into_owned);
    let reference = bytes("link_code_pairing_ref");
    let wrapped_ephemeral = bytes("link_code_pairing_wrapped_primary_ephemeral_pub");
    let identity = bytes("primary_identity_pub");
    match reg.str("stage").as_deref() {
        Some("primary_hello") => {}
        // Older servers name no stage.
        None if wrapped_ephemeral.is_some() && identity.is_some() => {}
        Some("refresh_code") => return Some(LinkCode::RefreshCode { reference: reference? }),
        _ => return None,
    }
    Some(LinkCode::PrimaryHello { reference: reference?, wrapped_ephemeral, identity })
}

/// The options of a passkey request, from a notification or from the answer to [`passkey_options_query`]; as text,
/// not parsed.
#[must_use]
pub fn passkey_options(stanza: NodeRef<'_>) -> Option<String> {
    Some(stanza.find("passkey_request_options")?.content_text()?.into_owned())
}

/// Asks for the options again, without id.
#[must_use]
pub fn passkey_options_query() -> Node {
    iq::get("md", Jid::service()).child(Node::new("passkey_request_options"))
}

/// Asks for the ref of the passkey gate, without id.
#[must_use]
pub fn passkey_ref_query() -> Node {
    iq::get("md", Jid::service()).child(Node::new("ref"))
}

/// The text of the one child of this tag in an answer.
#[must_use]
pub fn child_text(answer: &Node, tag: &str) -> Option<String> {
    Some(answer.find(tag)?.content_text()?.into_owned())
}

/// Assertion and commitment of the passkey gate, without id.
#[must_use]
pub fn passkey_prologue(
    credential_id: Vec<u8>,
    assertion: &str,
    prologue: Vec<u8>,
    proof: Option<[u8; 32]>,
) -> Node {
    let proof = proof.map(|proof| Node::new("pairing_handoff_proof").bytes(proof.to_vec()));
    let prologue = Node::new("passkey_prologue")
        .child(Node::new("credential_id").bytes(credential_id))
        .child(Node::new("webauthn_assertion").text_bytes(assertion))
        .child(Node::new("prologue_payload").bytes(prologue))
        .children(proof);
    iq::set("md", Jid::service()).child(prologue)
}

/// The primary's ephemeral identity in a `crsc_continuation`: the serialized message.
#[must_use]
pub fn passkey_continuation(notification: NodeRef<'_>) -> Option<Vec<u8>> {
    Some(notification.find("primary_ephemeral_identity")?.content_bytes()?.into_owned())
}

/// Opens the commitment of the passkey gate, without id.
#[must_use]
pub fn passkey_nonce(nonce: [u8; 32]) -> Node {
    iq::set("md", Jid::service()).child(Node::new("companion_nonce").bytes(nonce.to_vec()))
}

/// The sealed keys of the passkey gate, without id.
#[must_use]
pub fn passkey_request(sealed: Vec<u8>) -> Node {
    iq::set("md", Jid::service()).child(Node::new("encrypted_pairing_request").bytes(sealed))
}
