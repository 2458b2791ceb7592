//! `disk_error`: calls to a node's disk fail.
//!
//! What a server does then is documented: an error of the append-only file ends it under `appendfsync always` and
//! lets it refuse writes otherwise (`aof.c`), a failed save lets it refuse writes
//! (`stop-writes-on-bgsave-error`), a `nodes.conf` that cannot be written ends it (`clusterSaveConfigOrDie`), and
//! a replica that cannot log what it is sent ends itself (`replica-ignore-disk-write-errors`). One that ended is
//! started again when the disk is well.

use crate::catalogue::{
    Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector, targets,
};
use crate::fault::disk::{DiskErrno, DiskRule, FileCall};

crate::record! {
    pub struct DiskError {
        /// the node whose disk is broken
        pub node: NodeSelector,
        /// the calls that fail
        pub call: FileCall = FileCall::Any,
        /// the error
        pub error: DiskErrno = DiskErrno::Io,
        /// the first such call that fails, counted from the beginning of the fault
        pub nth: u32 = 1,
        /// how many fail from there on; 0 is all while the fault lasts
        pub count: u32 = 0,
    }
}

impl DiskError {
    pub const NAME: &'static str = "disk_error";
}

impl Declared for DiskError {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Fault,
        needs: Ability::Disk,
        class: Class::Disruptive,
        summary: "let a node's writes, syncs or renames of files fail, all or from the n-th on",
        targets: targets::REAL,
        drawn: false,
        lasting: true,
    };

    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = NodeSelector::Primary(context.shard());
        let call = *context.rng.pick(FileCall::ALL);
        let error = *context.rng.pick(DiskErrno::ALL);
        let nth = *context.rng.pick(&[1, 2, 3, 5, 8, 13, 21]);
        let count = *context.rng.pick(&[0, 0, 1, 3]);
        Some(Self { node, call, error, nth, count })
    }
}

impl DiskError {
    pub fn rule(&self) -> DiskRule {
        let Self { call, error, nth, count, .. } = *self;
        DiskRule::Fail { call, error, nth, count }
    }
}
