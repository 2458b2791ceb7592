//! `slot_coverage`: every slot is served by exactly one node, as far as the cluster owes it.
//!
//! Three looks. When settled, a read of each slot through its owner must be answered, and no two live nodes may
//! claim a slot *of themselves*. In the middle of a fault a slot must have a new owner once an owed promotion is
//! past its bound (`owed`). And two live nodes that both keep claiming a slot, in most views with nothing
//! active, fail even if the cluster never settles. Where no promotion is owed, an uncovered slot is expected:
//! neither pass nor fail.

use super::facts::{Facts, SLOTS, ranges};
use super::owed::{self, Owed, Promotion};
use super::{Check, Judgement, Verdict};
use crate::env::NodeId;
use crate::run::record::{Last, Record, SlotAnswer};
use crate::run::view::ClusterView;
use crate::time::Micros;
use std::collections::BTreeMap;

crate::record! {
    pub struct SlotCoverage {
        /// every slot must have an owner
        pub full: bool = true,
        /// no slot may have two owners
        pub conflicts: bool = true,
    }
}

impl SlotCoverage {
    pub const NAME: &'static str = "slot_coverage";
}

/// What was found of each weight.
#[derive(Default)]
struct Found {
    wrong: Vec<String>,
    unclear: Vec<String>,
    expected: Vec<String>,
    expected_slots: u64,
}

/// Slots that two live nodes claim of themselves in one view, by the pair of nodes.
fn two_owners(view: &ClusterView) -> BTreeMap<(NodeId, NodeId), Vec<(u16, u16)>> {
    let mut pairs: BTreeMap<(NodeId, NodeId), Vec<(u16, u16)>> = BTreeMap::new();
    let claims: Vec<_> = view.answered().map(|(node, report)| (node, report.own_slots())).collect();
    for (index, (one, slots)) in claims.iter().enumerate() {
        for (other, others) in &claims[index + 1..] {
            for &(first, last) in *slots {
                for &(other_first, other_last) in *others {
                    let overlap = (first.max(other_first), last.min(other_last));
                    if overlap.0 <= overlap.1 {
                        pairs.entry((*one, *other)).or_default().push(overlap);
                    }
                }
            }
        }
    }
    pairs
}

/// So many views in a row must show two owners: a slot that changes hands does so between two looks at most.
const LOOKS_IN_A_ROW: usize = 3;

/// Pairs that went on claiming a common slot when nothing had been active for longer than the bound: in several
/// views in a row, and in at least half of all. Nobody needs to have settled for that, and a node that is
/// talked out of its claim now and then and takes it up again (gossip may win a few looks) keeps it up too.
fn lasting_conflicts(record: &Record, found: &mut Found) {
    // With nothing active this is no passing state: the heartbeats of one round carry the epoch that settles it.
    let bound = owed::digest(record.timeline.cluster.node_timeout());
    let tail: Vec<(Micros, BTreeMap<_, _>)> = record
        .views
        .iter()
        .chain(record.last.iter().map(|last| &last.view))
        .filter(|view| view.at > record.healed_at.plus(bound))
        .map(|view| (view.at, two_owners(view)))
        .collect();
    let pairs: BTreeMap<(NodeId, NodeId), &Vec<(u16, u16)>> =
        tail.iter().flat_map(|(_, pairs)| pairs.iter().map(|(pair, slots)| (*pair, slots))).collect();
    for (pair, slots) in pairs {
        let claimed: Vec<Micros> =
            tail.iter().filter(|(_, pairs)| pairs.contains_key(&pair)).map(|(at, _)| *at).collect();
        let in_a_row =
            tail.chunk_by(|(_, one), (_, next)| one.contains_key(&pair) == next.contains_key(&pair));
        let longest = in_a_row.filter(|run| run[0].1.contains_key(&pair)).map(<[_]>::len).max().unwrap_or(0);
        if longest >= LOOKS_IN_A_ROW && 2 * claimed.len() >= tail.len() {
            let (one, other) = pair;
            found.wrong.push(format!(
                "slots {} claimed by {one} and by {other} from {} to {}, in {} of {} looks",
                ranges(slots),
                record.when(claimed[0]),
                record.when(claimed[claimed.len() - 1]),
                claimed.len(),
                tail.len()
            ));
        }
    }
}

