//! A YAML text as a tree in which every key and value knows where it stands.
//!
//! `parse` is pure and bounded: size, depth, nodes after unfolding aliases. What reads the tree collects
//! [`Problem`]s instead of stopping at the first, so that all mistakes of a file are reported in one go.

use std::fmt;

/// Where a token begins: line and column from 1, columns in characters, with its length in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub length: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub span: Span,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`, `~`, or nothing at all.
    Null,
    /// Any scalar as it is written; `quoted` when it stood in quotes or in a block, and so is a string.
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping. Duplicates are found by `parse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// One mistake, or one remark, with all that a good message needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub span: Option<Span>,
    /// The path of the key, `operations[1].timing.delay_before`; empty at the top.
    pub path: String,
    /// The text it is about, as written.
    pub offending: String,
    pub message: String,
    pub hint: Option<String>,
}

/// All problems of one file, in the order of their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    pub list: Vec<Problem>,
    /// Keys that a foreign dialect does not know are remarks and no mistakes.
    pub unknown_keys_allowed: bool,
}

impl Problems {
    pub fn error(
        &mut self,
        span: Option<Span>,
        path: &str,
        offending: &str,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.push(Severity::Error, span, path, offending, message.into())
    }
    pub fn warning(
        &mut self,
        span: Option<Span>,
        path: &str,
        offending: &str,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.push(Severity::Warning, span, path, offending, message.into())
    }
    fn push(
        &mut self,
        severity: Severity,
        span: Option<Span>,
        path: &str,
        offending: &str,
        message: String,
    ) -> &mut Problem {
        self.list.push(Problem {
            severity,
            span,
            path: path.into(),
            offending: offending.into(),
            message,
            hint: None,
        });
        self.list.last_mut().expect("just pushed")
    }
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|p| p.severity == Severity::Error)
    }
    /// Sorts by place; what has no place comes last.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|p| p.span.map_or((u32::MAX, u32::MAX), |s| (s.line, s.column)));
    }
}

impl Problem {
    pub fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }
}

impl Node {
    /// What the value is, for messages: `the string "four"`, `a list`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Scalar { text, quoted } => match (quoted, text.as_str()) {
                (false, "true" | "false") => format!("the boolean {text}"),
                (false, _) if text.parse::<i128>().is_ok() => format!("the integer {text}"),
                (false, _) if text.parse::<f64>().is_ok() => format!("the number {text}"),
                _ => format!("the string \"{text}\""),
            },
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }
    /// The text of a scalar, or what stands for it in a message.
    pub fn text(&self) -> &str {
        match &self.value {
            Value::Scalar { text, .. } => text,
            Value::Null => "null",
            Value::List(_) => "[...]",
            Value::Map(_) => "{...}",
        }
    }
    /// The offending text as written: with its quotes.
    pub fn as_written(&self) -> String {
        match &self.value {
            Value::Scalar { text, quoted: true } => format!("\"{text}\""),
            _ => self.text().into(),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The known word nearest to a misspelt one (Damerau-Levenshtein, at most a third of its letters wrong).
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1) + 1;
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
