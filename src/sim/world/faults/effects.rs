//! What faults do to connections: frames that are damaged, streams that end.

use std::io::Write as _;

use super::{Place, Scope, Strike};
use crate::sim::world::login::Failure;
use crate::sim::world::timers::Timer;
use crate::sim::world::{ConnectionId, DeviceRef, NetRule, Out, Refusal, World};
use crate::wire::{Jid, Node, encode};

/// What becomes of one frame on its way out; the writer does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Damage {
    /// F01: only so many bytes, then a reset.
    CutOff(usize),
    /// F03: a length of `declared`, `sent` bytes, then silence.
    Short { declared: usize, sent: usize },
    /// F04: one bit is flipped.
    Flipped,
    /// F05: sent twice.
    Replayed,
    /// F05: its counter is used up, it is not sent.
    Skipped,
    /// F12: a length of 16 MiB, a byte at a time.
    Trickled { byte_every_ms: u64 },
}

impl World {
    /// The faults that strike the next frame to a client: damage to this one, or a bad one before it.
    pub(crate) fn strike_frame(&mut self, id: ConnectionId) -> Option<Damage> {
        let place = self.place(id);
        let names = ["F01", "F03", "F04", "F05", "F12", "F13", "F14", "F15", "F16"];
        let strike = self.strike(&names, &place)?;
        let size = |key: &str, default: usize| {
            usize::try_from(strike.number(key, default as u64)).unwrap_or(default)
        };
        let damage = match (&*strike.fault, strike.kind) {
            ("F01", _) => Damage::CutOff(size("after_bytes", 10)),
            ("F03", _) => Damage::Short { declared: size("declared", 5000), sent: size("sent", 100) },
            ("F04", _) => Damage::Flipped,
            ("F05", "skip") => Damage::Skipped,
            ("F05", _) => Damage::Replayed,
            ("F12", _) => Damage::Trickled { byte_every_ms: strike.number("byte_every_ms", 100) },
            _ => {
                // A frame of its own: nothing of value is lost with it.
                self.out(id, Out::Plaintext(bad_plaintext(&strike)));
                return None;
            }
        };
        Some(damage)
    }

    /// The faults that strike live connections, and the server as a whole.
    pub(crate) fn strike_live(&mut self) {
        let live: Vec<ConnectionId> = self.sessions().map(|(id, _)| id).collect();
        for id in live {
            let place = self.place(id);
            let names = ["F02", "F17", "F21", "F22", "F23", "F24", "F39", "F41", "F53", "F55"];
            // F23's failure and F26 strike at logins.
            let here = |params: &serde_json::Map<String, serde_json::Value>| {
                params.get("kind").and_then(serde_json::Value::as_str) != Some("failure")
            };
            if let Some(strike) = self.strike_if(&names, &place, here) {
                self.do_live(id, &place, &strike);
            }
        }
        if let Some(strike) = self.strike(&["F07"], &Place::default()) {
            let down = i64::try_from(strike.number("down_ms", 5000)).unwrap_or(5000);
            self.faults.down_until = self.now_ms + down;
            let all: Vec<ConnectionId> = self.connections.keys().copied().collect();
            all.into_iter().for_each(|id| self.out(id, Out::Reset));
        }
    }

    /// F07: whether nobody is let in.
    pub(crate) fn is_down(&self) -> bool {
        self.now_ms < self.faults.down_until
    }

    fn do_live(&mut self, id: ConnectionId, place: &Place, strike: &Strike) {
        let conflict = |kind: &'static str| Node::new("conflict").attr("type", kind);
        let error = || Node::new("stream:error");
        let code = |default: u64| strike.number("code", default);
        match (&*strike.fault, strike.kind) {
            ("F02", _) => self.out(id, Out::HalfOpen),
            ("F17", kind) => {
                let node = self.unknown_shape(kind);
                self.write(id, node);
            }
            ("F21", _) => self.end_with(id, Some(error().attr("code", code(515))), 1000),
            ("F22", _) => self.end_with(id, Some(error().child(conflict("replaced"))), 100),
            ("F23", "no-conflict") => self.end_with(id, Some(error().attr("code", code(401))), 100),
            ("F23", _) => {
                let node = error().attr("code", code(401)).child(conflict("device_removed"));
                self.end_with(id, Some(node), 100);
            }
            ("F24", "xml-not-well-formed") => {
                self.end_with(id, Some(error().child(Node::new("xml-not-well-formed"))), 200);
            }
            ("F24", "ack") => {
                let ack = Node::new("ack").attr("class", "message").attr("id", "3EB0000000000000");
                self.end_with(id, Some(error().child(ack)), 200);
            }
            ("F24", "xmlstreamend") => self.end_with(id, Some(Node::new("xmlstreamend")), 100),
            ("F24", kind) => {
                let default = match kind {
                    "500" => 500,
                    "unknown" => 577,
                    _ => 503,
                };
                self.end_with(id, Some(error().attr("code", code(default))), 200);
            }
            ("F39", _) => {
                if let Some(device) = &place.device {
                    self.power(&device.number.clone(), false);
                }
            }
            ("F53" | "F55", _) => self.bad_network(id, strike),
            ("F41", _) => {
                if let Some(device) = &place.device {
                    // The account's own phone would unlink this client: its contacts' phones are set up anew.
                    let contacts = self.accounts.get(&device.number).map(|account| account.contacts.clone());
                    contacts.into_iter().flatten().for_each(|(number, _)| self.reinstall(&number));
                }
            }
            _ => {}
        }
    }

