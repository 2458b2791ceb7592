use super::*;
use crate::canary::{light, run};
use crate::env::SIM;
use crate::target::embedded::operations::Embedded;

fn guide(mode: Mode) -> Guide {
    Guide::new(light(), Embedded::NAME, &SIM, mode, Seed(7))
}

/// Runs so many and says what was proposed.
fn campaign(mode: Mode, runs: u64) -> (Guide, Vec<(String, String)>) {
    let mut guide = guide(mode);
    let mut proposed = Vec::new();
    for number in 0..runs {
        let proposal = guide.propose(number).expect("the scenario is good");
        let outcome = run(&proposal.timeline).expect("it runs");
        guide.learn(&proposal, &feature::features(&outcome.record));
        proposed.push((proposal.origin.to_string(), name(&proposal.timeline)));
    }
    (guide, proposed)
}

#[test]
fn the_same_answers_give_the_same_timelines() {
    let (one, proposed) = campaign(Mode::Guided, 44);
    let (other, again) = campaign(Mode::Guided, 44);
    assert_eq!(proposed, again);
    assert_eq!(one.counts(), other.counts());
    assert!(proposed.iter().any(|(origin, _)| origin != "seed"), "{proposed:?}");
    let mut names: Vec<&String> = proposed.iter().map(|(_, name)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 40, "hardly any is run twice: {}", names.len());
}

#[test]
fn numbers_weigh_as_the_features_do_that_they_stand_for() {
    let mut one = guide(Mode::Guided);
    let (mut counts, mut reached): (BTreeMap<Feature, u64>, BTreeMap<String, Vec<BTreeSet<Feature>>>) =
        Default::default();
    for number in 0..40 {
        let proposal = one.propose(number).expect("the scenario is good");
        let features = feature::features(&run(&proposal.timeline).expect("it runs").record);
        let first: Vec<Feature> =
            features.iter().filter(|feature| !counts.contains_key(*feature)).cloned().collect();
        assert_eq!(one.learn(&proposal, &features), first);
        features.iter().for_each(|feature| *counts.entry(feature.clone()).or_default() += 1);
        if !first.is_empty() {
            reached.entry(name(&proposal.timeline)).or_default().push(features);
        }
    }
    assert!(one.entries.len() > 30 && one.entries.iter().any(|entry| entry.chosen > 0));
    for entry in &one.entries {
        let features = &reached[&entry.name][0];
        let rare: u64 = features.iter().map(|feature| 1_000 / counts[feature]).sum();
        assert_eq!(one.energy(entry), 1 + rare * 100 / (10 + entry.chosen), "{}", entry.name);
    }
    let known = one.counts();
    assert!(counts.iter().all(|(feature, count)| known[feature] == *count) && known.len() == counts.len());
    assert_eq!(one.reached().values().sum::<u64>(), counts.len() as u64);
    // A campaign that goes on weighs as the one that was killed.
    let mut other = guide(Mode::Guided);
    other.restore(40, &counts.into_iter().collect::<Vec<_>>());
    for entry in &one.entries {
        let features: Vec<Feature> = reached[&entry.name][0].iter().cloned().collect();
        other.restore_entry(entry.name.clone(), entry.timeline.clone(), &features, entry.chosen);
    }
    let energies = |guide: &Guide| guide.entries.iter().map(|entry| guide.energy(entry)).collect::<Vec<_>>();
    assert_eq!(energies(&one), energies(&other));
    assert_eq!(one.lines, other.lines);
    assert_eq!(one.reached(), other.reached());
}

#[test]
fn at_random_a_campaign_is_its_seeds() {
    let (guide, proposed) = campaign(Mode::Random, 5);
    let seeds: Vec<String> = (7..12)
        .map(|seed| name(&generate(&light(), Seed(seed), Embedded::NAME, &SIM).expect("it is good")))
        .collect();
    assert_eq!(proposed.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>(), seeds);
    assert!(guide.entries().is_empty(), "nothing is kept");
}

