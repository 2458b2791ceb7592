//! The search over oracles that are made up: what fails is a function of the timeline.

use super::*;
use crate::entropy::Seed;
use crate::env::SIM;
use crate::spec::{DEFAULT, parse::parse};
use crate::timeline::generate;
use crate::yaml::document::Problems;

/// Fails where the function says so, and counts.
struct Function<F> {
    fails: F,
    asked: usize,
    most: usize,
}

impl<F: Fn(&Timeline) -> bool> Oracle for Function<F> {
    fn first(&mut self, candidates: &[Timeline]) -> Result<Option<usize>, Stopped> {
        for (place, candidate) in candidates.iter().enumerate() {
            self.asked += 1;
            if self.asked > self.most {
                return Err(Stopped);
            }
            if (self.fails)(candidate) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }
}

fn oracle<F: Fn(&Timeline) -> bool>(fails: F) -> Function<F> {
    Function { fails, asked: 0, most: usize::MAX }
}

fn timeline(seed: u64) -> Timeline {
    let spec = parse(DEFAULT.as_bytes(), &mut Problems::default()).expect("the built-in scenario is good");
    generate(&spec, Seed(seed), "embedded", &SIM).expect("it can be drawn")
}

/// A seed with many events.
fn long() -> Timeline {
    (0..2000).map(timeline).max_by_key(|timeline| timeline.events.len()).expect("there are seeds")
}

fn shrunk(timeline: &Timeline, fails: impl Fn(&Timeline) -> bool) -> (Shrunk, usize) {
    let mut oracle = oracle(fails);
    let shrunk = minimize(timeline, KEYS, &mut oracle, &mut |_| {});
    (shrunk, oracle.asked)
}

#[test]
fn what_is_left_is_what_the_failure_needs_and_no_event_of_it_can_go() {
    let long = long();
    let (first, last) = (long.events[1].id.clone(), long.events[long.events.len() - 2].id.clone());
    let fails = |timeline: &Timeline| [&first, &last].iter().all(|id| timeline.event(id).is_some());
    let (shrunk, asked) = shrunk(&long, fails);
    assert!(shrunk.minimal);
    let ids: Vec<_> = shrunk.timeline.events.iter().map(|event| event.id.clone()).collect();
    assert_eq!(ids, [first, last]);
    assert_eq!((shrunk.timeline.cluster.shards, shrunk.timeline.cluster.replicas), (1, 0));
    assert!(shrunk.timeline.load.rate.0 <= 1, "a client's operation may be waited for");
    assert!(asked < 600, "{asked}");
}

#[test]
fn a_result_reads_back_to_itself() {
    for seed in 0..20 {
        let timeline = timeline(seed);
        let Some(id) = timeline.events.last().map(|event| event.id.clone()) else { continue };
        let (shrunk, _) = shrunk(&timeline, |timeline| timeline.event(&id).is_some());
        assert_eq!(shrunk.timeline.reread().as_ref(), Some(&shrunk.timeline));
    }
}

#[test]
fn the_schedule_key_under_which_it_fails_is_part_of_the_result() {
    let long = long();
    let id = long.events[0].id.clone();
    // Whole, it fails under any key; with anything left out under one alone.
    let whole = long.events.len();
    let fails = |timeline: &Timeline| {
        timeline.event(&id).is_some() && (timeline.events.len() == whole || timeline.schedule.key == Some(5))
    };
    let (shrunk, _) = shrunk(&long, fails);
    assert_eq!(shrunk.timeline.schedule.key, Some(5));
    assert_eq!(shrunk.timeline.events.len(), 1);
}

#[test]
fn a_search_that_is_stopped_leaves_the_best_so_far() {
    let long = long();
    let id = long.events[0].id.clone();
    let mut oracle =
        Function { fails: |timeline: &Timeline| timeline.event(&id).is_some(), asked: 0, most: 4 };
    let mut steps = 0;
    let shrunk = minimize(&long, KEYS, &mut oracle, &mut |_| steps += 1);
    assert!(!shrunk.minimal);
    assert!(steps > 0 && shrunk.timeline != long);
    assert!(shrunk.timeline.event(&id).is_some());
}

#[test]
fn what_names_a_node_that_is_gone_names_one_that_stays() {
    let text = "fuzz: 1\ntarget: embedded\nseed: 1\ncluster: {shards: 4, replicas: 1}\ntimeline:\n\
                - {id: a, at: 1s, do: {kill: {node: shard-3-primary}}, for: 2s}\n\
                - {id: b, at: 4s, do: {pause: {node: node-5}}, for: 2s}\n\
                - {id: c, at: 7s, do: {reshard: {from: 1, to: 3}}}\n";
    let spec = parse(text.as_bytes(), &mut Problems::default()).expect("it is good");
    let timeline = generate(&spec, Seed(1), "embedded", &SIM).expect("nothing is drawn");
    let fails = |timeline: &Timeline| timeline.events.len() == 3 && timeline.cluster.replicas == 1;
    let (shrunk, _) = shrunk(&timeline, fails);
    // On one shard the move would be from it to itself.
    let text = shrunk.timeline.to_yaml();
    assert_eq!(shrunk.timeline.cluster.shards, 2, "{text}");
    assert!(text.contains("shard-0-primary") && text.contains("from: 1, to: 0"), "{text}");
}

#[test]
fn a_token_means_a_seed_with_events_left_out() {
    let full = long();
    let kept = full.events.iter().step_by(3).fold(full.clone(), |less, event| less.without(&event.id));
    let token = Token::of(&full, &kept).expect("deletions alone");
    let text = token.to_string();
    assert!(text.len() <= Token::LENGTH_MAX && Token::is_meant(&text), "{text}");
    assert_eq!(text.parse::<Token>().and_then(|token| token.timeline(&full)), Ok(kept.clone()));
    let keyed =
        Timeline { schedule: crate::timeline::Schedule { key: Some(2), ..kept.schedule.clone() }, ..kept };
    assert!(Token::of(&full, &keyed).expect("a key is in it").to_string().contains(".2@"));
    let mut other = keyed;
    other.load.rate.0 += 1;
    assert_eq!(Token::of(&full, &other), None, "more than deletions");
    for bad in ["", "1:2", "x:1@1", "1:g@1", "1:1.@1", "1:-1@1", "1:1@1@1"] {
        assert!(matches!(bad.parse::<Token>(), Err(TokenError::Form(_))), "{bad}");
    }
    let far = format!("{}:{:x}@{}", full.seed, 1u128 << 127, full.catalogue);
    assert!(matches!(
        far.parse::<Token>().and_then(|token| token.timeline(&full)),
        Err(TokenError::Events { event: 128, .. })
    ));
}
