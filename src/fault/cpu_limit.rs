//! `cpu_limit`: a node has no more than a share of one core, all its threads and children together, as under the quota
//! of a container. What it wants beyond that waits.
//!
//! It runs until its share of each 10 ms is used up and stands (SIGSTOP) until it has some again, so that it needs no
//! privilege and leaves nothing behind (`docs/adr/0010-resources.md`). A node that wants less is never stopped. It
//! outlasts the process: a server that is started meanwhile has the same share.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::fault::resource::{Percent, ResourceRule};

crate::record! {
    pub struct CpuLimit {
        /// the node that is short of processor time
        pub node: NodeSelector,
        /// what it may have of one core, as `20%`; more than `100%` for a program that uses several
        pub share: Percent = Percent(20),
    }
}

impl CpuLimit {
    pub const NAME: &'static str = "cpu_limit";

    pub fn rule(&self) -> ResourceRule {
        ResourceRule::Share(self.share)
    }
}

impl Declared for CpuLimit {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Resource,
        class: Class::Disruptive,
        summary: "let a node have no more than a share of one core",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let share = Percent(*context.rng.pick(&[2, 5, 20, 50]));
        Some(Self { node, share })
    }
}
