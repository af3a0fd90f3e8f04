//! Every admin call against the table of 09 §21: its fields, its errors, its waiting (09 §27 no. 14).

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::api::Api;

/// The keys of an object.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect()
}

fn assert_has(value: &Value, wanted: &[&str], of: &str) {
    for key in wanted {
        assert!(keys(value).contains(key), "{of} has no {key}: {value}");
    }
}

struct Two {
    api: Api,
    a: String,
    b: String,
}

impl Two {
    async fn new() -> Self {
        let api = Api::start().await;
        let mut numbers = Vec::new();
        for _ in 0..2 {
            let made = api.ok("POST", "/v1/accounts", None).await;
            numbers.push(made["number"].as_str().unwrap().to_owned());
        }
        let [a, b] = numbers.try_into().unwrap();
        Self { api, a, b }
    }

    async fn a(&self, call: &str, body: Value) -> Value {
        self.api.ok("POST", &format!("/v1/accounts/{}/{call}", self.a), Some(body)).await
    }

    async fn b(&self, call: &str, body: Value) -> Value {
        self.api.ok("POST", &format!("/v1/accounts/{}/{call}", self.b), Some(body)).await
    }

    async fn get(&self, path: &str) -> Value {
        self.api.ok("GET", path, None).await
    }

    async fn last_of_b(&self) -> Value {
        let inbox = self.get(&format!("/v1/accounts/{}/inbox", self.b)).await;
        inbox["items"].as_array().unwrap().last().unwrap().clone()
    }
}

#[tokio::test]
async fn proves_09_27_14_accounts_messages_and_connections_have_the_shapes_of_the_table() {
    let two = Two::new().await;
    let account = two.get(&format!("/v1/accounts/{}", two.a)).await;
    let fields = [
        "number",
        "lid",
        "push_name",
        "about",
        "picture_id",
        "profile",
        "restricted",
        "business",
        "privacy",
        "blocked",
        "phone",
        "devices",
        "groups",
        "appstate",
    ];
    assert_has(&account, &fields, "account");
    assert_has(&account["phone"], &["online", "platform", "clock_offset_s"], "phone");
    assert_eq!(two.a("devices", json!({"count": 1})).await["devices"], json!([1]));
    let account = two.get(&format!("/v1/accounts/{}", two.a)).await;
    let fields = [
        "device",
        "jid",
        "lid",
        "key_index",
        "platform",
        "os",
        "paired_at",
        "connection",
        "queue",
        "prekeys",
        "virtual",
    ];
    assert_has(&account["devices"][0], &fields, "device");
    assert!(account["devices"][0]["paired_at"].is_string());

    let sent = two.a("send", json!({"to": two.b, "text": "hi", "id": "3EB0AA"})).await;
    assert_eq!((keys(&sent), &sent["id"]), (vec!["ok", "id", "targets"], &json!("3EB0AA")));
    let item = two.last_of_b().await;
    let fields = [
        "id",
        "chat",
        "from",
        "device",
        "t",
        "kind",
        "text",
        "proto",
        "enc_type",
        "decrypt_ok",
        "receipts_sent",
    ];
    assert_has(&item, &fields, "inbox item");
    assert_eq!((&item["proto"]["conversation"], item["t"].is_string()), (&json!("hi"), true));
    assert_eq!(item["receipts_sent"], json!(["delivered"]));
    let outbox = two.get(&format!("/v1/accounts/{}/outbox", two.a)).await;
    assert_has(&outbox["items"][0], &["id", "to", "t", "ack", "receipts", "retries"], "outbox item");
    assert_has(&outbox["items"][0]["ack"], &["t", "error"], "ack");
    assert_has(&outbox["items"][0]["receipts"][0], &["device", "type", "t"], "receipt");

    let mut keys = super::Keys::new("a");
    let client = TcpStream::connect(two.api.sim.admin().info().chat.unwrap()).await.unwrap();
    let (now, root) = (two.api.sim.clock().wall_s(), two.api.sim.root_key());
    let payload = keys.companion.register_payload();
    let mut wire = super::handshake(client, &mut keys, root, now, &payload).await.unwrap();
    wire.take("iq").await;
    let connections = two.get("/v1/connections").await;
    let fields = [
        "id",
        "account",
        "device",
        "state",
        "source",
        "origin",
        "user_agent",
        "payload",
        "opened_at",
        "stanzas_in",
        "stanzas_out",
        "bytes_in",
        "bytes_out",
        "last_in_at",
        "last_out",
    ];
    let connection = &connections["connections"][0];
    assert_has(connection, &fields, "connection");
    assert!(connection["bytes_out"].as_u64().unwrap() > 0);
    assert!(connection["payload"]["devicePairingData"].is_object(), "{connection}");
    let id = connection["id"].as_str().unwrap();
    assert_eq!(two.get(&format!("/v1/connections/{id}")).await["id"], json!(id));
    let traffic = two.get("/v1/traffic?tag=iq").await;
    let fields = ["cursor", "at_ms", "connection", "account", "device", "dir", "node"];
    assert_has(&traffic["items"][0], &fields, "traffic item");
    assert_eq!(two.get("/v1/traffic?verdict=like").await["items"], json!([]));
    let node = json!({"tag": "ib", "attrs": [["from", {"jid": "s.whatsapp.net"}]]});
    two.api.ok("POST", "/v1/inject", Some(json!({"connection": id, "node": node}))).await;
    assert!(wire.take("ib").await.jid("from").is_some());
}

