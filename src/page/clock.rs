//! Times of day, for pages of campaigns: dates read and written without a clock, round times for an axis, and the time
//! that was worked in, of which the pauses between the parts of a campaign are no part.

use crate::time::date;

/// `2026-03-14T09:15:07Z` in seconds since 1970; `None` for what is no such text.
pub fn parse(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // The civil calendar, with years that begin in March.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// `22:00`, or `22:00:05`.
pub fn time_of_day(at: i64, with_seconds: bool) -> String {
    let of_day = at.rem_euclid(86_400);
    let text = format!("{:02}:{:02}", of_day / 3600, of_day / 60 % 60);
    if with_seconds { format!("{text}:{:02}", of_day % 60) } else { text }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `13 March 2026`.
pub fn day(at: i64) -> String {
    let (year, month, day) = date(at.div_euclid(86_400));
    format!("{day} {} {year}", MONTHS[(month - 1) as usize])
}

/// `13 March 2026, 22:00 to 06:00 UTC`, with both days where they differ.
pub fn span(from: i64, to: i64) -> String {
    let seconds = to - from < 600;
    let (first, last) = (time_of_day(from, seconds), time_of_day(to, seconds));
    if day(from) == day(to) {
        format!("{}, {first} to {last} UTC", day(from))
    } else {
        format!("{}, {first} to {}, {last} UTC", day(from), day(to))
    }
}

/// Lengths in which bins and ticks are round, in seconds.
const ROUND: &[i64] = &[
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800,
];

/// The shortest round length of which no more than so many fit.
pub fn round(length: i64, most: i64) -> i64 {
    let fits = |step: &&i64| length <= **step * most;
    *ROUND.iter().find(fits).unwrap_or(&ROUND[ROUND.len() - 1])
}

/// `10 min`.
pub fn length(seconds: i64) -> String {
    match seconds {
        s if s % 86_400 == 0 => format!("{} d", s / 86_400),
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// A part of a campaign that was worked through without a pause: by the clock, and as time worked, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub from: i64,
    pub to: i64,
    pub worked: i64,
}

/// How long nothing may run before it is a pause: longer than all that work at a finding that was just met.
const PAUSE_MS: i64 = 900_000;

/// The parts of a campaign whose runs went from and to these times, in milliseconds.
pub fn parts(runs: &[(i64, i64)]) -> Vec<Part> {
    let mut sorted = runs.to_vec();
    sorted.sort_unstable();
    let mut parts: Vec<Part> = Vec::new();
    for (from, to) in sorted {
        match parts.last_mut() {
            Some(part) if from - part.to <= PAUSE_MS => part.to = part.to.max(to),
            last => {
                let worked = last.map_or(0, |part| part.worked + part.to - part.from);
                parts.push(Part { from, to: to.max(from), worked });
            }
        }
    }
    parts
}

/// How long was worked until this time of the clock.
pub fn worked(parts: &[Part], at: i64) -> i64 {
    let part = parts.iter().rev().find(|part| part.from <= at);
    part.map_or(0, |part| part.worked + (at.min(part.to) - part.from))
}

/// Round times of the clock, with the time worked until then.
pub fn ticks(parts: &[Part], most: i64) -> Vec<(i64, i64)> {
    let all: i64 = parts.iter().map(|part| part.to - part.from).sum();
    let step = round((all + 999) / 1000, most) * 1000;
    let of = |part: &Part| {
        let (part, first) = (*part, part.from.div_euclid(step) * step);
        (0..=(part.to - first) / step)
            .map(move |n| first + n * step)
            .filter(move |at| (part.from..=part.to).contains(at))
            .map(move |at| (at, part.worked + at - part.from))
    };
    parts.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_773_479_707, "2026-03-14T09:15:07Z"),
        ] {
            assert_eq!(parse(text), Some(seconds));
        }
        assert_eq!(parse("yesterday"), None);
        assert_eq!(day(1_773_479_707), "14 March 2026");
        assert_eq!(span(1_773_439_200, 1_773_468_000), "13 March 2026, 22:00 to 14 March 2026, 06:00 UTC");
    }

    #[test]
    fn a_pause_is_no_time_worked() {
        let runs = [(0, 5_000), (4_000, 60_000), (3_600_000, 3_660_000)];
        let parts = parts(&runs);
        assert_eq!(parts.len(), 2);
        assert_eq!([worked(&parts, 60_000), worked(&parts, 1_000_000)], [60_000, 60_000]);
        assert_eq!(worked(&parts, 3_630_000), 90_000);
        let ticks = ticks(&parts, 12);
        assert_eq!(ticks[0], (0, 0));
        assert!(ticks.contains(&(3_600_000, 60_000)), "{ticks:?}");
    }

    #[test]
    fn bins_are_round() {
        assert_eq!(round(28_800, 48), 600);
        assert_eq!(round(60, 60), 1);
        assert_eq!(length(600), "10 min");
    }
}