#[test]
fn every_way_of_changing_gives_a_timeline_that_a_file_can_say() {
    let (guide, _) = campaign(Mode::Guided, 10);
    let pool = mutate::Pool {
        spec: &guide.spec,
        profile: &SIM,
        entries: &guide.entries,
        lines: &guide.lines,
        sent: &guide.sent,
    };
    let mut rng = Entropy::root(Seed(1)).child("test").rng();
    let (mut seen, mut good, mut all) = (BTreeSet::new(), 0, 0);
    for round in 0..600 {
        let mut timeline = guide.entries[round % guide.entries.len()].timeline.clone();
        let before = timeline.clone();
        let Some(change) = mutate::change(&mut timeline, &pool, &mut rng) else { continue };
        all += 1;
        if timeline.reread().is_some_and(|valid| valid != before) {
            good += 1;
            seen.insert(change);
        }
    }
    // The scenario has one load and no settings to draw.
    let missing: Vec<&Change> = Change::ALL
        .iter()
        .filter(|change| !seen.contains(*change) && ![Change::Settings, Change::Load].contains(*change))
        .collect();
    assert!(missing.is_empty(), "{missing:?} never came to anything");
    assert!(good * 10 > all * 8, "{good} of {all}");
}

#[test]
fn the_corpus_runs_first_and_what_is_rare_is_chosen_more_often() {
    let mut guide = guide(Mode::Guided);
    let first = generate(&light(), Seed(1), Embedded::NAME, &SIM).expect("it is good");
    let second = generate(&light(), Seed(2), Embedded::NAME, &SIM).expect("it is good");
    guide.begin_with(vec![("a".into(), first.clone()), ("b".into(), second.clone())]);
    for (number, (entry, timeline)) in [("a", &first), ("b", &second)].into_iter().enumerate() {
        let proposal = guide.propose(number as u64).expect("it is there");
        assert_eq!(proposal.origin, Origin::Corpus { entry: entry.into() });
        assert_eq!(proposal.timeline, *timeline);
    }
    let seed = |timeline: &Timeline| Proposal { timeline: timeline.clone(), origin: Origin::Seed };
    let feature = |what: &str| Feature { family: Family::Event, what: what.into() };
    assert_eq!(guide.learn(&seed(&first), &[feature("common")].into()), [feature("common")]);
    for _ in 0..50 {
        assert_eq!(guide.learn(&seed(&first), &[feature("common")].into()), []);
    }
    assert_eq!(
        guide.learn(&seed(&second), &[feature("common"), feature("rare")].into()),
        [feature("rare")],
        "what was seen before is not new"
    );
    let energy: Vec<u64> = guide.entries().iter().map(|entry| guide.energy(entry)).collect();
    assert!(energy[1] > 10 * energy[0], "{energy:?}");
}

#[test]
fn the_fewest_entries_reach_all_that_all_reach() {
    let feature = |number: u32| Feature { family: Family::Event, what: number.to_string() };
    let set = |numbers: &[u32]| numbers.iter().map(|number| feature(*number)).collect::<BTreeSet<_>>();
    let entries = [set(&[1, 2]), set(&[2]), set(&[2, 3, 4]), set(&[4]), set(&[])];
    assert_eq!(fewest(&entries), [0, 2]);
    assert_eq!(fewest(&[]), Vec::<usize>::new());
}

#[test]
fn what_reached_more_lately_is_taken_more_often() {
    let mut yields = Yield::default();
    assert!(yields.rate() > 1_000_000, "what was not tried is");
    (0..40).for_each(|_| yields.hear(3));
    assert!((2_500..=3_500).contains(&yields.rate()), "{yields:?}");
    (0..100).for_each(|_| yields.hear(0));
    assert!(yields.rate() < 100, "what is long ago is forgotten: {yields:?}");
}
