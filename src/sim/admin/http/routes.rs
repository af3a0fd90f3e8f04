//! Method and path to call.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use axum::routing::{delete, get, post, put};
use futures_util::Stream;
use futures_util::stream;
use serde_json::{Value, json};

use super::bodies::{
    AccountBody, BanBody, Cert, Chatstate, ClockBody, Devices, DropSession, EnterCode, Expect, GroupBody,
    InboxQuery, Inject, JudgeBody, JudgeQuery, KickBody, Power, Presence, PushName, Receipt, Reset, Revoke,
    ScanQr, Send, Unlink, ViolationsQuery,
};
use super::{Answer, Asked, Routes, faults, parse, person, views};
use crate::sim::admin::{Admin, AdminError, Expectation, TrafficFilter};
use crate::sim::seam::PhoneContent;
use crate::sim::world::{Ban, NewAccount};
use crate::wire::Jid;
use crate::wire::json::from_json;

type Number = Path<String>;
type Events = Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + std::marker::Send>>;

/// How long the event stream sleeps when nothing happens.
const QUIET: Duration = Duration::from_secs(3600);

pub(super) fn routes() -> Routes {
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/reset", post(reset))
        .route("/v1/clock", get(now).post(clock))
        .route("/v1/cert", put(cert))
        .route("/v1/accounts", get(accounts).post(create_account))
        .route("/v1/accounts/{number}", get(account).delete(delete_account))
        .route("/v1/accounts/{number}/scan-qr", post(scan_qr))
        .route("/v1/accounts/{number}/enter-code", post(enter_code))
        .route("/v1/accounts/{number}/power", post(power))
        .route("/v1/accounts/{number}/reinstall", post(reinstall))
        .route("/v1/accounts/{number}/unlink", post(unlink))
        .route("/v1/accounts/{number}/devices", post(devices))
        .route("/v1/accounts/{number}/push-name", post(push_name))
        .route("/v1/accounts/{number}/profile", post(person::profile))
        .route("/v1/accounts/{number}/rotate-appstate-key", post(person::rotate_appstate_key))
        .route("/v1/accounts/{number}/call", post(person::call))
        .route("/v1/accounts/{number}/groups-dirty", post(person::groups_dirty))
        .route("/v1/accounts/{number}/appstate", post(person::not_built))
        .route("/v1/accounts/{number}/appstate/{collection}", get(person::not_built))
        .route("/v1/accounts/{number}/history", post(person::not_built).get(person::not_built))
        .route("/v1/accounts/{number}/send", post(send))
        .route("/v1/accounts/{number}/inbox", get(inbox))
        .route("/v1/accounts/{number}/outbox", get(outbox))
        .route("/v1/accounts/{number}/receipt", post(receipt))
        .route("/v1/accounts/{number}/presence", post(presence))
        .route("/v1/accounts/{number}/chatstate", post(chatstate))
        .route("/v1/accounts/{number}/drop-session", post(drop_session))
        .route("/v1/accounts/{number}/kick", post(kick))
        .route("/v1/accounts/{number}/ban", post(ban))
        .route("/v1/accounts/{number}/unban", post(unban))
        .route("/v1/accounts/{number}/restrict", get(restrictions).post(restrict))
        .route("/v1/groups", get(person::groups).post(create_group))
        .route("/v1/groups/{group}", get(person::group))
        .route("/v1/groups/{group}/{action}", post(person::change_group))
        .route("/v1/connections", get(connections))
        .route("/v1/connections/{id}", get(connection))
        .route("/v1/traffic", get(traffic))
        .route("/v1/expect", post(expect))
        .route("/v1/inject", post(inject))
        .route("/v1/violations", get(violations).merge(delete(clear_violations)))
        .route("/v1/rules", get(rules).put(put_rules))
        .route("/v1/judge", get(judge_totals).post(judge))
        .route("/v1/faults", get(faults::all).post(faults::arm))
        .route("/v1/faults/{id}", delete(faults::disarm))
        .route("/v1/net", post(faults::net))
        .route("/v1/metrics", get(metrics))
        .route("/v1/events", get(events))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
}

