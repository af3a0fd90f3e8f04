//! Locks on files, with a note beside them that says who holds them.
//!
//! The lock is the operating system's and ends with the process; the note is only read when the lock is taken.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::lease::Node;
use crate::error::{Result, StoreError};

/// Whether others may hold the same lock the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Beside others that share.
    Shared,
    /// Alone.
    Alone,
}

/// A lock that is held; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    _file: File,
}

impl Held {
    /// Takes the lock at `path`, or says who has `what`.
    pub(super) fn take(path: &Path, sharing: Sharing, what: &str, node: &Node) -> Result<Self> {
        let fail = |e: std::io::Error| StoreError::io("locking", format!("{}: {e}", path.display()));
        let file = private().open(path).map_err(fail)?;
        let taken = match sharing {
            Sharing::Shared => file.try_lock_shared(),
            Sharing::Alone => file.try_lock(),
        };
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Held { what: what.to_owned(), holder: holder(path) });
            }
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        }
        let note = format!("process {} on {} ({})\n", std::process::id(), node.host, node.command);
        let written =
            private().truncate(true).open(note_path(path)).and_then(|mut f| f.write_all(note.as_bytes()));
        written.map_err(fail)?;
        Ok(Self { _file: file })
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn note_path(lock: &Path) -> PathBuf {
    lock.with_extension("holder")
}

fn holder(lock: &Path) -> String {
    let note = std::fs::read_to_string(note_path(lock)).unwrap_or_default();
    // Somebody else wrote it: keep it short and on one line.
    let line: String = note.trim().chars().filter(|c| !c.is_control()).take(200).collect();
    if line.is_empty() { "another process".to_owned() } else { line }
}
