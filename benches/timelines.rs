//! Timelines generated and hashed per second on one core: `cargo bench --bench timelines`.
//!
//! Method: the widest spec there is (3 to 16 shards, 0 to 2 replicas, the whole vocabulary, the quorum kept), one
//! thread, seeds 0, 1, 2, ..., each timeline generated, hashed with BLAKE3 over its binary form, and dropped. After
//! a warm-up, batches of 20,000 seeds are timed by the thread's CPU clock, so that other work on the machine
//! counts as little as it can; the median batch is reported, with the slowest and the fastest. The hashes are folded together so that no work can be optimised away.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{PAIRS, everything, timeline};
use nix::time::{ClockId, clock_gettime};
use seedfault::spec::Spread;

const BATCH: u64 = 20_000;
const BATCHES: u64 = 15;

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has a CPU clock");
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}

fn main() {
    // `cargo test --benches` and the like run this once, to see that it works.
    let (batch, batches) =
        if std::env::args().any(|arg| arg == "--bench") { (BATCH, BATCHES) } else { (200, 1) };
    println!(
        "timelines generated and hashed per second, one core, median of {batches} batches of {batch} seeds"
    );
    for events in [Spread { low: 5, high: 12 }, Spread { low: 1, high: 30 }, Spread::exactly(30)] {
        for (pair, (target, profile)) in PAIRS.iter().enumerate() {
            let spec = everything(events, true);
            let mut buffer = Vec::new();
            let (mut rates, mut held, mut folded) = (Vec::new(), 0, 0u8);
            for number in 0..=batches {
                let began = cpu_seconds();
                for seed in number * batch..(number + 1) * batch {
                    let drawn = timeline(&spec, seed, pair);
                    held += drawn.events.len() as u64;
                    folded ^= drawn.hash_with(&mut buffer).as_bytes()[0];
                }
                let rate = (batch as f64 / (cpu_seconds() - began)) as u64;
                // The first batch warms up.
                if number > 0 {
                    rates.push(rate);
                }
            }
            rates.sort_unstable();
            println!(
                "{target:8} in {:9} {:>2} to {:>2} events asked, {:>4.1} drawn on average: {:>7}/s (from {} to {}; fold {folded:02x})",
                profile.name,
                events.low,
                events.high,
                held as f64 / ((batches + 1) * batch) as f64,
                rates[rates.len() / 2],
                rates[0],
                rates[rates.len() - 1],
            );
        }
    }
}
