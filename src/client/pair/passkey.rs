//! The driver's part of the passkey gate (protocol 02 §9). The assertion itself is made by the application's
//! authenticator, or not at all: then the gate ends the pairing, it never hangs.

use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::PairEvent;
use super::driver::{Done, Driver, Over, PasskeyUnsupported};
use crate::client::line::IqError;
use crate::crypto::{PublicKey, random_bytes};
use crate::proto::PrimaryEphemeralIdentity;
use crate::signal::adv::AdvSecret;
use crate::signal::passkey::{self, Companion};
use crate::stanza::pair;
use crate::wire::Node;

/// For an answer, where the options name no time; also for every other wait of the gate.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest time for the assertion.
const LIMIT_MAX: Duration = Duration::from_secs(300);
/// How long the secret of the code that was just used proves something.
const HANDOFF_LIFE: Duration = Duration::from_secs(300);

/// What an authenticator made of the options.
#[derive(Clone)]
pub struct Assertion {
    /// The credential's raw id.
    pub credential_id: Vec<u8>,
    /// The assertion as JSON: id, rawId, type, response; byte values in unpadded base64url.
    pub json: String,
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Assertion(..)")
    }
}

/// What the server says.
#[derive(Debug)]
pub(crate) enum GateInput {
    /// `passkey_prologue_request`, with its options where there are some.
    Request(Option<String>),
    /// `crsc_continuation`, with the serialized identity.
    Continuation(Option<Vec<u8>>),
}

/// What was asked, and what came of it.
pub(super) enum GateDone {
    Options(Result<Node, IqError>),
    Reference(Result<Node, IqError>),
    /// The prologue, the nonce or the request was taken or not.
    Taken(Result<Node, IqError>),
}

/// How far the gate is.
#[derive(Default)]
pub(super) enum Gate {
    #[default]
    Closed,
    /// The options are asked for again.
    Fetching { until: Instant },
    /// The application is asked for an assertion.
    Asked { until: Instant, handoff: Option<Handoff> },
    /// The ref is asked for.
    Answered { until: Instant, handoff: Option<Handoff>, assertion: Assertion },
    /// The prologue is out.
    Committed { until: Instant, companion: Box<Companion>, proved: bool },
    /// The person compares codes.
    Confirming { until: Instant, companion: Box<Companion>, primary: PublicKey },
    /// The request is out: pair-success follows.
    Requested { until: Instant },
}

/// The key that proves which code was just used.
pub(super) struct Handoff {
    key: Zeroizing<[u8; 32]>,
    at: Instant,
}

impl Gate {
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Closed)
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Closed => None,
            Self::Fetching { until }
            | Self::Asked { until, .. }
            | Self::Answered { until, .. }
            | Self::Committed { until, .. }
            | Self::Confirming { until, .. }
            | Self::Requested { until } => Some(*until),
        }
    }
}

impl Driver {
    pub(super) async fn gate_input(&mut self, told: GateInput) -> Result<(), Over> {
        match (told, std::mem::take(&mut self.gate)) {
            (GateInput::Request(options), Gate::Closed) => match options.as_deref().and_then(timeout) {
                Some(limit) => self.require(options.unwrap_or_default(), limit).await,
                None => {
                    self.gate = Gate::Fetching { until: self.now() + LIMIT };
                    self.ask_gate(pair::passkey_options_query(), GateDone::Options);
                    Ok(())
                }
            },
            (GateInput::Continuation(Some(identity)), Gate::Committed { companion, proved, .. }) => {
                self.continued(&identity, companion, proved)
            }
            _ => Err(self.gate_failed("passkey_order", "the server's messages came out of order")),
        }
    }

    /// Steps 1 and 2: the application is asked, the secret changes.
    async fn require(&mut self, options: String, limit: Duration) -> Result<(), Over> {
        let now = self.now();
        let handoff =
            self.secret.as_ref().map(|old| Handoff { key: passkey::handoff_key(old).into(), at: now });
        self.gate = Gate::Asked { until: now + limit, handoff };
        let step = self.rotation.hide(AdvSecret::generate(&mut self.ctx.chance.fork()));
        self.take([step]).await?;
        self.tell(PairEvent::PasskeyRequired { options, within: limit });
        Ok(())
    }

    /// The application's answer: step 3.
    pub(super) async fn passkey(
        &mut self,
        answer: Result<Assertion, PasskeyUnsupported>,
    ) -> Result<(), Over> {
        let Gate::Asked { handoff, .. } = std::mem::take(&mut self.gate) else {
            return Err(self.gate_failed("passkey_order", "an answer without a question"));
        };
        let Ok(assertion) = answer else {
            return Err(self.gate_failed("passkey_unsupported", "not supported by this authenticator"));
        };
        self.gate = Gate::Answered { until: self.now() + LIMIT, handoff, assertion };
        self.ask_gate(pair::passkey_ref_query(), GateDone::Reference);
        Ok(())
    }

