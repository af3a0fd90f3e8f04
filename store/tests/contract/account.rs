//! Identity, profile, link, logins, flags, app state, tokens.

use palomar_store::{
    CachedCert, ContactToken, DeviceProfile, Flag, KeyPairBytes, Keys, Link, Login, Props, Result, Secret,
    ServerChain, StopState, StoreError,
};

use crate::{Bench, NOW, contract};

contract! {
    an_account_is_the_same_after_a_restart
    keys_are_set_once
    a_linked_account_keeps_its_profile
    the_login_counter_starts_at_0_and_wraps
    flags_start_false_and_last
    app_state_is_kept_and_dropped_by_collection
    contact_tokens_are_kept_and_an_empty_record_is_none
    settings_come_and_go
    secrets_do_not_show_in_debug
}

fn keys() -> Keys {
    let pair = |byte| KeyPairBytes { public: [byte; 32], private: [byte + 100; 32].into() };
    Keys { identity: pair(1), noise: pair(2), registration_id: 1234 }
}

fn profile() -> DeviceProfile {
    DeviceProfile {
        os: "Mac OS".into(),
        os_version: Some(vec![10, 15, 7]),
        platform_type: 1,
        browser: "Chrome".into(),
        browser_version: "140.0".into(),
        display_name: "Chrome (Mac OS)".into(),
        language: "en".into(),
        country: "US".into(),
    }
}

fn link() -> Link {
    Link {
        pn: "15550001111:4@s.whatsapp.net".into(),
        lid: Some("100000000000001:4@lid".into()),
        account: vec![1, 2, 3],
        key_index: 4,
        platform: "android".into(),
        business_name: None,
        lid_migrated: true,
        linked_at: NOW,
    }
}

