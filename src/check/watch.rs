//! `watch`: what a watch tells is every change from its revision on, once and in order.
//!
//! What changes there were is taken from all watches together: a change that one of them told must have been told by every
//! other of that key that speaks of later ones. Versions count the puts of a key, so that a single watch shows a hole by
//! itself, too.
//!
//! What etcd says of watches that share a stream stands in its `rpc.proto`: progress that was asked for is told to the whole
//! stream, and «all future events received in this stream are guaranteed to have a higher revision number»; after the answer
//! to a cancel «no further events will be sent to the canceled watcher»; a message may be split where the watch asked for it,
//! and each part but the last says so.

use super::facts::Facts;
use super::{Check, Judgement, Verdict, vigil};
use crate::history::{Change, Keys, Watch};
use crate::run::record::Record;
use crate::time::{Micros, Millis};
use std::collections::{BTreeMap, BTreeSet};

crate::record! {
    pub struct Watches {
        /// how long a watch that is open at the end may take to have told a change
        pub within: Millis = Millis(5000),
    }
}

impl Watches {
    pub const NAME: &'static str = "watch";
}

/// Every change that any watch told, and when it was first heard of.
type Truth<'a> = BTreeMap<(i64, &'a str), (&'a Change, Micros)>;

/// A change by what names it.
fn name(change: &Change) -> (i64, &str) {
    (change.revision, &change.key)
}

fn title(watch: &Watch) -> String {
    let stream = watch.beside.as_ref().map_or_else(String::new, |beside| {
        let Keys { from, to } = &beside.keys;
        let to = to.as_ref().map_or_else(|| "the end".into(), |to| format!("{to:?}"));
        format!(", stream {}, keys from {from:?} to {to}", beside.stream)
    });
    format!(
        "watch {} of watcher {} on {} from revision {} (`{}`){stream}",
        watch.number, watch.watcher, watch.node, watch.from, watch.meant
    )
}

fn truth<'a>(record: &'a Record, odd: &mut Vec<String>) -> Truth<'a> {
    let mut truth: Truth<'a> = BTreeMap::new();
    for watch in &record.watches {
        for (told, change) in
            watch.told.iter().flat_map(|told| told.changes.iter().map(move |one| (told, one)))
        {
            let known = truth.entry(name(change)).or_insert((change, told.at));
            known.1 = known.1.min(told.at);
            if known.0 != change {
                odd.push(format!(
                    "{} told another change at revision {} of `{}` than others did",
                    title(watch),
                    change.revision,
                    change.key
                ));
            }
        }
    }
    truth
}

/// The changes from one revision to another, both included; none where the second lies before the first.
fn between<'a, 'b>(
    truth: &'b Truth<'a>,
    first: i64,
    last: i64,
) -> impl Iterator<Item = (&'b (i64, &'a str), &'b (&'a Change, Micros))> {
    truth.range((first, "")..(last.max(first - 1) + 1, ""))
}

