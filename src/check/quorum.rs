//! `quorum`: a minority refuses, a majority serves.
//!
//! The majority is of the primaries that own slots; nothing else is counted. A node that cannot reach one
//! refuses writes once 1.5 node timeouts and a second have passed; before that, accepting is documented
//! (valkey.io/topics/cluster-spec, "Write safety"). For the embedded target the majority is that of the
//! shard's group, and reads go through its log too, so neither may be answered.

use super::facts::{Facts, SLOTS, names};
use super::owed;
use super::{Check, Judgement, Verdict};
use crate::catalogue::Action;
use crate::env::NodeId;
use crate::run::record::{Record, Status};
use crate::time::Micros;
use std::collections::BTreeSet;

crate::record! {
    pub struct Quorum {
        /// with a majority awake, every node must say that the cluster is `ok` at the end
        pub served: bool = true,
        /// a majority of the slot-owning primaries must be awake at the end, whatever was killed
        pub majority: bool = false,
    }
}

impl Quorum {
    pub const NAME: &'static str = "quorum";
}

/// A time in which some nodes certainly had no majority: from and to, with the nodes' names for the evidence.
struct Minority {
    from: Micros,
    to: Micros,
    /// The nodes that must refuse; all when empty.
    nodes: BTreeSet<NodeId>,
    why: String,
}

/// Times at which something began or ended.
fn moments(facts: &Facts<'_>) -> Vec<Micros> {
    let mut moments = BTreeSet::from([facts.record.healthy_at]);
    for life in &facts.record.lives {
        moments.insert(life.started);
        moments.extend(life.ended.map(|(at, _)| at));
        for (from, until) in &life.paused {
            moments.insert(*from);
            moments.extend(*until);
        }
    }
    for one in &facts.record.applied {
        moments.insert(one.started);
        moments.extend(one.ended);
    }
    moments.extend(facts.record.views.iter().map(|view| view.at));
    moments.into_iter().filter(|at| *at >= facts.record.healthy_at).collect()
}

/// Joins the moments at which a condition held into times. A time ends at the last *view* that still saw it or
/// at the last moment before anything could have ended it, so that what happened unseen is not held against
/// the cluster.
fn spells(
    moments: &[Micros],
    views: &BTreeSet<Micros>,
    holds: impl Fn(Micros) -> Option<String>,
) -> Vec<(Micros, Micros, String)> {
    let mut spells: Vec<(Micros, Micros, String)> = Vec::new();
    let mut open: Option<(Micros, Option<Micros>, String)> = None;
    for &at in moments {
        match (holds(at), &mut open) {
            (Some(why), None) => open = Some((at, None, why)),
            (Some(_), Some((_, seen, _))) if views.contains(&at) => *seen = Some(at),
            (Some(_), Some(_)) => {}
            (None, _) => {
                if let Some((from, Some(seen), why)) = open.take() {
                    spells.push((from, seen, why));
                }
            }
        }
    }
    if let Some((from, Some(seen), why)) = open {
        spells.push((from, seen, why));
    }
    spells
}

/// The nodes that whole cuts separate from all others at a moment. One-way cuts and cuts between named nodes
/// leave paths that the record does not show, so they separate nobody here.
fn separated(facts: &Facts<'_>, at: Micros) -> BTreeSet<NodeId> {
    let whole = facts.record.applied.iter().filter(|one| {
        one.started <= at
            && one.ended.is_none_or(|ended| ended > at)
            && one.status == Status::Applied
            && facts.record.timeline.event(&one.event).is_some_and(
                |event| matches!(&event.action, Action::Cut(cut) if cut.from.is_none() && !cut.one_way),
            )
    });
    whole.flat_map(|one| one.resolved.clone()).collect()
}

/// The members of a group at a moment: those that are so for certain, and with those that may be. A change takes hold at some
/// moment between its start and its end, and one that failed may have. The embedded target's groups do not change.
fn members(facts: &Facts<'_>, group: &[NodeId], at: Micros) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
    let mut surely: BTreeSet<NodeId> = group.iter().copied().collect();
    let mut perhaps = surely.clone();
    if facts.embedded() {
        return (surely, perhaps);
    }
    perhaps.extend(facts.record.lives.iter().filter(|life| life.started <= at).map(|life| life.node));
    for one in facts.record.applied.iter().filter(|one| one.started <= at) {
        let change = facts.record.timeline.event(&one.event).map(|event| &event.action);
        let removes = matches!(change, Some(Action::RemoveReplica(_) | Action::ReplaceMember(_)));
        if !removes || matches!(one.status, Status::Skipped(_)) {
            continue;
        }
        let over = one.status == Status::Applied && one.ended.is_some_and(|ended| ended <= at);
        for node in &one.resolved {
            surely.remove(node);
            if over {
                perhaps.remove(node);
            }
        }
    }
    (surely, perhaps)
}

