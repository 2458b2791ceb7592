//! The rows of the table of known verdicts whose models are linearizable objects: all must agree.
//!
//! The histories are no part of this repository. Without them, at `SEEDFAULT_HISTORIES` or beside the
//! repository, the test says so and passes.

use judge::options::{FailedCas, NullRead};
use judge::{Budget, Options, model, read};
use std::path::PathBuf;

const MODELS: [&str; 5] = ["register", "cas-register", "kv-append", "mutex", "multi-register"];

fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/histories");
    let folder = std::env::var_os("SEEDFAULT_HISTORIES").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    folder.join("verdicts.tsv").exists().then_some(folder)
}

fn options(initial: &str, failed_cas: &str, null_read: &str) -> Options {
    Options {
        initial: serde_json::from_str(initial).ok(),
        failed_cas: match failed_cas {
            "asserts-mismatch" => FailedCas::AssertsMismatch,
            _ => FailedCas::NoEffect,
        },
        null_read: match null_read {
            "unknown-read" => NullRead::UnknownRead,
            _ => NullRead::AssertsNull,
        },
        ..Options::default()
    }
}

#[test]
fn every_row_of_a_linearizable_object_agrees() {
    let Some(folder) = folder() else {
        println!("skipped: there are no histories");
        return;
    };
    let table = std::fs::read_to_string(folder.join("verdicts.tsv")).expect("a table");
    let (mut looked_at, mut disagree) = (0, Vec::new());
    for row in table.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [file, name, initial, failed_cas, null_read, expected, ..] = columns[..] else {
            panic!("a row of six columns and more: {row}");
        };
        if !MODELS.contains(&name) {
            continue;
        }
        let text = std::fs::read(folder.join(file)).expect("a history");
        let history = read::json::lines(&text, read::Shaping::default()).expect("a well-formed history");
        let model = model::named(name).expect("a model");
        let verdict = (model.judge)(&history, &options(initial, failed_cas, null_read), &Budget::default())
            .expect("a history that fits its model");
        if verdict.answer.word() != expected {
            disagree.push(format!("{file} is {expected}, not {}: {}", verdict.answer.word(), verdict.reason));
        }
        looked_at += 1;
    }
    assert!(disagree.is_empty(), "{disagree:#?}");
    println!("{looked_at} rows agree");
    assert!(looked_at > 100, "{looked_at} rows");
}

fn judged(name: &str, options: &Options, events: &[&str]) -> judge::Verdict {
    let history =
        read::json::lines(events.join("\n").as_bytes(), read::Shaping::default()).expect("a history");
    let model = model::named(name).expect("a model");
    (model.judge)(&history, options, &Budget::default()).expect("it fits")
}

/// An operation that nothing overlaps.
fn done(process: u32, f: &str, input: &str, output: &str) -> [String; 2] {
    let event = |kind: &str, value: &str| {
        format!(r#"{{"process":{process},"type":"{kind}","f":"{f}","value":{value}}}"#)
    };
    [event("invoke", input), event("ok", output)]
}

#[test]
fn each_model_tells_right_from_wrong() {
    let txn = |value: &'static str| done(0, "txn", value, value);
    let cases: Vec<(&str, Vec<[String; 2]>, bool)> = vec![
        (
            "multi-register",
            vec![txn(r#"[["w","x",1],["write","y",2]]"#), txn(r#"[["r","x",1],["read","y",2]]"#)],
            true,
        ),
        (
            "multi-register",
            vec![txn(r#"[["w","x",1],["w","y",2]]"#), txn(r#"[["r","x",1],["r","y",1]]"#)],
            false,
        ),
        (
            "multi-register",
            vec![
                done(0, "write", r#"{"x":1}"#, r#"{"x":1}"#),
                done(1, "read", r#"{"x":null}"#, r#"{"x":2}"#),
            ],
            false,
        ),
        (
            "linear-counter",
            vec![done(0, "add", "2", "2"), done(1, "incr", "null", "3"), done(0, "read", "null", "3")],
            true,
        ),
        ("linear-counter", vec![done(0, "add", "2", "2"), done(0, "read", "null", "1")], false),
        ("linear-set", vec![done(0, "add", "2", "2"), done(0, "read", "null", "[2]")], true),
        ("linear-set", vec![done(0, "add", "2", "2"), done(0, "contains", "[2,null]", "[2,false]")], false),
        ("mutex", vec![done(0, "acquire", "null", "null"), done(1, "release", "null", "null")], true),
        (
            "owner-aware-mutex",
            vec![done(0, "acquire", "null", "null"), done(1, "release", "null", "null")],
            false,
        ),
        (
            "reentrant-mutex",
            vec![done(0, "acquire", "null", "null"), done(0, "acquire", "null", "null")],
            true,
        ),
        (
            "owner-aware-mutex",
            vec![done(0, "acquire", "null", "null"), done(0, "acquire", "null", "null")],
            false,
        ),
        (
            "fenced-mutex",
            vec![
                done(0, "acquire", "null", "5"),
                done(0, "release", "null", "null"),
                done(1, "acquire", "null", "4"),
            ],
            false,
        ),
    ];
    for (name, ops, good) in cases {
        let events: Vec<&str> = ops.iter().flatten().map(String::as_str).collect();
        let verdict = judged(name, &Options::default(), &events);
        assert_eq!(verdict.answer.word(), if good { "ok" } else { "bad" }, "{name}: {verdict:#?}");
    }
}
