//! The driver of a registration connection against a hand-made server and phone: the passkey gate to its good end
//! (protocol 02 §9, §16 no. 13), its bad ends, and what is undone when the reply can't be written (02 §5 step 8).

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::client::chance::Chance;
use crate::client::config::Config;
use crate::client::context::{Context, Shared};
use crate::client::link::{Link, Order};
use crate::client::net::memory::network;
use crate::client::net::{Endpoint, Tls};
use crate::client::state::State;
use crate::clock::Clock;
use crate::crypto::{
    KeyPair, PublicKey, aes_gcm_open, hkdf_sha256, hmac_sha256, os_rng, random_bytes, sha256, sha256_parts,
};
use crate::proto;
use crate::signal::adv::primary::{NewDevice, issue};
use crate::signal::adv::{AdvSecret, Hosting};
use crate::signal::link_code::Code;
use crate::signal::qr::Qr;
use crate::stanza::pair::PairSuccess;
use crate::store::memory::MemoryAccounts;
use crate::store::{AccountId, Accounts, Flag, StoreError};
use crate::wire::{Arena, Jid, Node, decode, decode_node, encode};

const START: i64 = 1_760_000_000_000;
const OPTIONS: &str = r#"{"challenge":"AA","timeout":300000}"#;

/// The driver, and everything around it.
struct Stage {
    ctx: Context,
    own: Arc<keys::Registering>,
    orders: mpsc::Receiver<Order>,
    inputs: mpsc::Sender<Input>,
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<PairEvent>,
    driver: JoinHandle<super::driver::Over>,
}

/// The phone's half of the gate.
struct Phone {
    identity: KeyPair,
    ephemeral: KeyPair,
    nonce: [u8; 32],
}

impl Phone {
    fn new() -> Self {
        let rng = &mut os_rng();
        Self { identity: KeyPair::generate(rng), ephemeral: KeyPair::generate(rng), nonce: random_bytes(rng) }
    }

    fn hello(&self) -> Vec<u8> {
        proto::PrimaryEphemeralIdentity {
            public_key: Some(self.ephemeral.public().as_bytes().to_vec()),
            nonce: Some(self.nonce.to_vec()),
        }
        .encode_to_vec()
    }

    /// The container of the new device, under the secret that the companion sent.
    fn vouch(&self, companion: &PublicKey, secret: &AdvSecret) -> Vec<u8> {
        let device = NewDevice {
            raw_id: 5,
            timestamp: 1_760_000_000,
            key_index: 3,
            account: Hosting::Plain,
            device: Hosting::Plain,
        };
        issue(&device, companion, secret, &self.identity, &random_bytes(&mut os_rng()))
    }
}

impl Stage {
    async fn new() -> Self {
        let clock = Clock::starting_at(START);
        let store = MemoryAccounts::new().create(&AccountId::new("test").unwrap(), START).unwrap();
        let own = store.write(|tx| keys::ensure(tx, START, &mut os_rng())).await.unwrap();
        let endpoint =
            Endpoint::at("ws://localhost/".parse().unwrap(), PublicKey([9; 32]), Tls::new(None).unwrap());
        let config = Config::new(endpoint, Arc::new(network().0));
        let ctx = Shared::new(config, store, clock, Chance::seeded(&[5; 32]), State::Pairing);
        let (link, orders) = Link::new();
        let (inputs, mut told) = mpsc::channel(8);
        let (commands, mut said) = mpsc::channel(8);
        let (tell, events) = mpsc::channel(32);
        let own = Arc::new(own);
        let mut driver = Driver::new(ctx.clone(), link, Arc::clone(&own), tell);
        let driver = tokio::spawn(async move { driver.run(&mut told, &mut said).await });
        Self { ctx, own, orders, inputs, commands, events, driver }
    }

    /// The first code is shown; its secret.
    async fn shown(&mut self) -> AdvSecret {
        self.inputs.send(Input::PairDevice { refs: vec!["2@one".to_owned()] }).await.unwrap();
        match self.events.recv().await.unwrap() {
            PairEvent::QrCode { text, .. } => Qr::parse(&text).unwrap().adv_secret,
            other => panic!("{other:?}"),
        }
    }

