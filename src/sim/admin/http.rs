//! The admin calls as JSON over HTTP (09 §21). Every answer is `{"ok":true,…}` or
//! `{"ok":false,"error":{"code","message"}}`.

mod bodies;
mod faults;
mod judge;
mod person;
mod routes;
mod views;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{Admin, AdminError};
use crate::crypto::ct_eq;

const MAX_BODY: usize = 64 << 20;

/// Serves the API until the task is dropped.
pub(crate) async fn serve(admin: Admin, listener: TcpListener, token: Option<String>) {
    let app = routes::routes()
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(token, authorize))
        .with_state(admin);
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!("the admin API ended: {error}");
    }
}

/// `Authorization: Bearer`, where a token is configured.
async fn authorize(State(token): State<Option<String>>, request: Request, next: Next) -> Response {
    let Some(token) = token else { return next.run(request).await };
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if ct_eq(shown.as_bytes(), token.as_bytes()) {
        return next.run(request).await;
    }
    let error = AdminError::new("unauthorized", "this simulator wants its admin token");
    (StatusCode::UNAUTHORIZED, failure(&error)).into_response()
}

type Routes = Router<Admin>;

/// The answer of a call.
struct Answer(Result<Value, AdminError>);

impl Answer {
    /// Fields beside `ok`.
    fn fields(value: impl Serialize) -> Self {
        Self(Ok(serde_json::to_value(value).unwrap_or(Value::Null)))
    }

    /// Fields beside `ok`, or the error.
    fn of(result: Result<impl Serialize, AdminError>) -> Self {
        match result {
            Ok(value) => Self::fields(value),
            Err(error) => Self(Err(error)),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self.0 {
            Ok(value) => {
                let mut body = Map::from_iter([("ok".to_owned(), Value::Bool(true))]);
                if let Value::Object(fields) = value {
                    body.extend(fields);
                }
                axum::Json(Value::Object(body)).into_response()
            }
            Err(error) => (status(&error.code), failure(&error)).into_response(),
        }
    }
}

fn failure(error: &AdminError) -> axum::Json<Value> {
    axum::Json(json!({"ok": false, "error": error}))
}

fn status(code: &str) -> StatusCode {
    match code {
        "not-found" => StatusCode::NOT_FOUND,
        "unknown-field" | "bad-body" | "bad-address" | "bad-account" | "bad-qr" | "bad-fault"
        | "bad-group" | "bad-query" => StatusCode::BAD_REQUEST,
        "not-implemented" => StatusCode::NOT_IMPLEMENTED,
        "no-such-method" => StatusCode::METHOD_NOT_ALLOWED,
        "timeout" => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::CONFLICT,
    }
}

/// A query string, read as a body is: what is none of a call's is refused.
struct Asked<T>(T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        Query::try_from_uri(&parts.uri).map(|Query(asked)| Self(asked)).map_err(|error| {
            let text = error.body_text();
            let code = if text.contains("unknown field") { "unknown-field" } else { "bad-query" };
            Answer(Err(AdminError::new(code, text))).into_response()
        })
    }
}

/// A JSON body; an empty one is `{}`. `wait_ms` is a field of every call: what a call does is on the wire when it
/// returns, so there is nothing to wait for.
fn parse<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, AdminError> {
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    let read = serde_json::from_slice(bytes).and_then(|mut body: Value| {
        if let Value::Object(fields) = &mut body {
            fields.shift_remove("wait_ms");
        }
        serde_json::from_value(body)
    });
    read.map_err(|error| {
        let text = error.to_string();
        let code = if text.starts_with("unknown field") { "unknown-field" } else { "bad-body" };
        AdminError::new(code, text)
    })
}
