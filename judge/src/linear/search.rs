//! Any specification, by search: operations are put in order just in time, when one of them returns (Lowe,
//! "Testing for linearizability", 2017; after Wing and Gong, "Testing and verifying concurrent objects", 1993).
//!
//! A configuration is a state and what has become of the operations that are open. At each return every
//! configuration is carried on until the returning operation has taken effect; none left means that no order
//! explains the history. Only open operations are remembered, so memory does not grow with the history.
//!
//! What keeps the configurations few:
//! - An operation that would not have changed the state at some point since its call is *free*: it may count
//!   as done, or still take effect later. So is one that fits every state once an overwrite follows its call:
//!   it can have come directly before. Reads that fit are thereby done at once.
//! - One configuration stands for another of the same state if it can do all that the other can: it has used
//!   no more, except what is free, and all that is free in the other is free in it.
//! - Of open operations that do the same, the one that returns first is taken.
//! - Operations of unknown outcome are free from their call and counted by what they do; those that no answer
//!   can tell of are left out.
//! - An overwrite that does not return yet, or an operation of unknown outcome, takes effect only where another
//!   open one can tell of it: a read that then fits for the first time, or one that depends on the state. If
//!   none directly follows it, it may as well come before the next overwrite, or never.
//! - A narrow sweep, which keeps the best configurations only, is tried first: what it explains is explained.
//!   Where it gets stuck, a wider one goes on from where the narrow one first left something out.

use super::{Found, Gap, Kind, NEVER, Op, Spec};
use crate::Budget;
use rustc_hash::FxHashMap;
use std::hash::Hash;

/// The most operations of known outcome that may be open at once.
pub const OPEN_MAX: usize = 64 * 64;

/// Its name in verdicts.
pub const NAME: &str = "search (Wing and Gong 1993, Lowe 2017)";

/// How many configurations a sweep keeps, one sweep after the other.
const WIDTHS: [usize; 3] = [48, 4096, usize::MAX];

/// A set of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Bits<const W: usize>([u64; W]);

impl<const W: usize> Bits<W> {
    const EMPTY: Self = Self([0; W]);

    fn has(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 != 0
    }
    fn set(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }
    fn clear(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }
    fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & !other.0[at]))
    }
    fn both(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }
    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
    fn within(&self, other: &Self) -> bool {
        self.without(other).is_empty()
    }
    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
    fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, word)| {
            std::iter::successors((word != 0).then_some(word), |word| {
                let rest = word & (word - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |word| at * 64 + word.trailing_zeros() as usize)
        })
    }
}

/// A state, and what has become of the open operations.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Config<S, const W: usize> {
    state: S,
    /// Known operations that took effect and have not returned.
    used: Bits<W>,
    /// Known operations that may count as done, but can still take effect.
    free: Bits<W>,
    /// How many unknown operations of each class took effect, in the order of the classes.
    spent: Vec<(u32, u32)>,
}

impl<S: Copy + Eq, const W: usize> Config<S, W> {
    /// Whether it can do all that the other can.
    fn covers(&self, other: &Self) -> bool {
        self.state == other.state
            && other.free.within(&self.free)
            && self.used.within(&other.used)
            && other.used.without(&self.used).within(&self.free)
            && self.spends_within(other)
    }
    fn spends_within(&self, other: &Self) -> bool {
        let mut theirs = other.spent.iter();
        self.spent.iter().all(|(class, count)| {
            theirs
                .by_ref()
                .find(|(other, _)| other >= class)
                .is_some_and(|(other, most)| other == class && most >= count)
        })
    }
    fn spent_of(&self, class: u32) -> u32 {
        self.spent.binary_search_by_key(&class, |(class, _)| *class).map_or(0, |at| self.spent[at].1)
    }
    fn spend(&mut self, class: u32) {
        match self.spent.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(at) => self.spent[at].1 += 1,
            Err(at) => self.spent.insert(at, (class, 1)),
        }
    }
    /// How much is used up; less is better.
    fn cost(&self) -> u32 {
        self.used.len() * 2 + self.spent.iter().map(|(_, count)| count).sum::<u32>()
    }
}

