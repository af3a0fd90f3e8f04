//! The byte stream of a connection: the intro and length-prefixed frames (01 §3).

use super::error::FrameError;
use super::token::DICTIONARY_VERSION;

/// What the client sends before its first frame; also the Noise prologue.
pub const INTRO: [u8; 4] = [b'W', b'A', 6, DICTIONARY_VERSION];

/// The longest body of a frame.
pub const MAX_FRAME: usize = 0x00ff_ffff;

/// What announces edge-routing information.
const PRE_INTRO: [u8; 4] = [b'E', b'D', 0, 1];

/// Buffers above this are given back once they are drained.
const KEEP: usize = 64 * 1024;

/// All bytes before the first frame: the pre-intro if there is routing information that fits, then [`INTRO`].
#[must_use]
pub fn intro(routing_info: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(info) = routing_info.filter(|info| !info.is_empty())
        && let Ok(header) = frame_header(info.len())
    {
        out.extend_from_slice(&PRE_INTRO);
        out.extend_from_slice(&header);
        out.extend_from_slice(info);
    }
    out.extend_from_slice(&INTRO);
    out
}

/// The beginning of a connection as a server reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intro {
    /// What a pre-intro carried.
    pub routing_info: Option<Vec<u8>>,
    /// How many bytes were the intro; frames follow.
    pub len: usize,
}

/// Reads the intro at the beginning of what has arrived; `None` while it is incomplete.
///
/// # Errors
/// [`FrameError::BadIntro`] as soon as the bytes can't become an intro of our version: close the socket.
pub fn parse_intro(bytes: &[u8]) -> Result<Option<Intro>, FrameError> {
    let begins = |bytes: &[u8], with: &[u8; 4]| bytes.iter().zip(with).all(|(a, b)| a == b);
    let mut rest = bytes;
    let mut routing_info = None;
    if rest.first() == PRE_INTRO.first() {
        if !begins(rest, &PRE_INTRO) {
            return Err(FrameError::BadIntro);
        }
        let Some((&[_, _, _, _, a, b, c], behind)) = rest.split_first_chunk::<7>() else { return Ok(None) };
        let Some((info, behind)) = behind.split_at_checked(be24([a, b, c])) else { return Ok(None) };
        routing_info = Some(info.to_vec());
        rest = behind;
    }
    if !begins(rest, &INTRO) {
        return Err(FrameError::BadIntro);
    }
    if rest.len() < INTRO.len() {
        return Ok(None);
    }
    Ok(Some(Intro { routing_info, len: bytes.len() - rest.len() + INTRO.len() }))
}

/// The length prefix of a frame whose body has `len` bytes.
///
/// # Errors
/// [`FrameError::TooLong`] from 2^24 bytes on; nothing may be sent then.
pub fn frame_header(len: usize) -> Result<[u8; 3], FrameError> {
    match u32::try_from(len) {
        Ok(short) if len <= MAX_FRAME => {
            let [_, a, b, c] = short.to_be_bytes();
            Ok([a, b, c])
        }
        _ => Err(FrameError::TooLong { len, limit: MAX_FRAME }),
    }
}

fn be24([a, b, c]: [u8; 3]) -> usize {
    (usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c)
}

