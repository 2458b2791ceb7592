//! `fuzz bench`: what this machine does in a second.

use super::choose::Place;
use super::console::print;
use super::exit::Code;
use super::seed;
use crate::entropy::Seed;
use crate::env::{PROCESSES, Profile, SIM};
use std::time::{Duration, Instant};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Seconds to measure for, per figure
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

pub fn main(args: &Args) -> super::Done {
    let span = Duration::from_secs(args.seconds);
    for (target, profile) in [("embedded", &SIM), ("valkey", &PROCESSES)] {
        let rate = timelines(target, profile, span)?;
        print(&format!(
            "timelines for {target}: {} generated and hashed per second\n",
            crate::report::names::thousands(rate)
        ));
    }
    Ok(Code::Passed)
}

#[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
fn timelines(target: &str, profile: &'static Profile, span: Duration) -> Result<u64, super::Failure> {
    let spec = seed::built_in();
    let place = Place { target: target.into(), profile, server: None, why: String::new() };
    let (began, mut count, mut buffer) = (Instant::now(), 0u64, Vec::new());
    loop {
        for _ in 0..1000 {
            let timeline = seed::draw(&spec, Seed(count), &place)?;
            std::hint::black_box(timeline.hash_with(&mut buffer));
            count += 1;
        }
        let taken = began.elapsed();
        if taken >= span {
            return Ok(count * 1_000_000 / (taken.as_micros() as u64).max(1));
        }
    }
}
