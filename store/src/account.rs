//! The account itself: keys, device profile, link, logins, what is cached of the server, flags.
//!
//! Each is a row of its own, so that a login counter's change never rewrites a private key. A damaged identity or
//! link stops the account: it is never replaced silently (04 §15.5).

use crate::UnixMillis;
use crate::codec::{Field, numbered, record};
use crate::error::{Result, StoreError};
use crate::rows::Table;
use crate::secret::{Secret, SecretBytes};
use crate::store::{IfCorrupt, Tx};

record! {
    /// A Curve25519 key pair: 32 bytes each, without type byte.
    #[derive(Debug, Clone)]
    pub struct KeyPairBytes {
        /// The public key.
        pub public: [u8; 32],
        /// The private key.
        pub private: Secret<32>,
    }
}

record! {
    /// The keys of one link: fresh randomness, never changed, never shared (01 §12). A new link needs new ones.
    #[derive(Debug, Clone)]
    pub struct Keys {
        /// The identity key pair.
        pub identity: KeyPairBytes,
        /// The Noise static key pair.
        pub noise: KeyPairBytes,
        /// The registration id, 1..=16380.
        pub registration_id: u32,
    }
}

record! {
    /// How this linked device presents itself: drawn once when the account is created, never changed by a restart.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DeviceProfile {
        /// Operating system as the phone's list shows it: `Windows`, `Mac OS`, `Ubuntu`, ...
        pub os: String,
        /// Version of the operating system: primary, secondary, tertiary; absent where the system has none (01 §11).
        pub os_version: Option<Vec<u32>>,
        /// Number of the platform type (01 §11), which says the browser.
        pub platform_type: u32,
        /// Name of the browser, for displays.
        pub browser: String,
        /// Version of the browser, for displays.
        pub browser_version: String,
        /// The name that code pairing shows on the phone (02 §8): `Chrome (Mac OS)`, ...
        pub display_name: String,
        /// ISO 639-1 language: `en`, ...
        pub language: String,
        /// ISO 3166-1 country: `US`, ...
        pub country: String,
    }
}

record! {
    /// What pair-success gave (02 §5 step 7).
    #[derive(Debug, Clone)]
    pub struct Link {
        /// Own JID with device, phone-number form.
        pub pn: String,
        /// Own JID with device, LID form.
        pub lid: Option<String>,
        /// The signed device identity, all four fields, as serialized.
        pub account: Vec<u8>,
        /// The key index in it.
        pub key_index: u32,
        /// The phone's platform: `android`, `iphone`, ...
        pub platform: String,
        /// Name of the business, for business accounts.
        pub business_name: Option<String>,
        /// Whether 1:1 chats are LID-addressed on the phone.
        pub lid_migrated: bool,
        /// When.
        pub linked_at: UnixMillis,
    }
}

record! {
    /// What logins leave behind.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Login {
        /// The `lc` the next login writes (01 §10): 0 for the first.
        pub counter: u32,
        /// When the last `<success>` came.
        pub last_success: Option<UnixMillis>,
        /// A temporary ban ends then.
        pub banned_until: Option<UnixMillis>,
    }
}

record! {
    /// A server certificate as cached for IK (01 §6). Times are Unix seconds.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct CachedCert {
        /// Its key.
        pub key: [u8; 32],
        /// Valid from (included).
        pub not_before: i64,
        /// Valid until (excluded).
        pub not_after: i64,
    }
}

record! {
    /// The server's chain; the leaf's key is the server's static key.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServerChain {
        /// The leaf.
        pub leaf: CachedCert,
        /// The intermediate.
        pub intermediate: CachedCert,
    }
}

record! {
    /// Server properties (01 §14.2).
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Props {
        /// The hash to ask with next time.
        pub hash: Option<String>,
        /// The refresh id last seen.
        pub refresh_id: Option<String>,
        /// When to ask again.
        pub refresh_at: Option<UnixMillis>,
        /// Code and value.
        pub values: Vec<(u32, String)>,
    }
}

record! {
    /// A stop that only a person ends (01 §19): the account is not dialled while it stands.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct StopState {
        /// Stable name of the state.
        pub kind: String,
        /// What a person should know.
        pub detail: String,
        /// Since when.
        pub since: UnixMillis,
    }
}

