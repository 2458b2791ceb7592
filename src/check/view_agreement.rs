//! `view_agreement`: see `docs/checks.md`.

crate::record! {
    pub struct ViewAgreement {
    }
}

impl ViewAgreement {
    pub const NAME: &'static str = "view_agreement";
}
