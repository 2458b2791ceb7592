//! `acknowledged_loss`: what was acknowledged is there, but for what the documentation excuses.
//!
//! Valkey and Redis replicate asynchronously and say so; the promise that is held against them is narrower. A
//! loss fails when no disruptive event happened at all (a default failover is none), when every replica that
//! could take over had confirmed the write, when it is a *hole* (a later write of the same primary survived: a
//! legal loss is a suffix of one stream), and when a replica that had never synced with the primary that it
//! replaces took over beside one that had. A value that nobody wrote fails always. All other losses are counted by class, each class a rule with
//! its citation (`loss::excuse::CLASSES`); what no rule covers fails.

use super::data_consistency::brief;
use super::facts::Facts;
use super::loss::excuse::Excuses;
use super::loss::survival::{Fate, fate};
use super::{Check, Judgement, Verdict};
use crate::env::NodeId;
use crate::history::{Key, Operation, Value};
use crate::run::record::{KeyDump, Record};
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::collections::BTreeMap;
use std::fmt::Write as _;

crate::record! {
    pub struct AcknowledgedLoss {
    }
}

impl AcknowledgedLoss {
    pub const NAME: &'static str = "acknowledged_loss";
}

/// A write and its slot.
type Write<'a> = (&'a Operation, u16);

#[derive(Default)]
struct Found<'a> {
    wrong: Vec<String>,
    unreadable: Vec<String>,
    classes: BTreeMap<String, u64>,
    lost: Vec<Write<'a>>,
    survived: Vec<Write<'a>>,
}

fn name(write: &Operation, record: &Record) -> String {
    let what = write.argument.as_deref().unwrap_or_default();
    let node = write.node.map_or_else(|| "no node".into(), |node| node.to_string());
    format!(
        "{} {} {what} acknowledged by {node} at {}",
        write.kind,
        write.key,
        record.when(write.complete.logical)
    )
}

/// Sorts one key's losses into classes and failures.
fn classify<'a>(
    excuses: &Excuses<'a, '_>,
    dump: &KeyDump,
    value: &Value,
    fate: Fate<'a>,
    found: &mut Found<'a>,
) {
    found.wrong.extend(fate.impossible.iter().map(|what| format!("{}: {what}", dump.key)));
    for write in fate.lost {
        match excuses.class(write, dump.slot) {
            Ok(class) => *found.classes.entry(class.into()).or_default() += 1,
            Err(why) => {
                found.wrong.push(format!(
                    "{} is lost, the key holds {}: {why}",
                    name(write, excuses.facts.record),
                    brief(value)
                ));
            }
        }
        found.lost.push((write, dump.slot));
    }
    for group in fate.all_but_one {
        // Which of them is there is not known: the one that has no excuse, if there is one.
        let (excused, unexcused): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|write| (write, excuses.class(write, dump.slot)))
            .partition(|(_, class)| class.is_ok());
        let needed = excused.len() + unexcused.len() - 1;
        for (_, class) in excused.iter().take(needed) {
            if let Ok(class) = class {
                *found.classes.entry((*class).into()).or_default() += 1;
            }
        }
        for (write, class) in unexcused.iter().skip(1) {
            let why = class.as_ref().err().map_or("", String::as_str);
            found.wrong.push(format!(
                "{} was answered with a number given twice: {why}",
                name(write, excuses.facts.record)
            ));
        }
    }
    found.survived.extend(fate.survived.into_iter().map(|write| (write, dump.slot)));
}

/// Writes that are gone though a later one of the same reign is there.
fn holes<'a>(excuses: &Excuses<'a, '_>, found: &mut Found<'a>) {
    let mut latest: BTreeMap<(NodeId, u32, u64), &Operation> = BTreeMap::new();
    if found.lost.is_empty() {
        return;
    }
    for (write, slot) in &found.survived {
        if excuses.stream_broken(write, *slot) {
            continue;
        }
        let Some(reign) = excuses.reign(write) else { continue };
        let last = latest.entry(reign).or_insert(write);
        if write.invoke.order > last.invoke.order {
            *last = write;
        }
    }
    for (write, slot) in &found.lost {
        if excuses.stream_broken(write, *slot) {
            continue;
        }
        let survivor = excuses.reign(write).and_then(|reign| latest.get(&reign));
        if let Some(survivor) = survivor.filter(|one| write.complete.order < one.invoke.order) {
            found.wrong.push(format!(
                "a hole: {} is lost, though {} came later in the same stream and is there",
                name(write, excuses.facts.record),
                name(survivor, excuses.facts.record)
            ));
        }
    }
}

