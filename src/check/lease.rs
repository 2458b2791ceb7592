//! `leases`: a lease that is kept alive lives with its keys, one that is not goes in time, one that is over stays so.
//!
//! A server that grants or renews a lease says for how long, counted from when it did so, which is not before the request
//! was sent. Keys are counted by linearizable reads, so that a count stands for a moment before its answer was there:
//! fewer keys than were put, with an answer before that time was up, means that the lease ended early. Whether a
//! member says that it knows no such lease decides nothing: one that has fallen behind does not know it yet.

use super::facts::{Facts, skipped};
use super::{Check, Judgement, Verdict};
use crate::catalogue::ActionKind;
use crate::fault::clock_skew::ClockSkew;
use crate::fault::clock_strobe::ClockStrobe;
use crate::history::{Lease, LeaseAsk, LeaseSaid};
use crate::run::record::{Applied, Record};
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::collections::BTreeMap;

crate::record! {
    pub struct Leases {
        /// how long the keys of a lease may outlive its time and an election timeout
        pub within: Millis = Millis(5000),
    }
}

impl Leases {
    pub const NAME: &'static str = "leases";
}

/// etcd's own, where a scenario says nothing.
const ELECTION_TIMEOUT: Millis = Millis(1000);
/// Seconds are whole in answers.
const SECOND: Millis = Millis(1000);

/// What was looked at.
#[derive(Default)]
struct Counts {
    leases: u64,
    kept: u64,
    ended: u64,
    revoked: u64,
    /// Times at which a lease that was over was asked for, in vain.
    refused: u64,
    clock_moved: u64,
}

/// What the run says about leases that nobody renews.
struct Calm<'a> {
    record: &'a Record,
    facts: Facts<'a>,
    /// When the leader or its term was seen to be another.
    led_anew: Vec<Micros>,
    election: Millis,
}

impl<'a> Calm<'a> {
    fn of(record: &'a Record) -> Self {
        let facts = Facts::of(record);
        let mut led_anew: Vec<Micros> = Vec::new();
        let mut before = None;
        for view in &record.views {
            let leads = |report: &&crate::run::view::NodeReport| report.replication.role == Role::Primary;
            let led = view.answered().filter(|(_, report)| leads(report));
            let led = led.map(|(node, report)| (report.current_epoch, node)).max();
            if before.is_some_and(|before| before != led) {
                led_anew.push(view.at);
            }
            before = Some(led);
        }
        let said = record.log_lines.iter().filter(|line| line.line.contains("became leader at term"));
        led_anew.extend(said.map(|line| line.at));
        let election = facts.setting("election-timeout").and_then(|text| text.parse().ok());
        Self { record, facts, led_anew, election: election.map_or(ELECTION_TIMEOUT, Millis) }
    }

    fn disturbs(&self, applied: &Applied) -> bool {
        let event = self.record.timeline.event(&applied.event);
        let harm = event.is_some_and(|event| event.action.info().kind == ActionKind::Sabotage);
        !skipped(applied) && !harm
    }

    /// Since when nothing happened that puts the end of a lease off, up to a moment; nothing if something still goes on.
    /// A leader counts each lease's time anew when it is elected, and nothing ends without a quorum.
    fn since(&self, last: Micros, until: Micros) -> Option<Micros> {
        let mut since = last;
        for applied in self.record.applied.iter().filter(|applied| self.disturbs(applied)) {
            match applied.ended {
                _ if applied.started > until => {}
                None => return None,
                Some(ended) if ended > until => return None,
                Some(ended) => since = since.max(ended),
            }
        }
        let starts = self.record.lives.iter().map(|life| life.started);
        let others = [self.record.healed_at];
        for at in self.led_anew.iter().copied().chain(starts).chain(others).filter(|at| *at <= until) {
            since = since.max(at);
        }
        (!self.facts.stretched(since, until)).then_some(since)
    }

    /// The queue of ends goes by the time of day (`LeaseQueue` in etcd 3.4's `lease/lease_queue.go`).
    fn clock_moved(&self, until: Micros) -> bool {
        let moves = |applied: &&Applied| {
            matches!(applied.action.as_str(), ClockSkew::NAME | ClockStrobe::NAME) && applied.started <= until
        };
        self.record.applied.iter().filter(|applied| !skipped(applied)).any(|applied| moves(&applied))
    }
}

