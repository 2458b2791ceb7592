//! `view_agreement`: once settled, all live nodes tell the same story.
//!
//! Compared are identity, role, primary, slots, FAIL and configuration epoch of every member. Ping and pong
//! times, link states, `fail?`, `myself` and counters differ by nature and are not looked at. A replica shows
//! its primary's epoch, so only primaries' epochs are compared. Of a dead node, who joined after its death
//! knows nothing (gossip about unknown nodes is believed only once they answer): a missing entry of a dead
//! node is counted, not failed. Nor does it know a dead node's slots: see `slots_unheard`.

use super::facts::{Facts, ranges, skipped};
use super::{Check, Judgement, Verdict};
use crate::env::NodeId;
use crate::run::record::{Record, Status};
use crate::run::view::Member;
use crate::time::Micros;
use crate::timeline::Role;
use std::collections::{BTreeMap, BTreeSet};

crate::record! {
    pub struct ViewAgreement {
    }
}

impl ViewAgreement {
    pub const NAME: &'static str = "view_agreement";
}

/// What one node says about one member, as far as it is compared. Of a slot that the timeline left open nothing
/// is: who imports it changes its owner on `SETSLOT` alone, whatever the others gossip (valkey 8.0.1,
/// `clusterUpdateSlotsConfigWith` in `cluster_legacy.c`).
fn story(member: &Member, live: bool, open: &BTreeSet<u16>) -> String {
    let told = |failed: bool| if failed { ", FAIL" } else { "" };
    let slots = ranges(&without(&member.slots, open));
    if !live {
        return format!("slots {slots}{}", told(member.known_as_failed()));
    }
    let fail = told(member.fail);
    let role = match (member.role, &member.primary) {
        (Role::Primary, _) => format!("primary of epoch {}", member.config_epoch),
        (Role::Replica, Some(primary)) => format!("replica of {primary}"),
        (Role::Replica, None) => "replica of nobody".into(),
    };
    format!("{role}, slots {slots}{fail}")
}

/// These ranges of slots but for some.
fn without(slots: &[(u16, u16)], open: &BTreeSet<u16>) -> Vec<(u16, u16)> {
    let mut left = Vec::new();
    for &(first, last) in slots {
        let mut from = first;
        for &slot in open.range(first..=last) {
            if from < slot {
                left.push((from, slot - 1));
            }
            from = slot + 1;
        }
        if from <= last {
            left.push((from, last));
        }
    }
    left
}

/// The nodes that the timeline threw out of the cluster. After `CLUSTER RESET` a node knows nobody, and nobody
/// lets it in again but by `MEET` (valkey.io/commands/cluster-reset); `CLUSTER FORGET` names a node that those
/// who were told, and in valkey 8 all whom gossip tells, no longer know (valkey.io/commands/cluster-forget).
fn outcasts(record: &Record) -> BTreeSet<NodeId> {
    let admin = record.applied.iter().filter(|applied| applied.action == "admin" && !skipped(applied));
    admin
        .filter_map(|applied| {
            if applied.detail.contains("CLUSTER RESET") {
                applied.resolved.first().copied()
            } else if applied.detail.contains("CLUSTER FORGET") {
                applied.resolved.get(1).copied()
            } else {
                None
            }
        })
        .collect()
}

/// The slots that the timeline took from their owner's own view. `CLUSTER DELSLOTSRANGE` lets one node forget who has a slot; its
/// owner's messages bind it again (valkey.io/commands/cluster-delslots), but where that node is the owner nobody claims it
/// any more, and who does not claim a slot takes it from nobody's view (`clusterUpdateSlotsConfigWith` in cluster.c).
fn unbound(record: &Record) -> BTreeSet<u16> {
    let applied = record.applied.iter().filter(|one| one.action == "admin" && one.status == Status::Applied);
    let ranges = applied.filter_map(|one| {
        let (_, range) = one.detail.split_once("CLUSTER DELSLOTSRANGE ")?;
        let (first, last) = range.split_once(' ')?;
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    });
    ranges.flatten().collect()
}

