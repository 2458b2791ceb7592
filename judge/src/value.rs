//! Values of histories, eight bytes each.
//!
//! A history of a million operations holds tens of millions of values, most of them small numbers: a value is a
//! tagged word that is copied, compared and hashed as one. Texts are interned, so that equal texts are equal
//! words; lists are ranges of the [`Arena`], which is why only the arena can tell whether two lists are equal.

use rustc_hash::FxHashMap;
use std::fmt::Write as _;

/// A value; what it means is told by the arena of its history.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(u64);

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Nil,
    Bool(bool),
    Int(i64),
    /// A text, a keyword, or a number that is no small integer (then as it was written).
    Text(u32),
    /// A list, vector, set or map (a map as a list of keys and values in turns).
    List(List),
}

/// Consecutive items of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    pub start: u32,
    pub len: u32,
}

const TAG_BITS: u32 = 3;
const NIL: u64 = 0;
const BOOL: u64 = 1;
const INT: u64 = 2;
const TEXT: u64 = 3;
const LIST: u64 = 4;
/// The widest list that a value can name.
const LEN_BITS: u32 = 29;

impl Value {
    pub const NIL: Self = Self(NIL);

    pub const fn bool(value: bool) -> Self {
        Self(((value as u64) << TAG_BITS) | BOOL)
    }
    /// `None`: wider than 61 bits. [`Arena::int`] takes every number.
    pub const fn small(value: i64) -> Option<Self> {
        let word = ((value as u64) << TAG_BITS) | INT;
        if (word as i64) >> TAG_BITS == value { Some(Self(word)) } else { None }
    }
    const fn text(id: u32) -> Self {
        Self(((id as u64) << TAG_BITS) | TEXT)
    }
    const fn list(list: List) -> Self {
        Self(((list.start as u64) << (TAG_BITS + LEN_BITS)) | ((list.len as u64) << TAG_BITS) | LIST)
    }
    pub const fn shape(self) -> Shape {
        match self.0 & ((1 << TAG_BITS) - 1) {
            NIL => Shape::Nil,
            BOOL => Shape::Bool(self.0 >> TAG_BITS != 0),
            INT => Shape::Int((self.0 as i64) >> TAG_BITS),
            TEXT => Shape::Text((self.0 >> TAG_BITS) as u32),
            _ => Shape::List(List {
                start: (self.0 >> (TAG_BITS + LEN_BITS)) as u32,
                len: ((self.0 >> TAG_BITS) & ((1 << LEN_BITS) - 1)) as u32,
            }),
        }
    }
    pub const fn is_nil(self) -> bool {
        self.0 == NIL
    }
    pub const fn as_int(self) -> Option<i64> {
        match self.shape() {
            Shape::Int(value) => Some(value),
            _ => None,
        }
    }
    pub const fn as_list(self) -> Option<List> {
        match self.shape() {
            Shape::List(list) => Some(list),
            _ => None,
        }
    }
    /// The word itself: equal for equal values, lists excepted.
    pub const fn word(self) -> u64 {
        self.0
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shape().fmt(f)
    }
}

/// Too many values for one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a list of {0} items; at most {max} are read", max = (1u32 << LEN_BITS) - 1)]
pub struct TooLong(pub usize);

/// What the values of one history mean.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    items: Vec<Value>,
    /// All texts, one after the other; a text is a range of it.
    bytes: String,
    texts: Vec<(u32, u32)>,
    /// Texts by hash; ids with one hash stand in order.
    ids: FxHashMap<Box<str>, u32>,
}

