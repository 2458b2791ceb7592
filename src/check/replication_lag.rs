//! `replication_lag`: once converged, every replica hears from its primary.
//!
//! What is judged is the time since the primary was last heard, with the load stopped. Up to the ping period
//! (10 s) silence is healthy on an idle link; below that a replica lags only if it trails in offset too.
//! Under load the distance is reported, never judged.

use super::facts::Facts;
use super::owed::PING_PERIOD;
use super::{Check, Judgement, Verdict};
use crate::run::record::Record;
use crate::run::view::ClusterView;
use crate::time::Millis;
use crate::timeline::Role;

crate::record! {
    pub struct ReplicationLag {
        /// the longest that a replica may not have heard from its primary, once converged
        pub within: Option<Millis> = None,
        /// a replica that has the whole stream does not lag, up to the period of its primary's pings
        pub trailing: bool = true,
    }
}

impl ReplicationLag {
    pub const NAME: &'static str = "replication_lag";
}

/// The server counts whole seconds, so one more than the ping period may show.
const ROUNDING: Millis = Millis(1000);

/// The largest distance of a replica from its primary in one view, in bytes.
fn distance(view: &ClusterView) -> Option<u64> {
    let replicas = view.answered().filter(|(_, report)| report.replication.role == Role::Replica);
    let behind = replicas.filter_map(|(_, report)| {
        let id = report.myself()?.primary.as_deref()?;
        let (_, primary) = view.answered().find(|(_, other)| other.id == id)?;
        Some(primary.replication.offset.saturating_sub(report.replication.offset))
    });
    behind.max()
}

impl Check for ReplicationLag {
    fn claim(&self) -> &'static str {
        "once converged, every live replica has heard from its primary within the bound"
    }
    fn source(&self) -> &'static str {
        "valkey.conf, repl-ping-replica-period (10 s): a primary pings its replicas at least that often"
    }

    fn judge(&self, record: &Record) -> Judgement {
        let under_load = record.views.iter().filter_map(distance).max();
        let Some(last) = &record.last else {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no view after the heal");
        };
        if last.settled_at.is_none() {
            return Judgement::new(Self::NAME, Verdict::Unknown, "the cluster did not settle");
        }
        if last.catch_up.is_empty() {
            return if record.timeline.cluster.replicas == 0 {
                Judgement::new(Self::NAME, Verdict::NotOwed, "the cluster has no replica")
            } else {
                Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no replica was asked")
            };
        }
        let facts = Facts::of(record);
        let period = facts.setting("repl-ping-replica-period").and_then(|text| text.parse().ok());
        let period = period.map_or(PING_PERIOD, Millis::secs).saturating_add(ROUNDING);
        let within = self.within.unwrap_or(period);
        let mut lagging = Vec::new();
        let mut unknown = Vec::new();
        let mut worst = Millis(0);
        for one in &last.catch_up {
            let pair = format!("{} behind {}", one.replica, one.primary);
            match one.last_io_s.map(Millis::secs) {
                None => unknown.push(format!("{pair}: no link to measure")),
                Some(silent) => {
                    worst = worst.max(silent);
                    let trails = !self.trailing || one.after.is_none();
                    if silent > within && (trails || silent > within.max(period)) {
                        lagging.push(format!("{pair}: nothing heard for {silent}, more than {within}"));
                    }
                }
            }
        }
        let looked_at = match under_load {
            Some(bytes) => format!("{} replicas; up to {bytes} bytes behind under load", last.catch_up.len()),
            None => format!("{} replicas", last.catch_up.len()),
        };
        let judgement = if !lagging.is_empty() {
            let reason = format!("{} replica(s) lag", lagging.len());
            Judgement::new(Self::NAME, Verdict::Fail, reason).with_evidence(lagging)
        } else if !unknown.is_empty() {
            let reason = format!("the lag of {} replica(s) could not be measured", unknown.len());
            Judgement::new(Self::NAME, Verdict::Unknown, reason).with_evidence(unknown)
        } else {
            Judgement::new(Self::NAME, Verdict::Pass, format!("at most {worst} (within {within})"))
        };
        judgement.looked_at(looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scene;
    use super::*;

    fn judge(scene: &Scene, within: Option<u64>) -> Verdict {
        ReplicationLag { within: within.map(Millis::secs), trailing: true }.judge(&scene.record).verdict
    }

    #[test]
    fn silence_up_to_the_ping_period_is_healthy() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().catch_up[0].last_io_s = Some(10);
        assert_eq!(judge(&scene, None), Verdict::Pass);
        assert_eq!(judge(&scene, Some(5)), Verdict::Pass, "it does not trail");
        scene.last().catch_up[0].last_io_s = Some(12);
        assert_eq!(judge(&scene, None), Verdict::Fail);
        assert_eq!(judge(&scene, Some(5)), Verdict::Fail);
        assert_eq!(judge(&scene, Some(60)), Verdict::Pass);
    }

    #[test]
    fn below_the_ping_period_a_replica_that_trails_lags() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().catch_up[0].last_io_s = Some(6);
        scene.last().catch_up[0].after = None;
        assert_eq!(judge(&scene, Some(5)), Verdict::Fail);
        assert_eq!(judge(&scene, Some(6)), Verdict::Pass);
    }

    #[test]
    fn the_ping_period_is_the_servers_setting() {
        let mut scene = Scene::new(3, 1).setting("repl-ping-replica-period", "30").healthy();
        scene.last().catch_up[0].last_io_s = Some(31);
        assert_eq!(judge(&scene, None), Verdict::Pass);
        scene.last().catch_up[0].last_io_s = Some(32);
        assert_eq!(judge(&scene, None), Verdict::Fail);
    }

    #[test]
    fn without_a_measurement_it_is_unknown() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.last().catch_up[0].last_io_s = None;
        assert_eq!(judge(&scene, None), Verdict::Unknown);
        scene.last().catch_up.clear();
        assert_eq!(judge(&scene, None), Verdict::Unknown);
        assert_eq!(judge(&Scene::new(3, 0).healthy(), None), Verdict::NotOwed);
        scene.last().settled_at = None;
        assert_eq!(judge(&scene, None), Verdict::Unknown);
        scene.record.last = None;
        assert_eq!(judge(&scene, None), Verdict::Unknown);
    }

    #[test]
    fn the_distance_under_load_is_reported_without_a_verdict() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.report(0, 1).replication.offset -= 70;
        let judgement = ReplicationLag { within: None, trailing: true }.judge(&scene.record);
        assert_eq!(judgement.verdict, Verdict::Pass);
        assert!(judgement.looked_at.contains("70 bytes"), "{judgement:?}");
    }
}
