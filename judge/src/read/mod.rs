//! Histories from text: JSON lines, Jepsen's EDN, the logs of Porcupine's tests, our own runs.

pub mod json;

use crate::history::Malformed;
use crate::value::TooLong;

/// Why a text is no history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("line {line}: {why}")]
    Syntax { line: u32, why: String },
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("line {line}: {why}")]
    TooLong { line: u32, why: TooLong },
}
