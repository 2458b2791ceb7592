//! A register: reads, writes, and compare-and-sets with their answers.

use super::judge::OfKey;
use super::values::Codes;
use super::zones::{self, Zones};
use super::{Found, Kind, Op, Spec, search, story};
use crate::value::Value;
use crate::{Budget, History, Spent};
use rustc_hash::{FxHashMap, FxHashSet};

/// What an operation did. Values are numbers that the caller gave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    Write(u32),
    /// It was answered with this value.
    Read(u32),
    /// A compare-and-set that found the first value and left the second.
    Swap(u32, u32),
    /// A compare-and-set that found another value than this.
    Differs(u32),
}

impl Act {
    /// The value that it leaves.
    pub const fn leaves(self) -> Option<u32> {
        match self {
            Self::Write(value) | Self::Swap(_, value) => Some(value),
            Self::Read(_) | Self::Differs(_) => None,
        }
    }
    /// The value that it must have found.
    pub const fn found(self) -> Option<u32> {
        match self {
            Self::Read(value) | Self::Swap(value, _) => Some(value),
            Self::Write(_) | Self::Differs(_) => None,
        }
    }
}

/// The specification, for the operations of one key.
#[derive(Clone, Debug)]
pub struct Register {
    initial: u32,
    /// The last place at which an answer tells of a value; what is missing is never told of.
    told: FxHashMap<u32, u32>,
    /// The last return of a refused compare-and-set, which any other value explains.
    differs: Option<u32>,
}

impl Register {
    pub fn new(initial: u32, ops: &[Op<Act>]) -> Self {
        let mut told: FxHashMap<u32, u32> = FxHashMap::default();
        let mut differs = None;
        for op in ops {
            if let Some(value) = op.act.found() {
                let last = told.entry(value).or_insert(0);
                *last = op.ret.max(*last);
            }
            if let Act::Differs(_) = op.act {
                differs = differs.max(Some(op.ret));
            }
        }
        // A swap of unknown outcome needs its value for as long as what it leaves is told of, which may be for
        // ever; `ret` is never then, so its value stays useful as well.
        Self { initial, told, differs }
    }
}

impl Spec for Register {
    type State = u32;
    type Act = Act;

    fn initial(&self) -> u32 {
        self.initial
    }
    fn step(&mut self, state: u32, act: Act) -> Option<u32> {
        match act {
            Act::Write(value) => Some(value),
            Act::Read(value) => (state == value).then_some(state),
            Act::Swap(from, to) => (state == from).then_some(to),
            Act::Differs(value) => (state != value).then_some(state),
        }
    }
    fn kind(&self, act: Act) -> Kind {
        match act {
            Act::Write(_) => Kind::Overwrite,
            Act::Read(_) | Act::Differs(_) => Kind::Read,
            Act::Swap(..) => Kind::Partial,
        }
    }
    fn useful_until(&self, act: Act) -> u32 {
        let told = act.leaves().and_then(|value| self.told.get(&value).copied());
        told.max(self.differs).unwrap_or(0)
    }
    fn droppable(&self, act: Act, others: &[Act]) -> bool {
        let Some(value) = act.leaves() else { return true };
        others.iter().all(|other| other.found() != Some(value) && !matches!(other, Act::Differs(_)))
    }
}

/// Values that no answer tells of are one value to every answer; as one number they make fewer states. Which
/// that is, if there is one.
pub fn merge_untold(initial: u32, ops: &mut [Op<Act>]) -> Option<u32> {
    let mut told: FxHashSet<u32> = FxHashSet::default();
    for op in ops.iter() {
        if let Act::Read(value) | Act::Swap(value, _) | Act::Differs(value) = op.act {
            told.insert(value);
        }
    }
    let mut other = (!told.contains(&initial)).then_some(initial);
    for op in ops {
        if let Act::Write(value) | Act::Swap(_, value) = &mut op.act
            && !told.contains(value)
        {
            *value = *other.get_or_insert(*value);
        }
    }
    other
}

/// Decides the operations on one register, by zones where its values are unique, else by search.
pub fn decide(initial: u32, ops: &[Op<Act>], budget: &Budget) -> Found {
    match unique(initial, ops, budget) {
        Ok(Zones::Linearizable) => Found::Linearizable,
        Ok(Zones::Broken(clash, witnesses)) => Found::Broken(all(&clash, witnesses)),
        Ok(Zones::NotUnique) => by_search(initial, ops, budget),
        Err(spent) => Found::Unknown(spent.into()),
    }
}

/// Decides the operations on one register by search, whatever its values.
pub fn by_search(initial: u32, ops: &[Op<Act>], budget: &Budget) -> Found {
    let mut merged = ops.to_vec();
    merge_untold(initial, &mut merged);
    search::decide(&mut Register::new(initial, &merged), &merged, budget)
}

fn all(clash: &zones::Clash, witnesses: Vec<usize>) -> Vec<usize> {
    let mut all = clash.places();
    all.extend(witnesses);
    all.sort_unstable();
    all.dedup();
    all
}

/// By zones, within the budget.
fn unique(initial: u32, ops: &[Op<Act>], budget: &Budget) -> Result<Zones, Spent> {
    budget.spend(ops.len() as u64)?;
    budget.hold(ops.len() as u64 * zones::BYTES_EACH)?;
    Ok(zones::decide(initial, ops))
}

/// Decides one key of a history and tells what contradicts.
pub fn judge_key(
    history: &History,
    key: Value,
    places: &[u32],
    ops: &[Op<Act>],
    codes: &Codes,
    budget: &Budget,
) -> OfKey {
    let show = |value: u32| codes.show(value, &history.arena);
    let (found, anomaly) = match unique(0, ops, budget) {
        Ok(Zones::Linearizable) => (Found::Linearizable, None),
        Ok(Zones::Broken(clash, witnesses)) => {
            let all = all(&clash, witnesses);
            let anomaly = story::of_clash(history, key, places, ops, &clash, &all, &show);
            (Found::Broken(all), Some(anomaly))
        }
        Ok(Zones::NotUnique) => {
            let mut merged = ops.to_vec();
            let other = merge_untold(0, &mut merged);
            let mut spec = Register::new(0, &merged);
            let tell = |state: u32| {
                if Some(state) == other { "a value that nobody reads".to_owned() } else { show(state) }
            };
            return super::judge::judge_key(history, key, places, &merged, &mut spec, &tell, budget);
        }
        Err(spent) => (Found::Unknown(spent.into()), None),
    };
    OfKey { key, found, anomaly, algorithm: zones::NAME }
}
