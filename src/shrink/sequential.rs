//! Whether a timeline fails as often as its parent, where each run is the throw of a coin.
//!
//! A. Wald's sequential probability ratio test ("Sequential Tests of Statistical Hypotheses", 1945): after each run the
//! ratio of two likelihoods says that the candidate fails at its parent's rate, that it fails at half of it, or that
//! another run is needed. So a shrinker does not make a bug rarer while it makes the timeline shorter.

/// What the runs so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It fails as often as its parent.
    Keeps,
    /// It fails significantly less often, or nobody can tell within [`Coin::RUNS_MAX`].
    Rarer,
    More,
}

/// The runs of one candidate.
#[derive(Clone, Debug)]
pub struct Coin {
    rate: f64,
    ratio: f64,
    pub failed: u32,
    pub runs: u32,
}

impl Coin {
    /// After so many runs without an answer a candidate is refused.
    pub const RUNS_MAX: u32 = 150;
    /// How often each of the two wrong answers may be given.
    const ERROR: f64 = 0.05;

    /// Of a candidate whose parent failed in so many of so many runs.
    pub fn new(failed: u32, runs: u32) -> Self {
        // One more of each, so that a few runs that all failed do not stand for certainty (P.-S. Laplace).
        let rate = f64::from(failed + 1) / f64::from(runs + 2);
        Self { rate, ratio: 0.0, failed: 0, runs: 0 }
    }

    pub fn add(&mut self, failed: bool) -> Said {
        let rarer = self.rate / 2.0;
        self.runs += 1;
        self.failed += u32::from(failed);
        self.ratio +=
            if failed { (rarer / self.rate).ln() } else { ((1.0 - rarer) / (1.0 - self.rate)).ln() };
        let bound = ((1.0 - Self::ERROR) / Self::ERROR).ln();
        if self.ratio <= -bound {
            Said::Keeps
        } else if self.ratio >= bound || self.runs >= Self::RUNS_MAX {
            Said::Rarer
        } else {
            Said::More
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Entropy, Seed};

    /// How often it says that a coin of this many per cent keeps its parent's rate, of 1000.
    fn kept(parent: u32, candidate: u64) -> u32 {
        let mut kept = 0;
        for trial in 0..1000 {
            let mut rng = Entropy::root(Seed(trial)).child("coin").rng();
            let mut coin = Coin::new(parent, 100);
            let said = loop {
                match coin.add(rng.below(100) < candidate) {
                    Said::More => {}
                    said => break said,
                }
            };
            kept += u32::from(said == Said::Keeps);
        }
        kept
    }

    #[test]
    fn a_rarer_failure_is_refused_and_an_equal_one_is_kept() {
        for parent in [30, 60, 90] {
            let (same, half, none) =
                (kept(parent, parent.into()), kept(parent, u64::from(parent) / 2), kept(parent, 0));
            assert!(same >= 900 && half <= 80 && none == 0, "{parent}: {same}, {half}, {none}");
        }
    }
}
