//! `quorum`: see `docs/checks.md`.

crate::record! {
    pub struct Quorum {
    }
}

impl Quorum {
    pub const NAME: &'static str = "quorum";
}