/// Facts that are either true or not; all start false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// The server holds none of our prekeys, or asked for more: upload before the queue (01 §14.1).
    ServerHasNoPrekeys,
    /// A fresh link that has not synced its critical app state yet.
    InitialSyncNeeded,
    /// Restored from a backup: nothing may be sent before that is settled (04 S8).
    Restored,
    /// Sends read receipts as `read-self`, since the user has switched them off.
    ReadReceiptsOff,
    /// The account's last owner did not close it; cleared by whoever has acted on it (05a §5.1: key digest).
    UncleanStop,
    /// What the server holds of our keys is to be compared, since the store may be older than what it has sent.
    KeysUnchecked,
}
numbered! {
    Flag {
        ServerHasNoPrekeys = 1, InitialSyncNeeded = 2, Restored = 3, ReadReceiptsOff = 4, UncleanStop = 5,
        KeysUnchecked = 6,
    }
}

const KEYS: &[u8] = b"keys";
const ADV_SECRET: &[u8] = b"adv_secret";
const PROFILE: &[u8] = b"profile";
const LINK: &[u8] = b"link";
const LOGIN: &[u8] = b"login";
const PUSH_NAME: &[u8] = b"push_name";
const ROUTING: &[u8] = b"routing";
const CHAIN: &[u8] = b"chain";
const PROPS: &[u8] = b"props";
const STOP: &[u8] = b"stop";

