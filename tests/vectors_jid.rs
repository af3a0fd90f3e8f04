//! `jid.json`: addresses, their texts, forms and errors (03 §12).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{self, File, bytes, known_keys, number, text};
use palomar::wire::{Dialect, Jid, Writer};
use serde_json::Value;

fn binary(jid: &Jid) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    Writer::new(&mut out, Dialect::Server).jid(jid).map(|()| out).map_err(|error| error.to_string())
}

fn check_parse(case: &Value) {
    known_keys(
        case,
        &[
            "text",
            "user",
            "server",
            "device",
            "integrator",
            "canonical",
            "user_jid",
            "binary",
            "binary_error",
            "signal",
            "phash_form",
        ],
    );
    let jid: Jid = text(case, "text").parse().unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(jid.user(), text(case, "user"), "{case}");
    assert_eq!(jid.server().as_str(), text(case, "server"), "{case}");
    assert_eq!(u64::from(jid.device()), number(case, "device"), "{case}");
    let integrator = case.get("integrator").map_or(0, |_| number(case, "integrator"));
    assert_eq!(u64::from(jid.integrator()), integrator, "{case}");
    assert_eq!(jid.to_string(), text(case, "canonical"), "{case}");
    assert_eq!(jid.to_string().parse::<Jid>().as_ref(), Ok(&jid), "{case}");
    assert!(jid.is_address(), "{case}");
    assert_eq!(jid.to_user().to_string(), text(case, "user_jid"), "{case}");
    match case.get("binary_error") {
        Some(error) => assert_eq!(binary(&jid).unwrap_err(), error.as_str().unwrap(), "{case}"),
        None => assert_eq!(binary(&jid).unwrap(), bytes(case, "binary"), "{case}"),
    }
    if let Some(signal) = case.get("signal") {
        assert_eq!(jid.signal_name(), signal[0].as_str().unwrap(), "{case}");
        assert_eq!(u64::from(jid.device()), signal[1].as_u64().unwrap(), "{case}");
    }
    if case.get("phash_form").is_some() {
        assert_eq!(jid.hash_form(), text(case, "phash_form"), "{case}");
    }
}

#[test]
fn jid_vectors() {
    let mut file = File::open("jid");
    for case in file.section("parse") {
        check_parse(&case);
    }
    for case in file.section("parse_errors") {
        known_keys(&case, &["text", "error"]);
        let error = text(&case, "text").parse::<Jid>().expect_err(&vectors::name(&case));
        assert_eq!(error.to_string(), text(&case, "error"), "{case}");
    }
    for case in file.section("equality") {
        known_keys(&case, &["a", "b", "same_jid", "same_user"]);
        let (a, b): (Jid, Jid) = (text(&case, "a").parse().unwrap(), text(&case, "b").parse().unwrap());
        assert_eq!(a == b, case["same_jid"].as_bool().unwrap(), "{case}");
        assert_eq!(a.cmp(&b).is_eq(), a == b, "{case}");
        assert_eq!(a.same_user(&b), case["same_user"].as_bool().unwrap(), "{case}");
        assert_eq!(b.same_user(&a), a.same_user(&b), "{case}");
    }
    file.finish();
}
