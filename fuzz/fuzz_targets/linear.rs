//! Three judges of the same register: the search, the zones where the values are unique, and the definition itself
//! (every order is tried).
#![no_main]

use judge::Budget;
use judge::linear::register::{Act, Register, by_search};
use judge::linear::zones::{Zones, decide};
use judge::linear::{Found, NEVER, Op, every};
use libfuzzer_sys::fuzz_target;

/// Every order of more would take too long.
const OPS_MAX: usize = 7;
/// The value that the register begins with.
const INITIAL: u32 = 0;

/// An operation of four bytes: when, for how long, what, and of which values.
fn op(bytes: &[u8]) -> Op<Act> {
    let value = |byte: u8| u32::from(byte % 5);
    let call = u32::from(bytes[0] % 16);
    let ret = if bytes[1] % 6 == 0 { NEVER } else { call + u32::from(bytes[1] % 8) };
    let act = match bytes[2] % 8 {
        0..=2 => Act::Write(value(bytes[3])),
        3..=5 => Act::Read(value(bytes[3])),
        6 => Act::Swap(value(bytes[3]), value(bytes[3] >> 4)),
        _ => Act::Differs(value(bytes[3])),
    };
    Op { call, ret, act }
}

fn fine(found: &Found) -> bool {
    match found {
        Found::Linearizable => true,
        Found::Broken(_) => false,
        Found::Unknown(gap) => panic!("a small history is decided: {gap}"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let ops: Vec<Op<Act>> = bytes.chunks_exact(4).take(OPS_MAX).map(op).collect();
    let expected = every::linearizable(&mut Register::new(INITIAL, &ops), &ops);
    assert_eq!(fine(&by_search(INITIAL, &ops, &Budget::default())), expected, "{ops:?}");
    match decide(INITIAL, &ops) {
        Zones::NotUnique => {}
        Zones::Linearizable => assert!(expected, "{ops:?}"),
        Zones::Broken(..) => assert!(!expected, "{ops:?}"),
    }
});