async fn an_account_is_the_same_after_a_restart(bench: Bench) {
    let store = bench.store();
    let cert = |byte| CachedCert { key: [byte; 32], not_before: 1, not_after: 2 };
    let chain = ServerChain { leaf: cert(1), intermediate: cert(2) };
    let props = Props { hash: Some("h".into()), values: vec![(865, "604800".into())], ..Props::default() };
    let stop = StopState { kind: "phone_identity_changed".into(), detail: "ask".into(), since: NOW };
    let (kept_chain, kept_props, kept_stop) = (chain.clone(), props.clone(), stop.clone());
    store
        .write(move |tx| {
            assert!(tx.keys()?.is_none() && tx.link()?.is_none() && tx.props()?.is_none());
            tx.set_keys(&keys())?;
            tx.set_profile(&profile())?;
            tx.set_link(Some(&link()))?;
            tx.set_adv_secret(Some(&Secret::new([7; 32])))?;
            tx.set_push_name("Alice")?;
            tx.set_routing(&[8, 8, 18, 9])?;
            tx.set_server_chain(Some(&chain))?;
            tx.set_props(&props)?;
            tx.set_stop_state(Some(&stop))
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    store
        .write(move |tx| {
            let stored = tx.keys()?.unwrap();
            assert_eq!(stored.registration_id, 1234);
            assert_eq!((stored.noise.public, *stored.noise.private.expose()), ([2; 32], [102; 32]));
            assert_eq!(tx.profile()?.unwrap(), profile());
            assert_eq!(tx.link()?.unwrap().account, [1, 2, 3]);
            assert_eq!(tx.adv_secret()?.unwrap().expose(), &[7; 32]);
            assert_eq!(tx.push_name()?.unwrap(), "Alice");
            assert_eq!(tx.routing()?.unwrap(), [8, 8, 18, 9]);
            assert_eq!(tx.server_chain()?.unwrap(), kept_chain);
            assert_eq!(tx.props()?.unwrap(), kept_props);
            assert_eq!(tx.stop_state()?.unwrap(), kept_stop);
            tx.set_server_chain(None)?;
            tx.set_stop_state(None)?;
            tx.set_adv_secret(None)?;
            assert!(tx.server_chain()?.is_none() && tx.stop_state()?.is_none() && tx.adv_secret()?.is_none());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn keys_are_set_once(bench: Bench) {
    let store = bench.store();
    store.write(|tx| tx.set_keys(&keys())).await.unwrap();
    assert!(matches!(store.write(|tx| tx.set_keys(&keys())).await, Err(StoreError::Refused(_))));
}

async fn a_linked_account_keeps_its_profile(bench: Bench) {
    let store = bench.store();
    store.write(|tx| tx.set_profile(&profile())).await.unwrap();
    store.write(|tx| tx.set_profile(&profile())).await.unwrap();
    store.write(|tx| tx.set_link(Some(&link()))).await.unwrap();
    assert!(matches!(store.write(|tx| tx.set_profile(&profile())).await, Err(StoreError::Refused(_))));
}

async fn the_login_counter_starts_at_0_and_wraps(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            assert_eq!(tx.login()?, Login::default());
            tx.advance_login_counter()?;
            assert_eq!(tx.login()?.counter, 1);
            tx.set_login(&Login { counter: i32::MAX.unsigned_abs(), ..Login::default() })?;
            tx.advance_login_counter()?;
            assert_eq!(tx.login()?.counter, 0);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn flags_start_false_and_last(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            assert!(!tx.flag(Flag::ServerHasNoPrekeys)?);
            tx.set_flag(Flag::ServerHasNoPrekeys, true)?;
            tx.set_flag(Flag::InitialSyncNeeded, true)?;
            tx.set_flag(Flag::InitialSyncNeeded, false)
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    let flags = store.read(|tx| {
        Ok::<_, StoreError>((tx.flag(Flag::ServerHasNoPrekeys)?, tx.flag(Flag::InitialSyncNeeded)?))
    });
    assert_eq!(flags.await.unwrap(), (true, false));
    assert!(!store.read(|tx| tx.flag(Flag::UncleanStop)).await.unwrap());
}

async fn app_state_is_kept_and_dropped_by_collection(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.put_app_state_key(&[0, 1, 0], b"key")?;
            tx.put_collection("regular", b"v1")?;
            tx.put_collection_entry("regular", &[0, 0, 1], Some(b"mac"))?;
            tx.put_collection_entry("regular_low", &[0, 0, 1], Some(b"other"))?;
            assert_eq!(tx.app_state_key(&[0, 1, 0])?.unwrap().expose(), b"key");
            assert_eq!(tx.app_state_key_count()?, 1);
            assert_eq!(tx.collection("regular")?.unwrap().expose(), b"v1");
            tx.delete_collection("regular")?;
            assert!(
                tx.collection("regular")?.is_none() && tx.collection_entry("regular", &[0, 0, 1])?.is_none()
            );
            assert_eq!(tx.collection_entry("regular_low", &[0, 0, 1])?.unwrap().expose(), b"other");
            tx.put_collection_entry("regular_low", &[0, 0, 1], None)?;
            assert!(tx.collection_entry("regular_low", &[0, 0, 1])?.is_none());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn contact_tokens_are_kept_and_an_empty_record_is_none(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            let token = ContactToken { token: Some(vec![1]), t: Some(5), issued_t: None, reissue: false };
            tx.put_contact_token("l", &token)?;
            assert_eq!(tx.contact_token("l")?, token);
            assert_eq!(tx.contacts_with_tokens(None, 10)?, ["l"]);
            tx.put_contact_token("l", &ContactToken::default())?;
            assert!(tx.contacts_with_tokens(None, 10)?.is_empty());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn settings_come_and_go(bench: Bench) {
    let store = bench.store();
    store.write(|tx| tx.set_setting("nct_salt", Some(b"salt"))).await.unwrap();
    let read = |tx: &palomar_store::Tx<'_>| -> Result<_> {
        Ok(tx.setting("nct_salt")?.map(|v| v.expose().to_vec()))
    };
    assert_eq!(store.read(read).await.unwrap().unwrap(), b"salt");
    store.write(|tx| tx.set_setting("nct_salt", None)).await.unwrap();
    assert_eq!(store.read(read).await.unwrap(), None);
}

async fn secrets_do_not_show_in_debug(bench: Bench) {
    let store = bench.store();
    store.write(|tx| tx.set_keys(&keys())).await.unwrap();
    let shown = format!("{:?}", store.read(|tx| tx.keys()).await.unwrap());
    assert!(!shown.contains("101") && !shown.contains("102"), "{shown}");
}
