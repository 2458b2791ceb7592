//! The decider of linearizability against recorded histories whose verdicts their authors state: compare-and-set
//! registers of Jepsen's etcd runs and of Knossos's own tests. They are not part of this repository; where a
//! folder `shared/histories` is at hand (beside it, or named by `SEEDFAULT_SHARED`), every one of them must come
//! out as its row of `verdicts.tsv` says, and elsewhere the test says by name that it was skipped.

use seedfault::check::linear::{Act, Answer, Op, search};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the search gives up: seconds on a slow machine. One of the 112 takes more.
const BUDGET: u64 = 500_000;

fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    std::env::var_os("SEEDFAULT_SHARED").map_or_else(beside, PathBuf::from).join("histories")
}

/// What the columns of the table say of a file.
struct Row<'a> {
    file: &'a str,
    initial: Option<u32>,
    /// A failed compare-and-set says that the register held something else; otherwise it says nothing.
    failure_tells: bool,
    /// A read of nothing says that nothing was ever written; otherwise its result is unknown.
    null_tells: bool,
    verdict: &'a str,
}

impl<'a> Row<'a> {
    /// A row about a single register, or nothing.
    fn read(line: &'a str) -> Option<Self> {
        let cells: Vec<&str> = line.split('\t').collect();
        let [file, model, initial, failed, null, verdict, ..] = cells[..] else { return None };
        let row = Row {
            file,
            initial: initial.parse().ok(),
            failure_tells: failed == "asserts-mismatch",
            null_tells: null == "asserts-null",
            verdict,
        };
        (model == "cas-register" && !file.contains("::")).then_some(row)
    }

    fn operations(&self, text: &str) -> Vec<Op> {
        // What was written beforehand was over before anything was called.
        let initial = self.initial.map(|value| Op { call: 0, ret: Some(0), act: Act::Write(Some(value)) });
        let mut ops: Vec<Op> = initial.into_iter().collect();
        let mut open: BTreeMap<String, (u64, Value)> = BTreeMap::new();
        for (place, line) in text.lines().enumerate() {
            let event: Value = serde_json::from_str(line).expect("a line of JSON");
            let (process, now) = (event["process"].to_string(), place as u64 + 1);
            if event["type"] == "invoke" {
                open.insert(process, (now, event));
                continue;
            }
            let (call, invoked) = open.remove(&process).expect("an invocation");
            ops.extend(self.operation(&event, &invoked).map(|(act, known)| Op {
                call,
                ret: known.then_some(now),
                act,
            }));
        }
        let left = open.into_values().filter_map(|(call, invoked)| {
            let (act, _) = self.operation(&serde_json::json!({"type": "info"}), &invoked)?;
            Some(Op { call, ret: None, act })
        });
        ops.extend(left);
        ops
    }

    /// What an operation did or may have done, and whether it is known; nothing where it tells nothing.
    fn operation(&self, ended: &Value, invoked: &Value) -> Option<(Act, bool)> {
        let number = |value: &Value| value.as_u64().map(|number| number as u32);
        let outcome = ended["type"].as_str()?;
        let pair = |place: usize| number(&invoked["value"][place]);
        let act = match (invoked["f"].as_str()?, outcome) {
            ("read", "ok") => match number(&ended["value"]) {
                None if !self.null_tells => return None,
                value => Act::Read(value),
            },
            ("write", "ok" | "info") => Act::Write(number(&invoked["value"])),
            ("cas", "ok" | "info") => Act::Swap(pair(0)?, pair(1)?),
            ("cas", "fail") if self.failure_tells => Act::Differs(pair(0)?),
            _ => return None,
        };
        Some((act, outcome != "info"))
    }
}

#[test]
fn registers_of_other_checkers_come_out_as_their_authors_say() {
    let folder = folder();
    let Ok(table) = fs::read_to_string(folder.join("verdicts.tsv")) else {
        println!("skipped: the histories of other checkers: {} is not there", folder.display());
        return;
    };
    let (mut seen, mut wrong) = (BTreeMap::new(), Vec::new());
    for row in table.lines().filter_map(Row::read) {
        let text = fs::read_to_string(folder.join(row.file)).unwrap_or_else(|e| panic!("{}: {e}", row.file));
        let found = match search::decide(&row.operations(&text), BUDGET) {
            Answer::Linearizable => "ok",
            Answer::Broken(_) => "bad",
            Answer::Exceeded => "out of steps",
        };
        *seen.entry(found).or_insert(0) += 1;
        if found != row.verdict && found != "out of steps" {
            wrong.push(format!("{}: {found}, and they say {}", row.file, row.verdict));
        }
    }
    println!("{} registers: {seen:?}", seen.values().sum::<i32>());
    // To give up is the one excuse, and a rare one.
    assert!(seen.get("out of steps").is_none_or(|number| *number <= 3), "{seen:?}");
    assert_eq!(wrong, Vec::<String>::new());
    assert!(seen.get("ok") > Some(&60) && seen.get("bad") > Some(&40), "too few were decided: {seen:?}");
}
