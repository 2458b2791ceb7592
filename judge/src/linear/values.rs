//! Values of a history as small numbers, for the deciders: equal values get equal numbers.

use crate::value::{Arena, Shape, Value};
use rustc_hash::FxHashMap;
use serde_json::Value as Json;

/// Numbers of values, from 0, which is the initial value.
#[derive(Debug)]
pub struct Codes {
    initial: Json,
    words: FxHashMap<u64, u32>,
    /// Lists are equal by their items; they are rare here.
    lists: FxHashMap<String, u32>,
    /// A value of each number; `None` for an initial value that no operation mentions.
    values: Vec<Option<Value>>,
}

impl Codes {
    pub fn new(initial: Json) -> Self {
        Self { initial, words: FxHashMap::default(), lists: FxHashMap::default(), values: vec![None] }
    }
    pub fn code(&mut self, value: Value, arena: &Arena) -> u32 {
        if let Some(code) = self.words.get(&value.word()) {
            return *code;
        }
        let code = self.miss(value, arena);
        self.words.insert(value.word(), code);
        code
    }
    fn miss(&mut self, value: Value, arena: &Arena) -> u32 {
        if same(value, &self.initial, arena) {
            self.values[0] = Some(value);
            return 0;
        }
        let next = self.values.len() as u32;
        if value.as_list().is_some() {
            let code = *self.lists.entry(arena.show(value)).or_insert(next);
            if code != next {
                return code;
            }
        }
        self.values.push(Some(value));
        next
    }
    /// The number of a value that is given as JSON.
    pub fn code_of(&mut self, value: &Json, arena: &Arena) -> u32 {
        let known = self.values.iter().enumerate().position(|(code, known)| match known {
            Some(known) => same(*known, value, arena),
            None => code == 0 && *value == self.initial,
        });
        known.unwrap_or_else(|| {
            // No operation mentions it, so no value of the history equals it.
            self.values.push(None);
            self.values.len() - 1
        }) as u32
    }
    pub fn len(&self) -> usize {
        self.values.len()
    }
    pub const fn is_empty(&self) -> bool {
        false
    }
    /// As JSON.
    pub fn show(&self, code: u32, arena: &Arena) -> String {
        self.values[code as usize].map_or_else(|| self.initial.to_string(), |value| arena.show(value))
    }
}

/// Whether a value is what the JSON says.
pub fn same(value: Value, json: &Json, arena: &Arena) -> bool {
    match (value.shape(), json) {
        (Shape::Nil, Json::Null) => true,
        (Shape::Bool(one), Json::Bool(other)) => one == *other,
        (Shape::Int(one), Json::Number(other)) => other.as_i64() == Some(one),
        (Shape::Text(text), Json::String(other)) => arena.str(text) == other,
        // A number too wide for the arena is kept as it was written.
        (Shape::Text(text), Json::Number(other)) => arena.str(text) == other.to_string(),
        (Shape::List(list), Json::Array(others)) => {
            let items = arena.items(list);
            items.len() == others.len()
                && items.iter().zip(others).all(|(item, other)| same(*item, other, arena))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_numbers_and_the_initial_one_is_0() {
        let mut arena = Arena::default();
        let (one, text) = (arena.int(1), arena.text("1"));
        let (a, b) = (arena.list(&[one, text]).expect("short"), arena.list(&[one, text]).expect("short"));
        let mut codes = Codes::new(Json::String("1".into()));
        assert_eq!(codes.code(one, &arena), 1);
        assert_eq!(codes.code(text, &arena), 0);
        assert_eq!(codes.code(a, &arena), codes.code(b, &arena));
        assert_eq!(codes.show(0, &arena), "\"1\"");
        assert_eq!(Codes::new(Json::from(0)).show(0, &arena), "0");
    }
}
