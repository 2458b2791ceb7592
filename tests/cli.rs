//! The built binary as people and scripts use it: exit codes, and messages that are read aloud.

mod command;

use command::{Place, QUIET, said};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

#[test]
fn seeds_are_numbers_or_words_and_never_tokens() {
    let place = Place::new("seeds");
    let generate = |seed: &str| place.fuzz(&["generate", "--target", "embedded", "--seed", seed]);
    generate("67890").exits(0);
    generate("0").exits(0).prints("seed       0 ");
    generate("18446744073709551615").exits(0);
    generate("18446744073709551616").exits(2).complains("the largest seed");
    generate("67890:1f").exits(2).complains("colon");
    generate("").exits(2).complains("the seed is empty");
    let word = generate("2026-11-21");
    word.exits(0).complains("hashed");
    assert_eq!(word.out, generate("2026-11-21").out);
    place.fuzz(&["generate", "--target", "embedded"]).exits(0).complains("(drawn)");
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_surroundings() {
    let (here, there) = (Place::new("here"), Place::new("there"));
    let arguments = ["generate", "--seed", "67890", "--target", "valkey", "--format", "yaml"];
    let one = here.fuzz(&arguments);
    let mut command = there.command(&arguments);
    command
        .env("TZ", "Pacific/Chatham")
        .env("LANG", "tr_TR.UTF-8")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("PATH", "");
    let other = said(command.output().expect("the binary starts"));
    assert_eq!(one.exits(0).out, other.exits(0).out);
    assert!(one.last_line().starts_with("# timeline hash: "));
}

#[test]
fn a_timeline_prints_as_it_is_read() {
    let place = Place::new("identity");
    for target in ["embedded", "valkey"] {
        let first = place.fuzz(&["generate", "--seed", "4711", "--target", target, "--format", "yaml"]);
        place.write("timeline.yaml", &first.exits(0).out);
        let again = place.fuzz(&["generate", "--spec", "timeline.yaml", "--format", "yaml"]);
        assert_eq!(first.out, again.exits(0).out);
    }
}

#[test]
fn wrong_words_are_answered_with_the_right_ones() {
    let place = Place::new("words");
    place.fuzz(&["--target", "embeded"]).exits(2).complains("'embedded'");
    place.fuzz(&["--target", "valkey", "--env", "sim", "--seed", "1"]).exits(2).complains("does not live in");
    place
        .fuzz(&["--bug", "ack_before_decidd", "--seed", "1"])
        .exits(2)
        .complains("did you mean `ack_before_decided`?");
    place
        .fuzz(&["--target", "valkey", "--bug", "apply_twice_on_retry", "--seed", "1"])
        .exits(2)
        .complains("no named bugs");
    place.fuzz(&["--shards", "17", "--seed", "1"]).exits(2).complains("1..=16");
    place.fuzz(&["cluster", "--seed", "9"]).exits(2).complains("fuzz --seed 9");
    place.fuzz(&["--validate-dsl", "a.yaml"]).exits(2).complains("fuzz validate a.yaml");
    place.fuzz(&["replay", "67890"]).exits(2).complains("`fuzz --seed 67890` runs a seed");
    place.fuzz(&["explain", "nowhere"]).exits(2).complains("is no run folder");
    assert!(!place.path.join("runs").exists(), "nothing was run");
}

#[test]
fn a_server_that_is_not_there_is_the_environments_fault() {
    let place = Place::new("server");
    let run = |binary: &str| place.fuzz(&["--seed", "1", "--target", "valkey", "--server-binary", binary]);
    run("/nowhere/valkey-server").exits(3).complains("hint: install one");
    run("no-such-server").exits(3).complains("found on PATH");
    run("/").exits(3).complains("is a folder");
    run("/bin/false").exits(3).complains("failed to start /bin/false");
    let mut command = place.command(&["--seed", "1", "--target", "valkey"]);
    said(command.env("PATH", "").output().expect("the binary starts")).exits(3).complains("apt-get install");
}

/// A script that answers `--version` as a server does, and serves nothing.
fn stand_in(place: &Place) {
    place.write(
        "server",
        "#!/bin/sh\necho 'Redis server v=7.0.15 sha=00000000:0 malloc=libc bits=64 build=0'\n",
    );
    fs::set_permissions(place.path.join("server"), fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn a_cluster_that_the_machine_does_not_carry_is_refused_with_the_flags_that_pin_less() {
    let place = Place::new("large");
    stand_in(&place);
    // Six nodes of each of sixteen shards, and ten that join: more than a run has ports, on any machine.
    let joins = "  - {at: 1s, do: {add_replica: {shard: 0}}}\n".repeat(10);
    place.write("joins.yaml", &format!("fuzz: 1\ntarget: valkey\ntimeline:\n{joins}"));
    let with = |shards: &str, replicas: &str| {
        let shape = ["--shards", shards, "--replicas", replicas];
        let run = ["run", "joins.yaml", "--seed", "1", "--env", "processes", "--server-binary", "./server"];
        place.fuzz(&[&run[..], &shape[..]].concat())
    };
    let refused = with("16", "5");
    refused
        .exits(3)
        .complains("the timeline needs 106 nodes (16 shards of 6 nodes, and 10 added), this machine carries ")
        .complains("pin less with `--shards ");
    assert!(!place.path.join("runs").exists(), "nothing was begun");
}

/// A setting that a run makes itself is refused wherever a text may come from, in the same words.
#[test]
fn settings_of_the_run_are_refused_by_every_command_that_reads_a_text() {
    let place = Place::new("settings");
    stand_in(&place);
    place.write("good.yaml", "fuzz: 1\ntarget: valkey\ntimeline: []\n");
    let head =
        "fuzz: 1\nseed: 1\ntarget: valkey\nenvironment: processes\ncluster:\n  settings:\n    save: \"\"\n";
    let tail = "timeline: []\nrepro: {format: 1, verdict: fail, checks: [crash], timeline_hash: \"00\", tool: 0.1.0}\n";
    for (name, value) in [
        ("port", "7000"),
        ("dir", "/"),
        ("cluster-config-file", "x"),
        ("loadmodule", "m.so"),
        ("include", "x.conf"),
        ("aclfile", "users.acl"),
        ("tls-port", "1"),
    ] {
        place.write("bad.yaml", &format!("{head}    {name}: {value}\n{tail}"));
        let words = [
            format!("bad.yaml:8:5: error: cluster settings: `{name}` is set by the run itself"),
            format!("8 |     {name}: {value}\n"),
            "  hint: leave it out of `settings:`".to_string(),
        ];
        for command in [
            &["run", "bad.yaml", "--server-binary", "./server"][..],
            &["replay", "bad.yaml", "--server-binary", "./server"],
            &["validate", "bad.yaml"],
            &["generate", "--seed", "1", "--spec", "bad.yaml"],
            &["--seed", "1", "--spec", "bad.yaml", "--server-binary", "./server"],
        ] {
            let said = place.fuzz(command);
            said.exits(2);
            for word in &words {
                said.complains(word);
            }
        }
    }
    assert!(!place.path.join("runs").exists(), "nothing was run");
}

#[test]
fn mistakes_come_all_at_once_with_place_and_hint() {
    let place = Place::new("mistakes");
    place.write(
        "bad.yaml",
        "fuzz: 1\ncluster: {shards: 99}\ntimeline:\n  - {at: 2s, do: {kil: {node: node-1}}}\n",
    );
    place
        .fuzz(&["validate", "bad.yaml"])
        .exits(2)
        .complains("bad.yaml:2:19: error")
        .complains("^^")
        .complains("did you mean `kill`?");
    place.fuzz(&["run", "bad.yaml"]).exits(2).complains("bad.yaml has 2 problems");
    place.fuzz(&["run", "absent.yaml"]).exits(2).complains("absent.yaml: no such file or directory");
    place.write("good.yaml", QUIET);
    place.fuzz(&["validate", "good.yaml"]).exits(0).prints("good.yaml: valid");
    place.fuzz(&["run", "."]).exits(2).complains("1 of 2 scenarios are bad, so none was run");
    let big = format!("{}{QUIET}", "# a line of comment\n".repeat(60_000));
    place.write("big.yaml", &big);
    place.fuzz(&["validate", "big.yaml"]).exits(2).complains("at most 1048576");
    place.fuzz_reading(&["validate", "-"], QUIET).exits(0).prints("<stdin>: valid");
}

#[test]
fn unknown_keys_of_the_other_tool_are_refused_unless_they_are_allowed() {
    let place = Place::new("keys");
    place.write(
        "theirs.yaml",
        "scenario_id: a\ncluster: {num_shards: 3, replicas_per_shard: 1, colour: red}\n\
         operations: [{type: failover, target_node: shard-0-primary, prio: 1}]\nowner: me\n",
    );
    let both = [["validate", "theirs.yaml"], ["generate", "--spec=theirs.yaml"]];
    for command in both {
        let refused = place.fuzz(&command);
        refused.exits(2).complains("theirs.yaml:2:49: error: unknown key `colour` in cluster");
        refused.complains("hint: --allow-unknown-keys takes keys of valkey-fuzzer");
        let allowed = place.fuzz(&[&command[..], &["--allow-unknown-keys"]].concat());
        allowed
            .exits(0)
            .complains("theirs.yaml:2:49: warning: unknown key `colour` in cluster, which is not read")
            .complains("theirs.yaml:3:61: warning: unknown key `prio` in operations[0]")
            .complains("theirs.yaml:4:1: warning: unknown key `owner`");
    }
    // In our own form it is a mistake whatever is allowed.
    place.write("ours.yaml", &format!("{QUIET}colour: red\n"));
    let refused = place.fuzz(&["validate", "ours.yaml", "--allow-unknown-keys"]);
    refused.exits(2).complains("error: unknown key `colour`");
}

#[test]
fn the_catalogue_is_printed_one_line_each() {
    let place = Place::new("list");
    for (what, name) in [
        ("targets", "embedded"),
        ("operations", "failover"),
        ("faults", "kill"),
        ("checks", "acknowledged_loss"),
        ("bugs", "ack_before_decided"),
        ("environments", "processes"),
    ] {
        let list = place.fuzz(&["list", what]);
        let line = list.exits(0).out.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some_and(|line| line.len() > name.len() + 10), "{}", list.out);
    }
    // Harm that proves the checks is none of the faults that a seed may draw.
    assert!(!place.fuzz(&["list", "faults"]).exits(0).out.contains("sabotage"));
    place.fuzz(&["schema"]).exits(0).prints("\"$schema\"");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::new("pipe");
    let mut command = place.command(&["list", "operations"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    drop(child.stdout.take());
    let ended = said(child.wait_with_output().expect("it ends"));
    ended.exits(0);
    assert_eq!(ended.err, "");
}

#[test]
fn what_an_environment_cannot_do_names_one_that_can() {
    let place = Place::new("unable");
    place.write("cut.yaml", "fuzz: 1\ntimeline: [{at: 1s, do: {cut: {node: node-1}}, for: 2s}]\n");
    place
        .fuzz(&["generate", "--spec", "cut.yaml", "--seed", "1", "--target", "valkey", "--env", "processes"])
        .exits(3)
        .complains("event `e1`: environment `processes` cannot do `cut`")
        .complains("hint: --env exact can");
}

#[test]
fn a_child_whose_parent_is_another_refuses() {
    let place = Place::new("child");
    place.fuzz_reading(&["__run"], "{}").exits(2).complains("the request is no run");
}

#[test]
fn a_folder_is_chosen_from_by_tags() {
    let place = Place::new("tags");
    fs::create_dir(place.path.join("all")).expect("the folder can be written");
    for (file, tags) in [("a", "[links, slow]"), ("b", "[links]"), ("c", "disk"), ("d", "[]")] {
        let text = QUIET.replace("nothing happens", &format!("quiet {file}"));
        place.write(&format!("all/{file}.yaml"), &text.replace("target:", &format!("tags: {tags}\ntarget:")));
    }
    let run = place.fuzz(&["run", "all", "--tag", "links", "--skip-tag", "slow", "--junit", "junit.xml"]);
    run.exits(0)
        .prints("1 of 4 scenarios, by --tag links --skip-tag slow\n")
        .prints("Tags\nquiet b   PASSED")
        .prints("Total Tests: 1\n");
    assert!(!run.out.contains("Not Run") && !run.out.contains("quiet a"), "{}", run.out);
    let xml = fs::read_to_string(place.path.join("junit.xml")).expect("it was asked for");
    assert!(
        xml.contains("<properties><property name=\"tag\" value=\"links\"/></properties></testcase>"),
        "{xml}"
    );
    let listed = |arguments: &[&str]| place.fuzz(&[&["list", "scenarios", "all"], arguments].concat());
    let all = "all/a.yaml  quiet a [links, slow]\nall/b.yaml  quiet b [links]\nall/c.yaml  quiet c [disk]\nall/d.yaml  quiet d\n";
    assert_eq!(listed(&[]).exits(0).out, all);
    let some = listed(&["--tag", "slow,disk"]);
    assert_eq!(some.exits(0).out, "all/a.yaml  quiet a [links, slow]\nall/c.yaml  quiet c [disk]\n");
    assert_eq!(listed(&["--tag", "slow", "--tag", "disk"]).exits(0).out, some.out);
    assert_eq!(listed(&["--skip-tag", "links"]).exits(0).out.lines().count(), 2);
    listed(&["--skip-tag", "lincs"]).exits(0).complains("warning: no scenario has the tag `lincs`");
    place.fuzz(&["run", "all/c.yaml", "--tag", "disk", "-q"]).exits(0);
}

#[test]
fn a_choice_that_leaves_nothing_is_a_mistake_and_names_the_tags() {
    let place = Place::new("no-tags");
    fs::create_dir(place.path.join("all")).expect("the folder can be written");
    let with = |tags: &str| QUIET.replace("target:", &format!("tags: {tags}\ntarget:"));
    place.write("all/a.yaml", &with("[links, slow]"));
    place.write("all/b.yaml", &with("[links]"));
    place.write("none.yaml", QUIET);
    let run = |arguments: &[&str]| place.fuzz(&[&["run"], arguments].concat());
    run(&["all", "--tag", "lnks"])
        .exits(2)
        .complains("error: no scenario has the tag `lnks`, which --tag asks for\n")
        .complains("hint: did you mean `links`? known: links, slow");
    run(&["all", "--skip-tag", "links"])
        .exits(2)
        .complains("error: none of 2 scenarios is left by --skip-tag links\n")
        .complains("hint: their tags: links (2), slow (1)");
    run(&["none.yaml", "--tag", "slow"]).exits(2).complains("no scenario here has any tag");
    place.write("all/c.yaml", &with("[links, Slow]"));
    run(&["all", "--tag", "links"])
        .exits(2)
        .complains("all/c.yaml:3:15: error: tags[1]: `Slow` does not begin with a lower-case letter")
        .complains("none was run");
    place
        .fuzz(&["list", "faults", "--tag", "slow"])
        .exits(2)
        .complains("go with `fuzz list scenarios` alone");
    place.fuzz(&["list", "scenarios"]).exits(2).complains("<DIR>");
    assert!(!place.path.join("runs").exists(), "nothing ran");
}
