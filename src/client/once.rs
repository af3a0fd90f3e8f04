//! Single flight: work that must not run twice at once for the same thing (protocol 05d §10). In memory only.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The things that are worked on now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Once(Arc<Mutex<HashSet<String>>>);

/// The right to work on one thing; given up when dropped.
#[derive(Debug)]
pub(crate) struct Alone {
    once: Once,
    name: String,
}

impl Once {
    /// Begins to work on something; `None`: somebody does already.
    pub(crate) fn begin(&self, name: String) -> Option<Alone> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        new.then(|| Alone { once: self.clone(), name })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.once.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_works_on_a_thing_at_a_time() {
        let once = Once::default();
        let first = once.begin("a".to_owned());
        assert!(
            first.is_some() && once.begin("a".to_owned()).is_none() && once.begin("b".to_owned()).is_some()
        );
        drop(first);
        assert!(once.begin("a".to_owned()).is_some());
    }
}
