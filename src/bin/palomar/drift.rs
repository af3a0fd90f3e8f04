//! `drift` and `doctor drift`: what the service sent that this build does not know. Counted by the clients of every
//! command, and kept between them in `drift.json` of the data folder: names of the protocol and counts, nothing else.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use palomar::client::Drift;
use palomar::stanza::judge::drift::{Entry, Report};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::Config;
use crate::exit::Failure;
use crate::files;
use crate::output::{Output, table};

/// The file in the data folder.
const FILE: &str = "drift.json";
/// A report of 512 entries is much smaller.
const MAX_BYTES: u64 = 1 << 20;

/// Options of `drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Write the report to a file, for an issue report
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Forget what was counted so far
    #[arg(long, conflicts_with = "save")]
    pub clear: bool,
}

/// What is kept, and by which release: another one knows other shapes, and begins anew.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    palomar: String,
    shapes: Report,
}

/// What was counted in this data folder by this release.
pub fn kept(config: &Config) -> Result<Report, Failure> {
    read(&config.data.root().join(FILE))
}

fn read(path: &Path) -> Result<Report, Failure> {
    let fail = |what: String| {
        Failure::failed(format!("{}: {what}", path.display())).next("`palomar drift --clear` begins anew")
    };
    match std::fs::metadata(path) {
        Ok(file) if file.len() > MAX_BYTES => return Err(fail("it is too large to be a report".to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Report::default()),
        Err(error) => return Err(fail(error.to_string())),
    }
    let text = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let kept: Kept = serde_json::from_slice(&text).map_err(|error| fail(format!("no report: {error}")))?;
    Ok(if kept.palomar == env!("CARGO_PKG_VERSION") { kept.shapes } else { Report::default() })
}

fn write(path: &Path, report: &Report) -> Result<(), Failure> {
    let kept = Kept { palomar: env!("CARGO_PKG_VERSION").to_owned(), shapes: report.clone() };
    let text = serde_json::to_vec_pretty(&kept).map_err(|error| Failure::failed(error.to_string()))?;
    files::write(path, &text)
}

/// Counts for one command, and adds what it counted to the file when it is dropped: at the end of the command, and at
/// Ctrl-C.
pub struct Keeper {
    drift: Drift,
    file: PathBuf,
}

impl Keeper {
    /// For the data folder of a configuration; `None` where counting is off.
    pub fn of(config: &Config) -> Option<Self> {
        config.drift.then(|| Self { drift: Drift::default(), file: config.data.root().join(FILE) })
    }

    /// What a client counts with.
    pub fn counter(&self) -> Drift {
        self.drift.clone()
    }

    fn keep(&self) -> Result<(), Failure> {
        let counted = self.drift.report();
        if counted.is_empty() {
            return Ok(());
        }
        // Commands that end at the same time add one after the other.
        let lock = File::create(self.file.with_extension("lock")).and_then(|lock| lock.lock().map(|()| lock));
        let _lock = lock.map_err(|error| Failure::failed(format!("{}: {error}", self.file.display())))?;
        let mut report = read(&self.file).unwrap_or_default();
        report.merge(&counted);
        write(&self.file, &report)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Err(failure) = self.keep() {
            tracing::warn!(error = failure.what, "the drift report was not kept");
        }
    }
}

/// Runs the command.
pub fn run(args: &DriftArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let path = config.data.root().join(FILE);
    if args.clear {
        return clear(&path, output);
    }
    let report = read(&path)?;
    if let Some(file) = &args.save {
        write(file, &report)?;
        let count = report.entries().len();
        let text = format!("{count} shapes written to {}; there is no value of yours in it", file.display());
        output.line(text, &json!({ "event": "saved", "file": file, "shapes": count }));
        return Ok(());
    }
    if output.is_json() {
        for entry in report.entries() {
            output.line("", &serde_json::to_value(entry).map_err(|e| Failure::failed(e.to_string()))?);
        }
    } else if report.is_empty() {
        let off = if config.drift { "" } else { " (counting is switched off: drift = false)" };
        output.text(format_args!("nothing was received that this build does not know{off}"));
    } else {
        let rows: Vec<Vec<String>> = report.entries().iter().map(row).collect();
        let head = ["kind", "where", "name", "count", "first seen", "last seen", "client version"];
        output.text(table(&head, &rows));
        output.text("\nnothing is broken by these; `--save FILE` writes them for an issue report, without any value of yours");
    }
    Ok(())
}

fn clear(path: &Path, output: Output) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::failed(format!("{}: {error}", path.display())));
        }
        _ => output.line("forgotten", &json!({ "event": "cleared" })),
    }
    Ok(())
}

fn row(entry: &Entry) -> Vec<String> {
    let when = |seconds: i64| {
        let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        UNIX_EPOCH.checked_add(since).map_or_else(String::new, |at: SystemTime| httpdate::fmt_http_date(at))
    };
    vec![
        entry.kind.name().to_owned(),
        entry.place.clone(),
        entry.name.clone(),
        entry.count.to_string(),
        when(entry.first_seen),
        when(entry.last_seen),
        entry.client_version.clone(),
    ]
}
