//! Many at once (09 §27 no. 5).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock::Clock;
use crate::sim::DeviceRef;
use crate::sim::shared::Shared;
use crate::sim::world::Origin;
use crate::sim::world::testing::{Lab, START};
use crate::wire::{Jid, Node};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn proves_09_27_05_sixteen_tasks_never_get_the_same_one_time_key() {
    const TASKS: usize = 16;
    const EACH: usize = 625;
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut owner = lab.companion(&a, 20);
    // The 20 of the link, of which the phone took one, and 10 001 more.
    owner.upload(&mut lab, 21..=10_021);
    owner.drain();
    let jid = Jid::pn(&a).unwrap().with_device(1);
    let shared = Arc::new(Shared::new(lab.world, Clock::starting_at(START), None));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let (shared, jid, by) =
            (Arc::clone(&shared), jid.clone(), DeviceRef { number: b.clone(), device: 0 });
        tasks.spawn(async move {
            let origin = Origin { device: by, connection: None };
            let iq = Node::new("iq").child(Node::new("key").child(Node::new("user").attr("jid", jid)));
            let mut ids = Vec::new();
            for _ in 0..EACH {
                let answer = shared.with(|world| world.fetch_bundles(&origin, &iq)).unwrap();
                let user = answer[0].find("user").unwrap();
                ids.push(user.find("key").unwrap().find("id").unwrap().content_bytes().unwrap().into_owned());
                tokio::task::yield_now().await;
            }
            ids
        });
    }
    let all: Vec<Vec<u8>> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), TASKS * EACH);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each key once");
    let left = shared.look(|world| {
        world.device(&DeviceRef { number: a, device: 1 }).unwrap().keys.as_ref().unwrap().one_time.len()
    });
    assert_eq!(left, 20);
    assert!(owner.drain().is_empty(), "no low notification before the crossing");
}
