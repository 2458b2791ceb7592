//! Judges of client histories: given what clients asked and were answered, is it what the system promises?
//!
//! A [`History`] is read from text ([`read`]), a [`model`] by its name says what is promised, [`Options`] what is
//! claimed beside it, a [`Budget`] what the answer may cost. The [`Verdict`] is ok, bad or unknown, names the
//! algorithm, and shows the operations that contradict each other. Pure: the same history, options and budget
//! give the same verdict.

pub mod budget;
pub mod case;
pub mod generate;
pub mod history;
pub mod linear;
pub mod model;
pub mod objects;
pub mod options;
pub mod picture;
pub mod read;
pub mod table;
pub mod txn;
pub mod value;
pub mod verdict;

pub use budget::{Budget, Spent};
pub use history::{History, Op, Outcome};
pub use model::Model;
pub use options::Options;
pub use value::{Arena, Value};
pub use verdict::{Anomaly, Answer, Verdict};
