//! What a command ends with: an exit code, and for people what happened and what to do next.

use palomar::store::StoreError;

/// The exit codes (documented in `--help`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did not work.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// A person must act: scan, confirm, look at the phone.
    Person = 3,
    /// Another process has it.
    Held = 4,
    /// A limit says: later.
    Later = 5,
    /// The service refused: logged out, banned, outdated.
    Refused = 6,
    /// The store is damaged or newer.
    Store = 7,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened.
    pub what: String,
    /// What to do next.
    pub next: Option<String>,
}

impl Failure {
    /// A failure with an exit code.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), next: None }
    }

    /// Wrong usage or configuration.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Anything else.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// Says what to do next.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (exit, next) = match &error {
            StoreError::Held { .. } => {
                (Exit::Held, Some("wait until it has finished, or stop it, and try again"))
            }
            StoreError::Leased { .. } => (
                Exit::Held,
                Some("if that node has stopped for good, run the command again with --take-over"),
            ),
            StoreError::NoAccount(_) => {
                (Exit::Usage, Some("`palomar accounts` lists the accounts, `palomar link ID` makes one"))
            }
            StoreError::BadAccountId { .. } | StoreError::AccountExists(_) => (Exit::Usage, None),
            StoreError::Damaged { .. } | StoreError::Newer { .. } | StoreError::CorruptRecord { .. } => {
                (Exit::Store, None)
            }
            StoreError::Io { .. } => {
                (Exit::Failed, Some("check the disk's free space and the folder's owner"))
            }
            _ => (Exit::Failed, None),
        };
        Self { exit, what: error.to_string(), next: next.map(str::to_owned) }
    }
}
