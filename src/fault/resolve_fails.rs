//! `resolve_fails`: a node's questions for the addresses of names fail, or are answered late or wrongly.
//!
//! In a run that has this fault somewhere, each node has a name, `node-0` and so on, that a resolver of the run tells the
//! address of; it knows no other name. Nodes ask it as any program asks, by the C library or by themselves, over UDP, for
//! IPv4. What was resolved before stays so: the fault is about questions that are asked while it holds.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::time::Millis;
use serde::{Deserialize, Serialize};

crate::word! {
    /// What becomes of a question.
    pub enum ResolveBlow {
        /// The resolver says that it has failed (SERVFAIL).
        Error = "error",
        /// It says that there is no such name (NXDOMAIN).
        Unknown = "unknown",
        /// It says nothing.
        Silence = "silence",
        /// It tells an address that nobody has.
        Wrong = "wrong",
        /// It answers late.
        Late = "late",
    }
}

/// What becomes of a node's questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveRule {
    pub how: ResolveBlow,
    pub delay: Millis,
}

crate::record! {
    pub struct ResolveFails {
        /// the node for which names do not resolve
        pub node: NodeSelector,
        /// what its questions come to: `error` (SERVFAIL), `unknown` (NXDOMAIN), `silence` (no answer), `wrong` (an
        /// address that nobody has), `late`
        pub how: ResolveBlow = ResolveBlow::Error,
        /// how late an answer is with `how: late`
        #[serde(default = "late", skip_serializing_if = "is_late")]
        pub delay: Millis = late(),
    }
}

fn late() -> Millis {
    Millis(2_000)
}

fn is_late(delay: &Millis) -> bool {
    *delay == late()
}

impl ResolveFails {
    pub const NAME: &'static str = "resolve_fails";

    pub fn rule(&self) -> ResolveRule {
        ResolveRule { how: self.how, delay: self.delay }
    }
}

impl Declared for ResolveFails {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Names,
        class: Class::Disruptive,
        summary: "let a node's questions for the addresses of names fail, or be answered late or wrongly",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let how = *context.rng.pick(ResolveBlow::ALL);
        Some(Self { node, how, delay: late() })
    }
}
