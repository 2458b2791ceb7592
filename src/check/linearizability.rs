//! `linearizability`: see `docs/checks.md`.

use super::{Check, Judgement, Verdict};
use crate::run::record::Record;

crate::record! {
    pub struct Linearizability {
    }
}

impl Linearizability {
    pub const NAME: &'static str = "linearizability";
}

impl Check for Linearizability {
    fn claim(&self) -> &'static str {
        "what was acknowledged is there, but for what the documentation excuses"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/cluster-spec, write safety"
    }
    fn judge(&self, _record: &Record) -> Judgement {
        Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed")
    }
}
