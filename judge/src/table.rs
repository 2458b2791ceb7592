//! Tables of histories with known verdicts: tab-separated, the first line names the columns, of which `file`,
//! `model` and `verdict` must be there; `initial`, `failed_cas` and `null_read` are read where they are. A file
//! `name.cases.jsonl::case` is one case of a case file. A note that says `opts={...}` gives options to a history
//! that is a file of its own. `verdict` is `ok`, `bad`, `unknown`, or `reject` for what is no history.

use crate::case::{self, CaseError};
use crate::options::{FailedCas, NullRead};
use crate::read::{self, Shaping};
use crate::{Answer, Budget, Options, model};

/// What a row says of its history, and what a judge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Ok,
    Bad,
    Unknown,
    Reject,
}

impl Word {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
            Self::Reject => "reject",
        }
    }
    fn named(name: &str) -> Option<Self> {
        [Self::Ok, Self::Bad, Self::Unknown, Self::Reject].into_iter().find(|word| word.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// In the table, from 1.
    pub line: usize,
    pub file: String,
    pub case: Option<String>,
    pub model: &'static str,
    /// `Err`: what of the note's options is not understood.
    pub options: Result<Options, String>,
    pub expected: Word,
}

impl Row {
    /// As the table names it.
    pub fn name(&self) -> String {
        self.case.as_ref().map_or_else(|| self.file.clone(), |case| format!("{}::{case}", self.file))
    }
}

/// Why a text is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("line 1 names no column {0:?}; columns are separated by tabs")]
    NoColumn(&'static str),
    #[error("line {line}: {column} {value:?} is not known ({known})")]
    Unknown { line: usize, column: &'static str, value: String, known: String },
    #[error("the table has no rows")]
    Empty,
}

/// Reads a table; all of it must be good before anything is judged.
pub fn rows(text: &str) -> Result<Vec<Row>, TableError> {
    let mut lines = text.lines().enumerate();
    let header: Vec<&str> = lines.next().map(|(_, line)| line.split('\t').collect()).unwrap_or_default();
    let column = |name: &str| header.iter().position(|column| column.trim() == name);
    let need = |name: &'static str| column(name).ok_or(TableError::NoColumn(name));
    let (file, model, verdict) = (need("file")?, need("model")?, need("verdict")?);
    let (initial, failed_cas, null_read) = (column("initial"), column("failed_cas"), column("null_read"));
    let note = column("note");
    let mut rows = Vec::new();
    for (place, text) in lines {
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let line = place + 1;
        let fields: Vec<&str> = text.split('\t').map(str::trim).collect();
        let field =
            |column: Option<usize>| column.and_then(|column| fields.get(column)).copied().unwrap_or("");
        let unknown = |column, value: &str, known: String| {
            Err(TableError::Unknown { line, column, value: value.into(), known })
        };
        let name = field(Some(model));
        let Some(model) = model::named(name) else {
            let known: Vec<&str> = model::MODELS.iter().map(|model| model.name).collect();
            return unknown("model", name, known.join(", "));
        };
        let Some(expected) = Word::named(field(Some(verdict))) else {
            return unknown("verdict", field(Some(verdict)), "ok, bad, unknown, reject".into());
        };
        let opts = field(note).split_once("opts=").map_or("{}", |(_, opts)| opts);
        let opts: serde_json::Value = serde_json::Deserializer::from_str(opts)
            .into_iter()
            .next()
            .unwrap_or(Ok(serde_json::Value::Null))
            .unwrap_or_default();
        let mut options = Options::from_case_opts(&opts);
        let failed_cas = match field(failed_cas) {
            "asserts-mismatch" => FailedCas::AssertsMismatch,
            "" | "n/a" | "no-effect" => FailedCas::NoEffect,
            other => return unknown("failed_cas", other, "no-effect, asserts-mismatch, n/a".into()),
        };
        let null_read = match field(null_read) {
            "unknown-read" | "invoke-only" => NullRead::UnknownRead,
            "" | "n/a" | "asserts-null" => NullRead::AssertsNull,
            other => {
                return unknown("null_read", other, "asserts-null, unknown-read, invoke-only, n/a".into());
            }
        };
        if let Ok(options) = &mut options {
            options.initial = initial_value(field(initial));
            (options.failed_cas, options.null_read) = (failed_cas, null_read);
        }
        let (file, case) = match field(Some(file)).split_once("::") {
            Some((file, case)) => (file.to_owned(), Some(case.to_owned())),
            None => (field(Some(file)).to_owned(), None),
        };
        rows.push(Row { line, file, case, model: model.name, options, expected });
    }
    if rows.is_empty() { Err(TableError::Empty) } else { Ok(rows) }
}

/// The column `initial`: a JSON value, or a word for what the model begins with anyway.
fn initial_value(text: &str) -> Option<serde_json::Value> {
    match text {
        "" | "n/a" | "empty" | "free" => None,
        text => Some(serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.into()))),
    }
}

/// What a judge says of a row, and why, in one line. `Err`: the table is wrong about its files.
pub fn judge(row: &Row, bytes: &[u8], budget: &Budget) -> Result<(Word, String), CaseError> {
    let model = model::named(row.model).expect("rows name models that are known");
    let options = match &row.options {
        Ok(options) => options.clone(),
        Err(why) => return Ok((Word::Reject, why.clone())),
    };
    let read = match &row.case {
        None => read::history(bytes, Shaping::default())
            .map(|(history, _)| (history, options))
            .map_err(|error| error.to_string()),
        Some(name) => match std::str::from_utf8(bytes) {
            Err(_) => Err("not UTF-8".into()),
            Ok(text) => match case::find(text, name) {
                // The case's own options count; the columns speak of what it has none for.
                Ok(case) => {
                    let Options { initial, failed_cas, null_read, .. } = options;
                    Ok((case.history, Options { initial, failed_cas, null_read, ..case.options }))
                }
                // A history that is none is what a row may be about; a case that is not there is not.
                Err(error @ (CaseError::Missing(_) | CaseError::Syntax { .. })) => return Err(error),
                Err(error) => Err(error.to_string()),
            },
        },
    };
    let judged = read.and_then(|(history, options)| {
        (model.judge)(&history, &options, budget).map_err(|unfit| unfit.to_string())
    });
    Ok(match judged {
        Err(why) => (Word::Reject, why),
        Ok(verdict) => {
            let word = match verdict.answer {
                Answer::Ok => Word::Ok,
                Answer::Bad => Word::Bad,
                Answer::Unknown => Word::Unknown,
            };
            (word, verdict.reason)
        }
    })
}
