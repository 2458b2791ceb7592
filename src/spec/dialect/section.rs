//! Reading a mapping of a dialect: values by name with the dialect's words for what is wrong, and every key that
//! nothing read reported at the end.
//!
//! The dialects were written for a reader of YAML 1.1 (`PyYAML`), so `yes`, `0x10` and `1_000` mean there what
//! they mean here. `null` for an optional value is the same as leaving it out.

use crate::time::{MILLIS_MAX, Millis};
use crate::yaml::document::{Key, Node, Problems, Span, Value, nearest};

/// A mapping, its path, and where its key stands.
#[derive(Debug)]
pub struct Section<'a> {
    pub path: String,
    /// The section's key; the beginning of the file for the file itself.
    pub at: Span,
    entries: Vec<Entry<'a>>,
}

#[derive(Debug)]
struct Entry<'a> {
    key: &'a Key,
    node: &'a Node,
    read: bool,
}

/// A value that is there, and not null.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    pub key: &'a Key,
    pub node: &'a Node,
    pub path: String,
}

/// The least value that a time may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Least {
    /// Delays and waits: 0 or more.
    Zero,
    /// Time-outs: more than 0.
    Some,
}

impl<'a> Section<'a> {
    /// A mapping. An empty value is an empty mapping; anything else is reported.
    pub fn open(node: &'a Node, path: &str, at: Span, problems: &mut Problems) -> Option<Self> {
        let entries = match &node.value {
            Value::Null => Vec::new(),
            Value::Map(pairs) => pairs.iter().map(|(key, node)| Entry { key, node, read: false }).collect(),
            _ => {
                wrong_type(node, path, "a mapping", problems);
                return None;
            }
        };
        Some(Self { path: path.into(), at, entries })
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// The key of that name, whatever its value, without marking it as read.
    pub fn key(&self, name: &str) -> Option<&'a Key> {
        self.entries.iter().find(|entry| entry.key.text == name).map(|entry| entry.key)
    }

