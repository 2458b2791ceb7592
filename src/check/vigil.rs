//! The half of `watch` that is about watches on a tree: on one connection, what a watch has to tell comes in the order of the
//! transactions, whole, and before any answer that shows it.
//!
//! Every answer carries the newest transaction of the server that gave it, and a server puts what a watch tells into the
//! connection when it carries a transaction out. Between two answers of a connection, one as of transaction *a* and the next as of *b*,
//! come therefore all events of the changes after *a* and up to *b*, and no others. Which changes there were is known from
//! those who made them: by the transaction where it was acknowledged. One that has no answer may be told at any place, once.

use crate::history::{Answered, NodeEvent, Stroke, Vigil, VigilHeard, WatchedFor};
use crate::run::record::Record;
use std::collections::{BTreeMap, BTreeSet};

/// What was looked at, and what was amiss.
#[derive(Default)]
pub(super) struct Found {
    pub events: u64,
    pub owed: u64,
    pub odd: Vec<String>,
}

type Event = (NodeEvent, String);

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The watches of one connection that are in force.
#[derive(Default)]
struct InForce(BTreeSet<(WatchedFor, String)>);

impl InForce {
    fn any(&self, path: &str, kinds: &[WatchedFor]) -> bool {
        kinds.iter().any(|kind| self.0.contains(&(*kind, path.to_string())))
    }
    fn below(&self, path: &str) -> bool {
        let covers =
            |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
        self.0.iter().any(|(kind, root)| *kind == WatchedFor::Recursive && covers(root))
    }

    /// What a change is told as, in order; those that fire once are used up.
    fn fire(&mut self, event: NodeEvent, path: &str) -> Vec<Event> {
        use WatchedFor::{Children, Data, Exists, Persistent};
        let mut told = Vec::new();
        let mut once = vec![Data, Exists];
        if event == NodeEvent::Deleted {
            once.push(Children);
        }
        if self.below(path) || self.any(path, &[Persistent]) || self.any(path, &once) {
            told.push((event, path.to_string()));
        }
        for kind in once {
            self.0.remove(&(kind, path.to_string()));
        }
        let above = parent(path);
        if event != NodeEvent::Changed && self.any(above, &[Persistent, Children]) {
            told.push((NodeEvent::Children, above.to_string()));
            self.0.remove(&(Children, above.to_string()));
        }
        told
    }

    /// An event came for which no change is known.
    fn used_up(&mut self, event: NodeEvent, path: &str) {
        use WatchedFor::{Children, Data, Exists};
        let once = if event == NodeEvent::Children { vec![Children] } else { vec![Data, Exists] };
        for kind in once {
            self.0.remove(&(kind, path.to_string()));
        }
    }
}

/// What was done to the tree.
struct Truth<'a> {
    done: BTreeMap<i64, &'a Stroke>,
    /// How often each event may have come of a change without an answer.
    open: BTreeMap<Event, u64>,
}

impl<'a> Truth<'a> {
    fn of(record: &'a Record, odd: &mut Vec<String>) -> Self {
        let (mut done, mut open) = (BTreeMap::new(), BTreeMap::new());
        for stroke in &record.strokes {
            match &stroke.said {
                Answered::Done(by) => {
                    if let Some(other) = done.insert(*by, stroke) {
                        odd.push(format!(
                            "transaction {by:#x} did both {} and {}",
                            named(other),
                            named(stroke)
                        ));
                    }
                }
                Answered::Refused(_) => {}
                Answered::Unknown(_) => {
                    *open.entry((stroke.event, stroke.path.clone())).or_default() += 1;
                    if stroke.event != NodeEvent::Changed {
                        let above = (NodeEvent::Children, parent(&stroke.path).to_string());
                        *open.entry(above).or_default() += 1;
                    }
                }
            }
        }
        Self { done, open }
    }
}

fn named(stroke: &Stroke) -> String {
    format!("`{} {}`", stroke.path, stroke.event)
}

pub(super) fn judge(record: &Record) -> Found {
    let mut found = Found::default();
    let truth = Truth::of(record, &mut found.odd);
    for vigil in &record.vigils {
        follow(record, vigil, &truth, &mut found);
    }
    found
}

