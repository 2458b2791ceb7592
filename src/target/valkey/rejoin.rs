//! A node that came back under a new id: a stranger at the address of a member.

use super::forget::{forget, keep_forgotten};
use super::form::{join, replicate};
use super::hands::{self, Done};
use crate::env::NodeId;
use crate::run::operation::OpIo;
use crate::time::Millis;

/// How long a node that came back under a new id may take to be a member again.
const REJOIN_TIMEOUT: Millis = Millis(30_000);

/// Brings a node that lost its id back: its ghost is forgotten, it is met, and it follows its shard's primary.
/// Where it was the primary itself, one of its replicas has to take over first.
pub async fn rejoin(op: OpIo, node: NodeId, old_id: Option<String>) -> Done {
    let deadline = op.io.after(REJOIN_TIMEOUT);
    hands::answers(&op, node, hands::START_TIMEOUT).await?;
    let new_id = hands::learn_id(&op, node).await?;
    let shard = op.world.borrow().shard_of(node).ok_or_else(|| format!("{node} is in no shard"))?;
    let primary = hands::retry(&op, deadline, hands::LOOK, async || {
        let primary = op.primary(shard)?;
        if primary == node || !op.world.borrow().is_live(primary) {
            return Err(format!("shard {shard} has no live primary that {node} could follow"));
        }
        Ok(primary)
    })
    .await?;
    if let Some(ghost) = old_id.filter(|ghost| *ghost != new_id) {
        forget(&op, &ghost, node, deadline).await?;
        op.step(format!("the live nodes have forgotten {ghost}"));
        keep_forgotten(&op, ghost);
    }
    join(&op, node, primary, deadline).await?;
    replicate(&op, node, primary, deadline).await
}
