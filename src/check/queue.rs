//! `queue`: what was put into a queue is taken once, in order, and never lost.
//!
//! Every answer of ZooKeeper says as of which transaction it is, and elements come and go by transactions: what was there as of
//! which one is known without a clock. A server may answer by an older state, and is held to that state. A deletion
//! without an answer may have come about at any later transaction, or not at all; it explains an element that is gone, from the
//! moment on at which it was sent.

use super::{Check, Judgement, Verdict};
use crate::history::{QueueAct, QueueAsk, QueueSaid};
use crate::run::record::Record;
use std::collections::{BTreeMap, BTreeSet};

crate::record! {
    pub struct Queue {
    }
}

impl Queue {
    pub const NAME: &'static str = "queue";
}

/// Everything that was heard of one element.
#[derive(Default)]
struct Element<'a> {
    /// Its value and the transaction that put it, by the answer to who put it.
    put: Option<(&'a str, i64)>,
    /// The earliest transaction as of which it is known to be there.
    since: Option<i64>,
    held: Option<(&'a str, i64)>,
    /// The latest transaction as of which somebody saw it, and who.
    seen: Option<(i64, &'a QueueAct)>,
    taken: Vec<(i64, &'a QueueAct)>,
    maybe: Vec<&'a QueueAct>,
    nothing: Vec<(i64, &'a QueueAct)>,
}

impl<'a> Element<'a> {
    fn saw(&mut self, as_of: i64, act: &'a QueueAct) {
        self.known(as_of);
        if self.seen.is_none_or(|(latest, _)| latest < as_of) {
            self.seen = Some((as_of, act));
        }
    }
    fn known(&mut self, as_of: i64) {
        self.since = Some(self.since.map_or(as_of, |since| since.min(as_of)));
    }

    /// Why it cannot have been gone as of a transaction, by an answer that says so; nothing where it can.
    fn stays(&self, as_of: i64, act: &QueueAct) -> Option<String> {
        let since = self.since.filter(|since| *since <= as_of)?;
        if let Some((taken, by)) = self.taken.iter().min_by_key(|(taken, _)| *taken) {
            let why =
                || format!("which was there as of {since:#x} and until {} took it as of {taken:#x}", who(by));
            return (*taken > as_of).then(why);
        }
        if let Some((seen, by)) = self.seen.filter(|(seen, _)| *seen > as_of) {
            let why = format!("which was there as of {since:#x} and which {} saw as of {seen:#x}", who(by));
            return Some(why);
        }
        let explained = self.maybe.iter().any(|take| take.sent.order < act.back.order);
        (!explained)
            .then(|| format!("which was there as of {since:#x} and which nobody can have taken: it is lost"))
    }
}

fn who(act: &QueueAct) -> String {
    format!("queuer {} on {}", act.queuer, act.node)
}
fn at(record: &Record, act: &QueueAct) -> String {
    format!("{} at {}", who(act), record.when(act.back.logical))
}
fn name(element: u64) -> String {
    format!("e-{element:010}")
}

struct Judge<'a> {
    record: &'a Record,
    elements: BTreeMap<u64, Element<'a>>,
    /// Which puts have which value, in the order in which they were answered.
    puts: BTreeMap<&'a str, &'a QueueAct>,
    odd: Vec<String>,
}

impl<'a> Judge<'a> {
    fn of(record: &'a Record) -> Self {
        let mut judge = Self { record, elements: BTreeMap::new(), puts: BTreeMap::new(), odd: Vec::new() };
        for act in &record.queue {
            judge.hear(act);
        }
        judge
    }

    fn hear(&mut self, act: &'a QueueAct) {
        if let QueueAsk::Put(value) = &act.ask {
            self.puts.insert(value, act);
        }
        match (&act.ask, &act.said) {
            (QueueAsk::Put(value), QueueSaid::Put { element, by }) => {
                let known = self.elements.entry(*element).or_default();
                known.known(*by);
                if let Some((other, zxid)) = known.put.replace((value, *by)) {
                    self.odd.push(format!(
                        "{}: {} was given to `{value}` as of {by:#x}, and had been given to `{other}` as of {zxid:#x}",
                        at(self.record, act),
                        name(*element)
                    ));
                }
            }
            (_, QueueSaid::Listed { as_of, elements }) => {
                for element in elements {
                    self.elements.entry(*element).or_default().saw(*as_of, act);
                }
            }
            (QueueAsk::Read(element), QueueSaid::Holds { as_of, value, put_by }) => {
                let known = self.elements.entry(*element).or_default();
                known.saw(*as_of, act);
                known.known(*put_by);
                let new = (value.as_str(), *put_by);
                if let Some(before) = known.held.replace(new).filter(|before| *before != new) {
                    self.odd.push(format!(
                        "{}: {} holds `{value}`, put as of {put_by:#x}, and held `{}`, put as of {:#x}",
                        at(self.record, act),
                        name(*element),
                        before.0,
                        before.1
                    ));
                }
            }
            (QueueAsk::Take(element), QueueSaid::Taken { by }) => {
                self.elements.entry(*element).or_default().taken.push((*by, act));
            }
            (QueueAsk::Take(element), QueueSaid::Unknown(_)) => {
                self.elements.entry(*element).or_default().maybe.push(act);
            }
            (QueueAsk::Read(element) | QueueAsk::Take(element), QueueSaid::Nothing { as_of }) => {
                self.elements.entry(*element).or_default().nothing.push((*as_of, act));
            }
            (ask, QueueSaid::Odd(answer)) => {
                self.odd.push(format!("{}: {ask:?} was answered by {answer}", at(self.record, act)));
            }
            _ => {}
        }
    }

    /// Each is taken once, and is gone from then on.
    fn taken_once(&mut self) {
        for (number, element) in &self.elements {
            if let [(first, by), (second, again), ..] = element.taken.as_slice() {
                self.odd.push(format!(
                    "{} was taken twice: by {} as of {first:#x}, and by {} as of {second:#x}",
                    name(*number),
                    at(self.record, by),
                    at(self.record, again)
                ));
            }
            if let (Some((taken, by)), Some((seen, act))) = (element.taken.first(), element.seen)
                && *taken <= seen
            {
                self.odd.push(format!(
                    "{}: {} is there as of {seen:#x}, and {} had taken it as of {taken:#x}",
                    at(self.record, act),
                    name(*number),
                    who(by)
                ));
            }
        }
    }

    /// What is there was put, once, with that value.
    fn put_by_somebody(&mut self) {
        let mut places: BTreeMap<&str, u64> = BTreeMap::new();
        // Elements of which nobody knows more than a name.
        let mut nameless = Vec::new();
        for (number, element) in &self.elements {
            let held = element.held;
            if let (Some(put), Some(held)) = (element.put, held)
                && put != held
            {
                self.odd.push(format!(
                    "{} holds `{}`, put as of {:#x}, and `{}` was put there as of {:#x}",
                    name(*number),
                    held.0,
                    held.1,
                    put.0,
                    put.1
                ));
            }
            let Some((value, _)) = element.put.or(held) else {
                nameless.push(*number);
                continue;
            };
            match self.puts.get(value).map(|act| &act.said) {
                Some(QueueSaid::Refused(why)) => {
                    self.odd.push(format!("{} holds `{value}`, which was refused: {why}", name(*number)));
                }
                Some(_) => {}
                None => self.odd.push(format!("{} holds `{value}`, which nobody put", name(*number))),
            }
            if let Some(other) = places.insert(value, *number) {
                self.odd.push(format!(
                    "`{value}` was put once, and is {} and {}",
                    name(other),
                    name(*number)
                ));
            }
        }
        let open = self.puts.iter().filter(|(value, act)| {
            matches!(act.said, QueueSaid::Unknown(_) | QueueSaid::Odd(_)) && !places.contains_key(*value)
        });
        let open = open.count();
        if let Some(first) = nameless.get(open) {
            self.odd.push(format!(
                "{} is there, which nobody put: {} elements are known by name alone, and {open} puts have no answer",
                name(*first),
                nameless.len()
            ));
        }
    }

    /// Numbers rise with the transactions that gave them, and from one that was acknowledged to all that were asked for later.
    fn in_order(&mut self) {
        let mut put: Vec<(i64, u64, &str)> = Vec::new();
        for (number, element) in &self.elements {
            put.extend(element.put.or(element.held).map(|(value, by)| (by, *number, value)));
        }
        put.sort_unstable();
        for pair in put.windows(2) {
            let [(before, lower, _), (after, higher, _)] = pair else { continue };
            if before == after || lower >= higher {
                self.odd.push(format!(
                    "{} was put as of {before:#x}, and {} as of {after:#x}: numbers have to rise with transactions",
                    name(*lower),
                    name(*higher)
                ));
            }
        }
        let acts = |(_, number, value): &(i64, u64, &str)| Some((*number, *self.puts.get(value)?));
        let mut sent: Vec<(u64, &QueueAct)> = put.iter().filter_map(acts).collect();
        let mut back: Vec<(u64, &QueueAct)> =
            sent.iter().copied().filter(|(_, act)| matches!(act.said, QueueSaid::Put { .. })).collect();
        sent.sort_by_key(|(_, act)| act.sent.order);
        back.sort_by_key(|(_, act)| act.back.order);
        let (mut answered, mut highest) = (back.into_iter().peekable(), None::<(u64, &QueueAct)>);
        for (number, act) in sent {
            while let Some(next) = answered.next_if(|(_, before)| before.back.order < act.sent.order) {
                highest = highest.filter(|(high, _)| *high > next.0).or(Some(next));
            }
            if let Some((high, before)) = highest.filter(|(high, _)| *high >= number) {
                self.odd.push(format!(
                    "{}: {} was asked for after {} was acknowledged to {}",
                    at(self.record, act),
                    name(number),
                    name(high),
                    at(self.record, before)
                ));
            }
        }
    }

    /// Who is told that an element is not there is told so as of a transaction as of which it can be gone. How many times
    /// that was looked at.
    fn nothing_passed_over(&mut self) -> u64 {
        let take = |act: &QueueAct| match (&act.ask, &act.said) {
            (QueueAsk::Take(element), QueueSaid::Taken { .. }) => Some(((act.queuer, act.round), *element)),
            _ => None,
        };
        let takes: BTreeMap<(u32, u32), u64> = self.record.queue.iter().filter_map(take).collect();
        let mut looked = 0;
        let mut told: BTreeSet<u64> = BTreeSet::new();
        for act in &self.record.queue {
            let QueueSaid::Listed { as_of, elements } = &act.said else { continue };
            let there: BTreeSet<u64> = elements.iter().copied().collect();
            let took = takes.get(&(act.queuer, act.round)).copied();
            for (number, element) in &self.elements {
                if there.contains(number) || element.since.is_none_or(|since| since > *as_of) {
                    continue;
                }
                looked += 1;
                let Some(why) = element.stays(*as_of, act) else { continue };
                if !told.insert(*number) {
                    continue;
                }
                let who = at(self.record, act);
                let lacks = match took.filter(|took| took > number) {
                    Some(took) => format!("took {} by a list as of {as_of:#x} that passed over", name(took)),
                    None if act.ask == QueueAsk::Rest => format!("in the end, a list as of {as_of:#x} lacks"),
                    None => format!("a list as of {as_of:#x} lacks"),
                };
                self.odd.push(format!("{who}: {lacks} {}, {why}", name(*number)));
            }
        }
        for (number, element) in &self.elements {
            for (as_of, act) in &element.nothing {
                looked += 1;
                let Some(why) = element.stays(*as_of, act).filter(|_| told.insert(*number)) else { continue };
                self.odd.push(format!(
                    "{}: as of {as_of:#x} there is no {}, {why}",
                    at(self.record, act),
                    name(*number)
                ));
            }
        }
        looked
    }
}

impl Check for Queue {
    fn claim(&self) -> &'static str {
        "an element of a queue is taken at most once, in the order in which it was put, and is never lost; numbers of sequence nodes are unique and rise"
    }
    fn source(&self) -> &'static str {
        "zookeeper.apache.org/doc/r3.8.0: Programmer's Guide, 'Sequence Nodes -- Unique Naming', 'Consistency Guarantees'; Recipes, 'Queues'"
    }

    fn judge(&self, record: &Record) -> Judgement {
        if record.timeline.load.queuers == 0 {
            return Judgement::new(Self::NAME, Verdict::NotOwed, "nobody has a queue in this timeline");
        }
        let mut judge = Judge::of(record);
        judge.taken_once();
        judge.put_by_somebody();
        judge.in_order();
        let looked = judge.nothing_passed_over();
        let (mut put, mut taken, mut left, mut maybe, mut later) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
        let rest = record.queue.iter().rev().find_map(|act| match (&act.ask, &act.said) {
            (QueueAsk::Rest, QueueSaid::Listed { as_of, elements }) => Some((*as_of, elements)),
            _ => None,
        });
        for (number, element) in judge.elements.iter().filter(|(_, element)| element.put.is_some()) {
            put += 1;
            match rest {
                _ if !element.taken.is_empty() => taken += 1,
                Some((_, elements)) if elements.contains(number) => left += 1,
                Some((as_of, _)) if element.since.is_some_and(|since| since <= as_of) => maybe += 1,
                _ => later += 1,
            }
        }
        let lists = record.queue.iter().filter(|act| matches!(act.said, QueueSaid::Listed { .. })).count();
        let looked_at = format!(
            "{put} elements were put: {taken} were taken, {left} were left in the end, {maybe} were gone by no acknowledged deletion, \
             {later} are open; {lists} lists, {looked} times an element was missing that had been there"
        );
        let (verdict, reason) = match judge.odd.len() {
            0 if put == 0 || taken == 0 => {
                (Verdict::Unknown, "nothing observed: no element was put and taken".to_string())
            }
            0 if rest.is_none() => {
                (Verdict::Unknown, "nobody could read what was left in the end".to_string())
            }
            0 => (Verdict::Pass, format!("{put} elements were taken once and in order, or were left")),
            count => (Verdict::Fail, format!("{count} time(s) the queue was not as its answers say")),
        };
        Judgement::new(Self::NAME, verdict, reason).looked_at(looked_at).with_evidence(judge.odd)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