/// When an operation that brings a node in saw it known to all. Up to then some may not have sent it a message.
fn known_to_all(record: &Record, node: NodeId) -> Option<Micros> {
    let met = format!("{node} was met by ");
    let steps = record.applied.iter().flat_map(|applied| &applied.steps);
    steps.filter(|(_, step)| step.starts_with(&met)).map(|(at, _)| *at).max()
}

/// For each teller, the slots that somebody gives to nodes that were dead before it began without what it had known: it
/// joined, or came back wiped, with an older copy or with another's data. One that joins begins when it is met, not when its
/// process does: of who died before it was known to all, it shows whether it ever took a message, for that would
/// have told it the epoch as well. Which slots a node has stands in the header of
/// its own messages alone (`clusterProcessPacket`; `clusterMsgDataGossip` has none), and an UPDATE goes to who claims a slot,
/// not to who lacks one: of the dead nobody can tell, and who had such a slot in the older copy has it still.
fn slots_unheard(record: &Record) -> BTreeMap<NodeId, BTreeSet<u16>> {
    let mut unheard: BTreeMap<NodeId, BTreeSet<u16>> = BTreeMap::new();
    let Some(last) = &record.last else { return unheard };
    let lives = |node: NodeId| record.lives.iter().filter(move |life| life.node == node);
    let dead = last.view.nodes.iter().filter_map(|view| {
        let (ended, _) = lives(view.node).max_by_key(|life| life.incarnation)?.ended?;
        Some((view.node, ended))
    });
    let dead: Vec<(NodeId, Micros)> = dead.collect();
    let members = || last.view.answered().flat_map(|(_, report)| &report.members);
    for (teller, report) in last.view.answered() {
        // Who comes back empty has kept its `nodes.conf`.
        let knew_less = lives(teller).filter(|life| {
            life.incarnation == 1 || life.stale.as_deref().is_some_and(|stale| stale != "empty")
        });
        let Some(began) = knew_less.map(|life| life.started).max() else { continue };
        let met = known_to_all(record, teller);
        let never_heard = |node: NodeId| {
            let entry = report.members.iter().find(|member| member.node == Some(node));
            entry.is_some_and(|member| member.config_epoch == 0)
        };
        let unheard_of = |(node, ended): &&(NodeId, Micros)| {
            *ended <= began || (met.is_some_and(|met| *ended <= met) && never_heard(*node))
        };
        for (node, _) in dead.iter().filter(unheard_of) {
            let its = members().filter(|member| member.node == Some(*node));
            let slots = its.flat_map(|member| &member.slots).flat_map(|(first, last)| *first..=*last);
            unheard.entry(teller).or_default().extend(slots);
        }
    }
    unheard
}

/// What differs, and what was counted instead.
#[derive(Default)]
struct Differences {
    found: Vec<String>,
    /// Dead nodes that not all listed.
    unlisted: u64,
    /// Entries that differ by the slots of dead nodes alone, with who could not hear of them.
    unheard: u64,
}

/// The stories about one member, each with who tells it. Of the slots that a teller could not hear of, it is taken to say what
/// the others say.
fn versions(
    told: &[(NodeId, &Member)],
    live: bool,
    open: &BTreeSet<u16>,
    unheard: &BTreeMap<NodeId, BTreeSet<u16>>,
) -> (BTreeMap<String, Vec<NodeId>>, u64) {
    let mut versions: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    let mut excused = 0;
    for (teller, member) in told {
        let mut said = story(member, live, open);
        if let Some(slots) = unheard.get(teller) {
            let apart = open | slots;
            let own = story(member, live, &apart);
            let mut others = told.iter().filter(|(other, _)| !unheard.contains_key(other));
            if let Some((_, like)) = others.find(|(_, other)| story(other, live, &apart) == own) {
                let theirs = story(like, live, open);
                excused += u64::from(theirs != said);
                said = theirs;
            }
        }
        versions.entry(said).or_default().push(*teller);
    }
    (versions, excused)
}

