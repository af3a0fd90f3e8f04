//! Frames that authenticate and can't be decoded (protocol 03 §15): counted, dropped, never answered.

use crate::wire::{DecodeError, DecodeErrorKind};

/// So many in a row end the connection.
const IN_A_ROW: u32 = 5;

/// What was bad on one connection.
#[derive(Debug, Default)]
pub(super) struct BadFrames {
    in_a_row: u32,
}

impl BadFrames {
    /// A frame was decoded, perhaps with bytes behind it.
    pub fn good(&mut self, trailing: usize) {
        self.in_a_row = 0;
        if trailing > 0 {
            tracing::warn!(trailing, "bytes behind a stanza were ignored");
        }
    }

    /// A frame was not; `true` if the connection is to be given up.
    pub fn bad(&mut self, error: &DecodeError, length: usize) -> bool {
        self.in_a_row += 1;
        tracing::warn!(kind = %error.kind, offset = error.offset, length, "a bad frame was dropped");
        self.in_a_row >= IN_A_ROW || error.kind == DecodeErrorKind::BadCompression
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, offset: 0 }
    }

    #[test]
    fn five_bad_frames_in_a_row_end_the_connection_and_a_good_one_between_forgives() {
        let mut frames = BadFrames::default();
        for _ in 0..3 {
            for _ in 0..4 {
                assert!(!frames.bad(&error(DecodeErrorKind::BadToken), 9));
            }
            frames.good(0);
        }
        for n in 1..=5 {
            assert_eq!(frames.bad(&error(DecodeErrorKind::Truncated), 9), n == 5);
        }
    }

    #[test]
    fn bad_compression_ends_it_at_once() {
        assert!(BadFrames::default().bad(&error(DecodeErrorKind::BadCompression), 9));
    }
}
