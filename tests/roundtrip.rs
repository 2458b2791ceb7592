//! The law of the native form: what is printed reads back to the same timeline, and prints to the same bytes.
//!
//! Timelines come from the generator over random seeds, targets and shapes; what a generator never writes
//! (names in any script, settings, ids and log texts full of YAML's own signs) is put into them by hand.

use proptest::prelude::*;
use seedfault::catalogue::{CheckSpec, EventId, NodeSelector};
use seedfault::check::convergence_time::ConvergenceTime;
use seedfault::check::slot_coverage::SlotCoverage;
use seedfault::entropy::Seed;
use seedfault::env::{PROCESSES, Profile, SIM};
use seedfault::spec::{DEFAULT, parse::parse};
use seedfault::time::Millis;
use seedfault::timeline::{
    KeyPrefix, Load, Mix, Observation, Pattern, Rate, Settings, Skew, Start, Timeline, generate,
};
use seedfault::yaml::document::Problems;

fn places() -> impl Strategy<Value = (&'static str, &'static Profile)> {
    prop_oneof![Just(("valkey", &PROCESSES)), Just(("embedded", &SIM))]
}

/// A timeline that the seed draws from the built-in scenario, or from one with its shape.
fn drawn(seed: u64, shape: &str, target: &str, profile: &Profile) -> Timeline {
    let text = DEFAULT.replace("{shards: 3..7, replicas: 0..2}", shape);
    let mut problems = Problems::default();
    let spec = parse(text.as_bytes(), &mut problems);
    assert_eq!(problems.list, [], "{text}");
    generate(&spec.expect("the built-in scenario reads"), Seed(seed), target, profile).expect("a timeline")
}

fn shapes() -> impl Strategy<Value = String> {
    (1u16..6, 0u16..3, 0u16..3, 0u16..2).prop_map(|(shards, more, replicas, spare)| {
        format!("{{shards: {shards}..{}, replicas: {replicas}..{}}}", shards + more, replicas + spare)
    })
}