/// A promotion of a replica that had never synced with what it took over, while one that had was awake: the moment
/// and what happened. A replica that has just come from another shard may have had a link all its life, to others.
fn unsynced_promotions(facts: &Facts<'_>) -> Vec<(Micros, NodeId, String)> {
    let record = facts.record;
    let factor = facts.setting("cluster-replica-validity-factor");
    if factor == Some("0") || facts.setting_changed("cluster-replica-validity-factor") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for pair in record.views.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        for (node, report) in after.answered().filter(|(_, report)| !report.own_slots().is_empty()) {
            let Some(former) = before.report(node).filter(|one| one.replication.role == Role::Replica) else {
                continue;
            };
            let Some(life) = facts.life_at(node, after.at) else { continue };
            let taken = report.own_slots();
            if synced(facts, node, taken, before.at) || commanded(record, node, (life.started, after.at)) {
                continue;
            }
            let primary = former.myself().and_then(|me| me.primary.clone());
            let fouled =
                facts.fouled_between(Micros(before.at.0.saturating_sub(FOULED_BEFORE.0 * 1000)), after.at);
            let better = before.answered().find(|(other, one)| {
                *other != node
                    && one.replication.role == Role::Replica
                    && one.myself().and_then(|me| me.primary.clone()) == primary
                    && facts.awake(*other, after.at)
                    && !fouled.contains(other)
                    && facts.life_at(*other, after.at).is_some_and(|life| life.started < record.healthy_at)
                    && synced(facts, *other, taken, before.at)
            });
            if let Some((other, _)) = better {
                let text = format!(
                    "{node} took over by {} without ever having synced with what it replaced, while {other} was awake \
                     and in sync",
                    record.when(after.at)
                );
                found.push((after.at, node, text));
            }
        }
    }
    found
}

/// A node whose links were bad within this time of an election may have come too late for it.
const FOULED_BEFORE: Millis = Millis(5000);

/// Whether a node may have been told to take over, or to become what it is.
fn commanded(record: &Record, node: NodeId, (from, to): (Micros, Micros)) -> bool {
    record.applied.iter().any(|one| {
        let concerns = match one.action.as_str() {
            "failover" => one.resolved.contains(&node),
            "admin" | "rolling_restart" | "forget_and_meet" => true,
            _ => false,
        };
        concerns && one.started <= to && one.ended.is_none_or(|ended| ended >= from)
    })
}

/// Whether a node was seen, as the process that it is, with the data of some of these slots: as their owner, or with
/// its link to their owner up. Who was there when the cluster began had those of its shard.
fn synced(facts: &Facts<'_>, node: NodeId, slots: &[(u16, u16)], until: Micros) -> bool {
    let record = facts.record;
    let Some(life) = facts.life_at(node, until) else { return false };
    let meets = |others: &[(u16, u16)]| {
        others.iter().any(|one| slots.iter().any(|slot| one.0 <= slot.1 && slot.0 <= one.1))
    };
    let began = facts.shard(node).map(|shard| record.timeline.cluster.slots(shard));
    if life.started < record.healthy_at && began.is_some_and(|range| meets(&[range])) {
        return true;
    }
    record.views.iter().filter(|view| view.at >= life.started && view.at <= until).any(|view| {
        let Some(report) = view.report(node) else { return false };
        if report.replication.role == Role::Primary {
            return meets(report.own_slots());
        }
        let primary = report.myself().and_then(|me| me.primary.as_deref());
        let followed = view.answered().find(|(_, other)| Some(other.id.as_str()) == primary);
        report.replication.link_up && followed.is_none_or(|(_, other)| meets(other.own_slots()))
    })
}

