//! Restrictions of an account (09 §21 `restrict`).

use serde_json::Value;

use super::{Admin, AdminError};
use crate::sim::world::restrict::Restrict;

impl Admin {
    /// Changes what restricts an account, and tells its devices.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn restrict(&self, number: &str, change: Restrict) -> Result<Value, AdminError> {
        self.restrictions(number).await?;
        self.shared.with(|world| world.restrict(number, change));
        self.restrictions(number).await
    }

    /// What restricts an account now.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn restrictions(&self, number: &str) -> Result<Value, AdminError> {
        self.shared.with(|world| {
            let known = world.accounts.contains_key(number);
            known.then(|| world.restrictions_json(number)).ok_or_else(|| AdminError::no_account(number))
        })
    }
}
