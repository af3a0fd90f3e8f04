//! The key store: contract, SQLite implementation, migrations, the account lock.
//!
//! It knows no protocol: typed records in, typed records out.

#![forbid(unsafe_code)]
