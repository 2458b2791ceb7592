//! `ephemerals`: a node ends with its session and not before, a session ends when it should and not before, and a lock by
//! such nodes has one holder.
//!
//! Whether a session lives is decided by its writes: the leader looks at the session before it takes one
//! (`PrepRequestProcessor`), so that a write which was acknowledged shows that the session lived then; a ping, which any server
//! answers by itself, shows nothing. A node that was missing in a fresh read, whose session wrote something that was sent after
//! that read, was taken too early, whatever the time. Times are looked at only for what nobody wrote in: that a session
//! ends not before its timeout, counted from the last write but one (the leader hears of a session's life by the answers to
//! its pings, at least once between two writes that are a tick apart), and that what is left is gone in time, counted anew
//! from each fault and each change of the leader, for a new leader gives each session its whole timeout.

use super::{Check, Judgement, Verdict};
use crate::history::{Held, HeldAct, HeldAsk, HeldSaid, Sight};
use crate::run::record::{Record, Status};
use crate::target::TICK_MS;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::collections::BTreeMap;

crate::record! {
    pub struct Ephemerals {
        /// how long a node may outlive the timeout of a session that was left
        pub within: Millis = Millis(2000),
    }
}

impl Ephemerals {
    pub const NAME: &'static str = "ephemerals";
}

/// What happens to a cluster without harm to anybody's time.
const HARMLESS: &[&str] = &["check", "aim", "burst"];

/// What the run says about time.
pub(super) struct Calm {
    /// Faults and operations, from their beginning to their end.
    harm: Vec<(Micros, Micros)>,
    /// When something changed by itself: a process that began, a leader that was seen to be another.
    changes: Vec<Micros>,
}

impl Calm {
    pub(super) fn of(record: &Record) -> Self {
        let done = record.applied.iter().filter(|one| {
            !matches!(one.status, Status::Skipped(_)) && !HARMLESS.contains(&one.action.as_str())
        });
        let harm = done.map(|one| (one.started, one.ended.unwrap_or(Micros::MAX))).collect();
        let mut changes: Vec<Micros> = vec![record.healthy_at];
        for life in &record.lives {
            changes.push(life.started);
            changes.extend(life.ended.map(|(at, _)| at));
        }
        let mut known = None;
        for view in &record.views {
            let leaders = view.answered().filter(|(_, report)| report.replication.role == Role::Primary);
            let newest = leaders.map(|(node, report)| (report.current_epoch, node)).max();
            if newest != known || newest.is_none() {
                changes.push(view.at);
            }
            known = newest;
        }
        Self { harm, changes }
    }

    /// The last moment up to this one at which something was not calm.
    pub(super) fn since(&self, at: Micros) -> Micros {
        let harm = self.harm.iter().filter(|(from, _)| *from <= at).map(|(_, to)| (*to).min(at));
        harm.chain(self.changes.iter().copied().filter(|change| *change <= at)).max().unwrap_or(Micros(0))
    }
}

/// What was looked at.
#[derive(Default)]
struct Counts {
    nodes: u64,
    kept: u64,
    gone: u64,
    expired: u64,
    left: u64,
    guarded: u64,
    watches: u64,
    /// Nodes that were seen after their session was left, in times that were not calm for long enough.
    unjudged: u64,
}

/// One session beside all that was seen.
struct Case<'a> {
    record: &'a Record,
    held: &'a Held,
    calm: &'a Calm,
    within: Millis,
}

