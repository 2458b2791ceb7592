//! Reading and writing the fields of the vocabulary: one declaration gives the struct, its reader with
//! positioned messages, its writer, and its rows in the schema and the help.
//!
//! [`record!`] declares one operation, fault or check. A field type implements [`Field`]. Reading and writing
//! are inverse: what is written reads back to the same bytes.

use super::document::{Node, Problems, Span, Value, nearest};
use crate::time::Millis;
use std::borrow::Cow;

/// A type that may stand as the value of a key.
pub trait Field: Sized {
    /// What is expected, completing "expected ...", for messages and the help.
    fn expected() -> String;
    /// Its JSON schema.
    fn schema() -> serde_json::Value;
    /// Reads a scalar; the error completes "expected ..." .
    fn read(node: &Node) -> Result<Self, String>;
    /// The scalar text, YAML-safe.
    fn write(&self) -> String;
    /// Reads it where it stands, and reports what does not read. A type of several parts has its own, so that a
    /// mistake is told at the part and not at the whole.
    fn read_within(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        match Self::read(node) {
            Ok(value) => Some(value),
            Err(expected) => {
                let found = node.describe();
                let message = format!("{path}: expected {expected}, got {found}");
                problems.error(Some(node.span), path, &node.as_written(), message);
                None
            }
        }
    }
}

/// One field of a record, for the schema and the help.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    pub name: &'static str,
    pub doc: &'static str,
    pub required: bool,
    pub expected: fn() -> String,
    pub schema: fn() -> serde_json::Value,
    /// The default as text, when there is one.
    pub default: Option<fn() -> String>,
}

/// A declared group of fields.
pub trait Record: Sized {
    const FIELDS: &'static [FieldInfo];
    fn read_fields(fields: &mut Fields<'_>) -> Option<Self>;
    /// Name and text of each field that is not at its default, in the order of declaration.
    fn write_fields(&self) -> Vec<(&'static str, String)>;
}

/// A mapping being read: hands out its values by name and reports what is left over.
#[derive(Debug)]
pub struct Fields<'a> {
    pub path: String,
    pub span: Span,
    entries: Vec<(&'a super::document::Key, &'a Node, bool)>,
    pub problems: &'a mut Problems,
}

impl<'a> Fields<'a> {
    /// A mapping; nothing at all counts as an empty one.
    pub fn open(node: &'a Node, path: &str, problems: &'a mut Problems) -> Option<Self> {
        match &node.value {
            Value::Map(pairs) => Some(Self {
                path: path.into(),
                span: node.span,
                entries: pairs.iter().map(|(k, v)| (k, v, false)).collect(),
                problems,
            }),
            Value::Null => Some(Self { path: path.into(), span: node.span, entries: Vec::new(), problems }),
            _ => {
                let found = node.describe();
                problems.error(
                    Some(node.span),
                    path,
                    &node.as_written(),
                    format!("{path}: expected a mapping, got {found}"),
                );
                None
            }
        }
    }

    pub fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// The raw value of a key, marked as read.
    pub fn take(&mut self, name: &str) -> Option<&'a Node> {
        self.take_entry(name).map(|(_, node)| node)
    }

    pub fn take_entry(&mut self, name: &str) -> Option<(&'a super::document::Key, &'a Node)> {
        let entry = self.entries.iter_mut().find(|(key, _, _)| key.text == name)?;
        entry.2 = true;
        Some((entry.0, entry.1))
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _, _)| key.text == name)
    }

    /// The names in the order written.
    pub fn names(&self) -> Vec<&'a str> {
        self.entries.iter().map(|(key, _, _)| key.text.as_str()).collect()
    }

    pub fn optional<T: Field>(&mut self, name: &str) -> Option<T> {
        let node = self.take(name)?;
        if node.value == Value::Null {
            return None;
        }
        let path = self.join(name);
        read_at(node, &path, self.problems)
    }

    pub fn required<T: Field>(&mut self, name: &str) -> Option<T> {
        if !self.has(name) {
            let path = if self.path.is_empty() { "the file".to_string() } else { self.path.clone() };
            self.problems
                .error(
                    Some(self.span),
                    &self.join(name),
                    "",
                    format!("{path}: missing required key `{name}`"),
                )
                .hint(format!("expected {}", T::expected()));
            return None;
        }
        let node = self.take(name).expect("checked above");
        let path = self.join(name);
        read_at(node, &path, self.problems)
    }

    /// Reports every key that nothing read.
    pub fn finish(self, known: &[&str]) {
        for (key, _, read) in &self.entries {
            if !read {
                let place = if self.path.is_empty() { String::new() } else { format!(" in {}", self.path) };
                let problem = self.problems.error(
                    Some(key.span),
                    &self.path,
                    &key.text,
                    format!("unknown key `{}`{place}", key.text),
                );
                match nearest(&key.text, known.iter().copied()) {
                    Some(word) => problem.hint(format!("did you mean `{word}`?")),
                    None if known.is_empty() => problem.hint("it takes no keys"),
                    None => problem.hint(format!("known keys: {}", known.join(", "))),
                }
            }
        }
    }
}

