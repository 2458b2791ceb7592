//! Whole runs by the built binary on the embedded target, from the command line to the exit code: what is printed,
//! what is kept, what brings a failure back, and what is left when somebody stops it.

#![expect(clippy::disallowed_methods, reason = "tests of processes wait by the clock")]

mod command;

use command::{Place, QUIET, Said, said};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A primary of three dies and comes back; its replica takes over.
const KILL: &str = "fuzz: 1
name: a primary dies
target: embedded
seed: 7
cluster: {shards: 3, replicas: 1}
length: 6s
load: {clients: 2, rate: 50/s}
timeline:
  - {id: kill, at: 500ms, for: 4s, do: {kill: {node: shard-0-primary}}}
";

/// Slots move; with `two_owners_after_slot_move` the giver keeps claiming them.
const MOVE: &str = "fuzz: 1
name: slots move
target: embedded
seed: 11
cluster: {shards: 3, replicas: 1}
length: 2s
load: {clients: 2, rate: 50/s}
timeline:
  - {id: move, at: 500ms, do: {reshard: {from: 0, to: 1, slots: 2}}}
";

const BUG: &str = "two_owners_after_slot_move";

/// Nothing happens for as long as a test may want to interrupt it.
const LONG: &str = "fuzz: 1
name: a long time
target: embedded
seed: 3
cluster: {shards: 3, replicas: 1}
length: 600s
load: {clients: 2, rate: 50/s}
timeline: []
";

/// The last line of an event stream, which must be whole.
#[track_caller]
fn finished(said: &Said) -> Value {
    for line in said.out.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["event"].is_string(), "{line}");
    }
    let last: Value = serde_json::from_str(said.last_line()).expect("a line of JSON");
    assert_eq!(last["event"], "finished");
    last
}

/// These stand in the text, in this order.
#[track_caller]
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(place) = rest.find(part) else {
            panic!("`{part}` is missing, or out of order, in:\n{text}")
        };
        rest = &rest[place + part.len()..];
    }
}

/// What a reproduction command says after `fuzz`, as a shell would take it apart; nothing here needs quotes.
fn words(command: &str) -> Vec<&str> {
    let words = command.strip_prefix("fuzz ").unwrap_or_else(|| panic!("`{command}` is no command"));
    words.split(' ').collect()
}

#[test]
fn a_passing_run_tells_every_section_and_ends_with_the_command() {
    let place = Place::new("passing");
    place.write("kill.yaml", KILL);
    let run = place.fuzz(&["run", "kill.yaml"]);
    run.exits(0);
    assert_eq!(run.err, "", "there was nothing to say beside the report");
    in_order(
        &run.out,
        &[
            "target embedded in environment sim: as the scenario says\n",
            "=== seedfault Test Results ===\n",
            "Scenario ID: test_",
            "Scenario: a primary dies\n",
            "Seed: 7\n",
            "Duration: ",
            "Status: PASSED\n",
            "Cluster Configuration:\n- Shards: 3\n- Replicas: 1 per shard\n- Total Nodes: 6\n",
            "Operations Executed:\n✓ Process Kill (shard 0, SIGKILL) - coordinated; kill at +0.500s on node-0 for 4.0s\n",
            "Validation Results:\n✓ Slot Coverage: ",
            "✓ Replica Sync: ",
            "✓ Data Consistency: ",
            "✓ Convergence Time: ",
            "✓ Replication Lag: ",
            "✓ Acknowledged Loss: ",
            "Workload Metrics:\n- Operations: ",
            "- Success Rate: ",
            "- Average Latency: ",
            "- Throughput: ",
            "Reproducibility:\n- Timeline: ",
            "- Run: runs/",
            "Reproduction Command:\n",
        ],
    );
    assert_eq!(run.last_line(), "fuzz run kill.yaml --seed 7 --target embedded --env sim");
    assert!(run.out.lines().count() <= 55, "longer than two screens:\n{}", run.out);
    for file in ["timeline.yaml", "events.jsonl", "history.jsonl", "record.json", "verdict.json"] {
        let folder = only(&place.path.join("runs"));
        assert!(folder.join(file).is_file(), "{file} is missing in {}", folder.display());
    }
    let quiet = place.fuzz(&["run", "kill.yaml", "--quiet"]);
    assert_eq!(quiet.exits(0).out, "PASSED seed 7\n");
    let verbose = place.fuzz(&["run", "kill.yaml", "--verbose"]);
    verbose.exits(0).prints("Timeline as Applied:\n").prints("-> node-0: applied, 4.000s\n");
    verbose.prints("Chaos Events:\n  [PASS] process_kill on node-0").prints("    claim: ");
}

