//! `/v1/faults` and `/v1/net` (09 §21, §22).

use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, parse};
use crate::sim::admin::{Admin, AdminError};
use crate::sim::world::{FaultOrder, NetRule, Scope};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    fault: String,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    count: Value,
    #[serde(default)]
    after: Value,
    #[serde(default)]
    params: Map<String, Value>,
    probability: Option<f64>,
}

pub(super) async fn arm(State(admin): State<Admin>, body: Bytes) -> Answer {
    let order = parse::<Fault>(&body).and_then(|body| {
        let Fault { fault, scope, count, after, params, probability } = body;
        let order = FaultOrder::new(fault, scope, &count, &after, params, probability);
        order.map_err(|error| AdminError::new("bad-fault", error.to_string()))
    });
    let armed = match order {
        Ok(order) => admin.arm_fault(order).await,
        Err(error) => Err(error),
    };
    Answer::of(armed.map(|id| json!({"id": id.to_string()})))
}

pub(super) async fn all(State(admin): State<Admin>) -> Answer {
    Answer::fields(json!({"faults": admin.faults().await}))
}

pub(super) async fn disarm(State(admin): State<Admin>, Path(id): Path<String>) -> Answer {
    let unknown = || AdminError::new("not-found", format!("there is no fault {id}"));
    match id.parse() {
        Ok(id) => Answer::of(admin.disarm_fault(id).await),
        Err(_) => Answer(Err(unknown())),
    }
}

pub(super) async fn net(State(admin): State<Admin>, body: Bytes) -> Answer {
    match parse::<NetRule>(&body) {
        Ok(rule) => Answer::of(admin.set_net(rule).await),
        Err(error) => Answer(Err(error)),
    }
}
