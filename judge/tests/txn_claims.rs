//! Small histories and what each claim makes of them: the facts are those of Elle's published tests (public
//! repository jepsen-io/elle, `test/elle`), the notation is our own.
//!
//! A transaction is a text: `a:x:1` appends 1 to x, `w:x:1` writes it, `r:x:1,2` reads a list, `r:x:` an empty one
//! or nil. `0 ok a:x:1` is the answer of process 0; `0 ? a:x:1` its request alone.

use judge::read::{Shaping, json};
use judge::{Answer, Budget, Options, Verdict, model};
use serde_json::{Value as Json, json};

/// `pairs`: each answer is preceded by its request; else there are answers alone.
fn verdict(checker: &str, opts: &Json, pairs: bool, lines: &[&str]) -> Verdict {
    let mut events = Vec::new();
    for line in lines {
        let mut words = line.split(' ');
        let process: u32 = words.next().and_then(|word| word.parse().ok()).expect("a process");
        let kind = words.next().expect("a kind");
        let steps: Vec<&str> = words.collect();
        let value = |answered: bool| -> Vec<Json> {
            steps.iter().map(|step| self::step(checker, step, answered)).collect()
        };
        let event = |kind: &str, answered| json!({"process": process, "type": kind, "f": "txn", "value": value(answered)});
        match kind {
            "?" => events.push(event("invoke", false)),
            "!" => events.push(event("ok", true)),
            _ if pairs => {
                events.push(event("invoke", false));
                events.push(event(kind, true));
            }
            _ => events.push(event(kind, true)),
        }
    }
    let text = Json::Array(events).to_string();
    let shaping = Shaping { completions_only: !pairs, ..Shaping::default() };
    let history = json::array(&text, shaping).expect("a history");
    let options = Options::from_case_opts(opts).expect("options");
    let model = model::named(checker).expect("a model");
    (model.judge)(&history, &options, &Budget::default()).expect("it fits")
}

fn step(checker: &str, text: &str, answered: bool) -> Json {
    let mut parts = text.split(':');
    let (name, key, values) = (parts.next(), parts.next(), parts.next());
    let numbers: Vec<i64> =
        values.unwrap_or("").split(',').filter_map(|number| number.parse().ok()).collect();
    match name {
        Some("a") => json!(["append", key, numbers[0]]),
        Some("w") => json!(["w", key, numbers[0]]),
        _ if !answered || numbers.is_empty() => json!(["r", key, null]),
        _ if checker == "rw-register" => json!(["r", key, numbers[0]]),
        _ => json!(["r", key, numbers]),
    }
}

struct Case {
    opts: Json,
    answer: Answer,
    names: &'static [&'static str],
    not: &'static [&'static str],
}

fn case(opts: Json, answer: Answer, names: &'static [&'static str], not: &'static [&'static str]) -> Case {
    Case { opts, answer, names, not }
}

fn check(what: &str, checker: &str, pairs: bool, lines: &[&str], cases: Vec<Case>) {
    for Case { opts, answer, names, not } in cases {
        let verdict = verdict(checker, &opts, pairs, lines);
        let seen: Vec<&str> = verdict.names().into_iter().collect();
        assert_eq!(
            (verdict.answer, seen.as_slice(), &verdict.not[..]),
            (answer, names, &not.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()[..]),
            "{what} with {opts}: {verdict:#?}"
        );
    }
}

/// None of these anomalies, and no model claimed.
fn none_of(name: &str) -> Json {
    json!({"consistency-models": null, "anomalies": [name]})
}
fn claim(model: &str) -> Json {
    json!({"consistency-models": [model]})
}

use Answer::{Bad, Ok, Unknown};
const EMPTY: &str = "empty-transaction-graph";

