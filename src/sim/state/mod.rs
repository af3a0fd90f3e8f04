//! `--state DIR` (09 §2): the world outlives its process, also one that is killed. Every entry into the world that
//! changed something appends its changes to a journal before anything that it has to say leaves, so what a client
//! saw acknowledged is there after the restart. From time to time the journal is folded into a new snapshot.
//!
//! The journal is written, not synced: it survives the end of the process, not a power cut.

mod mirror;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pki::write_private;
use super::world::{SnapshotError, World};
use mirror::{Change, apply};

pub(crate) use mirror::Mirror;

const SNAPSHOT: &str = "world.json";
/// A journal this long is folded into the snapshot, unless the snapshot is longer still.
const FOLD_AFTER: u64 = 8 << 20;

/// The snapshot's file: the tree, and which journal goes on from it.
#[derive(Serialize, Deserialize)]
struct Snapshot<T> {
    generation: u64,
    world: T,
}

/// The folder of a state, and what is written in it.
#[derive(Debug)]
pub(crate) struct StateDir {
    folder: PathBuf,
    generation: u64,
    mirror: Mirror,
    journal: Option<File>,
    written: u64,
    snapshot_size: u64,
}

impl StateDir {
    /// The state that a folder holds; a folder without one gives an empty tree.
    ///
    /// # Errors
    /// The files can't be read, or are damaged other than by a journal whose last line was cut off.
    pub fn open(folder: &Path) -> Result<(Self, Option<Value>), SaveError> {
        let mut state = Self {
            folder: folder.to_owned(),
            generation: 0,
            mirror: Mirror::default(),
            journal: None,
            written: 0,
            snapshot_size: 0,
        };
        let path = folder.join(SNAPSHOT);
        if !path.exists() {
            return Ok((state, None));
        }
        let snapshot: Snapshot<Value> =
            serde_json::from_slice(&std::fs::read(path)?).map_err(SnapshotError::from)?;
        state.generation = snapshot.generation;
        let mut tree = snapshot.world;
        let journal = state.journal_path();
        if journal.exists() {
            replay(&mut tree, &std::fs::read_to_string(journal)?)?;
        }
        state.mirror = Mirror::new(tree.clone());
        Ok((state, Some(tree)))
    }

    /// Writes what has changed in the world since the last call.
    ///
    /// # Errors
    /// The changes are not written: nothing that depends on them may be said. The next call writes everything anew.
    pub fn commit(&mut self, world: &mut World) -> Result<(), SaveError> {
        world.collect(&mut self.mirror)?;
        let changes = self.mirror.take_changes();
        if changes.is_empty() && self.journal.is_some() {
            return Ok(());
        }
        if self.journal.is_none() || self.written > FOLD_AFTER.max(self.snapshot_size) {
            return self.fold();
        }
        let appended = self.append(&changes);
        if appended.is_err() {
            self.journal = None;
        }
        appended
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), SaveError> {
        let mut line = serde_json::to_vec(changes).map_err(SnapshotError::from)?;
        line.push(b'\n');
        if let Some(journal) = &mut self.journal {
            journal.write_all(&line)?;
        }
        self.written += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Writes the whole state as the next generation's snapshot and begins that generation's journal.
    fn fold(&mut self) -> Result<(), SaveError> {
        let old = self.journal_path();
        self.journal = None;
        let snapshot = Snapshot { generation: self.generation + 1, world: self.mirror.tree() };
        let bytes = serde_json::to_vec(&snapshot).map_err(SnapshotError::from)?;
        let path = self.folder.join(SNAPSHOT);
        let next = path.with_extension("json.new");
        write_private(&next, &bytes)?;
        std::fs::rename(&next, &path)?;
        self.generation += 1;
        let journal = self.journal_path();
        write_private(&journal, &[])?;
        self.journal = Some(File::options().append(true).open(journal)?);
        self.written = 0;
        self.snapshot_size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match std::fs::remove_file(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes the state as one file, at the end of a run.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn close(&mut self, world: &mut World) -> Result<(), SaveError> {
        world.collect(&mut self.mirror)?;
        self.mirror.take_changes();
        self.fold()
    }

    fn journal_path(&self) -> PathBuf {
        self.folder.join(format!("journal.{}.jsonl", self.generation))
    }
}

/// Makes the journal's changes. A last line without its end was cut off by a kill: nothing of it was ever said.
fn replay(tree: &mut Value, journal: &str) -> Result<(), SnapshotError> {
    for line in journal.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let changes: Vec<Change> = serde_json::from_str(line)?;
        for change in changes {
            apply(tree, change).map_err(|error| SnapshotError::Damaged(error.to_string()))?;
        }
    }
    Ok(())
}

/// The state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// It could not be put together.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A file could not be read or written.
    #[error("the state's files can't be used: {0}")]
    File(#[from] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::world::testing::{Lab, START};
    use crate::sim::{NewAccount, SimConfig};

    fn reopen(folder: &Path) -> World {
        let (_, tree) = StateDir::open(folder).unwrap();
        World::restore(SimConfig::in_memory(1, START), START, tree.unwrap()).unwrap()
    }

    #[test]
    fn every_commit_is_there_after_a_kill_and_a_cut_off_line_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (mut state, tree) = StateDir::open(dir.path()).unwrap();
        assert!(tree.is_none());
        let mut lab = Lab::new();
        let first = lab.account();
        state.commit(&mut lab.world).unwrap();
        let second = lab.account();
        state.commit(&mut lab.world).unwrap();
        let journal = state.journal_path();
        drop(state);
        assert_eq!(reopen(dir.path()).accounts.keys().cloned().collect::<Vec<_>>(), [first.clone(), second]);

        let whole = std::fs::read(&journal).unwrap();
        std::fs::write(&journal, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(reopen(dir.path()).accounts.keys().cloned().collect::<Vec<_>>(), [first]);
    }

    #[test]
    fn a_folded_state_is_the_same_state() {
        let dir = tempfile::tempdir().unwrap();
        let (mut state, _) = StateDir::open(dir.path()).unwrap();
        let mut lab = Lab::new();
        let number = lab.account();
        state.commit(&mut lab.world).unwrap();
        lab.world
            .create_account(NewAccount { number: Some("4915112345".into()), ..NewAccount::default() })
            .unwrap();
        state.close(&mut lab.world).unwrap();
        assert!(lab.world.delete_account(&number));
        state.commit(&mut lab.world).unwrap();
        assert_eq!(reopen(dir.path()).accounts.keys().cloned().collect::<Vec<_>>(), ["4915112345"]);
    }
}
