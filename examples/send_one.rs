//! Sends one text and waits for the server's word.
//!
//! `cargo run --example send_one -- ACCOUNT NUMBER TEXT [KEY]`; the same KEY never sends twice.

mod common;

use palomar::wire::Jid;

#[tokio::main]
async fn main() -> common::Outcome {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: send_one ACCOUNT NUMBER TEXT [KEY]");
    let (id, number, text) = (next()?, next()?, next()?);
    let key = arguments.next().unwrap_or_else(|| format!("{number}: {text}"));
    let client = common::open(&id).await?;
    client.connect().await?;
    let accepted = client.send_text(&Jid::pn(&number)?, &text, &key).await?;
    println!("accepted as {}", accepted.message_id);
    println!("{:?}", client.outcome(&key).await?);
    client.close().await?;
    Ok(())
}
