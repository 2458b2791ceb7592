//! The decoder of server replies: a reply never takes more bytes than there are, and one that was whole stays so
//! when more follows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedfault::run::resp::decode;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some((reply, taken))) = decode(bytes) else { return };
    assert!(taken > 0 && taken <= bytes.len());
    let (again, same) = decode(&bytes[..taken]).expect("it was good").expect("it was whole");
    assert_eq!(taken, same);
    assert_eq!(reply, again);
});