impl<'a> Case<'a> {
    fn first(&self, wanted: impl Fn(&HeldAct) -> bool) -> Option<&'a HeldAct> {
        self.held.acts.iter().find(|act| wanted(act))
    }
    fn tell(&self, what: &str, at: Micros) -> String {
        format!("{}: {what}, at {}", self.held.title(), self.record.when(at))
    }
    fn has(&self, sight: &Sight) -> bool {
        sight.names.contains(&self.held.name)
    }

    fn judge(&self, counts: &mut Counts, odd: &mut Vec<String>) {
        self.acts(counts, odd);
        let Some(created) = self.first(|act| act.ask == HeldAsk::Create && act.done()) else { return };
        counts.nodes += 1;
        // From here on it may be gone, by its holder's own will.
        let ends = |act: &HeldAct| {
            matches!(act.ask, HeldAsk::Delete | HeldAsk::Close) && act.sent.order > created.back.order
        };
        let will = self.first(ends).map_or(u64::MAX, |act| act.sent.order);
        let gone = self.first(|act| ends(act) && matches!(act.said, HeldSaid::Done(_) | HeldSaid::Gone));
        let left = self.first(|act| act.ask == HeldAsk::Leave || act.said == HeldSaid::Expired);
        let mut missed: Option<&Sight> = None;
        let later = self.record.sights.iter().filter(|sight| sight.sent.order > created.back.order);
        for sight in later {
            let there = self.has(sight);
            let wrong = if there {
                self.there(sight, missed, gone).or_else(|| self.outlives(sight, left, counts))
            } else {
                self.missing(sight, will)
            };
            if let Some((what, at)) = wrong {
                odd.push(self.tell(&what, at));
                return;
            }
            if !there {
                missed = missed.or(Some(sight));
                counts.gone += u64::from(gone.is_some() || left.is_some());
            }
        }
    }

    /// Its node is not there, though its session wrote after that and nobody had asked for its end.
    fn missing(&self, sight: &Sight, will: u64) -> Option<(String, Micros)> {
        let lives =
            |act: &HeldAct| act.proves_life() && act.sent.order > sight.back.order && act.sent.order <= will;
        let act = self.first(lives).filter(|_| sight.back.order < will)?;
        let what = format!(
            "its node was gone on {} while the session lived (its {} of {} was acknowledged)",
            sight.node,
            act.ask,
            self.record.when(act.sent.logical)
        );
        Some((what, sight.back.logical))
    }

    /// Its node is there, after it had gone or somebody had been told that it has.
    fn there(
        &self,
        sight: &Sight,
        missed: Option<&Sight>,
        gone: Option<&HeldAct>,
    ) -> Option<(String, Micros)> {
        let missed = missed.filter(|before| before.back.order < sight.sent.order).map(|before| {
            let at = self.record.when(before.back.logical);
            format!("its node was back on {}, after it was gone on {} at {at}", sight.node, before.node)
        });
        let gone = gone.filter(|act| act.back.order < sight.sent.order).map(|act| {
            let at = self.record.when(act.back.logical);
            format!("its node is still there on {}, and its {} was acknowledged at {at}", sight.node, act.ask)
        });
        missed.or(gone).map(|what| (what, sight.back.logical))
    }

    /// Its node is there, longer than its session may have lived after it was left.
    fn outlives(
        &self,
        sight: &Sight,
        left: Option<&HeldAct>,
        counts: &mut Counts,
    ) -> Option<(String, Micros)> {
        let Some(left) = left.filter(|act| act.back.order < sight.sent.order) else {
            counts.kept += 1;
            return None;
        };
        let at = sight.sent.logical;
        let from = left.back.logical.max(self.calm.since(at));
        let bound = self.held.timeout.saturating_add(self.within);
        if at.since(from) > bound.micros() {
            let from = self.record.when(from);
            let what = format!("its node is still there on {} more than {bound} after {from}", sight.node);
            return Some((what, at));
        }
        counts.unjudged += u64::from(at.since(left.back.logical) > bound.micros());
        None
    }

    /// What its own questions tell, without what others saw.
    fn acts(&self, counts: &mut Counts, odd: &mut Vec<String>) {
        let acts = &self.held.acts;
        let deleted = self.first(|act| act.ask == HeldAsk::Delete);
        let willed = |act: &HeldAct| deleted.is_some_and(|delete| delete.sent.order < act.back.order);
        if let Some(act) =
            acts.iter().find(|act| act.ask == HeldAsk::Keep && act.said == HeldSaid::Gone && !willed(act))
        {
            odd.push(self.tell("its node is gone and its session lives", act.back.logical));
        }
        counts.left += u64::from(acts.iter().any(|act| act.ask == HeldAsk::Leave));
        let Some(told) = acts.iter().find(|act| act.said == HeldSaid::Expired) else { return };
        counts.expired += 1;
        let later = acts.iter().find(|act| {
            act.sent.order > told.back.order
                && matches!(act.said, HeldSaid::Done(_))
                && act.ask != HeldAsk::Leave
        });
        if let Some(act) = later {
            let what = format!(
                "its {} was acknowledged after it was told at {} that it is no more",
                act.ask,
                self.record.when(told.back.logical)
            );
            odd.push(self.tell(&what, act.back.logical));
        }
        if let Some(touched) = self.touched(told) {
            let lived = told.back.wall.since(touched.sent.wall);
            if lived < self.held.timeout.micros() {
                let what = format!(
                    "it was no more {} after its {} of {}, which was acknowledged, as was a later one",
                    lived.millis(),
                    touched.ask,
                    self.record.when(touched.sent.logical)
                );
                odd.push(self.tell(&what, told.back.logical));
            }
        }
    }

    /// The last of its writes of which a leader surely knew when the session ended: another one was acknowledged later.
    fn touched(&self, told: &HeldAct) -> Option<&'a HeldAct> {
        let writes: Vec<&HeldAct> = self
            .held
            .acts
            .iter()
            .filter(|act| act.proves_life() && act.back.order < told.sent.order)
            .collect();
        let last = writes.last()?;
        let before = |act: &&&HeldAct| last.sent.wall.since(act.back.wall) >= Millis(TICK_MS).micros();
        writes.iter().rev().filter(|act| act.back.order < last.sent.order).find(before).copied()
    }
}