/// Where no copy of a folder was kept (the simulated cluster keeps none), a node that was ended for one could not
/// be started again, and would stay dead for the rest of the run.
#[test]
fn a_restart_that_wants_an_older_copy_is_skipped_before_anything_dies_where_there_is_none() {
    let place = Place::new("older");
    let scenario =
        KILL.replace("kill: {node: shard-0-primary}", "restart: {node: shard-0-primary, data: older}");
    place.write("older.yaml", &scenario.replace("for: 4s, ", ""));
    let run = place.fuzz(&["run", "older.yaml", "--format", "json"]);
    let events: Vec<Value> =
        run.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let applied: Vec<&Value> = events.iter().filter(|event| event["event"] == "applied").collect();
    assert_eq!(applied.len(), 1, "{applied:?}");
    let status = applied[0]["applied"]["status"]["skipped"].as_str().unwrap_or_default();
    assert_eq!(status, "no older copy of the folder was kept of node-0");
    let ended = events.iter().filter(|event| event["event"] == "life" && !event["life"]["ended"].is_null());
    assert_eq!(ended.count(), 0, "{}", run.out);
}

/// Nothing broke there, and nothing can be judged: the timeline took from the cluster what it needs to become healthy.
#[test]
fn a_cluster_that_an_event_keeps_from_forming_is_unknown_and_not_broken() {
    let place = Place::new("unformed");
    let forming = |event: &str| QUIET.replace("timeline: []", &format!("timeline: [{event}]"));
    for (name, event, why) in [
        ("dead", "{forming: 20ms, do: {kill: {node: node-0}}}", "e1 ended node-0 for good while it formed; "),
        (
            "stopped",
            "{forming: 20ms, do: {pause: {node: node-0}}}",
            "e1 began while it formed and is still in force; ",
        ),
    ] {
        let scenario = forming(event).replace("replicas: 1", "replicas: 0");
        place.write("scenario.yaml", &scenario);
        let run = place.fuzz(&["run", "scenario.yaml", "--seed", "1", "--out", name]);
        run.exits(4).prints("Status: UNKNOWN\n");
        run.prints(&format!("the cluster was never healthy, and could not be: {why}"));
    }
    place.write("scenario.yaml", &forming("{forming: 20ms, do: {kill: {node: node-0}}, for: 100ms}"));
    place.fuzz(&["run", "scenario.yaml", "--seed", "1"]).exits(0);
}

/// The only entry of a folder.
#[track_caller]
fn only(folder: &Path) -> std::path::PathBuf {
    let mut entries = fs::read_dir(folder).expect("the folder is there");
    let entry = entries.next().expect("it holds something").expect("it can be read").path();
    assert!(entries.next().is_none(), "{} holds more than one", folder.display());
    entry
}

#[test]
fn the_same_seed_gives_the_same_three_hashes() {
    let place = Place::new("hashes");
    let run = |out: &str| {
        let run = place.fuzz(&["--seed", "67890", "--target", "embedded", "--format", "json", "--out", out]);
        run.exits(0);
        finished(&run)
    };
    let (one, other) = (run("one"), run("other"));
    for hash in ["timeline_hash", "schedule_hash", "history_hash"] {
        assert_eq!(one[hash].as_str().map(str::len), Some(64), "{hash}");
        assert_eq!(one[hash], other[hash], "{hash}");
    }
    assert_eq!(one["virtual_ms"], other["virtual_ms"]);
    assert_eq!(one["verdict"], "pass");
    assert_eq!(one["seed"], 67890);
    assert_eq!(one["run"], "one");
    assert_eq!(one["findings"], Value::Array(Vec::new()));
    assert!(one["virtual_ms"].as_u64() > Some(1000) && one["wall_ms"].as_u64() > Some(0));
    assert_eq!(one["reproduce"], "fuzz --seed 67890 --target embedded --env sim");
    let sealed: Value =
        serde_json::from_slice(&fs::read(place.path.join("one/verdict.json")).expect("it is written last"))
            .expect("JSON");
    assert_eq!(sealed, one);
    place
        .fuzz(&["--seed", "1", "--target", "embedded", "--out", "one"])
        .exits(2)
        .complains("the folder one is not empty");
}

