//! The fourteen tests of a Raft group (`dsl/raft`) on real etcd and real ZooKeeper: they pass, one table tells so, and each
//! is turned to a failure by a planted violation: the fault's opposite, or a server that lies.
//!
//! They run in environment `live`. Where a server is not installed they are skipped by name, and fail where
//! `SEEDFAULT_REQUIRE_SERVERS=1` says that servers must be there.

#[path = "raft/keeper.rs"]
mod keeper;
#[path = "raft/liar.rs"]
mod liar;
mod servers;

use seedfault::target::zookeeper::provision::DEBIAN;

use servers::{Ran, run, side_by_side};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a violation is planted.
enum Plant {
    /// One text of the scenario is replaced by another.
    Scenario(&'static str, &'static str),
    /// The members are served by a liar.
    Liar(&'static str),
}
use Plant::{Liar, Scenario};

/// The scenario, what is wrong in it, how that is planted, and the check that must speak.
type Planted = (&'static str, &'static str, Plant, &'static str);

/// Where ZooKeeper differs: a member without its log is taught by the leader and does no harm.
const IN_ZOOKEEPER: &[Planted] = &[(
    "r2-crash-recovery",
    "a member's reads after a sync show what it was first asked for",
    Liar("stale"),
    "linearizability",
)];

const PLANTS: &[Planted] = &[
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

/// A system that the tests run on.
struct System {
    name: &'static str,
    server: PathBuf,
    /// How many runs share this machine: a run mostly waits, once its servers are up.
    at_once: usize,
    liar: fn(&Path, &str) -> PathBuf,
}

/// etcd, if it is installed.
fn etcd() -> Option<System> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("etcd")).find(|file| file.is_file());
    let system = |server| System { name: "etcd", server, at_once: 3, liar: liar::script };
    or_skipped("etcd", found.map(system))
}

/// ZooKeeper, if it is installed.
fn zookeeper() -> Option<System> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let java = std::env::split_paths(&path).any(|folder| folder.join("java").is_file());
    let found = java && Path::new(DEBIAN).is_file();
    let system = || System { name: "zookeeper", server: DEBIAN.into(), at_once: 1, liar: keeper::script };
    or_skipped("zookeeper", found.then(system))
}

fn or_skipped(name: &str, found: Option<System>) -> Option<System> {
    if found.is_none() {
        let required = std::env::var("SEEDFAULT_REQUIRE_SERVERS").as_deref() == Ok("1");
        assert!(!required, "{name} is not installed, and SEEDFAULT_REQUIRE_SERVERS=1 wants it");
        PLANTS.iter().for_each(|(test, what, ..)| println!("skipped: {test}, {what}: there is no {name}"));
    }
    found
}

/// A server that lies is this binary, run by a script with the name of this test; for everybody else nothing happens here.
#[test]
fn the_server_that_lies() {
    keeper::lies();
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

/// Each of the fourteen with what is planted in it here.
fn planted(system: &System) -> Vec<&'static Planted> {
    let other =
        |name: &str| IN_ZOOKEEPER.iter().find(|(test, ..)| system.name == "zookeeper" && *test == name);
    PLANTS.iter().map(|planted| other(planted.0).unwrap_or(planted)).collect()
}

fn each_fails(system: &System) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("raft-plants-{}", system.name));
    std::fs::create_dir_all(&folder).expect("a folder");
    let attempt = |(name, _, plant, _): &&Planted| {
        let (file, server) = match plant {
            Liar(lie) => (scenario(name), (system.liar)(&folder, lie)),
            Scenario(good, bad) => {
                let text = std::fs::read_to_string(scenario(name)).expect("the scenario is there");
                assert_eq!(text.matches(good).count(), 1, "{name}: `{good}`");
                let file = folder.join(format!("{name}.yaml"));
                std::fs::write(&file, text.replace(good, bad)).expect("the folder can be written");
                (file, system.server.clone())
            }
        };
        let file = file.to_string_lossy();
        run(&format!("raft-plant-{name}"), &["run", &file, "--seed", "1", "--target", system.name], &server)
    };
    let plants = planted(system);
    let mut failed = Vec::new();
    for (plant, mut ran) in plants.iter().zip(side_by_side(&plants, system.at_once, attempt)) {
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
fn each_of_the_fourteen_fails_for_a_planted_violation() {
    if let Some(system) = etcd() {
        each_fails(&system);
    }
}

#[test]
fn each_of_the_fourteen_fails_for_a_planted_violation_on_zookeeper() {
    if let Some(system) = zookeeper() {
        each_fails(&system);
    }
}

fn all_pass(system: &System) {
    let names: Vec<&str> = PLANTS.iter().map(|(name, ..)| *name).collect();
    let attempt = |name: &&str| {
        let file = scenario(name);
        let file = file.to_string_lossy();
        let arguments = ["run", &file, "--seed", "1", "--target", system.name, "--no-shrink"];
        run(&format!("raft-{name}"), &arguments, &system.server)
    };
    let mut failed = Vec::new();
    for (name, mut ran) in names.iter().zip(side_by_side(&names, system.at_once, attempt)) {
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

#[test]
fn the_fourteen_pass_on_etcd() {
    if let Some(system) = etcd() {
        all_pass(&system);
    }
}

#[test]
fn the_fourteen_pass_on_zookeeper() {
    if let Some(system) = zookeeper() {
        all_pass(&system);
    }
}

/// A folder of two: the table, the worst exit code, a case each in `JUnit`, an object each in JSON.
#[test]
fn a_folder_on_etcd_is_one_table() {
    if etcd().is_none() {
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
