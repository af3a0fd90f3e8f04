//! What only the SQLite engine promises: durability, locks, damage, migrations, permissions, groups of commits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use palomar_store::sqlite::{Node, Options, SCHEMA, SqliteAccounts, Use, Writers};
use palomar_store::{AccountId, Accounts, DataDir, Flag, Result, Store, StoreError};

const NOW: i64 = 1_790_000_000_000;

fn id(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn accounts_with(root: &Path, writers: Writers, options: Options) -> Result<SqliteAccounts> {
    SqliteAccounts::new(DataDir::new(root), Arc::new(writers), options)
}

fn accounts(root: &Path) -> SqliteAccounts {
    accounts_with(root, Writers::inline(), Options::default()).unwrap()
}

fn file(root: &Path) -> PathBuf {
    root.join("accounts/alice/store.db")
}

async fn sessions(store: &Store) -> Vec<String> {
    store.read(|tx| tx.session_addresses("")).await.unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Makes an account with one session, closed.
async fn made(root: &Path) {
    let store = accounts(root).create(&id("alice"), NOW).unwrap();
    store.write(|tx| tx.put_session("a", b"record")).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_was_answered_is_in_the_files_at_that_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (live, copy) = (folder.path().join("live"), folder.path().join("copy"));
    let accounts_live = accounts_with(&live, Writers::new().unwrap(), Options::default()).unwrap();
    let store = accounts_live.create(&id("alice"), NOW).unwrap();
    for round in 0..20_u32 {
        store.write(move |tx| tx.put_session(&format!("{round:02}"), b"x")).await.unwrap();
        // The files as a crash at this moment would leave them.
        let at = copy.join(round.to_string());
        copy_folder(&live, &at);
        let after_crash = accounts(&at);
        let reopened = after_crash.open(&id("alice"), NOW).unwrap();
        assert_eq!(sessions(&reopened).await.len(), round as usize + 1);
        assert!(
            reopened.read(|tx| tx.flag(Flag::UncleanStop)).await.unwrap(),
            "it knows that it was not closed"
        );
    }
}

/// Not a test of its own: the process that the next test kills.
#[tokio::test]
async fn killed_writer() {
    let Ok(root) = std::env::var("PALOMAR_STORE_KILLED_WRITER") else { return };
    let accounts = accounts_with(Path::new(&root), Writers::new().unwrap(), Options::default()).unwrap();
    let store = accounts.create(&id("alice"), NOW).unwrap();
    for round in 0_u64.. {
        store.write(move |tx| tx.put_session(&format!("{round:08}"), b"x")).await.unwrap();
        println!("\ndone {round}");
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_was_answered() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["killed_writer", "--exact", "--nocapture"])
        .env("PALOMAR_STORE_KILLED_WRITER", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(std::io::Result::ok);
    let number = |line: String| line.strip_prefix("done ").and_then(|n| n.parse::<u64>().ok());
    let mut last = lines.by_ref().find_map(|line| number(line).filter(|&n| n >= 40)).unwrap();

    // It is alive: the lock names it.
    match accounts(folder.path()).open(&id("alice"), NOW) {
        Err(error @ StoreError::Held { .. }) => {
            assert!(error.to_string().contains(&format!("process {}", child.id())), "{error}");
        }
        other => panic!("{other:?}"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    last = lines.filter_map(number).max().unwrap_or(last).max(last);

    let reopened = accounts(folder.path());
    let store = reopened.open(&id("alice"), NOW).unwrap();
    for round in 0..=last {
        let there = store.read(move |tx| tx.has_session(&format!("{round:08}"))).await.unwrap();
        assert!(there, "session {round} of {last} is gone");
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path()).await;
    let path = file(folder.path());
    let good = fs::read(&path).unwrap();
    let middle = good.len() / 2;
    let mut holes = good.clone();
    holes[middle..].fill(0xa5);
    let damages: [(&str, Vec<u8>); 5] = [
        ("overwritten", holes),
        ("cut", good[..good.len() - 5000].to_vec()),
        ("not a database", b"hello, this is text".repeat(400)),
        ("empty", Vec::new()),
        ("another program's", other_database(folder.path())),
    ];
    for (name, bytes) in damages {
        fs::write(&path, &bytes).unwrap();
        match accounts(folder.path()).open(&id("alice"), NOW) {
            Err(error @ StoreError::Damaged { .. }) => {
                assert!(error.to_string().contains("left untouched"), "{name}: {error}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name}");
    }
    fs::write(&path, &good).unwrap();
    let repaired = accounts(folder.path());
    assert_eq!(sessions(&repaired.open(&id("alice"), NOW).unwrap()).await, ["a"]);
}

fn other_database(folder: &Path) -> Vec<u8> {
    let path = folder.join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    fs::read(path).unwrap()
}

#[tokio::test]
async fn a_damaged_record_is_set_aside_and_counts_as_absent() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path()).await;
    let database = rusqlite::Connection::open(file(folder.path())).unwrap();
    database
        .execute("UPDATE sessions SET v = CAST(substr(v, 1, length(v) - 1) || x'00' AS BLOB)", [])
        .unwrap();
    database.close().unwrap();
    let accounts = accounts(folder.path());
    let store = accounts.open(&id("alice"), NOW).unwrap();
    assert!(store.read(|tx| tx.session("a")).await.unwrap().is_none());
    assert!(store.write(|tx| tx.session("a")).await.unwrap().is_none());
    let aside = store.read(|tx| tx.quarantined()).await.unwrap();
    assert_eq!((aside[0].table.as_str(), aside[0].reason.as_str()), ("sessions", "damaged"));
    assert!(!store.read(|tx| tx.has_session("a")).await.unwrap());
    store.write(|tx| tx.put_session("a", b"new")).await.unwrap();
    store.write(|tx| tx.quarantine_session("a", "its reader refused it")).await.unwrap();
    assert_eq!(store.read(|tx| tx.quarantine_count()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_damaged_identity_stops_the_account() {
    let folder = tempfile::tempdir().unwrap();
    let store = accounts(folder.path()).create(&id("alice"), NOW).unwrap();
    store
        .write(|tx| {
            let pair = || palomar_store::KeyPairBytes { public: [1; 32], private: [2; 32].into() };
            tx.set_keys(&palomar_store::Keys { identity: pair(), noise: pair(), registration_id: 7 })
        })
        .await
        .unwrap();
    store.close().await.unwrap();
    drop(store);
    let database = rusqlite::Connection::open(file(folder.path())).unwrap();
    database.execute("UPDATE account SET v = x'0100' WHERE k = CAST('keys' AS BLOB)", []).unwrap();
    database.close().unwrap();
    let accounts = accounts(folder.path());
    let store = accounts.open(&id("alice"), NOW).unwrap();
    assert!(matches!(store.write(|tx| tx.keys()).await, Err(StoreError::CorruptRecord { table: "account" })));
}

#[tokio::test]
async fn a_file_of_schema_0_is_migrated_and_a_newer_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path()).await;
    let path = file(folder.path());
    fs::remove_file(&path).unwrap();
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch("PRAGMA application_id = 0x50414c4f; PRAGMA user_version = 0;").unwrap();
    old.close().unwrap();
    let open = accounts(folder.path());
    let store = open.open(&id("alice"), NOW).unwrap();
    store.write(|tx| tx.put_session("b", b"x")).await.unwrap();
    store.close().await.unwrap();

    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
    newer.close().unwrap();
    let before = fs::read(&path).unwrap();
    match open.open(&id("alice"), NOW) {
        Err(error @ StoreError::Newer { .. }) => {
            assert!(error.to_string().contains("newer version"), "{error}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_file_of_schema_1_keeps_its_rows_and_gets_the_new_tables() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path()).await;
    let open = accounts(folder.path());
    let store = open.open(&id("alice"), NOW).unwrap();
    store.write(|tx| tx.put_session("b", b"x")).await.unwrap();
    store.close().await.unwrap();
    let old = rusqlite::Connection::open(file(folder.path())).unwrap();
    old.execute_batch("DROP TABLE missed; DROP TABLE chat_timers; DROP TABLE chats; DROP TABLE held; PRAGMA user_version = 1;")
        .unwrap();
    old.close().unwrap();
    let store = open.open(&id("alice"), NOW).unwrap();
    let timer = palomar_store::ChatTimer { seconds: 5, set_at: 1 };
    assert!(store.write(move |tx| tx.set_chat_timer("c", timer)).await.unwrap());
    assert_eq!(store.read(|tx| tx.held_count()).await.unwrap(), 0);
    assert!(store.read(|tx| tx.has_session("b")).await.unwrap());
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_0600_in_0700_folders() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    let accounts = accounts(&root);
    let store = accounts.create(&id("alice"), NOW).unwrap();
    store.write(|tx| tx.put_session("a", b"x")).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let alice = root.join("accounts/alice");
    assert_eq!((mode(&root), mode(&root.join("accounts")), mode(&alice)), (0o700, 0o700, 0o700));
    let mut names = Vec::new();
    for entry in fs::read_dir(&alice).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["lock", "lock.holder", "store.db", "store.db-wal"]);
    assert_eq!(mode(&root.join("lock")), 0o600);
}

#[tokio::test]
async fn a_close_leaves_no_log_and_deleted_secrets_are_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = accounts(folder.path());
    let store = accounts.create(&id("alice"), NOW).unwrap();
    let secret = b"chain key 0123456789abcdef".repeat(40);
    let put = secret.clone();
    store.write(move |tx| tx.put_session("a", &put)).await.unwrap();
    store.write(|tx| tx.delete_session("a")).await.unwrap();
    store.close().await.unwrap();
    let log = folder.path().join("accounts/alice/store.db-wal");
    assert_eq!(fs::metadata(log).map_or(0, |meta| meta.len()), 0);
    let bytes = fs::read(file(folder.path())).unwrap();
    assert!(!bytes.windows(16).any(|window| secret.starts_with(window)));
}

#[tokio::test]
async fn a_burst_costs_few_commits() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = accounts_with(folder.path(), Writers::new().unwrap(), Options::default()).unwrap();
    let store = accounts.create(&id("alice"), NOW).unwrap();
    let before = accounts.statistics();
    let mut running = Vec::new();
    for number in 0..200_u32 {
        let store = store.clone();
        running.push(tokio::spawn(async move {
            store.write(move |tx| tx.put_session(&format!("{number}"), b"x")).await
        }));
    }
    for task in running {
        task.await.unwrap().unwrap();
    }
    let after = accounts.statistics();
    assert_eq!(after.transactions - before.transactions, 200);
    assert!(after.commits - before.commits <= 50, "{} commits", after.commits - before.commits);
}

#[tokio::test]
async fn a_transaction_that_changes_nothing_costs_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = accounts(folder.path());
    let store = accounts.create(&id("alice"), NOW).unwrap();
    let before = accounts.statistics();
    let failed: Result<()> = store.write(|_| Err(StoreError::Refused("no"))).await;
    assert!(failed.is_err());
    sessions(&store).await;
    assert_eq!(accounts.statistics(), before);
}

#[tokio::test]
async fn a_pool_with_few_files_serves_many_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = accounts_with(folder.path(), Writers::threads(2, 4).unwrap(), Options::default()).unwrap();
    let stores: Vec<Store> = (0..12).map(|n| accounts.create(&id(&format!("a{n}")), NOW).unwrap()).collect();
    for round in 0..3_u32 {
        for store in &stores {
            store.write(move |tx| tx.put_session(&format!("{round}"), b"x")).await.unwrap();
        }
    }
    #[cfg(target_os = "linux")]
    {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        let ours = links.filter(|path| path.starts_with(folder.path()) && path.ends_with("store.db")).count();
        assert!(ours <= 4, "{ours} files are open");
    }
    for store in &stores {
        assert_eq!(sessions(store).await, ["0", "1", "2"]);
    }
    assert!(accounts.statistics().opens > 12, "files were closed and opened again");
}

#[tokio::test]
async fn a_fleet_has_the_folder_alone() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Options { used_by: Use::Fleet, ..Options::default() };
    let one = accounts(folder.path());
    let two = accounts(folder.path());
    match accounts_with(folder.path(), Writers::inline(), fleet.clone()) {
        Err(error @ StoreError::Held { .. }) => {
            assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        }
        other => panic!("{other:?}"),
    }
    drop((one, two));
    let fleet = accounts_with(folder.path(), Writers::inline(), fleet).unwrap();
    let command = accounts_with(folder.path(), Writers::inline(), Options::default());
    assert!(matches!(command, Err(StoreError::Held { .. })));
    let store = fleet.create(&id("alice"), NOW).unwrap();
    assert!(!folder.path().join("accounts/alice/lock").exists(), "a fleet's account costs no lock");
    // The folder stays taken while an account of it is open.
    drop(fleet);
    let command = accounts_with(folder.path(), Writers::inline(), Options::default());
    assert!(matches!(command, Err(StoreError::Held { .. })));
    drop(store);
    accounts(folder.path());
}

#[tokio::test]
async fn an_account_that_another_node_did_not_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (live, moved) = (folder.path().join("live"), folder.path().join("moved"));
    let node = |name: &str| Node { name: name.into(), host: format!("host-{name}"), command: "test".into() };
    let on = |name: &str, take_over| Options { node: node(name), take_over, ..Options::default() };
    let first = accounts_with(&live, Writers::inline(), on("east", false)).unwrap();
    let store = first.create(&id("alice"), NOW).unwrap();
    copy_folder(&live, &moved);

    let west = accounts_with(&moved, Writers::inline(), on("west", false)).unwrap();
    match west.open(&id("alice"), NOW) {
        Err(error @ StoreError::Leased { .. }) => assert!(error.to_string().contains("node east"), "{error}"),
        other => panic!("{other:?}"),
    }
    drop(west);
    let east = accounts_with(&moved, Writers::inline(), on("east", false)).unwrap();
    east.open(&id("alice"), NOW).unwrap().close().await.unwrap();
    drop(east);

    // Released by a clean stop: any node may have it.
    store.close().await.unwrap();
    drop((store, first));
    let west = accounts_with(&live, Writers::inline(), on("west", false)).unwrap();
    west.open(&id("alice"), NOW).unwrap();
}

#[tokio::test]
async fn taking_over_is_possible_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let (live, moved) = (folder.path().join("live"), folder.path().join("moved"));
    let node = Node { name: "east".into(), host: "h".into(), command: "test".into() };
    let first = accounts_with(&live, Writers::inline(), Options { node, ..Options::default() }).unwrap();
    let store = first.create(&id("alice"), NOW).unwrap();
    copy_folder(&live, &moved);
    drop(store);
    let take_over = Options { take_over: true, ..Options::default() };
    let west = accounts_with(&moved, Writers::inline(), take_over).unwrap();
    assert!(west.open(&id("alice"), NOW).unwrap().read(|tx| tx.flag(Flag::UncleanStop)).await.unwrap());
}

#[tokio::test]
async fn archiving_is_one_rename_and_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path()).await;
    let accounts = accounts(folder.path());
    let before = fs::read(file(folder.path())).unwrap();
    let name = accounts.archive(&id("alice"), NOW).unwrap();
    assert_eq!(fs::read(folder.path().join("archive").join(&name).join("store.db")).unwrap(), before);
    assert!(accounts.list().unwrap().is_empty());
    // The same name at the same moment still finds a place.
    accounts.create(&id("alice"), NOW).unwrap().close().await.unwrap();
    assert_ne!(accounts.archive(&id("alice"), NOW).unwrap(), name);
}

#[test]
fn account_ids_can_not_leave_their_folder() {
    for good in ["alice", "a", "0", "a-b_c.d", &"x".repeat(64)] {
        assert!(AccountId::new(good).is_ok(), "{good}");
    }
    for bad in ["", ".", "..", ".hidden", "a/b", "a\\b", "A", "ä", "a b", "-a", "a.", "a\0", &"x".repeat(65)]
    {
        assert!(matches!(AccountId::new(bad), Err(StoreError::BadAccountId { .. })), "{bad:?}");
    }
}
