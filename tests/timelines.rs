//! Laws of drawn timelines: valid whatever the seed, the quorum kept when asked, events left out in any order.

mod common;

use common::{PAIRS, everything, timeline};
use proptest::prelude::*;
use seedfault::catalogue::{Ability, Action, EventId, NodeSelector};
use seedfault::entropy::Seed;
use seedfault::env::{EXACT, LIVE, Profile};
use seedfault::fault::disk::Blow;
use seedfault::fault::pause::Pause;
use seedfault::spec::Spread;
use seedfault::time::Millis;
use seedfault::timeline::{Event, Observation, Start, Timeline, generate};
use std::collections::BTreeSet;

fn assert_valid(timeline: &Timeline, pair: usize) {
    let (target, profile) = PAIRS[pair];
    assert!(timeline.cluster.nodes() <= profile.nodes_max, "{:?}", timeline.cluster);
    assert!((3..=16).contains(&timeline.cluster.shards));
    assert!(timeline.cluster.replicas <= 2);
    let mut seen = BTreeSet::new();
    for event in &timeline.events {
        // An anchor stands before what hangs on it, so that there is no circle.
        for anchor in event.anchors() {
            assert!(seen.contains(&**anchor), "{} hangs on {anchor}", event.id);
        }
        assert!(seen.insert(&*event.id), "{} is there twice", event.id);
        let info = event.action.info();
        assert!(info.drawn && info.targets.contains(&target) && profile.offers(info.needs), "{}", info.name);
        assert!(event.lasts.is_none() || info.lasting, "{} cannot last", info.name);
        let mut copy = event.clone();
        copy.for_each_node(|node| match node {
            NodeSelector::Primary(shard) => assert!(*shard < timeline.cluster.shards),
            NodeSelector::Replica(shard, replica) => {
                assert!(*shard < timeline.cluster.shards);
                assert!(*replica < timeline.cluster.replicas);
            }
            NodeSelector::Node(node) => assert!(*node < timeline.cluster.nodes()),
            _ => {}
        });
        if let Start::At(at) = event.start {
            assert!(at <= timeline.length);
        }
    }
    assert!(!timeline.load.is_none(), "the load is always on");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_drawn_timeline_is_valid(seed: u64, pair in 0usize..2, keep_quorum: bool, events in 0u16..40) {
        let spec = everything(Spread::exactly(events), keep_quorum);
        let drawn = timeline(&spec, seed, pair);
        prop_assert!(drawn.events.len() <= usize::from(events));
        assert_valid(&drawn, pair);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes(seed: u64, pair in 0usize..2) {
        let spec = everything(Spread { low: 3, high: 30 }, false);
        prop_assert_eq!(timeline(&spec, seed, pair), timeline(&spec, seed, pair));
    }

    /// Deletion commutes, and what is left differs from what it was by its anchors alone.
    #[test]
    fn leaving_out_events_in_any_order_ends_in_the_same_bytes(
        seed: u64, pair in 0usize..2, order in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
    ) {
        let spec = everything(Spread::exactly(20), false);
        let whole = timeline(&spec, seed, pair);
        // Where all that a seed leaves on wants a replica, and the cluster has none, nothing is drawn.
        prop_assume!(!whole.events.is_empty());
        let gone: Vec<EventId> = order.iter().map(|i| i.get(&whole.events).id.clone()).collect();
        let forwards = gone.iter().fold(whole.clone(), |t, id| t.without(id));
        let backwards = gone.iter().rev().fold(whole.clone(), |t, id| t.without(id));
        prop_assert_eq!(forwards.hash(), backwards.hash());
        prop_assert_eq!(&forwards, &backwards);
        let distinct: BTreeSet<&EventId> = gone.iter().collect();
        prop_assert_eq!(forwards.events.len() + distinct.len(), whole.events.len());
        for event in &forwards.events {
            let before = whole.event(&event.id).expect("nothing is added");
            prop_assert_eq!(&event.action, &before.action);
            prop_assert_eq!(event.lasts, before.lasts);
            for anchor in event.anchors() {
                prop_assert!(forwards.event(anchor).is_some(), "{} hangs on nothing", event.id);
            }
            if before.anchors().iter().all(|anchor| !distinct.contains(anchor)) {
                prop_assert_eq!(event, before);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// As above, on written shapes that no seed draws: several anchors, nodes meant by another event.
    #[test]
    fn deletion_commutes_with_several_anchors_and_targets_of_events(
        shape in prop::collection::vec((0u8..4, any::<[prop::sample::Index; 3]>(), 0u64..100), 2..10),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
    ) {
        let mut whole = timeline(&everything(Spread::exactly(0), false), 1, 0);
        for (place, (kind, named, delay)) in shape.iter().enumerate() {
            let id = |index: &prop::sample::Index| EventId::from(format!("e{}", index.index(place)));
            let start = match kind {
                _ if place == 0 => Start::At(Millis(1)),
                0 => Start::At(Millis(*delay * 10)),
                1 => Start::With(id(&named[0])),
                2 => Start::After(vec![id(&named[0]), id(&named[1])]),
                _ => Start::When(Observation::NoPrimary { shard: place as u16 }),
            };
            let node = if place > 0 && *kind % 2 == 0 {
                NodeSelector::SameAs(id(&named[2]))
            } else {
                NodeSelector::Node(place as u16)
            };
            whole.events.push(Event {
                id: format!("e{place}").into(),
                start,
                delay: Millis(*delay),
                within: (*delay > 50).then_some(Millis(*delay)),
                action: Action::Pause(Pause { node }),
                lasts: None,
            });
        }
        let gone: Vec<EventId> = order.iter().map(|i| i.get(&whole.events).id.clone()).collect();
        let forwards = gone.iter().fold(whole.clone(), |t, id| t.without(id));
        let backwards = gone.iter().rev().fold(whole, |t, id| t.without(id));
        prop_assert_eq!(&forwards, &backwards);
        for event in &forwards.events {
            for anchor in event.anchors() {
                prop_assert!(forwards.event(anchor).is_some(), "{} hangs on nothing", event.id);
            }
            event.clone().for_each_node(|node| if let NodeSelector::SameAs(other) = node {
                assert!(forwards.event(other).is_some(), "{} means the node of nothing", event.id);
            });
        }
    }
}

#[test]
fn the_whole_range_of_shapes_is_reached_and_small_ones_are_favoured() {
    let spec = everything(Spread::exactly(0), false);
    let (mut shards, mut replicas, mut smallest) = (BTreeSet::new(), BTreeSet::new(), 0);
    for seed in 0..2000 {
        let cluster = timeline(&spec, seed, 0).cluster;
        shards.insert(cluster.shards);
        replicas.insert(cluster.replicas);
        smallest += u32::from(cluster.shards == 3);
    }
    assert_eq!(shards, (3..=16).collect());
    assert_eq!(replicas, (0..=2).collect());
    assert!((800..1200).contains(&smallest), "{smallest} of 2000 have three shards");
}

#[test]
fn about_half_of_the_events_are_anchored_and_most_fall_on_two_shards() {
    let spec = everything(Spread::exactly(20), false);
    let (mut anchored, mut all, mut on_two, mut on_any) = (0, 0, 0, 0);
    for seed in 0..500 {
        let drawn = timeline(&spec, seed, 0);
        let mut shards = std::collections::BTreeMap::new();
        for event in &drawn.events {
            all += 1;
            anchored += u32::from(!matches!(event.start, Start::At(_)));
            event.clone().for_each_node(|node| {
                if let Some(shard) = node.shard() {
                    *shards.entry(shard).or_insert(0) += 1;
                }
            });
        }
        let mut counts: Vec<u32> = shards.into_values().collect();
        counts.sort_unstable();
        on_any += counts.iter().sum::<u32>();
        on_two += counts.iter().rev().take(2).sum::<u32>();
    }
    assert!(on_two * 4 > on_any * 3, "{on_two} of {on_any} name one of two shards");
    assert!((40..65).contains(&(anchored * 100 / all)), "{anchored} of {all} are anchored");
}

#[test]
fn every_action_that_a_target_offers_is_drawn_by_some_seed_and_left_out_by_others() {
    let spec = everything(Spread::exactly(20), false);
    for (pair, (target, profile)) in PAIRS.iter().enumerate() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..1000 {
            let names: BTreeSet<&str> =
                timeline(&spec, seed, pair).events.iter().map(|e| e.action.name()).collect();
            for name in names {
                *counts.entry(name).or_insert(0) += 1;
            }
        }
        for info in seedfault::catalogue::ACTIONS {
            let offered = info.drawn && info.targets.contains(target) && profile.offers(info.needs);
            let count = counts.get(info.name).copied().unwrap_or(0);
            assert_eq!(count > 0, offered, "{} on {target}: {count}", info.name);
            assert!(count < 700, "{} on {target} is in {count} of 1000 seeds", info.name);
        }
    }
}

/// Judges the promise by a rule of its own: with every event at a time that is known, no instant has a majority
/// of the primaries or a whole shard down.
#[test]
fn a_timeline_that_keeps_the_quorum_never_has_too_many_down_at_an_instant() {
    let spec = everything(Spread::exactly(30), true);
    let mut harms = 0;
    for seed in 0..2000 {
        let drawn = timeline(&spec, seed, 0);
        let times = resolve(&drawn);
        let down: Vec<(u64, u64, u16, bool)> = drawn
            .events
            .iter()
            .zip(&times)
            .filter_map(|(event, start)| {
                let (node, lasts) = match &event.action {
                    Action::Kill(kill) => (&kill.node, event.lasts),
                    Action::Pause(pause) => (&pause.node, event.lasts),
                    Action::Restart(restart) => (&restart.node, Some(restart.down)),
                    _ => return None,
                };
                let end = lasts.map_or(u64::MAX, |lasts| start + lasts.0);
                let per_shard = 1 + drawn.cluster.replicas;
                Some(match node {
                    NodeSelector::Primary(shard) => (*start, end, *shard, true),
                    NodeSelector::Replica(shard, _) => (*start, end, *shard, false),
                    NodeSelector::Node(node) => (*start, end, node / per_shard, true),
                    other => panic!("{other} has no shard"),
                })
            })
            .collect();
        harms += down.len();
        for (instant, ..) in &down {
            let now: Vec<_> = down.iter().filter(|(from, to, ..)| from <= instant && instant < to).collect();
            let primaries = now.iter().filter(|(.., primary)| *primary).count();
            assert!(primaries <= usize::from(drawn.cluster.shards - 1) / 2, "seed {seed}: {now:?}");
            for shard in 0..drawn.cluster.shards {
                let members = now.iter().filter(|(_, _, s, _)| *s == shard).count();
                assert!(members <= usize::from(drawn.cluster.replicas), "seed {seed}: {now:?}");
            }
        }
    }
    assert!(harms > 1000, "only {harms} harms were drawn: nothing was shown");
}

/// A time for each event that its anchors allow: observations hold early, operations take two seconds.
fn resolve(timeline: &Timeline) -> Vec<u64> {
    let mut times: Vec<(u64, u64)> = Vec::new();
    for event in &timeline.events {
        let of = |id: &EventId| times[timeline.events.iter().position(|e| e.id == *id).expect("an anchor")];
        let start = match &event.start {
            Start::At(at) => at.0,
            Start::Forming(_) => 0,
            Start::With(anchor) => of(anchor).0,
            Start::After(anchors) => anchors.iter().map(|a| of(a).1).max().unwrap_or(0),
            Start::When(_) => timeline.seed.0 % 7 * 1000 + 500,
        } + event.delay.0;
        let length = match (&event.action, event.lasts) {
            (_, Some(lasts)) => lasts.0,
            (Action::Restart(restart), None) => restart.down.0 + 100,
            (Action::Kill(_), None) => 0,
            _ => 2000,
        };
        times.push((start, start + length));
    }
    times.into_iter().map(|(start, _)| start).collect()
}

#[test]
fn a_fault_that_no_seed_draws_by_itself_is_drawn_where_it_is_named() {
    let drawn = |from: &[&str], seed| {
        let mut spec = everything(Spread::exactly(12), true);
        let draw = spec.draw.as_mut().expect("it draws");
        draw.vocabulary = from.iter().map(|name| ((*name).to_string(), 1)).collect();
        let timeline = generate(&spec, Seed(seed), "valkey", &EXACT).expect("it is offered");
        timeline.events.iter().map(|event| event.action.name()).collect::<BTreeSet<_>>()
    };
    let (mut unasked, mut named) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..200 {
        unasked.extend(drawn(&[], seed));
        named.extend(drawn(&["power_loss", "hold"], seed));
    }
    assert!(
        unasked.len() > 10 && !unasked.contains("power_loss") && !unasked.contains("hold"),
        "{unasked:?}"
    );
    assert_eq!(named, BTreeSet::from(["hold", "power_loss"]));
}

#[test]
fn a_node_is_drawn_to_lose_its_power_only_where_it_can() {
    const WITHOUT: Profile = Profile { abilities: &[Ability::Disk], ..LIVE };
    let mut spec = everything(Spread::exactly(12), false);
    spec.draw.as_mut().expect("it draws").vocabulary = vec![("strike_at".to_string(), 1)];
    let blows = |profile| -> BTreeSet<Blow> {
        let drawn =
            (0..50).map(|seed| generate(&spec, Seed(seed), "valkey", profile).expect("it is offered"));
        let blow = |event: Event| match event.action {
            Action::StrikeAt(strike) => strike.how,
            other => unreachable!("{other:?}"),
        };
        drawn.flat_map(|timeline| timeline.events).map(blow).collect()
    };
    for offers in [&EXACT, &LIVE] {
        assert_eq!(blows(offers), Blow::ALL.iter().copied().collect());
    }
    assert_eq!(blows(&WITHOUT), BTreeSet::from([Blow::Kill, Blow::Torn, Blow::Pause]));
}