impl Tx<'_> {
    /// The link's keys; `None` before they are made.
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`]: the device must be linked again; never make new keys silently.
    pub fn keys(&self) -> Result<Option<Keys>> {
        self.load(Table::Account, KEYS, IfCorrupt::Stop)
    }

    /// Stores the link's keys, once.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if there are some: they live as long as the link.
    pub fn set_keys(&mut self, keys: &Keys) -> Result<()> {
        if self.has(Table::Account, KEYS)? {
            return Err(StoreError::Refused("the account has keys already"));
        }
        self.store(Table::Account, KEYS, keys)
    }

    /// The advSecret (02 §3.1).
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`].
    pub fn adv_secret(&self) -> Result<Option<Secret<32>>> {
        self.load(Table::Account, ADV_SECRET, IfCorrupt::Delete)
    }

    /// Replaces or removes the advSecret.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_adv_secret(&mut self, secret: Option<&Secret<32>>) -> Result<()> {
        self.set_single(ADV_SECRET, secret)
    }

    /// The device profile.
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`].
    pub fn profile(&self) -> Result<Option<DeviceProfile>> {
        self.load(Table::Account, PROFILE, IfCorrupt::Stop)
    }

    /// Stores the device profile.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the account is linked: a linked device never changes its face.
    pub fn set_profile(&mut self, profile: &DeviceProfile) -> Result<()> {
        if self.link()?.is_some() {
            return Err(StoreError::Refused("a linked account keeps its device profile"));
        }
        self.store(Table::Account, PROFILE, profile)
    }

    /// The link; `None` = not paired.
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`].
    pub fn link(&self) -> Result<Option<Link>> {
        self.load(Table::Account, LINK, IfCorrupt::Stop)
    }

    /// Stores the link (pair-success), replaces it (a corrected LID), or removes it (a reply that could not be sent).
    ///
    /// # Errors
    /// The engine's.
    pub fn set_link(&mut self, link: Option<&Link>) -> Result<()> {
        self.set_single(LINK, link)
    }

    /// What logins left behind.
    ///
    /// # Errors
    /// The engine's.
    pub fn login(&self) -> Result<Login> {
        Ok(self.load(Table::Account, LOGIN, IfCorrupt::Quarantine)?.unwrap_or_default())
    }

    /// Replaces it.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_login(&mut self, login: &Login) -> Result<()> {
        self.store(Table::Account, LOGIN, login)
    }

    /// The login counter moves on, after the handshake of a login connection (01 §10 no. 24); 0 follows 2^31 - 1.
    ///
    /// # Errors
    /// The engine's.
    pub fn advance_login_counter(&mut self) -> Result<()> {
        let mut login = self.login()?;
        login.counter = if login.counter >= i32::MAX.unsigned_abs() { 0 } else { login.counter + 1 };
        self.set_login(&login)
    }

    /// The name that others see.
    ///
    /// # Errors
    /// The engine's.
    pub fn push_name(&self) -> Result<Option<String>> {
        self.load(Table::Account, PUSH_NAME, IfCorrupt::Delete)
    }

    /// Replaces it.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_push_name(&mut self, name: &str) -> Result<()> {
        self.store(Table::Account, PUSH_NAME, &name.to_owned())
    }

    /// There is no name any more: it came with a link that did not come about.
    ///
    /// # Errors
    /// The engine's.
    pub fn forget_push_name(&mut self) -> Result<()> {
        self.remove(Table::Account, PUSH_NAME).map(drop)
    }

    /// The server's last routing bytes (01 §15).
    ///
    /// # Errors
    /// The engine's.
    pub fn routing(&self) -> Result<Option<Vec<u8>>> {
        self.body(Table::Account, ROUTING, IfCorrupt::Delete)
    }

    /// Replaces them.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_routing(&mut self, routing: &[u8]) -> Result<()> {
        self.store_body(Table::Account, ROUTING, routing)
    }

    /// The cached server chain.
    ///
    /// # Errors
    /// The engine's.
    pub fn server_chain(&self) -> Result<Option<ServerChain>> {
        self.load(Table::Account, CHAIN, IfCorrupt::Delete)
    }

    /// Replaces or removes it.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_server_chain(&mut self, chain: Option<&ServerChain>) -> Result<()> {
        self.set_single(CHAIN, chain)
    }

    /// The server's properties; `None` = never fetched.
    ///
    /// # Errors
    /// The engine's.
    pub fn props(&self) -> Result<Option<Props>> {
        self.load(Table::Account, PROPS, IfCorrupt::Delete)
    }

    /// Replaces them.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_props(&mut self, props: &Props) -> Result<()> {
        self.store(Table::Account, PROPS, props)
    }

    /// The standing stop state.
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`].
    pub fn stop_state(&self) -> Result<Option<StopState>> {
        self.load(Table::Account, STOP, IfCorrupt::Stop)
    }

    /// Sets or lifts it.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_stop_state(&mut self, state: Option<&StopState>) -> Result<()> {
        self.set_single(STOP, state)
    }

    /// Whether a flag is set.
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`].
    pub fn flag(&self, flag: Flag) -> Result<bool> {
        Ok(self.load(Table::Account, &flag_key(flag), IfCorrupt::Stop)?.unwrap_or(false))
    }

    /// Sets or clears a flag.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_flag(&mut self, flag: Flag, on: bool) -> Result<()> {
        self.store(Table::Account, &flag_key(flag), &on)
    }

    /// A small named value that has no table of its own (`None` = never set).
    ///
    /// # Errors
    /// The engine's.
    pub fn setting(&self, name: &str) -> Result<Option<SecretBytes>> {
        Ok(self.body(Table::Account, &setting_key(name), IfCorrupt::Quarantine)?.map(SecretBytes::new))
    }

    /// Sets or removes it.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_setting(&mut self, name: &str, value: Option<&[u8]>) -> Result<()> {
        match value {
            Some(value) => self.store_body(Table::Account, &setting_key(name), value),
            None => self.remove(Table::Account, &setting_key(name)).map(drop),
        }
    }

    /// The next number of a durable counter that starts at 1.
    pub(crate) fn next_number(&mut self, name: &str) -> Result<u64> {
        let key = [b"next/", name.as_bytes()].concat();
        let next = self.load::<u64>(Table::Account, &key, IfCorrupt::Stop)?.unwrap_or(1);
        let following = next.checked_add(1).ok_or(StoreError::Refused("a counter is used up"))?;
        self.store(Table::Account, &key, &following)?;
        Ok(next)
    }

    pub(crate) fn set_single<T: Field>(&mut self, key: &[u8], record: Option<&T>) -> Result<()> {
        match record {
            Some(record) => self.store(Table::Account, key, record),
            None => self.remove(Table::Account, key).map(drop),
        }
    }
}

fn flag_key(flag: Flag) -> Vec<u8> {
    let mut key = b"flag/".to_vec();
    flag.put(&mut key);
    key
}

fn setting_key(name: &str) -> Vec<u8> {
    [b"setting/", name.as_bytes()].concat()
}
