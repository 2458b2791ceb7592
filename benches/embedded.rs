//! The embedded cluster's speed: `cargo bench --bench embedded`.
//!
//! Two figures on one thread by the wall clock. *Node ticks per second*: an idle cluster of three shards with a
//! replica each simulated for a minute, every node ticking each 20 ms of its own clock. *Runs per second*: seeds
//! of the canary's light scenario from spec to verdict, and how much of that is the run without its judging.

use seedfault::canary;
use seedfault::env::sim::SimEnv;
use seedfault::env::{ActorId, Effect, Env as _, NodeAction, NodeId, NodeSpec};
use seedfault::fault::restart::RestartData;
use seedfault::time::Micros;
use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
fn now() -> Instant {
    Instant::now()
}

fn ticks(seconds: u64) -> (u64, u64, f64) {
    let mut timeline = canary::timeline(1, &canary::light(), &[]).expect("a timeline");
    timeline.cluster.replicas = 1;
    let mut env = SimEnv::new(&timeline);
    for node in (0..timeline.cluster.nodes()).map(NodeId) {
        env.submit(ActorId(1), Effect::Node(node, NodeAction::Create(NodeSpec::default())));
        env.submit(ActorId(1), Effect::Node(node, NodeAction::Start(RestartData::Kept)));
    }
    let (began, mut inputs) = (now(), Vec::new());
    while env.now() < Micros(seconds * 1_000_000) {
        env.step(Micros(seconds * 1_000_000), &mut inputs);
        inputs.clear();
    }
    let (events, ticks) = env.counts();
    (events, ticks, began.elapsed().as_secs_f64())
}

fn main() {
    // `cargo test --benches` and the like run this once, to see that it works.
    let full = std::env::args().any(|arg| arg == "--bench");
    let (seconds, seeds) = if full { (600, 100) } else { (5, 2) };
    let (events, count, took) = ticks(seconds);
    println!(
        "embedded: {:.0} node ticks and {:.0} events per second ({seconds} s of virtual time in {took:.2} s)",
        count as f64 / took,
        events as f64 / took
    );
    let began = now();
    let mut operations = 0;
    let healthy =
        canary::healthy(&canary::light(), 0, seeds, |_, outcome| operations += outcome.record.history.len());
    let took = began.elapsed().as_secs_f64();
    println!(
        "embedded: {:.1} runs per second from seed to verdict ({} of {} passed, {} operations each)",
        seeds as f64 / took,
        healthy.passed,
        healthy.seeds,
        operations as u64 / seeds
    );
}
