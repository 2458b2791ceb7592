//! `slot_coverage`: see `docs/checks.md`.

crate::record! {
    pub struct SlotCoverage {
        /// every slot must have an owner
        pub full: bool = true,
        /// no slot may have two owners
        pub conflicts: bool = true,
    }
}

impl SlotCoverage {
    pub const NAME: &'static str = "slot_coverage";
}
