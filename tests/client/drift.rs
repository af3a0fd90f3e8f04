//! The drift report (protocol 09 §27 no. 22): every kind of unknown shape is counted once with its count, nothing fails,
//! and no value is found in it.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use palomar::client::Event;
use palomar::proto::edit::{Value, set};
use palomar::sim::PhoneContent;
use palomar::wire::Node;

use crate::world::{ANNA, BERT, Device, World};

/// Stands for every value.
const CANARY: &str = "Canary7";
/// What is logged of a new shape.
const NEW_SHAPE: &str = "this build does not know";

/// What of the whole process's log is of interest: other tests log beside this one.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if line.contains(CANARY) || line.contains(NEW_SHAPE) {
            self.0.lock().unwrap().push(line.into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sends a text to the device and waits for it: everything before it has been looked at.
async fn catch_up(world: &World, device: &Device, text: &str) {
    world.sim.admin().send_text(BERT, ANNA, text).await.unwrap();
    device
        .event(|delivery| match &delivery.event {
            Event::Message(message) if message.text.as_deref() == Some(text) => Some(()),
            _ => None,
        })
        .await;
    // The stanza's shape is looked at behind its answer.
    world.clock.sleep(Duration::from_secs(1)).await;
}

fn shapes(world: &World) -> Vec<String> {
    let report = world.drift.report();
    let lines = report.entries().iter();
    let mut lines: Vec<String> = lines
        .map(|entry| format!("{} x{} {} {}", entry.kind.name(), entry.count, entry.place, entry.name))
        .collect();
    lines.sort();
    lines
}

/// A stanza of every kind of unknown shape, a canary wherever a value may stand.
fn unknown_stanzas() -> Vec<Node> {
    let picture = || {
        Node::new("notification")
            .attr("type", "picture")
            .attr("from", "15550004444@s.whatsapp.net")
            .attr("id", CANARY)
    };
    vec![
        Node::new("hologram").attr("id", CANARY).attr("from", CANARY).text_bytes(CANARY),
        Node::new("notification")
            .attr("type", "tele_port")
            .attr("from", CANARY)
            .attr("id", CANARY)
            .attr("t", CANARY),
        Node::new("notification").attr("type", CANARY).attr("from", CANARY).attr("id", CANARY),
        Node::new("ib").child(Node::new("beam").attr("a", CANARY).text_bytes(CANARY)),
        Node::new("iq").attr("type", "get").attr("xmlns", "urn:new").attr("id", CANARY).attr("from", CANARY),
        Node::new("iq").attr("type", "get").attr("xmlns", CANARY).attr("id", CANARY),
        picture().attr("shade", CANARY),
        picture().child(Node::new("twist").attr("a", CANARY).text_bytes(CANARY)),
        Node::new("ack").attr("class", "message").attr("id", CANARY).attr("error", "499"),
        Node::new("presence").attr("from", "15550004444@s.whatsapp.net").attr("mood", CANARY),
    ]
}

/// A message with an unknown field, and in it a protocol message of an unknown type with another.
fn unknown_message() -> Vec<u8> {
    let canary = Value::Bytes(CANARY.as_bytes());
    let message = set(&[], &[4000], canary).unwrap();
    let message = set(&message, &[12, 77], canary).unwrap();
    set(&message, &[12, 2], Value::Varint(99)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn drift_every_unknown_shape_is_listed_once_with_its_count_and_no_value_is_anywhere() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .init();

    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    catch_up(&world, &device, "before").await;
    assert_eq!(shapes(&world), [""; 0]);
    let connection = world.connection().await;
    for _ in 0..2 {
        for stanza in unknown_stanzas() {
            world.sim.admin().inject(connection, stanza).await;
        }
        let content = PhoneContent::Message(unknown_message());
        world.sim.admin().send(BERT, ANNA, content, None).await.unwrap();
    }
    catch_up(&world, &device, "behind").await;
    assert_eq!(
        shapes(&world),
        [
            "attribute x2 notification.picture notification shade",
            "attribute x2 presence presence mood",
            "child x2 notification.picture notification twist",
            "code x2 ProtocolMessage.type 99",
            "code x2 ack@error 499",
            "field x2 Message 4000",
            "field x2 ProtocolMessage 77",
            "operation x2 - hologram",
            "operation x2 ib beam",
            "operation x2 iq xmlns=?",
            "operation x2 iq xmlns=urn:new",
            "operation x2 notification type=?",
            "operation x2 notification type=tele_port",
        ]
    );
    assert_eq!(world.connection().await, connection, "nothing fails");
    let report = serde_json::to_string(&world.drift.report()).unwrap();
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.iter().any(|line| line.contains("tele_port")), "new shapes are logged: {logged:?}");
    for line in logged.iter().chain([&report]) {
        assert!(!line.contains(CANARY) && !line.contains("1555000"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn drift_a_flood_of_new_names_is_bounded_and_delays_nothing() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let connection = world.connection().await;
    let name = |mut at: u32| {
        let mut name = String::from("x");
        while at > 0 {
            name.extend(char::from_u32(u32::from(b'a') + at % 26));
            at /= 26;
        }
        name
    };
    for round in 0..100 {
        let children = (0..60).map(|at| Node::new(name(round * 60 + at)));
        world.sim.admin().inject(connection, Node::new("ib").children(children)).await;
    }
    catch_up(&world, &device, "behind the flood").await;
    let report = world.drift.report();
    assert_eq!(report.entries().len(), 512);
    assert_eq!(report.entries().iter().map(|entry| entry.count).sum::<u64>(), 6000);
}
