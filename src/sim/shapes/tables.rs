//! The judge's tables in force: built in, or the files that the simulator was started with (09 §23.1 "The table is
//! data").

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use crate::sim::config::JudgeTables;
use crate::stanza::judge::payload::{Schema, parse_enums};
use crate::stanza::judge::{Deviations, Table, TableError};

/// A table that the simulator can't be started with.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The file can't be read; name another one.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is no such table; mend the line.
    #[error("{path}: {error}")]
    Parse {
        /// The file, or which built-in table.
        path: PathBuf,
        /// The line and column.
        error: TableError,
    },
}

/// Which stanza table is in force (09 §21 `info`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StanzaTable {
    /// The file, or nothing for the built-in table.
    pub file: Option<PathBuf>,
    /// SHA-256 of its text, hexadecimal.
    pub sha256: String,
    /// How many operations it has.
    pub ops: usize,
    /// How many rows it has.
    pub rows: usize,
}

/// What the judge compares with.
#[derive(Debug)]
pub(crate) struct Tables {
    pub stanzas: Table,
    file: Option<PathBuf>,
    pub deviations: Deviations,
    pub schema: Schema,
}

impl Tables {
    /// The built-in tables, read once in a process; `None` if they can't be read, which a test excludes.
    pub fn built_in() -> Option<Arc<Self>> {
        static BUILT_IN: OnceLock<Option<Arc<Tables>>> = OnceLock::new();
        let read = || Self::read(&JudgeTables::default()).ok().map(Arc::new);
        BUILT_IN.get_or_init(read).clone()
    }

    /// The files that are asked for; the built-in tables only where nothing is.
    pub fn load(files: &JudgeTables) -> Result<Arc<Self>, TablesError> {
        match (*files == JudgeTables::default()).then(Self::built_in).flatten() {
            Some(tables) => Ok(tables),
            None => Self::read(files).map(Arc::new),
        }
    }

    fn read(files: &JudgeTables) -> Result<Self, TablesError> {
        let stanzas = match &files.stanzas {
            Some(path) => Table::parse(&text(path)?).map_err(parse(path))?,
            None => Table::built_in().map_err(parse(Path::new("built-in stanza table")))?,
        };
        let deviations = Deviations::built_in().map_err(parse(Path::new("built-in deviations")))?;
        let (schema_text, enums_text) = Schema::built_in_texts();
        let given = |path: &Option<PathBuf>| path.as_deref().map(text).transpose();
        let (own_schema, own_enums) = (given(&files.schema)?, given(&files.enums)?);
        let enums = own_enums.as_deref().unwrap_or(enums_text);
        let enum_path = files.enums.as_deref().unwrap_or(Path::new("built-in enum table"));
        parse_enums(enums).map_err(parse(enum_path))?;
        let schema_path = files.schema.as_deref().unwrap_or(Path::new("built-in schema table"));
        let schema =
            Schema::parse(own_schema.as_deref().unwrap_or(schema_text), enums).map_err(parse(schema_path))?;
        Ok(Self { stanzas, file: files.stanzas.clone(), deviations, schema })
    }

    /// What `info` shows of it.
    pub fn stanza_table(&self) -> StanzaTable {
        StanzaTable {
            file: self.file.clone(),
            sha256: hex::encode(self.stanzas.sha256()),
            ops: self.stanzas.operations(),
            rows: self.stanzas.rows(),
        }
    }
}

fn text(path: &Path) -> Result<String, TablesError> {
    std::fs::read_to_string(path).map_err(|error| TablesError::Read { path: path.to_owned(), error })
}

fn parse(path: &Path) -> impl FnOnce(TableError) -> TablesError + use<> {
    let path = path.to_owned();
    |error| TablesError::Parse { path, error }
}
