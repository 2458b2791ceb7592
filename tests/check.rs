//! `fuzz check`, as people type it: the examples' verdicts, other people's histories, and every way in which an input
//! can be no history.

mod command;

use command::{Place, said};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn example(name: &str) -> String {
    root().join("examples/histories").join(name).display().to_string()
}

#[test]
fn the_examples_are_judged_as_their_table_says() {
    let place = Place::new("check-examples");
    let table = example("table.tsv");
    let rows = fs::read_to_string(&table).expect("a table").lines().count() - 1;
    let said = place.fuzz(&["check", "--table", &table]);
    assert_eq!(said.exits(0).out, format!("{rows} rows: {rows} agree, 0 disagree, 0 undecided\n"));
}

/// Porcupine's, Knossos's and Elle's own cases, where they are at hand.
#[test]
fn other_checkers_cases_are_judged_as_their_authors_say() {
    let table = root().join("../shared/histories/verdicts.tsv");
    if !table.is_file() {
        eprintln!("skipped: {} is not there", table.display());
        return;
    }
    let place = Place::new("check-others");
    let said = place.fuzz(&["check", "--table", &table.display().to_string()]);
    assert_eq!(said.exits(0).out, "158 rows: 158 agree, 0 disagree, 0 undecided\n");
}

#[test]
fn a_table_that_is_wrong_says_where() {
    let place = Place::new("check-table");
    let row = |verdict: &str| {
        format!("file\tmodel\tverdict\n{}\tregister\t{verdict}\n", example("stale-read.jsonl"))
    };
    place.write("disagrees.tsv", &row("ok"));
    let said = place.fuzz(&["check", "--table", "disagrees.tsv"]);
    said.exits(1).prints("line 2: ").prints(" as register: bad, the table says ok: ");
    assert_eq!(said.last_line(), "1 rows: 0 agree, 1 disagree, 0 undecided");
    for (text, complaint) in [
        (row("fine"), "line 2: verdict \"fine\" is not known (ok, bad, unknown, reject)"),
        (row("ok").replace("\tregister", "\tregistre"), "line 2: model \"registre\" is not known"),
        (row("ok").replace("stale-read", "no-such"), "no-such.jsonl: no such file or directory"),
        ("file\tmodel\n".into(), "line 1 names no column \"verdict\""),
        ("file\tmodel\tverdict\n".into(), "the table has no rows"),
    ] {
        place.write("wrong.tsv", &text);
        place.fuzz(&["check", "--table", "wrong.tsv"]).exits(2).complains(complaint);
    }
}

