//! The client payload that travels inside the handshake (protocol 01 §10), and the device properties in it
//! (01 §11, 07 §2). Pure.

use prost::Message as _;

use crate::client::profile::{DeviceProfile, Os};
use crate::crypto::{PublicKey, md5};
use crate::proto::{
    ClientPayload, DeviceProps,
    client_payload::{
        ConnectReason, ConnectType, DevicePairingRegistrationData, UserAgent, WebInfo,
        user_agent::{self, Platform, ReleaseChannel},
        web_info::WebSubPlatform,
    },
    device_props::{self, HistorySyncConfig},
};

/// The web client's version, e.g. 2.3000.1045649367 (01 §13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientVersion(pub [u32; 3]);

/// The newest revision this build knows of, from 2026-08-20.
pub const BUILT_IN_VERSION: ClientVersion = ClientVersion([2, 3000, 1_045_649_367]);

impl std::fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [primary, secondary, tertiary] = self.0;
        write!(f, "{primary}.{secondary}.{tertiary}")
    }
}

impl std::str::FromStr for ClientVersion {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let parts: Vec<u32> =
            text.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| BadVersion)?;
        parts.try_into().map(Self).map_err(|_| BadVersion)
    }
}

/// The text is no version of the form `2.3000.R`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client version is three numbers with dots, like 2.3000.1045649367")]
pub struct BadVersion;

/// What a registration sends besides version and profile.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// 1..=16380.
    pub registration_id: u32,
    /// Identity key, public.
    pub identity: &'a PublicKey,
    /// Signed prekey: id (24 bit), public key, signature.
    pub signed_prekey: (u32, &'a PublicKey, &'a [u8; 64]),
}

/// What a login sends besides version and profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Login {
    /// The phone number's digits as a number.
    pub username: u64,
    /// Own device id.
    pub device: u32,
    /// There is work to do before the queue (01 §14.1).
    pub passive: bool,
    /// Login counter.
    pub counter: i32,
}

/// The payload of a registration connection.
#[must_use]
pub fn register(version: ClientVersion, profile: &DeviceProfile, registration: &Registration<'_>) -> Vec<u8> {
    let (id, key, signature) = registration.signed_prekey;
    let [_, skey_id @ ..] = id.to_be_bytes();
    let pairing = DevicePairingRegistrationData {
        e_regid: Some(registration.registration_id.to_be_bytes().to_vec()),
        e_keytype: Some(vec![5]),
        e_ident: Some(registration.identity.as_bytes().to_vec()),
        e_skey_id: Some(skey_id.to_vec()),
        e_skey_val: Some(key.as_bytes().to_vec()),
        e_skey_sig: Some(signature.to_vec()),
        build_hash: Some(md5(version.to_string().as_bytes()).to_vec()),
        device_props: Some(device_props(profile).encode_to_vec()),
    };
    ClientPayload {
        passive: Some(false),
        pull: Some(false),
        device_pairing_data: Some(pairing),
        ..common(version, profile)
    }
    .encode_to_vec()
}

/// The payload of a login connection.
#[must_use]
pub fn login(version: ClientVersion, profile: &DeviceProfile, login: &Login) -> Vec<u8> {
    ClientPayload {
        username: Some(login.username),
        device: Some(login.device),
        passive: Some(login.passive),
        pull: Some(true),
        lc: Some(login.counter),
        lid_db_migrated: Some(true),
        ..common(version, profile)
    }
    .encode_to_vec()
}

fn common(version: ClientVersion, profile: &DeviceProfile) -> ClientPayload {
    ClientPayload {
        user_agent: Some(user_agent(version, profile)),
        web_info: Some(WebInfo {
            web_sub_platform: Some(WebSubPlatform::WebBrowser.into()),
            ..WebInfo::default()
        }),
        connect_type: Some(ConnectType::WifiUnknown.into()),
        connect_reason: Some(ConnectReason::UserActivated.into()),
        ..ClientPayload::default()
    }
}

fn user_agent(version: ClientVersion, profile: &DeviceProfile) -> UserAgent {
    let [primary, secondary, tertiary] = version.0.map(Some);
    UserAgent {
        platform: Some(Platform::Web.into()),
        app_version: Some(user_agent::AppVersion { primary, secondary, tertiary, ..Default::default() }),
        mcc: Some("000".to_owned()),
        mnc: Some("000".to_owned()),
        os_version: Some("0.1".to_owned()),
        os_build_number: Some("0.1".to_owned()),
        manufacturer: Some(String::new()),
        device: Some("Desktop".to_owned()),
        release_channel: Some(ReleaseChannel::Release.into()),
        locale_language_iso6391: Some(profile.language.clone()),
        locale_country_iso31661_alpha2: Some(profile.country.clone()),
        ..UserAgent::default()
    }
}