/// Configurations of which none covers another, as far as is looked.
#[derive(Clone, Debug)]
struct Set<S, const W: usize> {
    items: Vec<Config<S, W>>,
    /// Items that were covered by a later one.
    dead: Vec<bool>,
    live: usize,
    /// The last item of a state, and from each item the one before it; built once there are many.
    heads: FxHashMap<S, (u32, u32)>,
    /// Those beyond `NEAR` of one state: only equal `used` are compared.
    far: FxHashMap<(S, Bits<W>), u32>,
    before: Vec<u32>,
}

const NONE: u32 = u32::MAX;
/// Up to this many items are looked through one by one.
const FEW: usize = 12;
/// Up to this many items of one state are compared with each other.
const NEAR: u32 = 96;

impl<S: Copy + Eq + Hash, const W: usize> Set<S, W> {
    fn new() -> Self {
        Self {
            items: Vec::new(),
            dead: Vec::new(),
            live: 0,
            heads: FxHashMap::default(),
            far: FxHashMap::default(),
            before: Vec::new(),
        }
    }
    fn clear(&mut self) {
        // A table that was large once would be costly to clear ever after.
        if self.heads.capacity() > 4096 {
            self.heads = FxHashMap::default();
        }
        if self.far.capacity() > 4096 {
            self.far = FxHashMap::default();
        }
        self.heads.clear();
        self.far.clear();
        self.items.clear();
        self.dead.clear();
        self.before.clear();
        self.live = 0;
    }
    /// Compares with one item: `true` when that covers the new one.
    fn meets(&mut self, at: usize, new: &Config<S, W>) -> bool {
        if self.dead[at] {
            return false;
        }
        if self.items[at].covers(new) {
            return true;
        }
        if new.covers(&self.items[at]) {
            self.dead[at] = true;
            self.live -= 1;
        }
        false
    }
    /// `false` when what is there covers it.
    fn insert(&mut self, new: Config<S, W>) -> bool {
        if self.items.len() < FEW {
            for at in 0..self.items.len() {
                if self.meets(at, &new) {
                    return false;
                }
            }
            self.push(new, NONE);
            if self.items.len() == FEW {
                for at in 0..FEW {
                    let (head, count) = self.heads.get(&self.items[at].state).copied().unwrap_or((NONE, 0));
                    self.before[at] = head;
                    self.heads.insert(self.items[at].state, (at as u32, count + 1));
                }
            }
            return true;
        }
        let (head, count) = self.heads.get(&new.state).copied().unwrap_or((NONE, 0));
        if self.covered_by(head, &new) {
            return false;
        }
        let at = self.items.len() as u32;
        if count < NEAR {
            self.heads.insert(new.state, (at, count + 1));
            self.push(new, head);
            return true;
        }
        let key = (new.state, new.used);
        let head = self.far.get(&key).copied().unwrap_or(NONE);
        if self.covered_by(head, &new) {
            return false;
        }
        self.far.insert(key, at);
        self.push(new, head);
        true
    }
    fn covered_by(&mut self, mut at: u32, new: &Config<S, W>) -> bool {
        while at != NONE {
            if self.meets(at as usize, new) {
                return true;
            }
            at = self.before[at as usize];
        }
        false
    }
    fn push(&mut self, new: Config<S, W>, before: u32) {
        self.items.push(new);
        self.dead.push(false);
        self.before.push(before);
        self.live += 1;
    }
    /// Takes all that is not covered, in the order of its coming.
    fn drain_into(&mut self, into: &mut Vec<Config<S, W>>) {
        into.clear();
        let dead = &self.dead;
        into.extend(self.items.drain(..).enumerate().filter(|(at, _)| !dead[*at]).map(|(_, item)| item));
        self.clear();
    }
    const fn bytes_each() -> usize {
        size_of::<Config<S, W>>() + 48
    }
}

/// Unknown operations that do the same.
#[derive(Clone, Debug)]
struct Class<A> {
    act: A,
    /// How many were called.
    called: u32,
    /// After this no answer can tell of them.
    until: u32,
    number: u32,
    /// Whether it neither reads nor overwrites.
    chained: bool,
}

/// An open operation of known outcome.
#[derive(Clone, Copy, Debug)]
struct Slot<A, const W: usize> {
    act: A,
    kind: Kind,
    class: u32,
    ret: u32,
    place: u32,
    /// Open operations that do the same and return earlier.
    earlier: Bits<W>,
}

