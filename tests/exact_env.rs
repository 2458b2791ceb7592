//! The environment `exact` with real servers, from outside. The first test is the tutorial.
#![cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]

mod exact_support;
mod servers;

use exact_support::{Bench, TURN, timeline};
use seedfault::env::exact::image;
use seedfault::env::{Env, Exit, Input, LinkRule, NodeAction, NodeId, Observed};
use seedfault::fault::kill::Signal;
use seedfault::fault::restart::RestartData;
use seedfault::time::Millis;
use seedfault::timeline::{Policy, Schedule, Timeline};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::PoisonError;

#[test]
fn a_cluster_boots_twice_with_the_same_trace_and_the_same_log() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for server in &servers::installed() {
        let mut sums = Vec::new();
        for round in 0..2 {
            let mut bench = Bench::boot(&format!("boot{round}"), server, 67_890);
            bench.pass(Millis(6_000));
            for node in 0..bench.nodes {
                let info = bench.ask(node, "CLUSTER INFO");
                assert!(
                    info.contains("cluster_state:ok"),
                    "{} {node}: {info} {:#?}",
                    server.display(),
                    bench.logs
                );
                assert!(info.contains("cluster_slots_ok:16384"), "{info}");
            }
            sums.push(bench.sum());
        }
        assert!(sums[0].1.len() > 20, "{:#?}", sums[0].1);
        assert_eq!(sums[0], sums[1], "{}", server.display());
    }
}

#[test]
fn each_policy_gives_the_turns_an_order_of_its_own_and_the_same_twice() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for server in &servers::installed() {
        let mut traces = BTreeMap::new();
        for policy in Policy::ALL {
            let schedule = Schedule { policy: Some(*policy), ..Schedule::default() };
            let timeline = Timeline { schedule, ..timeline(21) };
            for round in 0..2 {
                let mut bench = Bench::of(&format!("{policy}{round}"), server, &timeline);
                bench.pass(Millis(3_000));
                assert!(bench.ask(0, "CLUSTER INFO").contains("cluster_state:ok"), "{policy}");
                bench.env.close();
                let trace = fs::read_to_string(bench.run.join("trace.txt")).expect("it was asked for");
                assert!(trace.starts_with(&format!("policy {policy}\n")), "{:?}", trace.lines().next());
                let order = trace.lines().skip(1).map(String::from).collect::<Vec<_>>();
                let before = traces.entry(*policy).or_insert_with(|| order.clone());
                assert_eq!(*before, order, "{} {policy}", server.display());
            }
        }
        let orders: BTreeSet<&Vec<String>> = traces.values().collect();
        assert_eq!(orders.len(), Policy::ALL.len(), "{}", server.display());
    }
}

#[test]
fn a_killed_primary_is_replaced_and_comes_back_and_a_fork_feeds_it() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for server in &servers::installed() {
        let mut sums = Vec::new();
        for round in 0..2 {
            let mut bench = Bench::boot(&format!("kill{round}"), server, 7);
            bench.pass(Millis(4_000));
            bench.act(0, NodeAction::Signal(Signal::Kill)).expect("it runs");
            bench.pass(Millis(12_000));
            assert!(bench.ask(1, "ROLE").contains("master"), "{:#?}", bench.logs);
            bench.act(0, NodeAction::Start(RestartData::Kept)).expect("it is down");
            bench.pass(Millis(6_000));
            assert!(bench.ask(0, "ROLE").contains("connected"), "{:#?}", bench.logs);
            let forked = |(_, line): &(NodeId, String)| line.contains("Background RDB transfer started");
            assert!(bench.logs.iter().any(forked), "{:#?}", bench.logs);
            bench.act(0, NodeAction::Pause).expect("it runs");
            bench.pass(Millis(100));
            assert_eq!(bench.ask(0, "PING"), "", "a paused node answers nobody");
            bench.act(0, NodeAction::Resume).expect("it runs");
            bench.pass(Millis(100));
            assert_eq!(bench.ask(0, "PING"), "+PONG\r\n");
            bench.act(2, NodeAction::Signal(Signal::Term)).expect("it runs");
            let exit = bench.until(|input| match input {
                Input::Observed(Observed::Exited { exit, node: NodeId(2), .. }) => Some(*exit),
                _ => None,
            });
            assert_eq!(exit, Exit::Code(0));
            sums.push(bench.sum());
        }
        assert_eq!(sums[0], sums[1], "{}", server.display());
    }
}