/// Promotions that were owed by a view in which nobody had taken the slots.
fn overdue(facts: &Facts<'_>, promotions: &[Promotion], found: &mut Found) {
    for promotion in promotions {
        let Owed::By(by) = promotion.owed else { continue };
        let outage = &promotion.outage;
        for view in facts.record.views.iter().filter(|view| view.at > by && promotion.away_at(view.at)) {
            // Only a view in which every live node answered shows that nobody has the slots.
            let silent = view.nodes.iter().any(|one| one.report.is_err() && facts.awake(one.node, view.at));
            if silent {
                continue;
            }
            let uncovered: Vec<(u16, u16)> = promotion
                .slots
                .iter()
                .filter(|(first, _)| {
                    let has = |slots: &[(u16, u16)]| slots.iter().any(|(a, b)| a <= first && first <= b);
                    !view.answered().any(|(node, report)| {
                        (node != outage.node || outage.wiped) && has(report.own_slots())
                    })
                })
                .copied()
                .collect();
            if !uncovered.is_empty() {
                found.wrong.push(format!(
                    "slots {} of {}, away since {}: a promotion was owed by {} and had not happened at {}",
                    ranges(&uncovered),
                    outage.node,
                    facts.record.when(outage.from),
                    facts.record.when(by),
                    facts.record.when(view.at)
                ));
                break;
            }
        }
    }
}

/// Why a slot that is not served may be so, judged by the node that owned it last.
fn excuse(facts: &Facts<'_>, promotions: &[Promotion], owner: Option<NodeId>, at: Micros) -> Owed {
    let Some(owner) = owner else { return Owed::By(Micros(0)) };
    let latest = promotions.iter().rev().find(|promotion| {
        promotion.outage.node == owner && promotion.away_at(at) && promotion.outage.from <= at
    });
    match latest {
        Some(promotion) => match &promotion.owed {
            Owed::By(by) if *by > at => Owed::Unclear(format!(
                "a promotion for {owner} is owed by {}, after this look",
                facts.record.when(*by)
            )),
            other => other.clone(),
        },
        None if facts.awake(owner, at) => Owed::By(Micros(0)),
        None => Owed::Unclear(format!("{owner} was not running and never seen to own slots")),
    }
}

fn majority_awake(facts: &Facts<'_>, at: Micros) -> bool {
    let (awake, owners) = facts.awake_owners(at);
    awake.len() > owners / 2
}

fn unserved(facts: &Facts<'_>, promotions: &[Promotion], last: &Last, found: &mut Found) {
    let at = last.view.at;
    let open = facts.slots_left_open();
    let owners = facts.owners_at(at);
    // First the slots that nobody owns, because with full coverage required they stop all the others.
    let (ownerless, owned): (Vec<&SlotAnswer>, Vec<&SlotAnswer>) =
        last.slots.iter().filter(|answer| answer.answer.is_err()).partition(|answer| answer.owner.is_none());
    for answer in ownerless {
        for span in owners.spans.iter().filter(|span| span.first <= answer.last && answer.first <= span.last)
        {
            let (first, end) = (span.first.max(answer.first), span.last.min(answer.last));
            let slots = ranges(&[(first, end)]);
            let was = span.owner.map_or_else(|| "nobody".to_string(), |node| node.to_string());
            match excuse(facts, promotions, span.owner, at) {
                Owed::By(_) => found.wrong.push(format!("slots {slots} have no owner (last: {was})")),
                Owed::No(why) => {
                    found.expected_slots += u64::from(end - first) + 1;
                    found.expected.push(format!("slots {slots} of {was}: {why}"));
                }
                Owed::Unclear(why) => found.unclear.push(format!("slots {slots} of {was}: {why}")),
            }
        }
    }
    let all_stopped = !majority_awake(facts, at)
        || (found.expected_slots > 0 && facts.setting("cluster-require-full-coverage") != Some("no"));
    for answer in owned {
        let slots = ranges(&[(answer.first, answer.last)]);
        let owner = answer.owner.map_or_else(String::new, |node| node.to_string());
        let error = answer.answer.as_ref().err().map_or("", String::as_str);
        if (answer.first..=answer.last).all(|slot| open.contains(&slot)) {
            continue;
        }
        let text = format!("slots {slots} of {owner}: {error}");
        if error.starts_with("CLUSTERDOWN") && all_stopped {
            found.expected_slots += u64::from(answer.last - answer.first) + 1;
            found.expected.push(text);
        } else if ["MOVED", "CLUSTERDOWN", "ASK", "MASTERDOWN"].iter().any(|word| error.starts_with(word)) {
            found.wrong.push(text);
        } else {
            found.unclear.push(text);
        }
    }
}

