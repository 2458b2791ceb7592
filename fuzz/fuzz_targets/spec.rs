//! The reader of scenarios: whatever the bytes are, it ends, and it either gives a spec or says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedfault::yaml::document::Problems;

fuzz_target!(|bytes: &[u8]| {
    let mut problems = Problems::default();
    let spec = seedfault::spec::parse::parse(bytes, &mut problems);
    assert_eq!(spec.is_none(), problems.has_errors());
});