/// What one watch told, looked at by itself and beside the others.
fn follow(
    record: &Record,
    watch: &Watch,
    truth: &Truth<'_>,
    owed_until: Option<Micros>,
    odd: &mut Vec<String>,
) {
    let Some((_, created)) = watch.created else { return };
    let first = if watch.from > 0 { watch.from } else { created + 1 };
    let takes_fragments = watch.beside.as_ref().is_none_or(|beside| beside.fragments);
    let watched = |(key, _): &(&(i64, &str), _)| watch.is_of(key.1);
    let mut seen: BTreeSet<(i64, &str)> = BTreeSet::new();
    let mut latest: BTreeMap<&str, &Change> = BTreeMap::new();
    let mut last = 0;
    // The last revision of the message before, which may be in parts.
    let mut before = 0;
    for told in &watch.told {
        let mut hold =
            |what: String| odd.push(format!("{}: {what}, at {}", title(watch), record.when(told.at)));
        if told.changes.is_empty() {
            let ahead = |(key, _): &(&(i64, &str), _)| !seen.contains(*key);
            if let Some(((revision, key), _)) =
                between(truth, first, told.revision).filter(watched).find(ahead)
            {
                let whose = if told.to_all { "of all watches of the stream " } else { "" };
                hold(format!(
                    "progress {whose}up to revision {} was told before revision {revision} of `{key}`",
                    told.revision
                ));
            }
            continue;
        }
        if told.fragment && !takes_fragments {
            hold(format!("a message up to revision {} was split, which nobody asked for", told.revision));
        }
        for change in &told.changes {
            if !watch.is_of(&change.key) {
                hold(format!("revision {} is of `{}`, which it does not watch", change.revision, change.key));
            }
            if watch.from > 0 && change.revision < watch.from {
                hold(format!("revision {} of `{}` is from before", change.revision, change.key));
            }
            if change.revision <= before || change.revision < last {
                hold(format!("it went back to revision {} of `{}` from {last}", change.revision, change.key));
            }
            last = last.max(change.revision);
            if !seen.insert(name(change)) {
                hold(format!("revision {} of `{}` was told twice", change.revision, change.key));
                continue;
            }
            if let Some(previous) = latest.insert(&change.key, change)
                && previous.revision < change.revision
                && !follows(previous, change)
            {
                hold(format!(
                    "between revisions {} and {} of `{}` a change is missing by the key's version",
                    previous.revision, change.revision, change.key
                ));
            }
        }
        if !told.fragment {
            before = last;
        }
    }
    let mut hold = |what: String| odd.push(format!("{}: {what}", title(watch)));
    // A revision of which nothing was told leaves no gap to be seen by itself. Of one that comes in parts, more may have been
    // to come.
    let in_parts = watch.told.last().is_some_and(|told| told.fragment);
    let passed = if in_parts { before.max(last - 1) } else { last };
    for ((revision, key), _) in
        between(truth, first, passed).filter(watched).filter(|(key, _)| !seen.contains(*key))
    {
        hold(format!("revision {revision} of `{key}` was passed over"));
    }
    for told in watch.cancel().iter().flat_map(|cancel| &cancel.after) {
        hold(format!(
            "up to revision {} it was told {} changes at {}, after the server had confirmed that it was canceled",
            told.revision,
            told.changes.len(),
            record.when(told.at)
        ));
    }
    let owed = owed_until.filter(|_| watch.ended.is_none());
    if let Some((cancel, _)) = watch.cancel().zip(owed).filter(|(cancel, until)| cancel.asked <= *until) {
        hold(format!("the cancel asked for at {} was never confirmed", record.when(cancel.asked)));
    }
    if let Some(until) = owed.filter(|_| watch.cancel().is_none()) {
        let after = truth.range(((passed + 1).max(first), "")..).filter(|(_, (_, at))| *at <= until);
        for ((revision, key), _) in after.filter(watched).filter(|(key, _)| !seen.contains(*key)) {
            hold(format!("revision {revision} of `{key}` never came"));
        }
    }
}

/// Whether nothing lies between two changes of one key.
fn follows(previous: &Change, change: &Change) -> bool {
    match (previous.deleted, change.deleted) {
        (true, true) => false,
        (true, false) => change.version == 1 && change.created == change.revision,
        (false, true) => true,
        (false, false) => change.version == previous.version + 1 && change.created == previous.created,
    }
}

