//! Faults of disk, power and memory in virtual time, from outside: that real servers really see them, by their own
//! words, that they heal, and that they are the same each time.
#![cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]

mod exact_support;
mod servers;

use exact_support::{Bench, ME, TURN};
use seedfault::env::{ConnId, Effect, Env, Exit, Input, NodeAction, NodeId, Observed};
use seedfault::fault::disk::DiskRule;
use seedfault::time::Millis;
use servers::{Ran, installed, run};
use std::fs;
use std::path::Path;
use std::sync::PoisonError;

/// Runs a scenario file of this repository on a server.
fn scenario(name: &str, file: &str, server: &Path) -> Ran {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    run(name, &["run", &file.to_string_lossy(), "--seed", "1"], server)
}

/// Runs a scenario of so many shards with one replica each, written here.
fn written(name: &str, settings: &str, events: &str, server: &Path) -> Ran {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.yaml"));
    let text = format!(
        "fuzz: 1\nenvironment: exact\ncluster: {{shards: 3, replicas: 1, formation: written, settings: {{{settings}}}}}\n\
         length: 12s\ntimeline:\n{events}"
    );
    fs::write(&file, text).expect("writable");
    run(name, &["run", &file.to_string_lossy(), "--seed", "1"], server)
}

/// What a node's server has logged.
fn log(ran: &Ran, node: u16) -> String {
    fs::read_to_string(ran.out.join(format!("nodes/node-{node}/server.log"))).expect("it has logged")
}

fn passes(ran: &Ran) {
    assert_eq!(ran.verdict(), "pass", "{}", ran.story());
}

/// Whether a step of some event says this.
fn did(ran: &Ran, what: &str) -> bool {
    ran.applied().any(|applied| applied["steps"].to_string().contains(what))
}

#[test]
fn a_torn_append_only_file_is_loaded_up_to_the_tear() {
    for server in &installed() {
        let ran = scenario("disk-torn", "dsl/torn-append-only-file.yaml", server);
        passes(&ran);
        assert!(did(&ran, "node-1 was killed in the middle of a write"), "{}", ran.story());
        let log = log(&ran, 1);
        assert!(log.contains("loaded anyway because aof-load-truncated is enabled"), "{log}");
    }
}

#[test]
fn a_full_disk_shortens_a_write_stops_the_next_and_heals() {
    for server in &installed() {
        let ran = scenario("disk-full", "dsl/full-disk.yaml", server);
        passes(&ran);
        let log = log(&ran, 1);
        assert!(log.contains("Short write while writing to the AOF file"), "{log}");
        assert!(log.contains("AOF write error looks solved"), "{log}");
        let refused = ran.events.iter().any(|event| event["event"] == "workload" && event["fail"] != 0);
        assert!(refused, "it answered MISCONF: {}", ran.story());
    }
}

#[test]
fn under_appendfsync_always_a_loss_of_power_takes_nothing_that_was_acknowledged() {
    for server in &installed() {
        let ran = scenario("disk-power", "dsl/power-loss.yaml", server);
        passes(&ran);
        assert!(did(&ran, "node-1 lost its power before an fsync"), "{}", ran.story());
        assert!(did(&ran, "of 1 files of node-1 were not synced and are lost"), "{}", ran.story());
        let loss = ran.judged("acknowledged_loss").expect("it was judged");
        assert_eq!(loss["classes"], serde_json::json!({}), "{loss}");
        assert_eq!(loss["reason"], "no acknowledged write is lost");
    }
}

#[test]
fn without_a_sync_a_loss_of_power_takes_acknowledged_writes_and_they_are_counted() {
    let settings = "appendonly: \"yes\", appendfsync: \"no\", cluster-node-timeout: 20000";
    let events = "  - {at: 6s, do: {power_loss: {node: node-0}}, for: 1s}\n";
    for server in &installed() {
        let ran = written("disk-unsynced", settings, events, server);
        passes(&ran);
        let loss = ran.judged("acknowledged_loss").expect("it was judged");
        let classes = loss["classes"].as_object().expect("a map");
        let lost: u64 = classes.values().filter_map(serde_json::Value::as_u64).sum();
        assert!(lost > 0, "{loss}");
    }
}