impl SlotCoverage {
    fn judgement(&self, facts: &Facts<'_>, mut found: Found, nothing: Option<&str>) -> Judgement {
        let looked_at = match &facts.record.last {
            Some(last) => format!(
                "{SLOTS} slots on {} nodes, {} views",
                last.view.nodes.len(),
                facts.record.views.len()
            ),
            None => format!("{} views", facts.record.views.len()),
        };
        if !self.full {
            found.wrong.retain(|line| line.contains("claimed by"));
            found.unclear.clear();
            found.expected.clear();
        }
        let mut judgement = if !found.wrong.is_empty() {
            let reason = found.wrong[0].clone();
            Judgement::new(Self::NAME, Verdict::Fail, reason).with_evidence(found.wrong)
        } else if let Some(reason) = nothing {
            Judgement::new(Self::NAME, Verdict::Unknown, reason)
        } else if !found.unclear.is_empty() {
            let reason = found.unclear[0].clone();
            Judgement::new(Self::NAME, Verdict::Unknown, reason).with_evidence(found.unclear)
        } else if !found.expected.is_empty() {
            let reason = format!("uncovered as documented: {}", found.expected[0]);
            Judgement::new(Self::NAME, Verdict::NotOwed, reason).with_evidence(found.expected)
        } else {
            Judgement::new(
                Self::NAME,
                Verdict::Pass,
                format!("all {SLOTS} slots are served by one owner each"),
            )
        };
        if found.expected_slots > 0 {
            judgement.classes.insert("slots-not-owed".into(), found.expected_slots);
        }
        judgement.looked_at(looked_at)
    }

    fn conflicts_now(last: &Last, found: &mut Found) {
        for ((one, other), slots) in two_owners(&last.view) {
            found.wrong.push(format!("slots {} claimed by {one} and by {other}", ranges(&slots)));
        }
    }

    /// Owners as the view has them, for a look that did not probe every slot.
    fn by_claims(last: &Last) -> Vec<SlotAnswer> {
        let mut answers: Vec<SlotAnswer> = Vec::new();
        let mut claims: Vec<(u16, u16, NodeId)> = last
            .view
            .answered()
            .flat_map(|(node, report)| report.own_slots().iter().map(move |&(a, b)| (a, b, node)))
            .collect();
        claims.sort_unstable();
        let mut next = 0u32;
        let none = "no node claims it";
        for (first, end, node) in claims {
            if u32::from(first) > next {
                let answer = Err(none.into());
                answers.push(SlotAnswer { first: next as u16, last: first - 1, owner: None, answer });
            }
            if u32::from(end) >= next {
                let first = first.max(next as u16);
                answers.push(SlotAnswer { first, last: end, owner: Some(node), answer: Ok(()) });
                next = u32::from(end) + 1;
            }
        }
        if next < u32::from(SLOTS) {
            let answer = Err(none.into());
            answers.push(SlotAnswer { first: next as u16, last: SLOTS - 1, owner: None, answer });
        }
        answers
    }
}

