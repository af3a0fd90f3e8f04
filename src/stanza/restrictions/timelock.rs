//! The reach-out time-lock: new chats are closed for a time.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::stanza::element::Element;
use crate::stanza::mex::{self, MexError};
use crate::wire::Node;

const QUERY: &str = "23983697327930364";

/// What kind of time-lock it is. Unknown kinds are [`LockKind::Default`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the service's own words; it explains none of them")]
pub enum LockKind {
    #[default]
    Default,
    BizQuality,
    BizCommerceViolationAdult,
    BizCommerceViolationAlcohol,
    BizCommerceViolationAnimals,
    BizCommerceViolationBodyPartsFluids,
    BizCommerceViolationDating,
    BizCommerceViolationDigitalServicesProducts,
    BizCommerceViolationDrugs,
    BizCommerceViolationDrugsOnlyOtc,
    BizCommerceViolationGambling,
    BizCommerceViolationHealthcare,
    BizCommerceViolationRealFakeCurrency,
    BizCommerceViolationSupplements,
    BizCommerceViolationTobacco,
    BizCommerceViolationViolentContent,
    BizCommerceViolationWeapons,
    WebCompanionOnly,
    RestrictAllCompanions,
}

impl LockKind {
    /// Aimed at linked devices, while the phone stays free.
    #[must_use]
    pub fn is_for_companions(self) -> bool {
        matches!(self, Self::WebCompanionOnly | Self::RestrictAllCompanions)
    }
}

/// How the time-lock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timelock {
    /// Whether it is in force.
    pub active: bool,
    /// Its kind.
    pub kind: LockKind,
    /// When it ends, Unix seconds; `None` also where that can't be read.
    pub ends: Option<i64>,
}

impl Timelock {
    /// Asks for it, without id.
    #[must_use]
    pub fn query() -> Node {
        mex::query(QUERY, &json!({}))
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// Nothing is known then.
    pub fn answer<'n>(answer: impl Element<'n>) -> Result<Self, MexError> {
        let data = mex::answer(answer)?;
        data.get("xwa2_fetch_account_reachout_timelock").and_then(Self::read).ok_or_else(|| MexError {
            code: 500,
            message: "the answer says nothing of the time-lock".to_owned(),
        })
    }

    pub(super) fn read(told: &Value) -> Option<Self> {
        let active = told.get("is_active")?.as_bool()?;
        let kind = told.get("enforcement_type").cloned().unwrap_or_default();
        Some(Self {
            active,
            kind: serde_json::from_value(kind).unwrap_or_default(),
            ends: mex::number(told.get("time_enforcement_ends")).filter(|ends| *ends > 0),
        })
    }
}