    /// F53, F55: a bad network to one connection, for a time.
    fn bad_network(&mut self, id: ConnectionId, strike: &Strike) {
        let slow = strike.fault == "F53";
        let share = |key: &str, default: f64| {
            let value = strike.params.get(key).and_then(serde_json::Value::as_f64).unwrap_or(default);
            value.clamp(0.0, 1.0)
        };
        let ms =
            |key: &str, default: u64| i64::try_from(strike.number(key, default)).unwrap_or(0).min(600_000);
        let every = strike.number("byte_every_ms", 100).max(1);
        let scope = Scope { connection: Some(id.to_string()), ..Scope::default() };
        let rule = NetRule {
            scope: scope.clone(),
            latency_ms: ms("latency_ms", if slow { 0 } else { 2000 }),
            jitter_ms: ms("jitter_ms", if slow { 0 } else { 1000 }),
            loss: share("loss", if slow { 0.0 } else { 0.05 }),
            rate_bytes_s: strike.number("rate_bytes_s", if slow { 1000_u64.div_ceil(every) } else { 0 }),
            chunk: usize::try_from(strike.number("chunk", u64::from(slow))).unwrap_or(0),
            reorder: share("reorder", 0.0),
        };
        self.set_net(rule);
        let ends = self.now_ms + ms("for_ms", 600_000);
        self.timers.set(ends, Timer::NetEnds(scope));
    }

    /// F17: a shape that nobody knows.
    fn unknown_shape(&mut self, kind: &str) -> Node {
        let id = self.next_id();
        let t = self.now_s();
        let notification = |kind: &'static str| {
            Node::new("notification")
                .attr("from", Jid::service())
                .attr("type", kind)
                .attr("id", id.clone())
                .attr("t", t)
        };
        match kind {
            "stanza" => Node::new("novelty").attr("from", Jid::service()).attr("id", id.clone()).attr("t", t),
            "ib" => Node::new("ib").attr("from", Jid::service()).child(Node::new("novelty")),
            "attribute" => notification("psa").attr("novelty", "1"),
            "child" => notification("psa").child(Node::new("novelty")),
            _ => notification("novelty"),
        }
    }

    /// F20: answers that belong to no question, beside the true one.
    pub(crate) fn strike_answers(&mut self, id: ConnectionId, iq: &Node) {
        let place = self.place(id);
        let Some(strike) = self.strike(&["F20"], &place) else { return };
        let asked = iq.str("id").unwrap_or_default().into_owned();
        let (from, asked) = match strike.kind {
            "unknown-id" => (Jid::service(), format!("{asked}-unknown")),
            "wrong-from" => (Jid::server_only(crate::wire::Server::Group), asked),
            _ => (Jid::service(), asked),
        };
        let answer = Node::new("iq").attr("from", from).attr("id", asked).attr("type", "result");
        if strike.kind == "second-answer" {
            self.timers.set(self.now_ms + 1, Timer::Write(id, Box::new(answer)));
        } else {
            self.write(id, answer);
        }
    }

    /// F23, F25, F26, F27: a login that is refused.
    pub(crate) fn strike_login(&mut self, id: ConnectionId, device: &DeviceRef) -> Result<(), Failure> {
        let place = Place { device: Some(device.clone()), ..self.place(id) };
        let failure = |params: &serde_json::Map<String, serde_json::Value>| {
            let fault = params.get("kind").and_then(serde_json::Value::as_str);
            fault.is_none() || fault == Some("failure")
        };
        let strike = self
            .strike(&["F25", "F26", "F27"], &place)
            .or_else(|| self.strike_if(&["F23"], &place, failure).filter(|strike| strike.kind == "failure"));
        let Some(strike) = strike else { return Ok(()) };
        let default = match &*strike.fault {
            "F23" => 401,
            "F25" => 503,
            "F26" => 429,
            _ => 402,
        };
        let mut failure = Failure::new(u16::try_from(strike.number("reason", default)).unwrap_or(503));
        let field = |key: &str, default: Option<u64>| match strike.params.get(key) {
            Some(value) => value.as_u64(),
            None => default,
        };
        let banned = (strike.fault == "F27").then_some(());
        failure.code = field("code", banned.map(|()| 101)).and_then(|code| u16::try_from(code).ok());
        failure.expire = field("expire", banned.map(|()| 3600));
        failure.backoff = field("backoff", (strike.fault == "F26").then_some(30));
        Err(failure)
    }

    /// F18, F19, F56: what the next matching IQ gets. `Some(None)` is no answer at all.
    pub(crate) fn strike_iq(&mut self, id: ConnectionId, iq: &Node) -> Option<Option<Node>> {
        let place = self.place(id);
        let child = iq.nodes().next().map(|child| child.tag.to_string()).unwrap_or_default();
        let (xmlns, kind) = (iq.str("xmlns").unwrap_or_default(), iq.str("type").unwrap_or_default());
        let matches = |params: &serde_json::Map<String, serde_json::Value>| {
            let is =
                |key: &str, value: &str| params.get(key).is_none_or(|wanted| wanted.as_str() == Some(value));
            is("xmlns", &xmlns) && is("child", &child) && is("type", &kind)
        };
        let strike = self.strike_if(&["F18", "F19", "F56"], &place, matches)?;
        if strike.fault == "F19" {
            return Some(None);
        }
        let default = if strike.fault == "F56" { 429 } else { 500 };
        let code = u16::try_from(strike.number("code", default)).unwrap_or(500);
        let text = strike.text("text").map_or_else(|| Refusal::text_of(code).to_owned(), str::to_owned);
        let limit = strike.params.get("rate_limit").and_then(serde_json::Value::as_object).map(|fields| {
            let text =
                |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fields
                .iter()
                .fold(Node::new("rate_limit"), |node, (key, value)| node.attr(key.clone(), text(value)))
        });
        let backoff = strike.params.get("backoff").and_then(serde_json::Value::as_u64);
        let error = Node::new("error")
            .attr("code", code)
            .attr("text", text)
            .opt_attr("backoff", backoff)
            .children(limit);
        Some(Some(error))
    }
}