fn minorities(facts: &Facts<'_>) -> Vec<Minority> {
    let moments = moments(facts);
    let views: BTreeSet<Micros> = facts.record.views.iter().map(|view| view.at).collect();
    if !facts.consensus() {
        let spells = spells(&moments, &views, |at| {
            let (awake, owners) = facts.awake_owners(at);
            (awake.len() + facts.ghost_owners(at) <= owners / 2)
                .then(|| format!("{} of {owners} slot-owning primaries were awake", awake.len()))
        });
        return spells
            .into_iter()
            .map(|(from, to, why)| Minority { from, to, nodes: BTreeSet::new(), why })
            .collect();
    }
    let mut minorities = Vec::new();
    for shard in 0..facts.record.timeline.cluster.shards {
        let group = facts.voters(shard);
        let spells = spells(&moments, &views, |at| {
            // Who is on the way in or out may be counted or not; only who has no majority either way has none.
            let (surely, perhaps) = members(facts, &group, at);
            let away = separated(facts, at);
            let few = |members: &BTreeSet<NodeId>| {
                let awake = || members.iter().filter(|node| facts.awake(**node, at));
                let well = awake().filter(|node| !away.contains(node)).count();
                // The separated ones may be a majority among themselves.
                let apart = awake().count() - well;
                (well * 2 <= members.len() && apart * 2 <= members.len())
                    .then(|| format!("{well} of {} members of shard {shard} were together", members.len()))
            };
            few(&perhaps).and(few(&surely))
        });
        let nodes: BTreeSet<NodeId> = facts.shard_nodes(shard).into_iter().collect();
        minorities.extend(spells.into_iter().map(|(from, to, why)| Minority {
            from,
            to,
            nodes: nodes.clone(),
            why,
        }));
    }
    minorities
}

/// Operations that a minority answered when it had to refuse.
fn answered_by_a_minority(facts: &Facts<'_>) -> (Vec<String>, usize) {
    let grace = owed::detect(facts.node_timeout());
    let minorities = minorities(facts);
    let mut found = Vec::new();
    for minority in &minorities {
        let from = minority.from.plus(grace);
        for operation in &facts.record.history {
            let answers = operation.ok() && (operation.kind.writes() || facts.consensus());
            let inside = operation.invoke.logical > from && operation.complete.logical < minority.to;
            let Some(node) = operation.node else { continue };
            if answers && inside && (minority.nodes.is_empty() || minority.nodes.contains(&node)) {
                found.push(format!(
                    "{node} acknowledged {} {} at {}: {} since {}",
                    operation.kind,
                    operation.key,
                    facts.record.when(operation.complete.logical),
                    minority.why,
                    facts.record.when(minority.from)
                ));
            }
        }
    }
    (found, minorities.len())
}

/// What each live node says of the cluster at the end.
fn at_the_end(
    check: &Quorum,
    record: &Record,
    facts: &Facts<'_>,
    found: &mut Vec<String>,
    unclear: &mut Vec<String>,
) {
    let Some(last) = &record.last else { return };
    let at = last.view.at;
    let (awake, owners) = facts.awake_owners(at);
    let majority = awake.len() > owners / 2;
    let minority = awake.len() + facts.ghost_owners(at) <= owners / 2;
    if check.majority && !majority && owners > 0 {
        found.push(format!("{} of {owners} slot-owning primaries are awake", awake.len()));
    }
    for view in last.view.nodes.iter().filter(|view| facts.awake(view.node, at)) {
        match &view.report {
            Err(why) => unclear.push(format!("{}: {why}", view.node)),
            Ok(report) => {
                let covered: u32 = last
                    .view
                    .answered()
                    .flat_map(|(_, one)| one.own_slots())
                    .map(|(a, b)| u32::from(b - a) + 1)
                    .sum();
                let full = facts.setting("cluster-require-full-coverage") != Some("no");
                // With a slot uncovered the state is `fail` by configuration; slot_coverage judges that.
                // A node that is none of the cluster's owes nothing; that it is none is what topology judges.
                let member = !last.view.is_stranger(view.node);
                let owes_ok = member && majority && (covered >= u32::from(SLOTS) || !full);
                if check.served && owes_ok && report.state != "ok" {
                    found.push(format!(
                        "{} says `{}` though {} of {owners} slot-owning primaries are awake",
                        view.node,
                        report.state,
                        awake.len(),
                    ));
                }
                if minority && report.state == "ok" && !facts.consensus() {
                    found.push(format!(
                        "{} says `ok` though only {} of {owners} slot-owning primaries are awake ({})",
                        view.node,
                        awake.len(),
                        names(&awake)
                    ));
                }
            }
        }
    }
}

