//! The stanza judge alone (protocol 09 §27 no. 16, 18): good stanzas are like, planted faults are found, the table is data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::File;
use palomar::stanza::judge::{Deviations, Direction, Table, Verdict, What};
use palomar::wire::{Content, Node, Value};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// A node in the object form of the vectors.
fn node(value: &serde_json::Value) -> Node {
    let mut node = Node::new(value["tag"].as_str().unwrap().to_owned());
    for (key, text) in value["attrs"].as_object().unwrap() {
        let text = text.as_str().unwrap().to_owned();
        let value = match text.contains('@').then(|| text.parse()) {
            Some(Ok(jid)) => Value::Jid(jid),
            _ => Value::Text(text.into()),
        };
        node.attrs.push((key.clone().into(), value));
    }
    node.content = match value.get("content") {
        None | Some(serde_json::Value::Null) => Content::None,
        Some(serde_json::Value::Array(children)) => Content::Nodes(children.iter().map(self::node).collect()),
        Some(content) => match content.get("hex") {
            Some(hex) => Content::Bytes(hex::decode(hex.as_str().unwrap()).unwrap()),
            None => Content::Bytes(content["text"].as_str().unwrap().as_bytes().to_vec()),
        },
    };
    node
}

/// The stanzas of messaging.json that a client sends, with their names.
fn good_stanzas() -> Vec<(String, Node)> {
    let mut file = File::open("messaging");
    let mut stanzas = Vec::new();
    for section in ["stanzas", "receipts", "usync_requests", "retry_receipts"] {
        for case in file.section(section) {
            stanzas.push((format!("{section} {}", common::vectors::name(&case)), node(&case["node"])));
        }
    }
    for case in file.section("acks") {
        stanzas.push((format!("acks {}", case["ack"]), node(&case["ack"])));
    }
    stanzas
}

fn table() -> (Table, Deviations) {
    (Table::built_in().unwrap(), Deviations::built_in().unwrap())
}

#[test]
fn judge_the_built_in_table_is_the_specified_one() {
    let (table, deviations) = table();
    assert_eq!(table.rows(), 4102);
    assert_eq!(table.names(Direction::Out).count(), 124);
    assert_eq!(table.names(Direction::In).count(), 141);
    for deviation in deviations.iter() {
        let known = table.names(Direction::Out).any(|name| name == deviation.op);
        assert!(known, "{} is no operation of the table", deviation.op);
    }
}

#[test]
fn judge_the_page_of_deviations_is_made_from_the_list() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deviations.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert_eq!(page, table().1.to_markdown(), "make it anew: palomar sim deviations --markdown");
}

#[test]
fn judge_line_16_every_prescribed_stanza_is_like() {
    let (table, deviations) = table();
    let mut unlike = Vec::new();
    for (name, stanza) in good_stanzas() {
        let judgement = table.judge_tree(&stanza, &deviations);
        if judgement.verdict == Verdict::Unlike {
            let findings: Vec<_> = judgement.findings.iter().map(ToString::to_string).collect();
            unlike.push(format!("{name}: {}", findings.join("; ")));
        }
    }
    // The one vector in another library's shape (fact tables, README): `t` and `device_fanout` on a retry resend.
    let (known, others): (Vec<_>, Vec<_>) =
        unlike.into_iter().partition(|line| line.contains("retry_resend_dm"));
    assert!(others.is_empty(), "{}", others.join("\n"));
    for line in known {
        let findings = "message.device message@device_fanout: unknown-attribute; message.device message@t: unknown-attribute";
        assert!(line.ends_with(findings), "{line}");
    }
}

/// All nodes of a tree, as paths of child indexes.
fn places(node: &Node, at: &[usize], out: &mut Vec<Vec<usize>>) {
    out.push(at.to_vec());
    if let Content::Nodes(children) = &node.content {
        for (index, child) in children.iter().enumerate() {
            places(child, &[at, &[index]].concat(), out);
        }
    }
}

