//! `bag`: a linearizable collection without an order.
//!
//! The operations are those of `queue`; what is put in comes out once, in any order. Anomalies: `unexpected`,
//! `duplicated`, `false-empty`, and where values repeat `nonlinearizable`. Lee and Mathur, OOPSLA 2025, and
//! Abdulla et al., PLDI 2025, call it a set or multiset with unique values; the algorithm: `objects::fifo`.

use super::{Model, Unfit};
use crate::objects::{monitor, search::Order};
use crate::{Budget, History, Options, Verdict};

pub const MODEL: Model = Model {
    name: "bag",
    claim: "a linearizable collection: what is put in comes out once, in any order",
    judge,
};

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    monitor::judge(history, options, budget, Order::Bag, "put, take, drain")
}
