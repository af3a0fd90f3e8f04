//! Transactions: all or nothing, savepoints, groups, handles, accounts.

use palomar_store::{Result, StoreError, Tx};

use crate::{Bench, NOW, contract, id};

contract! {
    a_transaction_that_fails_changes_nothing
    a_failing_savepoint_is_rolled_back_alone
    savepoints_nest
    in_a_group_a_failing_transaction_undoes_itself_alone
    a_panicking_transaction_is_rolled_back_and_the_account_goes_on
    a_write_is_seen_by_every_later_read
    a_read_can_not_be_torn_by_writes
    an_account_is_opened_once
    a_closed_store_says_so
    a_dropped_handle_gives_the_account_back
    accounts_are_listed_and_archived
    accounts_do_not_see_each_other
    more_transactions_than_fit_the_queue_all_happen
}

fn put(tx: &mut Tx<'_>, address: &str, bytes: &[u8]) -> Result<()> {
    tx.put_session(address, bytes)
}

async fn session(store: &palomar_store::Store, address: &'static str) -> Option<Vec<u8>> {
    store
        .read(move |tx| Ok::<_, StoreError>(tx.session(address)?.map(|s| s.expose().to_vec())))
        .await
        .unwrap()
}

async fn a_transaction_that_fails_changes_nothing(bench: Bench) {
    let store = bench.store();
    let result: Result<()> = store
        .write(|tx| {
            put(tx, "a@lid:0", b"one")?;
            tx.save_identity("a@lid:0", &[5; 33], NOW)?;
            Err(StoreError::Refused("changed my mind"))
        })
        .await;
    assert!(matches!(result, Err(StoreError::Refused("changed my mind"))));
    assert_eq!(session(&store, "a@lid:0").await, None);
    let store = bench.restart(store).await;
    assert_eq!(session(&store, "a@lid:0").await, None);
}

async fn a_failing_savepoint_is_rolled_back_alone(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            put(tx, "a@lid:0", b"one")?;
            let inner: Result<()> = tx.savepoint(|tx| {
                put(tx, "a@lid:0", b"two")?;
                put(tx, "b@lid:0", b"two")?;
                Err(StoreError::Refused("no"))
            });
            assert!(inner.is_err());
            tx.savepoint(|tx| put(tx, "c@lid:0", b"three"))
        })
        .await
        .unwrap();
    assert_eq!(session(&store, "a@lid:0").await.unwrap(), b"one");
    assert_eq!(session(&store, "b@lid:0").await, None);
    assert_eq!(session(&store, "c@lid:0").await.unwrap(), b"three");
}

async fn savepoints_nest(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.savepoint(|tx| {
                put(tx, "outer", b"1")?;
                let inner: Result<()> = tx.savepoint(|tx| {
                    put(tx, "inner", b"1")?;
                    tx.savepoint(|tx| put(tx, "innermost", b"1"))?;
                    Err(StoreError::Refused("inner"))
                });
                assert!(inner.is_err());
                assert!(
                    tx.session("innermost")?.is_none(),
                    "a kept savepoint inside an undone one is undone"
                );
                Ok::<_, StoreError>(())
            })
        })
        .await
        .unwrap();
    assert_eq!(session(&store, "outer").await.unwrap(), b"1");
    assert_eq!(session(&store, "inner").await, None);
}

async fn in_a_group_a_failing_transaction_undoes_itself_alone(bench: Bench) {
    let store = bench.store();
    let mut running = Vec::new();
    for number in 0..50_u32 {
        let store = store.clone();
        running.push(tokio::spawn(async move {
            store
                .write(move |tx| {
                    put(tx, &format!("{number}"), b"here")?;
                    let fails = number % 3 == 0;
                    if fails { Err(StoreError::Refused("third")) } else { Ok(()) }
                })
                .await
        }));
    }
    for (number, task) in running.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().is_err(), number % 3 == 0, "{number}");
    }
    let left = store.read(|tx| tx.session_addresses("")).await.unwrap();
    assert_eq!(left.len(), 33);
    assert!(left.iter().all(|address| address.parse::<u32>().unwrap() % 3 != 0));
}

