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

#[cfg(test)]
mod tests {
    use super::wilson;

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
