//! The fourteen tests of a Raft group (`dsl/raft`) on real etcd: they pass, one table tells so, and each is turned to a
//! failure by a planted violation: the fault's opposite, or a server that lies.
//!
//! They run in environment `live`. Where etcd is not on `PATH` they are skipped by name, and fail where
//! `SEEDFAULT_REQUIRE_SERVERS=1` says that servers must be there.

#[path = "raft/liar.rs"]
mod liar;
mod servers;

use servers::{Ran, run, side_by_side};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A run mostly waits.
const AT_ONCE: usize = 3;

/// How a violation is planted.
enum Plant {
    /// One text of the scenario is replaced by another.
    Scenario(&'static str, &'static str),
    /// The members are served by a liar.
    Liar(&'static str),
}
use Plant::{Liar, Scenario};

/// The scenario, what is wrong in it, how that is planted, and the check that must speak.
const PLANTS: &[(&str, &str, Plant, &str)] = &[
    (
        "n1-latency",
        "the leader is slow and not a follower",
        Scenario("slow: {node: shard-0-any-replica", "slow: {node: shard-0-primary"),
        "service",
    ),
    ("n2-partition-and-recovery", "a member answers without a quorum", Liar("answers-alone"), "service"),
    ("n3-packet-loss", "five of every hundred are lost", Scenario("lose: 200", "lose: 50"), "injection"),
    ("n4-slow-close", "ends are held for half a second", Scenario("delay: 5s", "delay: 500ms"), "injection"),
    (
        "f1-leader-failure",
        "a follower is killed in the leader's place",
        Scenario("kill: {node: shard-0-primary}", "kill: {node: shard-0-any-replica}"),
        "leadership",
    ),
    (
        "f2-minority-partition",
        "a member is killed and not cut off",
        Scenario("cut: {node: shard-0-any-replica}", "kill: {node: shard-0-any-replica}"),
        "injection",
    ),
    (
        "f3-split-brain-prevention",
        "two of the islands are one",
        Scenario("cut: {node: node-1}", "cut: {node: node-0}"),
        "service",
    ),
    (
        "f4-consistency-after-partition",
        "a member holds values of other keys",
        Liar("swaps"),
        "data_consistency",
    ),
    ("f5-cascading-failures", "the last of three answers alone", Liar("answers-alone"), "service"),
    (
        "r1-graceful-rejoin",
        "every tenth write is acknowledged and dropped",
        Liar("drops-writes"),
        "acknowledged_loss",
    ),
    ("r2-crash-recovery", "the log is gone when the member comes back", Liar("wiped"), "crash"),
    ("r3-stale-rejoin", "the member comes back with four fifths", Liar("thins-out"), "data_consistency"),
    (
        "r4-rolling-restart",
        "two are down at once",
        Scenario("after: first, delay: 2500ms", "with: first, delay: 500ms"),
        "injection",
    ),
    (
        "r5-two-at-once",
        "the second dies half a second later",
        Scenario("{id: two, do: {kill:", "{id: two, delay: 500ms, do: {kill:"),
        "injection",
    ),
];

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dsl/raft/{name}.yaml"))
}

/// etcd, if it is installed.
fn etcd() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file());
    assert!(
        found.is_some() || std::env::var("SEEDFAULT_REQUIRE_SERVERS").as_deref() != Ok("1"),
        "etcd is not on PATH, and SEEDFAULT_REQUIRE_SERVERS=1 wants it"
    );
    found
}

/// A server that lies is this binary, run by a script with the name of this test; for everybody else nothing happens here.
#[test]
fn the_server_that_lies() {
    liar::lies();
}

fn why_not(ran: &Ran, check: &str) -> Option<String> {
    let spoke = ran.findings().iter().any(|finding| finding.starts_with(&format!("{check}: ")));
    match (ran.verdict(), spoke) {
        ("fail", true) => None,
        ("fail", false) => Some(format!("{check} did not speak, but {:?}", ran.findings())),
        (verdict, _) => Some(format!("the verdict is {verdict}")),
    }
}

