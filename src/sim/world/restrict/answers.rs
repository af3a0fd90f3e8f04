//! What clients are told of restrictions: mex answers, the data of notifications, refused IQs.

use serde_json::{Value, json};

use super::{Timelock, World};
use crate::sim::world::Origin;
use crate::sim::world::iq::{Refusal, Reply};
use crate::wire::{Jid, Node};

/// The queries (09 §18 no. 5).
const TIMELOCK: &str = "23983697327930364";
const CAP: [&str; 2] = ["24503548349331633", "27910975521856601"];
const ANSWER_CHALLENGE: &str = "26230331493320650";

/// Between two of the same question.
const GAP_MS: i64 = 600_000;

/// The three fields; inactive exactly as the real service says it.
pub(super) fn timelock(lock: Option<&Timelock>) -> Value {
    match lock {
        None => json!({ "is_active": false, "time_enforcement_ends": "", "enforcement_type": null }),
        Some(lock) => {
            let ends = lock.until.map(|until| until.div_euclid(1000).to_string()).unwrap_or_default();
            json!({ "is_active": true, "time_enforcement_ends": ends, "enforcement_type": lock.kind })
        }
    }
}

pub(super) fn challenge(kind: &str) -> (&'static str, Value) {
    let fields = if kind == "PASSKEY" {
        json!({ "challenge_type": kind, "passkey_challenge": { "challenge_base64": "c2ltdWxhdG9y" } })
    } else {
        let captcha = json!({ "site_key": "sim", "challenge_url": "https://sim.invalid/captcha" });
        json!({ "challenge_type": kind, "captcha_challenge": captcha })
    };
    ("NotificationIntegrityChallengeRequest", json!({ "xwa2_notify_integrity_challenge": fields }))
}

pub(super) fn brigading(state: &str) -> (&'static str, Value) {
    ("NotificationUserBrigadingUpdate", json!({ "xwa2_notify_brigading": { "state": state } }))
}

impl World {
    /// The fields of the cap's answer and notification, as decimal strings.
    pub(super) fn cap_info(&self, number: &str) -> Value {
        let (now, seconds) = (self.now_s(), |ms: i64| ms.div_euclid(1000).to_string());
        match self.restricted(number).and_then(|kept| kept.cap.as_ref()) {
            Some(cap) => json!({
                "total_quota": cap.quota.to_string(), "used_quota": cap.used.to_string(),
                "cycle_start_timestamp": seconds(cap.start), "cycle_end_timestamp": seconds(cap.end),
                "server_sent_timestamp": now.to_string(), "capping_status": cap.status(),
                "ote_status": cap.ote, "mv_status": cap.mv,
            }),
            None => json!({
                "total_quota": "0", "used_quota": "0", "cycle_start_timestamp": "0",
                "cycle_end_timestamp": "0", "server_sent_timestamp": now.to_string(),
                "capping_status": "NONE", "ote_status": "NOT_ELIGIBLE", "mv_status": "NOT_ELIGIBLE",
            }),
        }
    }

    /// The queries of 05d §9.1, and what it looks like when a client answers a challenge.
    pub(crate) fn mex(&mut self, origin: &Origin, iq: &Node) -> Reply {
        let query = iq.find("query").and_then(|query| query.str("query_id")).unwrap_or_default().into_owned();
        let number = origin.device.number.clone();
        let data = if query == TIMELOCK {
            self.note_question(origin, "timelock");
            let lock = self.restricted(&number).and_then(|kept| kept.timelock.as_ref());
            json!({ "xwa2_fetch_account_reachout_timelock": timelock(lock) })
        } else if CAP.contains(&query.as_str()) {
            self.note_question(origin, "cap");
            json!({ "xwa2_message_capping_info": self.cap_info(&number) })
        } else if query == ANSWER_CHALLENGE {
            self.rule_fault(origin, "challenge-answered", "a challenge was answered".to_owned());
            let answer = json!({ "success": false, "error_message": "simulator" });
            json!({ "xwa2_submit_integrity_challenge_response": answer })
        } else {
            let unknown = json!({ "message": "unknown query", "extensions": { "error_code": 404 } });
            let answer = json!({ "data": null, "errors": [unknown] });
            return Ok(vec![Node::new("result").text_bytes(&answer.to_string())]);
        };
        Ok(vec![Node::new("result").text_bytes(&json!({ "data": data }).to_string())])
    }