/// Goes through what became of one lease.
fn follow(calm: &Calm<'_>, lease: &Lease, within: Millis, counts: &mut Counts, odd: &mut Vec<String>) {
    let record = calm.record;
    let mut granted = Millis(0);
    // Until when it must live, by which call, and the last moment at which it may have been renewed.
    let (mut promised, mut last) = (Micros(0), Micros(0));
    let (mut attached, mut asked_to_end) = (false, false);
    let (mut revoked, mut gone): (Option<Micros>, Option<Micros>) = (None, None);
    let mut late = false;
    for call in &lease.calls {
        let mut hold =
            |what: String| odd.push(format!("{}: {what}, at {}", lease.title(), record.when(call.back)));
        match (call.ask, &call.said) {
            (LeaseAsk::Grant, LeaseSaid::For(time)) => {
                (granted, promised, last) = (*time, call.sent.plus(*time), call.back);
                counts.leases += 1;
            }
            (LeaseAsk::Attach, LeaseSaid::Done) => attached = true,
            (LeaseAsk::KeepAlive, LeaseSaid::For(time)) => match (revoked, gone) {
                (Some(at), _) => hold(format!(
                    "{} renewed it for {time} though it was revoked at {}",
                    call.node,
                    record.when(at)
                )),
                (None, Some(at)) => hold(format!(
                    "{} renewed it for {time} though its keys had been gone since {}",
                    call.node,
                    record.when(at)
                )),
                (None, None) => {
                    promised = promised.max(call.sent.plus(*time));
                    last = call.back;
                }
            },
            (LeaseAsk::KeepAlive, LeaseSaid::NoLease) => {
                counts.refused += u64::from(revoked.or(gone).is_some());
            }
            (LeaseAsk::KeepAlive, LeaseSaid::Unknown(_)) => last = call.back,
            (LeaseAsk::Left, LeaseSaid::For(left))
                if *left > granted.saturating_add(calm.election).saturating_add(SECOND) =>
            {
                hold(format!("{} says that {left} of {granted} are left", call.node));
            }
            (LeaseAsk::Revoke, LeaseSaid::Done) => {
                (asked_to_end, revoked) = (true, Some(call.back));
                counts.revoked += 1;
            }
            (LeaseAsk::Revoke, LeaseSaid::Unknown(_)) => asked_to_end = true,
            (LeaseAsk::Read, LeaseSaid::Keys(count)) if attached => {
                if *count < lease.keys && !asked_to_end && gone.is_none() && call.back < promised {
                    hold(format!(
                        "{count} of its {} keys were there, though it was granted or renewed until {}",
                        lease.keys,
                        record.when(promised)
                    ));
                }
                counts.kept += u64::from(!asked_to_end && call.back < promised);
                if *count == 0 {
                    counts.ended += u64::from(gone.is_none() && revoked.is_none());
                    gone = gone.or(Some(call.back));
                    continue;
                }
                if let Some(at) = revoked {
                    hold(format!(
                        "{count} of its keys were there after it was revoked at {}",
                        record.when(at)
                    ));
                } else if let Some(at) = gone {
                    hold(format!("{count} of its keys were there again, gone since {}", record.when(at)));
                } else if !late && let Some(since) = calm.since(last, call.sent) {
                    let bound = granted.saturating_add(calm.election).saturating_add(within);
                    if call.sent > since.plus(bound) && calm.clock_moved(call.sent) {
                        counts.clock_moved += 1;
                        late = true;
                    } else if call.sent > since.plus(bound) {
                        hold(format!(
                            "{count} of its keys were there {} after it was last renewed or a leader elected, with nothing \
                             going on; it was for {granted}, and {bound} is the bound",
                            call.sent.since(since).millis()
                        ));
                        late = true;
                    }
                }
            }
            _ => {}
        }
    }
}