#[tokio::test]
async fn proves_09_27_14_what_a_phone_sends_arrives_as_it_was_ordered() {
    let two = Two::new().await;
    let first = two.a("send", json!({"to": two.b, "text": "first"})).await["id"].clone();
    let answer = json!({"to": two.b, "text": "second", "quote": {"id": first}});
    two.a("send", answer).await;
    let quoted = two.last_of_b().await;
    assert_eq!(quoted["text"], json!("second"));
    let context = &quoted["proto"]["extendedTextMessage"]["contextInfo"];
    assert_eq!((&context["stanzaId"], &context["quotedMessage"]["conversation"]), (&first, &json!("first")));

    let message = json!({"extendedTextMessage": {"text": "by proto"}});
    two.a("send", json!({"to": two.b, "message": message})).await;
    assert_eq!(two.last_of_b().await["text"], json!("by proto"));
    two.a("send", json!({"to": two.b, "poll": {"name": "Tea?", "options": ["yes", "no"]}})).await;
    let poll = two.last_of_b().await;
    assert_eq!(poll["proto"]["pollCreationMessageV3"]["options"][1]["optionName"], json!("no"));
    two.a("send", json!({"to": two.b, "react": {"id": first, "emoji": "👍"}})).await;
    assert_eq!(two.last_of_b().await["proto"]["reactionMessage"]["text"], json!("👍"));
    two.a("send", json!({"to": two.b, "edit": {"id": first, "text": "better"}})).await;
    assert_eq!(two.last_of_b().await["text"], json!("better"));
    two.a("send", json!({"to": two.b, "revoke": {"id": first, "participant": two.a}})).await;
    assert_eq!(two.last_of_b().await["proto"]["protocolMessage"]["type"], json!("REVOKE"));

    let path = format!("/v1/accounts/{}/send", two.a);
    for (body, code) in [
        (json!({"to": two.b, "revoke": {"id": first, "participant": two.b}}), "not-found"),
        (json!({"to": two.b, "react": {"id": "nothing", "emoji": "x"}}), "not-found"),
        (json!({"to": two.b, "media": {"kind": "image", "base64": ""}}), "not-implemented"),
        (json!({"to": two.b, "message": {"colour": 1}}), "bad-body"),
        (json!({"to": two.b, "text": "a", "poll": {"name": "b", "options": []}}), "bad-body"),
        (json!({"to": two.b, "text": "a", "colour": 1}), "unknown-field"),
    ] {
        two.api.fails("POST", &path, Some(body), code).await;
    }
}

