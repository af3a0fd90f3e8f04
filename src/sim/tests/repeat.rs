use crate::sim::world::testing::Lab;
use crate::wire::json::to_json;

/// Pairing, a message each way between companions, an unlinking: the whole traffic log as text.
fn run(seed: u64) -> String {
    let mut lab = Lab::with(|config| config.seed = seed);
    let (a, b) = (lab.account(), lab.account());
    let mut one = lab.companion(&a, 20);
    let two = lab.companion(&b, 20);
    let to = two.jid.clone().unwrap();
    let message = one.message("M", &to.without_device(), &[to]);
    one.send(&mut lab, message);
    lab.later(1000);
    lab.world.unlink(&crate::sim::DeviceRef { number: a, device: 1 });
    lab.later(200_000);
    let lines = lab.world.traffic.since(0).map(|item| format!("{} {}", item.at_ms, to_json(&item.node)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_same_seed_and_script_give_the_identical_traffic_log() {
    let first = run(1);
    assert!(first.lines().count() > 30, "{first}");
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
}
