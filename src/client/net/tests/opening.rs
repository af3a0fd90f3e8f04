//! Dial, TLS, upgrade.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::peer::{Server, World, frame};
use crate::client::net::memory::MemoryListener;
use crate::client::net::*;
use crate::noise::PRODUCTION_ROOT;

/// Answers one upgrade with these bytes; yields what was asked.
async fn answer(mut listener: MemoryListener, response: &str) -> String {
    let mut stream = listener.accept().await.unwrap().stream;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(response.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_secs(60), listener.accept()).await.is_err(),
        "nothing is dialled again by itself"
    );
    String::from_utf8(request).unwrap()
}

async fn refused(response: &str) -> NetError {
    let mut world = World::new();
    let listener = world.listener();
    let (socket, _) = tokio::join!(world.open(), answer(listener, response));
    let error = socket.expect_err("refused");
    assert!(error.is_failed_open());
    error
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_reported_and_not_followed() {
    let error =
        refused("HTTP/1.1 302 Found\r\nLocation: ws://elsewhere.test/\r\nContent-Length: 0\r\n\r\n").await;
    assert!(matches!(error, NetError::Status { status: 302, .. }), "{error}");
    assert_eq!(error.advice(), Advice::BackoffFurther { at_least: None });
}

#[tokio::test(start_paused = true)]
async fn a_status_is_reported_with_retry_after() {
    let least = Some(Duration::from_secs(120));
    let answer = |status: u16, extra: &str| format!("HTTP/1.1 {status} X\r\n{extra}\r\n");
    for (status, extra, advice) in [
        (503, "", Advice::Backoff),
        (408, "", Advice::Backoff),
        (503, "Retry-After: 120\r\n", Advice::BackoffAtLeast(Duration::from_secs(120))),
        (429, "Retry-After: 120\r\n", Advice::BackoffFurther { at_least: least }),
        (403, "", Advice::BackoffFurther { at_least: None }),
        (505, "", Advice::BackoffFurther { at_least: None }),
        (200, "Retry-After: tomorrow\r\n", Advice::BackoffFurther { at_least: None }),
    ] {
        let error = refused(&answer(status, extra)).await;
        assert!(matches!(error, NetError::Status { status: got, .. } if got == status), "{error}");
        assert_eq!(error.advice(), advice, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_http_is_a_failed_open() {
    assert!(matches!(refused("SSH-2.0-x\r\n\r\n").await, NetError::Upgrade(_)));
    assert!(matches!(refused("").await, NetError::Upgrade(_)));
}

#[tokio::test(start_paused = true)]
async fn dial_and_upgrade_together_have_20_seconds() {
    let mut world = World::new();
    let mut listener = world.listener();
    let (clock, start) = (world.clock, world.clock.now());
    let (socket, _held) = tokio::join!(world.open(), listener.accept());
    let error = socket.expect_err("nobody answers");
    assert!(matches!(error, NetError::Timeout(Phase::Open)) && error.is_failed_open());
    assert_eq!((clock.now() - start).as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn nobody_listening_is_a_failed_open() {
    let mut world = World::new();
    drop(world.listener());
    let error = world.open().await.expect_err("nobody listens");
    assert!(matches!(error, NetError::Dial(DialError::Io(_))) && error.is_failed_open());
}

/// Opens with this routing information and shakes hands; what the server saw.
async fn seen(routing: Option<&[u8]>) -> Server {
    let mut world = World::new();
    let mut listener = world.listener();
    let answerer = world.answerer();
    let client = async {
        let address = world.endpoint.address.clone();
        let socket = open(&world.dialer, &world.endpoint, &address, routing, &world.clock, &mut world.rng)
            .await
            .unwrap();
        let (noise, root) = (&world.client, world.endpoint.root);
        let how = Handshake { noise, payload: b"p", routing, server_static: None, root };
        handshake(socket, &how, &world.clock, &mut world.rng).await.unwrap()
    };
    let server = async {
        let mut server = Server::accept(listener.accept().await.unwrap().stream).await;
        server.shake(answerer).await;
        server
    };
    tokio::join!(client, server).1
}

#[tokio::test(start_paused = true)]
async fn the_upgrade_has_the_headers_of_the_chapter_and_no_extension() {
    let server = seen(None).await;
    let header = |name: &str| {
        let mut values =
            server.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        (values.next(), values.next())
    };
    assert_eq!(server.target, "/ws/chat");
    assert_eq!(header("host"), (Some("server.test"), None));
    assert_eq!(header("origin"), (Some("https://web.whatsapp.com"), None));
    assert_eq!(header("cache-control"), (Some("no-cache"), None));
    assert_eq!(header("pragma"), (Some("no-cache"), None));
    for absent in ["sec-websocket-extensions", "sec-websocket-protocol", "cookie", "authorization"] {
        assert_eq!(header(absent), (None, None), "{absent}");
    }
}

#[tokio::test(start_paused = true)]
async fn routing_info_goes_into_query_and_pre_intro_only_when_it_is_stored() {
    let without = seen(None).await;
    assert_eq!((without.routing, without.target.as_str()), (None, "/ws/chat"));
    // The handshake succeeds in both cases: the pre-intro is no part of its hash.
    let with = seen(Some(&[8, 2, 0xff])).await;
    assert_eq!(
        (with.routing.as_deref(), with.target.as_str()),
        (Some(&[8, 2, 0xff][..]), "/ws/chat?ED=CAL_")
    );
}

#[test]
fn urls_are_read_in_their_parts() {
    let parts = |text: &str| {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
        (address.tls, address.host, address.port)
    };
    assert_eq!(parts("wss://web.whatsapp.com/ws/chat"), (true, "web.whatsapp.com".to_owned(), 443));
    assert_eq!(parts("wss://web.whatsapp.com:5222/ws/chat"), (true, "web.whatsapp.com".to_owned(), 5222));
    assert_eq!(parts("ws://[::1]:8099/ws/chat"), (false, "::1".to_owned(), 8099));
    for wrong in ["https://x/", "web.whatsapp.com", "ws://", "wss://user@host/", "/ws/chat", ""] {
        assert!(wrong.parse::<Address>().is_err(), "{wrong}");
    }
    let production = Endpoint::production(None).unwrap();
    assert_eq!(production.address, PRODUCTION_URL.parse().unwrap());
    assert_eq!(production.second, Some(PRODUCTION_SECOND_URL.parse().unwrap()));
    assert_eq!(production.root, PRODUCTION_ROOT);
}

#[test]
fn the_second_address_is_tried_after_a_failed_open_and_the_one_that_opened_stays_first() {
    let endpoint = Endpoint::production(None).unwrap();
    let mut addresses = Addresses::default();
    assert_eq!(addresses.next(&endpoint).port, 443);
    addresses.failed();
    assert_eq!(addresses.next(&endpoint).port, 5222);
    assert_eq!(addresses.next(&endpoint).port, 5222, "it opened, so it is first next time");
    addresses.failed();
    assert_eq!(addresses.next(&endpoint).port, 443);
    let single = Endpoint { second: None, ..endpoint };
    addresses.failed();
    assert_eq!(addresses.next(&single).port, 443);
}

/// A TLS server for `localhost` with a certificate of its own: its address, and the certificate's file.
async fn tls_server(expired: bool) -> (TcpListener, tokio_rustls::TlsAcceptor, tempfile::NamedTempFile) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    if expired {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    }
    let certificate = params.self_signed(&key).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.pem().as_bytes()).unwrap();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, tokio_rustls::TlsAcceptor::from(Arc::new(config)), file)
}

#[tokio::test]
async fn tls_takes_the_extra_authority_and_sends_the_name_without_alpn() {
    let (listener, acceptor, authority) = tls_server(false).await;
    let mut world = World::new();
    let port = listener.local_addr().unwrap().port();
    world.endpoint.address = format!("wss://localhost:{port}/ws/chat").parse().unwrap();
    world.endpoint.tls = Tls::new(Some(authority.path())).unwrap();
    let answerer = world.answerer();
    let server = async {
        let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let (_, tls) = stream.get_ref();
        assert_eq!((tls.server_name(), tls.alpn_protocol()), (Some("localhost"), None));
        let mut server = Server::accept(stream).await;
        server.shake(answerer).await;
        let sealed = server.seal(b"\x00over tls");
        server.send_bytes(&sealed).await;
        server
    };
    let client = async {
        let address = world.endpoint.address.clone();
        let socket = open(&Tcp, &world.endpoint, &address, None, &world.clock, &mut world.rng).await.unwrap();
        let (noise, root) = (&world.client, world.endpoint.root);
        let how = Handshake { noise, payload: b"p", routing: None, server_static: None, root };
        let mut client = handshake(socket, &how, &world.clock, &mut world.rng).await.unwrap();
        assert_eq!(frame(&mut client.reader).await.unwrap(), b"\x00over tls");
    };
    tokio::join!(client, server);
}

/// What a dial comes to that must fail in the TLS handshake.
async fn tls_refusal(expired: bool, trusted: bool) -> NetError {
    let (listener, acceptor, authority) = tls_server(expired).await;
    let mut world = World::new();
    let port = listener.local_addr().unwrap().port();
    let address: Address = format!("wss://localhost:{port}/ws/chat").parse().unwrap();
    world.endpoint.tls = Tls::new(trusted.then_some(authority.path())).unwrap();
    let server = async { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) };
    let client = open(&Tcp, &world.endpoint, &address, None, &world.clock, &mut world.rng);
    let (client, server) = tokio::join!(client, server);
    assert!(server.is_err());
    let error = client.expect_err("refused");
    assert!(matches!(error, NetError::Tls(_)) && error.is_failed_open());
    error
}

#[tokio::test]
async fn tls_refuses_a_certificate_that_no_root_vouches_for() {
    assert_eq!(tls_refusal(false, false).await.advice(), Advice::Untrusted);
}

#[tokio::test]
async fn tls_refuses_an_expired_certificate_as_clock_or_certificate() {
    assert_eq!(tls_refusal(true, true).await.advice(), Advice::ClockOrCertificate);
}

#[test]
fn a_file_without_certificates_is_a_configuration_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Tls::new(Some(file.path())), Err(TlsError::Certificates { .. })));
    assert!(matches!(Tls::new(Some("/nowhere/ca.pem".as_ref())), Err(TlsError::Certificates { .. })));
}
