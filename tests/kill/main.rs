//! A real client process, killed (SIGKILL) at random instants under two-way traffic and started again each time:
//! nothing lost, nothing duplicated at the application, no message counter used twice, the store opens every time.
//!
//! `PALOMAR_KILLS` sets how often (300), `PALOMAR_KILL_SEED` makes the same choices again; the seed is printed. The
//! instants are the same then, what the machine does between them is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod books;
mod life;
mod process;

use std::time::{Duration, Instant};

use palomar::sim::{NewAccount, SimConfig, Simulator};
use palomar::store::sqlite::{Options, SqliteAccounts, Writers};
use palomar::store::{AccountId, Accounts, DataDir};

use life::{End, Harness};
use process::{Place, Process};

/// The account's name on the command line.
const ACCOUNT: &str = "alice";
/// How long anything may take that is not a random instant.
const PATIENCE: Duration = Duration::from_secs(30);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_is_lost_duplicated_or_encrypted_under_a_used_counter() {
    let kills = number("PALOMAR_KILLS", 300);
    let seed = number("PALOMAR_KILL_SEED", std::process::id().into());
    println!("{kills} kills, PALOMAR_KILL_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(SimConfig::ephemeral(seed)).await.unwrap();
    let admin = simulator.admin().clone();
    let own = admin.create_account(NewAccount::default()).await.unwrap();
    let contact = admin.create_account(NewAccount::default()).await.unwrap();
    let place = Place {
        data: folder.path().join("data"),
        server: simulator.chat_url().unwrap(),
        root_key: simulator.admin().info().root_key.clone(),
    };
    link(&simulator, &own.number, &place).await;

    let begun = Instant::now();
    let mut harness = Harness::new(admin, own.number, contact.number, place.clone(), seed);
    harness.live(End::Settled).await;
    println!("linked and talking after {:?}", begun.elapsed());
    for kill in 1..=kills {
        let end = harness.draw();
        harness.live(end).await;
        if kill % 50 == 0 {
            println!("{kill} kills after {:?}: {}", begun.elapsed(), harness.summary());
        }
    }
    harness.live(End::Settled).await;

    println!("{} in {:?}", harness.summary(), begun.elapsed());
    let faults = harness.books.verdict();
    assert!(faults.is_empty(), "PALOMAR_KILL_SEED={seed}\n{}", books::shortened(&faults));
    let violations = simulator.admin().violations().await;
    assert_eq!(violations.count("counter-reuse"), 0, "PALOMAR_KILL_SEED={seed}: {:?}", violations.items());
    assert_eq!(violations.total(), 0, "PALOMAR_KILL_SEED={seed}: {:?}", violations.items());
    whole(&place).await;
}

/// Links the account by the binary: the phone scans what it shows.
async fn link(simulator: &Simulator, phone: &str, place: &Place) {
    let mut process = Process::start(place, &["link", ACCOUNT]);
    let (mut linked, mut last) = (None, serde_json::Value::Null);
    while let Some(line) = tokio::time::timeout(PATIENCE, process.line()).await.expect("the binary links") {
        if let (Some("qr"), None) = (line["event"].as_str(), &linked) {
            let qr = line["text"].as_str().unwrap();
            linked = Some(simulator.admin().scan_qr(phone, qr).await.unwrap());
        }
        last = line;
    }
    let (status, log) = process.end();
    assert!(status.success() && linked.is_some(), "link: {status}, {last}\n{log}");
}

/// The store after the last kill: it opens, nothing is left to do in it, nothing was set aside as damaged.
async fn whole(place: &Place) {
    let writers = Writers::inline().into();
    let accounts = SqliteAccounts::new(DataDir::new(&place.data), writers, Options::default()).unwrap();
    let store = accounts.open(&AccountId::new(ACCOUNT).unwrap(), 0).unwrap();
    let set_aside = store.read(|tx| tx.quarantined()).await.unwrap();
    assert!(set_aside.is_empty(), "{set_aside:?}");
    assert_eq!(store.read(|tx| tx.open_outgoing_count()).await.unwrap(), 0);
    store.close().await.unwrap();
}