    pub(super) async fn gate_done(&mut self, done: GateDone) -> Result<(), Over> {
        match done {
            GateDone::Options(answer) => {
                let answer = self.taken(answer)?;
                let options = pair::child_text(&answer, "passkey_request_options");
                match options.as_deref().and_then(timeout) {
                    Some(limit) => self.require(options.unwrap_or_default(), limit).await,
                    None => Err(self.gate_failed("passkey_options", "the options can't be read")),
                }
            }
            GateDone::Reference(answer) => {
                let answer = self.taken(answer)?;
                match pair::child_text(&answer, "ref") {
                    Some(reference) => self.commit(&reference),
                    None => Err(self.gate_failed("passkey_ref", "the server sent no ref")),
                }
            }
            GateDone::Taken(answer) => self.taken(answer).map(drop),
        }
    }

    fn taken(&mut self, answer: Result<Node, IqError>) -> Result<Node, Over> {
        answer.map_err(|error| self.gate_failed("passkey_refused", &error.to_string()))
    }

    /// Step 4.
    fn commit(&mut self, reference: &str) -> Result<(), Over> {
        let Gate::Answered { handoff, assertion, .. } = std::mem::take(&mut self.gate) else {
            return Err(self.gate_failed("passkey_order", "a ref without a question"));
        };
        let now = self.now();
        let device_type = i32::from(self.own.profile.browser.platform_type());
        let companion = Companion::generate(device_type, reference, &mut self.ctx.chance.fork());
        let prologue = companion.prologue();
        let fresh = handoff.filter(|handoff| now <= handoff.at + HANDOFF_LIFE);
        let proof = fresh.map(|handoff| passkey::handoff_proof(&handoff.key, &prologue));
        self.gate =
            Gate::Committed { until: now + LIMIT, companion: Box::new(companion), proved: proof.is_some() };
        let stanza = pair::passkey_prologue(assertion.credential_id, &assertion.json, prologue, proof);
        self.ask_gate(stanza, GateDone::Taken);
        Ok(())
    }

    /// Step 5.
    fn continued(&mut self, identity: &[u8], companion: Box<Companion>, proved: bool) -> Result<(), Over> {
        let told = PrimaryEphemeralIdentity::decode(identity).unwrap_or_default();
        let primary = told.public_key.as_deref().and_then(PublicKey::from_slice);
        let nonce: Option<[u8; 32]> = told.nonce.and_then(|nonce| nonce.try_into().ok());
        let (Some(primary), Some(nonce)) = (primary, nonce) else {
            return Err(self.gate_failed("passkey_identity", "a length of the phone's identity is wrong"));
        };
        self.ask_gate(pair::passkey_nonce(companion.nonce), GateDone::Taken);
        if proved {
            return self.request(&companion, &primary);
        }
        let code = companion.verification_code(&primary, &nonce).display();
        self.gate = Gate::Confirming { until: self.now() + LIMIT, companion, primary };
        self.tell(PairEvent::PasskeyConfirm { code, within: LIMIT });
        Ok(())
    }

    /// The person compared: step 6.
    pub(super) async fn confirm(&mut self, agreed: bool) -> Result<(), Over> {
        let Gate::Confirming { companion, primary, .. } = std::mem::take(&mut self.gate) else {
            return Err(self.gate_failed("passkey_order", "a confirmation without a question"));
        };
        if !agreed {
            return Err(self.gate_failed("passkey_cancelled", "the codes did not agree"));
        }
        self.request(&companion, &primary)
    }

    fn request(&mut self, companion: &Companion, primary: &PublicKey) -> Result<(), Over> {
        let key = companion.encryption_key(primary).map(Zeroizing::new);
        let (Ok(key), Some(secret)) = (key, &self.secret) else {
            return Err(self.gate_failed("passkey_key", "the phone's key is of low order"));
        };
        let own = &self.own.keys;
        let request = passkey::pairing_request(own.noise.public(), own.identity.public(), secret);
        let request = Zeroizing::new(request);
        let Ok(sealed) = passkey::seal(&key, random_bytes(&mut self.ctx.chance.fork()), &request) else {
            return Err(self.gate_failed("passkey_key", "the request could not be sealed"));
        };
        self.gate = Gate::Requested { until: self.now() + LIMIT };
        self.ask_gate(pair::passkey_request(sealed), GateDone::Taken);
        Ok(())
    }

    /// The gate ends the pairing.
    pub(super) fn gate_failed(&mut self, what: &str, detail: &str) -> Over {
        self.gate = Gate::Closed;
        self.tell(PairEvent::PairError { code: 0, text: what.to_owned() });
        Over::new(detail)
    }

    fn ask_gate(&self, question: Node, done: fn(Result<Node, IqError>) -> GateDone) {
        self.ask(question, self.ctx.config.timeouts.iq, move |answer| Done::Gate(done(answer)));
    }
}

/// How long the options give; `None` if they are no JSON object.
fn timeout(options: &str) -> Option<Duration> {
    let options: serde_json::Value = serde_json::from_str(options).ok()?;
    let named = options.as_object()?.get("timeout").and_then(serde_json::Value::as_u64);
    Some(named.map_or(LIMIT, Duration::from_millis).min(LIMIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_name_the_time_within_bounds() {
        assert_eq!(timeout(r#"{"timeout": 30000}"#), Some(Duration::from_secs(30)));
        assert_eq!(timeout("{}"), Some(LIMIT));
        assert_eq!(timeout(r#"{"timeout": 9000000}"#), Some(LIMIT_MAX));
        assert_eq!(timeout("[]"), None);
        assert_eq!(timeout("no json"), None);
    }
}
