//! The highest rate that is sustained: doubled until one is not, then halved between the two.

use super::measured::Short;
use super::{Bench, Format, print};
use crate::cli::exit::Failure;
use crate::report::names::thousands;
use crate::timeline::Rate;
use serde_json::json;

/// The two ends are this near, in parts of the lower one: 5 %.
const NEAR: u32 = 20;
/// The highest rate that a scenario may ask for.
const RATE_MAX: u32 = 1_000_000;

/// What is known while searching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    sustained: Option<u32>,
    short: Option<(u32, Short)>,
}

impl Known {
    /// The next rate to try; nothing when the ends are near, or none is left.
    fn next(&self, first: u32) -> Option<u32> {
        match (self.sustained, self.short.as_ref().map(|(rate, _)| *rate)) {
            (None, None) => Some(first),
            (Some(low), None) => (low < RATE_MAX).then(|| low.saturating_mul(2).min(RATE_MAX)),
            (None, Some(high)) => (high > 1).then_some(high / 2),
            (Some(low), Some(high)) => (high - low > (low / NEAR).max(1)).then_some(low + (high - low) / 2),
        }
    }

    fn learn(&mut self, rate: u32, came: Result<(), Short>) {
        match came {
            Ok(()) => self.sustained = Some(rate),
            Err(short) => self.short = Some((rate, short)),
        }
    }

    fn told(&self) -> String {
        let rate = |rate: u32| thousands(rate.into());
        match (self.sustained, &self.short) {
            (Some(low), Some((high, Short::Theirs(why)))) => {
                format!("highest sustained rate: {}/s; {}/s was not: {why}", rate(low), rate(*high))
            }
            (Some(low), Some((high, Short::Ours(why)))) => format!(
                "at least {}/s is sustained; at {}/s {why}, so that more cannot be told here",
                rate(low),
                rate(*high)
            ),
            (Some(low), None) => format!("at least {}/s is sustained", rate(low)),
            (None, Some((high, short))) => {
                format!("not even {}/s is sustained: {}", rate(*high), short.why())
            }
            (None, None) => "nothing was measured".into(),
        }
    }
}

pub fn search(bench: &mut Bench<'_>, (first, clients): (Rate, u16)) -> Result<(), Failure> {
    let mut known = Known::default();
    while let Some(rate) = known.next(first.0) {
        let Some(step) = bench.step(Rate(rate), clients)? else { break };
        let came = step.measured.short(bench.args.p99).map_or(Ok(()), Err);
        bench.tell(&step, Some(&came));
        known.learn(rate, came);
    }
    match bench.args.format {
        Format::Text => print(&format!("\n{}\n", known.told())),
        Format::Json => {
            let short = known.short.as_ref();
            let row = json!({
                "event": "search", "sustained": known.sustained, "not_sustained": short.map(|(rate, _)| rate),
                "why": short.map(|(_, short)| short.why()), "limit_is_ours": matches!(short, Some((_, Short::Ours(_)))),
            });
            print(&format!("{row}\n"))
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates tried on a system that sustains so much.
    fn tried(limit: u32, first: u32) -> (Vec<u32>, Known) {
        let (mut known, mut rates) = (Known::default(), Vec::new());
        while let Some(rate) = known.next(first) {
            rates.push(rate);
            let came = if rate <= limit { Ok(()) } else { Err(Short::Theirs("it waits".into())) };
            known.learn(rate, came);
        }
        (rates, known)
    }

    #[test]
    fn it_doubles_and_then_halves_between_the_two() {
        let (rates, known) = tried(5300, 1000);
        assert_eq!(rates, [1000, 2000, 4000, 8000, 6000, 5000, 5500, 5250]);
        assert_eq!(known.told(), "highest sustained rate: 5,250/s; 5,500/s was not: it waits");
    }

    #[test]
    fn it_goes_down_too_and_ends() {
        assert_eq!(tried(70, 300).0, [300, 150, 75, 37, 56, 65, 70, 72]);
        assert_eq!(tried(0, 3).1.told(), "not even 1/s is sustained: it waits");
        assert_eq!(tried(u32::MAX, 300_000).1.told(), "at least 1,000,000/s is sustained");
    }

    #[test]
    fn what_the_tool_cannot_do_is_no_limit_of_the_servers() {
        let mut known = Known::default();
        known.learn(1000, Ok(()));
        known.learn(2000, Err(Short::Ours("the tool itself asked late by 12.000 ms (p99)".into())));
        let told = "at least 1,000/s is sustained; at 2,000/s the tool itself asked late by 12.000 ms (p99), so that more \
                    cannot be told here";
        assert_eq!(known.told(), told);
    }
}
