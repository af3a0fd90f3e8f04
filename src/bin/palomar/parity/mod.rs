//! `sim parity`: does palomar behave in its first minute and on a quiet day as the official client would (protocol 01 §14)?
//! Client and simulator run in one process over memory, in virtual time; what is expected stands in
//! `stanza::judge::order`, which stage plays it in `stage`.

mod stage;

use clap::Args;
use palomar::stanza::judge::order::{self, Count, Fault, Row};
use serde_json::json;

use crate::exit::Failure;
use crate::output::{Output, table};

/// Options of `sim parity`.
#[derive(Debug, Args)]
pub struct ParityArgs {
    /// Fixes keys, ids and jitter
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Runs `sim parity`; differences are a failure.
pub async fn run(args: &ParityArgs, output: Output) -> Result<(), Failure> {
    let seed = args.seed;
    // A virtual clock belongs to a runtime of one thread, which is not this one.
    let played = tokio::task::spawn_blocking(move || stage::in_virtual_time(seed)).await;
    let seen = played.map_err(|e| Failure::failed(e.to_string()))??;
    let link = order::compare(order::LINK, &seen.link);
    let login = order::compare(order::LOGIN, &seen.login);
    let day = order::count(&order::quiet_day(&stage::DAY), &seen.day);
    output.text("The first minute: from a scanned code to a minute and a half after ready");
    show_order(output, "link", &link);
    output.text("\nThe first minute: a later login");
    show_order(output, "login", &login);
    output.text(format_args!(
        "\nA quiet day: {} hours, {} messages in, {} out, {} contacts, {} reconnects",
        stage::DAY.hours,
        stage::DAY.received,
        stage::DAY.sent,
        stage::DAY.contacts,
        stage::DAY.reconnects
    ));
    show_day(output, &day);
    let faults = link.iter().chain(&login).filter(|row| row.fault.is_some()).count()
        + day.iter().filter(|row| row.fault.is_some()).count();
    let differences = faults + seen.violations;
    output.line(
        format_args!("\n{faults} differences, {} violations", seen.violations),
        &json!({ "event": "parity", "differences": faults, "violations": seen.violations }),
    );
    match differences {
        0 => Ok(()),
        _ => Err(Failure::failed("palomar differs from what the chapters expect; see the rows that say how")),
    }
}

/// How often something is expected, in words.
fn times(least: u32, most: u32) -> String {
    match (least, most) {
        (0, 0) => "none".to_owned(),
        (0, u32::MAX) => "any".to_owned(),
        (_, u32::MAX) => format!("{least} or more"),
        _ if least == most => least.to_string(),
        _ => format!("{least} to {most}"),
    }
}

/// `None`: as often as it likes.
fn bounded(most: u32) -> Option<u32> {
    (most < u32::MAX).then_some(most)
}

fn verdict(fault: Option<Fault>) -> String {
    fault.map_or("ok", Fault::name).to_owned()
}

fn show_order(output: Output, name: &str, rows: &[Row]) {
    let cells = rows.iter().map(|row| {
        let (stage, expected, place) = match &row.expected {
            Some(step) if step.stages.0 == step.stages.1 => {
                (step.stages.0.to_string(), times(step.least, step.most), step.place)
            }
            Some(step) => {
                (format!("{}-{}", step.stages.0, step.stages.1), times(step.least, step.most), step.place)
            }
            None => ("-".to_owned(), times(0, 0), ""),
        };
        let seen = row.seen.to_string();
        let stanza = row.mark.name().to_owned();
        vec![stage, stanza, expected, seen, verdict(row.fault), place.to_owned()]
    });
    let cells: Vec<Vec<String>> = cells.collect();
    output.text(table(&["stage", "stanza", "expected", "seen", "verdict", "chapter"], &cells));
    for row in rows.iter().filter(|_| output.is_json()) {
        let step = row.expected.as_ref();
        let value = json!({
            "event": "step", "table": name, "stanza": row.mark.name(),
            "stages": step.map(|step| [step.stages.0, step.stages.1]),
            "least": step.map(|step| step.least), "most": step.and_then(|step| bounded(step.most)),
            "chapter": step.map(|step| step.place),
            "seen": row.seen.positions, "fault": row.fault.map(Fault::name),
        });
        output.line("", &value);
    }
}

fn show_day(output: Output, rows: &[Count]) {
    let cells = rows.iter().map(|row| {
        let allowed = &row.allowed;
        let expected = times(allowed.least, allowed.most);
        let seen = if row.seen == 0 { "-".to_owned() } else { row.seen.to_string() };
        vec![allowed.mark.name().to_owned(), expected, seen, verdict(row.fault), allowed.place.to_owned()]
    });
    let cells: Vec<Vec<String>> = cells.collect();
    output.text(table(&["stanza", "expected", "seen", "verdict", "chapter"], &cells));
    for row in rows.iter().filter(|_| output.is_json()) {
        let allowed = &row.allowed;
        let value = json!({
            "event": "count", "table": "quiet-day", "stanza": allowed.mark.name(), "least": allowed.least,
            "most": bounded(allowed.most), "seen": row.seen, "chapter": allowed.place,
            "fault": row.fault.map(Fault::name),
        });
        output.line("", &value);
    }
}
