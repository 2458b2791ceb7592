//! The cases of Elle's own tests: verdict, anomalies and models ruled out are as their authors state.
//!
//! They lie beside the repository, in `../shared/histories` or where `SEEDFAULT_HISTORIES` says; without them the
//! test says that it was skipped.

use judge::{Answer, Budget, model};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::PathBuf;

#[derive(serde::Deserialize, serde::Serialize)]
struct Case {
    name: String,
    checker: String,
    #[serde(default)]
    completions_only: bool,
    opts: Json,
    expect: Expect,
    history: Box<serde_json::value::RawValue>,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct Expect {
    valid: Json,
    anomaly_types: Vec<String>,
    /// Absent where the authors do not say.
    not: Option<Vec<String>>,
}

fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("SEEDFAULT_HISTORIES").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/histories");
    given.into_iter().chain([beside]).map(|folder| folder.join("elle")).find(|folder| folder.is_dir())
}

#[test]
fn cases_of_elle_end_as_their_authors_say() {
    let Some(folder) = folder() else {
        eprintln!("skipped: no histories");
        return;
    };
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in ["list-append.cases.jsonl", "rw-register.cases.jsonl"] {
        let text = std::fs::read_to_string(folder.join(file)).expect("a file of cases");
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let case: Case = serde_json::from_str(line).expect("a case");
            seen += 1;
            if let Err(why) = check(&case) {
                wrong.push(format!("{}: {why}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {seen} disagree:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 0, "no cases in {}", folder.display());
}

fn check(case: &Case) -> Result<(), String> {
    let text = serde_json::to_string(case).map_err(|error| error.to_string())?;
    let judge::case::Case { history, options } =
        judge::case::find(&text, &case.name).map_err(|error| error.to_string())?;
    let model = model::named(&case.checker).ok_or("no such model")?;
    let verdict = (model.judge)(&history, &options, &Budget::default()).map_err(|error| error.to_string())?;
    let answer = match verdict.answer {
        Answer::Ok => Json::Bool(true),
        Answer::Bad => Json::Bool(false),
        Answer::Unknown => Json::String("unknown".into()),
    };
    let names: BTreeSet<&str> = case.expect.anomaly_types.iter().map(String::as_str).collect();
    let not: Option<BTreeSet<&String>> = case.expect.not.as_ref().map(|not| not.iter().collect());
    let ours: BTreeSet<&String> = verdict.not.iter().collect();
    if answer == case.expect.valid && verdict.names() == names && not.is_none_or(|not| not == ours) {
        return Ok(());
    }
    Err(format!(
        "{answer} by {:?}, not {ours:?}; expected {} by {names:?}, not {:?}; {verdict:#?}",
        verdict.names(),
        case.expect.valid,
        case.expect.not
    ))
}
