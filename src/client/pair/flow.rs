//! One pairing by code (protocol 02 §8): which `primary_hello` is taken, and when the flow is over. Pure: what is
//! sent and derived is the driver's.

use std::time::Duration;

use tokio::time::Instant;

use crate::crypto::{KeyPair, PublicKey};
use crate::signal::link_code::{Code, WRAPPED_LENGTH};
use crate::wire::Jid;

/// How long a code lives, from its making.
pub(crate) const CODE_LIFE: Duration = Duration::from_secs(180);
/// How long pair-success may take after the last accepted `primary_hello`.
const SUCCESS_LIMIT: Duration = Duration::from_secs(60);
/// The most `primary_hello` for one code.
const HELLOS_MAX: u8 = 3;

/// A code that is asked for or shown.
#[derive(Debug)]
pub(crate) struct Flow {
    pub phone: Jid,
    pub code: Code,
    pub ephemeral: KeyPair,
    /// The server's reference, once stage 1 was answered.
    pub reference: Option<Vec<u8>>,
    /// The phone's identity, once a `primary_hello` was accepted: pair-success must name the same.
    pub primary_identity: Option<PublicKey>,
    made: Instant,
    hellos: u8,
    last_hello: Option<Instant>,
}

/// A `primary_hello` that is to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello<'a> {
    pub wrapped: &'a [u8],
    pub identity: PublicKey,
}

/// Why a `primary_hello` is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ignored {
    /// Another flow's.
    Reference,
    /// The code is too old.
    Late,
    /// The account is behind the passkey gate: wait for it.
    PasskeyGate,
    /// A length is wrong.
    Length,
    /// More than three.
    TooMany,
}

impl Flow {
    /// A flow whose code is made at `now`.
    pub fn new(phone: Jid, code: Code, ephemeral: KeyPair, now: Instant) -> Self {
        Self {
            phone,
            code,
            ephemeral,
            reference: None,
            primary_identity: None,
            made: now,
            hellos: 0,
            last_hello: None,
        }
    }

    /// Judges a `primary_hello`; an accepted one counts and starts the wait for pair-success anew.
    pub fn accept<'a>(
        &mut self,
        reference: &[u8],
        wrapped: Option<&'a [u8]>,
        identity: Option<&[u8]>,
        now: Instant,
    ) -> Result<Hello<'a>, Ignored> {
        if self.reference.as_deref() != Some(reference) {
            return Err(Ignored::Reference);
        }
        let Some(wrapped) = wrapped else { return Err(Ignored::PasskeyGate) };
        if now > self.made + CODE_LIFE {
            return Err(Ignored::Late);
        }
        let identity = identity.and_then(PublicKey::from_slice).ok_or(Ignored::Length)?;
        if wrapped.len() != WRAPPED_LENGTH {
            return Err(Ignored::Length);
        }
        if self.hellos >= HELLOS_MAX {
            return Err(Ignored::TooMany);
        }
        self.hellos += 1;
        self.last_hello = Some(now);
        self.primary_identity = Some(identity);
        Ok(Hello { wrapped, identity })
    }

    /// When the flow is over without pair-success.
    pub fn deadline(&self) -> Instant {
        self.last_hello.map_or(self.made + CODE_LIFE, |hello| hello + SUCCESS_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn flow(now: Instant) -> Flow {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let phone = Jid::pn("15550003333").unwrap();
        let mut flow = Flow::new(phone, Code::generate(&mut rng), KeyPair::generate(&mut rng), now);
        flow.reference = Some(b"ref".to_vec());
        flow
    }

    #[test]
    fn a_hello_is_taken_only_for_our_ref_in_time_and_with_right_lengths() {
        let now = Instant::now();
        let mut flow = flow(now);
        let (wrapped, identity) = ([1; 80], [2; 32]);
        let good = (Some(&wrapped[..]), Some(&identity[..]));
        assert_eq!(flow.accept(b"other", good.0, good.1, now), Err(Ignored::Reference));
        assert_eq!(flow.accept(b"ref", None, good.1, now), Err(Ignored::PasskeyGate));
        assert_eq!(flow.accept(b"ref", Some(&wrapped[..79]), good.1, now), Err(Ignored::Length));
        assert_eq!(flow.accept(b"ref", good.0, Some(&identity[..31]), now), Err(Ignored::Length));
        assert_eq!(flow.accept(b"ref", good.0, None, now), Err(Ignored::Length));
        let late = now + CODE_LIFE + Duration::from_millis(1);
        assert_eq!(flow.accept(b"ref", good.0, good.1, late), Err(Ignored::Late));
        assert_eq!(flow.primary_identity, None);
        assert!(flow.accept(b"ref", good.0, good.1, now + CODE_LIFE).is_ok());
    }

    #[test]
    fn a_flood_of_hellos_is_worked_on_three_times_at_most() {
        let now = Instant::now();
        let mut flow = flow(now);
        let taken = (0..10).filter(|_| flow.accept(b"ref", Some(&[1; 80]), Some(&[2; 32]), now).is_ok());
        assert_eq!(taken.count(), 3);
        assert_eq!(flow.accept(b"ref", Some(&[1; 80]), Some(&[2; 32]), now), Err(Ignored::TooMany));
    }

    #[test]
    fn the_flow_ends_180_s_after_its_making_or_60_s_after_the_last_accepted_hello() {
        let now = Instant::now();
        let mut flow = flow(now);
        assert_eq!(flow.deadline(), now + CODE_LIFE);
        for seconds in [10, 100] {
            let at = now + Duration::from_secs(seconds);
            assert!(flow.accept(b"ref", Some(&[1; 80]), Some(&[2; 32]), at).is_ok());
            assert_eq!(flow.deadline(), at + SUCCESS_LIMIT);
        }
    }
}
