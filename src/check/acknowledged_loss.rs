//! `acknowledged_loss`: see `docs/checks.md`.

crate::record! {
    pub struct AcknowledgedLoss {
    }
}

impl AcknowledgedLoss {
    pub const NAME: &'static str = "acknowledged_loss";
}