#[test]
fn a_primary_that_is_cut_off_is_replaced_and_steps_down_when_the_cut_heals() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for server in &servers::installed() {
        let mut sums = Vec::new();
        for round in 0..2 {
            let mut bench = Bench::boot(&format!("cut{round}"), server, 11);
            bench.pass(Millis(5_000));
            let cut = LinkRule { cut: true, ..LinkRule::default() };
            for other in 1..bench.nodes {
                bench.link(0, other, cut);
                bench.link(other, 0, cut);
            }
            bench.pass(Millis(12_000));
            assert!(bench.ask(1, "ROLE").contains("master"), "{:#?}", bench.logs);
            assert!(bench.ask(0, "ROLE").contains("master"), "it hears of nothing");
            assert!(bench.ask(0, "SET a b").contains("CLUSTERDOWN"), "a minority does not serve");
            for other in 1..bench.nodes {
                bench.link(0, other, LinkRule::default());
                bench.link(other, 0, LinkRule::default());
            }
            bench.pass(Millis(10_000));
            let role = bench.ask(0, "ROLE");
            assert!(role.contains("slave") && role.contains("connected"), "{role} {:#?}", bench.logs);
            sums.push(bench.sum());
        }
        assert_eq!(sums[0], sums[1], "{}", server.display());
    }
}

/// The turns of one node up to a time: when each was, and what it waited for after it.
fn turns(bench: &mut Bench, node: u16, until: u64) -> Vec<String> {
    bench.env.close();
    let trace = fs::read_to_string(bench.run.join("trace.txt")).expect("it was asked for");
    let of_node = format!(" node-{node} pid");
    let early =
        |line: &&str| line.split(' ').next().and_then(|at| at.parse().ok()).is_some_and(|at: u64| at < until);
    trace.lines().filter(|line| line.contains(&of_node)).filter(early).map(String::from).collect()
}

#[test]
fn leaving_a_fault_out_leaves_all_that_came_before_it_and_a_node_that_it_does_not_reach_alone() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(server) = servers::installed().into_iter().next() else { return };
    let strike = |name: &str, strikes: bool| {
        let mut bench = Bench::boot(name, &server, 5);
        // Node 5 is alone from the beginning: what it does depends on its own choices.
        let cut = LinkRule { cut: true, ..LinkRule::default() };
        for other in 0..bench.nodes - 1 {
            bench.link(5, other, cut);
            bench.link(other, 5, cut);
        }
        bench.pass(Millis(3_000));
        let at = bench.env.now().0;
        if strikes {
            bench.act(0, NodeAction::Signal(Signal::Kill)).expect("it runs");
        }
        bench.pass(Millis(1_500));
        let before: Vec<_> = (0..bench.nodes).map(|node| turns(&mut bench, node, at)).collect();
        let alone = turns(&mut bench, 5, u64::MAX);
        (before, alone.len(), alone.iter().map(|line| shape(line)).collect::<Vec<_>>())
    };
    let (with, without) = (strike("with", true), strike("without", false));
    assert_eq!(with.0, without.0, "what came before");
    assert!(with.1 > 20, "{}", with.1);
    let equal = with.2.iter().zip(&without.2).filter(|(one, other)| one == other).count();
    assert!(equal * 10 >= with.2.len() * 9, "{equal} of {} turns of the node that was alone", with.2.len());
}

/// A turn without the moment at which its predecessors let it begin.
fn shape(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    words[2..words.len().min(11)].join(" ")
}

