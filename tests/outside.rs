//! What strangers hand to the built binary and what it hands to other programs: paths that are no plain files,
//! names that would write to the terminal, commands that are pasted.

#![expect(clippy::disallowed_methods, reason = "a test of real processes waits by the clock")]

mod command;

use command::{Place, QUIET, Said};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::time::{Duration, Instant};

#[test]
fn what_lies_at_the_path_of_a_result_stays_what_it_is() {
    let place = Place::new("paths");
    place.write("quiet.yaml", QUIET);
    for flag in ["--junit", "--output"] {
        let run = |path: &str| place.fuzz(&["run", "quiet.yaml", "--seed", "1", "--quiet", flag, path]);
        place.write("there", "old");
        let _ = fs::remove_file(place.path.join("link"));
        symlink("there", place.path.join("link")).expect("the folder can be written");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(place.path.join("there"), private).expect("it is there");
        run("link").exits(0);
        assert!(place.path.join("link").is_symlink(), "the link stays");
        let mode = fs::metadata(place.path.join("there")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "what was private stays private");
        let text = fs::read_to_string(place.path.join("there")).expect("it is there");
        assert!(text.contains("<testsuite") || text.contains('{'), "{text}");
        // A link to what is not there yet makes it.
        fs::remove_file(place.path.join("there")).expect("it is there");
        run("link").exits(0);
        assert!(place.path.join("link").is_symlink() && place.path.join("there").is_file());
        run("/dev/full").exits(3).complains("failed to write /dev/full: no space left");
        run("/dev/null").exits(0);
        for device in ["/dev/full", "/dev/null"] {
            let kind = fs::metadata(device).expect("Linux has it").file_type();
            assert!(kind.is_char_device(), "{device} is a device no more");
        }
        run("/dev/stdout").exits(0).prints("PASSED").prints(&text[text.len() - 20..]);
    }
    assert!(!place.path.join("link.part").exists() && !place.path.join("there.part").exists());
}

/// No test reads this from a terminal, so that no sequence at all is expected.
#[track_caller]
fn acts_on_no_terminal(said: &Said) {
    for text in [&said.out, &said.err] {
        let acts =
            |sign: char| (sign.is_control() && sign != '\n') || ('\u{202a}'..='\u{202e}').contains(&sign);
        assert!(!text.contains(acts), "{text:?}");
    }
}