#[test]
fn a_verdict_names_the_anomaly_and_its_operations() {
    let place = Place::new("check-verdict");
    let said = place.fuzz(&["check", &example("stale-read.jsonl"), "--model", "register"]);
    said.exits(1)
        .prints("stale-read.jsonl as register: ")
        .prints("\nnonlinearizable")
        .prints("3 read: ok: 1 (index 5)");
    assert!(said.out.starts_with("BAD: "), "{}", said.out);

    let said =
        place.fuzz(&["check", &example("write-skew.jsonl"), "--model", "list-append", "--format", "json"]);
    let object: serde_json::Value = serde_json::from_str(&said.exits(1).out).expect("one object");
    assert_eq!((object["version"].as_u64(), object["verdict"].as_str()), (Some(1), Some("bad")));
    assert_eq!(object["anomalies"][0]["name"], "G2-item");
    assert_eq!(object["anomalies"][0]["operations"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_is_claimed_decides() {
    let place = Place::new("check-claim");
    for (claim, code) in
        [("serializable", 1), ("repeatable-read", 1), ("snapshot-isolation", 0), ("read-committed", 0)]
    {
        let skew = example("write-skew.jsonl");
        place.fuzz(&["check", &skew, "--model", "list-append", "--consistency-models", claim]).exits(code);
    }
}

#[test]
fn gzip_and_standard_input_are_read_too() {
    let place = Place::new("check-gzip");
    let packed =
        Command::new("gzip").args(["-c", &example("stale-read.jsonl")]).output().expect("gzip").stdout;
    fs::write(place.path.join("packed.gz"), &packed).expect("a file");
    place.fuzz(&["check", "packed.gz", "--model", "register"]).exits(1);
    let mut command = place.command(&["check", "-", "--model", "register"]);
    command.stdin(Stdio::from(fs::File::open(place.path.join("packed.gz")).expect("a file")));
    said(command.output().expect("the binary starts")).exits(1).prints("BAD: <stdin> as register: ");
    fs::write(place.path.join("cut.gz"), &packed[..packed.len() / 2]).expect("a file");
    place.fuzz(&["check", "cut.gz", "--model", "register"]).exits(2).complains("failed to unpack it: ");
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let place = Place::new("check-no-history");
    let read = "{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"}\n";
    for (text, complaint) in [
        (read.repeat(2), "line 2: process 0 invokes while its operation of line 1 is open"),
        (read.replace("invoke", "ok"), "line 1: process 0 completes \"read\" without having invoked it"),
        (read.replace("invoke", "okay"), "line 1: unknown variant `okay`"),
        (read.replace("\"read\"", "7"), "line 1: \"f\" is the name of an operation, a text"),
        ("Once upon a time\n".into(), "it holds no operation"),
        ("{:process 0, :type :ok\n".into(), "line 1: nothing closes it: }"),
        ("{:process 0, :type :okay, :f :read}\n".into(), "its :type is :okay"),
    ] {
        place.write("history", &text);
        place
            .fuzz(&["check", "history", "--model", "register"])
            .exits(2)
            .complains(complaint)
            .complains("\nhint: ");
    }
    place.write("history", &read.replace("read", "increment"));
    place.fuzz(&["check", "history", "--model", "mutex"]).exits(2).complains("increment");
    place.fuzz(&["check", "nowhere", "--model", "mutex"]).exits(2).complains("nowhere: no such file");
}

#[test]
fn a_model_is_asked_for_by_its_name() {
    let place = Place::new("check-model");
    let stale = example("stale-read.jsonl");
    place.fuzz(&["check", &stale]).exits(2).complains("hint: `fuzz check --list` lists them");
    place.fuzz(&["check", &stale, "--model", "regster"]).exits(2).complains("did you mean register?");
    let listed = place.fuzz(&["check", "--list"]).exits(0).out.clone();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in [
        "register",
        "cas-register",
        "kv-append",
        "mutex",
        "multi-register",
        "list-append",
        "rw-register",
        "set",
        "set-full",
        "counter",
        "queue",
        "total-queue",
        "unique-ids",
        "bank",
        "long-fork",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
}

#[test]
fn a_spent_budget_is_unknown_and_never_ok() {
    let place = Place::new("check-budget");
    let said = place.fuzz(&["check", &example("cas.log"), "--model", "cas-register", "--time", "0"]);
    said.exits(4).prints("UNKNOWN: ").prints("its time is up");
}

#[test]
fn a_picture_is_one_page_that_asks_for_nothing() {
    let place = Place::new("check-picture");
    for (history, model) in [
        ("stale-read.jsonl", "register"),
        ("lost-update.edn", "list-append"),
        ("queue-out-of-order.jsonl", "queue"),
        ("lost-element.jsonl", "set"),
    ] {
        place.fuzz(&["check", &example(history), "--model", model, "--picture", "page.html"]).exits(1);
        let text = fs::read_to_string(place.path.join("page.html")).expect("a page");
        assert!(text.contains(" core\""), "{history}: nothing is highlighted");
        for word in ["http:", "https:", "<script", "<link", "src="] {
            assert!(!text.contains(word), "{history}: {word}");
        }
    }
}

#[test]
fn the_life_of_a_key_is_told_and_judged_alone() {
    let place = Place::new("check-life");
    place.write(
        "keys.jsonl",
        r#"{"process":0,"type":"invoke","f":"put","key":"a","value":"1"}
{"process":0,"type":"ok","f":"put","key":"a","value":"1"}
{"process":0,"type":"invoke","f":"get","key":"b","value":null}
{"process":0,"type":"ok","f":"get","key":"b","value":"9"}
"#,
    );
    place.fuzz(&["check", "keys.jsonl", "--model", "kv-append"]).exits(1);
    let said = place.fuzz(&["check", "keys.jsonl", "--model", "kv-append", "--explain", "a"]);
    said.exits(0).prints("The life of a: 1 operations\n         0 to 1        0 put \"1\" of \"a\": ok");
    let said = place.fuzz(&["check", "keys.jsonl", "--model", "kv-append", "--explain", "c"]);
    said.exits(2).complains("no operation is on key \"c\"");
}

#[test]
fn an_old_run_is_judged_again_from_its_folder() {
    let place = Place::new("check-run");
    place
        .fuzz(&[
            "--seed",
            "6",
            "--target",
            "embedded",
            "--bug",
            "read_without_quorum",
            "--out",
            "old",
            "--no-shrink",
        ])
        .exits(1);
    let again = place.fuzz(&["check", "old"]);
    again.exits(1).prints("FAIL: old\n").prints(": fail: ");
    // The history alone: is each key linearizable?
    let history = place.fuzz(&["check", "old/history.jsonl"]);
    history.exits(1).prints("FAIL: old/history.jsonl\n").prints("- linearizability: fail: ");
    let text = fs::read_to_string(place.path.join("old/history.jsonl")).expect("a history");
    let first: serde_json::Value =
        serde_json::from_str(text.lines().next().expect("a line")).expect("an operation");
    let (kind, number) = (first["key"]["kind"].as_str().expect("a kind"), &first["key"]["number"]);
    let key = format!("{kind}:{{{number}}}");
    place.fuzz(&["check", "old/history.jsonl", "--explain", &key]).prints(&format!("The life of {key}: "));
    place
        .fuzz(&["check", "old/history.jsonl", "--model", "register"])
        .exits(2)
        .complains("leave --model out");
    fs::remove_file(place.path.join("old/record.json")).expect("a record");
    place.fuzz(&["check", "old"]).exits(2).complains("old/record.json: no such file or directory");
    assert!(Path::new(&place.path).join("old/history.jsonl").is_file());
}
