//! A failure becomes small: by `fuzz shrink`, and of its own accord. On the embedded target, where a run is quick and
//! exact; `fuzz bench canary` shrinks every named bug, and the README of `repro/` names what was shrunk on real servers.

mod command;
mod servers;

use command::Place;
use seedfault::canary;
use seedfault::check::way::Way;
use seedfault::repro::{Repro, read};
use seedfault::shrink::KEYS;
use seedfault::timeline::{Schedule, Timeline};
use seedfault::yaml::document::Problems;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Fails by one of its events.
const FAILS: &str = "fuzz: 1
target: embedded
seed: 11
cluster: {shards: 3, replicas: 1}
load: {clients: 3, rate: 60/s, keys: 10}
length: 12s
bugs: [two_owners_after_slot_move]
timeline:
  - {id: a, at: 1s, do: {slow: {node: node-1, delay: 5ms}}, for: 2s}
  - {id: b, at: 2s, do: {pause: {node: node-4}}, for: 300ms}
  - {id: c, at: 4s, do: {reshard: {from: 0, to: 2, slots: 3}}}
  - {id: d, after: c, delay: 500ms, do: {slow: {node: node-0, delay: 3ms}}, for: 1s}
  - {id: e, at: 9s, do: {pause: {node: node-3}}, for: 200ms}
";

fn repro(path: &Path) -> Repro {
    let bytes = std::fs::read(path).expect("it was saved");
    read(&bytes, &mut Problems::default()).expect("a good repro")
}

/// Asks the run in this process.
fn fails(timeline: &Timeline, way: &Way) -> bool {
    way.is_in(&canary::run(timeline).expect("a run").judgements)
}

#[test]
fn a_failure_is_shrunk_of_its_own_accord_and_no_event_of_it_can_go() {
    let place = Place::new("shrink");
    place.write("fails.yaml", FAILS);
    let run = place.fuzz(&["run", "fails.yaml"]);
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    let last = run.out.lines().last().expect("words");
    let file =
        last.strip_prefix("fuzz replay ").and_then(|rest| rest.strip_suffix(" --target embedded --env sim"));
    let small = repro(&place.path.join(file.unwrap_or_else(|| panic!("{}", run.out))));
    let cut = small.facts.shrunk.expect("it says so");
    assert_eq!((cut.events, cut.nodes, cut.minimal), (5, 6, true));
    let timeline = small.timeline;
    assert_eq!(timeline.events.iter().map(|event| &*event.id).collect::<Vec<_>>(), ["c"], "{}", run.out);

    // It fails, and without the event it passes, under each of the keys.
    let whole = canary::run(&timeline).expect("a run");
    let way = whole.judgements.iter().find_map(Way::of).expect("it fails");
    for event in &timeline.events {
        let less = timeline.without(&event.id);
        for key in std::iter::once(None).chain((1..KEYS).map(Some)) {
            let schedule = Schedule { key, ..less.schedule.clone() };
            assert!(
                !fails(&Timeline { schedule, ..less.clone() }, &way),
                "{} can go under {key:?}",
                event.id
            );
        }
    }
    place.fuzz(&["replay", file.expect("seen above"), "--expect", "fail", "-q"]).exits(0);
}

#[test]
fn shrinking_can_be_left_out_and_done_later() {
    let place = Place::new("shrink-later");
    place.write("fails.yaml", FAILS);
    let run = place.fuzz(&["run", "fails.yaml", "--no-shrink", "-q", "--out", "found"]);
    assert!(run.code == 1 && !run.out.contains("min.yaml"), "{}", run.out);
    let saved = std::fs::read_dir(place.path.join("found")).expect("the run's folder");
    let saved = saved.map(|entry| entry.expect("a file").file_name().into_string().expect("text"));
    let saved = saved.into_iter().find(|name| name.contains("embedded")).expect("a repro");
    let shrink = place.fuzz(&["shrink", &format!("found/{saved}"), "--to", "small.yaml", "--jobs", "1"]);
    assert!(shrink.code == 1 && shrink.out.contains("5 events on 6 nodes -> 1 event on"), "{}", shrink.out);
    let one = repro(&place.path.join("small.yaml"));
    // The answer does not depend on how many run side by side.
    let again = place.fuzz(&["shrink", "fails.yaml", "--to", "again.yaml", "--jobs", "3", "-q"]);
    assert_eq!(again.code, 1, "{}{}", again.out, again.err);
    assert_eq!(repro(&place.path.join("again.yaml")).timeline, one.timeline);
}

