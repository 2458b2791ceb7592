//! Values as small numbers, the same number for values that mean the same.
//!
//! Two lists with the same items are two words ([`Value`]), and a dense number indexes a plain vector where the
//! word would need a map. Numbers are given in the order of first sight, so nothing depends on hashing.

use crate::value::{Arena, Value};
use rustc_hash::FxHashMap;

#[derive(Debug, Default)]
pub struct Idents {
    words: FxHashMap<Value, u32>,
    /// Lists by their items' numbers; nested lists have numbers themselves.
    lists: FxHashMap<Box<[u32]>, u32>,
    /// One value for each number.
    shown: Vec<Value>,
}

impl Idents {
    /// The number of a value.
    pub fn of(&mut self, arena: &Arena, value: Value) -> u32 {
        if let Some(id) = self.words.get(&value) {
            return *id;
        }
        let id = match arena.items_of(value) {
            None => self.next(value),
            Some(items) => {
                let key: Box<[u32]> = items.iter().map(|item| self.of(arena, *item)).collect();
                match self.lists.get(&key) {
                    Some(id) => *id,
                    None => {
                        let id = self.next(value);
                        self.lists.insert(key, id);
                        id
                    }
                }
            }
        };
        self.words.insert(value, id);
        id
    }
    /// The number of a value that was seen already.
    pub fn seen(&self, value: Value) -> Option<u32> {
        self.words.get(&value).copied()
    }
    fn next(&mut self, value: Value) -> u32 {
        self.shown.push(value);
        self.shown.len() as u32 - 1
    }
    pub fn value(&self, id: u32) -> Value {
        self.shown[id as usize]
    }
    pub fn len(&self) -> usize {
        self.shown.len()
    }
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_have_one_number() {
        let mut arena = Arena::default();
        let one = arena.int(1);
        let (a, b) = (arena.list(&[one]).expect("short"), arena.list(&[one]).expect("short"));
        let mut idents = Idents::default();
        assert_eq!(idents.of(&arena, a), idents.of(&arena, b));
        assert_ne!(idents.of(&arena, a), idents.of(&arena, one));
        assert_eq!(idents.len(), 2);
    }
}
