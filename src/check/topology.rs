//! `topology`: once settled, the cluster has the shape that the timeline left it in.
//!
//! Judged per live node's view: the members are exactly the nodes that belong, each slot has one owner,
//! replicas follow primaries and claim nothing, a primary replicates nobody, and no slot is open that the timeline
//! did not leave open. How many replicas a shard has is judged only with `cluster-allow-replica-migration no`: with it on, spare
//! replicas move to orphans and drained nodes follow their slots.

use super::facts::{Facts, names, skipped};
use super::{Check, Judgement, Verdict};
use crate::env::NodeId;
use crate::run::record::{Applied, Last, Record};
use crate::run::view::{ClusterView, NodeReport};
use crate::timeline::Role;
use std::collections::{BTreeMap, BTreeSet};

crate::record! {
    pub struct Topology {
    }
}

impl Topology {
    pub const NAME: &'static str = "topology";
}

fn in_one_view(facts: &Facts<'_>, last: &Last, teller: NodeId, report: &NodeReport, found: &mut Vec<String>) {
    let live: BTreeMap<&str, NodeId> =
        last.view.answered().map(|(node, report)| (report.id.as_str(), node)).collect();
    let belongs: BTreeSet<NodeId> = facts.record.lives.iter().map(|life| life.node).collect();
    for member in &report.members {
        let name = member.node.map_or_else(|| member.id.clone(), |node| node.to_string());
        let gone = member.node.is_some_and(|node| last.removed.contains(&node));
        if gone {
            found.push(format!("{teller} still lists {name}, which was removed"));
        } else if !live.contains_key(member.id.as_str()) && !member.fail && !member.maybe_fail {
            // A dead member of the cluster is known as failed; anything else is a stranger or a ghost.
            let dead = member.node.is_some_and(|node| {
                belongs.contains(&node)
                    && (!facts.awake(node, last.view.at) || last.view.report(node).is_none())
            });
            if !dead {
                found.push(format!("{teller} lists {name}, which is none of the cluster's nodes"));
            }
        }
        if member.role == Role::Replica {
            if !member.slots.is_empty() {
                found.push(format!("{teller} gives slots to {name}, a replica"));
            }
            let primary =
                report.members.iter().find(|other| Some(other.id.as_str()) == member.primary.as_deref());
            if primary.is_some_and(|primary| primary.role == Role::Replica)
                && live.contains_key(member.id.as_str())
            {
                found.push(format!("{teller} has {name} as the replica of a replica"));
            }
        }
    }
    for (id, node) in &live {
        if !last.removed.contains(node) && !report.members.iter().any(|member| member.id == **id) {
            found.push(format!("{teller} does not list {node}"));
        }
    }
    let mut claims: Vec<(u16, u16, &str)> = report
        .members
        .iter()
        .filter(|member| member.role == Role::Primary)
        .flat_map(|member| member.slots.iter().map(|&(first, last)| (first, last, member.id.as_str())))
        .collect();
    claims.sort_unstable();
    for pair in claims.windows(2) {
        if pair[1].0 <= pair[0].1 {
            found.push(format!("{teller} gives slot {} to {} and to {}", pair[1].0, pair[0].2, pair[1].2));
        }
    }
}

/// A node that is a primary by the cluster and replicates another one all the same: it answers for itself and holds
/// what that one holds. A server sets both at once, so that they "shouldn't ever diverge" (valkey-io/valkey#2460, #2513).
/// The other way round, a replica that follows no stream, is for `replica_sync` to judge.
fn two_roles(teller: NodeId, report: &NodeReport) -> Option<String> {
    let me = report.myself()?;
    (me.role == Role::Primary && report.replication.role == Role::Replica)
        .then(|| format!("{teller} is a primary in the cluster and replicates another node all the same"))
}

/// Slots that a primary holds open and the timeline did not leave open. What a replica holds open is counted:
/// Valkey 8 replicates `SETSLOT` so that a replica can take a migration over, and one that missed the last step
/// keeps the mark. It decides nothing while its node owns no slot.
fn open_slots(facts: &Facts<'_>, teller: NodeId, report: &NodeReport, found: &mut Vec<String>) -> u64 {
    let planned = facts.slots_left_open();
    let Some(me) = report.myself() else { return 0 };
    let mut on_replica = 0;
    for (what, open) in [("migrating", &me.migrating), ("importing", &me.importing)] {
        for (slot, _) in open.iter().filter(|(slot, _)| !planned.contains(slot)) {
            if me.role == Role::Replica {
                on_replica += 1;
            } else {
                found.push(format!("{teller} has slot {slot} open ({what})"));
            }
        }
    }
    on_replica
}