#[test]
fn a_generated_timeline_runs_as_it_was_printed() {
    let place = Place::new("generated");
    place.write("move.yaml", MOVE);
    let yaml = place.fuzz(&["generate", "--spec", "move.yaml", "--format", "yaml"]);
    let hash = yaml.exits(0).last_line().strip_prefix("# timeline hash: ").expect("the hash").to_string();
    let run = place.fuzz_reading(&["run", "-", "--format", "json"], &yaml.out);
    assert_eq!(finished(run.exits(0))["timeline_hash"], Value::String(hash));
}

#[test]
fn a_failure_is_saved_and_the_last_line_brings_it_back() {
    let place = Place::new("failure");
    place.write("move.yaml", MOVE);
    let run = place.fuzz(&["run", "move.yaml", "--bug", BUG, "--no-shrink"]);
    run.exits(1);
    in_order(
        &run.out,
        &[
            "Status: FAILED\n",
            "Failed Checks: slot_coverage",
            "- Bugs switched on: two_owners_after_slot_move\n",
            "Validation Results:\n✗ Slot Coverage: ",
            "=== Test Failure Report ===\n",
            "Failure Details:\n✗ Slot Coverage: ",
            "Cluster State at Failure:\n- ",
            "Error Log:\n[",
            "ERROR: slot_coverage: ",
            "Reproduction Command:\n",
        ],
    );
    let command = run.last_line();
    assert_eq!(
        command, "fuzz replay repro/slot_coverage-embedded-11.yaml --target embedded --env sim",
        "the seed alone does not bring back what a file says"
    );
    let again = place.fuzz(&words(command));
    again.exits(1);
    in_order(
        &again.out,
        &[
            "Replay: the schedule is the same\n",
            "Replay: the history is the same, bit for bit\n",
            "Replay: fails again: slot_coverage",
        ],
    );
    let file = "repro/slot_coverage-embedded-11.yaml";
    place.fuzz(&["replay", file, "--expect", "fail", "-q"]).exits(0);
    place.fuzz(&["replay", file, "--expect", "pass", "-q"]).exits(1);
    place.fuzz(&["run", file, "-q"]).exits(1).prints("FAILED seed 11: slot_coverage: ");
    let times = place.fuzz(&["replay", file, "--times", "5"]);
    times.exits(1).prints("reproduced 5 of 5 (95% confidence: 57% to 100%), 5 with the same schedule\n");
    assert_eq!(times.last_line(), command);

    // The same without the bug passes, and says that it was otherwise.
    let text = fs::read_to_string(place.path.join(file)).expect("it was saved");
    place.write("altered.yaml", &text.replace("seed: 11\n", "seed: 12\n"));
    place
        .fuzz(&["replay", "altered.yaml"])
        .exits(2)
        .complains("changed by hand")
        .complains("`fuzz run` runs it as it stands");
}

#[test]
fn a_look_that_does_not_hold_ends_the_run_where_that_is_critical() {
    let place = Place::new("critical");
    let run = |critical: &str| {
        let timeline = format!(
            "fuzz: 1\nseed: 11\ntarget: embedded\nlength: 20s\nload: {{clients: 2, rate: 50/s}}\ntimeline:\n\
             - {{id: move, at: 1s, do: {{reshard: {{from: 0, to: 1, slots: 8}}}}}}\n\
             - {{id: look, after: move, delay: 11s, do: {{check: {{checks: [view_agreement], critical: [{critical}]}}}}}}\n\
             - {{id: later, after: look, do: {{burst: {{shard: 2, length: 100ms}}}}}}\n"
        );
        place.write("look.yaml", &timeline);
        let run = place.fuzz(&["run", "look.yaml", "--bug", BUG, "--no-shrink"]);
        run.exits(1).prints("look Check failed: view_agreement: 1 difference(s)\n");
        run
    };
    run("view_agreement").prints("later Burst skipped: the safety phase ended before it began\n");
    let other = run("quorum");
    other.prints("later  burst {shard: 2, length: 100ms}: applied");
}

