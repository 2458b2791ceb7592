//! The proof on etcd: every operation and the usual faults on a group of three members, and a few seeds. Without etcd, or
//! where nodes can have no network of their own, it is skipped by name; it fails where `SEEDFAULT_REQUIRE_SERVERS=1` says
//! that servers must be there.

mod servers;

use seedfault::env::live;
use servers::{Ran, amiss, left_over, run, side_by_side};
use std::path::PathBuf;

/// Each mostly waits.
const AT_ONCE: usize = 2;

/// etcd on `PATH`, where its nodes can have a network of their own.
fn etcd() -> Option<PathBuf> {
    let required = std::env::var("SEEDFAULT_REQUIRE_SERVERS").as_deref() == Ok("1");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("etcd")).find(|file| file.is_file());
    assert!(found.is_some() || !required, "etcd is not installed, and SEEDFAULT_REQUIRE_SERVERS=1 wants it");
    if found.is_none() {
        println!("skipped: etcd is not on PATH");
    }
    if let Err(unable) = live::probe::probe() {
        println!("skipped: nodes cannot have a network of their own here: {}", unable.why);
        return None;
    }
    found
}

/// What etcd 3.4 is known for, by what the check of watches says of it: the notification of progress that is sent at once
/// speaks of changes that the watch has yet to tell (etcd-io/etcd#15220), and a watch from the revision of a compaction
/// lacks the deletion that was made there (etcd-io/etcd#18089). `repro/` has both.
fn is_known(evidence: &str) -> bool {
    let compacted = evidence.contains("(`compacted`)")
        || evidence.contains("(`last delete`)")
        || evidence.contains("(`resumed`)");
    evidence.contains("progress up to revision") || (compacted && evidence.contains("was passed over"))
}

fn unexplained(ran: &Ran) -> Vec<String> {
    let mut amiss: Vec<String> = Vec::new();
    // What it is that watches did not tell is looked at below.
    let findings: Vec<&str> =
        ran.findings().into_iter().filter(|finding| !finding.starts_with("watch:")).collect();
    if !findings.is_empty() || !matches!(ran.verdict(), "pass" | "fail") {
        amiss.push(format!("exit code {}, verdict {}: {findings:?}", ran.code, ran.verdict()));
    }
    let watch = ran.judged("watch").and_then(|judged| judged["evidence"].as_array());
    let other = watch.into_iter().flatten().filter_map(|line| line.as_str());
    amiss.extend(other.filter(|line| !is_known(line)).map(Into::into));
    let left = left_over(&ran.out);
    if !left.is_empty() {
        amiss.push(format!("left behind: {left:?}"));
    }
    amiss
}

#[test]
fn a_group_bears_what_people_do_to_it_and_the_usual_faults() {
    let Some(etcd) = etcd() else { return };
    let names = ["etcd-upkeep", "etcd-faults"];
    let ran = side_by_side(&names, AT_ONCE, |name| {
        let file = format!("{}/tests/real/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        run(name, &["run", &file, "--seed", "2"], &etcd)
    });
    for (name, ran) in names.iter().zip(&ran) {
        assert_eq!(amiss(ran), [""; 0], "{name}\n{}", ran.story());
        for check in ["linearizability", "acknowledged_loss", "one_leader", "data_consistency"] {
            assert_eq!(
                ran.judged(check).map(|judged| &judged["verdict"]),
                Some(&"pass".into()),
                "{name}: {check}"
            );
        }
    }
}

#[test]
fn seeds_find_nothing_that_is_not_known_of_etcd() {
    let Some(etcd) = etcd() else { return };
    let seeds = ["1", "4", "5"];
    let ran = side_by_side(&seeds, AT_ONCE, |seed| {
        run(&format!("seed-{seed}"), &["--seed", seed, "--target", "etcd"], &etcd)
    });
    for (seed, ran) in seeds.iter().zip(&ran) {
        assert_eq!(unexplained(ran), [""; 0], "seed {seed}\n{}", ran.story());
    }
}