#[test]
fn list_append_claims_without_an_order_in_time() {
    let check = |what, lines: &[&str], cases| check(what, "list-append", false, lines, cases);
    check(
        "a cycle of writes",
        &["0 ok a:x:1 a:y:1", "0 ok a:x:2 a:y:2", "0 ok r:x:1,2 r:y:2,1"],
        vec![
            case(none_of("G0"), Bad, &["G0"], &["read-uncommitted"]),
            case(none_of("G1"), Bad, &["G0"], &["read-uncommitted"]),
            case(none_of("G2"), Ok, &[], &[]),
        ],
    );
    check(
        "a read of a failed append",
        &["0 fail a:x:1", "0 ok r:x:1"],
        vec![
            case(claim("read-uncommitted"), Unknown, &[EMPTY], &["read-committed"]),
            case(claim("read-committed"), Bad, &["G1a", EMPTY], &["read-committed"]),
            case(claim("repeatable-read"), Bad, &["G1a", EMPTY], &["read-committed"]),
        ],
    );
    check(
        "a circle of information",
        &["0 ok a:x:1 r:y:1", "0 ok a:x:2 a:y:1", "0 ok r:x:1,2 r:y:1"],
        vec![case(none_of("G1"), Bad, &["G1c"], &["read-committed"])],
    );
    let single = &["consistent-view", "repeatable-read"];
    check(
        "one read missed",
        &["0 ok a:x:1 a:y:1", "0 ok a:x:2 r:y:", "0 ok r:x:1,2"],
        vec![case(none_of("G0"), Ok, &[], &[]), case(none_of("G-single"), Bad, &["G-single-item"], single)],
    );
    check(
        "two reads missed",
        &["0 ok a:x:1 r:y:", "0 ok a:y:1 r:x:"],
        vec![
            case(none_of("G0"), Ok, &[], &[]),
            case(claim("read-committed"), Ok, &[], &[]),
            case(claim("serializable"), Bad, &["G2-item"], &["repeatable-read"]),
        ],
    );
    check(
        "a failed append without any read",
        &["0 fail a:x:1"],
        vec![case(none_of("dirty-update"), Unknown, &[EMPTY], &[])],
    );
    check(
        "a failed append kept below two others",
        &["0 fail a:x:1", "1 info a:x:2", "2 ok a:x:3", "3 ok r:x:1,2,3"],
        vec![case(none_of("dirty-update"), Bad, &["dirty-update"], &["read-committed"])],
    );
    check(
        "a read that contradicts its own append",
        &["0 ok a:x:1 a:x:2 a:x:4", "0 ok a:x:3 r:x:1,2,3,4"],
        vec![case(none_of("internal"), Bad, &["internal"], &["read-uncommitted"])],
    );
    check(
        "an element that nobody appended",
        &["0 ok a:x:1", "0 ok r:x:1,7"],
        vec![case(claim("read-committed"), Bad, &[EMPTY, "garbage-read"], &["read-committed"])],
    );
    check(
        "an unknown outcome reads nothing",
        &["0 info a:x:2 r:y:", "1 ok a:x:1 a:y:1", "2 ok r:x:1,2 r:y:1"],
        vec![case(claim("serializable"), Ok, &[], &[])],
    );
}

#[test]
fn list_append_claims_with_an_order_in_time() {
    let check = |what, lines: &[&str], cases| check(what, "list-append", true, lines, cases);
    check(
        "an intermediate version",
        &["0 ok a:x:1 a:x:2", "0 ok r:x:1"],
        vec![
            case(none_of("G1"), Bad, &["G1b"], &["read-committed"]),
            case(claim("strict-serializable"), Bad, &["G-single-item", "G1b"], &["read-committed"]),
        ],
    );
    check(
        "a stale read of another process",
        &["0 ok a:x:1", "1 ok a:x:2", "2 ok r:x:1", "3 ok r:x:1,2"],
        vec![
            case(none_of("G2"), Ok, &[], &[]),
            case(
                claim("strict-serializable"),
                Bad,
                &["G-single-item-realtime"],
                &["strong-snapshot-isolation"],
            ),
        ],
    );
    check(
        "a stale read of the same process",
        &["0 ok a:x:1", "1 ok a:x:2", "1 ok r:x:1", "2 ok r:x:1,2"],
        vec![case(
            claim("strong-session-snapshot-isolation"),
            Bad,
            &["G-single-item-process"],
            &["strong-session-snapshot-isolation"],
        )],
    );
    check(
        "two reads missed with a process between",
        &["0 ok r:x: r:z:1", "1 ok a:x:1", "1 ok r:z:", "2 ok a:z:1"],
        vec![case(
            claim("strong-session-snapshot-isolation"),
            Bad,
            &["G-nonadjacent-item-process"],
            &["strong-session-snapshot-isolation"],
        )],
    );
    check(
        "two reads missed with others between",
        &["0 ok a:x:1", "0 ok r:x:1 r:y:", "0 ok a:y:1", "0 ok r:y:1 r:x:"],
        vec![case(json!({}), Bad, &["G-nonadjacent-item"], &["repeatable-read", "snapshot-isolation"])],
    );
    check(
        "one transaction may write twice over what it read",
        &["0 ok r:x: a:x:1 a:x:2", "0 ok r:x:1,2"],
        vec![case(json!({}), Ok, &[], &[])],
    );
    check(
        "information from the future of a process",
        &["1 ok r:x:1 a:y:1", "2 ok r:y:1", "2 ok a:x:1"],
        vec![case(
            claim("strong-session-snapshot-isolation"),
            Bad,
            &["G1c-process"],
            &["strong-session-read-committed"],
        )],
    );
    check(
        "a read of one's own later append",
        &["0 ok r:x:1 a:x:1"],
        vec![case(claim("read-committed"), Bad, &[EMPTY, "future-read"], &["read-committed"])],
    );
    check(
        "a pair that depends by data and by time is no stale read, yet no strong snapshot",
        &["0 ok r:x: a:y:1", "1 ok a:x:1 r:y:"],
        vec![case(
            json!({}),
            Bad,
            &["G2-item", "strong-snapshot-isolation-cycle-exists"],
            &["repeatable-read", "strong-snapshot-isolation"],
        )],
    );
}