    /// One of the two questions was asked: the client knows the answer, and may not ask again so soon (R16).
    fn note_question(&mut self, origin: &Origin, part: &str) {
        let (now, number) = (self.now_ms, origin.device.number.as_str());
        let kept = self.restricted.entry(number.to_owned()).or_default();
        let device = format!("{part}:{}", origin.device.device);
        let last = kept.asked.insert(device, now);
        self.known(number, part);
        if last.is_some_and(|last| now - last < GAP_MS) {
            self.rule_fault(origin, "restriction-poll", format!("{part} asked twice within ten minutes"));
        }
    }

    /// A group IQ that a restriction refuses; `true`: it is answered.
    pub(crate) fn refuse_group_iq(&mut self, origin: &Origin, iq: &Node, kind: &str, child: &str) -> bool {
        let Some(connection) = origin.connection.filter(|_| kind == "set") else { return false };
        let number = origin.device.number.clone();
        let Some(kept) = self.restricted(&number) else { return false };
        if kept.group_block.is_some_and(|all| all || matches!(child, "promote" | "demote")) {
            self.under_restriction(origin, "group_block");
            self.known(&number, "group_block");
            self.write(connection, refused(iq, 486, "blocked-integrity-enforcement", None));
            return true;
        }
        let limited = matches!(child, "add" | "create");
        let Some(limit) = kept.group_limit.clone().filter(|_| limited) else { return false };
        let group = iq.jid("to").filter(Jid::is_group).map(|group| group.to_string());
        if limit.by_group && (group.is_none() || limit.group.is_some() && limit.group != group) {
            return false;
        }
        let people = iq.nodes().next().map_or(0, |child| child.find_all("participant").count());
        let element = Node::new("rate_limit");
        let element = match (limit.participants, limit.until) {
            (Some(most), _) if people > most as usize => element.attr("participant_limit", most.to_string()),
            (None, Some(until)) if until > self.now_ms => element
                .attr("backoff", ((until - self.now_ms) / 1000).max(1).to_string())
                .attr("type", if limit.by_group { "group" } else { "user" }),
            _ => return false,
        };
        if limit.by_group
            && let Some(limit) = self.restricted.get_mut(&number).and_then(|kept| kept.group_limit.as_mut())
        {
            limit.group = group;
        }
        self.under_restriction(origin, "group_limit");
        self.known(&number, "group_limit");
        self.write(connection, refused(iq, 429, Refusal::RATE_OVERLIMIT.text, Some(element)));
        true
    }

    /// The protocols of a usync that rest, with the seconds that are left. Those that an impatient person asks for
    /// (`interactive`) are refused as well, but no fault.
    pub(crate) fn resting_protocols(&mut self, origin: &Origin, request: &Node) -> Vec<(String, i64)> {
        let now = self.now_ms;
        let Some(kept) = self.restricted(&origin.device.number).filter(|_| origin.connection.is_some())
        else {
            return Vec::new();
        };
        let asked =
            |protocol: &str| request.find("query").is_some_and(|query| query.find(protocol).is_some());
        let resting: Vec<(String, i64)> = kept
            .usync
            .iter()
            .filter(|(protocol, until)| **until > now && asked(protocol))
            .map(|(protocol, until)| (protocol.clone(), ((until - now) / 1000).max(1)))
            .collect();
        if !resting.is_empty() {
            if request.str("context").as_deref() != Some("interactive") {
                self.under_restriction(origin, "usync");
            }
            self.known(&origin.device.number, "usync");
        }
        resting
    }
}

/// `<error code="429">` of a resting protocol.
pub(crate) fn resting(protocol: &str, seconds: i64) -> Node {
    let error = Node::new("error")
        .attr("code", "429")
        .attr("text", Refusal::RATE_OVERLIMIT.text)
        .attr("backoff", seconds.to_string());
    Node::new(protocol.to_owned()).child(error)
}

fn refused(iq: &Node, code: u16, text: &'static str, child: Option<Node>) -> Node {
    let from = iq.jid("to").unwrap_or_else(Jid::service);
    let error = Node::new("error").attr("code", code.to_string()).attr("text", text).children(child);
    Node::new("iq")
        .attr("from", from)
        .attr("id", iq.str("id").unwrap_or_default().into_owned())
        .attr("type", "error")
        .child(error)
}
