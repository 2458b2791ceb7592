//! `mutex`: `acquire` takes a free lock, `release` frees a held one, whoever held it. Knossos's `mutex` (its
//! `model.clj`); locks that know their holder are in `locks`. What was refused did not happen.

use super::{Model, Unfit, locks};
use crate::linear::locks::Rule;
use crate::{Budget, History, Options, Verdict};

pub const MODEL: Model = Model {
    name: "mutex",
    claim: "the acquisitions and releases of each lock took turns, in an order that respects real time",
    judge,
};

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    locks::judge_with(history, options, budget, Rule { owned: false, holds_max: 1, fenced: false })
}