/// Where a sweep over the events stands.
#[derive(Clone, Debug)]
struct Sweep<S, A, const W: usize> {
    /// The next event.
    event: usize,
    slots: Vec<Option<Slot<A, W>>>,
    open: Bits<W>,
    /// Called since the last return.
    fresh: Bits<W>,
    /// Those of the open ones that are reads, and those that neither are nor overwrite.
    reads: Bits<W>,
    chained: Bits<W>,
    /// In the order of their numbers.
    unknown: Vec<Class<A>>,
    frontier: Vec<Config<S, W>>,
}

/// What one sweep came to.
enum End<S, A, const W: usize> {
    Explained,
    /// No configuration is left, and none had been left out.
    Stuck(Stuck<S>),
    /// The same, after something had been left out: here is where.
    Narrow(Box<Sweep<S, A, W>>),
}

/// An event: its time, calls before returns (intervals are closed), and its operation.
fn events<A>(ops: &[Op<A>], useful: impl Fn(&Op<A>) -> bool) -> Vec<u64> {
    let mut events = Vec::with_capacity(ops.len() * 2);
    for (place, op) in ops.iter().enumerate() {
        if op.ret == NEVER && !useful(op) {
            continue;
        }
        events.push(u64::from(op.call) << 33 | place as u64);
        if op.ret != NEVER {
            events.push(u64::from(op.ret) << 33 | 1 << 32 | place as u64);
        }
    }
    events.sort_unstable();
    events
}

/// How many known operations are open at once, at most.
fn open_at_most<A>(ops: &[Op<A>], events: &[u64]) -> usize {
    let (mut open, mut most) = (0usize, 0);
    for event in events {
        if event >> 32 & 1 == 1 {
            open -= 1;
        } else if ops[(event & 0xffff_ffff) as usize].ret != NEVER {
            open += 1;
            most = most.max(open);
        }
    }
    most
}

/// Where a history stops being explicable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck<S> {
    /// The operation whose return nothing explains.
    pub place: usize,
    /// The states that are possible before it, at most `STATES_MAX`.
    pub states: Vec<S>,
    /// The last point before at which all orders agreed.
    pub anchor: Option<Anchor<S>>,
}

/// A point at which one configuration stands for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor<S> {
    pub state: S,
    /// The return after which it is so.
    pub time: u32,
    /// The known operations that are open and have not taken effect.
    pub open: Vec<u32>,
}

const STATES_MAX: usize = 6;

/// Decides a history of one object.
pub fn decide<S: Spec>(spec: &mut S, ops: &[Op<S::Act>], budget: &Budget) -> Found {
    let initial = spec.initial();
    match explain(spec, initial, ops, budget) {
        Ok(None) => Found::Linearizable,
        Ok(Some(stuck)) => Found::Broken(vec![stuck.place]),
        Err(gap) => Found::Unknown(gap),
    }
}

/// Decides a history that begins in a state, and tells where it stops being explicable.
pub fn explain<S: Spec>(
    spec: &mut S,
    initial: S::State,
    ops: &[Op<S::Act>],
    budget: &Budget,
) -> Result<Option<Stuck<S::State>>, Gap> {
    let events = events(ops, |op| spec.kind(op.act) != Kind::Read && spec.useful_until(op.act) >= op.call);
    let most = open_at_most(ops, &events);
    match most {
        0..=64 => sweeps::<S, 1>(spec, initial, ops, &events, budget),
        65..=256 => sweeps::<S, 4>(spec, initial, ops, &events, budget),
        257..=OPEN_MAX => sweeps::<S, { OPEN_MAX / 64 }>(spec, initial, ops, &events, budget),
        _ => Err(Gap::TooManyOpen(most)),
    }
}

