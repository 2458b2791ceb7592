//! `cas-register`: reads, writes and compare-and-sets of one value per key, linearizable. Knossos's
//! `cas-register` (its `model.clj`); with `failed_cas: AssertsMismatch` and null reads that tell, the register
//! of Porcupine's etcd tests.
//!
//! Operations: `read` (the completion holds the value), `write`, and `cas` with `[from, to]`: it happened only
//! if the register held `from`. A refused one did not happen; whether that tells that the register held
//! another value at some point is an option, since clients also refuse for other reasons.

use super::{Model, Unfit};
use crate::history::Op as Operation;
use crate::linear::judge::each_key;
use crate::linear::register::{Act, judge_key};
use crate::linear::values::Codes;
use crate::options::{FailedCas, NullRead};
use crate::{Budget, History, Options, Outcome, Verdict};

pub const MODEL: Model = Model {
    name: "cas-register",
    claim: "the reads, writes and compare-and-sets of each key have an order that respects real time and \
            explains every answer",
    judge,
};

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    judge_with(history, options, budget, true)
}

pub(super) fn judge_with(
    history: &History,
    options: &Options,
    budget: &Budget,
    cas: bool,
) -> Result<Verdict, Unfit> {
    let mut codes = Codes::new(options.initial.clone().unwrap_or_default());
    let mut acts: Vec<Option<Act>> = Vec::with_capacity(history.ops.len());
    for place in 0..history.ops.len() {
        acts.push(act(history, place, options, &mut codes, cas)?);
    }
    Ok(each_key(history, &acts, |key, places, ops| judge_key(history, key, places, ops, &codes, budget)))
}

/// What an operation tells; `None`: nothing.
fn act(
    history: &History,
    place: usize,
    options: &Options,
    codes: &mut Codes,
    cas: bool,
) -> Result<Option<Act>, Unfit> {
    let (op, arena): (&Operation, _) = (&history.ops[place], &history.arena);
    let name = arena.str(op.f);
    Ok(match (name, op.outcome) {
        ("read", Outcome::Ok) if op.output.is_nil() && options.null_read == NullRead::UnknownRead => None,
        ("read", Outcome::Ok) => Some(Act::Read(codes.code(op.output, arena))),
        ("read", _) | ("write", Outcome::Fail) => None,
        ("write", _) => Some(Act::Write(codes.code(op.input, arena))),
        ("cas", outcome) if cas => {
            let Some(&[from, to]) = arena.items_of(op.input) else {
                return Err(Unfit(format!("a cas is of [from, to]: {}", history.tell(place))));
            };
            let (from, to) = (codes.code(from, arena), codes.code(to, arena));
            match outcome {
                Outcome::Ok | Outcome::Info => Some(Act::Swap(from, to)),
                Outcome::Fail if options.failed_cas == FailedCas::AssertsMismatch => Some(Act::Differs(from)),
                Outcome::Fail => None,
            }
        }
        _ => {
            let known = if cas { "read, write and cas" } else { "read and write" };
            return Err(Unfit(format!("this model knows {known} alone: {}", history.tell(place))));
        }
    })
}
