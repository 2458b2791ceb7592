//! Ids that left the cluster, and have to stay forgotten.
//!
//! `CLUSTER FORGET` reaches only who is up, and bans an id for 60 s (`CLUSTER_BLACKLIST_TTL`). Who was down or
//! stopped has it in `nodes.conf` still, and tells the others of it when it comes back. So an id that left is
//! looked for until the run ends: what we could not tell a node is no fault of the server's.

use super::hands;
use crate::env::NodeId;
use crate::run::operation::OpIo;
use crate::time::{Micros, Millis};
use std::collections::BTreeMap;

/// Between two looks for an id that is to stay forgotten.
const LOOK: Millis = Millis(1000);
/// Looks at which a replica may refuse to forget its primary: if it may take over, it has done so by then.
const PATIENCE: u32 = 10;

/// Every live node but `except` forgets an id. A replica cannot forget its own primary, so this may take until
/// a failover is over. A node that goes down meanwhile is passed over; the error names all that refused.
pub async fn forget(op: &OpIo, id: &str, except: NodeId, deadline: Micros) -> Result<(), String> {
    let others: Vec<NodeId> = op.world.borrow().live().into_iter().filter(|other| *other != except).collect();
    let mut refused = Vec::new();
    for other in others {
        let told = hands::retry(op, deadline, hands::LOOK, async || {
            if !op.world.borrow().is_live(other) {
                return Ok(());
            }
            tell(op, other, id).await
        });
        refused.extend(told.await.err());
    }
    if refused.is_empty() { Ok(()) } else { Err(refused.join(", ")) }
}

/// One `CLUSTER FORGET`; fine if the node does not know the id any more.
async fn tell(op: &OpIo, node: NodeId, id: &str) -> Result<(), String> {
    match op.tell(node, &["CLUSTER", "FORGET", id]).await {
        Err(why) if !why.contains("Unknown node") => Err(why),
        _ => Ok(()),
    }
}

/// From now on no node that answers keeps the id for longer than a moment, until the run ends.
pub fn keep_forgotten(op: &OpIo, id: String) {
    let mut world = op.world.borrow_mut();
    world.stays(&op.event, Box::pin(watch(op.clone(), id)));
}

async fn watch(op: OpIo, id: String) {
    let mut refusals: BTreeMap<NodeId, u32> = BTreeMap::new();
    loop {
        op.io.sleep(LOOK).await;
        // A node that came back with an older copy of its folder is again who it was.
        if op.world.borrow().nodes.values().any(|n| !n.removed && n.id.as_ref() == Some(&id)) {
            continue;
        }
        let live = op.world.borrow().live();
        for node in live {
            let listed = hands::known(&op, node).await;
            if !listed.is_ok_and(|known| known.iter().any(|(there, _)| *there == id)) {
                refusals.remove(&node);
                continue;
            }
            // What a node refuses now it may take at the next look.
            if tell(&op, node, &id).await.is_err_and(|why| why.contains("Can't forget my master")) {
                let times = refusals.entry(node).or_default();
                *times += 1;
                if *times > PATIENCE {
                    follow_another(&op, node).await;
                }
            }
        }
    }
}

/// Gives a replica of a node that is gone the primary of its shard, or any other.
async fn follow_another(op: &OpIo, node: NodeId) {
    let primaries: Vec<NodeId> = {
        let world = op.world.borrow();
        let own = world.shard_of(node).and_then(|shard| world.primary(shard));
        let all = own.into_iter().chain(world.primaries.values().copied());
        all.filter(|primary| *primary != node && world.is_live(*primary)).collect()
    };
    for primary in primaries {
        let Ok(id) = op.id(primary) else { continue };
        // A refusal is no end: the next look comes in a second.
        if op.tell(node, &["CLUSTER", "REPLICATE", &id]).await.is_ok() {
            return;
        }
    }
}