#[test]
fn an_event_waits_for_its_anchor_as_long_as_it_says() {
    let place = Place::new("within");
    place.write(
        "within.yaml",
        "fuzz: 1\ntarget: embedded\nload: {clients: 2, rate: 50/s}\ntimeline:\n\
         - {id: slow, at: 1s, do: {burst: {shard: 0, length: 3s}}}\n\
         - {id: hasty, after: slow, within: 2s, do: {burst: {shard: 1, length: 100ms}}}\n\
         - {id: follows, with: hasty, within: 2s, do: {burst: {shard: 1, length: 100ms}}}\n\
         - {id: blind, when: {log: {node: any, has: nobody logs this}}, within: 3s, do: {burst: {shard: 1, length: 100ms}}}\n\
         - {id: patient, after: slow, do: {burst: {shard: 2, length: 100ms}}}\n",
    );
    let run = place.fuzz(&["run", "within.yaml", "--seed", "1"]);
    run.prints("hasty Burst skipped: slow did not end within 2s")
        .prints("follows Burst skipped: hasty was skipped")
        .prints("blind Burst skipped: not seen within 3s")
        .prints("patient Burst ended");
}

#[test]
fn a_seed_that_fails_is_brought_back_by_the_seed() {
    let place = Place::new("seed-fails");
    // Which seed draws what shows the bug is the generator's matter, and changes with it.
    let (seed, last) = (1..=20)
        .find_map(|seed: u64| {
            let number = seed.to_string();
            let run = place.fuzz(&[
                "--seed",
                &number,
                "--target",
                "embedded",
                "--bug",
                BUG,
                "--no-shrink",
                "--format",
                "json",
            ]);
            (run.code == 1).then(|| (seed, finished(&run)))
        })
        .expect("a bug that one seed in two shows is found within 20");
    assert_eq!(last["reproduce"], format!("fuzz --seed {seed} --target embedded --env sim --bug {BUG}"));
    let finding = last["findings"][0].as_str().expect("a finding is told");
    assert!(finding.starts_with("slot_coverage: "), "{finding}");
    let repro = last["repro"].as_str().expect("it is saved too");
    let replay = place.fuzz(&["replay", repro, "--expect", "fail"]);
    replay.exits(0).prints("as expected: it fails");
    assert!(!replay.out.contains("no longer generates"), "{}", replay.out);
}

#[test]
fn a_folder_of_scenarios_runs_all_and_sums_up() {
    let place = Place::new("folder");
    fs::create_dir(place.path.join("all")).expect("the folder can be written");
    place.write("all/kill.yaml", KILL);
    place.write("all/move.yaml", MOVE);
    let all = ["run", "all", "--junit", "junit.xml", "--output", "result.json", "--out", "kept"];
    let run = place.fuzz(&all);
    run.exits(0);
    in_order(
        &run.out,
        &[
            "\nScenario ",
            "PASSED",
            "PASSED",
            "=== Aggregate Results ===",
            "Total Tests: 2\n",
            "Passed: 2 (100.0%)\n",
        ],
    );
    assert!(place.path.join("kept/01-kill/verdict.json").is_file());
    assert!(place.path.join("kept/02-move/verdict.json").is_file());
    let xml = fs::read_to_string(place.path.join("junit.xml")).expect("it was asked for");
    well_formed(&xml);
    assert_eq!(xml.matches("<testsuite ").count(), 3, "one of the scenarios and one of each: {xml}");
    assert!(xml.contains("<testcase classname=\"all/kill.yaml\" name="), "{xml}");
    let result: Value =
        serde_json::from_slice(&fs::read(place.path.join("result.json")).expect("it was asked for"))
            .expect("JSON");
    assert_eq!(result["total_tests"], 2);
    assert_eq!(result["results"][0]["final_validation"]["overall_success"], true);
}