async fn unknown() -> Answer {
    Answer(Err(AdminError::new("not-found", "there is no such call")))
}

async fn wrong_method() -> Answer {
    Answer(Err(AdminError::new("no-such-method", "this path has no such method")))
}

async fn metrics(State(admin): State<Admin>) -> String {
    admin.metrics().await
}

async fn info(State(admin): State<Admin>) -> Answer {
    Answer::fields(admin.info())
}

async fn reset(State(admin): State<Admin>, body: Bytes) -> Answer {
    match parse::<Reset>(&body) {
        Ok(body) => {
            admin.reset(body.keep.iter().any(|kept| kept == "accounts")).await;
            Answer::fields(())
        }
        Err(error) => Answer(Err(error)),
    }
}

async fn now(State(admin): State<Admin>) -> Answer {
    Answer::fields(json!({"now_ms": admin.now_ms()}))
}

async fn clock(State(admin): State<Admin>, body: Bytes) -> Answer {
    let body: ClockBody = match parse(&body) {
        Ok(body) => body,
        Err(error) => return Answer(Err(error)),
    };
    let by = match (body.advance_ms, body.set) {
        (Some(by), None) => by,
        (None, Some(at)) if at >= admin.now_ms() => (at - admin.now_ms()).unsigned_abs(),
        _ => return Answer(Err(AdminError::new("bad-body", "advance_ms, or set to a later time"))),
    };
    admin.advance(Duration::from_millis(by)).await;
    Answer::fields(json!({"now_ms": admin.now_ms()}))
}

async fn cert(State(admin): State<Admin>, body: Bytes) -> Answer {
    match parse::<Cert>(&body) {
        Ok(body) => {
            admin.set_cert(body.mode).await;
            Answer::fields(())
        }
        Err(error) => Answer(Err(error)),
    }
}

async fn accounts(State(admin): State<Admin>) -> Answer {
    Answer::fields(json!({"accounts": admin.accounts().await}))
}

async fn create_account(State(admin): State<Admin>, body: Bytes) -> Answer {
    let body: AccountBody = match parse(&body) {
        Ok(body) => body,
        Err(error) => return Answer(Err(error)),
    };
    let new = NewAccount {
        number: body.number,
        lid: body.lid,
        push_name: body.push_name,
        companions_max: body.companions_max,
        business: body.business,
        restricted: body.restricted,
        abprops: body.abprops,
        profile: body.profile,
        phone_online: body.phone.online,
        clock_offset_s: body.phone.clock_offset_s,
        platform: body.phone.platform,
    };
    Answer::of(admin.create_account(new).await)
}

async fn account(State(admin): State<Admin>, Path(number): Number) -> Answer {
    Answer::of(admin.account(&number).await)
}

async fn delete_account(State(admin): State<Admin>, Path(number): Number) -> Answer {
    Answer::of(admin.delete_account(&number).await)
}

async fn scan_qr(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<ScanQr>(&body) {
        Ok(body) => Answer::of(admin.scan_qr_with(&number, &body.qr, body.corrupt).await),
        Err(error) => Answer(Err(error)),
    }
}

async fn enter_code(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<EnterCode>(&body) {
        Ok(body) => Answer::of(admin.enter_code_with(&number, &body.code, body.corrupt).await),
        Err(error) => Answer(Err(error)),
    }
}

async fn power(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<Power>(&body) {
        Ok(body) => Answer::of(admin.power(&number, body.online).await),
        Err(error) => Answer(Err(error)),
    }
}

async fn reinstall(State(admin): State<Admin>, Path(number): Number) -> Answer {
    Answer::of(admin.reinstall(&number).await)
}

async fn devices(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    let added = match parse::<Devices>(&body) {
        Ok(body) => admin.add_virtual_devices(&number, body.count).await,
        Err(error) => Err(error),
    };
    Answer::of(added.map(|devices| json!({"devices": devices})))
}