/// Any text, and often one that YAML would take for something else.
fn texts() -> impl Strategy<Value = String> {
    let awkward = [
        "",
        " ",
        "null",
        "~",
        "true",
        "No",
        "1",
        "0x1f",
        "1e5",
        ".inf",
        "- a",
        "a: b",
        "{a}",
        "[a, b]",
        "#",
        "a #b",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a`",
        "'a'",
        "\"a\"",
        "\\",
        "?",
        "? a",
        ":",
        "<<",
        "---",
        "...",
        "a,b",
        "2001-01-01",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{feff}",
        "\u{fffe}",
        "\u{1f600}",
        "é",
        "\t",
    ];
    prop_oneof![proptest::sample::select(awkward.to_vec()).prop_map(String::from), ".{0,40}", "\\PC{1,20}"]
}

fn loads() -> impl Strategy<Value = Load> {
    let mixes = proptest::option::of((0u16..9, 0u16..9, 0u16..9).prop_map(|(get, set, append)| Mix {
        get,
        set,
        incr: 1,
        append,
        add: 0,
        delete: 0,
    }));
    let numbers = (1u16..20, 1u32..5000, 1u32..9000, 0u32..100_000, 1u16..30, 0u16..1001);
    let rest = (
        0u8..2,
        proptest::option::of(0u8..2),
        1u64..100_000,
        any::<bool>(),
        proptest::option::of(0u64..99_999),
    );
    let words = (proptest::sample::select(Pattern::ALL), proptest::sample::select(Skew::ALL));
    (mixes, numbers, rest, words).prop_map(|(mix, numbers, rest, (pattern, skew))| Load {
        clients: numbers.0,
        rate: Rate(numbers.1),
        pattern,
        mix,
        keys: numbers.2,
        skew,
        shards: vec![0],
        value_bytes: numbers.3,
        pipeline: numbers.4,
        transactions: numbers.5,
        wait: rest.0,
        waitaof: rest.1,
        timeout: Millis(rest.2),
        closed: rest.3,
        stop: rest.4.map(Millis),
        key_prefix: KeyPrefix(if rest.3 { String::new() } else { "ledger: \"#'".replace(' ', "") }),
        watchers: u16::from(rest.0),
        sessions: u16::from(rest.3),
        tellers: u16::from(rest.0),
        leases: u16::from(rest.0) % 3,
        watch_streams: rest.3,
        guests: u16::from(rest.3),
        queuers: u16::from(rest.0),
        containers: u16::from(rest.0),
    })
}

/// Gives an event another name, here and wherever something hangs on it.
fn rename(timeline: &mut Timeline, position: usize, name: &str) {
    let old = std::mem::replace(&mut timeline.events[position].id, name.to_owned().into());
    let mut visit = |id: &mut EventId| {
        if *id == old {
            *id = name.to_owned().into();
        }
    };
    for event in &mut timeline.events {
        match &mut event.start {
            Start::After(anchors) => anchors.iter_mut().for_each(&mut visit),
            Start::With(anchor) => visit(anchor),
            _ => {}
        }
        event.for_each_node(|node: &mut NodeSelector| {
            if let NodeSelector::SameAs(id) = node {
                visit(id);
            }
        });
    }
}

/// The law, with the text in the message when it is broken.
fn holds(timeline: &Timeline, profile: &Profile) -> Result<(), TestCaseError> {
    let printed = timeline.to_yaml();
    let mut problems = Problems::default();
    let spec = parse(printed.as_bytes(), &mut problems);
    let Some(spec) = spec else {
        return Err(TestCaseError::fail(format!("{printed}\n{:#?}", problems.list)));
    };
    let again = generate(&spec, spec.seed.expect("a seed"), &timeline.target, profile).expect("a timeline");
    prop_assert_eq!(&again, timeline, "{}", printed);
    prop_assert_eq!(again.to_yaml(), printed);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_seed_draws_reads_back(seed: u64, shape in shapes(), (target, profile) in places()) {
        holds(&drawn(seed, &shape, target, profile), profile)?;
    }

    #[test]
    fn what_is_left_when_events_are_taken_out_reads_back(seed: u64, keep: u32, (target, profile) in places()) {
        let mut timeline = drawn(seed, "{shards: 3..5, replicas: 1..2}", target, profile);
        let ids: Vec<EventId> = timeline.events.iter().map(|event| event.id.clone()).collect();
        for (position, id) in ids.iter().enumerate() {
            if keep & (1 << (position % 32)) == 0 {
                timeline = timeline.without(id);
            }
        }
        holds(&timeline, profile)?;
    }

    #[test]
    fn any_text_reads_back(
        seed: u64,
        (target, profile) in places(),
        name in proptest::option::of(texts()),
        settings in proptest::collection::btree_map("[a-z0-9_-]{1,20}", texts(), 0..4),
        ids in proptest::collection::vec(texts(), 4),
        logged in texts(),
        load in loads(),
        within in proptest::option::of(0u64..99_999),
    ) {
        let mut timeline = drawn(seed, "{shards: 3..5, replicas: 1..2}", target, profile);
        timeline.name = name;
        timeline.load = load;
        let taken = |(name, value): &(String, String)| Settings::refuse(name, value).is_none();
        timeline.cluster.settings.0 = settings.into_iter().filter(taken).collect();
        timeline.checks = vec![
            CheckSpec::ConvergenceTime(ConvergenceTime { within: within.map(Millis) }),
            CheckSpec::SlotCoverage(SlotCoverage { full: false, conflicts: true }),
        ];
        for (position, id) in ids.iter().enumerate() {
            let fits = !id.is_empty() && id.len() <= 100 && !id.chars().any(char::is_control);
            if fits && position < timeline.events.len() && timeline.event(id).is_none() {
                rename(&mut timeline, position, id);
            }
        }
        for event in &mut timeline.events {
            if let Start::When(Observation::Log { has, .. }) = &mut event.start && !logged.is_empty() {
                *has = logged.clone().into();
            }
            // The operation's client may be one that the load above does not have.
            if let Start::When(Observation::Operation { client, .. }) = &mut event.start {
                *client = 0;
            }
        }
        holds(&timeline, profile)?;
    }
}

#[test]
fn the_hash_in_the_text_is_that_of_what_is_read() {
    let timeline = drawn(67890, "{shards: 3, replicas: 1}", "valkey", &PROCESSES);
    let printed = timeline.to_yaml();
    let line = printed.lines().last().expect("a last line");
    assert_eq!(line, format!("{}{}", seedfault::timeline::HASH_COMMENT, timeline.hash().to_hex()));
}
