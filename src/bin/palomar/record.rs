//! The files of the flight recorder: opened for a command, and compared (`sim compare`).

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use palomar::client::Recorder;
use palomar::stanza::judge::drift::Names;
use palomar::stanza::judge::recording::{self, Entry, Recording};
use palomar::stanza::judge::{Deviations, Table};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// A recording grows no larger; a day of a quiet account takes about one.
const MAX_BYTES: u64 = 16 << 20;

/// Opens a file to record into. One that holds a recording goes on; one that holds anything else is left alone.
pub fn open(path: &Path) -> Result<Recorder, Failure> {
    let fail = |e: std::io::Error| Failure::failed(format!("recording: {}: {e}", path.display()));
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    if length > 0 {
        let mut begin = Vec::new();
        (&mut file).take(MAX_BYTES).read_to_end(&mut begin).map_err(fail)?;
        let header = begin.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
        if Recording::read(header).is_err() {
            let what = format!("{} holds something else than a recording", path.display());
            return Err(Failure::usage(what).next("give --record another file; this one is left as it is"));
        }
        // A line that was cut off with its writer is taken back, so that what follows can be read.
        let whole = begin.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if begin.len() as u64 == length && whole < begin.len() {
            file.set_len(whole as u64).map_err(fail)?;
        }
    }
    Ok(Recorder::new(Box::new(file), MAX_BYTES.saturating_sub(length)))
}

/// Options of `sim compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A recording: `listen ID --record FILE`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs `sim compare`. Differences end with exit code 1, as with `diff`.
pub fn compare(args: &CompareArgs, output: Output) -> Result<(), Failure> {
    let recording = read(&args.file)?;
    let table = Table::built_in().map_err(|e| Failure::failed(e.to_string()))?;
    let deviations = Deviations::built_in().map_err(|e| Failure::failed(e.to_string()))?;
    let differences = recording::compare(&recording, &table, &deviations, &Names::built_in());
    let connections = recording.entries.iter().filter(|entry| matches!(entry, Entry::Open { .. })).count();
    let stanzas = recording.entries.iter().filter(|entry| matches!(entry, Entry::Stanza { .. })).count();
    for difference in &differences {
        let value = json!({
            "event": "difference", "side": difference.side.name(), "what": difference.what,
            "conn": difference.conn, "ms": difference.ms, "count": difference.count,
        });
        output.line(difference, &value);
    }
    if recording.entries.last() == Some(&Entry::Full) {
        output.text("the recording was full: what came later is not in it");
    }
    if let Some(cut) = &recording.cut {
        output.text(format_args!("the recording is cut short: {cut}; what was read is compared"));
    }
    let total = differences.len();
    let value = json!({
        "event": "compared", "connections": connections, "stanzas": stanzas, "differences": total,
        "cut": recording.cut.as_ref().map(ToString::to_string), "release": recording.header.release,
        "table_sha256": hex::encode(table.sha256()),
    });
    let text = format!("{stanzas} stanzas of {connections} connections compared: {total} differences");
    output.line(text, &value);
    match total {
        0 => Ok(()),
        _ => Err(Failure::failed(format!("{total} differences")).next(
            "see docs/first-live-link.md for what to send us; there is no value of yours in a recording",
        )),
    }
}

fn read(path: &Path) -> Result<Recording, Failure> {
    let fail = |e: std::io::Error| Failure::new(Exit::Usage, format!("{}: {e}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(2 * MAX_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    Recording::read(&bytes).map_err(|error| {
        Failure::usage(format!("{}: {error}", path.display()))
            .next("`palomar listen ID --record FILE` writes one")
    })
}