/// Hashes of a boot and a kill, by the image: the same on every machine that has the server, the C library and the
/// kernel. `SEEDFAULT_UPDATE=1` writes those of this machine, after a change of what a seed means in virtual time.
#[test]
fn a_seed_means_the_same_on_every_machine_of_the_same_image() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/exact.tsv");
    let stored = fs::read_to_string(&path).unwrap_or_default();
    let mut lines: BTreeMap<String, String> = stored
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once('\t'))
        .map(|(key, hash)| (key.to_string(), hash.to_string()))
        .collect();
    let update = std::env::var_os("SEEDFAULT_UPDATE").is_some();
    for server in &servers::installed() {
        let image = image::image(server);
        for seed in [1, 2] {
            let key = format!("{}\t{}\t{}\t{seed}", image.server, image.libc, image.kernel);
            if !update && !lines.contains_key(&key) {
                eprintln!("skipped: no hash is stored for {} ({key})", server.display());
                continue;
            }
            let mut bench = Bench::boot("known", server, seed);
            bench.pass(Millis(3_000));
            bench.act(1, NodeAction::Signal(Signal::Kill)).expect("it runs");
            bench.pass(Millis(5_000));
            let hash = bench.env.trace_hash().expect("every turn is hashed");
            if update {
                lines.insert(key, hash);
            } else {
                assert_eq!(lines[&key], hash, "{}, seed {seed}, kernel {}", server.display(), image.kernel);
                println!(
                    "equal to the stored hash: {}, seed {seed}, kernel {}",
                    server.display(),
                    image.kernel
                );
            }
        }
    }
    if update {
        let mut text =
            String::from("# server\tC library\tkernel\tseed\thash of the trace; see tests/exact_env.rs\n");
        lines.iter().for_each(|(key, hash)| text += &format!("{key}\t{hash}\n"));
        fs::write(path, text).expect("the file can be written");
    }
}

/// 64 MB of data in one shard, sent whole to an empty replica by a forked child, through a pipe and by way of a file,
/// and the log of writes rewritten by another.
#[test]
fn a_large_data_set_is_sent_and_rewritten_the_same_twice() {
    const KEYS: u32 = 65_536;
    const BYTES: u32 = 1_024;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for server in &servers::installed() {
        let mut sums = Vec::new();
        for round in 0..2 {
            let mut bench = Bench::boot(&format!("bulk{round}"), server, 3);
            bench.pass(Millis(3_000));
            // The slot of {a} is in the last third.
            let (primary, replica) = (4, 5);
            for (diskless, keys) in [("yes", "x{a}"), ("no", "y{a}")] {
                bench.act(replica, NodeAction::Signal(Signal::Kill)).expect("it runs");
                let set = bench.ask(primary, &format!("CONFIG SET repl-diskless-sync {diskless}"));
                assert_eq!(set, "+OK\r\n");
                let filled = bench.ask(primary, &format!("DEBUG POPULATE {} {keys} {BYTES}", KEYS / 2));
                assert_eq!(filled, "+OK\r\n");
                bench.act(replica, NodeAction::Start(RestartData::Empty)).expect("it is down");
                bench.pass(Millis(20_000));
                let size = bench.ask(primary, "DBSIZE");
                assert_eq!(bench.ask(replica, "DBSIZE"), size, "{diskless}: {:#?}", bench.logs);
                assert!(bench.ask(replica, "ROLE").contains("connected"));
            }
            assert_eq!(bench.ask(replica, "DBSIZE"), format!(":{KEYS}\r\n"));
            assert_eq!(bench.ask(primary, "CONFIG SET appendonly yes"), "+OK\r\n");
            bench.pass(Millis(5_000));
            let has =
                |text: &str| bench.logs.iter().any(|(node, line)| node.0 == primary && line.contains(text));
            assert!(has("Background AOF rewrite finished successfully"), "{:#?}", bench.logs);
            assert!(has("Starting BGSAVE for SYNC with target: disk"), "{:#?}", bench.logs);
            sums.push(bench.sum());
        }
        assert_eq!(sums[0], sums[1], "{}", server.display());
    }
}
