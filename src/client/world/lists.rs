//! The own device list as the server tells it (protocol 05a §3, 05c §3).

use super::{Account, Device, World};
use crate::client::devices::devices_of;
use crate::crypto::{KeyPair, os_rng, random_bytes};
use crate::signal::adv::Hosting;
use crate::signal::adv::key_index::KeyIndexList;
use crate::wire::Node;

/// Tells a device that its account has these devices, in a list that `by` signs.
async fn tell(world: &World, to: &Device, account: &Account, by: &KeyPair, ids: &[u16], ts: u64) {
    let signed = KeyIndexList {
        raw_id: 5,
        timestamp: ts,
        current_index: 50,
        valid_indexes: ids.iter().map(|id| u32::from(*id)).collect(),
        account: Hosting::Plain,
    };
    let signed = signed.sign(by, false, &random_bytes(&mut os_rng()));
    let device = |id: &u16| {
        let jid = account.pn.with_device(*id).in_device_form();
        Node::new("device").attr("jid", jid).opt_attr("key-index", (*id != 0).then_some(*id))
    };
    let devices = Node::new("devices")
        .children(ids.iter().map(device))
        .child(Node::new("key-index-list").attr("ts", ts).bytes(signed));
    let notification = Node::new("notification")
        .attr("from", &account.pn)
        .attr("id", ts.to_string())
        .attr("type", "account_sync")
        .attr("t", ts)
        .child(devices);
    to.messaging.stanza(notification).await;
    world.settle().await;
}

async fn known(device: &Device, account: &Account) -> Vec<u16> {
    let lid = account.lid.clone();
    let listed = device.store.read(move |tx| devices_of(tx, &lid)).await.unwrap();
    listed.unwrap_or_default().iter().map(|jid| jid.device()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_own_list_counts_if_the_own_phone_has_signed_it() {
    let world = World::new();
    let a = world.account(1);
    let (_a0, a1) = (world.device(&a, 0).await, world.device(&a, 1).await);
    tell(&world, &a1, &a, &a.phone, &[0, 1, 2], 1_760_000_100).await;
    assert_eq!(known(&a1, &a).await, [0, 1, 2]);
    let stranger = KeyPair::generate(&mut os_rng());
    tell(&world, &a1, &a, &stranger, &[0, 1, 2, 3], 1_760_000_200).await;
    assert_eq!(known(&a1, &a).await, [0, 1, 2], "a stranger's signature changes nothing");
    tell(&world, &a1, &a, &a.phone, &[0, 1, 2, 4], 1_760_000_050).await;
    assert_eq!(known(&a1, &a).await, [0, 1, 2], "nor does an older list");
    tell(&world, &a1, &a, &a.phone, &[0, 1], 1_760_000_300).await;
    assert_eq!(known(&a1, &a).await, [0, 1]);
}
