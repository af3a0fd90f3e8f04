//! What the service thinks of a stranger who wrote first. Nothing asks it by itself: it is for the application, one
//! case at a time.

use serde_json::{Value, json};

use crate::stanza::element::Element;
use crate::stanza::mex::{self, MexError};
use crate::wire::{Jid, Node};

const QUERY: &str = "26438847999065394";

/// What the service thinks of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// The account is new.
    pub is_new: bool,
    /// That this chat was begun looks suspicious.
    pub is_suspicious: bool,
}

impl Stranger {
    /// Asks about a user who wrote first, without id.
    #[must_use]
    pub fn query(user: &Jid) -> Node {
        let user =
            json!({ "jid": user.to_user().to_string(), "integrity_signals": { "use_case": "CHAT_FMX" } });
        let input = json!({ "query_input": [user], "telemetry": { "context": "INTERACTIVE" } });
        mex::query(QUERY, &json!({ "input": input }))
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// Nothing is known then.
    pub fn answer<'n>(answer: impl Element<'n>) -> Result<Self, MexError> {
        let data = mex::answer(answer)?;
        let info = data.pointer("/xwa2_fetch_wa_users/0/integrity_signals_info");
        let says = |key| info.and_then(|info| info.get(key)).and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { is_new: says("is_new_account"), is_suspicious: says("is_suspicious_start_chat") })
    }
}