/// The device properties: what the phone lists, and which history it is asked for (the browser's shape).
#[must_use]
pub fn device_props(profile: &DeviceProfile) -> DeviceProps {
    let (os, version) = profile.os.name_and_version();
    let version = version.map(|[primary, secondary, tertiary]| match profile.os {
        Os::Windows => device_props::AppVersion { primary: Some(primary), ..Default::default() },
        _ => device_props::AppVersion {
            primary: Some(primary),
            secondary: Some(secondary),
            tertiary: Some(tertiary),
            ..Default::default()
        },
    });
    DeviceProps {
        os: Some(os.to_owned()),
        version,
        platform_type: Some(profile.browser.platform_type().into()),
        require_full_sync: Some(false),
        history_sync_config: Some(history_sync_config()),
    }
}

fn history_sync_config() -> HistorySyncConfig {
    HistorySyncConfig {
        storage_quota_mb: Some(10_240),
        inline_initial_payload_in_e2_ee_msg: Some(true),
        support_call_log_history: Some(false),
        support_bot_user_agent_chat_history: Some(true),
        support_cag_reactions_and_polls: Some(true),
        support_biz_hosted_msg: Some(true),
        support_recent_sync_chunk_message_count_tuning: Some(true),
        support_hosted_group_msg: Some(true),
        support_fbid_bot_chat_history: Some(true),
        support_message_association: Some(true),
        support_group_history: Some(true),
        thumbnail_sync_days_limit: Some(60),
        support_manus_history: Some(true),
        support_hatch_history: Some(true),
        ..HistorySyncConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::crypto::KeyPair;

    fn profile() -> DeviceProfile {
        DeviceProfile::draw(&mut ChaCha20Rng::seed_from_u64(1))
    }

    #[test]
    fn a_registration_carries_the_pairing_data_and_no_user() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (identity, prekey) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let bytes = register(
            ClientVersion([2, 3000, 1_043_857_760]),
            &profile(),
            &Registration {
                registration_id: 4448,
                identity: identity.public(),
                signed_prekey: (1, prekey.public(), &[9; 64]),
            },
        );
        let payload = ClientPayload::decode(bytes.as_slice()).unwrap();
        let data = payload.device_pairing_data.unwrap();
        assert_eq!(data.e_regid.unwrap(), [0, 0, 0x11, 0x60]);
        assert_eq!(data.e_keytype.unwrap(), [5]);
        assert_eq!(data.e_skey_id.unwrap(), [0, 0, 1]);
        assert_eq!(hex::encode(data.build_hash.unwrap()), "f6f65c0607a1cdffd8752b051fc95edf");
        assert_eq!((payload.username, payload.device, payload.lc), (None, None, None));
        assert_eq!((payload.passive, payload.pull), (Some(false), Some(false)));
        let agent = payload.user_agent.unwrap();
        assert_eq!(agent.phone_id, None);
        assert_eq!(agent.platform, Some(14));
    }

    #[test]
    fn a_login_carries_no_pairing_data_and_always_writes_its_counter() {
        let told = Login { username: 15_550_000_000, device: 3, passive: true, counter: 0 };
        let payload = ClientPayload::decode(login(BUILT_IN_VERSION, &profile(), &told).as_slice()).unwrap();
        assert_eq!(payload.device_pairing_data, None);
        assert_eq!((payload.username, payload.device), (Some(15_550_000_000), Some(3)));
        assert_eq!((payload.lc, payload.lid_db_migrated), (Some(0), Some(true)));
        assert_eq!((payload.passive, payload.pull, payload.push_name), (Some(true), Some(true), None));
        assert_eq!(payload.user_agent.unwrap().phone_id, None);
    }

    #[test]
    fn a_version_is_read_as_it_is_written() {
        assert_eq!("2.3000.1045649367".parse(), Ok(BUILT_IN_VERSION));
        assert_eq!(BUILT_IN_VERSION.to_string(), "2.3000.1045649367");
        for bad in ["", "2.3000", "2.3000.1.1", "2.3000.x", "2.3000.99999999999"] {
            assert_eq!(bad.parse::<ClientVersion>(), Err(BadVersion), "{bad}");
        }
    }
}
