//! `crash`: see `docs/checks.md`.

crate::record! {
    pub struct Crash {
    }
}

impl Crash {
    pub const NAME: &'static str = "crash";
}
