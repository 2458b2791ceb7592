//! `replication_lag`: once converged, every replica hears from its primary.
//!
//! What is judged is the time since the primary was last heard, with the load stopped. Up to the ping period
//! (10 s) silence is healthy on an idle link; below that a replica lags only if it trails in offset too.
//! Under load the distance is reported, never judged.
//!
//! The primary counts that period by its own clock, and the replica the silence by its own: `clock_skew` moves both.

use super::facts::{Facts, skipped};
use super::owed::PING_PERIOD;
use super::{Check, Judgement, Verdict};
use crate::catalogue::Action;
use crate::env::NodeId;
use crate::run::record::Record;
use crate::run::view::ClusterView;
use crate::time::{Micros, Millis};
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

/// How the clock of a node was set by `clock_skew`.
struct Clock {
    /// When, at which rate it ran from then on, in per cent, and how far it jumped ahead, in microseconds.
    set: Vec<(Micros, u64, u64)>,
}

impl Clock {
    fn of(record: &Record, node: NodeId) -> Self {
        let mut set = vec![(Micros(0), 100, 0)];
        for applied in record.applied.iter().filter(|one| one.resolved.contains(&node) && !skipped(one)) {
            if let Some(Action::ClockSkew(skew)) =
                record.timeline.event(&applied.event).map(|event| &event.action)
            {
                set.push((applied.started, u64::from(skew.rate.max(1)), skew.ahead.micros().0));
                // It stays where it is, and runs at its rate again, whatever else had set it.
                set.extend(applied.ended.map(|ended| (ended, 100, 0)));
            }
        }
        set.sort_by_key(|(at, ..)| *at);
        Self { set }
    }

    /// Since when it has counted that much by its rate alone, as timers do, at a moment.
    fn began(&self, at: Micros, mut counted: u64) -> Micros {
        let mut until = at.0;
        for (from, rate, _) in self.set.iter().rev().filter(|(from, ..)| *from <= at) {
            let here = (until - from.0) * rate / 100;
            if here >= counted {
                return Micros(until - counted * 100 / rate);
            }
            counted -= here;
            until = from.0;
        }
        Micros(0)
    }

    /// What it shows to have passed between two moments. One that jumped back shows less, which is left out.
    fn shows(&self, from: Micros, to: Micros) -> Millis {
        let mut micros = 0;
        for (place, (at, rate, ahead)) in self.set.iter().enumerate() {
            let next = self.set.get(place + 1).map_or(to, |(next, ..)| (*next).min(to));
            micros += next.0.saturating_sub(at.0.max(from.0)) * rate / 100;
            if from < *at && *at <= to {
                micros += ahead;
            }
        }
        Micros(micros).millis()
    }
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
        let mut by_clocks = 0;
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
                    let at = last.view.at;
                    let since = Clock::of(record, one.primary).began(at, period.micros().0);
                    let owed = Clock::of(record, one.replica).shows(since, at).max(period);
                    let within = self.within.unwrap_or(owed);
                    by_clocks += u64::from(silent > period && silent <= owed);
                    if silent > within && (trails || silent > within.max(owed)) {
                        lagging.push(format!("{pair}: nothing heard for {silent}, more than {within}"));
                    }
                }
            }
        }
        let looked_at = match under_load {
            Some(bytes) => format!("{} replicas; up to {bytes} bytes behind under load", last.catch_up.len()),
            None => format!("{} replicas", last.catch_up.len()),
        };
        let mut judgement = if !lagging.is_empty() {
            let reason = format!("{} replica(s) lag", lagging.len());
            Judgement::new(Self::NAME, Verdict::Fail, reason).with_evidence(lagging)
        } else if !unknown.is_empty() {
            let reason = format!("the lag of {} replica(s) could not be measured", unknown.len());
            Judgement::new(Self::NAME, Verdict::Unknown, reason).with_evidence(unknown)
        } else {
            let within = self.within.unwrap_or(period);
            Judgement::new(Self::NAME, Verdict::Pass, format!("at most {worst} (within {within})"))
        };
        if by_clocks > 0 {
            judgement.classes.insert("silence-by-skewed-clocks".into(), by_clocks);
        }
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
    fn a_primary_whose_clock_was_slow_counts_its_period_by_that() {
        let silent = |action: &str, on: u16, ended: u64, seconds: u64| {
            let mut scene = Scene::new(3, 1).healthy();
            scene.run_until(38_000);
            scene.settle();
            scene.apply("c1", action, 12_000, Some(ended), &[on]);
            scene.last().catch_up[0].last_io_s = Some(seconds);
            ReplicationLag { within: None, trailing: true }.judge(&scene.record)
        };
        let slow = "clock_skew: {node: node-0, rate: 50}";
        let judgement = silent(slow, 0, 38_600, 13);
        let seen = (judgement.verdict, judgement.classes.get("silence-by-skewed-clocks").copied());
        assert_eq!(seen, (Verdict::Pass, Some(1)), "{judgement:?}");
        // 1.4 s at its rate, and the other 9.6 s in twice the time.
        assert_eq!(silent(slow, 0, 38_600, 20).verdict, Verdict::Pass);
        assert_eq!(silent(slow, 0, 38_600, 21).verdict, Verdict::Fail, "that is longer than its own 11 s");
        assert_eq!(silent(slow, 0, 29_000, 12).verdict, Verdict::Fail, "it has run well for a period");
        assert_eq!(silent(slow, 1, 38_600, 12).verdict, Verdict::Fail, "a replica that is slow shows less");
        assert_eq!(silent(slow, 2, 38_600, 12).verdict, Verdict::Fail, "another primary");
        let fast = "clock_skew: {node: node-1, rate: 300}";
        assert_eq!(
            silent(fast, 1, 40_000, 33).verdict,
            Verdict::Pass,
            "the replica counts three times as much"
        );
        assert_eq!(silent(fast, 1, 40_000, 34).verdict, Verdict::Fail);
        assert_eq!(
            silent(fast, 0, 40_000, 12).verdict,
            Verdict::Fail,
            "a primary that is fast pings more often"
        );
    }

    #[test]
    fn a_replica_whose_clock_jumped_ahead_shows_that_as_silence() {
        for (at, seconds, verdict) in
            [(38_000, 16, Verdict::Pass), (38_000, 17, Verdict::Fail), (28_000, 12, Verdict::Fail)]
        {
            let mut scene = Scene::new(3, 1).healthy();
            scene.run_until(38_000);
            scene.settle();
            scene.apply("c1", "clock_skew: {node: node-1, ahead: 5s}", at, Some(at + 100), &[1]);
            scene.last().catch_up[0].last_io_s = Some(seconds);
            assert_eq!(judge(&scene, None), verdict, "{seconds} s, a jump at {at}");
        }
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