fn follow(record: &Record, vigil: &Vigil, truth: &Truth<'_>, found: &mut Found) {
    let mut in_force = InForce::default();
    let mut open = truth.open.clone();
    let mut before: Option<i64> = None;
    let mut told: Vec<&(NodeEvent, String)> = Vec::new();
    let lines: Vec<Line> = vigil.heard.iter().map(Line::of).collect();
    let title = format!("connection {} of watcher {} to {}", vigil.number, vigil.watcher, vigil.node);
    for line in &lines {
        let (as_of, at) = match line {
            Line::Told(event) => {
                found.events += 1;
                told.push(event);
                continue;
            }
            Line::Answer(as_of, at, _) => (*as_of, *at),
        };
        let when = at.map_or_else(String::new, |at| format!(", at {}", record.when(at)));
        if let Some(before) = before.filter(|before| *before > as_of) {
            found
                .odd
                .push(format!("{title}: an answer as of {as_of:#x} came after one as of {before:#x}{when}"));
            return;
        }
        let mut owed: Vec<(i64, Event)> = Vec::new();
        if let Some(before) = before.filter(|before| *before < as_of) {
            for (by, stroke) in truth.done.range(before + 1..=as_of) {
                owed.extend(in_force.fire(stroke.event, &stroke.path).into_iter().map(|event| (*by, event)));
            }
        }
        found.owed += owed.len() as u64;
        let wrong = compare(&owed, &told, &mut open, &mut in_force, as_of);
        if let Some(what) = wrong {
            // What follows would be counted from a wrong place.
            found.odd.push(format!("{title}: {what}{when}"));
            return;
        }
        told.clear();
        before = Some(as_of);
        if let Line::Answer(_, _, Some((watch, path))) = line {
            in_force.0.insert((*watch, path.clone()));
        }
    }
}

/// A line of what was heard: an event, or an answer with the watch that it set.
enum Line {
    Told(Event),
    Answer(i64, Option<crate::time::Micros>, Option<(WatchedFor, String)>),
}

impl Line {
    fn of(heard: &VigilHeard) -> Self {
        match heard {
            VigilHeard::Told { event, path, .. } => Self::Told((*event, path.clone())),
            VigilHeard::Seen { as_of, at } => Self::Answer(*as_of, Some(*at), None),
            VigilHeard::Set { watch, path, as_of } => {
                Self::Answer(*as_of, None, Some((*watch, path.clone())))
            }
        }
    }
}