/// One sweep after the other, each wider.
fn sweeps<S: Spec, const W: usize>(
    spec: &mut S,
    initial: S::State,
    ops: &[Op<S::Act>],
    events: &[u64],
    budget: &Budget,
) -> Result<Option<Stuck<S::State>>, Gap> {
    let mut classes: FxHashMap<S::Act, u32> = FxHashMap::default();
    let mut class_of = Vec::with_capacity(ops.len());
    for op in ops {
        let fresh = classes.len() as u32;
        class_of.push(*classes.entry(op.act).or_insert(fresh));
    }
    drop(classes);
    let first = Config { state: initial, used: Bits::<W>::EMPTY, free: Bits::EMPTY, spent: Vec::new() };
    let mut from = Sweep {
        event: 0,
        slots: Vec::new(),
        open: Bits::EMPTY,
        fresh: Bits::EMPTY,
        reads: Bits::EMPTY,
        chained: Bits::EMPTY,
        unknown: Vec::new(),
        frontier: vec![first],
    };
    for width in WIDTHS {
        let mut run = Run { spec: &mut *spec, ops, class_of: &class_of, events, budget };
        match run.sweep(from, width)? {
            End::Explained => return Ok(None),
            End::Stuck(stuck) => return Ok(Some(stuck)),
            End::Narrow(there) => from = *there,
        }
    }
    unreachable!("the last sweep leaves nothing out")
}

struct Run<'a, S: Spec> {
    spec: &'a mut S,
    ops: &'a [Op<S::Act>],
    class_of: &'a [u32],
    events: &'a [u64],
    budget: &'a Budget,
}

