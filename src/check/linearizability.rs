//! `linearizability`: see `docs/checks.md`.

crate::record! {
    pub struct Linearizability {
    }
}

impl Linearizability {
    pub const NAME: &'static str = "linearizability";
}