/// Every element is closed in its turn, and no letter stands where XML does not allow it.
#[track_caller]
fn well_formed(xml: &str) {
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap_or_else(|| panic!("`<{tag}` is never closed"));
        assert!(!text.contains('>') && !text.replace("&amp;", "").contains("& "), "{text}");
        assert!(tag.matches('"').count() % 2 == 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed out of turn");
        } else if !tag.ends_with('/') && !tag.starts_with('?') {
            open.push(tag.split_whitespace().next().expect("a name"));
        }
    }
    assert!(open.is_empty(), "{open:?} is never closed");
}

#[test]
fn what_cannot_be_written_is_said_and_no_verdict_is_lost() {
    let place = Place::new("full");
    place.write("move.yaml", MOVE);
    let junit = place.fuzz(&["run", "move.yaml", "--junit", "/dev/full"]);
    junit.exits(3).complains("error: failed to write /dev/full: ").prints("Status: PASSED");
    let mut command = place.command(&["run", "move.yaml"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let run = said(command.stdout(Stdio::from(full)).output().expect("the binary starts"));
    assert!(!run.err.contains("panicked"), "{}", run.err);
    place.write("plain", "a file");
    place
        .fuzz(&["run", "move.yaml", "--out", "plain"])
        .exits(3)
        .complains("failed to make the run folder plain")
        .complains("--out DIR");
}

/// The run folder lies on a disk of this size, in a mount namespace of its own; what the run said, and then what
/// `fuzz explain` makes of its folder. `None`, saying so, where no such namespace may be made.
fn on_a_disk_of(kib: u32, place: &Place) -> Option<(Said, Said)> {
    const SCRIPT: &str = "
        mkdir -p disk && mount -t tmpfs -o size=\"$1\"k tmpfs disk || exit 99
        \"$0\" --seed 67890 --target embedded --out disk/run; code=$?
        ls disk/run >&2
        \"$0\" explain disk/run >explained 2>&1; echo $? >explain.code
        exit $code";
    // As root no user namespace is needed, and a container may forbid it.
    let namespaces = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]];
    let mut told = String::new();
    for namespace in namespaces {
        let mut command = Command::new("unshare");
        command.args(namespace).args(["sh", "-c", SCRIPT, env!("CARGO_BIN_EXE_fuzz")]).arg(kib.to_string());
        let Ok(output) = command.current_dir(&place.path).env("NO_COLOR", "1").output() else { continue };
        let run = said(output);
        if place.path.join("explain.code").exists() {
            let read = |name: &str| fs::read_to_string(place.path.join(name)).expect("the script wrote it");
            let code = read("explain.code").trim().parse().expect("a number");
            return Some((run, Said { code, out: read("explained"), err: String::new() }));
        }
        told = run.err;
    }
    println!("skipped: a disk of {kib} KiB that fills up: no mount namespace may be made here: {told}");
    None
}

