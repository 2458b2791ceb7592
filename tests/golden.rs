//! The meaning of seeds, nailed down: 64 seeds on both targets, each with the hashes of two timelines: the one that
//! the built-in spec `dsl/default.yaml` gives, and the one that the widest spec there is gives.
//!
//! A difference means that old seeds no longer say what they said. If that is meant, raise `catalogue::VERSION`
//! (or the version of the generator or the profile), say so in the changelog, and write the file anew with
//! `SEEDFAULT_BLESS=1 cargo test --test golden`. Never bless what you cannot explain.

mod common;

use common::{PAIRS, everything, timeline};
use seedfault::spec::parse::parse;
use seedfault::spec::{Spec, Spread};
use seedfault::yaml::document::Problems;
use std::fmt::Write as _;
use std::process::Command;

const SEEDS: u64 = 64;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/hashes.tsv");

fn built_in() -> Spec {
    let mut problems = Problems::default();
    let spec = parse(include_bytes!("../dsl/default.yaml"), &mut problems);
    assert!(!problems.has_errors(), "{problems:?}");
    spec.expect("a file without errors gives a spec")
}

/// One line per seed and target. Half of the seeds are small numbers, half are spread over all 64 bits.
fn table() -> String {
    let mut text = String::from("seed\ttarget\tenvironment\tdefault\twidest\n");
    let built_in = built_in();
    for index in 0..SEEDS {
        let seed = if index % 2 == 0 { index / 2 } else { index.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
        // Both with the quorum kept and without.
        let widest = everything(Spread { low: 3, high: 30 }, index % 4 < 2);
        for (pair, (target, profile)) in PAIRS.iter().enumerate() {
            let hash = |spec| timeline(spec, seed, pair).hash().to_hex();
            let (default, widest) = (hash(&built_in), hash(&widest));
            writeln!(text, "{seed}\t{target}\t{}\t{default}\t{widest}", profile.name)
                .expect("a string takes all");
        }
    }
    text
}

/// Writes the file anew if that was asked for, once and before any test reads it.
fn bless() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("SEEDFAULT_BLESS").is_some() {
            std::fs::write(FILE, table()).expect("the golden file can be written");
        }
    });
}

#[test]
fn every_seed_means_what_it_meant() {
    let now = table();
    bless();
    let golden = std::fs::read_to_string(FILE).expect("the golden file is part of the repository");
    for (was, is) in golden.lines().zip(now.lines()) {
        assert_eq!(was, is, "a seed changed its meaning; the first paragraph of this file says what to do");
    }
    assert_eq!(golden.lines().count(), now.lines().count());
}

#[test]
fn the_same_process_draws_the_same_twice() {
    assert_eq!(table(), table());
}

/// The test above once more, where everything that must not matter differs: time zone, language, directory,
/// number of threads, home, and what else the environment holds.
#[test]
fn another_time_zone_language_directory_and_thread_count_draw_the_same() {
    bless();
    for (zone, language, directory, threads) in [
        ("Asia/Kathmandu", "tr_TR.UTF-8", "/", "1"),
        ("America/St_Johns", "C", env!("CARGO_MANIFEST_DIR"), "7"),
    ] {
        let output = Command::new(std::env::current_exe().expect("a test knows its own binary"))
            .args(["--exact", "every_seed_means_what_it_meant", "--test-threads", threads])
            .env_clear()
            .envs([("TZ", zone), ("LANG", language), ("LC_ALL", language), ("HOME", "/nonexistent")])
            .env("RUST_TEST_THREADS", threads)
            .current_dir(directory)
            .output()
            .expect("the test binary starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{zone} {language}: {text}");
        assert!(text.contains("1 passed"), "the child ran nothing: {text}");
    }
}