/// Everything on which the answers of the last view differ.
fn differences(record: &Record, open: &BTreeSet<u16>) -> Differences {
    let Some(last) = &record.last else { return Differences::default() };
    let outcasts = outcasts(record);
    let ids: BTreeMap<&str, NodeId> =
        last.view.answered().map(|(node, report)| (report.id.as_str(), node)).collect();
    let unheard = slots_unheard(record);
    let mut stories: BTreeMap<&str, Vec<(NodeId, &Member)>> = BTreeMap::new();
    let mut found = Vec::new();
    let mut tellers = 0;
    for (teller, report) in last.view.answered().filter(|(teller, _)| !outcasts.contains(teller)) {
        tellers += 1;
        for member in &report.members {
            let about = ids.get(member.id.as_str());
            // A hard reset changes the id: the old one stays behind at nodes that had it.
            let cast_out = member.node.is_some_and(|node| outcasts.contains(&node))
                || about.is_some_and(|node| outcasts.contains(node))
                || (about.is_none() && member.noaddr && !outcasts.is_empty());
            if cast_out {
                continue;
            }
            let name = about.map_or_else(|| member.id.clone(), ToString::to_string);
            if member.handshake {
                found.push(format!("{teller} is still shaking hands with {name}"));
            }
            if member.noaddr {
                found.push(format!("{teller} has no address of {name}"));
            }
            stories.entry(&member.id).or_default().push((teller, member));
        }
        for (id, node) in ids.iter().filter(|(_, node)| !outcasts.contains(node)) {
            if !report.members.iter().any(|member| member.id == **id) {
                found.push(format!("{teller} does not know {node}"));
            }
        }
    }
    let mut differences = Differences { found, ..Differences::default() };
    for (id, told) in &stories {
        let (versions, excused) = versions(told, ids.contains_key(id), open, &unheard);
        differences.unheard += excused;
        let name = ids.get(id).map_or_else(|| (*id).to_string(), ToString::to_string);
        if versions.len() > 1 {
            let told: Vec<String> = versions
                .iter()
                .map(|(story, tellers)| format!("{} say `{story}`", super::facts::names(tellers)))
                .collect();
            differences.found.push(format!("about {name}: {}", told.join("; ")));
        }
        if !ids.contains_key(id) && versions.values().map(Vec::len).sum::<usize>() < tellers {
            differences.unlisted += 1;
        }
    }
    differences
}

/// Live primaries that lost all their slots though nothing but a failover took them. A drained primary, a node
/// that was added and one that came back without its identity have none by right.
fn slotless(facts: &Facts<'_>) -> Vec<String> {
    let record = facts.record;
    let Some(last) = &record.last else { return Vec::new() };
    let moved: BTreeSet<NodeId> = record
        .applied
        .iter()
        .filter(|applied| {
            !skipped(applied)
                && matches!(
                    applied.action.as_str(),
                    "drain"
                        | "reshard"
                        | "scale_in"
                        | "scale_out"
                        | "add_replica"
                        | "forget_and_meet"
                        | "admin"
                )
        })
        .flat_map(|applied| applied.resolved.clone())
        .collect();
    let drained: BTreeSet<u16> = moved.iter().filter_map(|node| facts.shard(*node)).collect();
    let mut found = Vec::new();
    for (node, report) in last.view.answered() {
        let Some(me) = report.myself() else { continue };
        let Some(shard) = facts.shard(node) else { continue };
        let wiped =
            record.lives.iter().any(|life| life.node == node && life.stale.as_deref() == Some("wiped"));
        if me.role == Role::Primary && me.slots.is_empty() && !wiped && !drained.contains(&shard) {
            found.push(format!("{node} calls itself a primary and has no slot, though nothing drained it"));
        }
    }
    found
}