impl<S: Spec> Run<'_, S> {
    fn sweep<const W: usize>(
        &mut self,
        mut at: Sweep<S::State, S::Act, W>,
        width: usize,
    ) -> Result<End<S::State, S::Act, W>, Gap> {
        let mut next: Set<S::State, W> = Set::new();
        let mut seen: Set<S::State, W> = Set::new();
        let mut work: Vec<Config<S::State, W>> = Vec::new();
        let mut anchor: Option<Anchor<S::State>> = None;
        let mut left_out: Option<Box<Sweep<S::State, S::Act, W>>> = None;
        while let Some(event) = self.events.get(at.event) {
            at.event += 1;
            let place = (event & 0xffff_ffff) as usize;
            if event >> 32 & 1 == 0 {
                self.call(&mut at, place);
                continue;
            }
            let time = (event >> 33) as u32;
            at.unknown.retain(|class| class.until >= time);
            let slot = at
                .slots
                .iter()
                .position(|slot| slot.is_some_and(|slot| slot.place as usize == place))
                .expect("what returns was called");
            // What returns can take effect now or never again; a read, and what no answer tells of, need not.
            let returning = at.slots[slot].as_ref().expect("open");
            let last_chance = returning.kind != Kind::Read && self.spec.useful_until(returning.act) >= time;
            let goal = Goal { slot, last_chance };
            next.clear();
            seen.clear();
            for mut config in std::mem::take(&mut at.frontier) {
                self.free(&at, &mut config, at.fresh)?;
                file(config, goal, &mut next, &mut seen, &mut work);
            }
            while let Some(config) = work.pop() {
                self.carry_on(&at, &config, goal, &mut next, &mut seen, &mut work)?;
                let bytes =
                    (next.items.len() + seen.items.len() + work.len()) * Set::<S::State, W>::bytes_each();
                self.budget.hold(bytes as u64).map_err(Gap::Spent)?;
            }
            at.fresh = Bits::EMPTY;
            at.open.clear(slot);
            at.reads.clear(slot);
            at.chained.clear(slot);
            at.slots[slot] = None;
            for other in at.slots.iter_mut().flatten() {
                other.earlier.clear(slot);
            }
            next.drain_into(&mut at.frontier);
            if at.frontier.is_empty() {
                let mut states: Vec<S::State> = Vec::new();
                for config in &seen.items {
                    if states.len() < STATES_MAX && !states.contains(&config.state) {
                        states.push(config.state);
                    }
                }
                return Ok(left_out.map_or(End::Stuck(Stuck { place, states, anchor }), End::Narrow));
            }
            retire(&mut at);
            if let [config] = at.frontier.as_slice()
                && left_out.is_none()
            {
                let mut open = anchor.take().map_or_else(Vec::new, |anchor| anchor.open);
                open.clear();
                let left = at.open.without(&config.used);
                open.extend(left.iter().filter_map(|slot| at.slots[slot].as_ref().map(|slot| slot.place)));
                anchor = Some(Anchor { state: config.state, time, open });
            }
            if at.frontier.len() > width {
                if left_out.is_none() {
                    left_out = Some(Box::new(at.clone()));
                }
                at.frontier.sort_by_key(Config::cost);
                at.frontier.truncate(width);
            }
        }
        Ok(End::Explained)
    }

    fn call<const W: usize>(&self, at: &mut Sweep<S::State, S::Act, W>, place: usize) {
        let Op { act, ret, .. } = self.ops[place];
        let number = self.class_of[place];
        if ret == NEVER {
            match at.unknown.binary_search_by_key(&number, |class| class.number) {
                Ok(class) => at.unknown[class].called += 1,
                Err(class) => {
                    let until = self.spec.useful_until(act);
                    let chained = matches!(self.spec.kind(act), Kind::Partial | Kind::Total);
                    at.unknown.insert(class, Class { act, called: 1, until, number, chained });
                }
            }
            return;
        }
        let slot = at.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            at.slots.push(None);
            at.slots.len() - 1
        });
        let mut earlier = Bits::EMPTY;
        for (other_slot, other) in at.slots.iter_mut().enumerate() {
            let Some(other) = other.as_mut().filter(|other| other.class == number) else { continue };
            if (other.ret, other.place) < (ret, place as u32) {
                earlier.set(other_slot);
            } else {
                other.earlier.set(slot);
            }
        }
        let kind = self.spec.kind(act);
        at.slots[slot] = Some(Slot { act, kind, class: number, ret, place: place as u32, earlier });
        at.open.set(slot);
        at.fresh.set(slot);
        match kind {
            Kind::Read => at.reads.set(slot),
            Kind::Partial | Kind::Total => at.chained.set(slot),
            Kind::Overwrite => {}
        }
    }

    /// Marks those of `which` that would not change the state.
    fn free<const W: usize>(
        &mut self,
        at: &Sweep<S::State, S::Act, W>,
        config: &mut Config<S::State, W>,
        which: Bits<W>,
    ) -> Result<(), Gap> {
        let which = which.without(&config.used).without(&config.free);
        self.budget.spend(u64::from(which.len()) + 1)?;
        for slot in which.iter() {
            let act = at.slots[slot].as_ref().expect("open").act;
            if self.spec.step(config.state, act) == Some(config.state) {
                config.free.set(slot);
            }
        }
        Ok(())
    }

    /// Every way to let one more operation take effect.
    fn carry_on<const W: usize>(
        &mut self,
        at: &Sweep<S::State, S::Act, W>,
        config: &Config<S::State, W>,
        goal: Goal,
        next: &mut Set<S::State, W>,
        seen: &mut Set<S::State, W>,
        work: &mut Vec<Config<S::State, W>>,
    ) -> Result<(), Gap> {
        let left = at.open.without(&config.used);
        self.budget.spend(u64::from(left.len()) + at.unknown.len() as u64)?;
        for slot in left.iter() {
            let op = at.slots[slot].as_ref().expect("open");
            if op.kind == Kind::Read {
                continue;
            }
            let alike = if config.free.has(slot) { config.free } else { left.without(&config.free) };
            if !op.earlier.both(&left).both(&alike).is_empty() {
                continue;
            }
            let Some(state) = self.spec.step(config.state, op.act) else { continue };
            // What leaves the state alone is free already; but where it overwrites, others may hide before it.
            if state == config.state && op.kind != Kind::Overwrite {
                continue;
            }
            let mut after = Config { state, spent: config.spent.clone(), ..*config };
            after.used.set(slot);
            after.free.clear(slot);
            let early = op.kind == Kind::Overwrite && slot != goal.slot;
            self.settle(at, config, after, Taken { kind: op.kind, early }, goal, next, seen, work)?;
        }
        for class in &at.unknown {
            if config.spent_of(class.number) >= class.called {
                continue;
            }
            // A known one that does the same serves better.
            let known = |slot: usize| at.slots[slot].as_ref().is_some_and(|slot| slot.class == class.number);
            if left.iter().any(known) {
                continue;
            }
            let kind = self.spec.kind(class.act);
            let Some(state) = self.spec.step(config.state, class.act) else { continue };
            if state == config.state && kind != Kind::Overwrite {
                continue;
            }
            let mut after = Config { state, spent: config.spent.clone(), ..*config };
            after.spend(class.number);
            self.settle(at, config, after, Taken { kind, early: true }, goal, next, seen, work)?;
        }
        Ok(())
    }

    /// Whether an open operation can tell of the step that was taken.
    fn is_told<const W: usize>(
        &mut self,
        at: &Sweep<S::State, S::Act, W>,
        config: &Config<S::State, W>,
        after: &Config<S::State, W>,
    ) -> Result<bool, Gap> {
        if !after.free.without(&config.free).both(&at.reads).is_empty() {
            return Ok(true);
        }
        let chained = at.chained.without(&after.used);
        self.budget.spend(u64::from(chained.len()) + at.unknown.len() as u64)?;
        let mut fits = |act: S::Act| self.spec.step(after.state, act).is_some();
        if chained.iter().any(|slot| fits(at.slots[slot].as_ref().expect("open").act)) {
            return Ok(true);
        }
        let mut left = at.unknown.iter().filter(|class| after.spent_of(class.number) < class.called);
        Ok(left.any(|class| class.chained && fits(class.act)))
    }

    /// Sees what a step from `config` made free, and files it.
    fn settle<const W: usize>(
        &mut self,
        at: &Sweep<S::State, S::Act, W>,
        config: &Config<S::State, W>,
        mut after: Config<S::State, W>,
        taken: Taken,
        goal: Goal,
        next: &mut Set<S::State, W>,
        seen: &mut Set<S::State, W>,
        work: &mut Vec<Config<S::State, W>>,
    ) -> Result<(), Gap> {
        if taken.kind == Kind::Overwrite {
            for slot in at.open.without(&after.used).without(&after.free).iter() {
                let kind = at.slots[slot].as_ref().expect("open").kind;
                if matches!(kind, Kind::Overwrite | Kind::Total) {
                    after.free.set(slot);
                }
            }
        }
        if config.state == after.state && after.free.within(&config.free) {
            return Ok(());
        }
        self.free(at, &mut after, at.open)?;
        if taken.early && !self.is_told(at, config, &after)? {
            return Ok(());
        }
        file(after, goal, next, seen, work);
        Ok(())
    }
}