impl Arena {
    /// The value of a text, the same for the same text.
    pub fn text(&mut self, text: &str) -> Value {
        Value::text(self.intern(text))
    }
    pub fn intern(&mut self, text: &str) -> u32 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = u32::try_from(self.texts.len()).expect("fewer than 2^32 texts");
        let start = u32::try_from(self.bytes.len()).expect("less than 4 GiB of texts");
        self.bytes.push_str(text);
        self.texts.push((start, text.len() as u32));
        self.ids.insert(text.into(), id);
        id
    }
    pub fn int(&mut self, value: i64) -> Value {
        Value::small(value).unwrap_or_else(|| self.text(&value.to_string()))
    }
    /// A list of these items.
    pub fn list(&mut self, items: &[Value]) -> Result<Value, TooLong> {
        if items.len() >= 1 << LEN_BITS || self.items.len() + items.len() > u32::MAX as usize {
            return Err(TooLong(items.len()));
        }
        let start = self.items.len() as u32;
        self.items.extend_from_slice(items);
        Ok(Value::list(List { start, len: items.len() as u32 }))
    }
    pub fn items(&self, list: List) -> &[Value] {
        &self.items[list.start as usize..(list.start + list.len) as usize]
    }
    /// The items of a list; nothing for what is none.
    pub fn items_of(&self, value: Value) -> Option<&[Value]> {
        value.as_list().map(|list| self.items(list))
    }
    pub fn str(&self, id: u32) -> &str {
        let (start, len) = self.texts[id as usize];
        &self.bytes[start as usize..(start + len) as usize]
    }
    pub fn str_of(&self, value: Value) -> Option<&str> {
        match value.shape() {
            Shape::Text(id) => Some(self.str(id)),
            _ => None,
        }
    }
    /// Whether two values mean the same, lists item by item.
    pub fn equal(&self, a: Value, b: Value) -> bool {
        match (a.as_list(), b.as_list()) {
            (Some(a), Some(b)) => {
                let (a, b) = (self.items(a), self.items(b));
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.equal(*a, *b))
            }
            _ => a == b,
        }
    }
    /// As JSON would write it.
    pub fn show(&self, value: Value) -> String {
        let mut out = String::new();
        self.write(value, &mut out);
        out
    }
    fn write(&self, value: Value, out: &mut String) {
        match value.shape() {
            Shape::Nil => out.push_str("null"),
            Shape::Bool(value) => write!(out, "{value}").expect("a string takes all"),
            Shape::Int(value) => write!(out, "{value}").expect("a string takes all"),
            Shape::Text(id) => write!(out, "{:?}", self.str(id)).expect("a string takes all"),
            Shape::List(list) => {
                out.push('[');
                for (place, item) in self.items(list).iter().enumerate() {
                    if place > 0 {
                        out.push_str(", ");
                    }
                    self.write(*item, out);
                }
                out.push(']');
            }
        }
    }
    /// How many texts it holds; their ids are the numbers below.
    pub fn texts(&self) -> usize {
        self.texts.len()
    }
    /// What it holds in memory, for budgets.
    pub fn bytes(&self) -> usize {
        self.items.capacity() * 8 + self.bytes.capacity() + self.texts.capacity() * 40
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_what_it_was_made_of() {
        let mut arena = Arena::default();
        let text = arena.text("x");
        assert_eq!(text, arena.text("x"));
        assert_ne!(text, arena.text("y"));
        for number in [0, -1, 5, i64::MAX >> 3, i64::MIN >> 3] {
            assert_eq!(arena.int(number).as_int(), Some(number));
        }
        let wide = arena.int(i64::MAX);
        assert_eq!(arena.str_of(wide), Some("9223372036854775807"));
        let inner = arena.list(&[Value::NIL, Value::bool(true)]).expect("short");
        let list = arena.list(&[text, inner]).expect("short");
        assert_eq!(arena.show(list), r#"["x", [null, true]]"#);
    }

    #[test]
    fn equal_lists_are_equal_by_their_items() {
        let mut arena = Arena::default();
        let one = arena.int(1);
        let (a, b) = (arena.list(&[one]).expect("short"), arena.list(&[one]).expect("short"));
        assert_ne!(a, b);
        assert!(arena.equal(a, b));
    }
}
