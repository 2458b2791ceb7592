//! Case files: one history a line, with its name, its options and what is expected of it.
//!
//! `{"name":..,"checker":..,"completions_only":false,"opts":{..},"history":[event, ..]}`, the form in which the
//! cases of a checker's own test suite are kept. What is expected stands in the line too, and is read by tests.

use crate::history::Malformed;
use crate::read::{ReadError, Shaping, json};
use crate::{History, Options};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Line<'a> {
    name: String,
    #[serde(default)]
    completions_only: bool,
    #[serde(default)]
    opts: serde_json::Value,
    #[serde(borrow)]
    history: &'a RawValue,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    pub history: History,
    pub options: Options,
}

/// Why a case cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    #[error("line {line} is no case: {why}")]
    Syntax { line: usize, why: String },
    #[error("no case is named {0:?}")]
    Missing(String),
    #[error("case {name:?}: {why}")]
    Options { name: String, why: String },
    #[error("case {name:?}: {why}")]
    History { name: String, why: ReadError },
}

/// The case of this name.
pub fn find(text: &str, name: &str) -> Result<Case, CaseError> {
    for (place, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let line: Line<'_> = serde_json::from_str(line)
            .map_err(|error| CaseError::Syntax { line: place + 1, why: error.to_string() })?;
        if line.name == name {
            let shaping = Shaping { completions_only: line.completions_only, ..Shaping::default() };
            let history = match json::array(line.history.get(), shaping) {
                // A process that asks twice before it is answered has no order in time; its answers still count.
                Err(ReadError::Malformed(Malformed::Overlap { .. })) => {
                    json::array(line.history.get(), Shaping { completions_only: true, ..shaping })
                }
                read => read,
            };
            let history = history.map_err(|why| CaseError::History { name: name.into(), why })?;
            let options = Options::from_case_opts(&line.opts)
                .map_err(|why| CaseError::Options { name: name.into(), why })?;
            return Ok(Case { history, options });
        }
    }
    Err(CaseError::Missing(name.into()))
}
