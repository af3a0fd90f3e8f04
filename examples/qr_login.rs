//! Links an account: shows QR codes in the terminal, and the text in them, until the phone has scanned one.
//!
//! `cargo run --example qr_login -- ACCOUNT [PHONE NUMBER]`; with a number it asks for a code to type instead.

mod common;

use palomar::client::PairEvent;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

#[tokio::main]
async fn main() -> common::Outcome {
    let mut arguments = std::env::args().skip(1);
    let id = arguments.next().ok_or("usage: qr_login ACCOUNT [PHONE NUMBER]")?;
    let client = common::open(&id).await?;
    let mut pairing = client.pair().await?;
    if let Some(number) = arguments.next() {
        println!("Type this code on the phone: {}", pairing.code(&number, None).await?);
    }
    while let Some(event) = pairing.next().await {
        match event {
            PairEvent::QrCode { text, valid_for } => {
                let picture = QrCode::new(&text)?.render::<Dense1x2>().build();
                println!("{picture}\n{text}\nScan within {} s.", valid_for.as_secs());
            }
            PairEvent::PairSuccess { jid, .. } => println!("Linked as {jid}."),
            PairEvent::PasskeyRequired { .. } => {
                println!("This account asks for a passkey, which this example can't give.");
                pairing.passkey(None).await?;
            }
            PairEvent::Closed { reason } => return Err(reason.into()),
            other => println!("{other:?}"),
        }
    }
    client.ready().await?;
    println!("Ready.");
    client.close().await?;
    Ok(())
}
