//! The admin API over HTTP (09 §21).

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::sim::{SimConfig, Simulator};

pub(super) struct Api {
    pub sim: Simulator,
    token: Option<&'static str>,
}

impl Api {
    pub async fn start() -> Self {
        Self { sim: Simulator::start(SimConfig::ephemeral(1)).await.unwrap(), token: None }
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.sim.admin().info().admin.unwrap()).await.unwrap();
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let auth = self.token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n{auth}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{path}: {answer}")))
    }

    pub async fn ok(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{path}: {answer}");
        answer
    }

    pub async fn fails(&self, method: &str, path: &str, body: Option<Value>, code: &str) {
        let (status, answer) = self.call(method, path, body).await;
        assert!((400..600).contains(&status), "{path}: {status}");
        assert_eq!(
            (&answer["ok"], &answer["error"]["code"]),
            (&json!(false), &json!(code)),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn every_call_answers_in_its_shape() {
    let api = Api::start().await;
    let info = api.ok("GET", "/v1/info", None).await;
    assert_eq!(info["root_key"].as_str().unwrap().len(), 64);
    assert_eq!(info["root_serial"], 0);
    let a = api.ok("POST", "/v1/accounts", Some(json!({"push_name": "Ann", "wait_ms": 100}))).await;
    let b = api
        .ok("POST", "/v1/accounts", Some(json!({"number": "15557654321", "phone": {"online": true}})))
        .await;
    assert_eq!((a["push_name"].as_str(), b["number"].as_str()), (Some("Ann"), Some("15557654321")));
    let a = a["number"].as_str().unwrap().to_owned();
    let sent = api
        .ok("POST", &format!("/v1/accounts/{a}/send"), Some(json!({"to": "15557654321", "text": "hi"})))
        .await;
    assert_eq!(sent["targets"], json!(["15557654321@s.whatsapp.net"]));
    let inbox = api.ok("GET", "/v1/accounts/15557654321/inbox?wait_ms=2000", None).await;
    assert_eq!((inbox["items"][0]["text"].as_str(), inbox["cursor"].as_str()), (Some("hi"), Some("1")));
    let outbox = api.ok("GET", &format!("/v1/accounts/{a}/outbox"), None).await;
    assert_eq!(outbox["items"][0]["receipts"][0]["type"], json!("delivered"));
    let id = sent["id"].clone();
    let read = json!({"ids": [id], "chat": a, "type": "read"});
    api.ok("POST", "/v1/accounts/15557654321/receipt", Some(read)).await;
    let outbox = api.ok("GET", &format!("/v1/accounts/{a}/outbox"), None).await;
    assert_eq!(outbox["items"][0]["receipts"][1]["type"], json!("read"));
    for (path, body) in [
        ("power", json!({"online": false})),
        ("power", json!({"online": true})),
        ("push-name", json!({"name": "Bob"})),
        ("presence", json!({"type": "available"})),
        ("chatstate", json!({"to": a, "state": "composing"})),
        ("drop-session", json!({"device": format!("{a}@s.whatsapp.net")})),
        ("kick", json!({"how": "close"})),
        ("ban", json!({"reason": 402})),
        ("unban", json!({})),
        ("reinstall", json!({})),
        ("unlink", json!({"all": true})),
    ] {
        api.ok("POST", &format!("/v1/accounts/15557654321/{path}"), Some(body)).await;
    }
    let group = json!({"subject": "We", "creator": a, "members": ["15557654321"]});
    let group = api.ok("POST", "/v1/groups", Some(group)).await;
    assert!(group["jid"].as_str().unwrap().ends_with("@g.us"));
    let judged = api.ok("GET", "/v1/judge", None).await;
    assert_eq!(judged["accounts"], json!([]));
    let stanza = json!({"node": {"tag": "ib", "attrs": [["colour", "blue"]]}});
    let judged = api.ok("POST", "/v1/judge", Some(stanza)).await;
    assert_eq!(judged["verdict"], json!("unlike"));
    api.fails("POST", "/v1/judge", Some(json!({"node": {"attrs": []}})), "bad-body").await;
    let rules = api.ok("PUT", "/v1/rules", Some(json!({"R15": {"mode": "off"}}))).await;
    assert_eq!(rules["R15"]["mode"], json!("off"));
    api.fails("PUT", "/v1/rules", Some(json!({"R99": {"mode": "off"}})), "unknown-field").await;
    api.ok("PUT", "/v1/cert", Some(json!({"mode": "expired"}))).await;
    let clock = api.ok("POST", "/v1/clock", Some(json!({"advance_ms": 60_000}))).await;
    assert!(clock["now_ms"].as_i64().is_some());
    assert_eq!(api.ok("GET", "/v1/connections", None).await["connections"], json!([]));
    assert_eq!(api.ok("GET", "/v1/traffic", None).await["items"], json!([]));
    assert_eq!(api.ok("GET", "/v1/violations", None).await["sim_exit_code"], json!(0));
    api.ok("DELETE", "/v1/violations", None).await;
    let absent = json!({"account": a, "match": {"tag": "iq"}, "within_ms": 10, "absent": true});
    api.ok("POST", "/v1/expect", Some(absent)).await;
    let inject = json!({"connection": "1", "node": {"tag": "ib", "attrs": []}});
    api.fails("POST", "/v1/inject", Some(inject), "not-found").await;
    api.ok("DELETE", "/v1/accounts/15557654321", None).await;
    api.ok("POST", "/v1/reset", Some(json!({"keep": ["accounts"]}))).await;
    assert_eq!(api.ok("GET", "/v1/accounts", None).await["accounts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn proves_09_27_14_unknown_ids_fields_and_calls_are_errors() {
    let api = Api::start().await;
    let a = api.ok("POST", "/v1/accounts", None).await["number"].as_str().unwrap().to_owned();
    api.fails("GET", "/v1/accounts/1", None, "not-found").await;
    api.fails("GET", "/v1/nothing", None, "not-found").await;
    api.fails("GET", "/v1/connections/7", None, "not-found").await;
    api.fails("POST", "/v1/accounts", Some(json!({"nmuber": "1"})), "unknown-field").await;
    api.fails("POST", "/v1/accounts", Some(json!({"number": a})), "bad-account").await;
    api.fails("POST", "/v1/clock", Some(json!({})), "bad-body").await;
    api.fails("POST", &format!("/v1/accounts/{a}/scan-qr"), Some(json!({"qr": "x"})), "bad-qr").await;
    api.fails("POST", &format!("/v1/accounts/{a}/enter-code"), Some(json!({"code": "12345678"})), "bad-code")
        .await;
    api.fails(
        "POST",
        &format!("/v1/accounts/{a}/send"),
        Some(json!({"to": "x@", "text": ""})),
        "bad-address",
    )
    .await;
    api.fails("POST", &format!("/v1/accounts/{a}/send"), Some(json!({"to": "1"})), "bad-body").await;
    api.fails("POST", &format!("/v1/accounts/{a}/unlink"), Some(json!({"device": 4})), "not-found").await;
    api.ok("POST", &format!("/v1/accounts/{a}/power"), Some(json!({"online": false}))).await;
    let send = json!({"to": "15550000000", "text": "x"});
    api.fails("POST", &format!("/v1/accounts/{a}/send"), Some(send), "phone-offline").await;
    let absent = json!({"account": a, "match": {"tag": "iq"}, "within_ms": 10});
    api.fails("POST", "/v1/expect", Some(absent), "expectation-failed").await;
}

#[tokio::test]
async fn a_configured_token_is_demanded() {
    let config = SimConfig { admin_token: Some("secret".to_owned()), ..SimConfig::ephemeral(1) };
    let mut api = Api { sim: Simulator::start(config).await.unwrap(), token: None };
    api.fails("GET", "/v1/info", None, "unauthorized").await;
    api.token = Some("wrong!");
    api.fails("GET", "/v1/info", None, "unauthorized").await;
    api.token = Some("secret");
    api.ok("GET", "/v1/info", None).await;
}

#[tokio::test]
async fn proves_09_27_14_fifty_parallel_callers_are_served() {
    let api = std::sync::Arc::new(Api::start().await);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let api = std::sync::Arc::clone(&api);
        calls.spawn(async move { api.ok("POST", "/v1/accounts", None).await["number"].clone() });
    }
    let numbers = calls.join_all().await;
    let distinct: std::collections::BTreeSet<String> = numbers.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), 50);
}

#[tokio::test]
async fn events_stream_what_happens() {
    let api = Api::start().await;
    let mut stream = TcpStream::connect(api.sim.admin().info().admin.unwrap()).await.unwrap();
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: sim\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    let mut read = async |until: &str| {
        while !String::from_utf8_lossy(&seen).contains(until) {
            seen.push(stream.read_u8().await.unwrap());
        }
    };
    read("text/event-stream").await;
    let client = TcpStream::connect(api.sim.admin().info().chat.unwrap()).await.unwrap();
    let mut keys = super::Keys::new("a");
    let payload = keys.companion.register_payload();
    let now = api.sim.clock().wall_s();
    let wire = super::handshake(client, &mut keys, api.sim.root_key(), now, &payload).await.unwrap();
    read("pair-device").await;
    drop(wire);
}

#[tokio::test]
async fn judge_a_stanza_and_a_message_are_judged_over_the_api() {
    let api = Api::start().await;
    let attrs = json!([["id", "1"], ["to", {"jid": "s.whatsapp.net"}], ["type", "get"], ["xmlns", "w:p"]]);
    let node = json!({"tag": "iq", "attrs": attrs});
    let good = api.ok("POST", "/v1/judge", Some(json!({"node": node}))).await;
    assert_eq!((&good["verdict"], &good["payloads"]), (&json!("like"), &json!([])));
    let hello = json!({"conversation": "hello"});
    let good = api.ok("POST", "/v1/judge", Some(json!({"message": hello}))).await;
    assert_eq!((&good["verdict"], &good["op"]), (&json!("like"), &json!(null)));
    assert_eq!(good["payloads"], json!([{"device": null, "findings": []}]));
    let two = api.ok("POST", "/v1/judge", Some(json!({"message": "0a017832030a0179"}))).await;
    assert_eq!(two["payloads"][0]["findings"][0]["what"], "contents");
    let meta = json!({"type": "media", "own": true});
    let body = json!({"message": hello, "to": "15550002222@s.whatsapp.net", "meta": meta});
    let around = api.ok("POST", "/v1/judge", Some(body)).await;
    let whats: Vec<_> =
        around["payloads"][0]["findings"].as_array().unwrap().iter().map(|f| f["what"].clone()).collect();
    assert_eq!(whats, ["wrapper", "attributes"]);
    assert_eq!(around["verdict"], "unlike");
    let both = json!({"node": node, "message": hello});
    for body in [json!({}), both, json!({"message": "xyz"}), json!({"message": hello, "to": "@@"})] {
        api.fails("POST", "/v1/judge", Some(body), "bad-body").await;
    }
    let info = api.ok("GET", "/v1/info", None).await;
    assert_eq!((&info["stanza_table"]["file"], &info["stanza_table"]["rows"]), (&json!(null), &json!(4102)));
    let traffic = api.ok("GET", "/v1/traffic?verdict=unlike", None).await;
    assert_eq!(traffic["items"], json!([]));
}