#[test]
fn errors_of_the_append_only_file_end_what_may_not_go_on_and_it_comes_back() {
    let settings = "appendonly: \"yes\", appendfsync: always, cluster-node-timeout: 1000";
    let events = "  - {at: 2s, do: {disk_error: {node: node-0, call: fsync, count: 1}}, for: 3s}\n  \
                  - {at: 2s, do: {disk_error: {node: node-3, call: write, count: 1}}, for: 3s}\n";
    for server in &installed() {
        let ran = written("disk-errors", settings, events, server);
        passes(&ran);
        assert!(did(&ran, "an fsync of node-0 failed by EIO"), "{}", ran.story());
        assert!(did(&ran, "a write of node-3 failed by EIO"), "{}", ran.story());
        for node in [0, 3] {
            assert!(did(&ran, &format!("node-{node} started again with its data")), "{}", ran.story());
            let log = log(&ran, node);
            assert!(log.contains("when the AOF fsync policy is 'always'"), "{log}");
        }
        let crash = ran.judged("crash").expect("it was judged");
        assert_eq!(crash["classes"]["exit-on-aof-error"], 2, "{crash}");
    }
}

#[test]
fn a_node_whose_configuration_cannot_be_saved_ends_and_is_started_when_its_disk_is_well() {
    let settings = "cluster-node-timeout: 1000";
    let events = "  - {at: 2s, do: {disk_error: {node: node-0, error: ENOSPC}}, for: 6s}\n  \
                  - {at: 3s, do: {kill: {node: node-2}}, for: 3s}\n";
    for server in &installed() {
        let ran = written("disk-nodes-conf", settings, events, server);
        passes(&ran);
        let log = log(&ran, 0);
        assert!(log.contains("can't update cluster config file"), "{log}");
        assert!(did(&ran, "node-0 started again with its data"), "{}", ran.story());
        let crash = ran.judged("crash").expect("it was judged");
        assert_eq!(crash["classes"]["exit-on-nodes-conf"], 1, "{crash}");
    }
}

#[test]
fn a_save_in_a_forked_child_fails_and_counts_on_for_its_node() {
    let settings = "save: 1 1, cluster-node-timeout: 20000";
    let events = "  - {at: 2s, do: {disk_error: {node: node-0, call: rename}}, for: 4s}\n  \
                  - {at: 2s, do: {strike_at: {node: node-2, call: fsync, nth: 1, how: kill}}, for: 3s}\n";
    for server in &installed() {
        let ran = written("disk-child", settings, events, server);
        passes(&ran);
        assert!(did(&ran, "a rename of a forked child of node-0 failed by EIO"), "{}", ran.story());
        assert!(did(&ran, "node-2 was killed before an fsync of a forked child"), "{}", ran.story());
        let log = log(&ran, 0);
        assert!(log.contains("Background saving error"), "{log}");
        assert!(log.contains("Background saving terminated with success"), "it heals: {log}");
    }
}

#[test]
fn every_fault_of_a_disk_is_the_same_each_time() {
    for server in &installed() {
        let hashes: Vec<String> = (0..2)
            .map(|round| {
                let ran = scenario(&format!("disk-same-{round}"), "tests/real/disks.yaml", server);
                passes(&ran);
                assert!(did(&ran, "calls of this process took longer"), "{}", ran.story());
                ran.finished().expect("a last word")["trace_hash"].to_string()
            })
            .collect();
        assert_eq!(hashes[0], hashes[1], "{}", server.display());
    }
}

