//! `stack`: a linearizable last-in first-out stack.
//!
//! The operations are those of `queue`, usually `push v` and `pop`. Anomalies: `unexpected`, `duplicated`,
//! `reordered` (values that no nesting of their lives explains), `false-empty`, and where values repeat
//! `nonlinearizable`. Linearizability: Herlihy and Wing, TOPLAS 1990; the algorithm: `objects::lifo`.

use super::{Model, Unfit};
use crate::objects::{monitor, search::Order};
use crate::{Budget, History, Options, Verdict};

pub const MODEL: Model =
    Model { name: "stack", claim: "a linearizable stack: what is pushed last is popped first, once", judge };

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    monitor::judge(history, options, budget, Order::Lifo, "push, pop, drain")
}
