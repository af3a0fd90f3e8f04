//! A running simulator: its world, its listeners, its handle.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::admin::{Admin, Info, http};
use super::chain::ROOT_SERIAL;
use super::config::{ClockMode, ConfigError, Profile, SimConfig};
use super::listen::{self, Targets};
use super::pki::{Issuing, Pki, PkiError};
use super::shapes::{Shapes, Tables, TablesError};
use super::shared::Shared;
use super::state::{SaveError, StateDir};
use super::world::World;
use crate::clock::Clock;
use crate::crypto::PublicKey;

/// The buffer of an in-memory client, each way.
const PIPE: usize = 256 << 10;

/// A simulator that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificates could not be made or read.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A table of the judge can't be used: the file, and the line and column.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The folder of the state can't be used.
    #[error("{path}: {error}")]
    State {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        error: SaveError,
    },
    /// An address is taken or not ours; choose another one.
    #[error("{at} can't be listened on: {error}")]
    Listen {
        /// The address.
        at: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
}

/// A running simulator. Dropping it closes every socket and ends every task.
pub struct Simulator {
    shared: Arc<Shared>,
    admin: Admin,
    pki: Pki,
    root_key: PublicKey,
    tasks: JoinSet<()>,
    clients: std::sync::Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator").field("info", self.admin.info()).finish_non_exhaustive()
    }
}

/// The listeners that are bound.
struct Bound {
    chat: Option<TcpListener>,
    chat_tls: Option<TcpListener>,
    proxy: Option<TcpListener>,
    admin: Option<TcpListener>,
}

impl Simulator {
    /// Binds the listeners and starts the world. Must be called inside a tokio runtime; with a virtual clock and no
    /// listeners that runtime may have its time paused.
    ///
    /// # Errors
    /// [`StartError`] says which part of the configuration can't be used.
    pub async fn start(config: SimConfig) -> Result<Self, StartError> {
        config.check()?;
        let (clock, kind) = match config.clock {
            ClockMode::Real => (Clock::system(), "real"),
            ClockMode::Virtual { start } => (Clock::starting_at(start), "virtual"),
        };
        let issuing = if config.profile == Profile::Crude { Issuing::SelfSigned } else { Issuing::Ca };
        let pki = match &pki_dir(&config) {
            Some(dir) => Pki::open(dir, issuing)?,
            None => Pki::create(issuing)?,
        };
        let tables = Tables::load(&config.judge)?;
        let (mut world, state) = load(&config, clock)?;
        world.shapes = Shapes::new(Some(Arc::clone(&tables)));
        let root_key = world.server.root_key();
        let bound = Bound {
            chat: bind(config.chat).await?,
            chat_tls: bind(config.chat_tls).await?,
            proxy: bind(config.proxy).await?,
            admin: bind(config.admin).await?,
        };
        let mut info = info(&config, &bound, &pki, root_key, kind)?;
        info.stanza_table = Some(tables.stanza_table());
        let shared = Arc::new(Shared::new(world, clock, state));
        let admin = Admin::new(Arc::clone(&shared), info);
        let tasks = spawn(&config, &shared, &admin, bound, &pki)?;
        Ok(Self { shared, admin, pki, root_key, tasks, clients: std::sync::Mutex::new(JoinSet::new()) })
    }

    /// The admin calls.
    #[must_use]
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The clock that the world runs by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The chat listener's URL.
    #[must_use]
    pub fn chat_url(&self) -> Option<String> {
        self.admin.info().chat.map(|at| format!("ws://{at}/ws/chat"))
    }

    /// The URL of the chat listener with TLS.
    #[must_use]
    pub fn chat_tls_url(&self) -> Option<String> {
        self.admin.info().chat_tls.map(|at| format!("wss://localhost:{}/ws/chat", at.port()))
    }

    /// The Noise root key that clients must trust.
    #[must_use]
    pub fn root_key(&self) -> PublicKey {
        self.root_key
    }

