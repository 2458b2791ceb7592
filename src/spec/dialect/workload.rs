//! `workload:` of the older dialect. Its words were never given a meaning; the rates are this tool's.

use super::section::{Least, Section};
use crate::timeline::{Load, Pattern, Rate};
use crate::yaml::document::Problems;

/// Operations a second over all clients.
const INTENSITIES: [(&str, u32); 3] = [("low", 50), ("medium", 300), ("high", 1000)];

/// The load; `None` without the section, or when it is switched off.
pub fn read(top: &mut Section<'_>, problems: &mut Problems) -> Option<Load> {
    let mut section = top.section("workload", problems)?;
    let enabled = section.boolean("enabled", true, problems);
    let patterns = [("mixed", Pattern::Mixed), ("read", Pattern::ReadHeavy), ("write", Pattern::WriteHeavy)];
    let pattern = section
        .given("pattern")
        .and_then(|given| given.one_of("pattern", &patterns, problems))
        .unwrap_or(Pattern::Mixed);
    let rate = section
        .given("intensity")
        .and_then(|given| given.one_of("intensity", &INTENSITIES, problems))
        .unwrap_or(INTENSITIES[1].1);
    let stop = section.given("duration").and_then(|given| given.seconds(Least::Some, problems));
    section.finish(&["enabled", "pattern", "intensity", "duration"], problems);
    enabled.then(|| Load { rate: Rate(rate), pattern, stop, ..Load::default() })
}
