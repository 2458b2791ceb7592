//! Whether the operations on one key can be put in an order that respects real time and explains every answer.
//!
//! Three deciders. `register` takes registers whose values are unique and never deleted, `growing` lists and sets
//! whose elements are added once, each in O(n log n) steps (a step of `growing` compares two reads); `search`
//! takes everything, within a budget. All take closed intervals: an operation comes before another only
//! if it returned strictly before the other was called, and equal order is concurrent. An operation without a
//! return may take effect at any time after its call, or never. Each is tested against the other and against
//! trying every order.

pub mod growing;
pub mod register;
pub mod search;

#[cfg(test)]
mod tests;

/// One operation on one key. Values are numbers that the caller gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    pub call: u64,
    /// `None`: its outcome is not known.
    pub ret: Option<u64>,
    pub act: Act,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Of a register; `None` is a delete.
    Write(Option<u32>),
    /// `None` found nothing.
    Read(Option<u32>),
    /// A compare-and-set that found the first value and left the second. Our clients issue none; histories of
    /// other tools hold them.
    Swap(u32, u32),
    /// One that found another value than this.
    Differs(u32),
    /// The number that it was answered with, if it was answered.
    Increment(Option<i64>),
    ReadNumber(i64),
    Append(u32),
    ReadList(Vec<u32>),
    Add(u32),
    /// In order.
    ReadSet(Vec<u32>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Linearizable,
    /// Why not, by the positions of the operations that contradict each other.
    Broken(Vec<usize>),
    /// The budget was spent before an answer was found.
    Exceeded,
}
