//! A simulator that is stopped and started on its state (09 §2).

use crate::sim::state::Mirror;
use crate::sim::world::World;
use crate::sim::world::testing::{Lab, START};
use crate::sim::{NewAccount, SimConfig, Simulator};

#[test]
fn a_restarted_world_keeps_accounts_links_keys_and_queues() {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut one = lab.companion(&a, 20);
    let mut two = lab.companion(&b, 20);
    two.disconnect(&mut lab);
    let to = two.jid.clone().unwrap();
    let message =
        one.message("M", &to.without_device(), std::slice::from_ref(&to)).attr("device_fanout", "false");
    one.send(&mut lab, message);
    let mut mirror = Mirror::default();
    lab.world.collect(&mut mirror).unwrap();
    let tree = mirror.tree();

    let config = SimConfig::in_memory(1, START);
    let mut lab = Lab { world: World::restore(config, START, tree.clone()).unwrap() };
    two.login(&mut lab, false);
    two.take("success");
    lab.later(500);
    let got = two.find(|node| node.tag == "message" && node.str("id").as_deref() == Some("M"));
    assert!(got.get("offline").is_some());
    let left = two.iq(&mut lab, "encrypt", "get", crate::wire::Node::new("count"));
    assert_eq!(left.find("count").unwrap().u64("value"), Some(19), "the phone took one");
    let id = lab.account();
    assert!(id != a && id != b);
    assert!(World::restore(SimConfig::in_memory(2, START), START, tree.clone()).is_err(), "another seed");
}

#[tokio::test]
async fn a_simulator_with_a_state_folder_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let config = || SimConfig { state_dir: Some(dir.path().to_owned()), ..SimConfig::ephemeral(5) };
    let sim = Simulator::start(config()).await.unwrap();
    let number = sim.admin().create_account(NewAccount::default()).await.unwrap().number;
    let other = sim.admin().create_account(NewAccount::default()).await.unwrap().number;
    sim.admin().send_text(&number, &other, "before").await.unwrap();
    let (root, ca) = (sim.root_key(), sim.ca_pem().to_owned());
    sim.stop().await.unwrap();

    let sim = Simulator::start(config()).await.unwrap();
    assert_eq!((sim.root_key(), sim.ca_pem()), (root, &*ca));
    sim.admin().send_text(&number, &other, "after").await.unwrap();
    let texts: Vec<_> =
        sim.admin().inbox(&other, 0).await.unwrap().into_iter().map(|item| item.text).collect();
    assert_eq!(texts, [Some("before".to_owned()), Some("after".to_owned())]);
}
