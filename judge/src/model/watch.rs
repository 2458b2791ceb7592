//! `watch`: every watcher sees every event, once, in order, whole revisions at a time.
//!
//! The guarantees are etcd's (etcd documentation, *KV API guarantees*, Watch APIs; how etcd checks them itself:
//! etcd-io/etcd, tests/robustness/validate/watch.go), and anomalies have their names. Within one watch: `ordered`
//! (revisions never go back), `unique` (no event twice), `atomic` (the events of a revision come in one delivery),
//! `bookmarkable` (nothing at or before a progress notice comes after it), `reliable` (of the events that anybody
//! knows of, none is left out between two that came), `resumable` (nor between the revision that it began at and the
//! first that came). Over all: `consistent` (an event is the same for all watchers and for its writer), `unexpected`
//! (an event of a write that nobody tried), `revision-order` (a write that began after another had ended has the
//! higher revision).
//!
//! Operations. `put` and `delete` with a key, answered `[value, revision]`; or several writes in one revision, `txn`
//! of `[["w", key, value], ..]` answered `[.., revision]`; null is a deletion. `watch`, one delivery of a watcher
//! (one process each): asked with the first revision wanted, it opens a watch on its key (without a key, on all);
//! asked with null, it waits for the next delivery; answered with a list of `[revision, key, value]`. `progress`,
//! answered with a revision: all up to it was delivered.

use super::{Model, Unfit};
use crate::objects::{ident::Idents, names::Names, report::Report};
use crate::{Budget, History, Options, Value, Verdict};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;

pub const MODEL: Model = Model {
    name: "watch",
    claim: "a watcher sees every event once, in order, whole revisions at a time",
    judge,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Write,
    Txn,
    Watch,
    Progress,
}

/// What a revision did to a key, and the operation that tells it: its write if there is one.
#[derive(Clone, Copy)]
struct Known {
    value: u32,
    by: usize,
}

/// One watch of one process.
#[derive(Default)]
struct Stream {
    key: Option<u32>,
    /// The first revision wanted; `None`: what comes first decides.
    from: Option<i64>,
    opened: usize,
    /// Of the last event: revision, delivery.
    last: Option<(i64, usize)>,
    progress: Option<(i64, usize)>,
    /// Revision and key of every event, and its delivery.
    events: BTreeMap<(i64, u32), usize>,
    first: Option<i64>,
    /// Everything up to it should have come.
    until: i64,
}

fn judge(history: &History, _: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let names = Names::of(history, "put, delete, txn, watch, progress", |f| match f {
        "put" | "write" | "delete" => Some(Role::Write),
        "txn" => Some(Role::Txn),
        "watch" => Some(Role::Watch),
        "progress" | "bookmark" => Some(Role::Progress),
        _ => None,
    })?;
    let mut all = All {
        history,
        report: Report::new(history, "watch: the guarantees of etcd's watch API, one by one"),
        idents: Idents::default(),
        known: BTreeMap::new(),
        asked: FxHashSet::default(),
    };
    let mut streams: Vec<Stream> = Vec::new();
    let mut open: FxHashMap<Value, usize> = FxHashMap::default();
    all.writes(&names)?;
    let mut deliveries = 0;
    for (place, op) in history.ops.iter().enumerate() {
        match names.role(op) {
            Some(Role::Watch) => {
                if !op.input.is_nil() || !open.contains_key(&op.process) {
                    open.insert(op.process, streams.len());
                    let key = (!op.key.is_nil()).then(|| all.idents.of(&history.arena, op.key));
                    streams.push(Stream { key, from: op.input.as_int(), opened: place, ..Stream::default() });
                }
                if op.is_ok() {
                    deliveries += 1;
                    let stream = &mut streams[open[&op.process]];
                    all.delivery(stream, place)?;
                }
            }
            Some(Role::Progress) if op.is_ok() => {
                let revision = op.output.as_int();
                let revision = revision
                    .ok_or_else(|| Unfit(format!("progress is a revision: {}", history.tell(place))))?;
                if let Some(stream) = open.get(&op.process).map(|stream| &mut streams[*stream]) {
                    if stream.progress.is_none_or(|(before, _)| before < revision) {
                        stream.progress = Some((revision, place));
                    }
                    stream.until = stream.until.max(revision);
                }
            }
            _ => {}
        }
    }
    for stream in &streams {
        if let Err(spent) = all.gaps(stream, budget) {
            all.report.unknown(Value::NIL, spent.to_string());
        }
    }
    let (events, watches) = (all.known.len(), streams.len());
    let looked_at = format!("{deliveries} deliveries to {watches} watches, {events} events");
    Ok(all.report.verdict(looked_at, "every watcher saw every event once, in order"))
}

struct All<'a> {
    history: &'a History,
    report: Report<'a>,
    idents: Idents,
    /// By revision and key.
    known: BTreeMap<(i64, u32), Known>,
    /// Keys and values that some write asked for.
    asked: FxHashSet<(u32, u32)>,
}

