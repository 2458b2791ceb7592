//! `replica_sync`: once the load has stopped, every replica reaches its primary.
//!
//! The primary's offset is taken first and the replica must reach it, so that a write in between excuses
//! nothing. A replica that is dead or stopped on purpose is left out.

use super::{Check, Judgement, Verdict};
use crate::env::NodeId;
use crate::run::record::Record;
use crate::time::Millis;
use crate::timeline::Role;
use std::collections::BTreeSet;

crate::record! {
    pub struct ReplicaSync {
        /// how long a replica may take to catch up once the load has stopped
        pub within: Option<Millis> = None,
        /// live replicas that each shard must have at the end, unless a replica it lacks was killed
        pub least: u16 = 0,
        /// every replica of the start must live at the end, killed or not
        pub all: bool = false,
    }
}

impl ReplicaSync {
    pub const NAME: &'static str = "replica_sync";
}

/// The live replicas of live primaries, by their own word.
fn replicas_in(record: &Record) -> BTreeSet<NodeId> {
    let Some(last) = &record.last else { return BTreeSet::new() };
    let ids: BTreeSet<&str> = last.view.answered().map(|(_, report)| report.id.as_str()).collect();
    let live = last.view.answered().filter(|(_, report)| {
        report.replication.role == Role::Replica
            && report.myself().and_then(|me| me.primary.as_deref()).is_some_and(|id| ids.contains(id))
    });
    live.map(|(node, _)| node).collect()
}

impl ReplicaSync {
    /// Shards that have fewer live nodes beside a primary than the scenario asks for.
    fn missing(&self, record: &Record) -> Vec<String> {
        let Some(last) = &record.last else { return Vec::new() };
        let cluster = &record.timeline.cluster;
        let answers = |node: &NodeId| last.view.report(*node).is_some();
        let short = |shard: u16| {
            let nodes = (0..=cluster.replicas).map(|place| NodeId(cluster.node(shard, place)));
            let (live, gone): (Vec<_>, Vec<_>) = nodes.partition(answers);
            let killed = |node: &NodeId| {
                last.removed.contains(node)
                    || record.lives.iter().any(|life| life.node == *node && life.ended.is_some())
            };
            let replicas = live.len().saturating_sub(1);
            let wanted = if self.all { cluster.replicas } else { self.least };
            let owed = self.all || !gone.iter().any(killed);
            (owed && replicas < usize::from(wanted))
                .then(|| format!("shard {shard} has {replicas} live replicas, fewer than {wanted}"))
        };
        (0..cluster.shards).filter_map(short).collect()
    }
}

