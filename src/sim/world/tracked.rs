//! Data that knows whether it was touched since the state was written last (`--state`): so that a stanza costs the
//! records it changed, and no place that changes something can forget to say so.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

use super::account::Account;

/// A value that notes every mutable use.
#[derive(Debug, Default)]
pub(crate) struct Tracked<T> {
    value: T,
    saved: bool,
}

impl<T> Tracked<T> {
    pub fn new(value: T) -> Self {
        Self { value, saved: false }
    }

    /// Whether it was touched since the last call.
    pub fn take_touched(&mut self) -> bool {
        !std::mem::replace(&mut self.saved, true)
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Tracked<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.saved = false;
        &mut self.value
    }
}

/// A list that grows, and whose elements may change.
#[derive(Debug)]
pub(crate) struct Log<T> {
    items: Vec<T>,
    touched: BTreeSet<usize>,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { items: Vec::new(), touched: BTreeSet::new() }
    }
}

impl<T> Log<T> {
    pub fn push(&mut self, item: T) {
        self.touched.insert(self.items.len());
        self.items.push(item);
    }

    /// Changes the last item that `wanted` names.
    pub fn update_last(&mut self, wanted: impl FnMut(&T) -> bool, change: impl FnOnce(&mut T)) {
        let Some(at) = self.items.iter().rposition(wanted) else { return };
        if let Some(item) = self.items.get_mut(at) {
            self.touched.insert(at);
            change(item);
        }
    }

    /// The positions and items that are new or changed since the last call.
    pub fn take_touched(&mut self) -> Vec<(usize, &T)> {
        let touched = std::mem::take(&mut self.touched);
        touched.into_iter().filter_map(|at| Some((at, self.items.get(at)?))).collect()
    }
}

impl<T> Deref for Log<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> FromIterator<T> for Log<T> {
    /// Items of a written state: none of them is new.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { items: items.into_iter().collect(), touched: BTreeSet::new() }
    }
}

/// All accounts, by number. Whoever asks for one to change it leaves it touched.
#[derive(Default)]
pub(crate) struct Accounts {
    accounts: BTreeMap<String, Account>,
    removed: Vec<String>,
}

impl Accounts {
    pub fn get_mut(&mut self, number: &str) -> Option<&mut Account> {
        let account = self.accounts.get_mut(number)?;
        account.touched = true;
        Some(account)
    }

    pub fn insert(&mut self, account: Account) {
        self.accounts.insert(account.number.clone(), account);
    }

    pub fn remove(&mut self, number: &str) {
        if self.accounts.remove(number).is_some() {
            self.removed.push(number.to_owned());
        }
    }

    /// Notes that these accounts of an earlier world are no more.
    pub fn replace(&mut self, earlier: &Self) {
        self.removed.extend(earlier.removed.iter().cloned());
        self.removed.extend(earlier.accounts.keys().cloned());
    }

    /// The numbers removed, and the accounts touched, since the last call.
    pub fn take_touched(&mut self) -> (Vec<String>, impl Iterator<Item = &mut Account>) {
        let touched = self.accounts.values_mut();
        let touched = touched.filter_map(|account| std::mem::take(&mut account.touched).then_some(account));
        (std::mem::take(&mut self.removed), touched)
    }
}

impl Deref for Accounts {
    type Target = BTreeMap<String, Account>;

    fn deref(&self) -> &BTreeMap<String, Account> {
        &self.accounts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_mutably_counts_as_touched_once() {
        let mut value = Tracked::new(vec![1]);
        assert!(value.take_touched(), "never written");
        assert!(!value.take_touched());
        assert_eq!(value.len(), 1);
        assert!(!value.take_touched(), "reading is no change");
        value.push(2);
        assert!(value.take_touched());
    }

    #[test]
    fn a_log_names_what_is_new_and_what_changed() {
        let mut log: Log<u8> = [1, 2].into_iter().collect();
        assert!(log.take_touched().is_empty());
        log.push(3);
        log.update_last(|item| *item == 1, |item| *item = 9);
        assert_eq!(log.take_touched(), [(0, &9), (2, &3)]);
        assert!(log.take_touched().is_empty());
    }
}
