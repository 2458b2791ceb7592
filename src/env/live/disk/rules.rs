//! What the rules on one disk make of a call: a decision without clock, file or thread.
//!
//! The order is that of `exact` (`shim/disk.rs`): rules are asked in the order in which they were put, delays add up, of
//! errors the last counts, and what ends or stops the node goes before all. A rule counts the calls that it is about,
//! whatever other rules make of them.

use super::filter::Kind;
use crate::fault::disk::{Blow, DiskErrno, DiskRule, transfer};

/// A call to a file of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub kind: Kind,
    /// The bytes of a write.
    pub length: u64,
    /// Whether a part of it can be done; space cannot be reserved in part.
    pub in_parts: bool,
    /// Room is reserved, and nothing written.
    pub reserves: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// Only so many bytes are written.
    Short(u64),
    Error(DiskErrno),
    /// The node ends; so many bytes are written first.
    End(u64),
    /// The call is made when the node goes on, which is stopped.
    Hold,
}

/// A rule struck for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub event: String,
    pub blow: Option<Blow>,
    /// What became of the call, as the predicate of a sentence: about the call, or about the node if it is a blow.
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub fate: Fate,
    /// How long it takes, in microseconds.
    pub delay: u64,
    pub hits: Vec<Hit>,
}

#[derive(Debug, Default)]
pub struct Rules(Vec<Held>);

/// A rule and how far it has counted.
#[derive(Debug)]
struct Held {
    event: String,
    rule: DiskRule,
    /// Calls until the first that is struck, that one included.
    countdown: u64,
    /// Calls that are still to be struck.
    times: u64,
    /// Bytes for which there is room.
    room: u64,
    /// Decides where a write is torn.
    word: u64,
    /// Calls that it struck.
    struck: u64,
    /// When what was written at a rate is through, in microseconds.
    busy: u64,
}

/// A rule that was taken off.
#[derive(Debug, PartialEq, Eq)]
pub struct Lifted {
    pub rule: DiskRule,
    /// Calls that it struck.
    pub struck: u64,
}

impl Rules {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts an event's rule, in place of the one it had. `word` decides where a write is torn.
    pub fn put(&mut self, event: &str, rule: DiskRule, word: u64) {
        self.lift(event);
        let (countdown, times, room) = match &rule {
            DiskRule::Fail { nth, count: 0, .. } => (u64::from(*nth), u64::MAX, 0),
            DiskRule::Fail { nth, count, .. } => (u64::from(*nth), u64::from(*count), 0),
            DiskRule::Full { room } => (1, u64::MAX, *room),
            DiskRule::Slow { .. } => (1, u64::MAX, 0),
            DiskRule::Strike { nth, .. } => (u64::from(*nth), 1, 0),
        };
        self.0.push(Held { event: event.into(), rule, countdown, times, room, word, struck: 0, busy: 0 });
    }

    pub fn lift(&mut self, event: &str) -> Option<Lifted> {
        let at = self.0.iter().position(|held| held.event == event)?;
        let Held { rule, struck, .. } = self.0.remove(at);
        Some(Lifted { rule, struck })
    }

    /// Whether some rule lets calls last.
    pub fn slow(&self) -> bool {
        self.0.iter().any(|held| matches!(held.rule, DiskRule::Slow { .. }))
    }

    /// `now` is in microseconds, since whenever.
    pub fn judge(&mut self, call: Call, now: u64) -> Verdict {
        let mut verdict = Verdict { fate: Fate::Done, delay: 0, hits: Vec::new() };
        for held in &mut self.0 {
            if held.rule.calls().hold(call.kind.into()) {
                held.judge(call, now, &mut verdict);
            }
        }
        verdict
    }
}

impl Held {
    fn judge(&mut self, call: Call, now: u64, verdict: &mut Verdict) {
        let over = matches!(verdict.fate, Fate::End(_) | Fate::Hold);
        match self.rule.clone() {
            DiskRule::Slow { delay, read, rate } => {
                let delay = if call.kind == Kind::Read { read } else { delay };
                self.struck += 1;
                verdict.delay = verdict.delay.saturating_add(delay.micros().0);
                if call.kind == Kind::Write && !call.reserves && rate > 0 {
                    self.busy = self.busy.max(now).saturating_add(transfer(call.length, rate));
                    verdict.delay = verdict.delay.saturating_add(self.busy - now);
                }
            }
            // Where another rule let the call fail nothing is written.
            DiskRule::Full { .. } if verdict.fate == Fate::Done => {
                if call.length <= self.room {
                    self.room -= call.length;
                    return;
                }
                let fits = if call.in_parts { std::mem::take(&mut self.room) } else { 0 };
                verdict.fate = if fits == 0 { Fate::Error(DiskErrno::NoSpace) } else { Fate::Short(fits) };
                self.hit(None, "did not fit on its disk".into(), verdict);
            }
            DiskRule::Full { .. } => {}
            DiskRule::Fail { error, .. } => {
                if self.counts() && !over {
                    verdict.fate = Fate::Error(error);
                    self.hit(None, format!("failed by {error}"), verdict);
                }
            }
            DiskRule::Strike { how, .. } => {
                if !self.counts() || over {
                    return;
                }
                let (fate, what) = match how {
                    Blow::Torn => {
                        let part = self.word.checked_rem(call.length).unwrap_or(0);
                        (Fate::End(if call.in_parts { part } else { 0 }), "was killed in the middle of")
                    }
                    Blow::Kill => (Fate::End(0), "was killed before"),
                    Blow::Power => (Fate::End(0), "lost its power before"),
                    Blow::Pause => (Fate::Hold, "was stopped before"),
                };
                verdict.fate = fate;
                self.hit(Some(how), what.into(), verdict);
            }
        }
    }

