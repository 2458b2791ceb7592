//! `failover`: `CLUSTER FAILOVER` on a replica, until it says it is primary and the live rest of the shard
//! follows it. `+OK` only means that it was scheduled; a manual failover gives up by itself after 5 s.

use crate::env::NodeId;
use crate::run::operation::OpIo;
use crate::target::operation::{Failover, FailoverMode};
use crate::target::valkey::hands::{self, Done, Stop, draw, fail, live, live_replicas, skip};
use crate::time::Micros;
use crate::timeline::Role;

pub async fn run(op: OpIo, fields: Failover) -> Done {
    let shard = match (fields.shard, &fields.of) {
        (Some(shard), _) => shard,
        (None, Some(of)) => {
            let primary = op.select_one(of).map_err(Stop::Skip)?;
            let shard = op.world.borrow().shard_of(primary);
            shard.ok_or_else(|| Stop::Skip(format!("{primary} is in no shard")))?
        }
        (None, None) => return skip("neither a shard nor a primary is named"),
    };
    let replica = match &fields.to {
        Some(selector) => live(&op, selector)?,
        None => match draw(&op, "replica", &candidates(&op, shard, fields.mode)) {
            Some(replica) => replica,
            None => return skip(format!("shard {shard} has no live replica that could take over")),
        },
    };
    if op.world.borrow().primary(shard) == Some(replica) {
        return skip(format!("{replica} is the primary of shard {shard} already"));
    }
    take_over(&op, shard, replica, fields.mode, op.io.after(fields.timeout)).await
}

/// The live replicas of a shard. Who has just come from another one holds that one's keys; nobody forces it to take over
/// before it has synced, since without the primary's consent nobody asks what it holds
/// (valkey.io/commands/cluster-failover, FORCE and TAKEOVER).
fn candidates(op: &OpIo, shard: u16, mode: FailoverMode) -> Vec<NodeId> {
    let mut replicas = live_replicas(op, shard);
    if mode != FailoverMode::Default {
        let world = op.world.borrow();
        replicas.retain(|node| !world.newcomers.contains_key(node));
    }
    replicas
}

/// Makes `replica` the primary of its shard.
pub async fn take_over(op: &OpIo, shard: u16, replica: NodeId, mode: FailoverMode, deadline: Micros) -> Done {
    op.resolved(replica);
    let mut command = vec!["CLUSTER", "FAILOVER"];
    match mode {
        FailoverMode::Default => {}
        FailoverMode::Force => command.push("FORCE"),
        FailoverMode::Takeover => command.push("TAKEOVER"),
    }
    op.detail(format!("{replica} of shard {shard} gets {}", command.join(" ")));
    op.tell(replica, &command).await?;
    op.step(format!("{replica} accepted the command"));
    hands::retry(op, deadline, hands::LOOK, async || match hands::replication(op, replica).await? {
        says if says.role == Role::Primary => Ok(()),
        _ => Err(format!("{replica} is still a replica")),
    })
    .await?;
    op.step(format!("{replica} says it is primary"));
    // The views that the run looks at may be older than the answer just had.
    op.world.borrow_mut().primaries.insert(shard, replica);
    hands::retry(op, deadline, hands::LOOK, async || {
        for other in live_replicas(op, shard).into_iter().filter(|other| *other != replica) {
            hands::follows(op, other, replica).await?;
        }
        Ok(())
    })
    .await?;
    let count = live_replicas(op, shard).len();
    op.step(format!("{count} live replicas of shard {shard} are linked"));
    if op.world.borrow().is_live(replica) { Ok(()) } else { fail(format!("{replica} went down again")) }
}
