//! Logical time: integer counts with their unit in the type, printed and read back byte for byte.
//!
//! `Millis` is what a timeline is written in; `Micros` is what the executor counts in. Nothing here reads a
//! clock. A duration prints with the fewest units that lose nothing (`300ms`, `2s`, `1m30s`).

use serde::{Deserialize, Serialize};
use std::fmt;

/// A count of logical milliseconds, the unit of a timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// A count of microseconds since the run's first node was started (see `run`), the unit of the executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

/// The longest duration that is accepted anywhere: one week.
pub const MILLIS_MAX: u64 = 7 * 24 * 3_600_000;

impl Millis {
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
    pub const fn micros(self) -> Micros {
        Micros(self.0 * 1000)
    }
    pub const fn secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Reads `300ms`, `2s`, `1.5s`, `1m30s`, `2h`. A bare number is refused: a unit is part of a duration.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err("a duration such as `300ms`, `2s` or `1m30s`".into());
        }
        let (mut total, mut last_unit) = (0u64, u64::MAX);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let whole: u64 =
                rest[..digits].parse().map_err(|_| "a whole number before each unit".to_string())?;
            let mut tail = &rest[digits..];
            let mut fraction = "";
            if let Some(after) = tail.strip_prefix('.') {
                let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                (fraction, tail) = (&after[..end], &after[end..]);
            }
            let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let unit = match &tail[..unit_end] {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "" => return Err("a unit: `ms`, `s`, `m` or `h`".into()),
                other => return Err(format!("one of the units `ms`, `s`, `m`, `h`, not `{other}`")),
            };
            if unit >= last_unit {
                return Err("units from the largest to the smallest, each once".into());
            }
            last_unit = unit;
            let mut part = whole.checked_mul(unit).ok_or("a duration of at most one week")?;
            let mut scale = unit;
            for digit in fraction.bytes() {
                if scale % 10 != 0 {
                    return Err("whole milliseconds".into());
                }
                scale /= 10;
                part += u64::from(digit - b'0') * scale;
            }
            total = total.checked_add(part).ok_or("a duration of at most one week")?;
            rest = &tail[unit_end..];
        }
        if total > MILLIS_MAX {
            return Err("a duration of at most one week".into());
        }
        Ok(Self(total))
    }
}

impl Micros {
    pub const MAX: Self = Self(u64::MAX);
    pub const fn millis(self) -> Millis {
        Millis(self.0 / 1000)
    }
    #[must_use]
    pub const fn plus(self, millis: Millis) -> Self {
        Self(self.0.saturating_add(millis.0.saturating_mul(1000)))
    }
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        if left == 0 {
            return f.write_str("0ms");
        }
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")] {
            if left >= unit {
                write!(f, "{}{name}", left / unit)?;
                left %= unit;
            }
        }
        Ok(())
    }
}

impl Micros {
    /// A moment as reports write it, counted from another: `+12.345s`, `-0.250s` before it.
    pub fn counted_from(self, zero: Self) -> String {
        signed(self.0 as i64 - zero.0 as i64)
    }
}

/// Year, month and day of so many days since 1970 (the civil calendar, with years that begin in March).
pub const fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + (month <= 2) as i64, month, day)
}

/// Microseconds with their sign: `+12.345s`.
pub fn signed(us: i64) -> String {
    format!("{}{}", if us < 0 { '-' } else { '+' }, Micros(us.unsigned_abs()))
}

impl fmt::Display for Micros {
    /// Seconds with three decimals, for people: `12.345s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, millis) in
            [("300ms", 300), ("2s", 2000), ("1m30s", 90_000), ("1h", 3_600_000), ("0ms", 0), ("1s1ms", 1001)]
        {
            assert_eq!(Millis::parse(text), Ok(Millis(millis)));
            assert_eq!(Millis(millis).to_string(), text);
        }
        assert_eq!(Millis::parse("1.25s"), Ok(Millis(1250)));
        assert_eq!(Millis::parse("0.5m"), Ok(Millis(30_000)));
    }

    #[test]
    fn a_duration_needs_its_unit_and_an_order() {
        for text in ["", "3", "3x", "1s1m", "1s2s", "-1s", "1.5ms", "99999999h", "18446744073709551616s"] {
            assert!(Millis::parse(text).is_err(), "{text}");
        }
    }
}