    /// Counts a call that the rule is about; whether it strikes.
    fn counts(&mut self) -> bool {
        if self.countdown > 1 {
            self.countdown -= 1;
            return false;
        }
        let strikes = self.times > 0;
        self.times = self.times.saturating_sub(1);
        strikes
    }

    fn hit(&mut self, blow: Option<Blow>, what: String, verdict: &mut Verdict) {
        self.struck += 1;
        if self.struck == 1 {
            verdict.hits.push(Hit { event: self.event.clone(), blow, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::disk::FileCall;
    use crate::time::Millis;

    const SYNC: Call = Call { kind: Kind::Sync, length: 0, in_parts: false, reserves: false };

    fn write(length: u64) -> Call {
        Call { kind: Kind::Write, length, in_parts: true, reserves: false }
    }

    fn fates(rules: &mut Rules, calls: &[Call]) -> Vec<Fate> {
        calls.iter().map(|call| rules.judge(*call, 0).fate).collect()
    }

    #[test]
    fn from_the_nth_call_on_so_many_fail_and_the_first_is_told() {
        let mut rules = Rules::default();
        rules.put("e", DiskRule::Fail { call: FileCall::Sync, error: DiskErrno::Io, nth: 2, count: 2 }, 0);
        let error = Fate::Error(DiskErrno::Io);
        let mixed = [SYNC, write(1), SYNC, SYNC, SYNC];
        assert_eq!(fates(&mut rules, &mixed), [Fate::Done, Fate::Done, error, error, Fate::Done]);
        assert_eq!(rules.lift("e").map(|lifted| lifted.struck), Some(2));
        assert!(rules.is_empty());
        rules.put("f", DiskRule::Fail { call: FileCall::Any, error: DiskErrno::Io, nth: 1, count: 0 }, 0);
        let told: Vec<usize> = (0..3).map(|_| rules.judge(SYNC, 0).hits.len()).collect();
        assert_eq!(told, [1, 0, 0]);
    }

    #[test]
    fn a_full_disk_shortens_a_write_and_refuses_the_next_and_reserves_nothing_in_part() {
        let mut rules = Rules::default();
        rules.put("e", DiskRule::Full { room: 10 }, 0);
        let reserve = Call { in_parts: false, reserves: true, ..write(11) };
        let none = Fate::Error(DiskErrno::NoSpace);
        let wanted = [write(4), reserve, write(9), write(1), write(0), SYNC];
        assert_eq!(
            fates(&mut rules, &wanted),
            [Fate::Done, none, Fate::Short(6), none, Fate::Done, Fate::Done]
        );
    }

    #[test]
    fn delays_add_up_and_what_ends_the_node_goes_before_an_error() {
        let mut rules = Rules::default();
        rules.put("slow", DiskRule::Slow { delay: Millis(3), read: Millis(0), rate: 0 }, 0);
        rules.put("slower", DiskRule::Slow { delay: Millis(4), read: Millis(9), rate: 0 }, 0);
        assert_eq!(rules.judge(SYNC, 0), Verdict { fate: Fate::Done, delay: 7000, hits: Vec::new() });
        assert_eq!(rules.judge(Call { kind: Kind::Rename, ..SYNC }, 0).delay, 0);
        assert_eq!(rules.judge(Call { kind: Kind::Read, ..SYNC }, 0).delay, 9000);
        let strike = |how| DiskRule::Strike { call: FileCall::Write, nth: 1, how };
        rules.put("tear", strike(Blow::Torn), 25);
        rules.put("fail", DiskRule::Fail { call: FileCall::Any, error: DiskErrno::Io, nth: 1, count: 0 }, 0);
        let verdict = rules.judge(write(10), 0);
        assert_eq!(verdict.fate, Fate::End(5));
        assert_eq!(verdict.hits.len(), 1, "{verdict:?}");
        assert_eq!(rules.judge(write(10), 0).fate, Fate::Error(DiskErrno::Io), "it strikes once");
    }
    #[test]
    fn writes_at_a_rate_wait_for_one_another_and_syncs_for_none() {
        let mut rules = Rules::default();
        rules.put("narrow", DiskRule::Slow { delay: Millis(0), read: Millis(0), rate: 500 }, 0);
        let delays = |rules: &mut Rules, calls: &[(Call, u64)]| -> Vec<u64> {
            calls.iter().map(|(call, now)| rules.judge(*call, *now).delay).collect()
        };
        // 500 bytes take a millisecond.
        let calls =
            [(write(500), 0), (write(500), 400), (SYNC, 500), (write(250), 10_000), (write(0), 10_100)];
        let reserve = Call { in_parts: false, reserves: true, ..write(1 << 26) };
        assert_eq!(rules.judge(reserve, 0).delay, 0);
        assert_eq!(delays(&mut rules, &calls), [1000, 1600, 0, 500, 400]);
    }
}
