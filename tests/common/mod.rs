//! What the tests of timelines share: the widest spec there is, and every pair of target and environment.

#![allow(dead_code, reason = "each test binary uses its part")]

use seedfault::entropy::Seed;
use seedfault::env::{PROCESSES, Profile, SIM};
use seedfault::spec::{ClusterSpec, Dialect, Draw, Spec, Spread};
use seedfault::time::Millis;
use seedfault::timeline::{Timeline, generate};

pub const PAIRS: [(&str, &Profile); 2] = [("valkey", &PROCESSES), ("embedded", &SIM)];

/// Everything drawn: 3 to 16 shards, 0 to 2 replicas, `events` events from the whole vocabulary.
pub fn everything(events: Spread<u16>, keep_quorum: bool) -> Spec {
    Spec {
        cluster: ClusterSpec {
            shards: Spread { low: 3, high: 16 },
            replicas: Spread { low: 0, high: 2 },
            ..ClusterSpec::default()
        },
        draw: Some(Draw {
            events,
            over: Spread { low: Millis(10_000), high: Millis(20_000) },
            vocabulary: Vec::new(),
            without: Vec::new(),
            keep_quorum,
        }),
        ..Spec::quiet(Dialect::Native)
    }
}

pub fn timeline(spec: &Spec, seed: u64, pair: usize) -> Timeline {
    let (target, profile) = PAIRS[pair];
    generate(spec, Seed(seed), target, profile).expect("the widest spec fits both targets")
}