/// What was told between two answers beside what had to be.
fn compare(
    owed: &[(i64, Event)],
    told: &[&Event],
    open: &mut BTreeMap<Event, u64>,
    in_force: &mut InForce,
    as_of: i64,
) -> Option<String> {
    let mut next = owed.iter().peekable();
    for (place, (event, path)) in told.iter().map(|told| (&told.0, &told.1)).enumerate() {
        let is = |(_, one): &&(i64, Event)| one.0 == *event && one.1 == *path;
        if next.next_if(is).is_some() {
            continue;
        }
        let possible = open.get_mut(&(*event, path.clone())).filter(|left| **left > 0);
        if let Some(left) = possible {
            *left -= 1;
            in_force.used_up(*event, path);
            continue;
        }
        let due = next.clone().next().filter(|_| next.clone().any(|one| is(&one)));
        return Some(match due {
            Some((by, (before, of))) => {
                format!("`{path} {event}` was told before `{of} {before}` of transaction {by:#x}")
            }
            None => {
                let times = told[..place].iter().filter(|one| one.0 == *event && one.1 == *path).count();
                let again = if times > 0 { " again" } else { "" };
                format!(
                    "`{path} {event}` was told{again}, and no transaction up to {as_of:#x} that had not been told did that"
                )
            }
        });
    }
    next.next().map(|(by, (event, path))| {
        format!("`{path} {event}` of transaction {by:#x} was not told before an answer as of {as_of:#x}")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, ms};
    use super::super::watch::Watches;
    use super::super::{Check, Judgement, Verdict};
    use super::*;
    use crate::env::NodeId;
    use crate::history::Stamp;
    use crate::time::Millis;
    use NodeEvent::{Changed, Children, Created, Deleted};

    fn stroke(by: i64, path: &str, event: NodeEvent) -> Stroke {
        let at = |order: u64| Stamp { order, logical: ms(order), wall: ms(order) };
        let said = if by == 0 { Answered::Unknown("no answer".into()) } else { Answered::Done(by) };
        Stroke { watcher: 0, path: path.into(), event, node: NodeId(0), sent: at(6000), back: at(6005), said }
    }
    fn set(watch: WatchedFor, path: &str, as_of: i64) -> VigilHeard {
        VigilHeard::Set { watch, path: path.into(), as_of }
    }
    fn told(path: &str, event: NodeEvent) -> VigilHeard {
        VigilHeard::Told { event, path: path.into(), at: ms(6001) }
    }
    fn seen(as_of: i64) -> VigilHeard {
        VigilHeard::Seen { as_of, at: ms(6002) }
    }
    /// One node comes, changes and goes, and another comes by a request without an answer.
    fn strokes() -> Vec<Stroke> {
        vec![
            stroke(10, "/w/a", Created),
            stroke(12, "/w/a", Changed),
            stroke(14, "/w/a", Deleted),
            stroke(0, "/w/b", Created),
        ]
    }
    fn judge(heard: Vec<VigilHeard>) -> Judgement {
        let mut scene = Scene::new(1, 2).target("zookeeper").healthy();
        scene.record.timeline.load.watchers = 1;
        scene.record.strokes = strokes();
        scene.record.vigils = vec![Vigil { watcher: 0, number: 0, node: NodeId(1), heard }];
        Watches { within: Millis(0) }.judge(&scene.record)
    }
    fn passes(heard: Vec<VigilHeard>) {
        let judgement = judge(heard);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
    }
    fn fails(heard: Vec<VigilHeard>, words: &str) {
        let judgement = judge(heard);
        assert_eq!(judgement.verdict, Verdict::Fail, "{words}: {judgement:?}");
        assert!(judgement.evidence[0].contains(words), "{words}: {judgement:?}");
    }

    #[test]
    fn a_recursive_watch_that_tells_each_change_before_an_answer_shows_it_passes() {
        use WatchedFor::Recursive;
        let begin = || vec![set(Recursive, "/w", 9)];
        let whole = [told("/w/a", Created), seen(11), told("/w/a", Changed), told("/w/a", Deleted), seen(14)];
        passes([begin(), whole.to_vec()].concat());
        // Set when some of it had happened; what has no answer comes anywhere, or not at all.
        passes(vec![set(Recursive, "/w", 12), told("/w/b", Created), told("/w/a", Deleted), seen(20)]);
        // What no answer shows yet need not have come.
        passes(vec![set(Recursive, "/w", 9), told("/w/a", Created), seen(11)]);
        assert_eq!(judge(vec![set(Recursive, "/w", 14), seen(20)]).verdict, Verdict::Unknown);
        assert_eq!(judge(vec![]).verdict, Verdict::Unknown);
    }

    #[test]
    fn what_a_recursive_watch_leaves_out_tells_late_or_tells_twice_fails() {
        use WatchedFor::Recursive;
        let begin = set(Recursive, "/w", 9);
        fails(
            vec![begin.clone(), seen(11)],
            "`/w/a created` of transaction 0xa was not told before an answer",
        );
        fails(vec![begin.clone(), seen(11), told("/w/a", Created), seen(11)], "was not told before");
        let swapped = vec![begin.clone(), told("/w/a", Changed), told("/w/a", Created), seen(12)];
        fails(swapped, "`/w/a changed` was told before `/w/a created`");
        let twice = vec![begin.clone(), told("/w/a", Created), told("/w/a", Created), seen(11)];
        fails(twice, "was told again");
        fails(vec![set(Recursive, "/w", 14), told("/w/a", Deleted), seen(15)], "no transaction up to 0xf");
        let open = vec![set(Recursive, "/w", 14), told("/w/b", Created), told("/w/b", Created), seen(15)];
        fails(open, "`/w/b created` was told again");
        fails(vec![begin.clone(), told("/w/c", Created), seen(9)], "`/w/c created` was told");
        fails(vec![begin, seen(9), seen(8)], "came after one as of 0x9");
    }

    #[test]
    fn a_watch_that_stays_tells_of_its_node_and_of_the_children() {
        use WatchedFor::Persistent;
        let begin = || vec![set(Persistent, "/w", 9), set(Persistent, "/w/a", 9)];
        let came = [told("/w/a", Created), told("/w", Children), told("/w/a", Changed), seen(13)];
        let went = [told("/w", Children), told("/w/a", Deleted), told("/w", Children), seen(14)];
        passes([begin(), came.to_vec(), went.to_vec()].concat());
        fails([begin(), came[..1].to_vec(), vec![seen(10)]].concat(), "`/w children` of transaction 0xa");
    }

    #[test]
    fn a_watch_that_fires_once_does_so_for_the_first_change_and_no_other() {
        use WatchedFor::{Children as OfChildren, Data, Exists};
        passes(vec![set(Exists, "/w/a", 9), told("/w/a", Created), seen(12), seen(14)]);
        passes(vec![set(Data, "/w/a", 10), told("/w/a", Changed), seen(14)]);
        passes(vec![set(OfChildren, "/w", 9), told("/w", Children), seen(14)]);
        // The change without an answer fired it.
        passes(vec![
            set(OfChildren, "/w", 9),
            told("/w", Children),
            seen(9),
            set(Data, "/w/a", 10),
            told("/w/a", Changed),
            seen(12),
        ]);
        fails(vec![set(Data, "/w/a", 10), seen(12)], "`/w/a changed` of transaction 0xc was not told");
        let twice = vec![set(Data, "/w/a", 10), told("/w/a", Changed), told("/w/a", Deleted), seen(14)];
        fails(twice, "`/w/a deleted` was told");
    }
}