async fn unlink(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<Unlink>(&body) {
        Ok(Unlink { device: None, all: false }) => {
            Answer(Err(AdminError::new("bad-body", "a device, or \"all\":true")))
        }
        Ok(body) => Answer::of(admin.unlink(&number, body.device.filter(|_| !body.all)).await),
        Err(error) => Answer(Err(error)),
    }
}

async fn push_name(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<PushName>(&body) {
        Ok(body) => Answer::of(admin.push_name(&number, &body.name).await),
        Err(error) => Answer(Err(error)),
    }
}

async fn send(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    let sent = match parse::<Send>(&body).and_then(|mut body| Ok((content(&mut body)?, body))) {
        Ok((content, body)) => admin.send_as(&number, body.as_device, &body.to, content, body.id).await,
        Err(error) => Err(error),
    };
    Answer::of(sent)
}

/// Exactly one of the contents.
fn content(body: &mut Send) -> Result<PhoneContent, AdminError> {
    let bad = |what: &str| AdminError::new("bad-body", what);
    if body.media.is_some() {
        let what = "this simulator has no media host (09 §17)";
        return Err(AdminError::new("not-implemented", what));
    }
    let message = match (body.message_hex.take(), body.message.take()) {
        (Some(text), None) => Some(hex::decode(text).map_err(|_| bad("message_hex is no hexadecimal text"))?),
        (None, Some(shown)) => {
            let bytes = crate::proto::json::from_json("Message", &shown);
            Some(bytes.map_err(|error| bad(&error.to_string()))?)
        }
        (None, None) => None,
        _ => return Err(bad("message or message_hex")),
    };
    let text = match (body.text.take(), body.quote.take()) {
        (Some(text), Some(quote)) => Some(PhoneContent::Quote { text, id: quote.id }),
        (text, None) => text.map(PhoneContent::Text),
        (None, Some(_)) => return Err(bad("quote stands beside text")),
    };
    let poll = body.poll.take().map(|poll| PhoneContent::Poll {
        name: poll.name,
        options: poll.options,
        selectable: poll.selectable,
    });
    let contents = [
        text,
        message.map(PhoneContent::Message),
        poll,
        body.react.take().map(|react| PhoneContent::React { id: react.id, emoji: react.emoji }),
        body.edit.take().map(|edit| PhoneContent::Edit { id: edit.id, text: edit.text }),
        body.revoke.take().map(revoke).transpose()?,
    ];
    let mut contents = contents.into_iter().flatten();
    match (contents.next(), contents.next()) {
        (Some(content), None) => Ok(content),
        _ => Err(bad("exactly one of text, message, react, edit, revoke, poll")),
    }
}

fn revoke(body: Revoke) -> Result<PhoneContent, AdminError> {
    let author = |text: String| {
        let jid = if text.contains('@') { text.parse() } else { Jid::pn(&text) };
        jid.map_err(|_| AdminError::new("bad-address", format!("{text:?} is no number and no address")))
    };
    Ok(PhoneContent::Revoke { id: body.id, author: body.participant.map(author).transpose()? })
}

async fn inbox(State(admin): State<Admin>, Path(number): Number, Asked(query): Asked<InboxQuery>) -> Answer {
    let within = Duration::from_millis(query.wait_ms.unwrap_or_default());
    let items = match admin.wait_inbox(&number, query.since, within).await {
        Ok(items) => items,
        Err(error) => return Answer(Err(error)),
    };
    let cursor = query.since + items.len();
    let chat = |item: &&crate::sim::InboxItem| query.chat.as_ref().is_none_or(|chat| *chat == item.chat);
    let items: Vec<Value> = items.iter().filter(chat).map(views::inbox_item).collect();
    Answer::fields(json!({"cursor": cursor.to_string(), "items": items}))
}

async fn outbox(State(admin): State<Admin>, Path(number): Number) -> Answer {
    Answer::of(
        admin
            .outbox(&number)
            .await
            .map(|items| json!({"items": items.iter().map(views::outbox_item).collect::<Vec<_>>()})),
    )
}

