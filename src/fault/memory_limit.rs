//! `memory_limit`: a node gets so many megabytes more than it has (`RLIMIT_DATA`), its children too.
//!
//! A server whose allocation fails ends itself by design (`zmalloc_default_oom`, `redisOutOfMemoryHandler` in
//! `server.c`); at the end of the fault it is started again. Redis 7.0 does not get that far: the report of it needs memory
//! itself, and begins again (found at redis 7.0.15; a turn without an end is the finding `hang`). The limit is the
//! process's: a server that is started meanwhile has none.
//!
//! With `how: kill` (in real time) nobody is told anything: a node that has so much more in memory, its children counted
//! in, is killed, and stays down until the end of the fault. It is looked at every 20 ms, so that one that is quick has
//! had more by then; how much is told. One that is started meanwhile may have as much as the one before.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};

crate::word! {
    /// What becomes of a node that wants more.
    #[derive(Default)]
    pub enum OutOfMemory {
        /// It is told that there is none: its allocation fails.
        #[default]
        Refuse = "refuse",
        /// It is killed, as by the kernel's out-of-memory killer.
        Kill = "kill",
    }
}

impl OutOfMemory {
    fn is_refuse(&self) -> bool {
        *self == Self::Refuse
    }
}

crate::record! {
    pub struct MemoryLimit {
        /// the node that is short of memory
        pub node: NodeSelector,
        /// what it may have beyond what it has, in megabytes
        pub room: u32 = 0,
        /// what becomes of it when it wants more: `refuse` (an allocation fails) or `kill` (SIGKILL, as the kernel's
        /// out-of-memory killer does)
        #[serde(default, skip_serializing_if = "OutOfMemory::is_refuse")]
        pub how: OutOfMemory = OutOfMemory::Refuse,
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
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn needs(&self) -> Ability {
        if self.how == OutOfMemory::Kill { Ability::Resource } else { Self::INFO.needs }
    }

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let room = *context.rng.pick(&[0, 1, 4, 16]);
        Some(Self { node, room, how: OutOfMemory::Refuse })
    }
}