fn at_mut<'n>(node: &'n mut Node, path: &[usize]) -> &'n mut Node {
    let [first, rest @ ..] = path else { return node };
    let Content::Nodes(children) = &mut node.content else { panic!("no child at {path:?}") };
    at_mut(&mut children[*first], rest)
}

/// One mutation: a part removed, renamed or added, a literal or a length changed. Yields whether anything changed.
fn mutate(stanza: &mut Node, rng: &mut StdRng) -> bool {
    let mut all = Vec::new();
    places(stanza, &[], &mut all);
    let path = all[rng.random_range(0..all.len())].clone();
    let node = at_mut(stanza, &path);
    match rng.random_range(0..6) {
        0 if !node.attrs.is_empty() => {
            let at = rng.random_range(0..node.attrs.len());
            node.attrs.remove(at);
            true
        }
        1 if !node.attrs.is_empty() => {
            let at = rng.random_range(0..node.attrs.len());
            node.attrs[at].0 = "renamed".into();
            true
        }
        2 => {
            node.attrs.push(("added".into(), Value::Text("1".into())));
            true
        }
        3 => match &mut node.content {
            Content::Nodes(children) => {
                children.push(Node::new("added"));
                true
            }
            Content::None => {
                node.content = Content::Nodes(vec![Node::new("added")]);
                true
            }
            _ => false,
        },
        4 => match &mut node.content {
            Content::Nodes(children) if !children.is_empty() => {
                let at = rng.random_range(0..children.len());
                children.remove(at);
                true
            }
            Content::Bytes(bytes) => {
                bytes.clear();
                true
            }
            _ => false,
        },
        5 if !node.attrs.is_empty() => {
            let at = rng.random_range(0..node.attrs.len());
            let value = &mut node.attrs[at].1;
            let same = matches!(value, Value::Text(text) if text == "x y");
            *value = Value::Text("x y".into());
            !same
        }
        _ => false,
    }
}

#[test]
fn judge_line_16_catches_at_least_80_of_100_single_mutations() {
    let (table, deviations) = table();
    let good: Vec<_> = good_stanzas()
        .into_iter()
        .filter(|(_, stanza)| table.judge_tree(stanza, &deviations).verdict == Verdict::Like)
        .collect();
    assert!(!good.is_empty() || File::open("messaging").section("stanzas").is_empty());
    let mut rng = StdRng::seed_from_u64(0x70616c6f6d6172);
    let (mut caught, mut tried) = (0u32, 0u32);
    while tried < 2_000 && !good.is_empty() {
        let mut stanza = good[rng.random_range(0..good.len())].1.clone();
        if mutate(&mut stanza, &mut rng) {
            tried += 1;
            caught += u32::from(table.judge_tree(&stanza, &deviations).verdict == Verdict::Unlike);
        }
    }
    println!("mutations caught: {caught} of {tried}");
    assert!(caught * 100 >= tried * 80, "{caught} of {tried}");
}

#[test]
fn judge_line_16_finds_every_added_attribute_or_child_of_an_unknown_name() {
    let (table, deviations) = table();
    for (name, stanza) in good_stanzas() {
        if table.judge_tree(&stanza, &deviations).verdict != Verdict::Like {
            continue;
        }
        let mut all = Vec::new();
        places(&stanza, &[], &mut all);
        for path in all {
            let mut changed = stanza.clone();
            at_mut(&mut changed, &path).attrs.push(("added".into(), Value::Text("1".into())));
            assert_eq!(table.judge_tree(&changed, &deviations).verdict, Verdict::Unlike, "{name} {path:?}");
            let mut changed = stanza.clone();
            match &mut at_mut(&mut changed, &path).content {
                Content::Nodes(children) => children.push(Node::new("added")),
                content => *content = Content::Nodes(vec![Node::new("added")]),
            }
            assert_eq!(table.judge_tree(&changed, &deviations).verdict, Verdict::Unlike, "{name} {path:?}");
        }
    }
}