#[test]
fn a_wish_to_stop_leaves_the_best_so_far() {
    let place = Place::new("shrink-stop");
    place.write("fails.yaml", FAILS);
    let mut command =
        place.command(&["shrink", "fails.yaml", "--to", "small.yaml", "--jobs", "1", "--out", "run"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // As soon as something was left out.
    let journal = place.path.join("run/timeline.yaml");
    while !journal.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("it lives");
    let said = command::said(child.wait_with_output().expect("it ends"));
    assert!(said.out.contains("interrupted: it may not be the smallest"), "{}{}", said.out, said.err);
    let small = repro(&place.path.join("small.yaml"));
    let cut = small.facts.shrunk.expect("it says so");
    assert!(!cut.minimal && cut.events == 5);
    place.fuzz(&["replay", "small.yaml", "--expect", "fail", "-q"]).exits(0);
}

#[test]
fn a_token_brings_a_seed_back_with_events_left_out() {
    let place = Place::new("shrink-token");
    let seed = ["--seed", "3", "--target", "embedded", "--bug", "ack_before_decided"];
    let full = canary::timeline(3, &canary::spec(), &["ack_before_decided"]).expect("a timeline");
    let mask = (1u128 << full.events.len()) - 1;
    let token = format!("3:{mask:x}@{}", full.catalogue);
    let replay =
        place.fuzz(&["replay", &token, "--target", "embedded", "--bug", seed[5], "--expect", "fail", "-q"]);
    assert_eq!(replay.code, 0, "{}{}", replay.out, replay.err);
    assert!(
        replay.out.contains(&format!("fuzz replay {token} --target embedded --env sim --bug")),
        "{}",
        replay.out
    );
    place.fuzz(&["replay", "3:0@999"]).exits(2).complains("the token is of catalogue 999");
    place.fuzz(&["replay", "3:zz@1"]).exits(2).complains("is no token");
    place.fuzz(&["replay", &token, "--times", "3"]).exits(2).complains("a token is run once");
}

#[test]
fn what_does_not_fail_cannot_be_shrunk() {
    let place = Place::new("shrink-passes");
    place.write("quiet.yaml", command::QUIET);
    place.fuzz(&["shrink", "quiet.yaml", "--seed", "1"]).exits(4).complains("it does not fail here (pass)");
    place.fuzz(&["shrink", "absent.yaml"]).exits(2).complains("absent.yaml");
    place.fuzz(&["shrink", "quiet.yaml", "--budget", "soon"]).exits(2).complains("--budget <TIME>");
}

/// Fails on a real server, in real time: keys vanish, and two pauses have nothing to do with it.
const VANISHES: &str = "fuzz: 1
target: valkey
environment: processes
seed: 1
cluster: {shards: 3, replicas: 0, settings: {cluster-node-timeout: 500}}
load: {clients: 2, rate: 50/s, keys: 20}
length: 3s
timeline:
  - {id: other, at: 200ms, do: {pause: {node: shard-2-primary}}, for: 100ms}
  - {id: gone, at: 1500ms, do: {sabotage: {harm: delete-keys, node: shard-1-primary}}}
  - {id: late, at: 2s, do: {pause: {node: shard-0-primary}}, for: 100ms}
checks: [acknowledged_loss]
";

#[test]
#[ignore = "three minutes of real time"]
fn in_real_time_rates_stand_before_and_after_also_where_the_time_is_over() {
    let Some(server) = servers::installed().first().cloned() else {
        println!("skipped: no server is on PATH");
        return;
    };
    let place = Place::new("shrink-real");
    place.write("fails.yaml", VANISHES);
    let server = server.to_string_lossy();
    let shrink = [
        "shrink",
        "fails.yaml",
        "--server-binary",
        &server,
        "--times",
        "3",
        "--budget",
        "150s",
        "--to",
        "small.yaml",
    ];
    let said = place.fuzz(&shrink);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    println!("{}", said.out);
    for part in
        ["before: fails in 3 of 3 runs (95 %: 44 to 100 %)", "now: fails in 3 of 3 runs (95 %: 44 to 100 %)"]
    {
        assert!(said.out.contains(part), "no `{part}` in {}", said.out);
    }
    let small = repro(&place.path.join("small.yaml"));
    let cut = small.facts.shrunk.expect("it says so");
    assert_eq!(cut.before, cut.again, "it did not get rarer");
    assert!(small.timeline.cluster.nodes() < cut.nodes || small.timeline.events.len() < 3, "{}", said.out);
    assert!(small.timeline.events.iter().any(|event| event.id == "gone"));
}