/// The lock: who wrote what it guards, in the order of the transactions, came in the order of the fences.
fn lock(record: &Record, counts: &mut Counts, odd: &mut Vec<String>) {
    let mut writes: BTreeMap<i64, (&Held, i64)> = BTreeMap::new();
    for held in &record.sessions {
        let Some((_, fence)) = held.place else { continue };
        for act in held.acts.iter().filter(|act| act.ask == HeldAsk::Guarded) {
            let HeldSaid::Done(by) = act.said else { continue };
            counts.guarded += 1;
            if let Some((other, _)) = writes.insert(by, (held, fence)) {
                odd.push(format!("{} and {} wrote by one transaction, {by:#x}", other.title(), held.title()));
            }
        }
    }
    let mut last: Option<(&Held, i64)> = None;
    for (by, (held, fence)) in writes {
        if let Some((before, newer)) = last.filter(|(_, newer)| *newer > fence) {
            odd.push(format!(
                "{} wrote what the lock guards by transaction {by:#x} with fence {fence:#x}, after {} with fence {newer:#x}",
                held.title(),
                before.title()
            ));
        }
        last = Some((held, fence));
    }
    let mut places: Vec<(u64, i64, &Held)> = record
        .sessions
        .iter()
        .filter_map(|held| held.place.map(|(place, fence)| (place, fence, held)))
        .collect();
    places.sort_by_key(|(place, fence, _)| (*place, *fence));
    for pair in places.windows(2) {
        let ((place, fence, one), (next, later, other)) = (pair[0], pair[1]);
        if place == next || later <= fence {
            odd.push(format!(
                "places {place} of {} and {next} of {} are not in the order of their transactions {fence:#x} and {later:#x}",
                one.title(),
                other.title()
            ));
        }
    }
}

/// Watches that fire once do so once, for who set them, and before what they tell of is seen.
fn watches(held: &Held, counts: &mut Counts, odd: &mut Vec<String>) {
    for guard in &held.guards {
        counts.watches += 1;
        let who = format!("{}, watch of {}", held.title(), guard.path);
        if guard.set.is_none() {
            odd.push(format!("{who}: it fired and nobody had set it"));
        }
        if guard.fired.len() > 1 {
            odd.push(format!("{who}: it fired {} times", guard.fired.len()));
        }
        let seen = |missed: crate::history::Stamp| guard.fired.iter().any(|at| at.order < missed.order);
        if guard.missed.is_some_and(|missed| !seen(missed)) {
            odd.push(format!("{who}: that the node is gone was seen before the watch fired"));
        }
    }
}

