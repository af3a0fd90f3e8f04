//! A network inside the process, for virtual runs and tests: no kernel sockets, so a paused clock can't run ahead of
//! bytes under way (design §8).

use std::io;

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::dial::{ByteStream, Dialer, Dialling};

/// Bytes that a pipe holds in each direction before its writer waits.
const PIPE: usize = 64 * 1024;
/// Dials that wait to be accepted.
const BACKLOG: usize = 1024;

/// The dialling side. Clones dial the same listener.
#[derive(Debug, Clone)]
pub struct MemoryDialer(mpsc::Sender<Dialled>);

/// A dial that arrived.
#[derive(Debug)]
pub struct Dialled {
    /// The host that was dialled.
    pub host: String,
    /// The port that was dialled.
    pub port: u16,
    /// The listener's end of the pipe.
    pub stream: DuplexStream,
}

/// The listening side, for every host and port. Dials fail once it is dropped.
#[derive(Debug)]
pub struct MemoryListener(mpsc::Receiver<Dialled>);

/// A network of one listener.
#[must_use]
pub fn network() -> (MemoryDialer, MemoryListener) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    (MemoryDialer(sender), MemoryListener(receiver))
}

impl MemoryListener {
    /// The next dial; `None` once every dialler is gone.
    pub async fn accept(&mut self) -> Option<Dialled> {
        self.0.recv().await
    }
}

impl Dialer for MemoryDialer {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            let (near, far) = tokio::io::duplex(PIPE);
            let dialled = Dialled { host: host.to_owned(), port, stream: far };
            let refused = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
            self.0.send(dialled).await.map_err(refused)?;
            Ok(Box::new(near) as Box<dyn ByteStream>)
        })
    }
}