#[tokio::test]
async fn proves_09_27_14_a_person_changes_profile_calls_and_keys() {
    let two = Two::new().await;
    let change = json!({
        "about": "busy", "picture": {"base64": "/9j/4A=="}, "privacy": {"last": "none"}, "block": [two.b],
        "default_timer_s": 86_400,
    });
    two.a("profile", change).await;
    let account = two.get(&format!("/v1/accounts/{}", two.a)).await;
    assert_eq!((&account["about"], &account["privacy"]), (&json!("busy"), &json!({"last": "none"})));
    assert!(account["picture_id"].is_string());
    assert_eq!(account["blocked"].as_array().unwrap().len(), 1);
    two.a("profile", json!({"picture": null, "unblock": [two.b]})).await;
    let account = two.get(&format!("/v1/accounts/{}", two.a)).await;
    assert_eq!((&account["picture_id"], &account["blocked"]), (&Value::Null, &json!([])));
    let call = two.a("call", json!({"to": two.b, "action": "offer", "video": true})).await["call_id"].clone();
    assert_eq!(call.as_str().unwrap().len(), 32);
    two.a("call", json!({"to": two.b, "action": "terminate", "call_id": call, "reason": "timeout"})).await;
    two.a("rotate-appstate-key", json!({})).await;
    two.a("push-name", json!({"name": "Ann"})).await;
    two.b("presence", json!({"type": "available"})).await;
    two.b("chatstate", json!({"to": two.a, "state": "paused"})).await;
    two.a("power", json!({"online": false})).await;
    let path = format!("/v1/accounts/{}/profile", two.a);
    two.api.fails("POST", &path, Some(json!({"about": "away"})), "phone-offline").await;
    two.api.fails("POST", &path, Some(json!({"picture": {"base64": "!"}})), "bad-body").await;
    for path in ["appstate", "history"] {
        two.api.fails("POST", &format!("/v1/accounts/{}/{path}", two.a), None, "not-implemented").await;
        two.api.fails("POST", &format!("/v1/accounts/1/{path}"), None, "not-found").await;
    }
}

#[tokio::test]
async fn proves_09_27_14_a_group_is_changed_by_a_members_phone() {
    let two = Two::new().await;
    let made = json!({"subject": "We", "creator": two.a, "members": [two.b]});
    let group = two.api.ok("POST", "/v1/groups", Some(made)).await["jid"].as_str().unwrap().to_owned();
    let change = async |action: &str, body: Value| {
        two.api.ok("POST", &format!("/v1/groups/{group}/{action}"), Some(body)).await
    };
    let done = change("promote", json!({"members": [two.b]})).await;
    assert_eq!(done["participants"][0]["type"], json!("200"));
    change("subject", json!({"by": two.b, "subject": "Us"})).await;
    let settings = json!({"announce": true, "locked": true, "ephemeral_s": 60, "approval": true,
        "member_add_mode": "admin_add", "description": "all of us"});
    change("settings", json!({"settings": settings})).await;
    let shown = two.get(&format!("/v1/groups/{group}")).await;
    assert_eq!((&shown["subject"], &shown["description"]["body"]), (&json!("Us"), &json!("all of us")));
    assert_eq!((&shown["announcement"], &shown["ephemeral"]), (&json!(true), &json!("60")));
    let fields =
        ["jid", "creator", "creation", "size", "addressing_mode", "a_v_id", "p_v_id", "participants"];
    assert_has(&shown, &fields, "group");
    change("demote", json!({"members": [two.b]})).await;
    let path = |action: &str| format!("/v1/groups/{group}/{action}");
    let refused = json!({"by": two.b, "subject": "Mine"});
    two.api.fails("POST", &path("subject"), Some(refused), "forbidden").await;
    two.api.fails("POST", &path("subject"), Some(json!({"members": ["1"]})), "bad-body").await;
    two.api.fails("POST", &path("dance"), Some(json!({})), "not-found").await;
    change("leave", json!({"by": two.b})).await;
    let refused = json!({"by": two.b, "subject": "Mine"});
    two.api.fails("POST", &path("subject"), Some(refused), "forbidden").await;
    change("add", json!({"members": [two.b]})).await;
    change("remove", json!({"members": [two.b]})).await;
    two.a("groups-dirty", json!({"groups": [group]})).await;
    change("delete", json!({})).await;
    two.api.fails("GET", &format!("/v1/groups/{group}"), None, "not-found").await;
    assert_eq!(two.get("/v1/groups").await["groups"], json!([]));
}

