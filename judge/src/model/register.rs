//! `register`: reads and writes of one value per key, linearizable. Knossos's `register` (its `model.clj`).
//!
//! Operations: `read` (the completion holds the value), `write` (the invocation does). The register holds
//! `initial` at first, nothing unless said. With `null_read: UnknownRead` a read of null tells nothing, as in
//! Knossos; else it tells that the register holds null.

use super::{Model, Unfit, cas_register};
use crate::{Budget, History, Options, Verdict};

pub const MODEL: Model = Model {
    name: "register",
    claim: "the reads and writes of each key have an order that respects real time and explains every answer",
    judge,
};

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    cas_register::judge_with(history, options, budget, false)
}