impl ViewAgreement {
    fn settled(record: &Record) -> Judgement {
        let facts = Facts::of(record);
        let Some(last) = &record.last else {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no view after the heal");
        };
        let answered = last.view.answered().count();
        let silent: Vec<String> = last
            .view
            .nodes
            .iter()
            .filter(|view| facts.awake(view.node, last.view.at))
            .filter_map(|view| Some(format!("{}: {}", view.node, view.report.as_ref().err()?)))
            .collect();
        let open = &facts.slots_left_open() | &unbound(record);
        let Differences { mut found, unlisted, unheard } = differences(record, &open);
        found.extend(slotless(&facts));
        let mut judgement = if !found.is_empty() {
            Judgement::new(Self::NAME, Verdict::Fail, format!("{} difference(s)", found.len()))
                .with_evidence(found)
        } else if answered == 0 {
            Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no node answered")
        } else if !silent.is_empty() {
            let reason = format!("{} live node(s) did not answer", silent.len());
            Judgement::new(Self::NAME, Verdict::Unknown, reason).with_evidence(silent)
        } else {
            Judgement::new(Self::NAME, Verdict::Pass, "all live nodes agree")
        };
        for (class, count) in [("dead-node-unlisted", unlisted), ("dead-owner-unheard", unheard)] {
            if count > 0 {
                judgement.classes.insert(class.into(), count);
            }
        }
        judgement.looked_at(format!("{answered} views of {} nodes", last.view.nodes.len()))
    }
}

impl Check for ViewAgreement {
    fn claim(&self) -> &'static str {
        "once settled, all live nodes agree on members, roles, slots, failures and epochs"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/cluster-spec: every node comes to know every other, and the highest epoch wins a slot"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "once settled, all live members agree on who belongs to the group, who leads it, and in which term",
            "Ongaro and Ousterhout 2014, figure 3 and section 6; zookeeper.apache.org/doc/r3.8.0: 'ZooKeeper Dynamic Reconfiguration'",
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
        // Views that differ while something is under way are legal: two primaries during a partition.
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
    use super::super::testing::{Scene, ms};
    use super::*;

    fn judge(scene: &Scene) -> Judgement {
        ViewAgreement {}.judge(&scene.record)
    }