impl Check for AcknowledgedLoss {
    fn claim(&self) -> &'static str {
        "no acknowledged write is lost but in the ways that the documentation names"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/cluster-spec, 'Write safety'; valkey.io/commands/cluster-failover and wait"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "no acknowledged write is lost",
            "etcd.io/docs/v3.5/learning/api_guarantees, 'Durability'; zookeeper.apache.org/doc/r3.8.0: Programmer's Guide, 'Consistency Guarantees' (reliability)",
        ))
    }

    fn judge(&self, record: &Record) -> Judgement {
        let Some(last) = &record.last else {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no view after the heal");
        };
        if last.settled_at.is_none() {
            return Judgement::new(Self::NAME, Verdict::Unknown, "the cluster did not settle");
        }
        let mut by_key: BTreeMap<Key, Vec<&Operation>> = BTreeMap::new();
        for operation in &record.history {
            by_key.entry(operation.key).or_default().push(operation);
        }
        let acknowledged = record.history.iter().filter(|one| one.acknowledged_write()).count();
        if acknowledged == 0 {
            return if record.timeline.load.is_none() {
                Judgement::new(Self::NAME, Verdict::NotOwed, "the timeline has no load")
            } else {
                Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no write was acknowledged")
            };
        }
        let facts = Facts::of(record);
        let excuses = Excuses::of(&facts);
        let open = facts.slots_left_open();
        let mut found = Found::default();
        let mut seen = 0;
        for dump in &last.dump {
            let Some(operations) = by_key.remove(&dump.key) else { continue };
            let written = operations.iter().filter(|one| one.acknowledged_write()).count();
            // Before the value: where a move was left half-way, the owner answers ASK for what lies elsewhere.
            if open.contains(&dump.slot) {
                *found.classes.entry("slot-left-open".into()).or_default() += written as u64;
                continue;
            }
            let value = match &dump.value {
                Err(why) => {
                    if written > 0 {
                        found.unreadable.push(format!("{}: {why}", dump.key));
                    }
                    continue;
                }
                Ok(Value::Missing) if facts.evicting() => {
                    *found.classes.entry("evicted".into()).or_default() += written as u64;
                    continue;
                }
                Ok(value) => value,
            };
            seen += written;
            classify(&excuses, dump, value, fate(dump.key.kind, &operations, value), &mut found);
        }
        for (key, operations) in by_key {
            if operations.iter().any(|one| one.acknowledged_write()) {
                found.unreadable.push(format!("{key}: not read back"));
            }
        }
        holes(&excuses, &mut found);
        if !found.lost.is_empty() && !facts.consensus() {
            for (at, node, text) in unsynced_promotions(&facts) {
                let owned = facts.owners_at(at);
                if found.lost.iter().any(|(_, slot)| owned.owner(*slot) == Some(node)) {
                    found.wrong.push(text);
                }
            }
        }
        let lost = found.lost.len();
        let mut looked_at = format!("{seen} of {acknowledged} acknowledged writes, {lost} lost");
        let wait = u32::from(record.timeline.load.wait);
        if wait > 0 && record.timeline.load.waitaof.is_none() {
            // `WAIT` answers how many replicas have a write, be it fewer than were asked for.
            let confirmed = |one: &Operation| one.waited.is_some_and(|replicas| replicas >= wait);
            let all = record.history.iter().filter(|one| one.acknowledged_write() && confirmed(one)).count();
            let lost = found.lost.iter().filter(|(write, _)| confirmed(write)).count();
            let _ = write!(looked_at, "; of {all} that `WAIT` confirmed, {lost} lost");
        }
        let mut judgement = if !found.wrong.is_empty() {
            let reason = format!("{} loss(es) without excuse: {}", found.wrong.len(), found.wrong[0]);
            Judgement::new(Self::NAME, Verdict::Fail, reason).with_evidence(found.wrong)
        } else if !found.unreadable.is_empty() {
            let reason =
                format!("{} key(s) could not be read: {}", found.unreadable.len(), found.unreadable[0]);
            Judgement::new(Self::NAME, Verdict::Unknown, reason).with_evidence(found.unreadable)
        } else if lost > 0 {
            Judgement::new(
                Self::NAME,
                Verdict::Pass,
                format!("{lost} writes lost, all within documented windows"),
            )
        } else {
            Judgement::new(Self::NAME, Verdict::Pass, "no acknowledged write is lost")
        };
        judgement.classes = found.classes;
        judgement.looked_at(looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, classes, key, ms, text};
    use super::*;
    use crate::history::{OpKind, Outcome};

    fn judge(scene: &Scene) -> Judgement {
        AcknowledgedLoss {}.judge(&scene.record)
    }
    /// `r:9` in slot 9 was written `a` at 6 s and `b` at 10.9 s by node-0, and holds `a` at the end.
    fn lossy(mut scene: Scene) -> Scene {
        scene.set(0, "r:9", "a", 6000);
        scene.set(0, "r:9", "b", 10_900);
        scene.holds("r:9", 9, text("a"));
        scene
    }
    /// node-0 is killed at 11 s and node-1 takes over; two replicas when asked for.
    fn killed(replicas: u16) -> Scene {
        let mut scene = Scene::new(3, replicas).healthy();
        scene.kill("k1", 0, 11_000, Some(20_000));
        scene.run_until(13_000);
        scene.promote(1, 0);
        scene.run_until(25_000);
        scene.settle();
        lossy(scene)
    }
    fn excused(scene: &Scene, class: &str) {
        let judgement = judge(scene);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        assert_eq!(classes(&judgement), BTreeMap::from([(class, 1)]));
    }
    fn fails(scene: &Scene, why: &str) {
        let judgement = judge(scene);
        assert_eq!(judgement.verdict, Verdict::Fail, "{judgement:?}");
        assert!(judgement.evidence.iter().any(|line| line.contains(why)), "{judgement:?}");
    }

    #[test]
    fn without_a_disruptive_event_any_loss_fails() {
        fails(&lossy(Scene::new(3, 1).healthy()), "no disruptive event");
    }

    #[test]
    fn a_default_failover_excuses_nothing_and_a_forced_one_does() {
        for (mode, excuse) in [("default", false), ("force", true), ("takeover", true)] {
            let mut scene = Scene::new(3, 1).healthy();
            scene.apply(
                "f1",
                &format!("failover: {{shard: 0, mode: {mode}}}"),
                11_000,
                Some(12_000),
                &[0, 1],
            );
            scene.promote(1, 0);
            scene.run_until(20_000);
            scene.settle();
            let scene = lossy(scene);
            if excuse { excused(&scene, "failover-forced") } else { fails(&scene, "no disruptive event") }
        }
    }

    #[test]
    fn a_killed_primary_that_was_replaced_loses_its_last_writes() {
        excused(&killed(1), "killed-primary-async-window");
    }

    #[test]
    fn a_kill_elsewhere_excuses_nothing() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.kill("k1", 3, 11_000, Some(12_000));
        fails(&lossy(scene), "no rule of the documentation");
    }

    #[test]
    fn a_paused_primary_that_was_replaced_loses_its_last_writes() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.pause("p1", 0, 11_000, 20_000);
        scene.run_until(14_000);
        scene.promote(1, 0);
        scene.run_until(25_000);
        scene.settle();
        let scene = lossy(scene);
        excused(&scene, "paused-primary-async-window");
    }

    /// Node 1 replaces node 0 and acknowledges a write that stays, node 0 one that is lost.
    fn deposed(scene: &mut Scene, kept: u64, lost: u64) {
        scene.run_until(14_000);
        scene.promote(1, 0);
        scene.run_until(30_000);
        scene.settle();
        scene.set(1, "r:9", "a", kept);
        scene.set(0, "r:9", "b", lost);
        scene.holds("r:9", 9, text("a"));
    }

    #[test]
    fn a_deposed_primary_may_accept_for_a_moment_after_it_goes_on() {
        for (at, excuse) in [(20_100, true), (22_500, true), (22_600, false)] {
            let mut scene = Scene::new(3, 1).healthy();
            scene.pause("p1", 0, 11_000, 20_000);
            deposed(&mut scene, 19_000, at);
            if excuse { excused(&scene, "deposed-primary-window") } else { fails(&scene, "no rule") }
        }
    }

    #[test]
    fn a_deposed_primary_whose_links_were_bad_may_accept_until_it_hears_of_it() {
        for (at, excuse) in [(15_000, true), (20_500, true), (22_600, false)] {
            let mut scene = Scene::new(3, 1).healthy();
            scene.apply("s1", "slow: {node: node-0}", 11_000, Some(20_000), &[0]);
            deposed(&mut scene, 14_900, at);
            if excuse { excused(&scene, "deposed-primary-window") } else { fails(&scene, "no rule") }
        }
    }

    #[test]
    fn a_primary_that_goes_on_while_its_replica_is_being_elected_may_accept_until_it_hears_of_it() {
        // The write comes after the pause and before the first view that shows the new owner.
        for (back, excuse) in [(13_500, true), (8_000, false)] {
            let mut scene = Scene::new(3, 1).healthy();
            scene.pause("p1", 0, back - 1500, back);
            scene.run_until(14_000);
            scene.promote(1, 0);
            scene.run_until(25_000);
            scene.settle();
            scene.set(0, "r:9", "a", 5000);
            scene.set(0, "r:9", "b", 13_900);
            scene.holds("r:9", 9, text("a"));
            if excuse { excused(&scene, "deposed-primary-window") } else { fails(&scene, "no rule") }
        }
    }

    #[test]
    fn what_wait_counted_on_every_replica_may_not_be_lost() {
        let mut scene = killed(1);
        scene.record.history.iter_mut().filter(|one| one.argument.as_deref() == Some("b")).for_each(|one| {
            one.invoke.logical = ms(8900);
            one.complete.logical = ms(8901);
            one.waited = Some(1);
        });
        fails(&scene, "every replica that could be promoted had confirmed it");
        scene.record.timeline.load.wait = 1;
        let told = |scene: &Scene, count: &str| judge(scene).looked_at.ends_with(count);
        assert!(told(&scene, "; of 4 that `WAIT` confirmed, 1 lost"), "{}", judge(&scene).looked_at);
        scene.record.history.iter_mut().for_each(|one| one.waited = one.waited.map(|_| 0));
        assert!(told(&scene, "; of 0 that `WAIT` confirmed, 0 lost"), "{}", judge(&scene).looked_at);
        scene.offset(1, 0);
        for view in 0..scene.record.views.len() {
            scene.report(view, 1).replication.offset = 0;
        }
        excused(&scene, "killed-primary-async-window");
    }

    #[test]
    fn an_answer_that_is_read_when_its_process_is_gone_confirms_nothing_of_the_next() {
        for (invoked, excuse) in [(8998, true), (9101, false)] {
            // The primary dies at 9 s and is back at 9.1 s with an older copy of its data; its replica follows it all along.
            let mut scene = Scene::new(3, 1).healthy();
            scene.run_until(8000);
            scene.kill("k1", 0, 9000, Some(9100));
            scene.life(0).stale = Some("older".into());
            scene.run_until(25_000);
            scene.settle();
            scene.set(0, "r:9", "a", 5000);
            scene.set(0, "r:9", "b", 9101);
            scene.record.history.iter_mut().filter(|one| one.argument.as_deref() == Some("b")).for_each(
                |one| {
                    one.invoke.logical = ms(invoked);
                    one.complete.logical = ms(9120);
                },
            );
            scene.holds("r:9", 9, text("a"));
            if excuse { excused(&scene, "restarted-stale") } else { fails(&scene, "had confirmed it") }
        }
    }

    #[test]
    fn wait_confirms_nothing_after_a_delete_that_found_nothing() {
        let mut scene = killed(1);
        let last = scene.record.history.iter_mut().rfind(|one| one.key == key("r:9"));
        if let Some(one) = last {
            (one.kind, one.argument, one.waited) = (OpKind::Delete, None, Some(1));
            (one.invoke.logical, one.complete.logical) = (ms(8900), ms(8901));
            one.outcome = Outcome::Ok(Value::Number(0));
        }
        for view in 0..scene.record.views.len() {
            scene.report(view, 1).replication.offset = 0;
        }
        excused(&scene, "killed-primary-async-window");
    }

    #[test]
    fn what_a_replicas_offset_covers_may_not_be_lost_unless_it_came_back_empty() {
        let mut scene = killed(1);
        scene.record.history.iter_mut().filter(|one| one.argument.as_deref() == Some("b")).for_each(|one| {
            (one.invoke.logical, one.complete.logical) = (ms(6500), ms(6501));
        });
        fails(&scene, "had confirmed it by +3.000s");
        scene.start(1, 15_000, Some("empty"));
        scene.record.lives[1].ended = Some((ms(14_500), crate::env::Exit::Signal(9)));
        let index = scene.record.lives.len() - 1;
        let life = scene.record.lives.remove(index);
        scene.record.lives.insert(2, life);
        excused(&scene, "restarted-stale");
    }

    #[test]
    fn a_hole_fails_even_within_the_window() {
        let mut scene = killed(1);
        scene.set(0, "r:10", "c", 10_950);
        scene.holds("r:10", 10, text("c"));
        fails(&scene, "a hole");
    }

    #[test]
    fn a_later_write_of_another_primary_makes_no_hole() {
        let mut scene = killed(1);
        scene.set(2, "r:6000", "c", 10_950);
        scene.holds("r:6000", 6000, text("c"));
        excused(&scene, "killed-primary-async-window");
    }

    #[test]
    fn a_suffix_is_no_hole() {
        let mut scene = killed(1);
        scene.set(0, "r:10", "c", 10_800);
        scene.holds("r:10", 10, text("c"));
        excused(&scene, "killed-primary-async-window");
    }

    #[test]
    fn a_value_that_nobody_wrote_fails_always() {
        let mut scene = killed(1);
        scene.holds("r:9", 9, text("z"));
        fails(&scene, "nobody wrote");
        scene.op(0, OpKind::Set, "r:9", Some("z"), Outcome::Fail("CLUSTERDOWN".into()), 6500, 6501);
        fails(&scene, "refused");
    }

    #[test]
    fn an_owner_that_came_back_by_itself_answers_for_its_disk() {
        let restart = |settings: &[(&str, &str)]| {
            let mut scene = Scene::new(3, 0);
            for (name, value) in settings {
                scene = scene.setting(name, value);
            }
            let mut scene = scene.healthy();
            scene.kill("k1", 0, 11_000, Some(12_000));
            lossy(scene)
        };
        excused(&restart(&[]), "restarted-from-snapshot");
        excused(&restart(&[("appendonly", "yes")]), "appendfsync-everysec");
        fails(&restart(&[("appendonly", "yes"), ("appendfsync", "always")]), "no rule");
        let mut scene = restart(&[("appendonly", "yes")]);
        scene.life(0).started = ms(16_000);
        scene.record.lives[0].ended = Some((ms(15_000), crate::env::Exit::Signal(9)));
        fails(&scene, "no rule");
    }

    #[test]
    fn a_disk_that_failed_excuses_what_its_server_could_not_write() {
        for (fault, policy, class) in [
            ("power_loss: {node: node-0}", "no", Some("appendfsync-no")),
            ("power_loss: {node: node-0}", "everysec", None),
            ("disk_error: {node: node-0}", "everysec", Some("aof-write-error")),
            ("full_disk: {node: node-0}", "no", Some("aof-write-error")),
            ("disk_error: {node: node-0}", "always", None),
            ("disk_error: {node: node-1}", "everysec", None),
        ] {
            let mut scene =
                Scene::new(3, 0).setting("appendonly", "yes").setting("appendfsync", policy).healthy();
            scene.kill("k1", 0, 15_000, Some(16_000));
            let node = u16::from(fault.contains("node-1"));
            scene.apply("d1", fault, 10_500, Some(15_000), &[node]);
            let scene = lossy(scene);
            match class {
                Some(class) => excused(&scene, class),
                None => fails(&scene, "no rule"),
            }
        }
    }

    #[test]
    fn a_slot_on_the_move_is_a_class_of_its_own_and_an_open_one_is_left_out() {
        let mut scene = killed(1);
        scene.apply("r1", "reshard: {from: 0, to: 1}", 10_500, Some(11_500), &[0, 2]);
        scene.record.applied[1].slots = vec![9];
        excused(&scene, "slot-moved-under-fault");
        scene.record.applied[1].slots_left_open = vec![9];
        let judgement = judge(&scene);
        assert_eq!(classes(&judgement), BTreeMap::from([("slot-left-open", 2)]));
    }

    #[test]
    fn the_embedded_target_loses_nothing() {
        fails(&lossy(killed(2).target("embedded")), "a majority of its log");
    }

    #[test]
    fn a_replica_that_never_synced_may_not_take_over_beside_one_that_did() {
        let mut scene = Scene::new(3, 2).healthy();
        scene.record.lives[1].ended = Some((ms(10_100), crate::env::Exit::Signal(9)));
        scene.start(1, 10_500, None);
        let life = scene.record.lives.pop().expect("just started");
        scene.record.lives.insert(2, life);
        scene.link(1, false);
        scene.kill("k1", 0, 11_500, None);
        scene.run_until(13_000);
        scene.promote(1, 0);
        scene.run_until(25_000);
        scene.settle();
        let scene = lossy(scene);
        fails(
            &scene,
            "node-1 took over by +9.000s without ever having synced with what it replaced, while node-2",
        );
        let scene = scene.setting("cluster-replica-validity-factor", "0");
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "factor 0 asks for no data");
    }

    #[test]
    fn a_replica_of_another_shard_may_not_take_over_before_it_has_synced() {
        // node-3 of shard 1 follows node-0 from 10.5 s on, and takes over from it at 13.5 s.
        let moved = |linked: bool| {
            let mut scene = Scene::new(3, 1).healthy();
            scene.apply("m1", "move_replica: {shard: 1, to: 0}", 10_500, None, &[3, 0]);
            scene.follow(3, 0);
            scene.link(3, linked);
            scene.run_until(11_000);
            scene.link(3, false);
            scene.kill("k1", 0, 11_500, None);
            scene.run_until(13_000);
            scene.promote(3, 0);
            scene.run_until(25_000);
            scene.settle();
            lossy(scene)
        };
        fails(&moved(false), "node-3 took over by +9.000s without ever having synced with what it replaced");
        assert_eq!(judge(&moved(true)).verdict, Verdict::Pass, "its link was up once");
    }

    #[test]
    fn a_clock_that_jumps_lets_writes_in_under_a_manual_failover() {
        let skewed = |at: u64| {
            let mut scene = Scene::new(3, 1).healthy();
            scene.apply("f1", "failover: {shard: 0}", 10_850, Some(11_050), &[1]);
            scene.apply("c1", "clock_skew: {node: node-0, ahead: 5s}", at, Some(12_000), &[0]);
            scene.promote(1, 0);
            scene.run_until(20_000);
            scene.settle();
            lossy(scene)
        };
        excused(&skewed(10_870), "clock-ran-under-failover");
        fails(&skewed(11_500), "no rule of the documentation");
    }

    #[test]
    fn a_majority_with_bad_links_may_replace_a_primary_with_good_ones() {
        let slow = |nodes: &[u16]| {
            let mut scene = Scene::new(3, 1).healthy();
            scene.apply("s1", "slow: {node: node-2, delay: 800ms}", 9000, Some(12_000), nodes);
            scene.run_until(11_000);
            scene.promote(1, 0);
            scene.run_until(25_000);
            scene.settle();
            lossy(scene)
        };
        excused(&slow(&[2, 4]), "cut-off-primary-window");
        fails(&slow(&[2]), "no rule of the documentation");
    }

    #[test]
    fn an_epoch_that_was_raised_may_give_slots_back() {
        let mut scene = killed(1);
        scene.apply("b1", "bump_epoch: {shard: 0}", 10_950, Some(10_960), &[0]);
        excused(&scene, "epoch-raised");
    }

    #[test]
    fn increments_answered_twice_are_counted_once_less() {
        let mut scene = killed(1);
        let mut incr = |node, count, at| {
            scene.op(node, OpKind::Incr, "c:9", None, Outcome::Ok(Value::Number(count)), at, at + 1);
        };
        incr(0, 1, 6000);
        incr(0, 2, 10_950);
        incr(1, 2, 20_000);
        scene.holds("c:9", 9, Value::Number(2));
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        assert_eq!(classes(&judgement), BTreeMap::from([("killed-primary-async-window", 2)]));
    }

    #[test]
    fn what_cannot_be_read_or_was_not_is_unknown() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().dump[0].value = Err("CLUSTERDOWN".into());
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.last().dump.remove(0);
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.last().settled_at = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.record.history.clear();
        scene.last().settled_at = Some(ms(11_000));
        assert_eq!(judge(&scene).verdict, Verdict::Unknown, "a load that wrote nothing");
        scene.record.timeline.load.rate.0 = 0;
        assert_eq!(judge(&scene).verdict, Verdict::NotOwed);
    }
}
