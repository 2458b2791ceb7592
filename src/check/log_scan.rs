//! `log_scan`: see `docs/checks.md`.

crate::record! {
    pub struct LogScan {
    }
}

impl LogScan {
    pub const NAME: &'static str = "log_scan";
}
