//! The checks, tested by harm: each sabotage behind a real cluster's back turns the verdict to fail, the check
//! that is named for it says so, and a healthy run stays silent. The scenarios are in `tests/sabotage/`.
//!
//! Every test runs on each server that is installed. Without any it is skipped by name, and fails where
//! `SEEDFAULT_REQUIRE_SERVERS=1` says that servers must be there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Clusters of six servers run one after the other: the verdict's bounds are in real time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const SERVERS: [&str; 2] = ["valkey-server", "redis-server"];

fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find =
        |name: &str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    SERVERS.iter().filter_map(|name| find(name)).collect()
}

/// The verdict, the findings and all that the tool said.
fn run(scenario: &str, server: &Path) -> (String, Vec<String>, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sabotage").join(scenario);
    let name = server.file_name().expect("a binary has a name").to_string_lossy().into_owned();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sabotage-{scenario}-{name}"));
    // What an earlier run of this test left there; the first time there is nothing.
    let _ = std::fs::remove_dir_all(&out);
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .arg("run")
        .arg(&file)
        .args(["--seed", "1", "--format", "json", "--server-binary"])
        .arg(server)
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    let last = text.lines().rev().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let last = last.unwrap_or_else(|| panic!("{scenario} on {name} said no last word:\n{all}"));
    assert_eq!(last["event"], "finished", "{scenario} on {name}:\n{all}");
    let findings = last["findings"].as_array().expect("a list of findings");
    let findings = findings.iter().map(|finding| finding.as_str().unwrap_or_default().to_string()).collect();
    (last["verdict"].as_str().unwrap_or_default().to_string(), findings, all)
}

/// Runs a scenario on every server and wants it to fail by this check, or to pass where none is named.
fn expect(scenario: &str, check: Option<&str>) {
    let servers = installed();
    if servers.is_empty() {
        assert!(
            std::env::var("SEEDFAULT_REQUIRE_SERVERS").as_deref() != Ok("1"),
            "neither of {SERVERS:?} is installed, and SEEDFAULT_REQUIRE_SERVERS=1 wants one"
        );
        println!("skipped: tests/sabotage/{scenario}: neither of {SERVERS:?} is on PATH");
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for server in servers {
        let (verdict, findings, all) = run(scenario, &server);
        let server = server.display();
        if let Some(check) = check {
            assert_eq!(verdict, "fail", "{scenario} on {server}:\n{all}");
            assert!(
                findings.iter().any(|finding| finding.starts_with(&format!("{check}: "))),
                "{scenario} on {server}: {check} did not speak, but {findings:?}"
            );
        } else {
            assert_eq!(verdict, "pass", "{scenario} on {server}: {findings:?}\n{all}");
            assert!(findings.is_empty(), "{scenario} on {server}: {findings:?}");
        }
    }
}

#[test]
fn a_healthy_cluster_passes() {
    expect("healthy.yaml", None);
}

#[test]
fn deleted_keys_are_an_acknowledged_loss() {
    expect("delete-keys.yaml", Some("acknowledged_loss"));
}

#[test]
fn an_emptied_replica_is_inconsistent_data() {
    expect("empty-replica.yaml", Some("data_consistency"));
}

#[test]
fn an_unassigned_slot_is_not_covered() {
    expect("unassign-slot.yaml", Some("slot_coverage"));
}

#[test]
fn a_slot_of_two_owners_is_seen() {
    expect("claim-slot.yaml", Some("slot_coverage"));
}

#[test]
fn a_link_kept_down_is_no_sync() {
    expect("break-link.yaml", Some("replica_sync"));
}

#[test]
fn a_promotion_that_is_owed_and_forbidden_is_missed() {
    expect("forbid-failover.yaml", Some("slot_coverage"));
}

#[test]
fn a_crash_at_promotion_is_a_crash() {
    expect("crash-at-promotion.yaml", Some("crash"));
}
