//! The signals by which the service tells an account to slow down or to stop (protocol 05d §9.1): questions, answers,
//! notifications, refusals. What follows from them is the client's.
//!
//! | file | subject |
//! |---|---|
//! | `timelock`, `cap` | the two that can be asked for |
//! | `alarm` | the integrity challenge, brigading |
//! | `group` | limits and blocks of group operations, locked and suspended groups |
//! | `stranger` | a question that only the application asks |

mod alarm;
mod cap;
mod group;
mod stranger;
mod timelock;

pub use alarm::{Brigading, Challenge};
pub use cap::{Cap, CapStatus, Exception, Verified};
pub use group::{Appeal, GroupChange, GroupState, RateLimit, Scope};
pub use stranger::Stranger;
pub use timelock::{LockKind, Timelock};

use super::mex::{MexError, Update};

/// A restriction that a `mex` notification tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The reach-out time-lock.
    Timelock(Timelock),
    /// The cap on new chats.
    Cap(Cap),
    /// A person is wanted.
    Challenge(Challenge),
    /// Others flood this account.
    Brigading(Brigading),
}

/// Reads an update that is about a restriction; `None` for all others.
#[must_use]
pub fn told(update: &Update) -> Option<Result<Told, MexError>> {
    let read = |told: fn(&serde_json::Value) -> Option<Told>| {
        let data = update.data.as_ref().map_err(Clone::clone)?;
        told(data).ok_or_else(|| MexError { code: 500, message: "the data can't be read".to_owned() })
    };
    Some(match update.op.as_str() {
        "NotificationUserReachoutTimelockUpdate" => read(|data| {
            Timelock::read(data.get("xwa2_notify_account_reachout_timelock")?).map(Told::Timelock)
        }),
        "MessageCappingInfoNotification" => read(|data| {
            Cap::read(data.get("xwa2_notify_new_chat_messages_capping_info_update")?).map(Told::Cap)
        }),
        "NotificationIntegrityChallengeRequest" => {
            read(|data| Challenge::read(data.get("xwa2_notify_integrity_challenge")?).map(Told::Challenge))
        }
        "NotificationUserBrigadingUpdate" => {
            read(|data| Brigading::read(data.get("xwa2_notify_brigading")?).map(Told::Brigading))
        }
        _ => return None,
    })
}

/// Whether an operation is one that 05d §9 names, restriction or not: those that it does not are answered with a nack.
#[must_use]
pub fn is_known_operation(op: &str) -> bool {
    const KNOWN: [&str; 19] = [
        "NotificationUserReachoutTimelockUpdate",
        "MessageCappingInfoNotification",
        "NotificationIntegrityChallengeRequest",
        "NotificationUserBrigadingUpdate",
        "LidChangeNotification",
        "UsernameSetNotification",
        "UsernameDeleteNotification",
        "UsernameUpdateNotification",
        "AccountSyncUsernameNotification",
        "TextStatusUpdateNotification",
        "TextStatusUpdateNotificationSideSub",
        "NotificationGroupPropertyUpdate",
        "NotificationGroupHiddenPropertyUpdate",
        "NotificationGroupSafetyCheckPropertyUpdate",
        "NotificationGroupMemberLinkPropertyUpdate",
        "NotificationGroupMemberShareGroupHistoryModePropertyUpdate",
        "NotificationGroupLimitSharingPropertyUpdate",
        "NotificationCommunityOwnerUpdate",
        "NotificationScheduledMessagePost",
    ];
    KNOWN.contains(&op) || op == "NotificationScheduledMessageReveal" || op.contains("Newsletter")
}

#[cfg(test)]
mod tests;
