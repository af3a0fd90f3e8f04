//! The saved state as one JSON tree, and what has changed in it since it was written: [`Mirror::put`] compares a new
//! value with the one in the tree and notes only the differences. Not: files, which are the parent module's.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where in the tree: keys of objects, decimal positions in arrays.
pub(crate) type Path = Vec<String>;

/// How many elements may have left an array's front for the rest to be recognised.
const MAX_DROPPED: usize = 8;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// This value is here now; in an array the position after the last is a new element.
    Set(Path, Value),
    /// Nothing is here any more.
    Remove(Path),
    /// So many elements of the array's front are gone.
    Drop(Path, usize),
    /// Only so many elements of the array are left.
    Truncate(Path, usize),
}

/// A change that does not fit the tree it is applied to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a change of {0:?} does not fit")]
pub(crate) struct Misfit(Path);

/// The tree, and the changes that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    tree: Value,
    changes: Vec<Change>,
}

impl Mirror {
    pub fn new(tree: Value) -> Self {
        Self { tree, changes: Vec::new() }
    }

    pub fn tree(&self) -> &Value {
        &self.tree
    }

    /// The changes since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The value at `path` is `new`; what is above it must exist, or is made an object.
    pub fn put(&mut self, path: &[&str], new: Value) {
        let path: Path = path.iter().map(|part| (*part).to_owned()).collect();
        let from = self.changes.len();
        match find(&self.tree, &path) {
            Some(old) => compare(old, &new, &path, &mut self.changes),
            None => self.changes.push(Change::Set(path, new)),
        }
        for change in self.changes.get(from..).unwrap_or_default().to_vec() {
            // What was just compared with the tree fits it.
            let _ = apply(&mut self.tree, change);
        }
    }

    /// Nothing is at `path` any more.
    pub fn remove(&mut self, path: &[&str]) {
        let change = Change::Remove(path.iter().map(|part| (*part).to_owned()).collect());
        if apply(&mut self.tree, change.clone()).is_ok() {
            self.changes.push(change);
        }
    }

    /// The keys of the object at `path`.
    pub fn keys(&self, path: &[&str]) -> impl Iterator<Item = &str> {
        let path: Path = path.iter().map(|part| (*part).to_owned()).collect();
        find(&self.tree, &path).and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str)
    }
}

fn find<'v>(tree: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(tree, |value, part| match value {
        Value::Object(fields) => fields.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

fn below(path: &Path, part: impl Into<String>) -> Path {
    let mut path = path.clone();
    path.push(part.into());
    path
}

/// Notes what makes `old` into `new`.
fn compare(old: &Value, new: &Value, path: &Path, changes: &mut Vec<Change>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(old), Value::Object(new)) => {
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                changes.push(Change::Remove(below(path, key.as_str())));
            }
            for (key, new) in new {
                match old.get(key) {
                    Some(old) => compare(old, new, &below(path, key.as_str()), changes),
                    None => changes.push(Change::Set(below(path, key.as_str()), new.clone())),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => compare_arrays(old, new, path, changes),
        _ => changes.push(Change::Set(path.clone(), new.clone())),
    }
}

/// Lists grow at their end and lose at their front.
fn compare_arrays(old: &[Value], new: &[Value], path: &Path, changes: &mut Vec<Change>) {
    let dropped = (0..=MAX_DROPPED.min(old.len())).find(|n| old.get(*n) == new.first()).unwrap_or(0);
    let old = old.get(dropped..).unwrap_or_default();
    if dropped > 0 {
        changes.push(Change::Drop(path.clone(), dropped));
    }
    if new.len() < old.len() {
        changes.push(Change::Truncate(path.clone(), new.len()));
    }
    for (at, new) in new.iter().enumerate() {
        match old.get(at) {
            Some(old) => compare(old, new, &below(path, at.to_string()), changes),
            None => changes.push(Change::Set(below(path, at.to_string()), new.clone())),
        }
    }
}

/// Makes one change.
///
/// # Errors
/// [`Misfit`] if there is nothing at the path to be changed.
pub(crate) fn apply(tree: &mut Value, change: Change) -> Result<(), Misfit> {
    let misfit = |path: &Path| Misfit(path.clone());
    match change {
        Change::Set(path, value) => {
            let Some((last, above)) = path.split_last() else {
                *tree = value;
                return Ok(());
            };
            let place = descend(tree, above, true).ok_or_else(|| misfit(&path))?;
            match place {
                Value::Object(fields) => {
                    fields.insert(last.clone(), value);
                }
                Value::Array(items) => {
                    let at: usize = last.parse().map_err(|_| misfit(&path))?;
                    if at == items.len() {
                        items.push(value);
                    } else {
                        *items.get_mut(at).ok_or_else(|| misfit(&path))? = value;
                    }
                }
                _ => return Err(misfit(&path)),
            }
        }
        Change::Remove(path) => {
            let (last, above) = path.split_last().ok_or_else(|| misfit(&path))?;
            let place = descend(tree, above, false).and_then(Value::as_object_mut);
            place.and_then(|fields| fields.remove(last)).ok_or_else(|| misfit(&path))?;
        }
        Change::Drop(path, count) => {
            let items =
                descend(tree, &path, false).and_then(Value::as_array_mut).ok_or_else(|| misfit(&path))?;
            items.drain(..count.min(items.len()));
        }
        Change::Truncate(path, left) => {
            let items =
                descend(tree, &path, false).and_then(Value::as_array_mut).ok_or_else(|| misfit(&path))?;
            items.truncate(left);
        }
    }
    Ok(())
}

/// The value at `path`; with `make`, what is missing on the way is made an object.
fn descend<'v>(tree: &'v mut Value, path: &[String], make: bool) -> Option<&'v mut Value> {
    let mut value = tree;
    for part in path {
        if make && value.is_null() {
            *value = Value::Object(Map::new());
        }
        value = match value {
            Value::Object(fields) => {
                if make && !fields.contains_key(part) {
                    fields.insert(part.clone(), Value::Null);
                }
                fields.get_mut(part)?
            }
            Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    if make && value.is_null() {
        *value = Value::Object(Map::new());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![Just(Value::Null), any::<u8>().prop_map(Value::from), "[a-c]{0,2}".prop_map(Value::from)]
    }

    fn tree() -> impl Strategy<Value = Value> {
        leaf().prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_changes_make_the_old_tree_into_the_new_one(old in tree(), new in tree()) {
            let mut mirror = Mirror::new(json!({"at": old}));
            let mut copy = mirror.tree().clone();
            mirror.put(&["at"], new.clone());
            for change in mirror.take_changes() {
                let written = serde_json::to_string(&change).unwrap();
                apply(&mut copy, serde_json::from_str(&written).unwrap()).unwrap();
            }
            prop_assert_eq!(&copy, mirror.tree());
            prop_assert_eq!(copy, json!({"at": new}));
        }
    }

    #[test]
    fn a_list_that_moves_on_costs_its_new_elements_only() {
        let mut mirror = Mirror::new(json!({"log": [1, 2, 3, 4]}));
        mirror.put(&["log"], json!([2, 3, 4, 5]));
        let log = || vec!["log".to_owned()];
        let last = vec!["log".to_owned(), "3".to_owned()];
        assert_eq!(mirror.take_changes(), [Change::Drop(log(), 1), Change::Set(last, json!(5))]);
    }
}
