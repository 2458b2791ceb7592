//! `data_consistency`: owner and replicas hold the same, and nobody else holds anything.
//!
//! Compared are logical values over READONLY connections, key by key, of every key that a client touched. Left
//! out are slots that the timeline left in two places, replicas that are not in sync (`replica_sync` speaks of
//! those), and missing keys where eviction is on. A key on a node that neither owns its slot nor replicates the
//! owner is a violation of its own; of a slot that no live node owns, the last owner and its replicas may hold it.

use super::facts::{Facts, names};
use super::{Check, Judgement, Verdict};
use crate::env::NodeId;
use crate::history::Value;
use crate::run::record::{KeyDump, Record};
use crate::run::view::ClusterView;
use std::collections::{BTreeMap, BTreeSet};

crate::record! {
    pub struct DataConsistency {
    }
}

impl DataConsistency {
    pub const NAME: &'static str = "data_consistency";
}

/// A value short enough for a line of evidence.
pub(super) fn brief(value: &Value) -> String {
    let cut = |text: &str| text.chars().take(40).collect::<String>();
    match value {
        Value::Missing => "nothing".into(),
        Value::Text(text) => format!("`{}`", cut(text)),
        Value::Number(number) => number.to_string(),
        Value::List(items) => format!("a list of {}", items.len()),
        Value::Set(items) => format!("a set of {}", items.len()),
    }
}

/// How two values of one key differ, in a few words.
fn difference(owner: &Value, replica: &Value) -> String {
    match (owner, replica) {
        (Value::List(one), Value::List(other)) | (Value::Set(one), Value::Set(other)) => {
            let (a, b): (BTreeSet<_>, BTreeSet<_>) = (one.iter().collect(), other.iter().collect());
            let (lacks, extra) = (a.difference(&b).count(), b.difference(&a).count());
            if lacks + extra == 0 {
                "the same elements in another order or number".into()
            } else {
                format!("{lacks} elements fewer and {extra} more than the owner")
            }
        }
        _ => format!("{} where the owner has {}", brief(replica), brief(owner)),
    }
}

struct Compared {
    wrong: Vec<String>,
    unknown: Vec<String>,
    classes: BTreeMap<String, u64>,
    copies: u64,
}

fn compare(dump: &KeyDump, astray: &[NodeId], behind: &BTreeSet<NodeId>, evicting: bool, out: &mut Compared) {
    let mut count = |class: &str| *out.classes.entry(class.into()).or_default() += 1;
    match &dump.value {
        Err(why) => out.unknown.push(format!("{}: {why}", dump.key)),
        Ok(value) => {
            for (node, held) in &dump.replicas {
                match held {
                    _ if behind.contains(node) => count("replica-not-in-sync"),
                    Err(why) => out.unknown.push(format!("{} on {node}: {why}", dump.key)),
                    Ok(held) if held == value => out.copies += 1,
                    Ok(held) if evicting && (*held == Value::Missing || *value == Value::Missing) => {
                        count("evicted");
                    }
                    Ok(held) => {
                        out.wrong.push(format!("{} on {node}: {}", dump.key, difference(value, held)));
                    }
                }
            }
        }
    }
    if !astray.is_empty() {
        let nodes = names(astray);
        out.wrong.push(format!("{} (slot {}) lies on {nodes}, which has no part in it", dump.key, dump.slot));
    }
}

/// The nodes that hold a key and have no part in its slot. A primary that is dead or dropped the slot leaves its
/// copy, and those of its replicas, where they were: nobody took the slot over, so nobody has to let go of it.
fn astray(facts: &Facts<'_>, view: &ClusterView, dump: &KeyDump) -> Vec<NodeId> {
    let within = |(first, last): &(u16, u16)| (*first..=*last).contains(&dump.slot);
    if view.answered().any(|(_, report)| report.own_slots().iter().any(within)) {
        return dump.strays.clone();
    }
    let owner = facts.owners_at(view.at).owner(dump.slot);
    let follows_owner = |node: NodeId| {
        let report = view.report(node)?;
        let primary = report.myself()?.primary.as_deref()?;
        report.members.iter().find(|member| member.id == primary)?.node
    };
    let strays = dump.strays.iter().copied();
    strays.filter(|node| Some(*node) != owner && follows_owner(*node) != owner).collect()
}

