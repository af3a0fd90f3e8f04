//! The data folder: what stands where in it, and account ids that are safe to be folder names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::UnixMillis;
use crate::error::{Result, StoreError};

/// An account's id, chosen by the operator: 1 to 64 of `a-z 0-9 - _ .`, starting with a letter or digit.
///
/// Only lower case, so that two ids never meet on a file system that ignores case; no separator and no leading dot,
/// so that an id can't leave its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(String);

impl AccountId {
    /// Longest id.
    pub const MAX: usize = 64;

    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`StoreError::BadAccountId`] says what is wrong.
    pub fn new(id: &str) -> Result<Self> {
        let why = if id.is_empty() {
            "it is empty"
        } else if id.len() > Self::MAX {
            "it is longer than 64 characters"
        } else if !id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
            "it must start with a small letter or a digit"
        } else if !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b)) {
            "it may hold small letters, digits, '-', '_' and '.' only"
        } else if id.ends_with('.') {
            "it must not end with a dot"
        } else {
            return Ok(Self(id.to_owned()));
        };
        Err(StoreError::BadAccountId { id: id.chars().take(Self::MAX).collect(), why })
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for AccountId {
    type Err = StoreError;
    fn from_str(id: &str) -> Result<Self> {
        Self::new(id)
    }
}

/// The layout of a data folder. Folders are made 0700 when they are first needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// A layout rooted at `root`; nothing is touched.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// `accounts/`: one folder an account.
    #[must_use]
    pub fn accounts(&self) -> PathBuf {
        self.0.join("accounts")
    }

    /// `accounts/<id>/`: that account's store and nothing of another's.
    #[must_use]
    pub fn account(&self, id: &AccountId) -> PathBuf {
        self.accounts().join(id.as_str())
    }

    /// `archive/`: accounts that were moved out of the way.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.0.join("archive")
    }

    /// `backups/`.
    #[must_use]
    pub fn backups(&self) -> PathBuf {
        self.0.join("backups")
    }

    /// `run/`: how to reach a running daemon.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// `lock`: held shared by a command that works on one account, exclusively by a fleet.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Makes the root and `accounts/`, private to their owner.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn prepare(&self) -> Result<()> {
        make_private(&self.0)?;
        make_private(&self.accounts())
    }

    /// Ids of the accounts there are, sorted. Folders with other names are not accounts.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn list(&self) -> Result<Vec<AccountId>> {
        let entries = match fs::read_dir(self.accounts()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(StoreError::io("listing the accounts", e)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| StoreError::io("listing the accounts", e))?;
            ids.extend(entry.file_name().to_str().and_then(|name| AccountId::new(name).ok()));
        }
        ids.sort();
        Ok(ids)
    }

    /// Moves an account's folder to `archive/<id>-<time>/` in one rename; returns that name.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`], [`StoreError::Io`].
    pub fn quarantine(&self, id: &AccountId, now: UnixMillis) -> Result<String> {
        let from = self.account(id);
        if !from.exists() {
            return Err(StoreError::NoAccount(id.to_string()));
        }
        make_private(&self.archive())?;
        for extra in 0..1000 {
            let name = if extra == 0 { format!("{id}-{now}") } else { format!("{id}-{now}-{extra}") };
            let to = self.archive().join(&name);
            if !to.exists() {
                fs::rename(&from, &to).map_err(|e| StoreError::io("archiving an account", e))?;
                sync_folder(&self.archive())?;
                sync_folder(&self.accounts())?;
                return Ok(name);
            }
        }
        Err(StoreError::Refused("the archive has this account a thousand times at this moment"))
    }
}

/// Makes a folder (and what is missing above it) that only its owner can enter.
pub(crate) fn make_private(folder: &Path) -> Result<()> {
    let fail = |e: std::io::Error| StoreError::io("making a folder", format!("{}: {e}", folder.display()));
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(fail)
}

/// Makes a rename inside `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(|e| StoreError::io("syncing a folder", e))?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