async fn a_panicking_transaction_is_rolled_back_and_the_account_goes_on(bench: Bench) {
    let store = bench.store();
    let result: Result<()> = store
        .write(|tx| {
            put(tx, "a", b"1")?;
            tx.savepoint(|tx| {
                put(tx, "b", b"1")?;
                panic!("a bug in the caller")
            })
        })
        .await;
    assert!(matches!(result, Err(StoreError::Panicked)));
    store.write(|tx| put(tx, "c", b"1")).await.unwrap();
    assert_eq!(store.read(|tx| tx.session_addresses("")).await.unwrap(), ["c"]);
}

async fn a_write_is_seen_by_every_later_read(bench: Bench) {
    let store = bench.store();
    for round in 0..20_u8 {
        store.write(move |tx| put(tx, "a", &[round])).await.unwrap();
        assert_eq!(session(&store, "a").await.unwrap(), [round]);
    }
}

async fn a_read_can_not_be_torn_by_writes(bench: Bench) {
    let store = bench.store();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..100_u8 {
                let both = move |tx: &mut Tx<'_>| {
                    put(tx, "a", &[round])?;
                    put(tx, "b", &[round])
                };
                store.write(both).await.unwrap();
            }
        })
    };
    for _ in 0..100 {
        let both = store.read(|tx| {
            let read = |name: &str| Ok::<_, StoreError>(tx.session(name)?.map(|s| s.expose().to_vec()));
            Ok::<_, StoreError>((read("a")?, read("b")?))
        });
        let (a, b) = both.await.unwrap();
        assert_eq!(a, b);
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

async fn an_account_is_opened_once(bench: Bench) {
    let store = bench.store();
    match bench.accounts.open(&id("alice"), NOW) {
        Err(error @ StoreError::Held { .. }) => {
            assert!(error.to_string().contains("this process"), "{error}")
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(bench.accounts.archive(&id("alice"), NOW), Err(StoreError::Held { .. })));
    drop(store);
    bench.accounts.open(&id("alice"), NOW).unwrap();
}

async fn a_closed_store_says_so(bench: Bench) {
    let store = bench.store();
    let other = store.clone();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(other.write(|tx| put(tx, "a", b"1")).await, Err(StoreError::Closed)));
    assert!(matches!(other.read(|tx| tx.session("a")).await, Err(StoreError::Closed)));
    bench.accounts.open(&id("alice"), NOW).unwrap();
}

async fn a_dropped_handle_gives_the_account_back(bench: Bench) {
    let store = bench.store();
    store.write(|tx| put(tx, "a", b"kept")).await.unwrap();
    drop(store);
    let store = bench.accounts.open(&id("alice"), NOW).unwrap();
    assert_eq!(session(&store, "a").await.unwrap(), b"kept");
}

async fn accounts_are_listed_and_archived(bench: Bench) {
    assert_eq!(bench.accounts.list().unwrap(), []);
    assert!(matches!(bench.accounts.open(&id("alice"), NOW), Err(StoreError::NoAccount(_))));
    assert!(matches!(bench.accounts.archive(&id("alice"), NOW), Err(StoreError::NoAccount(_))));
    let store = bench.store();
    bench.accounts.create(&id("bob"), NOW).unwrap();
    assert!(matches!(bench.accounts.create(&id("bob"), NOW), Err(StoreError::AccountExists(_))));
    assert_eq!(bench.accounts.list().unwrap(), [id("alice"), id("bob")]);
    store.close().await.unwrap();
    assert_eq!(bench.accounts.archive(&id("alice"), NOW).unwrap(), format!("alice-{NOW}"));
    assert_eq!(bench.accounts.list().unwrap(), [id("bob")]);
    let fresh = bench.store();
    assert_eq!(session(&fresh, "a").await, None, "a new account of the same name is empty");
}

async fn accounts_do_not_see_each_other(bench: Bench) {
    let alice = bench.store();
    let bob = bench.accounts.create(&id("bob"), NOW).unwrap();
    alice.write(|tx| put(tx, "a", b"alice's")).await.unwrap();
    assert_eq!(session(&bob, "a").await, None);
}

async fn more_transactions_than_fit_the_queue_all_happen(bench: Bench) {
    let store = bench.store();
    let mut running = Vec::new();
    for number in 0..700_u32 {
        let store = store.clone();
        running.push(tokio::spawn(async move {
            store.write(move |tx| put(tx, &format!("{number}"), b"x")).await
        }));
    }
    for task in running {
        task.await.unwrap().unwrap();
    }
    assert_eq!(store.read(|tx| tx.session_addresses("")).await.unwrap().len(), 700);
}