/// Reads one value, or reports why not.
pub fn read_at<T: Field>(node: &Node, path: &str, problems: &mut Problems) -> Option<T> {
    T::read_within(node, path, problems)
}

/// A mapping as a record; what it does not know is reported.
pub fn read_record<T: Record>(node: &Node, path: &str, problems: &mut Problems) -> Option<T> {
    let mut fields = Fields::open(node, path, problems)?;
    let record = T::read_fields(&mut fields);
    fields.finish(&T::FIELDS.iter().map(|field| field.name).collect::<Vec<_>>());
    record
}

/// Fields as a mapping on one line.
pub fn mapping(fields: Vec<(&'static str, String)>) -> String {
    let pairs: Vec<String> = fields.into_iter().map(|(name, text)| format!("{name}: {text}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// [`Field::read`] for a type that has its own [`Field::read_within`].
pub fn read_whole<T: Field>(node: &Node) -> Result<T, String> {
    let mut problems = Problems::default();
    let value = T::read_within(node, "", &mut problems);
    value.filter(|_| !problems.has_errors()).ok_or_else(T::expected)
}

/// The plain text of a scalar, or what was expected instead.
pub fn scalar(node: &Node, expected: impl FnOnce() -> String) -> Result<&str, String> {
    match &node.value {
        Value::Scalar { text, .. } => Ok(text),
        _ => Err(expected()),
    }
}

macro_rules! integer_field {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            fn expected() -> String { format!("an integer from 0 to {}", <$ty>::MAX) }
            fn schema() -> serde_json::Value { serde_json::json!({"type": "integer", "minimum": 0}) }
            fn read(node: &Node) -> Result<Self, String> {
                match &node.value {
                    Value::Scalar { text, quoted: false } => text.parse().map_err(|_| Self::expected()),
                    _ => Err(Self::expected()),
                }
            }
            fn write(&self) -> String { self.to_string() }
        }
    )*};
}
integer_field!(u8, u16, u32, u64);

impl Field for bool {
    fn expected() -> String {
        "true or false".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "boolean"})
    }
    fn read(node: &Node) -> Result<Self, String> {
        match &node.value {
            Value::Scalar { text, quoted: false } if text == "true" => Ok(true),
            Value::Scalar { text, quoted: false } if text == "false" => Ok(false),
            _ => Err(Self::expected()),
        }
    }
    fn write(&self) -> String {
        self.to_string()
    }
}

impl Field for String {
    fn expected() -> String {
        "a string".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string"})
    }
    fn read(node: &Node) -> Result<Self, String> {
        scalar(node, Self::expected).map(Into::into)
    }
    fn write(&self) -> String {
        quote(self)
    }
}

impl Field for Cow<'static, str> {
    fn expected() -> String {
        String::expected()
    }
    fn schema() -> serde_json::Value {
        String::schema()
    }
    fn read(node: &Node) -> Result<Self, String> {
        String::read(node).map(Self::Owned)
    }
    fn write(&self) -> String {
        quote(self)
    }
}

impl Field for Millis {
    fn expected() -> String {
        "a duration such as `300ms`, `2s` or `1m30s`".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(h|m|s|ms))+$"})
    }
    fn read(node: &Node) -> Result<Self, String> {
        Self::parse(scalar(node, Self::expected)?)
    }
    fn write(&self) -> String {
        self.to_string()
    }
}

impl<T: Field> Field for Option<T> {
    fn expected() -> String {
        T::expected()
    }
    fn schema() -> serde_json::Value {
        T::schema()
    }
    fn read(node: &Node) -> Result<Self, String> {
        if node.value == Value::Null { Ok(None) } else { T::read(node).map(Some) }
    }
    fn read_within(node: &Node, path: &str, problems: &mut Problems) -> Option<Self> {
        if node.value == Value::Null {
            return Some(None);
        }
        T::read_within(node, path, problems).map(Some)
    }
    fn write(&self) -> String {
        self.as_ref().map_or_else(|| "null".into(), Field::write)
    }
}

/// A list in flow style: `[a, b]`. A single value stands for a list of one.
impl<T: Field> Field for Vec<T> {
    fn expected() -> String {
        format!("a list of {}", T::expected())
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "array", "items": T::schema()})
    }
    fn read(node: &Node) -> Result<Self, String> {
        match &node.value {
            Value::List(items) => items.iter().map(T::read).collect(),
            Value::Scalar { .. } => Ok(vec![T::read(node)?]),
            _ => Err(Self::expected()),
        }
    }
    fn write(&self) -> String {
        format!("[{}]", self.iter().map(Field::write).collect::<Vec<_>>().join(", "))
    }
}

