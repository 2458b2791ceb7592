//! Histories from text: JSON lines, Jepsen's EDN, the logs of Porcupine's tests; as they are or in gzip.

pub mod edn;
pub mod json;
pub mod log;
mod scan;

use crate::history::{Builder, Event, History, Malformed};
use crate::value::{Arena, TooLong, Value};
use std::io::Read as _;

/// Why a text is no history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("line {line}: {why}")]
    Syntax { line: u32, why: String },
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("line {line}: {why}")]
    TooLong { line: u32, why: TooLong },
    #[error("failed to unpack it: {0}")]
    Gzip(String),
    #[error("it unpacks to more than {0} MB")]
    TooLarge(u64),
    #[error("it holds no operation: one event a line is read, as JSON, as EDN or as a log of jepsen.util")]
    Empty,
}

impl ReadError {
    /// Whether it was read, but is no history that any system could have had.
    pub const fn refuses(&self) -> bool {
        matches!(self, Self::Malformed(_))
    }
}

/// How a text says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Edn,
    Log,
}

impl Form {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON lines",
            Self::Edn => "EDN",
            Self::Log => "a log of jepsen.util",
        }
    }

    /// By how it begins.
    pub fn of(text: &[u8]) -> Self {
        let start = &text[..text.len().min(4096)];
        let first = start.trim_ascii_start();
        if first.starts_with(b"{") {
            let inside = first[1..].trim_ascii_start();
            if inside.starts_with(b"\"") || inside.starts_with(b"}") { Self::Json } else { Self::Edn }
        } else if first.starts_with(b"#")
            || first.starts_with(b"[")
            || first.starts_with(b"(")
            || first.starts_with(b";")
        {
            Self::Edn
        } else {
            Self::Log
        }
    }
}

/// How events are to be understood beyond what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shaping {
    /// Values are pairs of a key and a value, as Jepsen's `independent` makes them.
    pub independent: bool,
    /// There are completions alone.
    pub completions_only: bool,
}

impl Shaping {
    fn builder(self) -> Builder {
        if self.completions_only { Builder::of_completions() } else { Builder::default() }
    }

    fn add(self, builder: &mut Builder, mut event: Event, arena: &Arena) -> Result<(), Malformed> {
        if self.independent
            && let Some([key, value]) = arena.items_of(event.value)
        {
            (event.key, event.value) = (*key, *value);
        }
        builder.add(&event, arena)
    }
}

/// How much a gzip may unpack to.
const UNPACKED_MAX: u64 = 4 << 30;

/// Reads a history in whatever form it is.
pub fn history(bytes: &[u8], shaping: Shaping) -> Result<(History, Form), ReadError> {
    let mut unpacked = Vec::new();
    let text = if bytes.starts_with(&[0x1f, 0x8b]) {
        let read = flate2::read::MultiGzDecoder::new(bytes).take(UNPACKED_MAX + 1).read_to_end(&mut unpacked);
        read.map_err(|error| ReadError::Gzip(error.to_string()))?;
        if unpacked.len() as u64 > UNPACKED_MAX {
            return Err(ReadError::TooLarge(UNPACKED_MAX >> 20));
        }
        unpacked.as_slice()
    } else {
        bytes
    };
    let form = Form::of(text);
    let history = match form {
        Form::Json => json::lines(text, shaping),
        Form::Edn => edn::history(text, shaping),
        Form::Log => log::history(text, shaping),
    }?;
    if history.ops.is_empty() && !text.trim_ascii().is_empty() {
        return Err(ReadError::Empty);
    }
    Ok((history, form))
}

/// A text as UTF-8, else the line that is not.
fn utf8(text: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(text).map_err(|error| {
        let line = 1 + text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() as u32;
        ReadError::Syntax { line, why: "not UTF-8".into() }
    })
}

impl Default for Value {
    fn default() -> Self {
        Self::NIL
    }
}