impl Check for ReplicaSync {
    fn claim(&self) -> &'static str {
        "with the load stopped, every live replica has its link up and reaches its primary's offset"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/replication: a connected replica receives the whole stream of its primary"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "with the load stopped, every live follower reaches what its leader has applied",
            "Ongaro and Ousterhout 2014, 5.3: a leader retries until all followers store all log entries",
        ))
    }

    fn judge(&self, record: &Record) -> Judgement {
        let Some(last) = &record.last else {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no view after the heal");
        };
        if last.settled_at.is_none() {
            return Judgement::new(Self::NAME, Verdict::Unknown, "the cluster did not settle");
        }
        let missing = self.missing(record);
        let expected = replicas_in(record);
        if missing.is_empty() && expected.is_empty() && last.catch_up.is_empty() {
            return if record.timeline.cluster.replicas == 0 {
                Judgement::new(Self::NAME, Verdict::NotOwed, "the cluster has no replica")
            } else {
                Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no live replica")
            };
        }
        let mut wrong = missing;
        let mut unknown = Vec::new();
        let mut slowest = Millis(0);
        for one in &last.catch_up {
            let pair = format!("{} behind {}", one.replica, one.primary);
            let Some(offset) = one.replica_offset else {
                unknown.push(format!("{pair}: no answer"));
                continue;
            };
            if !one.link_up {
                wrong.push(format!("{pair}: its link is down"));
            } else if !one.same_replication_id {
                wrong.push(format!("{pair}: it follows another replication stream"));
            } else {
                match (one.after, self.within) {
                    (None, _) => wrong.push(format!("{pair}: at offset {offset} of {}", one.primary_offset)),
                    (Some(after), Some(within)) if after > within => {
                        wrong.push(format!("{pair}: caught up after {after}, more than {within}"));
                    }
                    (Some(after), _) => slowest = slowest.max(after),
                }
            }
        }
        let seen: BTreeSet<NodeId> = last.catch_up.iter().map(|one| one.replica).collect();
        unknown.extend(expected.difference(&seen).map(|node| format!("{node}: not asked")));
        let looked_at = format!("{} replicas", last.catch_up.len());
        let judgement = if !wrong.is_empty() {
            let reason = format!("{} replica(s) are missing or did not reach their primary", wrong.len());
            Judgement::new(Self::NAME, Verdict::Fail, reason).with_evidence(wrong)
        } else if !unknown.is_empty() {
            let reason = format!("{} replica(s) could not be asked", unknown.len());
            Judgement::new(Self::NAME, Verdict::Unknown, reason).with_evidence(unknown)
        } else {
            let reason = format!("all replicas synchronized, the slowest after {slowest}");
            Judgement::new(Self::NAME, Verdict::Pass, reason)
        };
        judgement.looked_at(looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scene;
    use super::*;

    fn judge(scene: &Scene) -> Judgement {
        ReplicaSync { within: Some(Millis(5000)), least: 0, all: false }.judge(&scene.record)
    }

    #[test]
    fn each_way_to_fall_behind_is_found() {
        for (name, text) in [("link", "link is down"), ("stream", "another"), ("offset", "at offset")] {
            let mut scene = Scene::new(3, 1).healthy();
            let one = &mut scene.last().catch_up[1];
            match name {
                "link" => one.link_up = false,
                "stream" => one.same_replication_id = false,
                _ => one.after = None,
            }
            let judgement = judge(&scene);
            assert_eq!(judgement.verdict, Verdict::Fail, "{name}");
            assert!(judgement.evidence[0].contains("node-3 behind node-2"), "{judgement:?}");
            assert!(judgement.evidence[0].contains(text), "{judgement:?}");
        }
    }

    #[test]
    fn the_bound_is_the_scenarios() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().catch_up[0].after = Some(Millis(5000));
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.last().catch_up[0].after = Some(Millis(5001));
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
        assert_eq!(
            ReplicaSync { within: None, least: 0, all: false }.judge(&scene.record).verdict,
            Verdict::Pass
        );
    }

    #[test]
    fn replicas_that_the_scenario_asks_for_must_live() {
        let least = |least| ReplicaSync { within: None, least, all: false };
        let all = ReplicaSync { within: None, least: 0, all: true };
        let mut scene = Scene::new(3, 1).healthy();
        assert_eq!(least(1).judge(&scene.record).verdict, Verdict::Pass);
        assert_eq!(least(2).judge(&scene.record).verdict, Verdict::Fail);
        assert_eq!(all.judge(&scene.record).verdict, Verdict::Pass);
        scene.kill("k1", 1, 11_000, None);
        scene.run_until(30_000);
        scene.settle();
        assert_eq!(least(1).judge(&scene.record).verdict, Verdict::Pass, "the one it lacks was killed");
        assert_eq!(all.judge(&scene.record).verdict, Verdict::Fail);
    }

    #[test]
    fn a_replica_that_was_not_asked_or_did_not_answer_is_unknown() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().catch_up[0].replica_offset = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.last().catch_up.remove(0);
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.record.last = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
    }

    #[test]
    fn an_unsettled_cluster_is_unknown_and_one_without_replicas_owes_nothing() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().settled_at = None;
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        assert_eq!(judge(&Scene::new(3, 0).healthy()).verdict, Verdict::NotOwed);
    }
}