impl Check for Leases {
    fn claim(&self) -> &'static str {
        "a lease lives with its keys while it is kept alive, goes in time when it is not, and is never renewed once it is over"
    }
    fn source(&self) -> &'static str {
        "etcd.io/docs/v3.4/learning/api, 'Lease API'; etcd.io/docs/v3.4/learning/api_guarantees; `Promote`, `Renew` in lease/lessor.go"
    }

    fn judge(&self, record: &Record) -> Judgement {
        if record.timeline.load.leases == 0 {
            return Judgement::new(Self::NAME, Verdict::NotOwed, "nobody holds a lease in this timeline");
        }
        let calm = Calm::of(record);
        let (mut counts, mut odd) = (Counts::default(), Vec::new());
        for lease in &record.leases {
            follow(&calm, lease, self.within, &mut counts, &mut odd);
        }
        let looked_at = format!(
            "{} leases; {} counts of keys while they were alive; {} revoked, {} seen to end by themselves; {} times one that \
             was over was not renewed",
            counts.leases, counts.kept, counts.revoked, counts.ended, counts.refused
        );
        if odd.is_empty() && (counts.kept == 0 || counts.revoked + counts.ended == 0) {
            let reason = "nothing observed: no lease was seen to live and to end";
            return Judgement::new(Self::NAME, Verdict::Unknown, reason).looked_at(looked_at);
        }
        let (verdict, reason) = match odd.len() {
            0 => (Verdict::Pass, "every lease lived and ended as it had to".to_string()),
            count => (Verdict::Fail, format!("{count} time(s) a lease did not live or end as it had to")),
        };
        let mut judgement =
            Judgement::new(Self::NAME, verdict, reason).looked_at(looked_at).with_evidence(odd);
        judgement.classes = BTreeMap::from([("clock-moved-under-lease".to_string(), counts.clock_moved)]);
        judgement.classes.retain(|_, count| *count > 0);
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scene;
    use super::*;
    use crate::env::NodeId;
    use crate::history::{Ending, LeaseCall};
    use LeaseAsk::{Attach, Grant, KeepAlive, Left, Read, Revoke};
    use LeaseSaid::{Done, For, Keys, NoLease, Unknown};

    const TWO: LeaseSaid = For(Millis(2000));

    fn lease(calls: &[(u64, LeaseAsk, LeaseSaid)]) -> Lease {
        let call = |(at, ask, said): &(u64, LeaseAsk, LeaseSaid)| LeaseCall {
            ask: *ask,
            node: NodeId(0),
            sent: Micros(at * 1000),
            back: Micros(at * 1000 + 10_000),
            said: said.clone(),
        };
        let granted = [(6000, Grant, TWO), (6020, Attach, Done)];
        Lease {
            holder: 0,
            number: 0,
            id: 1,
            prefix: "lease/0/0/".into(),
            keys: 2,
            ending: Ending::Abandon,
            calls: granted.iter().chain(calls).map(call).collect(),
        }
    }
    fn scene(leases: Vec<Lease>) -> Scene {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.record.timeline.load.leases = 1;
        scene.record.leases = leases;
        scene
    }
    fn judge(calls: &[(u64, LeaseAsk, LeaseSaid)]) -> Judgement {
        // The scene's healing is none of it.
        let mut scene = scene(vec![lease(calls)]);
        scene.record.healed_at = Micros(30_000_000);
        Leases { within: Millis(5000) }.judge(&scene.record)
    }

    #[test]
    fn leases_that_live_and_end_as_they_should_pass() {
        for calls in [
            vec![(7000, Read, Keys(2)), (9000, Read, Keys(0)), (9100, KeepAlive, NoLease)],
            vec![(7000, KeepAlive, TWO), (8500, Read, Keys(2)), (9500, Revoke, Done), (9600, Read, Keys(0))],
            // Less than it was for and not more than an election timeout more.
            vec![(7000, Read, Keys(2)), (7500, Left, For(Millis(3000))), (14_000, Read, Keys(0))],
            // It may have been revoked.
            vec![(6500, Read, Keys(2)), (7000, Revoke, Unknown("no answer".into())), (7100, Read, Keys(0))],
        ] {
            let judgement = judge(&calls);
            assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        }
    }

    #[test]
    fn each_promise_is_held_against_a_lease() {
        for (calls, words) in [
            (vec![(7000, Read, Keys(0))], "0 of its 2 keys were there, though"),
            (vec![(7000, Read, Keys(1))], "1 of its 2 keys were there, though"),
            (vec![(7900, KeepAlive, TWO), (8500, Read, Keys(0))], "though it was granted or renewed until"),
            (
                vec![(7000, Read, Keys(2)), (7500, Revoke, Done), (7600, KeepAlive, TWO)],
                "renewed it for 2s though it was revoked",
            ),
            (vec![(9000, Read, Keys(0)), (9100, KeepAlive, TWO)], "though its keys had been gone"),
            (vec![(7500, Revoke, Done), (7600, Read, Keys(2))], "were there after it was revoked"),
            (vec![(9000, Read, Keys(0)), (9500, Read, Keys(2))], "were there again"),
            (vec![(14_100, Read, Keys(2))], "with nothing going on"),
            (vec![(7000, Left, For(Millis(9000)))], "says that 9s of 2s are left"),
        ] {
            let judgement = judge(&calls);
            assert_eq!(judgement.verdict, Verdict::Fail, "{words}");
            assert!(judgement.evidence[0].contains(words), "{words}: {judgement:?}");
        }
    }

    #[test]
    fn what_puts_the_end_of_a_lease_off_is_waited_for() {
        let late = || lease(&[(7000, Read, Keys(2)), (14_100, Read, Keys(2)), (16_000, Read, Keys(0))]);
        let judge = |change: &dyn Fn(&mut Scene)| {
            let mut scene = scene(vec![late()]);
            scene.record.healed_at = Micros(30_000_000);
            change(&mut scene);
            Leases { within: Millis(5000) }.judge(&scene.record)
        };
        assert_eq!(judge(&|_| {}).verdict, Verdict::Fail);
        let killed = judge(&|scene| scene.kill("k1", 1, 9000, Some(9500)));
        assert_eq!(killed.verdict, Verdict::Pass, "{killed:?}");
        let healed = judge(&|scene| scene.record.healed_at = Micros(10_000_000));
        assert_eq!(healed.verdict, Verdict::Pass, "{healed:?}");
        let clock = judge(&|scene| {
            scene.apply("c1", "clock_skew: {node: node-0, ahead: 5s}", 5500, Some(5600), &[0]);
        });
        assert_eq!(clock.verdict, Verdict::Pass, "{clock:?}");
        assert_eq!(clock.classes.get("clock-moved-under-lease"), Some(&1));
    }

    #[test]
    fn leases_that_nobody_saw_end_say_nothing() {
        assert_eq!(judge(&[]).verdict, Verdict::Unknown);
        assert_eq!(judge(&[(7000, Read, Keys(2))]).verdict, Verdict::Unknown);
        let mut scene = scene(Vec::new());
        scene.record.timeline.load.leases = 0;
        assert_eq!(Leases { within: Millis(5000) }.judge(&scene.record).verdict, Verdict::NotOwed);
    }
}
