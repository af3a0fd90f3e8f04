//! The file of a recording: a header, then one JSON object a line, in the order of time. Reading stops at the first line
//! that is none, and says where.

use serde::{Deserialize, Serialize};

use super::shape::Shape;

/// The format that this build writes and reads.
const FORMAT: u32 = 1;
/// Longest line that is read, in bytes.
const MAX_LINE: usize = 1 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always `recording`.
    pub palomar: String,
    /// The format's number.
    pub format: u32,
    /// The release that recorded.
    pub release: String,
    /// When it began, Unix seconds.
    pub started: i64,
}

impl Header {
    /// Of a recording that begins now.
    #[must_use]
    pub fn new(release: &str, started: i64) -> Self {
        Self { palomar: "recording".to_owned(), format: FORMAT, release: release.to_owned(), started }
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Linking.
    Registration,
    /// A login with work to do before the queue comes (01 §14.1).
    Passive,
    /// A login without.
    Active,
}

/// From whom a stanza is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The server's.
    In,
    /// Ours.
    Out,
}

/// A line behind the header. `ms` counts from the header's time, `conn` the connections of the recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Entry {
    /// A connection's handshake is over.
    Open {
        /// Its number.
        conn: u32,
        /// When.
        ms: i64,
        /// What it is for.
        purpose: Purpose,
        /// The web client's version that was presented.
        client_version: String,
    },
    /// A stanza.
    Stanza {
        /// On this connection.
        conn: u32,
        /// When.
        ms: i64,
        /// From whom.
        way: Way,
        /// What it looks like.
        shape: Shape,
    },
    /// A connection is over.
    End {
        /// Its number.
        conn: u32,
        /// When.
        ms: i64,
    },
    /// The recording is as large as it may be; nothing follows.
    Full,
}

/// What a recording holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The first line. One that several commands wrote has more of them; this is the first.
    pub header: Header,
    /// What follows.
    pub entries: Vec<Entry>,
    /// Where reading stopped, if not at the end.
    pub cut: Option<Cut>,
}

/// A line that can't be read; everything before it could.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read up to line {line}, byte {byte}: {why}")]
pub struct Cut {
    /// The line, counted from 1.
    pub line: usize,
    /// Bytes before it.
    pub byte: usize,
    /// What is wrong with it.
    pub why: String,
}

/// The file is no recording of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a recording of palomar ({0})")]
pub struct NotARecording(pub Cut);

impl Recording {
    /// Reads a recording as far as it can be read.
    ///
    /// # Errors
    /// [`NotARecording`] if it does not even begin like one.
    pub fn read(bytes: &[u8]) -> Result<Self, NotARecording> {
        let mut byte = 0;
        let mut header: Option<Header> = None;
        let mut entries = Vec::new();
        // A recording that several commands wrote counts its connections in each part anew.
        let (mut before, mut last) = (0, 0);
        for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let cut = |why: String| Cut { line: at + 1, byte, why };
            if !line.ends_with(b"\n") || line.len() > MAX_LINE {
                let cut = cut("the line is cut short or too long".to_owned());
                return Self::so_far(header, entries, cut);
            }
            if let Ok(next) = serde_json::from_slice::<Header>(line) {
                if next.palomar != "recording" || next.format != FORMAT {
                    let cut = cut(format!("format {}, this build reads {FORMAT}", next.format));
                    return Self::so_far(header, entries, cut);
                }
                before = last;
                header.get_or_insert(next);
            } else if header.is_none() {
                return Err(NotARecording(cut("it does not begin with the header of one".to_owned())));
            } else {
                match serde_json::from_slice::<Entry>(line) {
                    Ok(mut entry) => {
                        if let Entry::Open { conn, .. }
                        | Entry::Stanza { conn, .. }
                        | Entry::End { conn, .. } = &mut entry
                        {
                            *conn = conn.saturating_add(before);
                            last = last.max(*conn);
                        }
                        entries.push(entry);
                    }
                    Err(error) => return Self::so_far(header, entries, cut(error.to_string())),
                }
            }
            byte += line.len();
        }
        match header {
            Some(header) => Ok(Self { header, entries, cut: None }),
            None => Err(NotARecording(Cut { line: 1, byte: 0, why: "it is empty".to_owned() })),
        }
    }

    fn so_far(header: Option<Header>, entries: Vec<Entry>, cut: Cut) -> Result<Self, NotARecording> {
        match header {
            Some(header) => Ok(Self { header, entries, cut: Some(cut) }),
            None => Err(NotARecording(cut)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Node;

    fn text() -> String {
        let lines = [
            serde_json::to_string(&Header::new("0.1.0", 5)).unwrap(),
            serde_json::to_string(&Entry::Open {
                conn: 1,
                ms: 0,
                purpose: Purpose::Passive,
                client_version: "2.3000.1".to_owned(),
            })
            .unwrap(),
            serde_json::to_string(&Entry::Stanza {
                conn: 1,
                ms: 9,
                way: Way::In,
                shape: Shape::of(&Node::new("success").attr("t", "1")),
            })
            .unwrap(),
            serde_json::to_string(&Entry::End { conn: 1, ms: 10 }).unwrap(),
        ];
        lines.join("\n") + "\n"
    }

    #[test]
    fn recorder_what_was_written_is_read_again_and_parts_count_on() {
        let recording = Recording::read(text().as_bytes()).unwrap();
        assert_eq!((recording.entries.len(), recording.cut.clone()), (3, None));
        let twice = Recording::read((text() + &text()).as_bytes()).unwrap();
        assert!(matches!(twice.entries[3], Entry::Open { conn: 2, .. }), "{twice:?}");
    }

    #[test]
    fn recorder_a_cut_recording_says_how_far_it_was_read_at_every_length() {
        let text = text();
        let header = text.find('\n').unwrap() + 1;
        for length in 0..text.len() {
            match Recording::read(&text.as_bytes()[..length]) {
                Err(NotARecording(cut)) => assert!(length < header && cut.byte == 0, "{length}: {cut}"),
                Ok(Recording { cut: None, .. }) => assert!(text[..length].ends_with('\n')),
                Ok(Recording { cut: Some(cut), entries, .. }) => {
                    assert_eq!(
                        (cut.line, cut.byte),
                        (entries.len() + 2, text[..length].rfind('\n').unwrap() + 1)
                    );
                }
            }
        }
    }

    #[test]
    fn recorder_a_foreign_file_is_none() {
        for foreign in [
            "",
            "GIF89a\n",
            "{\"a\":1}\n",
            "{\"palomar\":\"recording\",\"format\":9,\"release\":\"x\",\"started\":1}\n",
        ] {
            assert!(Recording::read(foreign.as_bytes()).is_err(), "{foreign}");
        }
        let later = text() + "{\"event\":\"dance\"}\n";
        let cut = Recording::read(later.as_bytes()).unwrap().cut.unwrap();
        assert_eq!((cut.line, cut.byte), (5, text().len()));
    }
}
