//! `data_consistency`: see `docs/checks.md`.

crate::record! {
    pub struct DataConsistency {
    }
}

impl DataConsistency {
    pub const NAME: &'static str = "data_consistency";
}
