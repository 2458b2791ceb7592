//! What strangers hand to the built binary and what it hands to other programs: paths that are no plain files,
//! names that would write to the terminal, commands that are pasted.

mod command;

use command::{Place, Said};
use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};

const QUIET: &str = "fuzz: 1
name: nothing happens
target: embedded
cluster: {shards: 3, replicas: 1}
length: 2s
timeline: []
";

#[test]
fn what_lies_at_the_path_of_a_result_stays_what_it_is() {
    let place = Place::new("paths");
    place.write("quiet.yaml", QUIET);
    for flag in ["--junit", "--output"] {
        let run = |path: &str| place.fuzz(&["run", "quiet.yaml", "--seed", "1", "--quiet", flag, path]);
        place.write("there", "old");
        let _ = fs::remove_file(place.path.join("link"));
        symlink("there", place.path.join("link")).expect("the folder can be written");
        run("link").exits(0);
        assert!(place.path.join("link").is_symlink(), "the link stays");
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