async fn receipt(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<Receipt>(&body) {
        Ok(body) => {
            let chat = (body.chat.as_str(), body.participant.as_deref());
            Answer::of(admin.receipt_of(&number, &body.ids, chat, &body.kind).await)
        }
        Err(error) => Answer(Err(error)),
    }
}

async fn presence(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<Presence>(&body) {
        Ok(body) => Answer::of(admin.presence(&number, &body.kind, body.to.as_deref()).await),
        Err(error) => Answer(Err(error)),
    }
}

async fn chatstate(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<Chatstate>(&body) {
        Ok(body) => Answer::of(admin.chatstate(&number, &body.to, &body.state).await),
        Err(error) => Answer(Err(error)),
    }
}

async fn drop_session(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<DropSession>(&body) {
        Ok(body) => Answer::of(admin.drop_session(&number, &body.device).await),
        Err(error) => Answer(Err(error)),
    }
}

async fn kick(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    let kicked = match parse::<KickBody>(&body) {
        Ok(body) => admin.kick(&number, body.device, body.how, body.code).await,
        Err(error) => Err(error),
    };
    Answer::of(kicked.map(|count| json!({"connections": count})))
}

async fn ban(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<BanBody>(&body) {
        Ok(BanBody { reason: reason @ (402 | 403 | 406), code, expire, stream_error }) => {
            Answer::of(admin.ban_with(&number, Ban { reason, code, expire }, stream_error).await)
        }
        Ok(_) => Answer(Err(AdminError::new("bad-body", "reason is 402, 403 or 406"))),
        Err(error) => Answer(Err(error)),
    }
}

async fn unban(State(admin): State<Admin>, Path(number): Number) -> Answer {
    Answer::of(admin.unban(&number).await)
}

async fn restrictions(State(admin): State<Admin>, Path(number): Number) -> Answer {
    Answer::of(admin.restrictions(&number).await)
}

async fn restrict(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse(&body) {
        Ok(change) => Answer::of(admin.restrict(&number, change).await),
        Err(error) => Answer(Err(error)),
    }
}

async fn create_group(State(admin): State<Admin>, body: Bytes) -> Answer {
    let made = match parse::<GroupBody>(&body) {
        Ok(body) => admin.create_group(&body.creator, &body.subject, &body.members, body.lid).await,
        Err(error) => Err(error),
    };
    Answer::of(made.map(|jid| json!({"jid": jid})))
}

async fn connections(State(admin): State<Admin>) -> Answer {
    Answer::fields(json!({"connections": admin.connections().await}))
}

async fn connection(State(admin): State<Admin>, Path(id): Path<String>) -> Answer {
    let found = admin.connections().await.into_iter().find(|connection| connection.id.to_string() == id);
    Answer::of(found.ok_or_else(|| AdminError::new("not-found", format!("there is no connection {id}"))))
}

async fn traffic(State(admin): State<Admin>, Asked(filter): Asked<TrafficFilter>) -> Answer {
    let items = admin.traffic(&filter).await;
    let cursor = items.last().map_or(filter.since, |item| item.cursor);
    let items: Vec<Value> = items.iter().map(crate::sim::TrafficItem::to_json).collect();
    Answer::fields(json!({"cursor": cursor.to_string(), "items": items}))
}

async fn expect(State(admin): State<Admin>, body: Bytes) -> Answer {
    let body: Expect = match parse(&body) {
        Ok(body) => body,
        Err(error) => return Answer(Err(error)),
    };
    let expectation = Expectation {
        account: body.account,
        tag: body.r#match.tag,
        xmlns: body.r#match.xmlns,
        child: body.r#match.child,
        attrs: body.r#match.attrs,
        count: body.count,
        within: Duration::from_millis(body.within_ms),
        absent: body.absent,
        since: body.since,
    };
    let items = admin.expect(&expectation).await;
    Answer::of(items.map(|items| {
        let items: Vec<Value> = items.iter().map(crate::sim::TrafficItem::to_json).collect();
        json!({"items": items})
    }))
}

