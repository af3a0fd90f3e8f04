//! Inflating a compressed frame body with a hard limit of output (03 §2, §10).

use flate2::{Decompress, FlushDecompress, Status};

use super::error::{DecodeError, DecodeErrorKind};

/// The most a body may inflate to.
pub const MAX_INFLATED: usize = 16 * 1024 * 1024;

/// Output grows by at least this.
const STEP: usize = 16 * 1024;

/// Inflates one zlib stream into `out`. Offsets of errors count from the flag byte before `body`.
pub(super) fn inflate(body: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let bad = |inflater: &Decompress| {
        DecodeErrorKind::BadCompression.at(1 + usize::try_from(inflater.total_in()).unwrap_or(usize::MAX))
    };
    out.clear();
    let mut inflater = Decompress::new(true);
    // A preset dictionary (FDICT) is never legal here.
    if body.get(1).is_none_or(|flags| flags & 0x20 != 0) {
        return Err(bad(&inflater));
    }
    let mut rest = body;
    loop {
        if out.len() > MAX_INFLATED {
            return Err(DecodeErrorKind::TooLarge.at(MAX_INFLATED));
        }
        // `reserve` may give more than asked for, but `decompress_vec` stops at the capacity and the next turn at the
        // limit: at most twice the limit is ever held.
        out.reserve(STEP.max(out.len().min(MAX_INFLATED + 1 - out.len())));
        let (before_in, before_out) = (inflater.total_in(), out.len());
        let status = inflater.decompress_vec(rest, out, FlushDecompress::None).map_err(|_| bad(&inflater))?;
        let used = usize::try_from(inflater.total_in() - before_in).unwrap_or(usize::MAX);
        rest = rest.get(used..).unwrap_or_default();
        match status {
            Status::StreamEnd if out.len() > MAX_INFLATED => {
                return Err(DecodeErrorKind::TooLarge.at(MAX_INFLATED));
            }
            Status::StreamEnd if rest.is_empty() => return Ok(()),
            Status::StreamEnd => return Err(DecodeErrorKind::TrailingBytes.at(1 + body.len() - rest.len())),
            // No progress with room to write: the stream ends too early.
            _ if used == 0 && out.len() == before_out => return Err(bad(&inflater)),
            _ => {}
        }
    }
}