impl Check for SlotCoverage {
    fn claim(&self) -> &'static str {
        "every slot is served by exactly one node, once the promotions that are owed have had their time"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/cluster-spec, availability: a majority of primaries and a replica of each lost one"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "the group is served by exactly one leader, once the election that is owed has had its time",
            "etcd.io/docs/v3.5/op-guide/failures, 'Leader failure'; zookeeper.apache.org/doc/r3.8.0: Administrator's Guide: a majority that can talk to one another makes it available",
        ))
    }

    fn judge(&self, record: &Record) -> Judgement {
        let facts = Facts::of(record);
        let promotions = owed::promotions(&facts);
        let mut found = Found::default();
        overdue(&facts, &promotions, &mut found);
        if self.conflicts {
            lasting_conflicts(record, &mut found);
        }
        let Some(last) = &record.last else {
            return self.judgement(&facts, found, Some("nothing observed: no view after the heal"));
        };
        if last.settled_at.is_none() {
            return self.judgement(&facts, found, Some("the cluster did not settle"));
        }
        if self.conflicts {
            Self::conflicts_now(last, &mut found);
        }
        let covered: u64 = last.slots.iter().map(|one| u64::from(one.last - one.first) + 1).sum();
        if covered != u64::from(SLOTS) {
            let reason = format!("{covered} of {SLOTS} slots were asked");
            return self.judgement(&facts, found, Some(&reason));
        }
        unserved(&facts, &promotions, last, &mut found);
        self.judgement(&facts, found, None)
    }

    fn look(&self, record: &Record) -> Judgement {
        let facts = Facts::of(record);
        let promotions = owed::promotions(&facts);
        let mut found = Found::default();
        overdue(&facts, &promotions, &mut found);
        let Some(last) = &record.last else {
            return self.judgement(&facts, found, Some("nothing observed: no view"));
        };
        let unrest = facts.unrest(last.view.at).is_some();
        if self.conflicts && !unrest {
            Self::conflicts_now(last, &mut found);
        }
        let mut probed = last.clone();
        if probed.slots.is_empty() {
            probed.slots = Self::by_claims(last);
        }
        // While something is under way, an owner that lives but does not claim or answer may be in the middle of
        // its work: only an overdue promotion fails then.
        let mut now = Found::default();
        unserved(&facts, &promotions, &probed, &mut now);
        if unrest {
            now.unclear.append(&mut now.wrong);
        }
        found.wrong.append(&mut now.wrong);
        found.unclear.append(&mut now.unclear);
        found.expected.append(&mut now.expected);
        found.expected_slots = now.expected_slots;
        self.judgement(&facts, found, None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, ms};
    use super::*;

    fn check() -> SlotCoverage {
        SlotCoverage { full: true, conflicts: true }
    }
    fn judge(scene: &Scene) -> Judgement {
        check().judge(&scene.record)
    }
    /// node-0 dies at 11 s for good; `views` come each second up to 60 s.
    fn orphaned(shards: u16, replicas: u16) -> Scene {
        let mut scene = Scene::new(shards, replicas).healthy();
        scene.kill("k1", 0, 11_000, None);
        scene.run_until(60_000);
        scene.settle();
        scene
    }

    #[test]
    fn an_owed_promotion_that_never_comes_fails_in_the_middle_and_at_the_end() {
        let scene = orphaned(3, 1);
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.evidence[0].contains("a promotion was owed by"), "{judgement:?}");
        assert!(judgement.evidence[1].contains("slots 0-5460 have no owner (last: node-0)"), "{judgement:?}");
    }

    #[test]
    fn a_promotion_in_time_passes() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.kill("k1", 0, 11_000, None);
        scene.run_until(14_000);
        scene.promote(1, 0);
        scene.run_until(60_000);
        scene.settle();
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "{:?}", judge(&scene));
    }

    #[test]
    fn with_one_or_two_shards_or_without_replicas_nothing_is_owed() {
        for (shards, replicas, slots) in [(1, 1, 16384), (2, 1, 8192), (3, 0, 5461)] {
            let judgement = judge(&orphaned(shards, replicas));
            assert_eq!(judgement.verdict, Verdict::NotOwed, "{shards} shards: {judgement:?}");
            assert!(judgement.classes["slots-not-owed"] >= slots, "{judgement:?}");
        }
    }

    #[test]
    fn where_full_coverage_is_not_required_the_other_slots_must_still_answer() {
        let mut scene = Scene::new(3, 0).setting("cluster-require-full-coverage", "no").healthy();
        scene.kill("k1", 0, 11_000, None);
        scene.run_until(60_000);
        scene.settle();
        assert_eq!(judge(&scene).verdict, Verdict::NotOwed);
        scene.last().slots[1].answer = Err("CLUSTERDOWN The cluster is down".into());
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
        let mut scene = orphaned(3, 0);
        scene.last().slots[1].answer = Err("CLUSTERDOWN The cluster is down".into());
        assert_eq!(judge(&scene).verdict, Verdict::NotOwed, "full coverage is required by default");
    }

    #[test]
    fn an_unassigned_slot_of_a_live_node_fails() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.claims(0, &[(1, 5460)]);
        scene.settle();
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.reason.contains("slots 0 have no owner (last: node-0)"), "{judgement:?}");
    }

    #[test]
    fn an_owner_that_redirects_its_own_slot_fails_and_silence_is_unknown() {
        for (error, verdict) in [
            ("MOVED 0 127.0.0.1:7000", Verdict::Fail),
            ("CLUSTERDOWN Hash slot not served", Verdict::Fail),
            ("timed out", Verdict::Unknown),
            ("LOADING the dataset in memory", Verdict::Unknown),
        ] {
            let mut scene = Scene::new(3, 1).healthy();
            scene.last().slots[0].answer = Err(error.into());
            assert_eq!(judge(&scene).verdict, verdict, "{error}");
        }
    }

    #[test]
    fn a_slot_left_open_by_the_timeline_may_redirect() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.apply("r1", "reshard: {from: 0, to: 1}", 11_000, Some(12_000), &[0, 2]);
        scene.record.applied[0].slots_left_open = vec![0];
        scene.split_answer(0);
        scene.last().slots[0].answer = Err("ASK 0 127.0.0.1:7002".into());
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.record.applied[0].slots_left_open.clear();
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn two_live_claimants_fail_when_settled() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(2, 2).slots.insert(0, (7, 7));
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.reason.contains("slots 7 claimed by node-0 and by node-2"), "{judgement:?}");
        let lenient = SlotCoverage { full: true, conflicts: false };
        assert_eq!(lenient.judge(&scene.record).verdict, Verdict::Pass);
    }

    #[test]
    fn two_claimants_that_keep_it_up_fail_without_ever_settling() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.run_until(40_000);
        scene.settle();
        scene.record.healed_at = ms(15_000);
        for view in scene.record.views.iter_mut().filter(|view| view.at >= ms(20_000)) {
            Scene::member_in(view, 2, 2).slots.insert(0, (7, 7));
        }
        scene.last_member(2, 2).slots.insert(0, (7, 7));
        scene.last().settled_at = None;
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
        // One that gives in for a look and claims again has not given up.
        for view in scene.record.views.iter_mut().filter(|view| view.at >= ms(25_000)).step_by(4) {
            Scene::member_in(view, 2, 2).slots.remove(0);
        }
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
        // In every other look it has: two looks were a second apart and never in a row.
        for view in scene.record.views.iter_mut().filter(|view| view.at >= ms(20_000)).skip(1).step_by(2) {
            Scene::member_in(view, 2, 2).slots.retain(|slots| *slots != (7, 7));
        }
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
    }

    #[test]
    fn two_claimants_that_agree_in_time_do_not_fail() {
        for (from, to) in [(15_000, 24_000), (30_000, 31_500), (30_000, 34_000)] {
            let mut scene = Scene::new(3, 1).healthy();
            scene.run_until(60_000);
            scene.settle();
            scene.record.healed_at = ms(15_000);
            for view in scene.record.views.iter_mut().filter(|view| ms(from) <= view.at && view.at <= ms(to))
            {
                Scene::member_in(view, 2, 2).slots.insert(0, (7, 7));
            }
            scene.last().settled_at = None;
            assert_eq!(judge(&scene).verdict, Verdict::Unknown, "{from} to {to}");
        }
    }

    #[test]
    fn one_view_cannot_show_two_owners() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(0, 2).slots.insert(0, (7, 7));
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "node-0 says so of node-2; node-2 does not");
    }

    #[test]
    fn without_full_only_conflicts_count() {
        let lenient = SlotCoverage { full: false, conflicts: true };
        let mut scene = orphaned(3, 1);
        assert_eq!(lenient.judge(&scene.record).verdict, Verdict::Pass);
        scene.last_member(2, 2).slots.insert(0, (7, 7));
        scene.last_member(4, 4).slots.insert(0, (7, 7));
        assert_eq!(lenient.judge(&scene.record).verdict, Verdict::Fail);
    }

    #[test]
    fn unsettled_or_unasked_is_unknown() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().slots.pop();
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.last().settled_at = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.record.last = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_look_in_a_fault_fails_only_past_the_bound() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.kill("k1", 0, 11_000, None);
        scene.run_until(14_000);
        scene.settle();
        scene.last().settled_at = None;
        scene.last().slots.clear();
        assert_eq!(check().look(&scene.record).verdict, Verdict::Unknown);
        scene.run_until(60_000);
        scene.settle();
        scene.last().settled_at = None;
        scene.last().slots.clear();
        assert_eq!(check().look(&scene.record).verdict, Verdict::Fail);
    }
}