#[test]
fn each_of_the_fourteen_fails_for_a_planted_violation() {
    let Some(etcd) = etcd() else {
        PLANTS.iter().for_each(|(name, what, ..)| println!("skipped: {name}, {what}: etcd is not on PATH"));
        return;
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("raft-plants");
    std::fs::create_dir_all(&folder).expect("a folder");
    let attempt = |(name, _, plant, _): &(&str, &str, Plant, &str)| {
        let (file, server) = match plant {
            Liar(lie) => (scenario(name), liar::script(&folder, lie)),
            Scenario(good, bad) => {
                let text = std::fs::read_to_string(scenario(name)).expect("the scenario is there");
                assert_eq!(text.matches(good).count(), 1, "{name}: `{good}`");
                let file = folder.join(format!("{name}.yaml"));
                std::fs::write(&file, text.replace(good, bad)).expect("the folder can be written");
                (file, etcd.clone())
            }
        };
        let file = file.to_string_lossy();
        run(&format!("raft-plant-{name}"), &["run", &file, "--seed", "1", "--target", "etcd"], &server)
    };
    let runs = side_by_side(PLANTS, AT_ONCE, attempt);
    let mut failed = Vec::new();
    for (plant, mut ran) in PLANTS.iter().zip(runs) {
        let (name, what, _, check) = plant;
        // In real time, while several runs are under way: it has a second attempt, alone.
        if let Some(why) = why_not(&ran, check) {
            println!("again: {name}, {what}: {why}");
            ran = attempt(plant);
        }
        match why_not(&ran, check) {
            None => println!("ok: {name}, {what}: {:?}", ran.findings()),
            Some(why) => failed.push(format!("{name}, {what}: {why}\n{}", ran.story())),
        }
    }
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), PLANTS.len(), failed.join("\n"));
}

#[test]
fn the_fourteen_pass_on_etcd() {
    if etcd().is_none() {
        println!("skipped: dsl/raft: etcd is not on PATH");
        return;
    }
    let names: Vec<&str> = PLANTS.iter().map(|(name, ..)| *name).collect();
    let etcd = etcd().expect("it is there");
    let attempt = |name: &&str| {
        let file = scenario(name);
        let file = file.to_string_lossy();
        run(&format!("raft-{name}"), &["run", &file, "--seed", "1", "--target", "etcd", "--no-shrink"], &etcd)
    };
    let mut failed = Vec::new();
    for (name, mut ran) in names.iter().zip(side_by_side(&names, AT_ONCE, attempt)) {
        if ran.verdict() != "pass" {
            println!("again: {name}: {:?}", ran.findings());
            ran = attempt(name);
        }
        if ran.verdict() != "pass" || ran.code != 0 {
            failed.push(format!("{name}: {}", ran.story()));
        }
    }
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), names.len(), failed.join("\n"));
}

/// A folder of two: the table, the worst exit code, a case each in `JUnit`, an object each in JSON.
#[test]
fn a_folder_on_etcd_is_one_table() {
    if etcd().is_none() {
        println!("skipped: a folder on etcd: it is not on PATH");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("raft-folder");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("two")).expect("a folder");
    let text = std::fs::read_to_string(scenario("r2-crash-recovery")).expect("the scenario is there");
    let bad = text.replace("stopped_by: KILL", "stopped_by: TERM").replace("name: R2", "name: R2, wrong");
    std::fs::write(folder.join("two/a.yaml"), &text).expect("the folder can be written");
    std::fs::write(folder.join("two/b.yaml"), bad).expect("the folder can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .current_dir(&folder)
        .args(["run", "two", "--target", "etcd", "--seed", "1", "--out", "kept", "--junit", "junit.xml"])
        .args(["--format", "json"])
        .output()
        .expect("the tool starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let rows: Vec<serde_json::Value> = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|event: &serde_json::Value| event["event"] == "scenario")
        .collect();
    let told: Vec<_> = rows.iter().map(|row| (row["verdict"].as_str(), row["exit_code"].as_u64())).collect();
    assert_eq!(told, [(Some("pass"), Some(0)), (Some("fail"), Some(1))], "{rows:?}");
    let xml = std::fs::read_to_string(folder.join("junit.xml")).expect("it was asked for");
    assert!(xml.contains("<testsuite name=\"scenarios\" tests=\"2\" failures=\"1\""), "{xml}");
}