#[test]
fn a_disk_that_is_full_is_no_pass_and_leaves_a_folder_that_can_be_read() {
    let place = Place::new("disk-fills");
    if let Some((run, explained)) = on_a_disk_of(256, &place) {
        run.exits(3).prints("Status: UNKNOWN\n").prints("failed to write to the run folder (No space left");
        run.prints("make room, or name another by --out DIR").complains("verdict.json\n");
        assert!(!(run.out + &run.err).contains("panicked"), "a full disk is none of our mistakes");
        explained
            .exits(0)
            .prints("Status: UNKNOWN\n")
            .prints("No space left")
            .prints("Reproduction Command:");
    }
    let place = Place::new("disk-full");
    if let Some((run, _)) = on_a_disk_of(16, &place) {
        run.exits(3)
            .complains("failed to write into the run folder disk/run: no space left on device")
            .complains("make room, or name another folder by --out DIR");
        assert_eq!(run.out, "seed 67890, target embedded in environment sim: as --target says\n");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_run_without_a_panic() {
    let place = Place::new("reader");
    place.write("long.yaml", LONG);
    let mut command = place.command(&["run", "long.yaml", "--out", "run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    reader.read_line(&mut line).expect("text");
    assert!(line.starts_with("long.yaml: seed 3"), "{line}");
    drop(reader);
    let ended = said(child.wait_with_output().expect("it ends"));
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    ended.exits(130);
    place.fuzz(&["explain", "run"]).exits(0).prints("Error: interrupted");
}

/// Starts the long run and waits until its load is on.
fn started(place: &Place) -> Child {
    place.write("long.yaml", LONG);
    let mut command = place.command(&["run", "long.yaml", "--out", "run"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let events = place.path.join("run/events.jsonl");
    let began = Instant::now();
    while !fs::read_to_string(&events).is_ok_and(|text| text.contains("\"phase\":\"safety\"")) {
        assert!(began.elapsed() < Duration::from_secs(60), "the run does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// The run's own process.
fn process_of_the_run(child: &Child) -> Pid {
    let id = child.id();
    let children =
        fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("the kernel lists children");
    Pid::from_raw(children.trim().parse().unwrap_or_else(|_| panic!("one child, found `{children}`")))
}

fn gone(process: Pid) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        if status.is_empty() || status.contains("State:\tZ") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn an_interrupted_run_is_healed_judged_and_kept() {
    let place = Place::new("interrupted");
    let child = started(&place);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it lives");
    let ended = said(child.wait_with_output().expect("it ends"));
    ended.exits(130).complains("interrupted: ending the run; once more kills it");
    assert!(!ended.err.contains("last word"), "{}", ended.err);
    ended.prints("phase heal").prints("Validation Results:");
    let verdict: Value =
        serde_json::from_slice(&fs::read(place.path.join("run/verdict.json")).expect("the folder is sealed"))
            .expect("JSON");
    assert_eq!(verdict["exit_code"], 130);
    place.fuzz(&["explain", "run"]).exits(0).prints("Error: interrupted").prints("Reproduction Command:");
}

#[test]
fn a_run_whose_process_is_killed_is_broken_and_says_how_far_it_was() {
    let place = Place::new("killed");
    let child = started(&place);
    kill(process_of_the_run(&child), Signal::SIGKILL).expect("it lives");
    let ended = said(child.wait_with_output().expect("it ends"));
    ended
        .exits(5)
        .prints("Status: UNKNOWN\n")
        .prints("the run's process ended without a last word (signal: 9 (SIGKILL)); it was in phase safety")
        .prints("? Slot Coverage: unknown: the run ended before it was judged");
    assert_eq!(ended.last_line(), "fuzz run long.yaml --seed 3 --target embedded --env sim");
    place.fuzz(&["explain", "run"]).exits(0).prints("Status: UNKNOWN\n").prints("in phase safety");
}

#[test]
fn a_run_dies_with_the_tool_and_its_folder_is_told_as_far_as_it_goes() {
    let place = Place::new("tool-killed");
    let mut child = started(&place);
    let process = process_of_the_run(&child);
    child.kill().expect("it lives");
    child.wait().expect("it ends");
    assert!(gone(process), "the run outlives the tool");
    let explained = place.fuzz(&["explain", "run"]);
    explained
        .exits(0)
        .complains("there is no verdict.json: the run did not get to its end")
        .prints("Status: UNKNOWN\n");
    // What is left is enough to run it again.
    place.fuzz(&["validate", "run/timeline.yaml"]).exits(0);
}

#[test]
fn a_finished_run_is_retold_from_its_folder() {
    let place = Place::new("explain");
    place.write("move.yaml", MOVE);
    let run = place.fuzz(&["run", "move.yaml", "--out", "run", "--bug", BUG, "--no-shrink"]);
    let explained = place.fuzz(&["explain", "run"]);
    assert_eq!(explained.exits(0).last_line(), run.exits(1).last_line());
    let report = |said: &Said| said.out[said.out.find("=== ").expect("a report")..].to_string();
    assert_eq!(report(&explained), report(&run));
    let stream = place.fuzz(&["explain", "run", "--format", "json"]);
    assert_eq!(finished(stream.exits(0))["verdict"], "fail");
}