impl Quorum {
    fn judgement(&self, record: &Record, settled: bool) -> Judgement {
        let facts = Facts::of(record);
        let (mut found, minorities) = answered_by_a_minority(&facts);
        let mut unclear = Vec::new();
        if settled {
            at_the_end(self, record, &facts, &mut found, &mut unclear);
        }
        let timeout_changed = facts.setting_changed("cluster-node-timeout");
        let looked_at = format!(
            "{} operations, {minorities} time(s) without a majority, {} views",
            record.history.len(),
            record.views.len() + usize::from(record.last.is_some())
        );
        let judgement = if !found.is_empty() && timeout_changed {
            Judgement::new(Self::NAME, Verdict::Unknown, "cluster-node-timeout was changed during the run")
                .with_evidence(found)
        } else if !found.is_empty() {
            Judgement::new(Self::NAME, Verdict::Fail, found[0].clone()).with_evidence(found)
        } else if record.last.is_none() {
            Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no view after the heal")
        } else if !settled {
            Judgement::new(Self::NAME, Verdict::Unknown, "the cluster did not settle")
        } else if !unclear.is_empty() {
            Judgement::new(
                Self::NAME,
                Verdict::Unknown,
                format!("{} live node(s) did not answer", unclear.len()),
            )
            .with_evidence(unclear)
        } else {
            Judgement::new(
                Self::NAME,
                Verdict::Pass,
                "no minority answered, and all nodes know which side they are on",
            )
        };
        judgement.looked_at(looked_at)
    }
}

