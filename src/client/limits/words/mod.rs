//! What a signal means, what Palomar does and what a person can do, in the languages of the operator: one table, for
//! every place that shows it.

use super::decide::Why;
use super::health::Standing;
use super::signals::SignalKind;
use crate::store::UnixMillis;

mod en;
mod es;

/// A language of the operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Language {
    /// By its name: `en`, `es`.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "en" => Some(Self::En),
            "es" => Some(Self::Es),
            _ => None,
        }
    }

    /// The one of a locale such as `es_AR.UTF-8`; English for all that are not spoken here.
    #[must_use]
    pub fn of_locale(locale: &str) -> Self {
        let language = locale.split(['_', '.', '-', '@']).next().unwrap_or_default();
        Self::of(&language.to_ascii_lowercase()).unwrap_or_default()
    }
}

/// A signal in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Its name.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What Palomar does.
    pub done: &'static str,
    /// What a person can do.
    pub advice: &'static str,
}

/// Single words and short phrases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the word itself")]
pub struct Labels {
    pub account: &'static str,
    pub until: &'static str,
    pub no_end: &'static str,
    pub since: &'static str,
    pub meaning: &'static str,
    pub done: &'static str,
    pub advice: &'static str,
    pub about: &'static str,
    pub said: &'static str,
    pub waiting: &'static str,
    pub quota: &'static str,
    pub new_chats: &'static str,
    pub hour: &'static str,
    pub day: &'static str,
    pub nothing_to_clear: &'static str,
    pub cleared: &'static str,
}

impl Language {
    /// A signal in words.
    #[must_use]
    pub fn signal(self, signal: SignalKind) -> Words {
        match self {
            Self::En => en::signal(signal),
            Self::Es => es::signal(signal),
        }
    }

    /// Why a message waits or was refused.
    #[must_use]
    pub fn why(self, why: Why) -> &'static str {
        match self {
            Self::En => en::why(why),
            Self::Es => es::why(why),
        }
    }

    /// How an account stands.
    #[must_use]
    pub fn standing(self, standing: Standing) -> &'static str {
        match self {
            Self::En => en::standing(standing),
            Self::Es => es::standing(standing),
        }
    }

    /// The small words.
    #[must_use]
    pub fn labels(self) -> Labels {
        match self {
            Self::En => en::LABELS,
            Self::Es => es::LABELS,
        }
    }
}

/// A time as it is written in both languages: `2026-08-06 12:00 UTC`.
#[must_use]
pub fn time(at: UnixMillis) -> String {
    let minutes = at.div_euclid(60_000);
    let (days, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

/// The Gregorian date of a day since 1970-01-01, counted in years that begin with March.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_of_the_calendar() {
        assert_eq!(time(0), "1970-01-01 00:00 UTC");
        assert_eq!(time(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(time(1_786_000_000_000), "2026-08-06 07:06 UTC");
        assert_eq!(time(-60_000), "1969-12-31 23:59 UTC");
    }

    #[test]
    fn a_locale_names_its_language_and_others_get_english() {
        for (locale, language) in [
            ("es_AR.UTF-8", Language::Es),
            ("es", Language::Es),
            ("ES-mx", Language::Es),
            ("en_US.UTF-8", Language::En),
            ("de_DE", Language::En),
            ("C", Language::En),
            ("", Language::En),
        ] {
            assert_eq!(Language::of_locale(locale), language, "{locale}");
        }
    }

    #[test]
    fn restriction_words_are_there_in_both_languages_and_differ() {
        for signal in SignalKind::ALL {
            let (en, es) = (Language::En.signal(signal), Language::Es.signal(signal));
            for text in [en.title, en.meaning, en.done, en.advice, es.title, es.meaning, es.done, es.advice] {
                assert!(text.len() > 3, "{signal:?}");
            }
            assert!(en.meaning != es.meaning && en.advice != es.advice, "{signal:?}");
        }
        for why in Why::ALL {
            assert_ne!(Language::En.why(why), Language::Es.why(why), "{why:?}");
        }
    }
}
