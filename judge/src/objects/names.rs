//! What operations do, by their names, asked once for each name; and the objects that a history holds.

use crate::history::{History, Op};
use crate::model::Unfit;
use rustc_hash::FxHashMap;

/// The role of each name that a model knows.
#[derive(Debug)]
pub struct Names<R> {
    roles: FxHashMap<u32, R>,
    /// Operations with other names, which the model passes over.
    pub others: usize,
}

impl<R: Copy> Names<R> {
    /// `Err`: the history holds operations, and none of them concerns the model.
    pub fn of(history: &History, knows: &str, role: impl Fn(&str) -> Option<R>) -> Result<Self, Unfit> {
        let mut seen = FxHashMap::default();
        let (mut others, mut known) = (0, 0);
        for op in &history.ops {
            match seen.entry(op.f).or_insert_with(|| role(history.f(op).trim_start_matches(':'))) {
                Some(_) => known += 1,
                None => others += 1,
            }
        }
        if known == 0 && others > 0 {
            let f = history.f(&history.ops[0]);
            return Err(Unfit(format!("no operation is one of {knows}; the first is {f:?}")));
        }
        let roles = seen.into_iter().filter_map(|(f, role)| Some((f, role?))).collect();
        Ok(Self { roles, others })
    }
    pub fn role(&self, op: &Op) -> Option<R> {
        self.roles.get(&op.f).copied()
    }
}

/// What an operation does to a collection that gives back what was put into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    Put,
    Take,
    /// Takes all there is; the answer is a list.
    Drain,
}

/// The names that queues, stacks and bags use for their operations.
pub fn collection(f: &str) -> Option<Collection> {
    Some(match f {
        "enqueue" | "enq" | "add" | "offer" | "put" | "push" | "send" | "publish" => Collection::Put,
        "dequeue" | "deq" | "poll" | "take" | "pop" | "remove" | "receive" | "consume" => Collection::Take,
        "drain" => Collection::Drain,
        _ => return None,
    })
}