/// The plaintext of a frame that no client should read (F13 to F16); the flag byte comes first.
fn bad_plaintext(strike: &Strike) -> Vec<u8> {
    let size = |default: usize| usize::try_from(strike.number("size", default as u64)).unwrap_or(default);
    let small = || encode(&Node::new("ib").child(Node::new("offline"))).unwrap_or_default();
    match (&*strike.fault, strike.kind) {
        // A list of 65535 empty strings, again and again: the count of nodes, not the bytes, is the bomb.
        ("F13", "children") => {
            let count = size(60_000).min(usize::from(u16::MAX));
            let [high, low] = u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes();
            let child = [0xf8, 0x01, 0x05];
            let head = [0, 0xf8, 0x02, 0x05, 0xf9, high, low];
            head.into_iter().chain(child.into_iter().cycle().take(count * child.len())).collect()
        }
        ("F13", "depth") => {
            let depth = size(10_000);
            let open = [0xf8, 0x02, 0x05, 0xf8, 0x01];
            std::iter::once(0)
                .chain(open.into_iter().cycle().take(depth * open.len()))
                .chain([0xf8, 1, 5])
                .collect()
        }
        ("F13", _) => {
            // Binary content with a 32-bit length that is not there.
            vec![0, 0xf8, 0x02, 0x05, 0xfe, 0x01, 0x00, 0x00, 0x00, 0x61]
        }
        ("F14", _) => {
            let mut zlib = flate2::write::ZlibEncoder::new(vec![2], flate2::Compression::fast());
            let zeros = vec![0; 1 << 20];
            // Writing into memory does not fail.
            (0..size(64 << 20).div_ceil(zeros.len())).for_each(|_| drop(zlib.write_all(&zeros)));
            zlib.finish().unwrap_or_default()
        }
        ("F15", kind) => {
            let mut zlib = flate2::write::ZlibEncoder::new(vec![2], flate2::Compression::default());
            drop(zlib.write_all(small().get(1..).unwrap_or_default()));
            let mut bytes = zlib.finish().unwrap_or_default();
            if kind == "trailing" {
                bytes.extend([1, 2, 3]);
            } else {
                bytes.truncate(bytes.len() / 2);
            }
            bytes
        }
        (_, "bad-nibble") => vec![0, 0xf8, 0x01, 0xff, 0x01, 0xcc],
        (_, "unknown-list") => vec![0, 0xf4],
        (_, "empty") => vec![0, 0xf8, 0x00],
        _ => vec![0, 0xf8, 0x01, 0xef, 0xff],
    }
}