#[test]
fn a_node_that_is_stopped_still_receives_and_answers_when_it_goes_on() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for server in &installed() {
        let mut bench = Bench::boot("stalled", server, 9);
        bench.pass(Millis(3_000));
        let (before, during) = (ConnId(9_001), ConnId(9_002));
        bench.env.submit(ME, Effect::Open(before, NodeId(0)));
        bench.pass(Millis(20));
        bench.act(0, NodeAction::Pause).expect("it runs");
        // One connection is there already, one is made into its backlog.
        bench.env.submit(ME, Effect::Open(during, NodeId(0)));
        bench.pass(Millis(20));
        for id in [before, during] {
            assert!(bench.seen.iter().any(|(_, _, input)| *input == Input::Opened(id)), "{:?}", bench.seen);
            bench.env.submit(ME, Effect::Send(id, b"PING\r\nECHO two\r\n".to_vec()));
        }
        bench.pass(Millis(500));
        let came = |bench: &Bench, id| {
            let bytes = bench.seen.iter().filter_map(|(_, _, input)| match input {
                Input::Bytes(from, bytes) if *from == id => Some(bytes.clone()),
                _ => None,
            });
            String::from_utf8(bytes.flatten().collect()).expect("text")
        };
        assert_eq!(came(&bench, before) + &came(&bench, during), "");
        bench.act(0, NodeAction::Resume).expect("it is stopped");
        bench.pass(Millis(50));
        for id in [before, during] {
            assert_eq!(came(&bench, id), "+PONG\r\n$3\r\ntwo\r\n");
        }
    }
}

#[test]
fn a_node_without_memory_ends_the_same_twice_and_has_it_again_when_the_limit_is_lifted() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Redis 7.0 reports that it has no memory, for which it has no memory, which it reports, and so on.
    let servers = installed().into_iter().filter(|server| !server.ends_with("redis-server"));
    for server in &servers.collect::<Vec<_>>() {
        let mut sums = Vec::new();
        for round in 0..2 {
            let mut bench = Bench::boot(&format!("memory{round}"), server, 13);
            bench.pass(Millis(3_000));
            bench.act(1, NodeAction::Memory(Some(8))).expect("it runs");
            bench.act(1, NodeAction::Memory(None)).expect("it runs");
            assert_eq!(bench.ask(1, "DEBUG POPULATE 20000 x 1024"), "+OK\r\n");
            bench.act(0, NodeAction::Memory(Some(8))).expect("it runs");
            bench.ask(0, "DEBUG POPULATE 20000 x 1024");
            let exit = bench.until(|input| match input {
                Input::Observed(Observed::Exited { exit, node: NodeId(0), .. }) => Some(*exit),
                _ => None,
            });
            assert_eq!(exit, Exit::Signal(6), "{:#?}", bench.logs);
            let told = |(node, line): &(NodeId, String)| node.0 == 0 && line.contains("OUT OF MEMORY");
            assert!(bench.logs.iter().any(told), "{:#?}", bench.logs);
            sums.push(bench.sum());
        }
        assert_eq!(sums[0], sums[1], "{}", server.display());
    }
}

#[test]
fn what_is_written_to_a_narrow_disk_takes_as_long_as_it_is_long() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for server in &installed() {
        let mut bench = Bench::boot("narrow", server, 4);
        bench.pass(Millis(3_000));
        assert_eq!(bench.ask(0, "CONFIG SET appendonly yes"), "+OK\r\n");
        bench.pass(Millis(3_000));
        let took = |bench: &mut Bench, number| {
            let (id, began) = (ConnId(number), bench.env.now().0);
            bench.env.submit(ME, Effect::Open(id, NodeId(0)));
            // Its slot is the node's.
            bench
                .env
                .submit(ME, Effect::Send(id, format!("SET bar {}\r\n", "x".repeat(50_000)).into_bytes()));
            bench.pass(Millis(1_000));
            let came = |(at, _, input): &(u64, _, Input)| {
                (*input == Input::Bytes(id, b"+OK\r\n".to_vec())).then(|| at - began)
            };
            bench.seen.iter().find_map(came).unwrap_or_else(|| panic!("{:?}", bench.seen))
        };
        let before = took(&mut bench, 9_001);
        let narrow = DiskRule::Slow { delay: Millis(0), read: Millis(0), rate: 100 };
        bench.act(0, NodeAction::Disk("narrow".into(), Some(narrow))).expect("it runs");
        let during = took(&mut bench, 9_002);
        bench.act(0, NodeAction::Disk("narrow".into(), None)).expect("it is there");
        let after = took(&mut bench, 9_003);
        assert!(before < 50_000 && after < 50_000, "{before} us before, {after} us after it");
        assert!((500_000..600_000).contains(&during), "{during} us");
    }
}
