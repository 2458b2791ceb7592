//! `memory_limit`: a node gets so many megabytes more than it has (`RLIMIT_DATA`), its children too.
//!
//! A server whose allocation fails ends itself by design (`zmalloc_default_oom`, `redisOutOfMemoryHandler` in
//! `server.c`); at the end of the fault it is started again. Redis 7.0 does not get that far: the report of it needs memory
//! itself, and begins again (found at redis 7.0.15; a turn without an end is the finding `hang`). The limit is the
//! process's: a server that is started meanwhile has none.

use crate::catalogue::{Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector};

crate::record! {
    pub struct MemoryLimit {
        /// the node that is short of memory
        pub node: NodeSelector,
        /// what it may have beyond what it has, in megabytes
        pub room: u32 = 0,
    }
}

impl MemoryLimit {
    pub const NAME: &'static str = "memory_limit";
}

impl Declared for MemoryLimit {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Memory,
        class: Class::Disruptive,
        summary: "let a node have only so many megabytes more than it has",
        targets: &["valkey"],
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let room = *context.rng.pick(&[0, 1, 4, 16]);
        Some(Self { node, room })
    }
}
