//! Whether numbers are registered (protocol 05d §3, §11 no. 4).

use super::{IqFault, World};
use crate::client::contacts::{CheckError, Registration, check};
use crate::wire::Node;

fn numbers(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_number_is_asked_for_in_the_official_form_once_and_answered_under_its_true_address() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let ctx = &a0.messaging.ctx;
    // Asked for with a digit too many, as in some countries.
    let asked = numbers(&["+155500029", "+999"]);
    world.router.also_known_as("155500029", &b);
    let said = check(ctx, &asked).await.unwrap();
    let registered = Registration::Registered(b.pn.to_string());
    assert_eq!(said, [registered.clone(), Registration::NotRegistered]);
    assert_eq!(check(ctx, &asked).await.unwrap(), said, "known by now");
    let queries = world.router.asked(&a0, "usync");
    assert_eq!(queries.len(), 1);
    let usync = queries[0].find("usync").unwrap();
    assert_eq!(usync.str("context").unwrap(), "interactive");
    let protocols: Vec<String> =
        usync.find("query").unwrap().nodes().map(|p: &Node| p.tag.to_string()).collect();
    assert_eq!(protocols, ["contact", "lid", "business", "disappearing_mode", "username"]);
    // The negative answer counts a day, the positive one a week.
    tokio::time::sleep(std::time::Duration::from_secs(25 * 3600)).await;
    assert_eq!(check(ctx, &asked[..1]).await.unwrap(), [registered]);
    assert_eq!(world.router.asked(&a0, "usync").len(), 1);
    check(ctx, &asked[1..]).await.unwrap();
    assert_eq!(world.router.asked(&a0, "usync").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_numbers_are_refused_and_a_backoff_is_honoured() {
    let world = World::new();
    let a = world.account(1);
    let a0 = world.device(&a, 0).await;
    let ctx = &a0.messaging.ctx;
    assert!(matches!(check(ctx, &numbers(&["0151"])).await, Err(CheckError::BadNumber(_))));
    let many: Vec<String> = (0..21).map(|n| format!("+4915{n}")).collect();
    assert!(matches!(check(ctx, &many).await, Err(CheckError::TooMany)));
    check(ctx, &many[..20]).await.unwrap();
    assert!(matches!(check(ctx, &many[20..]).await, Err(CheckError::Later(wait)) if wait.as_secs() <= 60));
    assert_eq!(world.router.asked(&a0, "usync").len(), 1);
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    world.router.iq_fault("usync", IqFault::Refuse { code: 429, backoff: Some(300) });
    assert!(matches!(check(ctx, &many[20..]).await, Err(CheckError::Iq(_))));
    tokio::time::sleep(std::time::Duration::from_secs(290)).await;
    assert!(matches!(check(ctx, &many[20..]).await, Err(CheckError::Iq(_))));
    assert_eq!(world.router.asked(&a0, "usync").len(), 2, "not asked before its time");
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    assert_eq!(check(ctx, &many[20..]).await.unwrap(), [Registration::NotRegistered]);
}
