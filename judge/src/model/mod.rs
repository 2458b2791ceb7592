//! The models by their names: one file each, whose header cites the definition, and one line here.

mod bag;
mod bank;
mod cas_register;
mod counter;
mod kv_append;
mod lease;
mod linear_counter;
mod linear_set;
mod list_append;
mod locks;
mod long_fork;
mod multi_register;
mod mutex;
mod queue;
mod register;
mod rw_register;
mod sessions;
mod set;
mod set_full;
mod stack;
mod total_queue;
mod unique_ids;
mod unordered_queue;
mod watch;

use crate::{Budget, History, Options, Verdict};

/// A model: what is promised of a history.
#[derive(Clone, Copy)]
pub struct Model {
    /// As `--model` takes it.
    pub name: &'static str,
    /// What it promises, in one sentence.
    pub claim: &'static str,
    /// Pure; `Err` holds what of the history or of the options does not fit the model (bad input, not a verdict).
    pub judge: fn(&History, &Options, &Budget) -> Result<Verdict, Unfit>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Why a model cannot speak of a history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

/// Every model, in the order of the reference.
pub const MODELS: &[Model] = &[
    set::MODEL,
    set_full::MODEL,
    counter::MODEL,
    unordered_queue::MODEL,
    queue::MODEL,
    stack::MODEL,
    bag::MODEL,
    total_queue::MODEL,
    unique_ids::MODEL,
    bank::MODEL,
    long_fork::MODEL,
    sessions::MODELS[0],
    sessions::MODELS[1],
    sessions::MODELS[2],
    sessions::MODELS[3],
    sessions::MODELS[4],
    sessions::MODELS[5],
    watch::MODEL,
    lease::MODEL,
    list_append::MODEL,
    rw_register::MODEL,
    register::MODEL,
    cas_register::MODEL,
    kv_append::MODEL,
    mutex::MODEL,
    locks::OWNED,
    locks::REENTRANT,
    locks::FENCED,
    locks::REENTRANT_FENCED,
    multi_register::MODEL,
    linear_counter::MODEL,
    linear_set::MODEL,
];

/// The model of this name.
pub fn named(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}