    /// The keys in the order written.
    pub fn keys(&self) -> impl Iterator<Item = &'a Key> {
        self.entries.iter().map(|entry| entry.key)
    }

    /// A value, null or not, marked as read.
    pub fn written(&mut self, name: &str) -> Option<Given<'a>> {
        let path = self.path_of(name);
        let entry = self.entries.iter_mut().find(|entry| entry.key.text == name)?;
        entry.read = true;
        Some(Given { key: entry.key, node: entry.node, path })
    }

    /// A value that is not null, marked as read.
    pub fn given(&mut self, name: &str) -> Option<Given<'a>> {
        self.written(name).filter(|given| given.node.value != Value::Null)
    }

    /// As [`given`](Self::given), and its absence is reported at the section's key.
    pub fn required(&mut self, name: &str, expected: &str, problems: &mut Problems) -> Option<Given<'a>> {
        match self.written(name) {
            Some(given) if given.node.value == Value::Null => {
                wrong_type(given.node, &given.path, expected, problems);
                None
            }
            Some(given) => Some(given),
            None => {
                let place = if self.path.is_empty() { "the scenario" } else { &self.path };
                problems
                    .error(
                        Some(self.at),
                        &self.path_of(name),
                        "",
                        format!("{place}: missing required key `{name}`"),
                    )
                    .hint(format!("expected {expected}"));
                None
            }
        }
    }

    /// A section within; `None` when it is absent, null, or not a mapping.
    pub fn section(&mut self, name: &str, problems: &mut Problems) -> Option<Self> {
        let given = self.given(name)?;
        Section::open(given.node, &given.path, given.key.span, problems)
    }

    pub fn boolean(&mut self, name: &str, default: bool, problems: &mut Problems) -> bool {
        self.given(name).and_then(|given| given.boolean(problems)).unwrap_or(default)
    }

    /// Seconds, whole or in parts.
    pub fn seconds(&mut self, name: &str, default: Millis, least: Least, problems: &mut Problems) -> Millis {
        self.given(name).and_then(|given| given.seconds(least, problems)).unwrap_or(default)
    }

    /// An integer of a range, both ends included.
    pub fn integer(&mut self, name: &str, (least, most): (u64, u64), problems: &mut Problems) -> Option<u64> {
        let given = self.given(name)?;
        given.integer((least, most), problems, |_| format!("{least} to {most} are allowed"))
    }

    /// Says of each of these keys that is there why it has no effect.
    pub fn without_effect(&mut self, name: &str, why: &str, problems: &mut Problems) {
        if let Some(given) = self.given(name) {
            given.warn(format!("{name} {why}"), problems);
        }
    }

    pub fn was_read(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.read && entry.key.text == name)
    }

    /// Warns of every key that nothing read, in a section where the tool takes any key and ignores it.
    pub fn ignore_rest(&mut self, known: &[&str], why: &str, problems: &mut Problems) {
        let rest: Vec<&str> =
            self.entries.iter().filter(|entry| !entry.read).map(|entry| entry.key.text.as_str()).collect();
        for name in rest.into_iter().filter(|name| !known.contains(name)) {
            if let Some(given) = self.written(name) {
                given.warn(format!("{name} {why}"), problems);
            }
        }
    }

    /// Reports every key that nothing read. Keys that begin with `x-` are for others.
    pub fn finish(&self, known: &[&str], problems: &mut Problems) {
        for Entry { key, read, .. } in &self.entries {
            if *read {
                continue;
            }
            let place = if self.path.is_empty() { String::new() } else { format!(" in {}", self.path) };
            let path = self.path_of(&key.text);
            if key.text.starts_with("x-") {
                let message = format!("`{}`{place} is not read", key.text);
                problems.warning(Some(key.span), &path, &key.text, message);
                continue;
            }
            let message = format!("{UNKNOWN_KEY} `{}`{place}", key.text);
            let problem = if problems.unknown_keys_allowed {
                problems.warning(Some(key.span), &path, &key.text, format!("{message}, which is not read"))
            } else {
                problems.error(Some(key.span), &path, &key.text, message)
            };
            match nearest(&key.text, known.iter().copied()) {
                Some(word) => problem.hint(format!("did you mean `{word}`?")),
                None => problem.hint(format!("known keys: {}", known.join(", "))),
            }
        }
    }
}

/// What the message about an unknown key begins with.
pub const UNKNOWN_KEY: &str = "unknown key";

