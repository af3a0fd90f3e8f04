//! The end of the demo: the table, the totals, the verdict.

use palomar::sim::{Simulator, Violations};
use serde_json::json;

use super::actor::Actor;
use super::stage::Stage;
use crate::exit::Failure;
use crate::output::table;

/// The violation of a stanza in another shape than the official client's.
const UNLIKE: [&str; 2] = ["stanza-unlike", "payload-unlike"];

/// Where the simulator listens, for those who keep it running.
pub fn addresses(simulator: &Simulator) -> String {
    let info = simulator.admin().info();
    let admin = info.admin.map(|at| format!("http://{at}")).unwrap_or_default();
    format!(
        "--server {} --root-key {}, admin {admin}",
        simulator.chat_url().unwrap_or_default(),
        info.root_key
    )
}

/// Shows the table and the totals. An error unless everything expected happened, and nobody saw a violation.
pub async fn show(stage: &Stage, actors: &[Actor], early: Option<Failure>) -> Result<(), Failure> {
    let violations = stage.admin.violations().await;
    let mut rows = Vec::new();
    let mut complaints = stage.ledger.with(|book| book.complaints());
    for actor in actors {
        let state = actor.state();
        if state != "ready" {
            complaints.push(format!("{} is {state}", actor.name));
        }
        rows.push(row(stage, actor, &state, &violations.of(actor.number)));
    }
    let head = [
        "account",
        "device profile",
        "state",
        "sent",
        "delivered",
        "read",
        "received",
        "violations",
        "unlike",
    ];
    stage.output.text(format_args!("\n{}\n", table(&head, &rows)));
    for item in violations.items() {
        let who = item.account.as_deref().unwrap_or("-");
        complaints.push(format!("violation {} x{} by {who}: {}", item.code, item.count, item.detail));
    }
    complaints.extend(early.map(|failure| failure.what));
    totals(stage, &violations, complaints.is_empty());
    if complaints.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!("the demo did not go as it must:\n  {}", complaints.join("\n  "))))
}

fn row(stage: &Stage, actor: &Actor, state: &str, violations: &Violations) -> Vec<String> {
    let unlike: u64 = UNLIKE.iter().map(|code| violations.count(code)).sum();
    let counts = stage.ledger.with(|book| book.counts(actor.index));
    let profile = actor.presents_as();
    if stage.output.is_json() {
        let value = json!({
            "event": "account", "account": actor.name, "device_profile": profile, "state": state,
            "sent": counts.sent, "delivered": counts.delivered, "read": counts.read,
            "received": counts.received, "violations": violations.total(), "unlike": unlike,
        });
        stage.output.line("", &value);
    }
    let numbers = [counts.sent, counts.delivered, counts.read, counts.received, violations.total(), unlike];
    let words = [actor.name.to_owned(), profile, state.to_owned()];
    words.into_iter().chain(numbers.map(|number| number.to_string())).collect()
}

fn totals(stage: &Stage, violations: &Violations, good: bool) {
    let (total, lost, duplicated) =
        stage.ledger.with(|book| (book.total(), book.lost().len(), book.duplicated()));
    let seconds = stage.seconds();
    let unlike: u64 = UNLIKE.iter().map(|code| violations.count(code)).sum();
    let text = format!(
        "{} messages sent, {} received, {lost} lost, {duplicated} duplicated, {} violations, {unlike} stanzas unlike \
         the official client's, {seconds:.1} s",
        total.sent,
        total.received,
        violations.total(),
    );
    let value = json!({
        "event": "total", "violations": violations.total(), "sent": total.sent, "received": total.received,
        "lost": lost, "duplicated": duplicated, "unlike": unlike, "seconds": seconds, "ok": good,
    });
    stage.output.line(text, &value);
}