/// Whether, when this node was first seen without the slots that it had, another one of its shard had just those.
fn replaced_as_it_was(facts: &Facts<'_>, shard: u16, node: NodeId) -> bool {
    fn own(view: &ClusterView, node: NodeId) -> Option<&[(u16, u16)]> {
        view.report(node).map(NodeReport::own_slots)
    }
    let views = &facts.record.views;
    let had = views.iter().rposition(|view| own(view, node).is_some_and(|slots| !slots.is_empty()));
    let lost =
        had.and_then(|had| views[had..].iter().find(|view| own(view, node).is_some_and(<[_]>::is_empty)));
    let (Some(had), Some(lost)) = (had, lost) else { return false };
    let mut others = facts.shard_nodes(shard).into_iter().filter(|other| *other != node);
    others.any(|other| own(lost, other) == own(&views[had], node))
}

/// With migration off a shard is the nodes that began in it: one primary, the rest its replicas. Answers how many
/// primaries were left without slots as well.
///
/// A primary that was away while its shard went on, and gave slots to another shard or took some, finds that nobody has
/// just what it claims: it loses all of it and follows no one (valkey.conf, "cluster-allow-replica-migration": with `no`
/// a primary that became empty stays what it is; `clusterUpdateSlotsConfigWith` makes an exception for a successor with
/// the same slots and no others). So it is owed where one came back to the same slots.
fn shard_counts(facts: &Facts<'_>, last: &Last) -> (Vec<String>, u64) {
    let mut emptied = 0;
    let reshaped = facts.record.applied.iter().any(|applied| {
        !skipped(applied)
            && matches!(
                applied.action.as_str(),
                "drain" | "scale_in" | "scale_out" | "forget_and_meet" | "move_replica" | "admin"
            )
    });
    let wiped = facts.record.lives.iter().any(|life| life.stale.as_deref() == Some("wiped"));
    if facts.migration() || facts.consensus() || reshaped || wiped {
        return (Vec::new(), emptied);
    }
    let moved = |shard: u16| {
        let nodes = facts.shard_nodes(shard);
        let of_it = |applied: &Applied| applied.resolved.iter().any(|node| nodes.contains(node));
        facts.record.applied.iter().any(|one| one.action == "reshard" && !skipped(one) && of_it(one))
    };
    let mut found = Vec::new();
    for shard in 0..facts.record.timeline.cluster.shards {
        let live: Vec<(NodeId, &NodeReport)> = facts
            .shard_nodes(shard)
            .into_iter()
            .filter_map(|node| Some((node, last.view.report(node)?)))
            .collect();
        let primaries: Vec<NodeId> =
            live.iter().filter(|(_, report)| !report.own_slots().is_empty()).map(|(node, _)| *node).collect();
        let [primary] = primaries[..] else {
            if !live.is_empty() && primaries.len() > 1 {
                found.push(format!("shard {shard} has {} primaries: {}", primaries.len(), names(&primaries)));
            }
            continue;
        };
        let id = last.view.report(primary).map(|report| report.id.as_str());
        for (node, report) in live.iter().filter(|(node, _)| *node != primary) {
            let me = report.myself();
            if me.is_some_and(|me| me.role == Role::Primary && me.slots.is_empty())
                && moved(shard)
                && !replaced_as_it_was(facts, shard, *node)
            {
                emptied += 1;
            } else if me.and_then(|me| me.primary.as_deref()) != id {
                found.push(format!("{node} of shard {shard} does not follow {primary}"));
            }
        }
    }
    (found, emptied)
}

impl Topology {
    fn settled(record: &Record) -> Judgement {
        let Some(last) = &record.last else {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no view after the heal");
        };
        let facts = Facts::of(record);
        let mut found = Vec::new();
        let (mut answered, mut on_replicas) = (0, 0);
        for (teller, report) in last.view.answered().filter(|(node, _)| !last.removed.contains(node)) {
            answered += 1;
            in_one_view(&facts, last, teller, report, &mut found);
            found.extend(two_roles(teller, report));
            on_replicas += open_slots(&facts, teller, report, &mut found);
        }
        let (misplaced, emptied) = shard_counts(&facts, last);
        found.extend(misplaced);
        let silent: Vec<NodeId> = last
            .view
            .nodes
            .iter()
            .filter(|view| view.report.is_err() && facts.awake(view.node, last.view.at))
            .filter(|view| !last.removed.contains(&view.node))
            .map(|view| view.node)
            .collect();
        let mut judgement = if !found.is_empty() {
            Judgement::new(Self::NAME, Verdict::Fail, format!("{} thing(s) out of place", found.len()))
                .with_evidence(found)
        } else if answered == 0 {
            Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no node answered")
        } else if !silent.is_empty() {
            let reason = format!("live nodes did not answer: {}", names(&silent));
            Judgement::new(Self::NAME, Verdict::Unknown, reason)
        } else {
            Judgement::new(Self::NAME, Verdict::Pass, "members, roles and slots are as they should be")
        };
        if on_replicas > 0 {
            judgement.classes.insert("open-slot-mark-kept-by-a-replica".into(), on_replicas);
        }
        if emptied > 0 {
            judgement.classes.insert("primary-left-without-slots".into(), emptied);
        }
        judgement.looked_at(format!("{answered} views of {} nodes", last.view.nodes.len()))
    }
}