impl Check for Ephemerals {
    fn claim(&self) -> &'static str {
        "an ephemeral node lives as long as its session, a session as long as it is kept alive, a lock has one holder, and a watch fires once and first"
    }
    fn source(&self) -> &'static str {
        "zookeeper.apache.org/doc/r3.8.0: Programmer's Guide, 'Ephemeral Nodes', 'ZooKeeper Sessions', 'What ZooKeeper Guarantees about Watches'; Recipes, 'Locks'"
    }

    fn judge(&self, record: &Record) -> Judgement {
        if record.timeline.load.sessions == 0 {
            return Judgement::new(Self::NAME, Verdict::NotOwed, "nobody holds a session in this timeline");
        }
        let (mut counts, mut odd) = (Counts::default(), Vec::new());
        let calm = Calm::of(record);
        for held in &record.sessions {
            Case { record, held, calm: &calm, within: self.within }.judge(&mut counts, &mut odd);
            watches(held, &mut counts, &mut odd);
        }
        lock(record, &mut counts, &mut odd);
        let looked_at = format!(
            "{} sessions with {} nodes, {} looks: {} found a node whose session lived, {} none of one that had ended; {} left, {} expired, {} writes under the lock, {} watches",
            record.sessions.len(),
            counts.nodes,
            record.sights.len(),
            counts.kept,
            counts.gone,
            counts.left,
            counts.expired,
            counts.guarded,
            counts.watches
        );
        let (verdict, reason) = match odd.len() {
            0 if counts.kept == 0 || counts.guarded == 0 => {
                (Verdict::Unknown, "nothing observed: nobody saw a node, or nobody had the lock".to_string())
            }
            0 => (Verdict::Pass, "sessions, their nodes and their lock were as they had to be".to_string()),
            count => (
                Verdict::Fail,
                format!("{count} time(s) a session, its node or its lock was not as it had to be"),
            ),
        };
        let mut judgement =
            Judgement::new(Self::NAME, verdict, reason).looked_at(looked_at).with_evidence(odd);
        if counts.unjudged > 0 {
            judgement.classes.insert("seen while faults went on".into(), counts.unjudged);
        }
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, ms};
    use super::*;
    use crate::env::NodeId;
    use crate::history::{Guard, Stamp};

    /// Orders are milliseconds, so that what is later comes behind.
    fn at(millis: u64) -> Stamp {
        Stamp { order: millis, logical: ms(millis), wall: ms(millis) }
    }
    fn act(ask: HeldAsk, sent: u64, said: HeldSaid) -> HeldAct {
        HeldAct { ask, node: NodeId(0), sent: at(sent), back: at(sent + 5), said }
    }
    fn held(number: u32, place: u64, acts: Vec<HeldAct>) -> Held {
        Held {
            holder: 1,
            number,
            id: 7,
            timeout: Millis(1000),
            name: format!("h1.{number}"),
            place: Some((place, place as i64 * 10)),
            acts,
            guards: Vec::new(),
        }
    }
    fn sight(sent: u64, names: &[&str]) -> Sight {
        let names = names.iter().map(ToString::to_string).collect();
        Sight { holder: 2, node: NodeId(1), sent: at(sent), back: at(sent + 5), names }
    }
    const DONE: HeldSaid = HeldSaid::Done(0);

    /// Created at 6 s, kept until 7 s, then one more act.
    fn life(last: HeldAct) -> Vec<HeldAct> {
        let mut acts = vec![act(HeldAsk::Open, 5990, DONE), act(HeldAsk::Create, 6000, DONE)];
        acts.extend([6250, 6500, 6750].map(|sent| act(HeldAsk::Keep, sent, DONE)));
        acts.extend([act(HeldAsk::Guarded, 7000, HeldSaid::Done(500)), last]);
        acts
    }
    fn closed() -> Held {
        held(0, 1, life(act(HeldAsk::Close, 7500, DONE)))
    }
    fn left() -> Held {
        held(0, 1, life(act(HeldAsk::Leave, 7010, DONE)))
    }
    fn scene(sessions: Vec<Held>, sights: Vec<Sight>) -> Scene {
        let mut scene = Scene::new(1, 2).target("zookeeper").healthy();
        scene.record.timeline.load.sessions = 1;
        scene.run_until(20_000);
        scene.settle();
        (scene.record.sessions, scene.record.sights) = (sessions, sights);
        scene
    }
    fn judge(scene: &Scene) -> Judgement {
        Ephemerals { within: Millis(2000) }.judge(&scene.record)
    }
    fn fails(sessions: Vec<Held>, sights: Vec<Sight>, words: &str) {
        let judgement = judge(&scene(sessions, sights));
        assert_eq!(judgement.verdict, Verdict::Fail, "{words}: {judgement:?}");
        assert!(judgement.evidence.iter().any(|line| line.contains(words)), "{words}: {judgement:?}");
    }

    #[test]
    fn nodes_that_live_and_end_with_their_sessions_pass() {
        let good = scene(vec![closed()], vec![sight(6300, &["h1.0"]), sight(7600, &[])]);
        assert_eq!(judge(&good).verdict, Verdict::Pass, "{:?}", judge(&good));
        let left =
            scene(vec![left()], vec![sight(6300, &["h1.0"]), sight(9000, &["h1.0"]), sight(9900, &[])]);
        assert_eq!(judge(&left).verdict, Verdict::Pass, "{:?}", judge(&left));
        assert_eq!(judge(&scene(vec![], vec![])).verdict, Verdict::Unknown);
        let nobody = Scene::new(1, 2).target("zookeeper").healthy();
        assert_eq!(judge(&nobody).verdict, Verdict::NotOwed);
    }

    #[test]
    fn a_node_that_is_gone_while_its_session_writes_fails() {
        fails(vec![closed()], vec![sight(6600, &[])], "gone on node-1 while the session lived");
        // Nobody wrote after it was missed.
        let late = scene(vec![closed()], vec![sight(6300, &["h1.0"]), sight(7100, &[])]);
        assert_eq!(judge(&late).verdict, Verdict::Pass);
        let mut gone = closed();
        gone.acts[3].said = HeldSaid::Gone;
        fails(vec![gone], vec![], "its node is gone and its session lives");
    }

    #[test]
    fn a_node_that_outlives_its_session_fails() {
        fails(vec![closed()], vec![sight(7600, &["h1.0"])], "its close was acknowledged");
        fails(vec![left()], vec![sight(10_500, &["h1.0"])], "more than 3s after");
        fails(vec![left()], vec![sight(9000, &[]), sight(9500, &["h1.0"])], "was back on");
    }

    #[test]
    fn faults_and_changes_of_the_leader_begin_the_time_anew() {
        let sights = || vec![sight(6300, &["h1.0"]), sight(10_500, &["h1.0"])];
        let mut faulty = scene(vec![left()], sights());
        faulty.apply("cut", "cut: {node: node-0}", 7000, Some(9000), &[0]);
        let judgement = judge(&faulty);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        assert_eq!(judgement.classes.values().sum::<u64>(), 1);
        let mut changed = scene(vec![left()], sights());
        for view in changed.record.views.iter_mut().filter(|view| view.at >= ms(9000)) {
            view.nodes[0].report = Err("no answer".into());
        }
        assert_eq!(judge(&changed).verdict, Verdict::Pass);
    }

    #[test]
    fn a_session_that_ends_before_its_time_fails() {
        let told = |sent| held(0, 1, life(act(HeldAsk::Move, sent, HeldSaid::Expired)));
        // The last write of which the leader surely knew is that of 6.75 s.
        fails(vec![told(7600)], vec![sight(6300, &["h1.0"])], "it was no more");
        let late = scene(vec![told(7800)], vec![sight(6300, &["h1.0"])]);
        assert_eq!(judge(&late).verdict, Verdict::Pass, "{:?}", judge(&late));
    }

    #[test]
    fn a_session_that_lives_again_fails() {
        let mut acts = life(act(HeldAsk::Move, 8000, HeldSaid::Expired));
        acts.push(act(HeldAsk::Revive, 8100, HeldSaid::Expired));
        let good = scene(vec![held(0, 1, acts.clone())], vec![sight(6300, &["h1.0"])]);
        assert_eq!(judge(&good).verdict, Verdict::Pass, "{:?}", judge(&good));
        acts.push(act(HeldAsk::Revive, 8200, HeldSaid::Done(600)));
        fails(vec![held(0, 1, acts)], vec![], "was acknowledged after it was told");
    }

    #[test]
    fn an_older_fence_after_a_newer_one_fails() {
        let mut second = held(1, 2, life(act(HeldAsk::Close, 7500, DONE)));
        second.acts[5].said = HeldSaid::Done(400);
        fails(vec![closed(), second], vec![], "after session 1 of holder 1");
        let mut same = held(1, 1, vec![act(HeldAsk::Create, 6000, DONE)]);
        same.place = Some((1, 30));
        fails(vec![closed(), same], vec![], "not in the order of their transactions");
    }

    #[test]
    fn a_watch_fires_once_for_who_set_it_and_first() {
        let guard = |set: bool, fired: &[u64], missed: Option<u64>| Guard {
            path: "/lock/h2.0-1".into(),
            set: set.then(|| at(6100)),
            fired: fired.iter().map(|fired| at(*fired)).collect(),
            missed: missed.map(at),
            on: None,
        };
        for (guard, words) in [
            (guard(true, &[6200], Some(6300)), ""),
            (guard(true, &[], None), ""),
            (guard(false, &[6200], None), "nobody had set it"),
            (guard(true, &[6200, 6300], None), "it fired 2 times"),
            (guard(true, &[], Some(6300)), "seen before the watch fired"),
            (guard(true, &[6400], Some(6300)), "seen before the watch fired"),
        ] {
            let mut one = closed();
            one.guards.push(guard);
            let sights = vec![sight(6300, &["h1.0"])];
            if words.is_empty() {
                assert_eq!(judge(&scene(vec![one], sights)).verdict, Verdict::Pass);
            } else {
                fails(vec![one], sights, words);
            }
        }
    }
}
