//! The device profile: how our linked device presents itself (protocol 01 §11, §12). Drawn once when the account
//! is created, stored, never changed by a restart or a new link. What a profile becomes on the wire is in
//! [`payload`](crate::client::payload).

use rand::seq::IndexedRandom as _;
use rand_core::CryptoRng;

use crate::proto::device_props::PlatformType;
use crate::signal::qr::ClientType;
use crate::store;

/// A browser on an operating system, and a locale.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceProfile {
    /// The browser.
    pub browser: Browser,
    /// The operating system.
    pub os: Os,
    /// Two-letter language, lower case, e.g. `en`.
    pub language: String,
    /// Two-letter country, upper case, e.g. `US`.
    pub country: String,
}

/// Browsers that a phone shows with an icon of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Browser {
    /// Chrome.
    Chrome,
    /// Firefox.
    Firefox,
    /// Edge.
    Edge,
    /// Opera.
    Opera,
    /// Safari.
    Safari,
}

/// Operating systems on which those browsers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Os {
    /// Windows.
    Windows,
    /// macOS.
    MacOs,
    /// Ubuntu.
    Ubuntu,
    /// Any other Linux.
    Linux,
}

/// The pairs that real browsers show (01 §11).
const PLAUSIBLE: [(Os, Browser); 12] = [
    (Os::Windows, Browser::Chrome),
    (Os::Windows, Browser::Edge),
    (Os::Windows, Browser::Firefox),
    (Os::Windows, Browser::Opera),
    (Os::MacOs, Browser::Chrome),
    (Os::MacOs, Browser::Safari),
    (Os::MacOs, Browser::Firefox),
    (Os::MacOs, Browser::Edge),
    (Os::Ubuntu, Browser::Chrome),
    (Os::Ubuntu, Browser::Firefox),
    (Os::Linux, Browser::Chrome),
    (Os::Linux, Browser::Firefox),
];

impl DeviceProfile {
    /// Draws a plausible profile with the locale `en`, `US`.
    pub fn draw<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::draw_unlike(&[], rng)
    }

    /// Draws a plausible profile whose browser and system none of `taken` has, as long as there is one.
    pub fn draw_unlike<R: CryptoRng + ?Sized>(taken: &[Self], rng: &mut R) -> Self {
        let free: Vec<_> = PLAUSIBLE
            .iter()
            .filter(|(os, browser)| !taken.iter().any(|other| other.os == *os && other.browser == *browser))
            .collect();
        let drawn = free.choose(rng).copied().or_else(|| PLAUSIBLE.choose(rng));
        let (os, browser) = drawn.copied().unwrap_or((Os::MacOs, Browser::Chrome));
        Self { browser, os, language: "en".to_owned(), country: "US".to_owned() }
    }

    /// The text shown by the phone during code pairing, e.g. `Chrome (Windows)` (02 §8).
    #[must_use]
    pub fn display(&self) -> String {
        let os = match self.os {
            Os::Windows => "Windows",
            Os::MacOs => "Mac OS",
            Os::Ubuntu | Os::Linux => "Linux",
        };
        format!("{} ({os})", self.browser.name())
    }
}

impl Browser {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chrome => "Chrome",
            Self::Firefox => "Firefox",
            Self::Edge => "Edge",
            Self::Opera => "Opera",
            Self::Safari => "Safari",
        }
    }

    /// The number in the device properties.
    #[must_use]
    pub fn platform_type(self) -> PlatformType {
        match self {
            Self::Chrome => PlatformType::Chrome,
            Self::Firefox => PlatformType::Firefox,
            Self::Edge => PlatformType::Edge,
            Self::Opera => PlatformType::Opera,
            Self::Safari => PlatformType::Safari,
        }
    }

    /// The client type of the QR text and of code pairing (02 §4), which counts differently.
    #[must_use]
    pub fn client_type(self) -> char {
        ClientType::from_platform(self.platform_type()).as_char()
    }
}

impl Os {
    /// Name and version for the device properties; Linux browsers name no version.
    #[must_use]
    pub fn name_and_version(self) -> (&'static str, Option<[u32; 3]>) {
        match self {
            Self::Windows => ("Windows", Some([10, 0, 0])),
            Self::MacOs => ("Mac OS", Some([10, 15, 7])),
            Self::Ubuntu => ("Ubuntu", None),
            Self::Linux => ("Linux", None),
        }
    }
}

impl DeviceProfile {
    /// The record for the store.
    #[must_use]
    pub fn record(&self) -> store::DeviceProfile {
        let (os, version) = self.os.name_and_version();
        store::DeviceProfile {
            os: os.to_owned(),
            os_version: version.map(|version| version.to_vec()),
            platform_type: u32::try_from(i32::from(self.browser.platform_type())).unwrap_or(0),
            browser: self.browser.name().to_owned(),
            browser_version: String::new(),
            display_name: self.display(),
            language: self.language.clone(),
            country: self.country.clone(),
        }
    }

    /// Reads the store's record; `None` if it names a browser or a system that no profile has.
    #[must_use]
    pub fn from_record(record: &store::DeviceProfile) -> Option<Self> {
        let (os, browser) = PLAUSIBLE.into_iter().find(|(os, browser)| {
            let number = u32::try_from(i32::from(browser.platform_type())).ok();
            os.name_and_version().0 == record.os && number == Some(record.platform_type)
        })?;
        Some(Self { browser, os, language: record.language.clone(), country: record.country.clone() })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn profiles_are_distinct_while_there_are_enough_and_plausible_afterwards() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut taken: Vec<DeviceProfile> = Vec::new();
        for _ in 0..PLAUSIBLE.len() {
            let next = DeviceProfile::draw_unlike(&taken, &mut rng);
            assert!(!taken.contains(&next));
            taken.push(next);
        }
        let more = DeviceProfile::draw_unlike(&taken, &mut rng);
        assert!(PLAUSIBLE.contains(&(more.os, more.browser)));
    }

    #[test]
    fn the_display_text_names_a_real_browser_and_a_real_system() {
        let mut profile = DeviceProfile::draw(&mut ChaCha20Rng::seed_from_u64(2));
        (profile.os, profile.browser) = (Os::Ubuntu, Browser::Firefox);
        assert_eq!(profile.display(), "Firefox (Linux)");
        assert_eq!(profile.browser.client_type(), '3');
    }

    #[test]
    fn a_profile_survives_the_store() {
        let profile = DeviceProfile::draw(&mut ChaCha20Rng::seed_from_u64(3));
        assert_eq!(DeviceProfile::from_record(&profile.record()), Some(profile));
    }
}
