//! `convergence_time`: once everything is healed, the cluster settles within the bound.
//!
//! Settled is what the executor saw: two equal normalised views at least one second apart, with no event active
//! and no load. The bound is `owed::settle_bound`, or the scenario's own.

use super::facts::Facts;
use super::{Check, Judgement, Verdict};
use crate::run::record::Record;
use crate::time::Millis;

crate::record! {
    pub struct ConvergenceTime {
        /// the bound from the last heal to the settled state; computed from the failures when absent
        pub within: Option<Millis> = None,
    }
}

impl ConvergenceTime {
    pub const NAME: &'static str = "convergence_time";
}

impl Check for ConvergenceTime {
    fn claim(&self) -> &'static str {
        "after the last heal the cluster settles within its bound"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/cluster-spec, failure detection, election and rejoin delays; see check::owed"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "after the last heal the group has a leader whom all follow, within its bound",
            "Ongaro and Ousterhout 2014, 5.2 (elections by timeouts); settings `election-timeout`, `initLimit`, `syncLimit`; see check::owed",
        ))
    }

    fn judge(&self, record: &Record) -> Judgement {
        let Some(last) = &record.last else {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no view after the heal");
        };
        let bound = self.within.unwrap_or(last.bound);
        let made_of = if self.within.is_some() { "the scenario's own" } else { last.bound_why.as_str() };
        let looked_at = format!(
            "{} nodes from {} to {}",
            last.view.nodes.len(),
            record.when(record.healed_at),
            record.when(last.view.at)
        );
        let facts = Facts::of(record);
        let stretched = facts.stretched(record.healed_at, record.healed_at.plus(bound));
        let (verdict, reason) = match last.settled_at {
            Some(at) => {
                let took = at.since(record.healed_at).millis();
                if took <= bound {
                    (Verdict::Pass, format!("{took} (within {bound})"))
                } else if stretched {
                    (Verdict::Unknown, format!("{took} of {bound}, but the logical clock was held back"))
                } else {
                    (Verdict::Fail, format!("{took}, more than the bound of {bound} ({made_of})"))
                }
            }
            None if record.ended_early.is_some() => (Verdict::Unknown, "the run ended before that".into()),
            None if stretched => {
                (Verdict::Unknown, format!("not settled within {bound}, but the logical clock was held back"))
            }
            None => {
                let waited = last.view.at.since(record.healed_at).millis();
                if waited < bound {
                    (Verdict::Unknown, format!("not settled after {waited}; {bound} are allowed"))
                } else {
                    (Verdict::Fail, format!("not settled within {bound} ({made_of})"))
                }
            }
        };
        Judgement::new(Self::NAME, verdict, reason).looked_at(looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, ms};
    use super::*;

    fn judge(scene: &Scene, within: Option<u64>) -> Verdict {
        ConvergenceTime { within: within.map(Millis) }.judge(&scene.record).verdict
    }

    /// Healed at 20 s, settled at 23 s, bound 10 s, last view at 33 s.
    fn scene() -> Scene {
        let mut scene = Scene::new(3, 1).healthy();
        scene.record.healed_at = ms(20_000);
        scene.last().settled_at = Some(ms(23_000));
        scene.last().bound = Millis(10_000);
        scene.last().view.at = ms(33_000);
        scene
    }

    #[test]
    fn settled_within_the_bound_passes_and_a_moment_later_fails() {
        let mut scene = scene();
        assert_eq!(judge(&scene, None), Verdict::Pass);
        assert_eq!(judge(&scene, Some(3000)), Verdict::Pass);
        assert_eq!(judge(&scene, Some(2999)), Verdict::Fail);
        scene.last().settled_at = Some(ms(30_001));
        assert_eq!(judge(&scene, None), Verdict::Fail);
    }

    #[test]
    fn never_settled_fails_once_the_bound_has_passed() {
        let mut scene = scene();
        scene.last().settled_at = None;
        assert_eq!(judge(&scene, None), Verdict::Fail);
        assert_eq!(judge(&scene, Some(60_000)), Verdict::Unknown, "nobody waited that long");
    }

    #[test]
    fn a_clock_held_back_inside_the_bound_makes_it_unknown() {
        let mut scene = scene();
        scene.last().settled_at = None;
        scene.record.stretches = vec![(ms(25_000), Millis(40))];
        assert_eq!(judge(&scene, None), Verdict::Unknown);
        scene.record.stretches = vec![(ms(5000), Millis(40))];
        assert_eq!(judge(&scene, None), Verdict::Fail, "long before the heal it does not matter");
    }

    #[test]
    fn without_a_last_view_or_after_an_early_end_it_is_unknown() {
        let mut scene = scene();
        scene.last().settled_at = None;
        scene.record.ended_early = Some("interrupted".into());
        assert_eq!(judge(&scene, None), Verdict::Unknown);
        scene.record.last = None;
        assert_eq!(judge(&scene, None), Verdict::Unknown);
    }
}