#[tokio::test]
async fn proves_09_27_14_every_call_for_an_unknown_account_is_not_found() {
    let api = Api::start().await;
    for (method, call, body) in [
        ("GET", "", None),
        ("DELETE", "", None),
        ("GET", "/inbox", None),
        ("GET", "/outbox", None),
        ("POST", "/scan-qr", Some(json!({"qr": "2@x,a,b,c,d"}))),
        ("POST", "/enter-code", Some(json!({"code": "12345678"}))),
        ("POST", "/power", Some(json!({"online": true}))),
        ("POST", "/reinstall", None),
        ("POST", "/unlink", Some(json!({"all": true}))),
        ("POST", "/devices", Some(json!({"count": 1}))),
        ("POST", "/push-name", Some(json!({"name": "x"}))),
        ("POST", "/profile", Some(json!({"about": "x"}))),
        ("POST", "/rotate-appstate-key", None),
        ("POST", "/send", Some(json!({"to": "15550001001", "text": "x"}))),
        ("POST", "/receipt", Some(json!({"ids": ["A"], "chat": "15550001001", "type": "read"}))),
        ("POST", "/presence", Some(json!({"type": "available"}))),
        ("POST", "/chatstate", Some(json!({"to": "15550001001", "state": "paused"}))),
        ("POST", "/call", Some(json!({"to": "15550001001", "action": "offer"}))),
        ("POST", "/groups-dirty", Some(json!({"groups": []}))),
        ("POST", "/kick", Some(json!({"how": "close"}))),
        ("POST", "/ban", Some(json!({"reason": 403}))),
        ("POST", "/unban", None),
    ] {
        api.fails(method, &format!("/v1/accounts/15559999999{call}"), body, "not-found").await;
    }
    api.fails("PATCH", "/v1/accounts", None, "no-such-method").await;
    api.fails("GET", "/v1/traffic?colour=blue", None, "unknown-field").await;
    api.fails("GET", "/v1/traffic?since=x", None, "bad-query").await;
}

#[tokio::test]
async fn proves_09_27_14_wait_ms_waits_for_the_first_and_no_longer_than_it_says() {
    let two = std::sync::Arc::new(Two::new().await);
    let inbox = format!("/v1/accounts/{}/inbox", two.b);
    let begun = std::time::Instant::now();
    assert_eq!(two.get(&format!("{inbox}?wait_ms=60")).await["items"], json!([]));
    assert!(begun.elapsed() >= Duration::from_millis(60));
    let waiting = std::sync::Arc::clone(&two);
    let path = format!("{inbox}?wait_ms=20000");
    let waiting = tokio::spawn(async move { waiting.get(&path).await });
    tokio::task::yield_now().await;
    two.a("send", json!({"to": two.b, "text": "at last", "wait_ms": 1000})).await;
    let found = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    assert_eq!(found["items"][0]["text"], json!("at last"));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let two = Two::new().await;
    two.a("send", json!({"to": two.b, "text": "hi"})).await;
    let text = two.api.sim.admin().metrics().await;
    assert!(text.contains("# TYPE sim_logins_total counter\nsim_logins_total 0\n"), "{text}");
    assert!(text.contains("sim_connections{state=\"active\"} 0"), "{text}");
}
