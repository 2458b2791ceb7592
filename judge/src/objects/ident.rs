//! Values as small numbers, the same number for values that mean the same.
//!
//! Two lists with the same items are two words ([`Value`]), and a dense number indexes a plain vector where the
//! word would need a map. Numbers are given in the order of first sight, so nothing depends on hashing.

use crate::value::{Arena, Value};
use rustc_hash::FxHashMap;

#[derive(Debug, Default)]
pub struct Idents {
    /// Of small whole numbers, by the number itself: most values are such, and lie close together.
    dense: Vec<u32>,
    words: FxHashMap<Value, u32>,
    /// Lists by their items' numbers; nested lists have numbers themselves.
    lists: FxHashMap<Box<[u32]>, u32>,
    /// One value for each number.
    shown: Vec<Value>,
}

/// No number yet.
const NONE: u32 = u32::MAX;

impl Idents {
    /// The number of a value.
    pub fn of(&mut self, arena: &Arena, value: Value) -> u32 {
        if let Some(id) = self.seen(value) {
            return id;
        }
        if let Some(number) = value.as_int().and_then(|number| usize::try_from(number).ok())
            && number < 4 * (self.shown.len() + 256)
        {
            if number >= self.dense.len() {
                self.dense.resize((number + 1).max(2 * self.dense.len()), NONE);
            }
            self.dense[number] = self.next(value);
            return self.dense[number];
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
        let number = value.as_int().and_then(|number| usize::try_from(number).ok());
        match number.and_then(|number| self.dense.get(number)) {
            Some(id) if *id != NONE => Some(*id),
            _ => self.words.get(&value).copied(),
        }
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