async fn inject(State(admin): State<Admin>, body: Bytes) -> Answer {
    let body: Inject = match parse(&body) {
        Ok(body) => body,
        Err(error) => return Answer(Err(error)),
    };
    let bad = |what: String| Answer(Err(AdminError::new("bad-body", what)));
    if let Err(error) = admin.live(body.connection) {
        return Answer(Err(error));
    }
    match (body.node, body.raw_hex.map(hex::decode)) {
        (Some(node), None) => match from_json(&node) {
            Ok(node) => {
                admin.inject(body.connection, node).await;
                Answer::fields(())
            }
            Err(error) => bad(error.to_string()),
        },
        (None, Some(Ok(bytes))) => {
            admin.inject_bytes(body.connection, bytes, body.encrypted).await;
            Answer::fields(())
        }
        _ => bad("either node or raw_hex".to_owned()),
    }
}

async fn violations(State(admin): State<Admin>, Asked(query): Asked<ViolationsQuery>) -> Answer {
    let mut violations = admin.violations().await;
    if let Some(account) = &query.account {
        violations = violations.of(account);
    }
    Answer::fields(json!({
        "total": violations.total(),
        "by_code": violations.by_code(),
        "items": violations.items().iter().map(views::violation).collect::<Vec<_>>(),
        "sim_exit_code": u8::from(violations.counted(admin.info().fail_on, &admin.rules().await) > 0),
    }))
}

async fn clear_violations(State(admin): State<Admin>) -> Answer {
    admin.clear_violations().await;
    Answer::fields(())
}

async fn rules(State(admin): State<Admin>) -> Answer {
    Answer::fields(admin.rules().await)
}

async fn put_rules(State(admin): State<Admin>, body: Bytes) -> Answer {
    let merged = match parse::<Value>(&body) {
        Ok(change) => admin.merge_rules(&change).await,
        Err(error) => Err(error),
    };
    match merged {
        Ok(()) => Answer::fields(admin.rules().await),
        Err(error) => Answer(Err(error)),
    }
}

async fn judge_totals(State(admin): State<Admin>, Asked(query): Asked<JudgeQuery>) -> Answer {
    let mut totals = admin.judge_totals().await;
    if let (Some(account), Some(Value::Array(rows))) = (query.account, totals.get_mut("accounts")) {
        rows.retain(|row| row.get("account").and_then(Value::as_str) == Some(account.as_str()));
    }
    Answer::fields(totals)
}

async fn judge(State(admin): State<Admin>, body: Bytes) -> Answer {
    match parse::<JudgeBody>(&body) {
        Ok(body) => Answer(super::judge::judge(&admin, body).await),
        Err(error) => Answer(Err(error)),
    }
}

/// Every stanza from now on, as server-sent events `stanza`, and after each what the violations have grown to.
async fn events(State(admin): State<Admin>) -> Sse<KeepAliveStream<Events>> {
    let begin = (admin.cursor(), 0, std::collections::VecDeque::new());
    let stream = stream::unfold((admin, begin), |(admin, (mut cursor, mut seen, mut waiting))| async move {
        while waiting.is_empty() {
            let filter = TrafficFilter {
                since: cursor,
                wait_ms: Some(QUIET.as_millis().try_into().unwrap_or(u64::MAX)),
                ..TrafficFilter::default()
            };
            for item in admin.traffic(&filter).await {
                cursor = item.cursor;
                waiting.push_back(Event::default().event("stanza").data(item.to_json().to_string()));
            }
            let violations = admin.violations().await;
            if violations.total() != seen {
                seen = violations.total();
                let data = json!({"total": seen, "by_code": violations.by_code()});
                waiting.push_back(Event::default().event("violations").data(data.to_string()));
            }
        }
        let event = waiting.pop_front()?;
        Some((Ok(event), (admin, (cursor, seen, waiting))))
    });
    let events: Events = Box::pin(stream);
    Sse::new(events).keep_alive(KeepAlive::default())
}