#[test]
fn judge_line_16_a_verdict_does_not_depend_on_earlier_ones() {
    let (table, deviations) = table();
    let stanzas = good_stanzas();
    let forward: Vec<_> = stanzas.iter().map(|(_, stanza)| table.judge_tree(stanza, &deviations)).collect();
    let backward: Vec<_> =
        stanzas.iter().rev().map(|(_, stanza)| table.judge_tree(stanza, &deviations)).collect();
    assert!(forward.iter().eq(backward.iter().rev()));
}

#[test]
fn judge_an_unknown_stanza_has_no_operation() {
    let (table, deviations) = table();
    let judgement = table.judge(&Node::new("unheard-of"), &deviations);
    assert_eq!((judgement.verdict, judgement.op), (Verdict::Unlike, None));
    assert_eq!(judgement.findings[0].what, What::NoOperation);
}

#[test]
fn judge_an_address_written_as_text_is_found_on_the_wire() {
    let (table, deviations) = table();
    let ping = |to: Value| {
        let mut node = Node::new("iq").attr("id", "1.2-3").attr("type", "get").attr("xmlns", "w:p");
        node.attrs.push(("to".into(), to));
        node
    };
    let good = ping(Value::Jid("s.whatsapp.net".parse().unwrap()));
    assert_eq!(
        table.judge(&good, &deviations).verdict,
        Verdict::Like,
        "{:?}",
        table.judge(&good, &deviations)
    );
    let judgement = table.judge(&ping(Value::Text("s.whatsapp.net".into())), &deviations);
    assert_eq!(judgement.findings.iter().map(|finding| finding.what).collect::<Vec<_>>(), [What::JidForm]);
}

#[test]
fn judge_line_18_a_bad_table_names_line_and_column() {
    let header = "dir,op,path,attr,kind,value,need,min,max,len,alt,src";
    let good = format!("{header}\nout,a,a,,node,,,1,1,,,built\nout,a,a,id,id,,req,,,,,built\n");
    assert_eq!(Table::parse(&good).unwrap().rows(), 2);
    for (row, line, column) in [
        ("out,a,a,,node,,,1,1,,,built,x", 2, "src"),
        ("up,a,a,,node,,,1,1,,,built", 2, "dir"),
        ("out,a,a/b,,node,,,1,1,,,built", 2, "path"),
        ("out,a,a,,nodes,,,1,1,,,built", 2, "kind"),
        ("out,a,a,,node,,,one,1,,,built", 2, "min"),
        ("out,a,a,,node,,,1,1,many,,built", 2, "len"),
        ("out,a,a,,node,,,1,1,,x,built", 2, "alt"),
        ("out,a,a,,node,,,1,1,,,guessed", 2, "src"),
        ("out,a,a,,node,,maybe,1,1,,,built", 2, "need"),
    ] {
        let error = Table::parse(&format!("{header}\n{row}\n")).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{row}");
    }
    assert_eq!(Table::parse("a,b\n").unwrap_err().line, 1);
}

#[test]
fn judge_line_18_a_row_taken_out_makes_exactly_the_stanzas_that_carry_it_unlike() {
    let (table, deviations) = table();
    let text = include_str!("../src/stanza/judge/stanzas.csv");
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("out,message.user,message,edit,"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let cut = Table::parse(&without).unwrap();
    assert_eq!(cut.rows() + 1, table.rows());
    for (name, stanza) in good_stanzas() {
        let before = table.judge_tree(&stanza, &deviations);
        let after = cut.judge_tree(&stanza, &deviations);
        let carries =
            before.op.as_deref() == Some("message.user") && stanza.attrs.iter().any(|(key, _)| key == "edit");
        assert_eq!(before.verdict != after.verdict, carries && before.verdict == Verdict::Like, "{name}");
    }
}
