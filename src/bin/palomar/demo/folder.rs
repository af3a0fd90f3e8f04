//! A private folder that is gone when the demo is over.

use std::path::{Path, PathBuf};

use palomar::crypto::{os_rng, random_bytes};

use crate::exit::Failure;

/// Removed when dropped.
pub struct TempFolder(PathBuf);

impl TempFolder {
    /// Makes one that only this user can enter.
    pub fn make() -> Result<Self, Failure> {
        let name = format!("palomar-demo-{}", hex::encode(random_bytes::<8, _>(&mut os_rng())));
        let path = std::env::temp_dir().join(name);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
        Ok(Self(path))
    }

    /// Where.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the demo's folder could not be removed");
        }
    }
}
