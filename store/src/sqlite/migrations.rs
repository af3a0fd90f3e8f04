//! The schema, version by version. A step that was released is never edited; a new one is added.

use rusqlite::Connection;

use crate::error::{Result, StoreError};
use crate::rows::Table;

/// The newest schema version.
pub const SCHEMA: u32 = 4;

/// Brings a file from `found` to [`SCHEMA`], each step in a transaction of its own with the new version number.
pub(super) fn migrate(connection: &Connection, found: u32) -> Result<()> {
    for version in found + 1..=SCHEMA {
        let sql = step(version);
        let all = format!("BEGIN IMMEDIATE; {sql} PRAGMA user_version = {version}; COMMIT;");
        if let Err(e) = connection.execute_batch(&all) {
            // Nothing of the step stays; a failing rollback changes nothing about that.
            drop(connection.execute_batch("ROLLBACK"));
            return Err(StoreError::io("migrating the store", e));
        }
    }
    Ok(())
}

fn step(version: u32) -> String {
    match version {
        // One ordered table of bytes for each of the contract's.
        1 => tables(1..=33),
        2 => tables(34..=35),
        // What decides whether a chat is a new one (05d §9.2).
        3 => tables(36..=36),
        // Events that wait for their message (05b §5).
        4 => tables(37..=37),
        _ => String::new(),
    }
}

/// The tables with these numbers.
fn tables(numbers: std::ops::RangeInclusive<u8>) -> String {
    let named = Table::ALL.iter().filter(|table| numbers.contains(&(**table as u8)));
    named.map(|table| create(table.name())).collect()
}

fn create(name: &str) -> String {
    format!("CREATE TABLE {name} (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) STRICT, WITHOUT ROWID; ")
}