/// What a return asks for.
#[derive(Clone, Copy, Debug)]
struct Goal {
    /// The operation that returns.
    slot: usize,
    /// Whether it is worth trying to let it take effect even where it may count as done.
    last_chance: bool,
}

/// A step that was taken.
#[derive(Clone, Copy, Debug)]
struct Taken {
    kind: Kind,
    /// It takes effect before it has to, so another operation must tell of it.
    early: bool,
}

/// Files a configuration among those that are through with what returns, those to be carried on, or both.
fn file<S: Copy + Eq + Hash, const W: usize>(
    config: Config<S, W>,
    goal: Goal,
    next: &mut Set<S, W>,
    seen: &mut Set<S, W>,
    work: &mut Vec<Config<S, W>>,
) {
    let used = config.used.has(goal.slot);
    let done = used || config.free.has(goal.slot);
    if (!done || goal.last_chance && !used) && seen.insert(config.clone()) {
        work.push(config.clone());
    }
    if done {
        let mut through = config;
        through.used.clear(goal.slot);
        through.free.clear(goal.slot);
        next.insert(through);
    }
}

/// Forgets the unknown operations that every configuration has used, and those that tell nothing any more.
fn retire<S: Copy + Eq, A, const W: usize>(at: &mut Sweep<S, A, W>) {
    if at.frontier.iter().all(|config| config.spent.is_empty()) {
        return;
    }
    let gone = |class: u32| at.unknown.binary_search_by_key(&class, |class| class.number).is_err();
    for config in &mut at.frontier {
        config.spent.retain(|(class, _)| !gone(*class));
    }
    let common: Vec<(u32, u32)> = at.frontier[0]
        .spent
        .iter()
        .map(|(class, _)| {
            (*class, at.frontier.iter().map(|config| config.spent_of(*class)).min().expect("not empty"))
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    for (class, count) in common {
        let known = at.unknown.binary_search_by_key(&class, |class| class.number).expect("kept above");
        at.unknown[known].called -= count;
        for config in &mut at.frontier {
            let spent = config.spent.binary_search_by_key(&class, |(class, _)| *class).expect("all used it");
            config.spent[spent].1 -= count;
        }
    }
    for config in &mut at.frontier {
        config.spent.retain(|(_, count)| *count > 0);
    }
    at.unknown.retain(|class| class.called > 0);
}