#[test]
fn nothing_from_outside_acts_on_the_terminal() {
    let place = Place::new("escapes");
    let name = "\u{1b}]0;title\u{7}.yaml";
    place.write(
        name,
        &QUIET.replace("nothing happens", r#""\e[2J\e[31mred \u009b1m \u202E txet \nStatus: FAILED""#),
    );
    let said = place.fuzz(&["validate", name]);
    acts_on_no_terminal(
        said.exits(0).prints(r"ID: \u001b[2J\u001b[31mred \u009b1m \u202e txet \nStatus: FAILED"),
    );
    let said = place.fuzz(&["run", name, "--seed", "1", "--out", "run"]);
    acts_on_no_terminal(said.exits(0).prints(r"Scenario: \u001b[2J"));
    // The command can be pasted all the same.
    assert!(said.last_line().starts_with(r"fuzz run $'\033]0;title\007.yaml' --seed 1"), "{}", said.out);
    acts_on_no_terminal(place.fuzz(&["explain", "run"]).exits(0).prints(r"Scenario: \u001b[2J"));
    let said = place.fuzz(&["run", name, "--seed", "1", "--format", "json"]);
    acts_on_no_terminal(&said);
    for line in said.out.lines() {
        let _: serde_json::Value = serde_json::from_str(line).expect("JSON as before");
    }
    for (arguments, code) in [
        (["run", "\u{1b}[31mnot there"], 2),
        (["replay", "\u{1b}[31mnot there"], 2),
        (["explain", "\u{1b}[31mnot there"], 2),
        (["list", "\u{1b}[31mnot there"], 2),
        (["--seed", "\u{1b}[31m:"], 2),
        (["validate", "keys.yaml"], 2),
    ] {
        place.write("keys.yaml", "fuzz: 1\n\"\\e[31mkey\": 1\ntimeline: []\ntarget: \"\\e[31m\"\n");
        acts_on_no_terminal(place.fuzz(&arguments).exits(code));
    }
}

/// What stands behind `fuzz` in a command that was printed, as words.
fn words(command: &str) -> Vec<&str> {
    command.strip_prefix("fuzz ").expect("a command of ours").split(' ').collect()
}

#[test]
fn what_was_read_from_standard_input_is_run_again_from_the_run_folder() {
    let place = Place::new("stdin");
    let said = place.fuzz_reading(&["run", "-", "--seed", "7", "--out", "first"], QUIET);
    let command = said.exits(0).last_line();
    assert!(command.starts_with("fuzz run first/timeline.yaml "), "{command}");
    let hash = |text: &str| text.lines().find(|line| line.starts_with("- Timeline: ")).map(str::to_string);
    let again = place.fuzz(&words(command));
    assert_eq!(hash(&again.exits(0).out), hash(&said.out));
    assert!(hash(&said.out).is_some(), "{}", said.out);
}

#[test]
fn a_run_that_was_killed_is_told_with_the_command_that_does_it_again() {
    let place = Place::new("killed");
    place.write("quiet.yaml", QUIET);
    place.fuzz(&["run", "quiet.yaml", "--seed", "7", "--out", "a run"]).exits(0);
    let events = place.path.join("a run/events.jsonl");
    let text = fs::read_to_string(&events).expect("it was written");
    let some: Vec<&str> = text.lines().take(5).collect();
    fs::write(&events, some.join("\n")).expect("the folder can be written");
    fs::remove_file(place.path.join("a run/verdict.json")).expect("it was written");
    let said = place.fuzz(&["explain", "a run"]);
    assert_eq!(said.exits(0).last_line(), "fuzz run 'a run/timeline.yaml'");
    place.fuzz(&["run", "a run/timeline.yaml"]).exits(0);
    fs::remove_file(place.path.join("a run/timeline.yaml")).expect("it was written");
    let said = place.fuzz(&["explain", "a run"]);
    assert!(said.exits(0).last_line().ends_with("its timeline.yaml is not there"), "{}", said.out);
}

#[test]
fn a_seed_in_a_file_is_a_number_or_a_word_and_a_word_is_said_to_be_hashed() {
    let place = Place::new("seeds");
    let write =
        |seed: &str| place.write("seed.yaml", &QUIET.replace("name:", &format!("seed: {seed}\nname:")));
    for (seed, told) in [
        ("-1", "the integer -1"),
        ("1.5", "the number 1.5"),
        ("1e3", "the number 1e3"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("[1]", "a list"),
        ("18446744073709551616", "the largest seed"),
    ] {
        write(seed);
        let said = place.fuzz(&["validate", "seed.yaml"]);
        said.exits(2).complains("seed.yaml:2:7: error: seed: ").complains(told).complains("hint: ");
    }
    for (seed, told) in [("abc", "`abc`"), ("\"-1\"", "`-1`"), ("2026-11-21", "`2026-11-21`")] {
        write(seed);
        place.fuzz(&["validate", "seed.yaml"]).exits(0).prints(&format!("(the text {told}, hashed)"));
        let said = place.fuzz(&["generate", "--spec", "seed.yaml"]);
        said.exits(0).complains(&format!("(the text {told} in the scenario, hashed)"));
    }
    write("18446744073709551615");
    place.fuzz(&["validate", "seed.yaml"]).exits(0).prints("Seed: 18446744073709551615\n");
}

#[test]
fn what_could_do_nothing_or_never_end_is_refused_where_it_stands() {
    let place = Place::new("nothing");
    for (line, column, told) in [
        ("load: {mix: {}}", 13, "load.mix: no operation has a weight"),
        ("load: {mix: {set: 0, get: 0}}", 13, "load.mix: no operation has a weight"),
        ("draw: {from: {kill: 0}}", 14, "draw.from: all weights are 0"),
        ("length: 99h", 9, "length: expected at most 45m, got 99h"),
        ("draw: {over: 10s..1h}", 14, "draw.over: expected at most 40m, got 10s..1h"),
    ] {
        place.write("bad.yaml", &format!("fuzz: 1\n{line}\ntimeline: []\n"));
        let said = place.fuzz(&["validate", "bad.yaml"]);
        said.exits(2).complains(&format!("bad.yaml:2:{column}: error: {told}")).complains("hint: ");
    }
    // No load at all is no mistake, and neither is the longest run.
    place.write("good.yaml", "fuzz: 1\nload: {rate: 0/s, mix: {}}\nlength: 45m\ntimeline: []\n");
    place.fuzz(&["validate", "good.yaml"]).exits(0);
    place.write(
        "late.yaml",
        "fuzz: 1\ntarget: embedded\ntimeline: [{at: 2h, do: {kill: {node: node-1}}, for: 1s}]\n",
    );
    place.fuzz(&["run", "late.yaml"]).exits(2).complains("the safety phase would last 2h");
    place.write("unjudged.yaml", &QUIET.replace("length", "checks: []\nlength"));
    let said = place.fuzz(&["run", "unjudged.yaml", "--seed", "1"]);
    said.exits(4)
        .complains("unjudged.yaml:5:9: warning: checks: the list is empty")
        .prints("Status: UNKNOWN");
}

#[test]
fn validate_says_which_faults_a_foreign_file_brings() {
    let place = Place::new("chaos");
    let older = "scenario: {name: a}\ncluster: {shards: 3, replicas: 1}\noperations: [{type: failover, target: primary, shard: 1}]\n";
    let newer = "scenario_id: b\ncluster: {num_shards: 3, replicas_per_shard: 1}\noperations: [{type: failover, target_node: shard-1-primary}]\n";
    let drawn = format!("{newer}chaos: {{randomize_per_operation: true}}\n");
    for (text, told) in [
        (older, "Chaos Type: none: no fault happens\n"),
        (newer, "Chaos Type: kill\n"),
        (&drawn, "Chaos Type: kill, with signal, moment and node drawn by the seed at each operation\n"),
        ("fuzz: 1\ndraw: {}\n", "Chaos Type: what the seed draws\n"),
    ] {
        place.write("file.yaml", text);
        place.fuzz(&["validate", "file.yaml"]).exits(0).prints(told);
    }
}

/// A program of the test's own.
fn script(place: &Place, name: &str, text: &str) {
    place.write(name, &format!("#!/bin/sh\n{text}\n"));
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.path.join(name), mode).expect("it was written");
}

#[test]
fn a_server_that_is_none_is_named_at_once_with_what_it_said() {
    let place = Place::new("servers");
    place.write("quiet.yaml", &QUIET.replace("embedded", "valkey"));
    let real_time = ["run", "quiet.yaml", "--seed", "1", "--env", "processes"];
    let run = |binary: &str| place.fuzz(&[&real_time[..], &["--server-binary", binary]].concat());
    run("/bin/true").exits(3).complains("/bin/true says `true (GNU coreutils)").complains("hint: ");
    script(&place, "silent", "exit 0");
    run("./silent")
        .exits(3)
        .complains("silent: its --version says nothing (exit status: 0)")
        .complains("hint: ");
    script(&place, "old", "echo 'Redis server v=6.2.1 sha=0'");
    run("./old").exits(3).complains("older than 7.0").complains("hint: ");
    script(
        &place,
        "ends",
        "[ $1 = --version ] && echo 'Valkey server v=8.0.1 sha=0' && exit\necho no such module; exit 7",
    );
    let began = Instant::now();
    let said = run("./ends");
    assert!(began.elapsed() < Duration::from_secs(20), "that is no minute");
    said.exits(3)
        .prints("ended by itself before the cluster was healthy: exit 7")
        .prints("/ends does not stay");
    said.prints("it said: no such module").prints("--server-binary").prints("Status: UNKNOWN");
    // The same while something is done to the nodes already.
    let timeline = "timeline: [{forming: 1ms, do: {kill: {node: node-0}}, for: 1s}]";
    place.write("forming.yaml", &QUIET.replace("embedded", "valkey").replace("timeline: []", timeline));
    let forming = ["run", "forming.yaml", "--seed", "1", "--env", "processes", "--server-binary", "./ends"];
    let said = place.fuzz(&forming);
    said.exits(3).prints("it said: no such module").prints("see `settings` in the scenario");
}

#[test]
fn what_people_type_first_is_answered_with_what_to_type() {
    let place = Place::new("first");
    place.write("quiet.yaml", QUIET);
    place.write("list.yaml", "hello: world\n");
    for folder in ["empty", "full", "run"] {
        fs::create_dir(place.path.join(folder)).expect("the folder can be written");
    }
    place.write("full/quiet.yaml", QUIET);
    place.write("run/events.jsonl", "");
    for (line, told) in [
        ("42", "hint: `fuzz --seed 42` runs a seed"),
        ("quiet.yaml", "hint: `fuzz run quiet.yaml` runs a scenario"),
        ("full", "hint: `fuzz run full` runs every scenario"),
        ("run", "<FILE|DIR|->"),
        ("./run", "hint: `fuzz explain ./run` retells a run"),
        ("run list.yaml", "list.yaml:1:1: error: this is no scenario"),
        ("run nothing.yaml", "error: nothing.yaml: no such file or directory"),
        ("run empty", "error: empty: no scenario (*.yaml) in this folder"),
        ("replay run", "hint: it is a run folder: `fuzz explain run` retells it"),
        ("replay full", "error: full: is a folder, not a file"),
        ("replay 42", "hint: replay takes a file; `fuzz --seed 42` runs a seed"),
        ("explain nothing", "error: there is no run folder nothing"),
        ("explain quiet.yaml", "error: quiet.yaml is a file, and a run is a folder"),
        ("explain empty", "error: empty is no run folder: it holds no events.jsonl"),
        ("run quiet.yaml --out full", "error: the folder full is not empty"),
        ("--target nothing", "[possible values: valkey, embedded, etcd, zookeeper]"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        place.fuzz(&arguments).exits(2).complains(told);
    }
    for (line, told) in [
        ("run quiet.yaml --junit full", "error: --junit full: that is a folder"),
        (
            "run quiet.yaml --output nothing/o.json",
            "error: --output nothing/o.json: there is no folder nothing",
        ),
        (
            "run quiet.yaml --out quiet.yaml",
            "error: failed to make the run folder quiet.yaml: that is a file",
        ),
        ("run quiet.yaml --out /proc/nothing", "error: failed to make the run folder /proc/nothing"),
        ("--seed 1 --server-binary ./full", "error: the server binary ./full is a folder"),
        (
            "--seed 1 --server-binary ./quiet.yaml",
            "error: the server binary ./quiet.yaml may not be executed",
        ),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        place.fuzz(&arguments).exits(3).complains(told).complains("hint: ");
    }
    let mut command = place.command(&["--target", "valkey", "--seed", "1"]);
    let said = command::said(command.env("PATH", "").output().expect("the binary starts"));
    said.exits(3)
        .complains("error: no valkey-server or redis-server was found on PATH")
        .complains("hint: install");
    // What the run makes itself may hold its result.
    place.fuzz(&["run", "quiet.yaml", "--out", "made", "--output", "made/o.json", "--quiet"]).exits(0);
    assert!(!place.path.join("runs").exists(), "nothing ran in vain");
}