impl Given<'_> {
    pub fn error(&self, message: impl AsRef<str>, hint: impl Into<String>, problems: &mut Problems) {
        let message = format!("{}: {}", self.path, message.as_ref());
        problems.error(Some(self.node.span), &self.path, &self.node.as_written(), message).hint(hint);
    }

    /// A remark about the key.
    pub fn warn(&self, message: impl Into<String>, problems: &mut Problems) {
        problems.warning(Some(self.key.span), &self.path, &self.key.text, message);
    }

    pub fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        let value = plain(self.node).and_then(|text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        });
        if value.is_none() {
            wrong_type(self.node, &self.path, "true or false", problems);
        }
        value
    }

    /// An integer of a range; `hint` says what is allowed when it lies outside.
    pub fn integer(
        &self,
        (least, most): (u64, u64),
        problems: &mut Problems,
        hint: impl FnOnce(i128) -> String,
    ) -> Option<u64> {
        let Some(value) = plain(self.node).and_then(integer) else {
            wrong_type(self.node, &self.path, &format!("an integer from {least} to {most}"), problems);
            return None;
        };
        match u64::try_from(value) {
            Ok(value) if (least..=most).contains(&value) => Some(value),
            _ => {
                self.error(format!("{} is out of range", self.node.text()), hint(value), problems);
                None
            }
        }
    }

    /// Seconds, rounded to a whole millisecond.
    pub fn seconds(&self, least: Least, problems: &mut Problems) -> Option<Millis> {
        let (expected, allowed) = match least {
            Least::Zero => ("a number of seconds, 0 or more", "delays are 0 or more"),
            Least::Some => ("a number of seconds, more than 0", "a time-out is more than 0"),
        };
        let Some(seconds) = plain(self.node).and_then(number) else {
            wrong_type(self.node, &self.path, expected, problems);
            return None;
        };
        let text = self.node.text();
        let millis = (seconds * 1000.0).round();
        if seconds < 0.0 {
            self.error(format!("{text} s is negative"), allowed, problems);
        } else if millis > MILLIS_MAX as f64 {
            self.error(format!("{text} s is longer than a week"), "a week is the most", problems);
        } else if least == Least::Some && millis < 1.0 {
            self.error(format!("{text} s is too short"), allowed, problems);
        } else {
            return Some(Millis(millis as u64));
        }
        None
    }

    /// Whether it is a number, of whatever size; for values that are read and then not used.
    pub fn number(&self, problems: &mut Problems) -> bool {
        let found = plain(self.node).and_then(number).is_some();
        if !found {
            wrong_type(self.node, &self.path, "a number", problems);
        }
        found
    }

    /// A scalar that is a word: a string, however it is quoted.
    pub fn word(&self, expected: &str, problems: &mut Problems) -> Option<&str> {
        if let Value::Scalar { text, .. } = &self.node.value {
            Some(text)
        } else {
            wrong_type(self.node, &self.path, expected, problems);
            None
        }
    }

    /// One of a fixed set of words; `noun` is what they are.
    pub fn one_of<T: Copy>(&self, noun: &str, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        let list = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let text = self.word(&format!("one of {list}"), problems)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let guess = nearest(text, words.iter().map(|(word, _)| *word));
        let hint = guess.map_or(String::new(), |word| format!("; did you mean `{word}`?"));
        self.error(format!("unknown {noun} `{text}`"), format!("one of {list}{hint}"), problems);
        None
    }

    /// A list, item by item with their paths.
    pub fn items(&self, expected: &str, problems: &mut Problems) -> Option<Vec<(String, &Node)>> {
        let Value::List(items) = &self.node.value else {
            wrong_type(self.node, &self.path, expected, problems);
            return None;
        };
        Some(items.iter().enumerate().map(|(i, item)| (format!("{}[{i}]", self.path), item)).collect())
    }
}

pub fn wrong_type(node: &Node, path: &str, expected: &str, problems: &mut Problems) {
    let message = format!("{path}: expected {expected}, got {}", node.describe());
    problems.error(Some(node.span), path, &node.as_written(), message);
}

/// The text of a scalar that is no string.
fn plain(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, quoted: false } => Some(text),
        _ => None,
    }
}

/// An integer as YAML 1.1 has it: decimal, `0x`, `0o`, `0b`, octal by a leading zero, with underscores.
pub fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i128::from_str_radix(digits, radix).ok().map(|value| if negative { -value } else { value })
}

/// A finite number, integer or fractional.
fn number(text: &str) -> Option<f64> {
    if let Some(value) = integer(text) {
        return Some(value as f64);
    }
    // `inf` and `nan` parse as floats in Rust but are words in YAML.
    let digits = text.replace('_', "");
    let numeric = digits.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let value: f64 = digits.parse().ok().filter(|_| numeric)?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_yaml_1_1() {
        for (text, value) in [
            ("3", Some(3)),
            ("-3", Some(-3)),
            ("+3", Some(3)),
            ("1_000", Some(1000)),
            ("0x1F", Some(31)),
            ("010", Some(8)),
            ("0b101", Some(5)),
            ("0", Some(0)),
            ("4.5", None),
            ("", None),
            ("-", None),
            ("--3", None),
            ("four", None),
            ("0x-1", None),
            ("99999999999999999999999999999999999999999", None),
        ] {
            assert_eq!(integer(text), value, "{text}");
        }
        assert_eq!(number("3.0625"), Some(3.0625));
        assert_eq!(number("-.5"), Some(-0.5));
        for text in ["inf", "nan", ".inf", "1e999", "infinity", "e", "."] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
