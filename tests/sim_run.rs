//! `palomar sim run` needs nothing but loopback, and takes its script (protocol 09 §1, §21, §27).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::{Command, Output};

fn script(folder: &Path, lines: &[&str]) -> String {
    let file = folder.join("script.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    file.display().to_string()
}

const TALK: [&str; 6] = [
    "# two phones talk",
    r#"{"call":"POST /v1/accounts","body":{"push_name":"Ann"},"save":{"a":"/number"}}"#,
    r#"{"call":"POST /v1/accounts","body":{},"save":{"b":"/number"}}"#,
    r#"{"call":"POST /v1/accounts/${a}/send","body":{"to":"${b}","text":"hi"},"save":{"id":"/id"}}"#,
    r#"{"call":"POST /v1/accounts/${b}/receipt","body":{"ids":["${id}"],"chat":"${a}","type":"read"}}"#,
    r#"{"call":"GET /v1/accounts/1","status":404}"#,
];

fn sim(script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palomar"));
    command.args(["--json", "sim", "run", "--any-ports", "--clock", "virtual", "--script", script]);
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The same command in a network namespace of its own that has nothing but loopback; `None` where the machine has no
/// such namespaces.
fn isolated(script: &str) -> Option<Output> {
    let up = "ip link set lo up && exec \"$@\"";
    let probe = Command::new("unshare").args(["-rn", "sh", "-c", up, "sh", "true"]).output().ok()?;
    if !probe.status.success() {
        return None;
    }
    let inner = sim(script);
    let mut command = Command::new("unshare");
    command.args(["-rn", "sh", "-c", up, "sh"]).arg(inner.get_program()).args(inner.get_args());
    Some(command.output().unwrap())
}

#[test]
fn proves_09_27_01_the_simulator_runs_where_there_is_only_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let script = script(folder.path(), &TALK);
    let output = isolated(&script).unwrap_or_else(|| {
        println!("not run in a namespace of its own: this machine has none");
        sim(&script).output().unwrap()
    });
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output).matches(r#""event":"called""#).count(), 5, "{}", text(&output));
}

#[test]
fn proves_09_27_01_another_address_than_a_loopback_one_is_refused_at_the_start() {
    let mut command = sim("/dev/null");
    let output = command.args(["--listen", "192.0.2.1"]).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("is not a loopback address"), "{}", text(&output));
}

#[test]
fn a_script_ends_at_the_first_call_that_answers_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    for (line, what) in [
        (r#"{"call":"GET /v1/accounts/1"}"#, "line 1: GET /v1/accounts/1 answered 404 instead of 200"),
        (r#"{"call":"GET /v1/info","colour":1}"#, "unknown field"),
        (r#"{"call":"GET /v1/info","save":{"x":"/nothing"}}"#, "there is no /nothing"),
    ] {
        let script = script(folder.path(), &[line]);
        let output = sim(&script).output().unwrap();
        assert!(!output.status.success() && text(&output).contains(what), "{}", text(&output));
    }
}
