//! How sure a share is that was counted in few tries.

/// The 95 % confidence interval of a share of which `hits` of `tries` were seen, in per cent (E. B. Wilson,
/// "Probable Inference, the Law of Succession, and Statistical Inference", 1927). No tries tell nothing.
pub fn wilson(hits: u32, tries: u32) -> (f64, f64) {
    if tries == 0 {
        return (0.0, 100.0);
    }
    // The quantile of the normal distribution that 95 % two-sided stands for.
    let z = 1.959_964;
    let (hits, tries) = (f64::from(hits.min(tries)), f64::from(tries));
    let share = hits / tries;
    let scale = 1.0 + z * z / tries;
    let middle = (share + z * z / (2.0 * tries)) / scale;
    let half = z / scale * (share * (1.0 - share) / tries + z * z / (4.0 * tries * tries)).sqrt();
    (((middle - half) * 100.0).max(0.0), ((middle + half) * 100.0).min(100.0))
}

/// How often something fails, in words: `each of 2 runs, exactly` where execution is exact and an interval says nothing,
/// and else `9 of 10 runs (95 %: 60 to 98 %)`.
pub fn often(failed: u32, runs: u32, exact: bool) -> String {
    if exact && failed == runs {
        return format!("each of {runs} runs, exactly");
    }
    let (low, high) = wilson(failed, runs);
    format!("{failed} of {runs} runs (95 %: {low:.0} to {high:.0} %)")
}

#[cfg(test)]
mod tests {
    use super::{often, wilson};

    #[test]
    fn an_interval_is_said_where_it_says_something() {
        assert_eq!(often(2, 2, true), "each of 2 runs, exactly");
        assert_eq!(often(1, 2, true), "1 of 2 runs (95 %: 9 to 91 %)");
        assert_eq!(often(9, 10, false), "9 of 10 runs (95 %: 60 to 98 %)");
    }

    #[test]
    fn the_interval_is_that_of_the_tables() {
        let near = |found: (f64, f64), low: f64, high: f64| {
            assert!((found.0 - low).abs() < 0.1 && (found.1 - high).abs() < 0.1, "{found:?}");
        };
        near(wilson(9, 10), 59.6, 98.2);
        near(wilson(0, 10), 0.0, 27.8);
        near(wilson(10, 10), 72.2, 100.0);
        near(wilson(0, 0), 0.0, 100.0);
    }
}
