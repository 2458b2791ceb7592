//! `topology`: see `docs/checks.md`.

crate::record! {
    pub struct Topology {
    }
}

impl Topology {
    pub const NAME: &'static str = "topology";
}