    /// The CA certificate of the TLS listeners.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.pki.ca_pem()
    }

    /// A client over memory: the returned end speaks WebSocket, as over a socket. `source` is where it says it comes
    /// from.
    #[must_use]
    pub fn connect(&self, source: &str) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE);
        let serve = listen::serve(Arc::clone(&self.shared), server, source.to_owned());
        let mut clients = self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while clients.try_join_next().is_some() {}
        clients.spawn(serve);
        client
    }

    /// Writes the state and ends. Connections are dropped without a word, as by a killed server.
    ///
    /// # Errors
    /// [`SaveError`] if the state can't be written.
    pub async fn stop(mut self) -> Result<(), SaveError> {
        self.tasks.shutdown().await;
        let mut clients =
            std::mem::take(&mut *self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        clients.shutdown().await;
        self.shared.close()
    }
}

/// Where the PKI's files are: those of a crude server are not those of the others.
fn pki_dir(config: &SimConfig) -> Option<PathBuf> {
    let dir = config.state_dir.as_ref()?;
    Some(if config.profile == Profile::Crude { dir.join("crude") } else { dir.clone() })
}

fn load(config: &SimConfig, clock: Clock) -> Result<(World, Option<StateDir>), StartError> {
    let Some(folder) = &config.state_dir else {
        return Ok((World::new(config.clone(), clock.wall_ms()), None));
    };
    let unusable = |error| StartError::State { path: folder.clone(), error };
    let (mut state, tree) = StateDir::open(folder).map_err(unusable)?;
    let mut world = match tree {
        Some(tree) => World::restore(config.clone(), clock.wall_ms(), tree)
            .map_err(|error| unusable(SaveError::Snapshot(error)))?,
        None => World::new(config.clone(), clock.wall_ms()),
    };
    state.commit(&mut world).map_err(unusable)?;
    Ok((world, Some(state)))
}

async fn bind(at: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    let Some(at) = at else { return Ok(None) };
    TcpListener::bind(at).await.map(Some).map_err(|error| StartError::Listen { at, error })
}

fn info(
    config: &SimConfig,
    bound: &Bound,
    pki: &Pki,
    root_key: PublicKey,
    clock: &'static str,
) -> Result<Info, StartError> {
    let at =
        |listener: &Option<TcpListener>| listener.as_ref().and_then(|listener| listener.local_addr().ok());
    Ok(Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        chat: at(&bound.chat),
        chat_tls: at(&bound.chat_tls),
        proxy: at(&bound.proxy),
        admin: at(&bound.admin),
        root_key: hex::encode(root_key.as_bytes()),
        root_serial: ROOT_SERIAL,
        ca_path: pki_dir(config).map(|dir| dir.join("ca.pem")),
        ca_fingerprint: pki.ca_fingerprint()?,
        seed: config.seed,
        clock,
        profile: config.profile,
        fail_on: config.fail_on,
        stanza_table: None,
    })
}

fn spawn(
    config: &SimConfig,
    shared: &Arc<Shared>,
    admin: &Admin,
    bound: Bound,
    pki: &Pki,
) -> Result<JoinSet<()>, StartError> {
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(shared).keep_time());
    if let Some(listener) = bound.chat {
        tasks.spawn(listen::chat_listener(Arc::clone(shared), listener, None));
    }
    if let Some(listener) = bound.chat_tls {
        let acceptor = TlsAcceptor::from(pki.server_config()?);
        tasks.spawn(listen::chat_listener(Arc::clone(shared), listener, Some(acceptor)));
    }
    if let Some(listener) = bound.proxy {
        let targets = Targets { chat: admin.info().chat_tls, media: None };
        tasks.spawn(listen::proxy_listener(listener, targets));
    }
    if let Some(listener) = bound.admin {
        tasks.spawn(http::serve(admin.clone(), listener, config.admin_token.clone()));
    }
    Ok(tasks)
}
