//! The reader of repro files, which may come from strangers: what it takes, it writes back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedfault::yaml::document::Problems;

fuzz_target!(|bytes: &[u8]| {
    let Ok(repro) = seedfault::repro::read(bytes, &mut Problems::default()) else { return };
    let again = seedfault::repro::read(repro.to_yaml().as_bytes(), &mut Problems::default());
    assert_eq!(again, Ok(repro));
});
