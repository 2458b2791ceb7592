//! `convergence_time`: see `docs/checks.md`.

use crate::time::Millis;

crate::record! {
    pub struct ConvergenceTime {
        /// the bound from the last heal to the settled state; computed from the failures when absent
        pub within: Option<Millis> = None,
    }
}

impl ConvergenceTime {
    pub const NAME: &'static str = "convergence_time";
}
