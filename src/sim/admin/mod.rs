//! The admin API (09 §21): everything a person does with a phone is one call. [`Admin`] is the handle for code in
//! the same process, `http` the same calls as JSON over HTTP.

mod calls;
mod groups;
pub(crate) mod http;
mod observe;
mod person;
mod restrict;
mod types;

use std::sync::Arc;

use super::shared::Shared;

pub use types::{
    AccountInfo, AdminError, ConnectionInfo, DeviceInfo, Expectation, GroupChange, GroupSettings, Info, Kick,
    Linked, PhoneInfo, ProfileChange, Sent, TrafficFilter,
};

/// The handle to a running simulator's world; cheap to clone.
#[derive(Clone)]
pub struct Admin {
    shared: Arc<Shared>,
    info: Arc<Info>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Admin {
    pub(crate) fn new(shared: Arc<Shared>, info: Info) -> Self {
        Self { shared, info: Arc::new(info) }
    }

    /// What runs here, and where.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }
}
