//! A client inside a web application: `GET /state` and `POST /send?to=NUMBER&key=KEY` with the text as body.
//!
//! `cargo run --example axum_app -- ACCOUNT [ADDRESS]`, then `curl -d hello 'localhost:3000/send?to=15550003333&key=1'`

mod common;

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use palomar::client::Client;
use palomar::wire::Jid;

#[tokio::main]
async fn main() -> common::Outcome {
    let mut arguments = std::env::args().skip(1);
    let id = arguments.next().ok_or("usage: axum_app ACCOUNT [ADDRESS]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let client = common::open(&id).await?;
    client.connect().await?;
    let app = Router::new().route("/state", get(state)).route("/send", post(send)).with_state(client.clone());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

async fn state(State(client): State<Client>) -> String {
    format!("{:?}\n", *client.state().borrow())
}

async fn send(
    State(client): State<Client>,
    Query(asked): Query<HashMap<String, String>>,
    text: String,
) -> Result<String, (StatusCode, String)> {
    let wrong = |error: String| (StatusCode::BAD_REQUEST, error);
    let (Some(to), Some(key)) = (asked.get("to"), asked.get("key")) else {
        return Err(wrong("give to and key\n".to_owned()));
    };
    let to = Jid::pn(to).map_err(|error| wrong(format!("{error}\n")))?;
    let accepted = client.send_text(&to, &text, key).await.map_err(|error| wrong(format!("{error}\n")))?;
    Ok(format!("{}\n", accepted.message_id))
}
