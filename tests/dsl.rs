//! The scenarios under `dsl/`, their schema and their reference: all read, all generate, none out of date.
//!
//! `SEEDFAULT_UPDATE=1 cargo test --test dsl` rewrites `dsl/schema.json` and the tables of `dsl/README.md`.

#[path = "dsl/reference.rs"]
mod reference;
#[path = "dsl/validator.rs"]
mod validator;

use seedfault::catalogue::ACTIONS;
use seedfault::entropy::Seed;
use seedfault::env::{EXACT, LIVE, PROCESSES, PROFILES, Profile, SIM};
use seedfault::spec::{DEFAULT, Spec, StartSpec, parse::parse, schema};
use seedfault::timeline::generate;
use seedfault::yaml::document::Problems;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dsl")
}

/// Every scenario under `dsl/` by file name, in order.
fn scenarios() -> Vec<(String, String)> {
    let folders = [folder(), folder().join("raft"), folder().join("raft-variants")];
    let mut files: Vec<(String, String)> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("the folder is there"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    files.sort();
    files
}

fn read(name: &str, text: &str) -> Spec {
    let mut problems = Problems::default();
    let spec = parse(text.as_bytes(), &mut problems);
    assert_eq!(problems.list, [], "{name}");
    spec.unwrap_or_else(|| panic!("{name} gives a spec"))
}

/// The targets that a scenario may run on, each with an environment that can carry it out.
fn places(spec: &Spec) -> Vec<(&'static str, &'static Profile)> {
    [("valkey", &PROCESSES), ("valkey", &EXACT), ("valkey", &LIVE), ("embedded", &SIM), ("etcd", &LIVE)]
        .into_iter()
        .filter(|(target, profile)| {
            let sees = |start: &StartSpec| match start {
                StartSpec::When(seen) => profile.offers(seen.needs()),
                _ => true,
            };
            (*target != "etcd" || spec.cluster.shards.low == 1)
                && spec.target.as_deref().is_none_or(|wanted| wanted == *target)
                && spec.environment.as_deref().is_none_or(|wanted| wanted == profile.name)
                && spec.events.iter().all(|event| sees(&event.start))
                && spec.events.iter().all(|event| {
                    event.action.info().targets.contains(target) && profile.offers(event.action.needs())
                })
        })
        .collect()
}

/// Compares a file with what it should be, or rewrites it where that was asked for.
fn up_to_date(path: &Path, expected: &str) {
    if std::env::var_os("SEEDFAULT_UPDATE").is_some() {
        std::fs::write(path, expected).expect("the file can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is out of date; `SEEDFAULT_UPDATE=1 cargo test --test dsl` rewrites it",
        path.display()
    );
}

#[test]
fn every_scenario_opens_with_what_happens_and_what_must_hold() {
    let files = scenarios();
    assert!(files.len() >= 13, "{} scenarios", files.len());
    for (name, text) in files {
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[..2] {
            assert!(line.starts_with("# ") && line.ends_with('.') && line.len() > 40, "{name}: {line}");
        }
        assert!(
            ["schema.json", "../schema.json"]
                .iter()
                .any(|place| lines[2] == format!("# yaml-language-server: $schema={place}")),
            "{name}"
        );
        assert_eq!(lines[3], "fuzz: 1", "{name}");
    }
}

#[test]
fn every_scenario_gives_the_same_timeline_when_its_own_is_read_back() {
    for (name, text) in scenarios() {
        let spec = read(&name, &text);
        let places = places(&spec);
        assert!(!places.is_empty(), "{name} runs somewhere");
        for (target, profile) in places {
            for seed in [0, 1, 67890] {
                let timeline = generate(&spec, Seed(seed), target, profile).expect("a timeline");
                let printed = timeline.to_yaml();
                let again = generate(&read(&name, &printed), Seed(seed), target, profile).expect("the same");
                assert_eq!(again, timeline, "{name} on {target} with seed {seed}");
                assert_eq!(again.to_yaml(), printed, "{name} on {target} with seed {seed}");
            }
        }
    }
}

#[test]
fn scenarios_are_short_and_small_enough_for_a_test_machine() {
    for (name, text) in scenarios() {
        let spec = read(&name, &text);
        for (target, profile) in places(&spec) {
            let timeline = generate(&spec, Seed(1), target, profile).expect("a timeline");
            assert!(timeline.length.0 <= 25_000, "{name}: {}", timeline.length);
            assert!(
                timeline.cluster.nodes() <= profile.nodes_max,
                "{name}: {} nodes",
                timeline.cluster.nodes()
            );
        }
    }
}

#[test]
fn between_them_the_scenarios_use_every_fault_of_each_target() {
    let used: Vec<&str> = scenarios()
        .iter()
        .flat_map(|(name, text)| read(name, text).events)
        .map(|event| event.action.name())
        .collect();
    for name in ["kill", "pause", "restart", "cut", "lossy", "clock_skew", "failover", "reshard", "drain"] {
        assert!(used.contains(&name), "no scenario uses {name}");
    }
}

#[test]
fn the_built_in_scenario_leaves_everything_to_the_seed() {
    let spec = read("default.yaml", DEFAULT);
    assert!(spec.draw.is_some());
    assert!(spec.events.is_empty());
    assert_eq!((spec.target, spec.seed, spec.load), (None, None, None));
    assert_eq!((spec.cluster.shards.low, spec.cluster.replicas.low), (3, 0));
}

#[test]
fn the_schema_is_up_to_date() {
    up_to_date(&folder().join("schema.json"), &schema::schema_text());
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let schema = schema::schema();
    for (name, text) in scenarios() {
        let value: serde_json::Value = serde_yaml::from_str(&text).expect("plain YAML");
        assert_eq!(validator::faults(&schema, &value), Vec::<String>::new(), "{name}");
        let spec = read(&name, &text);
        for (target, profile) in places(&spec) {
            let printed = generate(&spec, Seed(3), target, profile).expect("a timeline").to_yaml();
            let value: serde_json::Value = serde_yaml::from_str(&printed).expect("plain YAML");
            assert_eq!(validator::faults(&schema, &value), Vec::<String>::new(), "{name}\n{printed}");
        }
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let schema = schema::schema();
    for text in [
        "fuzz: 2\ntimeline: []",
        "fuzz: 1",
        "fuzz: 1\ntimelin: []",
        "fuzz: 1\ntimeline: [{at: 1s}]",
        "fuzz: 1\ntimeline: [{do: rolling_restart}]",
        "fuzz: 1\ntimeline: [{at: 1s, with: e1, do: rolling_restart}]",
        "fuzz: 1\ntimeline: [{at: 1s, do: kill}]",
        "fuzz: 1\ntimeline: [{at: 1s, do: {kill: {nod: node-1}}}]",
        "fuzz: 1\ntimeline: [{at: 1s, do: {kil: {node: node-1}}}]",
        "fuzz: 1\ntimeline: [{at: 1s, do: {together: [{at: 1s, do: rolling_restart}]}}]",
        "fuzz: 1\ntimeline: [{when: {logg: {node: any, has: x}}, do: rolling_restart}]",
        "fuzz: 1\nchecks: [slots]\ntimeline: []",
        "fuzz: 1\ntarget: redis\ntimeline: []",
        "fuzz: 1\ncluster: {shards: many}\ntimeline: {}",
        "fuzz: 1\ndraw: {from: [check]}",
    ] {
        let mut problems = Problems::default();
        assert_eq!(parse(text.as_bytes(), &mut problems), None, "{text}");
        let value: serde_json::Value = serde_yaml::from_str(text).expect("plain YAML");
        assert_ne!(validator::faults(&schema, &value), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let path = folder().join("README.md");
    let text = std::fs::read_to_string(&path).expect("the reference is there");
    up_to_date(&path, &reference::renewed(&text));
}

#[test]
fn the_reference_names_every_word_of_the_form() {
    let text = std::fs::read_to_string(folder().join("README.md")).expect("the reference is there");
    let words = ACTIONS.iter().map(|info| info.name).chain(PROFILES.iter().map(|profile| profile.name));
    for word in words {
        assert!(text.contains(&format!("`{word}`")), "{word} is not explained");
    }
    // One of each kind of selector; their list in the code is a match, so it is repeated here.
    for selector in [
        "node-3",
        "shard-1-primary",
        "shard-1-replica",
        "shard-1-replica-2",
        "any",
        "any-primary",
        "any-replica",
        "any-of-node-4-node-7",
        "target-of-EVENT",
        "all",
        "minority",
        "majority",
        "port-7003",
    ] {
        assert!(text.contains(&format!("`{selector}`")), "{selector} is not explained");
        assert!(seedfault::catalogue::NodeSelector::from_text(selector).is_some(), "{selector}");
    }
}

#[test]
fn the_examples_of_the_reference_read() {
    let text = std::fs::read_to_string(folder().join("README.md")).expect("the reference is there");
    let examples: Vec<&str> =
        text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 3, "{} examples", examples.len());
    for example in examples {
        let whole = if example.contains("fuzz: 1") {
            example.to_string()
        } else {
            format!("fuzz: 1\ntimeline:\n{example}")
        };
        read(&whole, &whole);
    }
}