impl All<'_> {
    /// What writes were answered, and their revisions against real time.
    fn writes(&mut self, names: &Names<Role>) -> Result<(), Unfit> {
        let (history, arena) = (self.history, &self.history.arena);
        let mut answered: Vec<(i64, usize)> = Vec::new();
        for (place, op) in history.ops.iter().enumerate() {
            let role = names.role(op);
            if !matches!(role, Some(Role::Write | Role::Txn)) || !op.may_have_happened() {
                continue;
            }
            let unfit =
                || Unfit(format!("a write is answered with [value, revision]: {}", history.tell(place)));
            let mut writes = Vec::new();
            if role == Some(Role::Write) {
                let value = if history.f(op) == "delete" { Value::NIL } else { op.input };
                writes.push((self.idents.of(arena, op.key), self.idents.of(arena, value)));
            } else {
                for step in arena.items_of(op.input).ok_or_else(unfit)? {
                    match arena.items_of(*step) {
                        Some([f, key, value]) if arena.str_of(*f).is_some_and(|f| f.ends_with('w')) => {
                            writes.push((self.idents.of(arena, *key), self.idents.of(arena, *value)));
                        }
                        _ => {}
                    }
                }
            }
            self.asked.extend(writes.iter().copied());
            if !op.is_ok() || writes.is_empty() {
                continue;
            }
            let Some([_, revision]) = arena.items_of(op.output) else { return Err(unfit()) };
            let revision = revision.as_int().ok_or_else(unfit)?;
            answered.push((revision, place));
            for (key, value) in writes {
                self.known.insert((revision, key), Known { value, by: place });
            }
        }
        // From the highest revision down: the earliest end of all above must not be before its call.
        answered.sort_unstable();
        let mut earliest: Option<(i64, usize)> = None;
        for (revision, place) in answered.into_iter().rev() {
            if let Some((above, other)) = earliest
                && (history.ops[other].ret < history.ops[place].call || above == revision)
            {
                self.report.found("revision-order", Value::NIL, || {
                    let story =
                        format!("revision {above} was made, and later or elsewhere revision {revision}");
                    (vec![other, place], story)
                });
            }
            if earliest.is_none_or(|(_, other)| history.ops[place].ret < history.ops[other].ret) {
                earliest = Some((revision, place));
            }
        }
        Ok(())
    }

    fn delivery(&mut self, stream: &mut Stream, place: usize) -> Result<(), Unfit> {
        let (history, arena) = (self.history, &self.history.arena);
        let op = &history.ops[place];
        let unfit =
            || Unfit(format!("a delivery is a list of [revision, key, value]: {}", history.tell(place)));
        let mut first = true;
        for event in arena.items_of(op.output).ok_or_else(unfit)? {
            let Some([revision, key, value]) = arena.items_of(*event) else { return Err(unfit()) };
            let revision = revision.as_int().ok_or_else(unfit)?;
            let (key_id, value_id) = (self.idents.of(arena, *key), self.idents.of(arena, *value));
            let shown = || arena.show(*event);
            if let Some((last, before)) = stream.last {
                if revision < last {
                    self.report.found("ordered", op.key, || {
                        (vec![before, place], format!("{} comes after revision {last}", shown()))
                    });
                } else if first && revision == last {
                    self.report.found("atomic", op.key, || {
                        (vec![before, place], format!("revision {revision} comes in two deliveries"))
                    });
                }
            }
            if let Some((bookmark, by)) = stream.progress.filter(|(bookmark, _)| revision <= *bookmark) {
                self.report.found("bookmarkable", op.key, || {
                    let story =
                        format!("all up to {bookmark} was said to be delivered, and then came {}", shown());
                    (vec![by, place], story)
                });
            }
            if let Some(before) = stream.events.insert((revision, key_id), place) {
                self.report
                    .found("unique", op.key, || (vec![before, place], format!("{} comes twice", shown())));
            }
            self.content(place, (revision, key_id, value_id), shown);
            first = false;
            stream.last = Some((revision, place));
            stream.first = Some(stream.first.map_or(revision, |first| first.min(revision)));
            stream.until = stream.until.max(revision);
        }
        Ok(())
    }

    /// What an event says against what is known of its revision.
    fn content(&mut self, place: usize, (revision, key, value): (i64, u32, u32), shown: impl Fn() -> String) {
        let ops = &self.history.ops;
        match self.known.get(&(revision, key)) {
            Some(known) if known.value != value => {
                let (by, other) = (known.by, self.history.arena.show(self.idents.value(known.value)));
                self.report.found("consistent", ops[place].key, || {
                    (
                        vec![by.min(place), by.max(place)],
                        format!("{} elsewhere has the value {other}", shown()),
                    )
                });
            }
            Some(known) if ops[known.by].call > ops[place].end => {
                let by = known.by;
                self.report.found("unexpected", ops[place].key, || {
                    (vec![place, by], format!("{} came before its write began", shown()))
                });
            }
            Some(_) => {}
            None => {
                if !self.asked.is_empty() && !self.asked.contains(&(key, value)) {
                    let story = || format!("{} was written by nobody", shown());
                    self.report.found("unexpected", ops[place].key, || (vec![place], story()));
                }
                self.known.insert((revision, key), Known { value, by: place });
            }
        }
    }

    /// Events that somebody knows of, and that this watch should have had.
    fn gaps(&mut self, stream: &Stream, budget: &Budget) -> Result<(), crate::Spent> {
        let Some(from) = stream.from.or(stream.first) else { return Ok(()) };
        if from > stream.until {
            return Ok(());
        }
        for ((revision, key), known) in self.known.range((from, 0)..=(stream.until, u32::MAX)) {
            budget.spend(1)?;
            let wanted = stream.key.is_none_or(|wanted| wanted == *key);
            if !wanted || stream.events.contains_key(&(*revision, *key)) {
                continue;
            }
            let after = stream.events.range((revision + 1, 0)..).next().map(|(_, place)| *place);
            let after = after.or(stream.progress.map(|(_, place)| place));
            let name =
                if stream.first.is_none_or(|first| *revision < first) { "resumable" } else { "reliable" };
            let (by, key) = (known.by, self.idents.value(*key));
            self.report.found(name, self.history.ops[stream.opened].key, || {
                let mut ops: Vec<usize> =
                    [Some(stream.opened), Some(by), after].into_iter().flatten().collect();
                ops.sort_unstable();
                ops.dedup();
                let key = self.history.arena.show(key);
                (ops, format!("revision {revision} of {key} never came, and what is later did"))
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::objects::tests::judged;

    const WRITES: &str = r#"0 i put@"x" 1; 0 o put@"x" [1,2]; 0 i put@"x" 2; 0 o put@"x" [2,3];
        0 i txn [["w","x",3],["w","y",4]]; 0 o txn [null,4];"#;

    fn said(watch: &str) -> String {
        judged("watch", &format!("{WRITES} 1 i watch 2; {watch}")).reason
    }

    #[test]
    fn each_guarantee_has_its_name() {
        let kept = "every watcher saw every event once, in order";
        assert_eq!(
            said(r#"1 o watch [[2,"x",1],[3,"x",2]]; 1 i watch; 1 o watch [[4,"x",3],[4,"y",4]]"#),
            kept
        );
        assert_eq!(said(r#"1 o watch [[2,"x",1]]; 1 i progress; 1 o progress 2"#), kept);
        let two = r#"1 o watch [[2,"x",1],[3,"x",2]]; 1 i watch;"#;
        assert_eq!(
            said(&format!(r#"{two} 1 o watch [[4,"x",3]]; 1 i watch; 1 o watch [[4,"y",4]]"#)),
            "1 atomic"
        );
        assert_eq!(said(&format!(r#"{two} 1 o watch [[4,"x",3]]"#)), "1 reliable");
        assert_eq!(said(&format!(r#"{two} 1 o watch [[3,"x",2]]"#)), "1 atomic, 1 unique");
        assert_eq!(said(r#"1 o watch [[3,"x",2]]; 1 i watch; 1 o watch [[2,"x",1]]"#), "1 ordered");
        assert_eq!(said(r#"1 o watch [[3,"x",2]]"#), "1 resumable");
        assert_eq!(said(r#"1 o watch [[2,"x",1]]; 1 i progress; 1 o progress 3"#), "1 reliable");
        assert_eq!(
            said(r#"1 o watch [[2,"x",1]]; 1 i progress; 1 o progress 3; 1 i watch; 1 o watch [[3,"x",2]]"#),
            "1 bookmarkable"
        );
        assert_eq!(said(r#"1 o watch [[2,"x",9]]"#), "1 consistent");
        assert_eq!(said(r#"1 o watch [[2,"x",1],[3,"x",2],[4,"x",3],[4,"y",4],[5,"x",9]]"#), "1 unexpected");
    }

    #[test]
    fn a_watch_of_one_key_needs_its_events_alone() {
        let verdict = judged("watch", &format!(r#"{WRITES} 1 i watch@"y" 1; 1 o watch@"y" [[4,"y",4]]"#));
        assert_eq!(verdict.reason, "every watcher saw every event once, in order");
    }

    #[test]
    fn revisions_follow_real_time() {
        let verdict =
            judged("watch", r#"0 i put@"x" 1; 0 o put@"x" [1,3]; 1 i put@"x" 2; 1 o put@"x" [2,2]"#);
        assert_eq!(
            (verdict.reason.as_str(), &verdict.anomalies[0].ops[..]),
            ("1 revision-order", &[0, 1][..])
        );
    }
}
