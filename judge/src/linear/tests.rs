//! The deciders against each other and against every order, on random small histories.

use super::register::{Act, Register};
use super::*;
use crate::Budget;

/// A stream of pseudo-random numbers (splitmix64, Steele et al. 2014).
struct Random(u64);
impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % u64::from(bound)) as u32
    }
}

#[test]
fn the_search_of_registers_agrees_with_every_order() {
    let mut random = Random(1);
    for _ in 0..200_000 {
        let n = 2 + random.below(6);
        let mut ops = Vec::new();
        for _ in 0..n {
            let call = random.below(10);
            let ret = if random.below(6) == 0 { NEVER } else { call + random.below(6) };
            let v = random.below(3);
            let act = match random.below(8) {
                0..=2 => Act::Write(v),
                3..=5 => Act::Read(v),
                6 => Act::Swap(v, random.below(3)),
                _ => Act::Differs(v),
            };
            ops.push(Op { call, ret, act });
        }
        let mut spec = Register::new(0, &ops);
        let every = every::linearizable(&mut spec, &ops);
        let (found, _) = register::decide(0, &ops, &Budget::default());
        assert_eq!(found == Found::Linearizable, every, "{found:?} {ops:#?}");
    }
}