    #[test]
    fn a_node_that_was_reset_is_out_and_the_others_must_still_agree() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.apply("a1", "admin: {node: node-5, command: reset-hard}", 11_000, Some(11_100), &[5]);
        scene.record.applied[0].detail = "node-5 gets CLUSTER RESET HARD".into();
        scene.last_report(5).members.retain(|member| member.myself);
        scene.last_member(0, 5).noaddr = true;
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "{:?}", judge(&scene));
        scene.last_member(0, 2).config_epoch = 99;
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
        scene.record.applied[0].detail = "node-5 gets CLUSTER SAVECONFIG".into();
        assert!(judge(&scene).evidence.iter().any(|line| line.contains("node-5 does not know")));
    }

    #[test]
    fn each_thing_that_is_compared_is_found_when_it_differs() {
        type Change = fn(&mut Member);
        let changes: [(&str, Change); 6] = [
            ("role", |member| member.role = Role::Replica),
            ("slots", |member| member.slots = vec![(0, 5)]),
            ("fail", |member| member.fail = true),
            ("epoch", |member| member.config_epoch += 1),
            ("handshake", |member| member.handshake = true),
            ("noaddr", |member| member.noaddr = true),
        ];
        for (name, change) in changes {
            let mut scene = Scene::new(3, 1).healthy();
            change(scene.last_member(4, 0));
            let judgement = judge(&scene);
            assert_eq!(judgement.verdict, Verdict::Fail, "{name}");
            assert!(judgement.evidence[0].contains("node-4"), "{judgement:?}");
        }
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(4, 1).primary = Some("nobody".into());
        assert_eq!(judge(&scene).verdict, Verdict::Fail, "primary");
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_report(4).members.remove(0);
        assert!(judge(&scene).evidence[0].contains("node-4 does not know node-0"), "membership");
    }

    #[test]
    fn what_differs_by_nature_is_ignored() {
        let mut scene = Scene::new(3, 1).healthy();
        let member = scene.last_member(4, 0);
        member.link_up = false;
        member.maybe_fail = true;
        scene.last_member(4, 1).config_epoch += 7;
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "a replica's epoch is its primary's");
    }

    #[test]
    fn a_dead_node_may_be_unlisted_but_not_told_differently() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.kill("k1", 1, 10_000, None);
        scene.silence(1);
        for node in [0, 2, 3, 4, 5] {
            scene.last_member(node, 1).fail = true;
        }
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.last_report(2).members.retain(|member| member.node != Some(NodeId(1)));
        let judgement = judge(&scene);
        assert_eq!((judgement.verdict, judgement.classes["dead-node-unlisted"]), (Verdict::Pass, 1));
        let late = scene.last_member(3, 1);
        (late.fail, late.maybe_fail, late.link_up) = (false, true, false);
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "nobody hears more of one without slots");
        scene.last_member(3, 1).slots = vec![(0, 0)];
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
        let late = scene.last_member(3, 1);
        (late.slots, late.maybe_fail) = (Vec::new(), false);
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn who_knows_less_than_before_cannot_hear_of_a_dead_nodes_slots() {
        let dead = |stale: Option<&str>, back: u64| {
            let mut scene = Scene::new(3, 1).healthy();
            scene.kill("k1", 1, 10_000, None);
            scene.kill("k2", 4, 9000, None);
            scene.start(4, back, stale);
            scene.silence(1);
            for node in [0, 2, 3, 4, 5] {
                scene.last_member(node, 1).fail = true;
                scene.last_member(node, 1).slots = vec![(5000, 5003)];
                scene.last_member(node, 2).slots = vec![(5004, 9000)];
            }
            // What node-4 had known last: the four slots were still node-2's.
            scene.last_member(4, 1).slots = Vec::new();
            scene.last_member(4, 2).slots = vec![(5000, 9000)];
            scene
        };
        for stale in ["older", "wiped", "foreign"] {
            let judgement = judge(&dead(Some(stale), 10_500));
            let seen = (judgement.verdict, judgement.classes.get("dead-owner-unheard").copied());
            assert_eq!(seen, (Verdict::Pass, Some(2)), "{judgement:?}");
        }
        for (stale, back, why) in [
            (Some("empty"), 10_500, "it has kept what it knew of the cluster"),
            (None, 10_500, "it has kept all"),
            (Some("older"), 9500, "the owner lived and could tell it"),
        ] {
            assert_eq!(judge(&dead(stale, back)).verdict, Verdict::Fail, "{why}");
        }
        let mut other = dead(Some("older"), 10_500);
        other.last_member(4, 2).slots = vec![(4999, 9000)];
        assert_eq!(judge(&other).verdict, Verdict::Fail, "of a slot that no dead node has");
        let mut other = dead(Some("older"), 10_500);
        other.last_member(3, 1).slots = Vec::new();
        assert_eq!(judge(&other).verdict, Verdict::Fail, "the others must agree");
    }

    #[test]
    fn who_joins_begins_when_it_is_met_and_shows_whether_it_ever_took_a_message() {
        // node-4 has run since 0.1 s; it is met in an event that ends at 10.6 s, and node-1 dies at `died`.
        let joined = |died: u64, epoch: u64, step: &str| {
            let mut scene = Scene::new(3, 1).healthy();
            scene.kill("k1", 1, died, None);
            scene.silence(1);
            for node in [0, 2, 3, 4, 5] {
                let dead = scene.last_member(node, 1);
                (dead.fail, dead.slots, dead.config_epoch) = (true, vec![(5000, 5003)], 7);
            }
            let dead = scene.last_member(4, 1);
            (dead.slots, dead.config_epoch) = (Vec::new(), epoch);
            scene.apply("s1", "scale_out: {slots: 1}", 9000, Some(10_900), &[4]);
            let applied = scene.record.applied.iter_mut().find(|one| one.event == "s1").expect("it is there");
            applied.steps.push((ms(10_600), step.into()));
            judge(&scene)
        };
        let met = "node-4 was met by node-0 and is known to all";
        let judgement = joined(10_500, 0, met);
        let seen = (judgement.verdict, judgement.classes.get("dead-owner-unheard").copied());
        assert_eq!(seen, (Verdict::Pass, Some(1)), "{judgement:?}");
        for (died, epoch, step, why) in [
            (10_500, 7, met, "it has taken a message of node-1"),
            (10_700, 0, met, "node-1 lived and could tell it"),
            (10_500, 0, "node-4 was started", "nobody brought it in"),
            (10_500, 0, "node-3 was met by node-0 and is known to all", "another one was brought in"),
        ] {
            assert_eq!(joined(died, epoch, step).verdict, Verdict::Fail, "{why}");
        }
    }

    #[test]
    fn of_a_slot_that_the_timeline_left_open_views_may_differ() {
        let mut scene = Scene::new(3, 1).healthy();
        let (first, last) = scene.last_member(2, 0).slots[0];
        scene.last_member(2, 0).slots = vec![(first + 1, last)];
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
        scene.apply(
            "r1",
            "reshard: {from: 0, to: 1, slots: 1, stop_after: all-keys}",
            11_000,
            Some(12_000),
            &[0, 2],
        );
        scene.record.applied[0].slots_left_open = vec![first];
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.last_member(2, 0).slots = vec![(first + 2, last)];
        assert_eq!(judge(&scene).verdict, Verdict::Fail, "of the next slot they may not");
    }

    #[test]
    fn an_owner_that_was_told_to_forget_its_slots_is_not_held_to_what_the_others_say_of_them() {
        let mut scene = Scene::new(3, 1).healthy();
        let (first, last) = scene.last_member(0, 0).slots[0];
        scene.last_member(0, 0).slots = vec![(first, first + 667), (first + 672, last)];
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
        scene.apply(
            "a1",
            "admin: {node: node-0, command: delslotsrange, slot: 668}",
            11_000,
            Some(11_001),
            &[0],
        );
        let range = |first: u16| format!("node-0 gets CLUSTER DELSLOTSRANGE {first} {}", first + 3);
        scene.record.applied[0].detail = range(first + 668);
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "{:?}", judge(&scene));
        scene.record.applied[0].status = Status::Failed("refused".into());
        assert_eq!(judge(&scene).verdict, Verdict::Fail, "it was refused");
        scene.record.applied[0].status = Status::Applied;
        scene.record.applied[0].detail = range(first + 667);
        assert_eq!(judge(&scene).verdict, Verdict::Fail, "of another slot");
    }

    #[test]
    fn ranges_lose_single_slots() {
        let open = BTreeSet::from([0, 3, 4, 9]);
        assert_eq!(without(&[(0, 5), (7, 9), (10, 11)], &open), [(1, 2), (5, 5), (7, 8), (10, 11)]);
        assert_eq!(without(&[(3, 4)], &open), []);
    }

    #[test]
    fn a_primary_without_slots_after_a_failover_fails_and_after_a_drain_does_not() {
        let mut scene = Scene::new(3, 1).healthy();
        // node-1 took over the slots of node-0, which never became its replica.
        for node in 0..6 {
            let slots = std::mem::take(&mut scene.last_member(node, 0).slots);
            let heir = scene.last_member(node, 1);
            (heir.role, heir.primary, heir.slots) = (Role::Primary, None, slots);
        }
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.evidence[0].contains("node-0 calls itself a primary"), "{judgement:?}");
        scene.apply("d1", "drain: {shard: 0, to: 1}", 11_000, Some(12_000), &[0]);
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
    }

    #[test]
    fn a_live_node_that_does_not_answer_makes_it_unknown() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.silence(3);
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        for node in 0..6 {
            scene.silence(node);
        }
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
    }

    #[test]
    fn before_the_cluster_has_settled_a_difference_is_unknown() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last_member(4, 0).fail = true;
        assert_eq!(ViewAgreement {}.look(&scene.record).verdict, Verdict::Fail);
        scene.apply("f1", "failover: {shard: 0}", 1000, None, &[0]);
        assert_eq!(ViewAgreement {}.look(&scene.record).verdict, Verdict::Unknown, "an event is under way");
        scene.record.applied[0].ended = Some(ms(2600));
        assert_eq!(ViewAgreement {}.look(&scene.record).verdict, Verdict::Unknown, "9.4 s ago, at 12 s");
        scene.record.applied[0].ended = Some(ms(2500));
        assert_eq!(ViewAgreement {}.look(&scene.record).verdict, Verdict::Fail, "9.5 s are enough");
        scene.last().settled_at = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
    }
}
