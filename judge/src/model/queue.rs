//! `queue`: a linearizable first-in first-out queue.
//!
//! Operations: `enqueue v` (`enq`, `add`, `offer`, `put`, `push`, `send`; an acknowledged answer of `false` is an
//! offer that was turned down), `dequeue` (`deq`, `poll`, `take`, `pop`, `remove`, `receive`), `drain` with a list.
//! An acknowledged dequeue of null or `"empty"`, or a refused one with the error `"empty"`, found nothing; any
//! other refusal says nothing. `--initial` is the list of values that it begins with.
//!
//! Anomalies: `unexpected` (a value from nowhere), `duplicated` (a value twice), `reordered` (two values against
//! the order of their puts), `false-empty` (found nothing while something was in), and where values repeat
//! `nonlinearizable`. Linearizability: Herlihy and Wing, TOPLAS 1990; the algorithm: `objects::fifo`.

use super::{Model, Unfit};
use crate::objects::{monitor, search::Order};
use crate::{Budget, History, Options, Verdict};

pub const MODEL: Model =
    Model { name: "queue", claim: "a linearizable queue: what is put in first comes out first, once", judge };

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    monitor::judge(history, options, budget, Order::Fifo, "enqueue, dequeue, drain")
}
