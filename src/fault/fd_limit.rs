//! `fd_limit`: a node can open so many files and connections more, and then none: `open` and `accept` fail by `EMFILE`.
//!
//! The limit on open files (`RLIMIT_NOFILE`) is lowered while the process runs, and raised again at the end. What is open
//! stays open; what the node closes it may open again. Its children have the limit too, a server that is started
//! meanwhile has not. A thread that waits in `accept` has its next number already, which nobody sees: its next connection
//! comes through.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::fault::resource::ResourceRule;

crate::record! {
    pub struct FdLimit {
        /// the node that runs out of files
        pub node: NodeSelector,
        /// how many it can still open
        pub spare: u32 = 0,
    }
}

impl FdLimit {
    pub const NAME: &'static str = "fd_limit";

    pub fn rule(&self) -> ResourceRule {
        ResourceRule::Files { spare: self.spare }
    }
}

impl Declared for FdLimit {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Resource,
        class: Class::Disruptive,
        summary: "let a node open so many files and connections more: EMFILE",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let spare = *context.rng.pick(&[0, 1, 4]);
        Some(Self { node, spare })
    }
}
