//! Answers every text with the same text. An event is acknowledged when the handler returns, so nothing is lost when
//! the program is killed; the idempotency key makes sure that nothing is answered twice.
//!
//! `cargo run --example echo_bot -- ACCOUNT`

mod common;

use palomar::client::Event;
use palomar::wire::Jid;

#[tokio::main]
async fn main() -> common::Outcome {
    let id = std::env::args().nth(1).ok_or("usage: echo_bot ACCOUNT")?;
    let client = common::open(&id).await?;
    client.connect().await?;
    let handle = client.clone();
    let answer = move |event| {
        let client = handle.clone();
        async move {
            let Event::Message(message) = event else { return };
            let (Some(text), Ok(chat)) = (&message.text, message.chat.parse::<Jid>()) else { return };
            if message.from_me || !chat.is_user() {
                return;
            }
            let key = format!("echo {} {}", message.chat, message.id);
            if let Err(error) = client.send_text(&chat, text, &key).await {
                eprintln!("not answered: {error}");
            }
        }
    };
    client.events().for_each(answer).await?;
    Ok(())
}