/// A string as a YAML scalar: plain where every reader takes it for a string, else double-quoted.
pub fn quote(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain { text.into() } else { double_quoted(text) }
}

/// A string in double quotes. JSON's escapes are YAML's too; what JSON leaves as it is and YAML forbids or takes
/// for the end of a line (YAML 1.2.2, 5.1 and 5.4) is written by its number.
fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for sign in serde_json::Value::from(text).to_string().chars() {
        match sign {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out += &format!("\\u{:04x}", sign as u32);
            }
            _ => out.push(sign),
        }
    }
    out
}

/// Declares a word with a fixed set of values: `word! { /// doc  pub enum Signal { Kill = "KILL", ... } }`.
#[macro_export]
macro_rules! word {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        $vis enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant),* }
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text),* } }
            pub fn from_text(text: &str) -> Option<Self> { match text { $($text => Some(Self::$variant),)* _ => None } }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }
        impl $crate::yaml::fields::Field for $name {
            fn expected() -> String {
                format!("one of {}", Self::ALL.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "))
            }
            fn schema() -> serde_json::Value {
                serde_json::json!({"enum": Self::ALL.iter().map(|w| w.as_str()).collect::<Vec<_>>()})
            }
            fn read(node: &$crate::yaml::document::Node) -> Result<Self, String> {
                let text = $crate::yaml::fields::scalar(node, Self::expected)?;
                Self::from_text(text).ok_or_else(|| {
                    match $crate::yaml::document::nearest(text, Self::ALL.iter().map(|w| w.as_str())) {
                        Some(word) => format!("{} (did you mean `{word}`?)", Self::expected()),
                        None => Self::expected(),
                    }
                })
            }
            fn write(&self) -> String { $crate::yaml::fields::quote(self.as_str()) }
        }
    };
}

/// A field's name as it is written in a file: `type` is a word of Rust, which a declaration writes as `r#type`.
pub const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', rest @ ..] => match std::str::from_utf8(rest) {
            Ok(name) => name,
            Err(_) => name,
        },
        _ => name,
    }
}

/// Declares a group of fields; see the module's first paragraph. A field with `= value` is optional.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[doc = $doc:literal])* $(#[serde($($serde:tt)*)])? $fvis:vis $field:ident : $ty:ty $(= $default:expr)?),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        $vis struct $name { $($(#[doc = $doc])* $(#[serde($($serde)*)])? $fvis $field: $ty),* }
        impl $crate::yaml::fields::Record for $name {
            const FIELDS: &'static [$crate::yaml::fields::FieldInfo] = &[$($crate::yaml::fields::FieldInfo {
                name: $crate::yaml::fields::plain(stringify!($field)),
                doc: concat!($($doc),*),
                required: $crate::record!(@required $($default)?),
                expected: <$ty as $crate::yaml::fields::Field>::expected,
                schema: <$ty as $crate::yaml::fields::Field>::schema,
                default: $crate::record!(@default $ty $(, $default)?),
            }),*];
            #[allow(unused_variables, reason = "a record may have no field")]
            fn read_fields(fields: &mut $crate::yaml::fields::Fields<'_>) -> Option<Self> {
                $(let $field: Option<$ty> = $crate::record!(@read fields $field $ty $(, $default)?);)*
                Some(Self { $($field: $field?),* })
            }
            #[allow(unused_mut, reason = "a record may have no field")]
            fn write_fields(&self) -> Vec<(&'static str, String)> {
                let mut out: Vec<(&'static str, String)> = Vec::new();
                $($crate::record!(@write self out $field $ty $(, $default)?);)*
                out
            }
        }
    };
    (@required) => { true };
    (@required $default:expr) => { false };
    (@default $ty:ty) => { None };
    (@default $ty:ty, $default:expr) => { Some(|| { let value: $ty = $default; <$ty as $crate::yaml::fields::Field>::write(&value) }) };
    (@read $fields:ident $field:ident $ty:ty) => { $fields.required::<$ty>($crate::yaml::fields::plain(stringify!($field))) };
    (@read $fields:ident $field:ident $ty:ty, $default:expr) => {
        if $fields.has($crate::yaml::fields::plain(stringify!($field))) {
            // A value that does not read has been reported; the default lets the rest be checked.
            Some($fields.optional::<$ty>($crate::yaml::fields::plain(stringify!($field))).unwrap_or_else(|| $default))
        } else { Some($default) }
    };
    (@write $self:ident $out:ident $field:ident $ty:ty) => {
        $out.push(($crate::yaml::fields::plain(stringify!($field)), <$ty as $crate::yaml::fields::Field>::write(&$self.$field)));
    };
    (@write $self:ident $out:ident $field:ident $ty:ty, $default:expr) => {
        let default: $ty = $default;
        if $self.$field != default {
            $out.push(($crate::yaml::fields::plain(stringify!($field)), <$ty as $crate::yaml::fields::Field>::write(&$self.$field)));
        }
    };
}
