//! The wall clock, for names and reports. Nothing that a verdict rests on reads it.

use crate::time::date;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in UTC to the second: `2026-03-14T09:15:07Z`.
pub fn now() -> String {
    ago(Duration::ZERO)
}

/// So long ago, in the same form.
pub fn ago(time: Duration) -> String {
    #[expect(clippy::disallowed_methods, reason = "the command line is the border")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    utc(since.saturating_sub(time).as_secs())
}

/// Seconds since 1970 as a date and time in UTC.
fn utc(seconds: u64) -> String {
    let (year, month, day) = date((seconds / 86_400) as i64);
    let second = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates_are_right_around_leap_days_and_years() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_773_479_707, "2026-03-14T09:15:07Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
