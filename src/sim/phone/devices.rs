//! Virtual companions (protocol 09 §21 `devices`): devices that the phone role runs itself, with keys of their own and
//! signed like any other, for tests with many devices and few clients.

use crate::crypto::{PublicKey, random_bytes};
use crate::signal::adv::{AdvSecret, companion};
use crate::sim::seam::{FromPhone, PhoneContext, PhoneError, PhoneEvent};
use crate::wire::Node;

use super::{Primary, SimPhone};

/// What makes a device a companion.
pub(super) struct Companion {
    pub device: u16,
    /// The signed identity, with the account's key.
    pub signed_identity: Vec<u8>,
    pub account_key: PublicKey,
}

impl SimPhone {
    /// Makes, signs and reports a companion; it uploads its keys.
    pub(super) fn add_device(
        &mut self,
        context: &mut PhoneContext<'_>,
        device: u16,
    ) -> Result<(), PhoneError> {
        let primary = self.primary.as_mut().ok_or(PhoneError::PhoneOffline)?;
        let mut made = Primary::new(self.setup.clone(), context);
        let (secret, key_index) = (AdvSecret::generate(context.rng), primary.adv.reserve());
        primary.adv.pending.retain(|index| *index != key_index);
        let account = primary.keys.identity.clone();
        let identity = made.keys.identity.public();
        let terms = (key_index, context.now_s());
        let container = primary.adv.container(&account, identity, &secret, terms, None, context.rng);
        let verified = companion::verify(&container, &secret, identity, Some(account.public()))
            .map_err(|error| PhoneError::Unknown(error.to_string()))?;
        let signed_identity = verified.sign(&made.keys.identity, &random_bytes(context.rng)).account;
        primary.adv.link(device, key_index);
        primary.publish_list(context);
        context.report(PhoneEvent::VirtualDevice {
            device,
            registration: made.keys.registration_id,
            identity: *identity.as_bytes(),
            key_index,
            signed_identity: signed_identity.clone(),
            account_key: *account.public().as_bytes(),
        });
        made.companion = Some(Companion { device, signed_identity, account_key: *account.public() });
        self.devices.insert(device, made);
        self.with_device(context, device, Primary::upload);
        Ok(())
    }

    /// Lets a companion act; what it says goes out under its own number. Its inbox is nobody's.
    pub(super) fn with_device<R>(
        &mut self,
        context: &mut PhoneContext<'_>,
        device: u16,
        act: impl FnOnce(&mut Primary, &mut PhoneContext<'_>) -> R,
    ) -> Option<R> {
        let companion = self.devices.get_mut(&device)?;
        let mut out = Vec::new();
        let result = act(
            companion,
            &mut PhoneContext {
                now_ms: context.now_ms,
                clock_offset_s: context.clock_offset_s,
                rng: context.rng,
                out: &mut out,
            },
        );
        context.out.extend(out.into_iter().filter_map(|said| match said {
            FromPhone::Stanza(stanza) => Some(FromPhone::StanzaOf { device, stanza }),
            FromPhone::Event(PhoneEvent::Inbox(_)) => None,
            said => Some(said),
        }));
        Some(result)
    }
}

impl Primary {
    /// 0 for the phone.
    pub(super) fn device(&self) -> u16 {
        self.companion.as_ref().map_or(0, |companion| companion.device)
    }

    /// The key that signs for the account's companions.
    pub(super) fn own_account_key(&self) -> PublicKey {
        self.companion.as_ref().map_or(*self.keys.identity.public(), |companion| companion.account_key)
    }

    /// What a stanza with a `pkmsg` carries, and a bundle.
    pub(super) fn device_identity(&self) -> Option<Node> {
        let companion = self.companion.as_ref()?;
        Some(Node::new("device-identity").bytes(companion.signed_identity.clone()))
    }
}
