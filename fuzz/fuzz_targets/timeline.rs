//! A timeline that is printed reads back to the same timeline, and prints to the same bytes.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use seedfault::entropy::Seed;
use seedfault::env::{PROCESSES, SIM};
use seedfault::timeline::generate;
use seedfault::yaml::document::Problems;

#[derive(Arbitrary, Debug)]
struct Input {
    seed: u64,
    embedded: bool,
    /// The scenario; the built-in one when empty.
    text: String,
}

fuzz_target!(|input: Input| {
    let text = if input.text.is_empty() { seedfault::spec::DEFAULT } else { &input.text };
    let Some(spec) = seedfault::spec::parse::parse(text.as_bytes(), &mut Problems::default()) else { return };
    let (target, profile) = if input.embedded { ("embedded", &SIM) } else { ("valkey", &PROCESSES) };
    let Ok(timeline) = generate(&spec, Seed(input.seed), target, profile) else { return };
    let printed = timeline.to_yaml();
    let mut problems = Problems::default();
    let Some(spec) = seedfault::spec::parse::parse(printed.as_bytes(), &mut problems) else {
        panic!("{problems:?}\n{printed}")
    };
    let again = generate(&spec, Seed(input.seed), target, profile).expect("it was offered before");
    assert_eq!(timeline, again);
    assert_eq!(printed, again.to_yaml());
});