impl Check for Watches {
    fn claim(&self) -> &'static str {
        "a watch tells every change from its revision on, once, in order, and no progress ahead of what it told; one on a tree tells it before any answer shows it"
    }
    fn source(&self) -> &'static str {
        "etcd.io/docs/v3.5/learning/api_guarantees, 'Watch APIs': ordered, unique, reliable, atomic, resumable, bookmarkable; \
         of streams etcdserverpb/rpc.proto, `ResponseHeader.revision` and `WatchResponse`; \
         zookeeper.apache.org/doc/r3.8.0: Programmer's Guide, 'What ZooKeeper Guarantees about Watches', 'Persistent, Recursive Watches'"
    }

    fn judge(&self, record: &Record) -> Judgement {
        if record.timeline.load.watchers == 0 {
            return Judgement::new(Self::NAME, Verdict::NotOwed, "nobody watches in this timeline");
        }
        let mut odd = Vec::new();
        let truth = truth(record, &mut odd);
        let tree = vigil::judge(record);
        let mut looked_at =
            format!("{} watches that told {} changes of keys", record.watches.len(), truth.len());
        if !record.vigils.is_empty() {
            looked_at = format!(
                "{} connections with watches on a tree that told {} events, {} of them owed; {} changes",
                record.vigils.len(),
                tree.events,
                tree.owed,
                record.strokes.len()
            );
        }
        odd.extend(tree.odd);
        if truth.is_empty() && tree.owed == 0 && odd.is_empty() {
            let reason = "nothing observed: no watch told a change";
            return Judgement::new(Self::NAME, Verdict::Unknown, reason).looked_at(looked_at);
        }
        let facts = Facts::of(record);
        let end = facts.end();
        for watch in &record.watches {
            let awake = facts.awake(watch.node, end) && record.last.is_some();
            let until = Micros(end.0.saturating_sub(self.within.micros().0));
            follow(record, watch, &truth, awake.then_some(until), &mut odd);
        }
        let (verdict, reason) = match odd.len() {
            0 => (Verdict::Pass, "every watch told what it had to".to_string()),
            count => (Verdict::Fail, format!("{count} time(s) a watch did not tell what it had to")),
        };
        Judgement::new(Self::NAME, verdict, reason).looked_at(looked_at).with_evidence(odd)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scene;
    use super::*;
    use crate::env::NodeId;
    use crate::history::{Beside, Cancel, Told};

    fn put(revision: i64, key: &str, created: i64, version: i64) -> Change {
        Change { revision, key: key.into(), deleted: false, created, version }
    }
    fn deleted(revision: i64, key: &str) -> Change {
        Change { revision, key: key.into(), deleted: true, created: 0, version: 0 }
    }
    fn watch(watcher: u32, from: i64, told: &[&[Change]]) -> Watch {
        Watch {
            watcher,
            number: 0,
            node: NodeId(0),
            from,
            meant: "now".into(),
            resumed: false,
            asked: Micros(0),
            created: Some((Micros(1), 1)),
            told: told
                .iter()
                .map(|changes| Told {
                    at: Micros(2),
                    revision: 9,
                    changes: changes.to_vec(),
                    ..Told::default()
                })
                .collect(),
            ended: Some((Micros(3), "given up for another".into())),
            beside: None,
        }
    }
    /// One of several on a stream, of the keys from one on.
    fn beside(mut watch: Watch, from: &str, to: Option<&str>) -> Watch {
        let keys = Keys { from: from.into(), to: to.map(Into::into) };
        watch.beside = Some(Beside { keys, ..Beside::default() });
        watch
    }
    fn asks_to_be_split(mut watch: Watch) -> Watch {
        watch.beside.as_mut().expect("on a stream").fragments = true;
        watch
    }
    /// Its messages but the last are said to go on in the next.
    fn split(mut watch: Watch) -> Watch {
        let parts = watch.told.len();
        watch.told.iter_mut().take(parts - 1).for_each(|told| told.fragment = true);
        watch
    }
    fn canceled(mut watch: Watch, confirmed: Option<Micros>, after: &[&[Change]]) -> Watch {
        let told = |changes: &&[Change]| Told { revision: 9, changes: changes.to_vec(), ..Told::default() };
        let cancel = Cancel { asked: Micros(2), confirmed, after: after.iter().map(told).collect() };
        watch.beside.as_mut().expect("on a stream").cancel = Some(cancel);
        watch
    }
    fn judge(watches: Vec<Watch>) -> Judgement {
        let mut scene = Scene::new(1, 2).target("etcd").healthy();
        scene.record.timeline.load.watchers = 1;
        scene.record.watches = watches;
        Watches { within: Millis(0) }.judge(&scene.record)
    }
    fn whole() -> Watch {
        watch(
            0,
            2,
            &[
                &[put(2, "a", 2, 1), put(3, "a", 2, 2)],
                &[deleted(4, "a")],
                &[put(5, "a", 5, 1), put(5, "b", 5, 1)],
            ],
        )
    }

    #[test]
    fn watches_that_tell_everything_pass() {
        let later = watch(1, 4, &[&[deleted(4, "a")], &[put(5, "a", 5, 1), put(5, "b", 5, 1)]]);
        // From a revision that is still to come, with word of progress meanwhile.
        let ahead = watch(2, 90, &[&[]]);
        let judgement = judge(vec![whole(), later, ahead]);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        assert_eq!(judge(vec![]).verdict, Verdict::Unknown);
    }

    #[test]
    fn each_guarantee_is_held_against_a_watch() {
        let progress: &[Change] = &[];
        let mut open = watch(1, 2, &[&[put(2, "a", 2, 1), put(3, "a", 2, 2)]]);
        open.ended = None;
        for (broken, words) in [
            (watch(1, 4, &[&[put(5, "a", 5, 1), put(5, "b", 5, 1)]]), "revision 4 of `a` was passed over"),
            (watch(1, 5, &[&[put(5, "a", 5, 1)]]), "revision 5 of `b` was passed over"),
            (watch(1, 4, &[&[put(3, "a", 2, 2)]]), "is from before"),
            (watch(1, 2, &[&[put(3, "a", 2, 2)], &[put(2, "a", 2, 1)]]), "it went back to revision 2"),
            (watch(1, 2, &[&[put(2, "a", 2, 1)], &[put(2, "a", 2, 1)]]), "was told twice"),
            (
                watch(1, 4, &[progress, &[deleted(4, "a")]]),
                "progress up to revision 9 was told before revision 4",
            ),
            (watch(1, 2, &[&[put(2, "a", 2, 1), put(3, "a", 3, 1)]]), "another change at revision 3"),
            (open, "revision 4 of `a` never came"),
        ] {
            let judgement = judge(vec![whole(), broken]);
            assert_eq!(judgement.verdict, Verdict::Fail, "{words}");
            assert!(judgement.evidence.iter().any(|line| line.contains(words)), "{words}: {judgement:?}");
        }
    }

    #[test]
    fn watches_that_share_a_stream_tell_of_their_keys_alone() {
        let progress: &[Change] = &[];
        let both: &[Change] = &[put(5, "a", 5, 1), put(5, "b", 5, 1)];
        let of_b = beside(watch(1, 2, &[&[put(5, "b", 5, 1)], progress]), "b", None);
        // Nothing of its keys happened, so that any progress is right.
        let of_c = beside(watch(2, 2, &[progress]), "c", Some("d"));
        let parts = [&[deleted(4, "a")][..], &both[..1], &both[1..]];
        let in_parts = split(asks_to_be_split(beside(watch(3, 4, &parts), "", None)));
        // Cut off in the middle of a revision, which is no hole.
        let mut cut_off = in_parts.clone();
        cut_off.told.pop();
        let ended = canceled(beside(watch(4, 4, &[&[deleted(4, "a")]]), "a", None), Some(Micros(3)), &[]);
        let all = vec![whole(), of_b, of_c, in_parts, cut_off, ended];
        let judgement = judge(all);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
    }

    #[test]
    fn what_a_stream_promises_is_held_against_it() {
        let progress: &[Change] = &[];
        let both = [put(5, "a", 5, 1), put(5, "b", 5, 1)];
        let parts: &[&[Change]] = &[&both[..1], &both[1..]];
        let of_b = |told: &[&[Change]]| beside(watch(1, 2, told), "b", None);
        let mut to_all = of_b(&[progress, &both[1..]]);
        to_all.told[0].to_all = true;
        let told_late = canceled(of_b(&[]), Some(Micros(3)), &[&both[1..]]);
        let mut unconfirmed = canceled(of_b(&[&both[1..]]), None, &[]);
        unconfirmed.ended = None;
        let mut unfinished = split(asks_to_be_split(beside(watch(1, 5, parts), "", None)));
        unfinished.told.pop();
        unfinished.ended = None;
        let twice = [&both[..1], &both[..1], &both[1..]];
        for (broken, words) in [
            (
                to_all,
                "progress of all watches of the stream up to revision 9 was told before revision 5 of `b`",
            ),
            (of_b(&[progress, &both[1..]]), "progress up to revision 9 was told before revision 5 of `b`"),
            (of_b(&[&both]), "revision 5 is of `a`, which it does not watch"),
            (asks_to_be_split(beside(watch(1, 5, parts), "", None)), "it went back to revision 5 of `b`"),
            (split(beside(watch(1, 5, parts), "", None)), "was split, which nobody asked for"),
            (
                split(asks_to_be_split(beside(watch(1, 5, &twice), "", None))),
                "revision 5 of `a` was told twice",
            ),
            (told_late, "after the server had confirmed that it was canceled"),
            (unconfirmed, "was never confirmed"),
            (unfinished, "revision 5 of `b` never came"),
            // It goes on behind a revision that was told as progress and of which it was not told.
            (of_b(&[&[put(6, "b", 5, 2)]]), "revision 5 of `b` was passed over"),
        ] {
            let judgement = judge(vec![whole(), broken]);
            assert_eq!(judgement.verdict, Verdict::Fail, "{words}");
            assert!(judgement.evidence.iter().any(|line| line.contains(words)), "{words}: {judgement:?}");
        }
    }

    #[test]
    fn a_hole_shows_by_the_version_of_a_key_alone() {
        for (changes, whole) in [
            ([put(2, "a", 2, 1), put(9, "a", 2, 2)], true),
            ([put(2, "a", 2, 1), put(9, "a", 2, 3)], false),
            ([put(2, "a", 2, 1), put(9, "a", 9, 1)], false),
            ([deleted(2, "a"), deleted(9, "a")], false),
            ([deleted(2, "a"), put(9, "a", 9, 1)], true),
            ([deleted(2, "a"), put(9, "a", 8, 2)], false),
        ] {
            let verdict = judge(vec![watch(0, 1, &[&changes])]).verdict;
            assert_eq!(verdict == Verdict::Pass, whole, "{changes:?}");
        }
    }
}