/// Cuts a byte stream into frames, whatever pieces it arrives in. Holds only what has arrived, never what is
/// announced.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are delivered.
    start: usize,
    limit: usize,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameDecoder {
    /// A decoder that accepts every length.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_FRAME)
    }

    /// A decoder that refuses bodies over `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, limit }
    }

    /// Changes the limit, for instance when the handshake is over.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes that have arrived and are not delivered.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Adds bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The body of the next whole frame.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if the next frame announces more than the limit: fatal for the connection.
    #[allow(clippy::should_implement_trait, reason = "an iterator can't say that more bytes may come")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let mut body = Vec::new();
        Ok(self.next_into(&mut body)?.then_some(body))
    }

    /// As [`FrameDecoder::next`], into a buffer that is reused; `false` if no whole frame is there.
    ///
    /// # Errors
    /// As [`FrameDecoder::next`].
    pub fn next_into(&mut self, body: &mut Vec<u8>) -> Result<bool, FrameError> {
        let waiting = self.buffer.get(self.start..).unwrap_or_default();
        let Some((header, rest)) = waiting.split_first_chunk::<3>() else { return Ok(false) };
        let len = be24(*header);
        if len > self.limit {
            return Err(FrameError::TooLong { len, limit: self.limit });
        }
        let Some(frame) = rest.get(..len) else { return Ok(false) };
        body.clear();
        body.extend_from_slice(frame);
        self.start += header.len() + len;
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            self.buffer.shrink_to(KEEP);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_decode_identically_under_every_chunking() {
        let bodies: [&[u8]; 4] = [b"abc", b"", &[7; 300], b"z"];
        let mut stream = Vec::new();
        for body in bodies {
            stream.extend_from_slice(&frame_header(body.len()).unwrap());
            stream.extend_from_slice(body);
        }
        for size in 1..=stream.len() {
            let mut decoder = FrameDecoder::new();
            let mut got = Vec::new();
            for piece in stream.chunks(size) {
                decoder.push(piece);
                while let Some(body) = decoder.next().unwrap() {
                    got.push(body);
                }
            }
            assert_eq!(got, bodies, "pieces of {size}");
            assert_eq!(decoder.pending(), 0);
        }
    }

    #[test]
    fn a_prefix_announcing_16_mib_does_not_allocate_16_mib() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&[0xff, 0xff, 0xff]);
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.capacity() < 1024);
    }

    #[test]
    fn large_buffers_are_released_once_drained() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&frame_header(1 << 20).unwrap());
        decoder.push(&vec![1; 1 << 20]);
        assert_eq!(decoder.next().unwrap().unwrap().len(), 1 << 20);
        assert!(decoder.capacity() <= KEEP);
    }

    #[test]
    fn sending_2_to_the_24_bytes_fails_locally() {
        assert_eq!(frame_header(MAX_FRAME), Ok([0xff; 3]));
        assert_eq!(frame_header(1 << 24), Err(FrameError::TooLong { len: 1 << 24, limit: MAX_FRAME }));
    }

    #[test]
    fn a_lower_limit_is_a_fatal_error() {
        let mut decoder = FrameDecoder::with_limit(65_536);
        decoder.push(&[1, 0, 1]);
        assert_eq!(decoder.next(), Err(FrameError::TooLong { len: 65_537, limit: 65_536 }));
    }

    #[test]
    fn ed_pre_intro_only_when_routing_info_is_stored() {
        assert_eq!(intro(None), INTRO);
        assert_eq!(intro(Some(&[])), INTRO);
        assert_eq!(intro(Some(&vec![0; 1 << 24])), INTRO);
        assert_eq!(intro(Some(&[9, 8])), [b'E', b'D', 0, 1, 0, 0, 2, 9, 8, b'W', b'A', 6, 3]);
    }

    #[test]
    fn a_server_reads_both_intros_and_refuses_others() {
        for routing in [None, Some(vec![1, 2, 3])] {
            let bytes = intro(routing.as_deref());
            for cut in 0..bytes.len() {
                assert_eq!(parse_intro(&bytes[..cut]), Ok(None), "{cut}");
            }
            let whole = Intro { routing_info: routing, len: bytes.len() };
            assert_eq!(parse_intro(&[&bytes[..], b"more"].concat()), Ok(Some(whole)));
        }
        for bad in [&b"GET "[..], b"WA\x05\x03", b"WA\x06\x02", b"ED\x00\x02", b"EX"] {
            assert_eq!(parse_intro(bad), Err(FrameError::BadIntro));
        }
    }

    #[test]
    fn dictionary_version_and_intro_byte_agree() {
        assert_eq!(INTRO[3], DICTIONARY_VERSION);
    }
}