#[test]
fn rw_register_claims() {
    let pairs = |what, lines: &[&str], cases| check(what, "rw-register", true, lines, cases);
    let answers = |what, lines: &[&str], cases| check(what, "rw-register", false, lines, cases);
    pairs(
        "a value read again after another",
        &["0 ok w:x:1", "0 ok r:x:2", "0 ok r:x:1"],
        vec![case(
            json!({"consistency-models": ["strict-serializable"], "linearizable-keys?": true}),
            Bad,
            &["cyclic-versions"],
            &["read-uncommitted"],
        )],
    );
    pairs(
        "a cycle of writes, seen by later reads",
        &["0 ok w:x:1 w:y:2", "1 ok w:x:2 w:y:1", "0 ok r:x:2", "1 ok r:y:2"],
        vec![case(
            json!({"consistency-models": null, "anomalies": ["G0"], "sequential-keys?": true}),
            Bad,
            &["G0"],
            &["read-uncommitted"],
        )],
    );
    answers(
        "an intermediate value",
        &["0 ok w:x:1 w:x:2", "0 ok r:x:1"],
        vec![
            case(none_of("G0"), Unknown, &[EMPTY], &["read-committed"]),
            case(claim("repeatable-read"), Bad, &["G1b", EMPTY], &["read-committed"]),
        ],
    );
    let single = &["consistent-view", "repeatable-read"];
    answers(
        "the given order of two transactions",
        &["0 ok r:x: w:y:2", "0 ok w:x:3 w:y:4"],
        vec![
            case(
                json!({"consistency-models": ["serializable"], "transaction-order": {"0": 2, "1": 1}}),
                Bad,
                &["G-single-item"],
                single,
            ),
            case(
                json!({"consistency-models": ["serializable"], "transaction-order": {"0": 1, "1": 2}}),
                Ok,
                &[],
                &[],
            ),
        ],
    );
    answers(
        "the given order of four transactions",
        &["0 ok w:x:1 w:y:2 w:z:3", "0 ok r:x:1 w:y:5", "0 ok r:z:3 w:x:4", "0 ok w:z:7 w:y:8"],
        vec![case(
            json!({"consistency-models": ["serializable"], "transaction-order": {"0": 1, "1": 4, "2": 2, "3": 3}}),
            Bad,
            &["G2-item"],
            &["repeatable-read"],
        )],
    );
    answers(
        "a circle of information",
        &["0 ok w:x:1 r:y:1", "0 ok w:y:1 r:x:1"],
        vec![
            case(claim("read-uncommitted"), Ok, &[], &[]),
            case(claim("read-committed"), Bad, &["G1c"], &["read-committed"]),
            case(claim("serializable"), Bad, &["G1c"], &["read-committed"]),
        ],
    );
    answers(
        "two values of one key in one transaction",
        &["0 ok r:x:1 r:x:2"],
        vec![case(none_of("internal"), Bad, &[EMPTY, "internal"], &["read-atomic"])],
    );
    answers(
        "writes that follow reads only where the caller says so",
        &["0 ok r:y:1 w:x:1 w:y:2", "0 ok r:x:1 r:y:1"],
        vec![case(json!({"wfr-keys?": false, "consistency-models": ["serializable"]}), Ok, &[], &[])],
    );
    pairs(
        "a process that reads its older write",
        &["0 ok w:x:1", "0 ok w:x:2", "0 ok r:x:1"],
        vec![case(json!({"sequential-keys?": true}), Bad, &["cyclic-versions"], &["read-uncommitted"])],
    );
    pairs(
        "a read and a write at the same time",
        &[
            "0 ok",
            "0 ? r:x:",
            "1 ? w:x:4",
            "2 ?",
            "0 ! r:x:",
            "1 ! w:x:4",
            "2 !",
            "0 ok",
            "0 ? r:x:",
            "0 ! r:x:4",
        ],
        vec![case(json!({"consistency-models": ["serializable"], "linearizable-keys?": true}), Ok, &[], &[])],
    );
}