impl Check for Topology {
    fn claim(&self) -> &'static str {
        "once settled, members, roles and open slots are exactly those that the timeline left"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/cluster-spec and cluster-forget, cluster-replicate, cluster-setslot"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "once settled, the members and their votes are exactly those that the timeline left",
            "etcd.io/docs/v3.5/op-guide/runtime-configuration; zookeeper.apache.org/doc/r3.8.0: 'ZooKeeper Dynamic Reconfiguration'",
        ))
    }

    fn judge(&self, record: &Record) -> Judgement {
        if record.last.as_ref().is_some_and(|last| last.settled_at.is_none()) {
            return Judgement::new(Self::NAME, Verdict::Unknown, "the cluster did not settle");
        }
        Self::settled(record)
    }

    fn look(&self, record: &Record) -> Judgement {
        let mut judgement = Self::settled(record);
        let unrest = record.last.as_ref().and_then(|last| Facts::of(record).unrest(last.view.at));
        if let (Verdict::Fail, Some(why)) = (judgement.verdict, unrest) {
            judgement.verdict = Verdict::Unknown;
            judgement.reason = format!("{}, but {why}", judgement.reason);
        }
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, node_id};
    use super::*;
    use crate::run::view::Member;

    fn judge(scene: &Scene) -> Judgement {
        Topology {}.judge(&scene.record)
    }
    fn fails_with(scene: &Scene, text: &str) {
        let judgement = judge(scene);
        assert_eq!(judgement.verdict, Verdict::Fail, "{judgement:?}");
        assert!(judgement.evidence.iter().any(|line| line.contains(text)), "{judgement:?}");
    }

    #[test]
    fn a_stranger_a_removed_node_and_a_missing_one_are_found() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(0, 5).id = "f".repeat(40);
        scene.last_member(0, 5).node = None;
        fails_with(&scene, "none of the cluster's nodes");
        fails_with(&scene, "node-0 does not list node-5");
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().removed = vec![NodeId(5)];
        fails_with(&scene, "still lists node-5, which was removed");
    }

    #[test]
    fn a_dead_node_may_be_listed() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.kill("k1", 5, 10_000, None);
        scene.silence(5);
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
    }

    #[test]
    fn a_replica_of_a_replica_and_a_replica_with_slots_are_found() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(0, 5).primary = Some(node_id(3));
        fails_with(&scene, "node-5 as the replica of a replica");
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(2, 5).slots = vec![(3, 3)];
        fails_with(&scene, "gives slots to node-5, a replica");
    }

    #[test]
    fn a_primary_that_replicates_another_node_is_found() {
        let mut scene = Scene::new(3, 1).healthy();
        assert_eq!(scene.last_report(1).replication.role, Role::Replica);
        let me = scene.last_member(1, 1);
        (me.role, me.primary) = (Role::Primary, None);
        fails_with(&scene, "node-1 is a primary in the cluster and replicates another node");
        scene.last_report(1).replication.role = Role::Primary;
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "a primary without slots replicates nobody");
    }

    #[test]
    fn two_owners_in_one_view_are_found() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(0, 2).slots.insert(0, (7, 7));
        fails_with(&scene, "node-0 gives slot 7");
    }

    #[test]
    fn an_open_slot_is_found_unless_the_timeline_left_it_open() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(0, 0).migrating = vec![(7, node_id(2))];
        fails_with(&scene, "node-0 has slot 7 open (migrating)");
        scene.apply("r1", "reshard: {from: 0, to: 1}", 11_000, Some(12_000), &[0, 2]);
        scene.record.applied[0].slots = vec![6, 7];
        fails_with(&scene, "slot 7 open");
        scene.record.applied[0].slots_left_open = vec![7];
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.last_member(2, 2).importing = vec![(8, node_id(0))];
        fails_with(&scene, "node-2 has slot 8 open (importing)");
    }

    #[test]
    fn an_open_slot_on_a_replica_is_counted() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(1, 1).migrating = vec![(7, node_id(2))];
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        assert_eq!(judgement.classes.get("open-slot-mark-kept-by-a-replica"), Some(&1));
    }

    #[test]
    fn who_follows_whom_is_judged_with_migration_off_only() {
        let mut scene = Scene::new(3, 1).healthy();
        for node in 0..6 {
            scene.last_member(node, 1).primary = Some(node_id(2));
        }
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "replicas may move to orphans");
        scene = scene.setting("cluster-allow-replica-migration", "no");
        fails_with(&scene, "node-1 of shard 0 does not follow node-0");
        scene.apply("d1", "drain: {shard: 0, to: 1}", 11_000, Some(12_000), &[0]);
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "a drain reshapes the shards");
    }

    /// Node 1 has replaced node 0 and was away itself while node 0 took over again, now with these slots; it comes back
    /// and finds nothing of what it had.
    fn emptied(slots: &[(u16, u16)], reshard: (&str, &[u16])) -> Scene {
        let mut scene = Scene::new(3, 1).setting("cluster-allow-replica-migration", "no").healthy();
        let alone = |member: &mut Member, slots: &[(u16, u16)]| {
            (member.role, member.primary, member.slots) = (Role::Primary, None, slots.to_vec());
        };
        let at_first = scene.record.views.len() - 2;
        for view in at_first..=at_first + 1 {
            let away = view == at_first;
            for member in &mut scene.report(view, 1).members {
                match member.node {
                    Some(NodeId(1)) => alone(member, if away { &[(0, 5460)] } else { &[] }),
                    Some(NodeId(0)) => alone(member, if away { &[] } else { slots }),
                    _ => {}
                }
            }
            for member in &mut scene.report(view, 0).members {
                if member.node == Some(NodeId(0)) {
                    alone(member, slots);
                }
            }
        }
        for node in 0..6 {
            alone(scene.last_member(node, 1), &[]);
        }
        scene.last_report(1).replication.role = Role::Primary;
        let (what, nodes) = reshard;
        scene.apply("r1", what, 7_000, Some(7_500), nodes);
        scene
    }

    #[test]
    fn a_primary_may_stay_without_slots_where_its_shard_gave_some_away_or_took_some() {
        let away: (&str, &[u16]) = ("reshard: {from: 0, to: 1}", &[0, 2]);
        let here: (&str, &[u16]) = ("reshard: {from: 1, to: 0}", &[2, 0]);
        for (slots, reshard) in [(vec![(1, 5460)], away), (vec![(0, 5461)], here)] {
            let scene = emptied(&slots, reshard);
            let judgement = judge(&scene);
            assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
            assert_eq!(judgement.classes.get("primary-left-without-slots"), Some(&1), "{judgement:?}");
        }
        let elsewhere: (&str, &[u16]) = ("reshard: {from: 1, to: 2}", &[2, 4]);
        fails_with(&emptied(&[(1, 5460)], elsewhere), "node-1 of shard 0 does not follow node-0");
    }

    #[test]
    fn a_primary_that_was_replaced_with_just_its_slots_has_to_follow() {
        for reshard in ["reshard: {from: 0, to: 1}", "reshard: {from: 1, to: 0}"] {
            let scene = emptied(&[(0, 5460)], (reshard, &[0, 2]));
            fails_with(&scene, "node-1 of shard 0 does not follow node-0");
        }
    }

    #[test]
    fn two_primaries_of_a_shard_are_found_with_migration_off() {
        let mut scene = Scene::new(3, 1).setting("cluster-allow-replica-migration", "no").healthy();
        for node in 0..6 {
            scene.last_member(node, 0).slots = vec![(1, 5460)];
            let other = scene.last_member(node, 1);
            (other.role, other.primary, other.slots) = (Role::Primary, None, vec![(0, 0)]);
        }
        fails_with(&scene, "shard 0 has 2 primaries");
    }

    #[test]
    fn a_silent_live_node_or_an_unsettled_cluster_is_unknown() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.silence(3);
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(0, 2).slots.insert(0, (7, 7));
        scene.last().settled_at = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        assert_eq!(Topology {}.look(&scene.record).verdict, Verdict::Fail, "nothing has happened for long");
        scene.apply("f1", "failover: {shard: 0}", 11_000, Some(11_500), &[0]);
        assert_eq!(Topology {}.look(&scene.record).verdict, Verdict::Unknown);
        scene.record.last = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
    }
}