impl Check for Quorum {
    fn claim(&self) -> &'static str {
        "without a majority of the slot-owning primaries nothing is acknowledged, and with one the cluster serves"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/cluster-spec, write safety and availability; cluster_legacy.c, clusterUpdateState"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "without a majority of its members a group acknowledges nothing and answers no linearizable read, and with one it serves",
            "etcd.io/docs/v3.5/op-guide/failures, 'Majority failure', 'Network partition'; zookeeper.apache.org/doc/r3.8.0: Administrator's Guide, 'Clustered (Multi-Server) Setup'",
        ))
    }

    fn judge(&self, record: &Record) -> Judgement {
        self.judgement(record, record.last.as_ref().is_some_and(|last| last.settled_at.is_some()))
    }

    fn look(&self, record: &Record) -> Judgement {
        let unrest = record.last.as_ref().and_then(|last| Facts::of(record).unrest(last.view.at));
        self.judgement(record, record.last.is_some() && unrest.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scene;
    use super::*;

    fn judge(scene: &Scene) -> Judgement {
        Quorum { served: true, majority: false }.judge(&scene.record)
    }
    /// Two of three primaries are dead from 11 s; views up to 30 s; nobody has replicas.
    fn minority() -> Scene {
        let mut scene = Scene::new(3, 0).healthy();
        scene.kill("k1", 0, 11_000, None);
        scene.kill("k2", 1, 11_000, None);
        scene.run_until(30_000);
        scene.state(2, "fail");
        scene.settle();
        scene
    }

    #[test]
    fn a_minority_that_refuses_passes() {
        assert_eq!(judge(&minority()).verdict, Verdict::Pass, "{:?}", judge(&minority()));
    }

    #[test]
    fn a_minority_may_accept_until_it_can_know_and_not_longer() {
        // Detection at a timeout of 1 s: 2.5 s after 11 s.
        for (at, verdict) in [(13_000, Verdict::Pass), (13_499, Verdict::Pass), (13_600, Verdict::Fail)] {
            let mut scene = minority();
            scene.set(2, "r:9", "v1", at);
            assert_eq!(judge(&scene).verdict, verdict, "{at}");
        }
        let mut scene = minority();
        scene.get(2, "r:9", None, 14_000);
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "a read is not a write");
    }

    /// A group of five, of which two go for good at 11 s and a third is cut off from 12 to 22 s. Somebody writes at 20 s.
    fn group_of_five(remove: bool) -> Scene {
        let mut scene = Scene::new(1, 4).target("etcd").healthy();
        for (node, id) in [(1, "e1"), (3, "e2")] {
            if remove {
                scene.apply(id, "remove_replica: {shard: 0}", 11_000, Some(16_000), &[node]);
                scene.life(node).ended = Some((Micros(16_000_000), crate::env::Exit::Signal(15)));
            } else {
                scene.kill(id, node, 11_000, None);
            }
        }
        scene.apply("e3", "cut: {node: node-2}", 12_000, Some(22_000), &[2]);
        scene.set(0, "r:9", "v1", 20_000);
        scene.run_until(30_000);
        scene.settle();
        scene
    }

    #[test]
    fn who_was_removed_is_no_member_and_who_was_killed_is() {
        let of = |remove| answered_by_a_minority(&Facts::of(&group_of_five(remove).record)).0;
        assert_eq!(of(true), Vec::<String>::new(), "two of the three that are left are together");
        assert!(
            of(false).iter().any(|found| found.contains("2 of 5 members of shard 0 were together")),
            "{:?}",
            of(false)
        );
    }

    #[test]
    fn an_answer_after_the_last_view_without_a_majority_proves_nothing() {
        let mut scene = minority();
        scene.set(2, "r:9", "v1", 31_000);
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
    }

    #[test]
    fn a_ghost_is_neither_awake_nor_away_and_nobody_once_it_is_forgotten() {
        for (shards, forgotten, state, verdict) in [
            (2, false, "ok", Verdict::Pass),
            (2, false, "fail", Verdict::Pass),
            (2, true, "ok", Verdict::Pass),
            (3, true, "fail", Verdict::Fail),
        ] {
            let mut scene = Scene::new(shards, 0).healthy();
            scene.kill("k1", 0, 11_000, None);
            scene.start(0, 11_300, Some("wiped"));
            scene.stranger(0);
            if forgotten {
                scene.forgotten(0);
            }
            scene.run_until(30_000);
            scene.state(0, "fail");
            scene.state(1, state);
            scene.set(1, "r:9", "v1", 20_000);
            scene.settle();
            // Its own state is what a lone node without slots says: it owes nothing. Without full coverage
            // required the other has no excuse but the ghost.
            let scene = scene.setting("cluster-require-full-coverage", "no");
            assert_eq!(judge(&scene).verdict, verdict, "{forgotten}, {state}: {:?}", judge(&scene));
        }
    }

    #[test]
    fn a_minority_that_calls_itself_ok_fails() {
        let mut scene = minority();
        scene.last_report(2).state = "ok".into();
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn a_majority_that_refuses_to_serve_fails() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_report(3).state = "fail".into();
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.reason.contains("node-3 says `fail`"));
    }

    #[test]
    fn a_scenario_may_ask_for_a_majority_or_put_up_with_a_state() {
        let asks = Quorum { served: true, majority: true };
        assert_eq!(asks.judge(&minority().record).verdict, Verdict::Fail);
        let mut scene = Scene::new(3, 1).healthy();
        assert_eq!(asks.judge(&scene.record).verdict, Verdict::Pass);
        scene.last_report(3).state = "fail".into();
        assert_eq!(Quorum { served: false, majority: true }.judge(&scene.record).verdict, Verdict::Pass);
    }

    #[test]
    fn an_uncovered_slot_excuses_the_state_unless_coverage_is_not_required() {
        let mut scene = Scene::new(3, 0).healthy();
        scene.kill("k1", 0, 11_000, None);
        scene.run_until(30_000);
        scene.state(1, "fail");
        scene.state(2, "fail");
        scene.settle();
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        let scene = scene.setting("cluster-require-full-coverage", "no");
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn a_silent_live_node_is_unknown() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.silence(3);
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.last().settled_at = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
    }

    #[test]
    fn the_embedded_shard_needs_a_majority_of_its_own_group_for_reads_too() {
        let mut scene = Scene::new(3, 2).target("embedded").healthy();
        scene.kill("k1", 0, 11_000, None);
        scene.kill("k2", 1, 11_000, None);
        scene.run_until(30_000);
        scene.settle();
        scene.get(3, "r:9", None, 20_000);
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "another shard has its majority");
        scene.get(2, "r:9", None, 21_000);
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn a_whole_cut_takes_the_majority_and_a_one_way_cut_does_not() {
        for (cut, verdict) in
            [("cut: {node: all}", Verdict::Fail), ("cut: {node: all, one_way: true}", Verdict::Pass)]
        {
            let mut scene = Scene::new(3, 2).target("embedded").healthy();
            scene.apply("c1", cut, 11_000, Some(28_000), &[0]);
            scene.kill("k1", 1, 11_000, None);
            scene.run_until(30_000);
            scene.settle();
            scene.set(2, "r:9", "v1", 20_000);
            assert_eq!(judge(&scene).verdict, verdict, "{cut}");
        }
    }
}
