//! How single nodes become a cluster. Where `nodes.conf` was written beforehand, they only have to answer; else
//! they are introduced: slots and epochs first, then `MEET`, then `REPLICATE`. Faults may strike meanwhile: what
//! a node cannot do now is tried again until the deadline.

use super::hands::{self, Done, Stop};
use crate::env::NodeId;
use crate::run::operation::OpIo;
use crate::time::{Micros, Millis};
use crate::timeline::Formation;

/// How long a cluster may take to form.
pub const FORM_TIMEOUT: Millis = Millis(30_000);
/// Between two rounds of introductions: a handshake that fails is given up after the node timeout, at least
/// one second (`CLUSTER_HANDSHAKE_TIMEOUT` is the node timeout, `clusterCron` raises it to 1000).
const ROUND: Millis = Millis(500);

pub async fn form(op: OpIo) -> Done {
    let deadline = op.io.after(FORM_TIMEOUT);
    let (formation, nodes) = {
        let world = op.world.borrow();
        let cluster = &world.timeline.cluster;
        (cluster.formation, (0..cluster.nodes()).map(NodeId).collect::<Vec<_>>())
    };
    match formation {
        Formation::Written => all_answer(&op, &nodes, deadline).await,
        Formation::Meet => {
            all_answer(&op, &nodes, deadline).await?;
            by_meeting(&op, &nodes, deadline).await
        }
    }
}

/// Every node that nothing struck answers and has told its id.
async fn all_answer(op: &OpIo, nodes: &[NodeId], deadline: Micros) -> Done {
    for node in nodes {
        let told = hands::retry(op, deadline, hands::LOOK, async || {
            if struck(op, *node) {
                return Ok(());
            }
            hands::learn_id(op, *node).await.map(drop)
        });
        told.await?;
    }
    op.step(format!("{} nodes answer", nodes.len()));
    Ok(())
}

/// An event ended or stopped it while the cluster formed.
fn struck(op: &OpIo, node: NodeId) -> bool {
    let world = op.world.borrow();
    let announced = world.lives.iter().any(|life| life.node == node && !life.signalled.is_empty());
    !world.is_live(node) && (announced || world.paused_by.contains_key(&node))
}

async fn by_meeting(op: &OpIo, nodes: &[NodeId], deadline: Micros) -> Done {
    let cluster = op.world.borrow().timeline.cluster.clone();
    for shard in 0..cluster.shards {
        let primary = NodeId(cluster.node(shard, 0));
        let epoch = (shard + 1).to_string();
        let (first, last) = cluster.slots(shard);
        hands::retry(op, deadline, ROUND, async || {
            // Possible only while the node knows no other and has no epoch: a second try is refused, and fine.
            let _ = op.tell(primary, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            let range = [first.to_string(), last.to_string()];
            match op.tell(primary, &["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]).await {
                Err(why) if !why.contains("is already busy") => Err(why),
                _ => Ok(()),
            }
        })
        .await?;
    }
    op.step("every primary has its slots");
    hands::retry(op, deadline, ROUND, async || introduce(op, nodes).await).await?;
    op.step("every node knows every other");
    for shard in 0..cluster.shards {
        let primary = NodeId(cluster.node(shard, 0));
        for member in 1..=cluster.replicas {
            let replica = NodeId(cluster.node(shard, member));
            hands::retry(op, deadline, ROUND, async || {
                let id = op.id(primary)?;
                op.tell(replica, &["CLUSTER", "REPLICATE", &id]).await.map(drop)
            })
            .await
            .map_err(|why| Stop::Fail(format!("{replica} could not become a replica of {primary}: {why}")))?;
        }
    }
    op.step("every replica has its primary");
    Ok(())
}

/// One round: the first node that lives meets all that it does not know. An error names what is missing still.
async fn introduce(op: &OpIo, nodes: &[NodeId]) -> Result<(), String> {
    let live: Vec<NodeId> = nodes.iter().copied().filter(|node| op.world.borrow().is_live(*node)).collect();
    let Some(host) = live.first().copied() else { return Err("no node is up".into()) };
    let at_host = hands::known(op, host).await?;
    let mut missing = Vec::new();
    for guest in nodes.iter().filter(|node| **node != host) {
        let id = match op.id(*guest) {
            Ok(id) => id,
            Err(_) => hands::learn_id(op, *guest).await?,
        };
        if !at_host.iter().any(|(known, _)| *known == id) {
            missing.push(*guest);
            hands::meet(op, host, *guest).await?;
        }
    }
    if !missing.is_empty() {
        return Err(format!("{host} does not know {} yet", list(&missing)));
    }
    for node in nodes {
        let there = hands::known(op, *node).await?;
        if there.len() < nodes.len() {
            greet_again(op, *node, host).await?;
            return Err(format!("{node} knows {} of {} nodes", there.len(), nodes.len()));
        }
    }
    Ok(())
}

/// A node that died before it had written down whom it met is known to others that it does not know, and takes no
/// word of theirs for a greeting: it has to begin.
async fn greet_again(op: &OpIo, node: NodeId, member: NodeId) -> Result<(), String> {
    if node == member { Ok(()) } else { hands::meet(op, node, member).await }
}

/// Introduces a node to the cluster by one member and waits until every live node knows it.
pub async fn join(op: &OpIo, node: NodeId, member: NodeId, deadline: Micros) -> Result<(), String> {
    let id = op.id(node)?;
    hands::retry(op, deadline, ROUND, async || {
        if hands::removed(op, node) {
            return Err(format!("{node} has left the cluster meanwhile"));
        }
        if !hands::known(op, member).await?.iter().any(|(known, _)| *known == id) {
            hands::meet(op, member, node).await?;
            return Err(format!("{member} does not know {node} yet"));
        }
        // Another that came back under a new id, and is to be met yet, knows nobody and is known to nobody.
        let members: Vec<NodeId> = {
            let world = op.world.borrow();
            let met = |n: &NodeId| *n == node || world.nodes.get(n).is_some_and(|state| !state.stranger);
            world.live().into_iter().filter(met).collect()
        };
        let known_here = hands::known(op, node).await?.len();
        if known_here < members.len() {
            greet_again(op, node, member).await?;
            return Err(format!("{node} knows {known_here} of {} nodes", members.len()));
        }
        for other in members {
            if !hands::known(op, other).await?.iter().any(|(known, _)| *known == id) {
                return Err(format!("{other} does not know {node} yet"));
            }
        }
        Ok(())
    })
    .await?;
    // `view_agreement` reads this.
    op.step(format!("{node} was met by {member} and is known to all"));
    Ok(())
}

/// Makes a node a replica and waits until its link is up.
pub async fn replicate(op: &OpIo, node: NodeId, primary: NodeId, deadline: Micros) -> Done {
    let id = op.id(primary)?;
    hands::retry(op, deadline, hands::LOOK, async || {
        op.tell(node, &["CLUSTER", "REPLICATE", &id]).await.map(drop)
    })
    .await?;
    hands::retry(op, deadline, hands::LOOK, async || hands::follows(op, node, primary).await).await?;
    op.step(format!("{node} follows {primary}"));
    Ok(())
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
