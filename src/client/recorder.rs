//! The flight recorder: shapes and times of all stanzas of an account's connections, both ways, for a file that can be
//! given to others. It holds no value, no key and no content (`stanza::judge::recording`); it is bounded, and what goes
//! wrong with it ends the recording, never the connection.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client::context::Shared;
use crate::stanza::Element;
use crate::stanza::judge::recording::{Entry, Header, Purpose, Shape, Way};
use crate::wire::{self, Arena};

/// Where a recording is written; more than `limit` bytes are not.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Sink>>);

struct Sink {
    out: Box<dyn Write + Send>,
    left: u64,
    started_ms: Option<i64>,
    connections: u32,
    over: bool,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("left", &self.lock().left).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Writes to `out`, a line at a time, at most `limit` bytes.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, limit: u64) -> Self {
        let sink = Sink { out, left: limit, started_ms: None, connections: 0, over: false };
        Self(Arc::new(Mutex::new(sink)))
    }

    fn lock(&self) -> MutexGuard<'_, Sink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// Milliseconds since the begin; the header is the first thing written.
    fn since(&mut self, now_ms: i64) -> i64 {
        if let Some(started) = self.started_ms {
            return now_ms - started;
        }
        self.started_ms = Some(now_ms);
        let header = Header::new(env!("CARGO_PKG_VERSION"), now_ms.div_euclid(1000));
        self.line(serde_json::to_vec(&header));
        0
    }

    fn entry(&mut self, entry: &Entry) {
        self.line(serde_json::to_vec(entry));
    }

    fn line(&mut self, text: serde_json::Result<Vec<u8>>) {
        // Room for the line that says that there is no more room.
        const LAST: u64 = 64;
        if self.over {
            return;
        }
        let Ok(mut text) = text else { return };
        text.push(b'\n');
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if length.saturating_add(LAST) > self.left {
            self.over = true;
            let mut full = serde_json::to_vec(&Entry::Full).unwrap_or_default();
            full.push(b'\n');
            self.write(&full);
            return;
        }
        self.left -= length;
        self.write(&text);
    }

    fn write(&mut self, text: &[u8]) {
        if let Err(error) = self.out.write_all(text).and_then(|()| self.out.flush()) {
            tracing::warn!(%error, "the recording ends here");
            self.over = true;
        }
    }
}

/// The recording of one connection; its end is recorded when it is dropped.
pub(crate) struct Tape {
    recorder: Recorder,
    ctx: crate::client::context::Context,
    conn: u32,
}

impl Tape {
    /// Begins with a connection, if connections are recorded.
    pub(crate) fn begin(ctx: &crate::client::context::Context, purpose: Purpose) -> Option<Self> {
        let recorder = ctx.config.recorder.clone()?;
        let conn = {
            let mut sink = recorder.lock();
            let ms = sink.since(ctx.clock.wall_ms());
            sink.connections += 1;
            let (conn, client_version) = (sink.connections, ctx.config.version.get().to_string());
            sink.entry(&Entry::Open { conn, ms, purpose, client_version });
            conn
        };
        Some(Self { recorder, ctx: ctx.clone(), conn })
    }

    /// A stanza of the server.
    pub(crate) fn received<'n>(&self, stanza: impl Element<'n>) {
        self.stanza(Way::In, Shape::of(stanza));
    }

    /// A frame's plaintext of ours.
    pub(crate) fn sent(&self, plaintext: &[u8]) {
        let mut arena = Arena::new();
        if let Ok(stanza) = wire::decode(plaintext, &mut arena) {
            self.stanza(Way::Out, Shape::of(stanza));
        }
    }

    fn stanza(&self, way: Way, shape: Shape) {
        let mut sink = self.recorder.lock();
        let ms = sink.since(self.now());
        sink.entry(&Entry::Stanza { conn: self.conn, ms, way, shape });
    }

    fn now(&self) -> i64 {
        let ctx: &Shared = &self.ctx;
        ctx.clock.wall_ms()
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        let mut sink = self.recorder.lock();
        let ms = sink.since(self.now());
        sink.entry(&Entry::End { conn: self.conn, ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::judge::recording::Recording;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn recorder_the_file_is_bounded_and_says_when_it_is_full() {
        let kept = Kept::default();
        let recorder = Recorder::new(Box::new(kept.clone()), 1000);
        for at in 0..100 {
            let mut sink = recorder.lock();
            let ms = sink.since(1_786_000_000_000 + at);
            sink.entry(&Entry::End { conn: 1, ms });
        }
        let bytes = kept.0.lock().unwrap().clone();
        assert!(bytes.len() <= 1000);
        let recording = Recording::read(&bytes).unwrap();
        assert_eq!((recording.cut, recording.entries.last()), (None, Some(&Entry::Full)));
        assert!(recording.entries.len() > 10);
    }
}