    /// The application was asked for an assertion, and gives one after `thinking`.
    async fn asserted(&mut self, thinking: Duration) {
        self.inputs.send(Input::Gate(GateInput::Request(Some(OPTIONS.to_owned())))).await.unwrap();
        match self.events.recv().await.unwrap() {
            PairEvent::PasskeyRequired { options, within } => {
                assert_eq!((options.as_str(), within), (OPTIONS, Duration::from_secs(300)));
            }
            other => panic!("{other:?}"),
        }
        self.ctx.clock.sleep(thinking).await;
        let made = Assertion { credential_id: vec![7; 16], json: r#"{"id":"x"}"#.to_owned() };
        self.commands.send(Command::Passkey(Ok(made))).await.unwrap();
    }

    /// The next stanza of the driver.
    async fn sent(&mut self) -> Node {
        match self.orders.recv().await.expect("the link is gone") {
            Order::Frame(frame) => {
                frame.written.map(|written| written.send(()));
                decode_node(&frame.plaintext).unwrap()
            }
            Order::Close => panic!("closed"),
        }
    }

    /// The server's answer to a question.
    fn answer(&self, question: &Node, kind: &'static str, child: Node) {
        let answer = Node::new("iq").attr("type", kind).attr("id", question.str("id").unwrap().into_owned());
        let bytes = encode(&answer.child(child)).unwrap();
        assert!(self.ctx.questions.answer(decode(&bytes, &mut Arena::new()).unwrap()));
    }

    /// Steps 3 and 4: the prologue, its commitment to be opened, and the proof where there is one.
    async fn committed(&mut self, waiting: Duration) -> (proto::ProloguePayload, Option<Vec<u8>>) {
        let asked = self.sent().await;
        assert!(asked.str("type").unwrap() == "get" && asked.find("ref").is_some(), "{asked}");
        self.ctx.clock.sleep(waiting).await;
        self.answer(&asked, "result", Node::new("ref").text_bytes("2@gate"));
        let sent = self.sent().await;
        let prologue = sent.find("passkey_prologue").expect("the prologue");
        let bytes = |tag: &str| prologue.find(tag).map(|child| child.content_bytes().unwrap().into_owned());
        assert_eq!(bytes("credential_id"), Some(vec![7; 16]));
        assert_eq!(bytes("webauthn_assertion"), Some(br#"{"id":"x"}"#.to_vec()));
        let payload = proto::ProloguePayload::decode(&*bytes("prologue_payload").unwrap()).unwrap();
        self.answer(&sent, "result", Node::new("ok"));
        (payload, bytes("pairing_handoff_proof"))
    }

    /// Step 5: the phone's identity comes, the companion opens its commitment; its nonce.
    async fn opened(&mut self, phone: &Phone, prologue: &proto::ProloguePayload) -> [u8; 32] {
        self.inputs.send(Input::Gate(GateInput::Continuation(Some(phone.hello())))).await.unwrap();
        let sent = self.sent().await;
        let nonce = sent.find("companion_nonce").unwrap().content_bytes().unwrap().into_owned();
        let identity = prologue.companion_ephemeral_identity.clone().unwrap();
        let commitment = prologue.commitment.clone().unwrap().hash.unwrap();
        assert_eq!(sha256_parts(&[&identity, &nonce]).to_vec(), commitment);
        self.answer(&sent, "result", Node::new("ok"));
        nonce.try_into().unwrap()
    }

    /// Steps 6 and 7: the phone opens the request, the server links; everything is stored and the reply is good.
    async fn linked(&mut self, phone: &Phone, prologue: &proto::ProloguePayload, old: &AdvSecret) {
        let sent = self.sent().await;
        let sealed = sent.find("encrypted_pairing_request").unwrap().content_bytes().unwrap().into_owned();
        self.answer(&sent, "result", Node::new("ok"));
        let sealed = proto::EncryptedPairingRequest::decode(&*sealed).unwrap();
        let identity = prologue.companion_ephemeral_identity.clone().unwrap();
        let identity = proto::CompanionEphemeralIdentity::decode(&*identity).unwrap();
        let companion = PublicKey::from_slice(&identity.public_key.unwrap()).unwrap();
        let shared = phone.ephemeral.agree(&companion).unwrap();
        let salt = format!("Companion Pairing {} with ref 2@gate", identity.device_type.unwrap());
        let key: [u8; 32] =
            hkdf_sha256(shared.as_bytes(), salt.as_bytes(), b"Pairing Information Encryption Key");
        let iv: [u8; 12] = sealed.iv.unwrap().try_into().unwrap();
        let request = aes_gcm_open(&key, &iv, &[], &sealed.encrypted_payload.unwrap()).unwrap();
        let request = proto::PairingRequest::decode(&*request).unwrap();
        assert_eq!(request.companion_public_key.as_deref(), Some(&self.own.keys.noise.public().0[..]));
        assert_eq!(request.companion_identity_key.as_deref(), Some(&self.own.keys.identity.public().0[..]));
        let secret = AdvSecret::new(request.adv_secret.unwrap().try_into().unwrap());
        assert_ne!(secret.as_bytes(), old.as_bytes(), "the gate brings a secret of its own");

        self.pair_success(phone.vouch(self.own.keys.identity.public(), &secret)).await;
        let reply = self.sent().await;
        assert!(reply.find("pair-device-sign").is_some(), "{reply}");
        let link = self.ctx.store.read(|tx| tx.link()).await.unwrap().unwrap();
        assert_eq!((link.key_index, link.pn.as_str()), (3, "15550003333:4@s.whatsapp.net"));
    }

    async fn pair_success(&self, container: Vec<u8>) {
        let told = PairSuccess {
            container: Some(container),
            jid: Some("15550003333:4@s.whatsapp.net".parse().unwrap()),
            lid: Some("100000000000003:4@lid".parse().unwrap()),
            platform: Some("android".to_owned()),
            business: Some("Shop".to_owned()),
            ..PairSuccess::default()
        };
        let input = Input::PairSuccess { id: "p1".to_owned(), told: Box::new(told) };
        self.inputs.send(input).await.unwrap();
    }

    /// The pairing ends with this error, and the store stays unpaired.
    async fn fails(mut self, wanted: &str) {
        loop {
            match self.events.recv().await.expect("no error was told") {
                PairEvent::PairError { text, .. } => {
                    assert_eq!(text, wanted);
                    break;
                }
                PairEvent::PasskeyConfirm { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        self.driver.await.unwrap();
        assert!(self.ctx.store.read(|tx| tx.link()).await.unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn proves_02_16_13_the_passkey_gate_links_without_a_code_where_the_handoff_is_proved() {
    let mut stage = Stage::new().await;
    let (phone, old) = (Phone::new(), stage.shown().await);
    stage.asserted(Duration::from_secs(30)).await;
    let (prologue, proof) = stage.committed(Duration::ZERO).await;
    let key: [u8; 32] = hkdf_sha256(old.as_bytes(), &[0; 32], b"shortcake-passkey-handoff-v1");
    assert_eq!(proof, Some(hmac_sha256(&key, &[&prologue.encode_to_vec()]).to_vec()));
    stage.opened(&phone, &prologue).await;
    stage.linked(&phone, &prologue, &old).await;
    assert!(stage.events.try_recv().is_err(), "there was nothing to compare");
}

#[tokio::test(start_paused = true)]
async fn proves_02_16_13_after_five_minutes_both_sides_compare_the_verification_code() {
    let mut stage = Stage::new().await;
    let (phone, old) = (Phone::new(), stage.shown().await);
    stage.asserted(Duration::from_secs(299)).await;
    let (prologue, proof) = stage.committed(Duration::from_secs(10)).await;
    assert_eq!(proof, None, "the handoff is too old to prove anything");
    let nonce = stage.opened(&phone, &prologue).await;
    let digest = sha256_parts(&[&nonce, phone.ephemeral.public().as_bytes()]);
    let expected: [u8; 5] = std::array::from_fn(|at| phone.nonce[at] ^ digest[at]);
    match stage.events.recv().await.unwrap() {
        PairEvent::PasskeyConfirm { code, .. } => assert_eq!(code, Code::from_bytes(expected).display()),
        other => panic!("{other:?}"),
    }
    stage.commands.send(Command::Confirm(true)).await.unwrap();
    stage.linked(&phone, &prologue, &old).await;
}

#[tokio::test(start_paused = true)]
async fn the_passkey_gate_ends_the_pairing_by_a_refusal_a_cancel_a_timeout_and_what_comes_out_of_order() {
    let mut stage = Stage::new().await;
    stage.shown().await;
    stage.asserted(Duration::ZERO).await;
    let asked = stage.sent().await;
    stage.answer(&asked, "error", Node::new("error").attr("code", "403").attr("text", "forbidden"));
    stage.fails("passkey_refused").await;

    let mut stage = Stage::new().await;
    let phone = Phone::new();
    stage.shown().await;
    stage.asserted(Duration::from_secs(299)).await;
    let (prologue, _) = stage.committed(Duration::from_secs(10)).await;
    stage.opened(&phone, &prologue).await;
    stage.commands.send(Command::Confirm(false)).await.unwrap();
    stage.fails("passkey_cancelled").await;

    let mut stage = Stage::new().await;
    stage.shown().await;
    stage.asserted(Duration::from_secs(299)).await;
    let (prologue, _) = stage.committed(Duration::from_secs(10)).await;
    stage.opened(&phone, &prologue).await;
    stage.fails("passkey_timeout").await;

    let mut stage = Stage::new().await;
    stage.shown().await;
    stage.inputs.send(Input::Gate(GateInput::Continuation(Some(phone.hello())))).await.unwrap();
    stage.fails("passkey_order").await;

    let mut stage = Stage::new().await;
    stage.shown().await;
    stage.asserted(Duration::ZERO).await;
    let (_, _) = stage.committed(Duration::ZERO).await;
    let short = proto::PrimaryEphemeralIdentity { public_key: Some(vec![9; 31]), nonce: Some(vec![1; 32]) };
    let short = Some(short.encode_to_vec());
    stage.inputs.send(Input::Gate(GateInput::Continuation(short))).await.unwrap();
    stage.fails("passkey_identity").await;
}

/// What step 7 stores, in short.
async fn stored(ctx: &Context) -> [bool; 7] {
    ctx.store
        .read(|tx| {
            Ok::<_, StoreError>([
                tx.link()?.is_some(),
                tx.lid_of("15550003333@s.whatsapp.net")?.is_some(),
                tx.identity_addresses("")?.len() == 1,
                tx.push_name()?.is_some_and(|name| !name.is_empty()),
                tx.flag(Flag::ServerHasNoPrekeys)?,
                tx.flag(Flag::InitialSyncNeeded)?,
                !tx.open_events(0, 10)?.is_empty(),
            ])
        })
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn proves_02_16_10_where_the_reply_can_not_be_written_nothing_of_the_pairing_stays() {
    let mut stage = Stage::new().await;
    let (phone, secret) = (Phone::new(), stage.shown().await);
    assert_eq!(stored(&stage.ctx).await, [false; 7]);
    stage.orders.close();
    stage.pair_success(phone.vouch(stage.own.keys.identity.public(), &secret)).await;
    let over = (&mut stage.driver).await.unwrap();
    assert!(over.reason.contains("before the pairing was confirmed"), "{over:?}");
    assert_eq!(stored(&stage.ctx).await, [false; 7]);

    // The same with a connection that holds: everything is there.
    let mut stage = Stage::new().await;
    let secret = stage.shown().await;
    stage.pair_success(phone.vouch(stage.own.keys.identity.public(), &secret)).await;
    stage.sent().await;
    assert_eq!(stored(&stage.ctx).await, [true; 7]);
}

#[test]
fn debug_of_a_pairing_event_shows_neither_qr_text_nor_code() {
    let valid_for = Duration::from_secs(60);
    let text = format!("2@ref,{}", hex::encode(sha256(b"secret")));
    let code = "1234-5678".to_owned();
    let shown = [
        format!("{:?}", PairEvent::QrCode { text: text.clone(), valid_for }),
        format!("{:?}", PairEvent::PairingCode { code: code.clone(), valid_for }),
        format!("{:?}", PairEvent::PasskeyConfirm { code: code.clone(), within: valid_for }),
        format!(
            "{:?}",
            Command::Code {
                phone: Jid::pn("15550003333").unwrap(),
                custom: Some(code.clone()),
                reply: tokio::sync::oneshot::channel().0,
            }
        ),
    ];
    assert!(shown.iter().all(|shown| !shown.contains(&text) && !shown.contains("1234")), "{shown:?}");
}
