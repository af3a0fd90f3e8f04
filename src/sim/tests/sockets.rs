//! The listeners over real sockets: ws, wss, the CONNECT proxy (09 §3).

use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::sim::{SimConfig, Simulator};

async fn register<S: AsyncRead + AsyncWrite + Unpin>(sim: &Simulator, stream: S) {
    let mut keys = Keys::new("a");
    let payload = keys.companion.register_payload();
    let now = sim.clock().wall_s();
    let mut wire = handshake(stream, &mut keys, sim.root_key(), now, &payload).await.unwrap();
    assert_eq!(wire.take("iq").await.find("pair-device").unwrap().nodes().count(), 6);
}

fn tls(sim: &Simulator) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(sim.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn plain_and_tls_listeners_serve_clients() {
    let sim = Simulator::start(SimConfig::ephemeral(1)).await.unwrap();
    let chat = sim.admin().info().chat.unwrap();
    register(&sim, TcpStream::connect(chat).await.unwrap()).await;
    let stream = TcpStream::connect(sim.admin().info().chat_tls.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    register(&sim, tls(&sim).connect(name, stream).await.unwrap()).await;
}

#[tokio::test]
async fn the_proxy_leads_the_fixed_host_to_the_tls_listener_and_nowhere_else() {
    let sim = Simulator::start(SimConfig::ephemeral(1)).await.unwrap();
    let proxy = sim.admin().info().proxy.unwrap();
    let ask = async |authority: &str| {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n\r\n") {
            line.push(stream.read_u8().await.unwrap());
        }
        (String::from_utf8(line).unwrap(), stream)
    };
    let (answer, stream) = ask("web.whatsapp.com:443").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let name = ServerName::try_from("web.whatsapp.com").unwrap();
    register(&sim, tls(&sim).connect(name, stream).await.unwrap()).await;
    for other in ["example.com:443", "web.whatsapp.com:5222", "127.0.0.1:22"] {
        assert!(ask(other).await.0.starts_with("HTTP/1.1 403"), "{other}");
    }
}

#[tokio::test]
async fn another_path_is_refused_at_the_upgrade() {
    let sim = Simulator::start(SimConfig::ephemeral(1)).await.unwrap();
    let stream = TcpStream::connect(sim.admin().info().chat.unwrap()).await.unwrap();
    let refused = tokio_tungstenite::client_async("ws://localhost/other", stream).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let first = Simulator::start(SimConfig::ephemeral(1)).await.unwrap();
    let config = SimConfig { chat: first.admin().info().chat, ..SimConfig::ephemeral(1) };
    let error = Simulator::start(config).await.unwrap_err();
    assert!(error.to_string().contains(&first.admin().info().chat.unwrap().to_string()), "{error}");
}