impl Check for DataConsistency {
    fn claim(&self) -> &'static str {
        "every replica holds what its primary holds, and no other node holds the key"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/replication: a replica is an exact copy; cluster-spec: a key lives on its slot's owner"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "every member holds the same contents",
            "Ongaro and Ousterhout 2014, figure 3, 'State Machine Safety'; etcd.io/docs/v3.5/op-guide/data_corruption; zookeeper.apache.org/doc/r3.8.0: Programmer's Guide, 'Consistency Guarantees' (single system image)",
        ))
    }

    fn judge(&self, record: &Record) -> Judgement {
        let Some(last) = &record.last else {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no view after the heal");
        };
        if last.settled_at.is_none() {
            return Judgement::new(Self::NAME, Verdict::Unknown, "the cluster did not settle");
        }
        if last.dump.is_empty() {
            return if record.timeline.load.is_none() && record.history.is_empty() {
                Judgement::new(Self::NAME, Verdict::NotOwed, "the timeline has no load, so there is no key")
            } else {
                Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no key was read back")
            };
        }
        let facts = Facts::of(record);
        let unclear = facts.slots_unclear();
        let evicting = facts.evicting();
        let behind: BTreeSet<NodeId> = last
            .catch_up
            .iter()
            .filter(|one| !one.link_up || one.after.is_none())
            .map(|one| one.replica)
            .collect();
        let mut out =
            Compared { wrong: Vec::new(), unknown: Vec::new(), classes: BTreeMap::new(), copies: 0 };
        let mut compared = 0;
        for dump in &last.dump {
            if unclear.contains(&dump.slot) {
                *out.classes.entry("slot-left-open".into()).or_default() += 1;
                continue;
            }
            compared += 1;
            compare(dump, &astray(&facts, &last.view, dump), &behind, evicting, &mut out);
        }
        let looked_at = format!("{compared} keys, {} equal copies on replicas", out.copies);
        let mut judgement = if !out.wrong.is_empty() {
            let reason = format!("{} key(s) differ or lie astray: {}", out.wrong.len(), out.wrong[0]);
            Judgement::new(Self::NAME, Verdict::Fail, reason).with_evidence(out.wrong)
        } else if !out.unknown.is_empty() {
            let reason = format!("{} key(s) could not be read: {}", out.unknown.len(), out.unknown[0]);
            Judgement::new(Self::NAME, Verdict::Unknown, reason).with_evidence(out.unknown)
        } else if compared == 0 {
            Judgement::new(
                Self::NAME,
                Verdict::Unknown,
                "nothing observed: every key lies in a slot left open",
            )
        } else {
            Judgement::new(Self::NAME, Verdict::Pass, "100% match across replicas")
        };
        judgement.classes = out.classes;
        judgement.looked_at(looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scene;
    use super::*;

    fn judge(scene: &Scene) -> Judgement {
        DataConsistency {}.judge(&scene.record)
    }

    #[test]
    fn a_replica_that_differs_is_found() {
        for held in [Value::Missing, Value::Text("other".into())] {
            let mut scene = Scene::new(3, 1).healthy();
            scene.last().dump[0].replicas[0].1 = Ok(held);
            let judgement = judge(&scene);
            assert_eq!(judgement.verdict, Verdict::Fail);
            assert!(judgement.evidence[0].contains("on node-1"), "{judgement:?}");
        }
    }

    #[test]
    fn a_list_in_another_order_is_found() {
        let list = |items: &[&str]| Value::List(items.iter().map(ToString::to_string).collect());
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().dump[0].value = Ok(list(&["a", "b"]));
        scene.last().dump[0].replicas[0].1 = Ok(list(&["b", "a"]));
        assert!(judge(&scene).evidence[0].contains("another order"));
        scene.last().dump[0].replicas[0].1 = Ok(list(&["a"]));
        assert!(judge(&scene).evidence[0].contains("1 elements fewer and 0 more"));
    }

    #[test]
    fn a_stray_key_is_found() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().dump[0].strays = vec![NodeId(4)];
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.evidence[0].contains("lies on node-4"), "{judgement:?}");
    }

    #[test]
    fn a_replica_of_the_dead_owner_is_no_place_to_lie_astray() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.kill("k1", 0, 11_000, None);
        scene.run_until(60_000);
        scene.settle();
        scene.last().dump[0].value = Err("no node claims its slot".into());
        scene.last().dump[0].replicas.clear();
        scene.last().dump[0].strays = vec![NodeId(1)];
        assert_eq!(judge(&scene).verdict, Verdict::Unknown, "{:?}", judge(&scene));
        scene.last().dump[0].strays = vec![NodeId(1), NodeId(4)];
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.evidence[0].contains("lies on node-4,"), "{judgement:?}");
    }

    #[test]
    fn slots_left_open_are_left_out_and_counted() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().dump[0].strays = vec![NodeId(4)];
        let slot = scene.last().dump[0].slot;
        scene.apply("r1", "reshard: {from: 0, to: 1}", 11_000, Some(12_000), &[0, 2]);
        scene.record.applied[0].slots = vec![slot];
        assert_eq!(judge(&scene).verdict, Verdict::Fail, "a move that ended leaves nothing behind");
        scene.record.applied[0].slots_left_open = vec![slot];
        let judgement = judge(&scene);
        assert_eq!((judgement.verdict, judgement.classes["slot-left-open"]), (Verdict::Pass, 4));
        scene.record.applied[0].slots_left_open.clear();
        scene.kill("k1", 0, 11_500, None);
        assert_eq!(judge(&scene).verdict, Verdict::Pass, "a kill in the middle of a move may strand keys");
    }

    #[test]
    fn a_replica_behind_is_for_replica_sync_to_judge() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().dump[0].replicas[0].1 = Ok(Value::Missing);
        scene.last().catch_up[0].after = None;
        let judgement = judge(&scene);
        assert_eq!((judgement.verdict, judgement.classes["replica-not-in-sync"]), (Verdict::Pass, 4));
    }

    #[test]
    fn eviction_excuses_a_missing_key_only() {
        let mut scene = Scene::new(3, 1)
            .setting("maxmemory", "100mb")
            .setting("maxmemory-policy", "allkeys-lru")
            .healthy();
        scene.last().dump[0].replicas[0].1 = Ok(Value::Missing);
        let judgement = judge(&scene);
        assert_eq!((judgement.verdict, judgement.classes["evicted"]), (Verdict::Pass, 1));
        scene.last().dump[0].replicas[0].1 = Ok(Value::Text("other".into()));
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().dump[0].replicas[0].1 = Err("timed out".into());
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().dump[0].value = Err("CLUSTERDOWN".into());
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.last().dump.clear();
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.last().settled_at = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
    }
}
