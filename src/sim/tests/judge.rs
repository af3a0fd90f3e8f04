//! The judge in a running simulator: the tables that it is started with (09 §27 no. 18), and one message judged without
//! a client.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::START;
use crate::crypto::sha256;
use crate::proto::edit;
use crate::sim::{JudgeTables, SimConfig, Simulator, StartError, TablesError};
use crate::stanza::judge::Verdict;
use crate::stanza::judge::payload::{Envelope, Labels, Schema};
use crate::wire::{Jid, Node};

const TABLE: &str = include_str!("../../stanza/judge/stanzas.csv");

async fn start(judge: JudgeTables) -> Result<Simulator, StartError> {
    Simulator::start(SimConfig { judge, ..SimConfig::in_memory(1, START) }).await
}

fn file(folder: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    Some(path)
}

fn text(edit: Option<&'static str>) -> Node {
    Node::new("message")
        .attr("id", "3EB0AA")
        .attr("to", Jid::pn("15550002222").unwrap())
        .attr("type", "text")
        .opt_attr("edit", edit)
        .child(Node::new("enc").attr("v", "2").attr("type", "msg").bytes([1]))
}

#[tokio::test(start_paused = true)]
async fn judge_line_18_a_row_taken_out_makes_exactly_the_stanzas_with_it_unlike_and_info_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let cut: String = TABLE
        .lines()
        .filter(|line| !(line.starts_with("out,message.") && line.contains(",message,edit,")))
        .flat_map(|line| [line, "\n"])
        .collect();
    let stanzas = file(folder.path(), "cut.csv", &cut);
    let other = start(JudgeTables { stanzas: stanzas.clone(), ..JudgeTables::default() }).await.unwrap();
    let own = start(JudgeTables::default()).await.unwrap();
    let mut verdicts = Vec::new();
    for sim in [&own, &other] {
        for stanza in [text(None), text(Some("1"))] {
            verdicts.push(sim.admin().judge(&stanza).await.unwrap().verdict);
        }
    }
    assert_eq!(verdicts, [Verdict::Like, Verdict::Like, Verdict::Like, Verdict::Unlike]);

    let shown = other.admin().info().stanza_table.clone().unwrap();
    assert_eq!((shown.file, shown.sha256), (stanzas, hex::encode(sha256(cut.as_bytes()))));
    assert_eq!(shown.ops, 265);
    let own = own.admin().info().stanza_table.clone().unwrap();
    assert_eq!((own.file, own.rows), (None, 4102));
    assert!(shown.rows < own.rows);
    // What no longer applies is told, and is no error.
    let totals = other.admin().judge_totals().await;
    assert_eq!(totals["unused_deviations"].as_array().unwrap().len(), 4);
    other.admin().reset(true).await;
    let after = other.admin().judge(&text(Some("1"))).await.unwrap();
    assert_eq!(after.verdict, Verdict::Unlike, "a new world keeps the table");
}

#[tokio::test(start_paused = true)]
async fn judge_line_18_a_bad_row_stops_the_start_and_names_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let begin: String = TABLE.lines().take(10).flat_map(|line| [line, "\n"]).collect();
    let (schema, enums) = Schema::built_in_texts();
    let schema_begin: String = schema.lines().take(3).flat_map(|line| [line, "\n"]).collect();
    for (name, text, place) in [
        ("column.csv", format!("{begin}out,a,a,,node\n"), "line 11, column src"),
        ("kind.csv", format!("{begin}out,a,a,,nodes,,,1,1,,,built\n"), "line 11, column kind"),
        ("path.csv", format!("{begin}out,a,a/b,,node,,,1,1,,,built\n"), "line 11, column path"),
        ("number.csv", format!("{begin}out,a,a,,node,,,one,1,,,built\n"), "line 11, column min"),
        ("empty.csv", String::new(), "line 1, column dir"),
    ] {
        let stanzas = file(folder.path(), name, &text);
        let error = start(JudgeTables { stanzas, ..JudgeTables::default() }).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains(name) && error.contains(place), "{error}");
    }
    let bad = file(folder.path(), "schema.csv", &format!("{schema_begin}M,f,x,string,optional,,baileys,\n"));
    let error = start(JudgeTables { schema: bad, ..JudgeTables::default() }).await.unwrap_err().to_string();
    assert!(error.contains("schema.csv") && error.contains("line 4, column number"), "{error}");
    let bad = file(folder.path(), "enums.csv", &format!("{enums}E,A\n"));
    let error = start(JudgeTables { enums: bad, ..JudgeTables::default() }).await.unwrap_err().to_string();
    assert!(error.contains("enums.csv") && error.contains("column source"), "{error}");
    let stanzas = Some(folder.path().join("absent.csv"));
    let error = start(JudgeTables { stanzas, ..JudgeTables::default() }).await.unwrap_err();
    assert!(matches!(error, StartError::Tables(TablesError::Read { .. })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn judge_line_18_another_schema_judges_payloads_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (schema, enums) = Schema::built_in_texts();
    let strict = schema.replace(
        "Message.ExtendedTextMessage,text,1,string,optional",
        "Message.ExtendedTextMessage,text,1,string,required",
    );
    assert_ne!(strict, schema);
    let files = JudgeTables {
        schema: file(folder.path(), "schema.csv", &strict),
        enums: file(folder.path(), "enums.csv", enums),
        stanzas: None,
    };
    let (own, other) = (start(JudgeTables::default()).await.unwrap(), start(files).await.unwrap());
    let message = edit::set(&[], &[6, 5], edit::Value::Bytes(b"title")).unwrap();
    assert_eq!(own.admin().judge_message(&message, None).await, []);
    let found = other.admin().judge_message(&message, None).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].path, found[0].what.name()), ("extendedTextMessage/text", "required"));
}

#[tokio::test(start_paused = true)]
async fn judge_a_message_is_judged_alone_or_with_what_is_around_it() {
    let sim = start(JudgeTables::default()).await.unwrap();
    let admin = sim.admin();
    let message = edit::set(&[], &[1], edit::Value::Bytes(b"hello")).unwrap();
    assert_eq!(admin.judge_message(&message, None).await, []);
    let envelope = Envelope {
        chat: vec!["15550002222@s.whatsapp.net".to_owned()],
        collective: false,
        own: true,
        peer: false,
        has_common: false,
        labels: Labels::from_names(|name| (name == "type").then(|| "text".to_owned())),
    };
    let found = admin.judge_message(&message, Some(&envelope)).await;
    assert_eq!(found.iter().map(|finding| finding.what.name()).collect::<Vec<_>>(), ["wrapper"]);
    let totals = admin.judge_totals().await;
    assert_eq!(totals["accounts"], json!([]), "nothing is counted");
}
