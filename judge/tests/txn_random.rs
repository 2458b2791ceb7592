//! The judges of transactions against a second algorithm, against planted anomalies, and against clean runs.
//!
//! `SEEDFAULT_RANDOM` raises how many random histories are compared, to a million at night.

use judge::generate::Random;
use judge::generate::txn::{PLANTED, Shape, Workload, draft, from_bytes, serial, snapshot};
use judge::txn::brute::has_serial_order;
use judge::txn::mops::Mops;
use judge::{Answer, Budget, History, Options, Verdict, model};

fn judged(workload: Workload, history: &History, claim: &str) -> Verdict {
    let name = if workload == Workload::Append { "list-append" } else { "rw-register" };
    let options = Options { consistency_models: Some(vec![claim.into()]), ..Options::default() };
    let model = model::named(name).expect("a model");
    (model.judge)(history, &options, &Budget::default()).expect("it fits")
}

fn count(default: u64) -> u64 {
    std::env::var("SEEDFAULT_RANDOM").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Bad only where no order exists; with every read known, ok only where one does, for lists.
#[test]
fn the_cycle_judge_and_the_brute_force_agree() {
    let mut found = [0u64; 2];
    for seed in 0..count(10_000) {
        let mut dice = Random::new(seed);
        let workload = if seed % 3 == 0 { Workload::Register } else { Workload::Append };
        let shape = Shape {
            workload,
            txns: 2 + dice.below(5),
            clients: 2 + dice.below(2),
            keys: 1 + dice.below(3),
            mops: 3,
            fails: 10,
            infos: 10,
            ..Shape::default()
        };
        let mut draft = draft(seed, &shape, dice.below(2) == 0);
        let spoiled = dice.below(3);
        draft.spoil(&mut dice, spoiled);
        let history = draft.history();
        let (write, appends) = if workload == Workload::Append { ("append", true) } else { ("w", false) };
        let mops = Mops::read(&history, write, &Budget::default()).expect("transactions");
        for (strict, claim) in [(false, "serializable"), (true, "strict-serializable")] {
            let ordered = has_serial_order(&history, &mops, appends, strict);
            let verdict = judged(workload, &history, claim);
            let bad = verdict.answer == Answer::Bad;
            found[usize::from(bad)] += 1;
            let tell = || {
                let ops: Vec<String> = (0..history.ops.len()).map(|op| history.tell(op)).collect();
                format!("seed {seed}, {claim}: {verdict:#?}\n{}", ops.join("\n"))
            };
            assert!(!(bad && ordered), "bad, but there is an order: {}", tell());
            let complete = appends && verdict.answer == Answer::Ok;
            assert!(!complete || ordered || unread(&history, &mops), "ok without an order: {}", tell());
        }
    }
    assert!(found[0] > 100 && found[1] > 100, "one-sided: {found:?}");
}

/// The same for reads that show anything at all, as the fuzz target does.
#[test]
fn arbitrary_reads_are_bad_only_without_an_order() {
    let mut bad = 0;
    for seed in 0..count(10_000) {
        let mut dice = Random::new(seed);
        let bytes: Vec<u8> = (0..64).map(|_| dice.draw() as u8).collect();
        let history = from_bytes(&bytes);
        let mops = Mops::read(&history, "append", &Budget::default()).expect("transactions");
        for (strict, claim) in [(false, "serializable"), (true, "strict-serializable")] {
            let verdict = judged(Workload::Append, &history, claim);
            bad += u32::from(verdict.answer == Answer::Bad);
            let ordered = has_serial_order(&history, &mops, true, strict);
            assert!(!(verdict.answer == Answer::Bad && ordered), "seed {seed}, {claim}: {verdict:#?}");
            let complete = verdict.answer == Answer::Ok && !unread(&history, &mops);
            assert!(!complete || ordered, "ok without an order: seed {seed}, {claim}");
        }
    }
    assert!(bad > 100, "only {bad} are bad");
}

/// No verdict is given on part of the work.
#[test]
fn a_spent_budget_is_unknown_with_the_reason() {
    let history = serial(1, &Shape { txns: 300, ..Shape::default() });
    let model = model::named("list-append").expect("a model");
    let full = Budget::default();
    let whole = (model.judge)(&history, &Options::default(), &full).expect("it fits");
    assert_eq!(whole.answer, Answer::Ok);
    for steps in (0..full.steps_spent()).step_by(97) {
        let verdict =
            (model.judge)(&history, &Options::default(), &Budget::new(steps, 1 << 30)).expect("it fits");
        assert_eq!(verdict.answer, Answer::Unknown, "{steps} steps");
        assert!(verdict.reason.contains("steps are spent"), "{}", verdict.reason);
    }
    let tight = Budget::new(u64::MAX, 1 << 10);
    assert_eq!(
        (model.judge)(&history, &Options::default(), &tight).expect("it fits").answer,
        Answer::Unknown
    );
}

/// Whether some append was never read: then its place is not known, and an order may be missed.
fn unread(history: &History, mops: &Mops) -> bool {
    let shown = |key: u32, value| {
        mops.all.iter().any(|read| {
            let items = history.arena.items_of(read.value).unwrap_or(&[]);
            !read.is_write() && read.key() == key && items.contains(&value)
        })
    };
    mops.all.iter().any(|mop| mop.is_write() && !shown(mop.key(), mop.value))
}

#[test]
fn planted_anomalies_are_found_by_name() {
    for (workload, name) in PLANTED {
        for seed in 0..60 {
            let shape = Shape { workload, txns: 40, ..Shape::default() };
            let mut draft = draft(seed, &shape, false);
            assert!(draft.plant(name, &mut Random::new(seed)), "{name} is planted");
            // What a session forbids is part of what real time forbids, and is told by its weakest name.
            let claim = if name.ends_with("-process") {
                "strong-session-serializable"
            } else {
                "strict-serializable"
            };
            let verdict = judged(workload, &draft.history(), claim);
            assert_eq!(verdict.answer, Answer::Bad, "{name}, seed {seed}: {verdict:#?}");
            assert!(verdict.names().contains(name), "{name}, seed {seed}: {verdict:#?}");
            let shown = verdict.anomalies.iter().find(|anomaly| anomaly.name == name).expect("named");
            // A way through real time may lead over transactions that a shorter one would leave out.
            let most = if name.ends_with("-realtime") { 8 } else { 4 };
            assert!(shown.ops.len() <= most && !shown.story.is_empty(), "{name}, seed {seed}: {shown:#?}");
        }
    }
}

#[test]
fn ten_thousand_clean_histories_are_silent() {
    for seed in 0..10_000 {
        let workload = if seed % 4 == 0 { Workload::Register } else { Workload::Append };
        let history = serial(seed, &Shape { workload, ..Shape::default() });
        let verdict = judged(workload, &history, "strict-serializable");
        assert_eq!(verdict.answer, Answer::Ok, "seed {seed}: {verdict:#?}");
        assert!(verdict.anomalies.is_empty(), "seed {seed}: {verdict:#?}");
    }
}

/// What snapshot isolation allows is seen where serializability is claimed, and only there.
#[test]
fn snapshots_are_isolated_but_not_serializable() {
    let mut skewed = 0;
    for seed in 0..2_000 {
        let history = snapshot(seed, &Shape { clients: 6, keys: 4, ..Shape::default() });
        for claim in ["snapshot-isolation", "strong-snapshot-isolation"] {
            let verdict = judged(Workload::Append, &history, claim);
            assert_eq!(verdict.answer, Answer::Ok, "seed {seed}, {claim}: {verdict:#?}");
        }
        let verdict = judged(Workload::Append, &history, "serializable");
        if verdict.answer == Answer::Bad {
            assert_eq!(verdict.names().into_iter().collect::<Vec<_>>(), ["G2-item"], "seed {seed}");
            skewed += 1;
        }
    }
    assert!(skewed > 20, "only {skewed} histories show write skew");
}
