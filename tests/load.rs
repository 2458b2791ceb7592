//! `fuzz load` on real servers: it tells what was asked and what was not, how long it took, and does not take a client that
//! waits for one that is served.

mod servers;

use serde_json::Value;
use servers::installed;
use std::path::Path;
use std::process::{Command, Output};

fn load(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuzz"));
    command.arg("load").args(arguments).current_dir(folder);
    command.output().expect("the tool starts")
}

fn rows(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object per line")).collect()
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

#[test]
fn steps_tell_what_was_served_and_what_was_not_even_asked() {
    let Some(server) = installed().into_iter().next() else { return };
    let folder = folder("load-steps");
    let server = server.to_string_lossy().into_owned();
    let with = ["--server-binary", &server, "--env", "processes", "--for", "2s", "--format", "json"];
    // The last is more than one client can ask, since each operation goes to the server and back.
    let steps = ["--clients", "4,4,1", "--rate", "100/s,200/s,200000/s"];
    let output = load(&[&with[..], &steps[..]].concat(), &folder);
    let rows = rows(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(rows.len(), 3);
    for (row, due) in rows.iter().zip([200, 400, 400_000]) {
        let measured = &row["measured"];
        assert_eq!((&row["event"], &row["verdict"]), (&"step".into(), &"pass".into()), "{row}");
        assert_eq!(measured["due"], due, "{row}");
        let (all, count) = (&measured["all"], |of: &Value| of["count"].as_u64().expect("a count"));
        assert_eq!(count(all) + measured["skipped"].as_u64().expect("a count"), due, "{row}");
        let kinds = measured["operations"].as_object().expect("a mapping").values();
        assert_eq!(kinds.map(count).sum::<u64>(), count(all), "{row}");
        let latency = |name: &str| all["latency_us"][name].as_u64().expect("enough were served");
        assert!(
            0 < latency("p50") && latency("p50") <= latency("p99") && latency("p99") <= latency("max"),
            "{row}"
        );
        let run = folder.join(row["run"].as_str().expect("a folder"));
        assert!(run.join("verdict.json").is_file(), "every step is a run: {row}");
    }
    assert!(rows[2]["measured"]["skipped"].as_u64() > Some(200_000), "{}", rows[2]);
}

#[test]
fn a_rate_that_one_client_cannot_ask_is_not_sustained() {
    let Some(server) = installed().into_iter().next_back() else { return };
    let folder = folder("load-search");
    let server = server.to_string_lossy().into_owned();
    let with = ["--server-binary", &server, "--env", "processes", "--for", "1s", "--warm-up", "500ms"];
    std::fs::write(
        folder.join("quiet.yaml"),
        "fuzz: 1\ncluster: {shards: 3, replicas: 0}\nload: {clients: 1, rate: 1/s}\ntimeline: []\n",
    )
    .expect("a file for the test");
    let search = ["--spec", "quiet.yaml", "--search", "--p99", "5ms", "--rate", "1000/s"];
    let output = load(&[&with[..], &search[..], &["--format", "json"]].concat(), &folder);
    let rows = rows(&output);
    let last = rows.last().expect("a last word");
    assert_eq!(last["event"], "search", "{output:?}");
    // Whatever this machine sustains today, the two ends stand as they were tried.
    for row in &rows[..rows.len() - 1] {
        let sustained = row["sustained"].as_bool().expect("it was tried");
        assert_eq!(row["why"].is_null(), sustained, "{row}");
        if let Some(highest) = last["sustained"].as_u64() {
            assert!(!sustained || row["rate"].as_u64() <= Some(highest), "{row} {last}");
        }
        if let Some(lowest) = last["not_sustained"].as_u64() {
            assert!(sustained || row["rate"].as_u64() >= Some(lowest), "{row} {last}");
        }
    }
    assert!(!last["why"].is_null(), "one client cannot ask without end: {last}");
}

#[test]
fn what_measures_nothing_is_refused() {
    let folder = folder("load-refused");
    let refused = |arguments: &[&str], words: &str| {
        let output = load(arguments, &folder);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{talk}");
        assert!(talk.contains(words), "{talk}");
    };
    refused(&["--target", "embedded", "--env", "sim"], "virtual time");
    refused(&["--rate", "5"], "expected a rate such as `300/s`");
    refused(&["--target", "embedded", "--env", "sim", "--p99", "5ms"], "--search");
    std::fs::write(folder.join("closed.yaml"), "fuzz: 1\nload: {closed: true}\ntimeline: []\n")
        .expect("a file");
    if !installed().is_empty() {
        refused(&["--spec", "closed.yaml", "--env", "processes"], "asks by the clock");
        refused(&["--env", "processes", "--rate", "1/s,2/s", "--clients", "1,2,3"], "2 rates and 3 numbers");
    }
}
