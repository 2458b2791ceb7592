//! Who belongs to the cluster: `add_replica`, `remove_replica`, `move_replica`, `scale_out`, `scale_in`,
//! `forget_and_meet`.
//!
//! What an operation brought in and could not finish, it takes out again. Who leaves is forgotten by every live
//! node first and then shut down; who could not be told is told later (`forget`). FORGET bans an id from being learnt by gossip for 60 s
//! (`CLUSTER_BLACKLIST_TTL`), and does not ban a handshake by `MEET` for ever: see `forget_and_meet`.

use super::slots::{Mover, owned, slots_of_id, take, turn};
use crate::env::NodeId;
use crate::run::operation::OpIo;
use crate::target::operation::{AddReplica, ForgetAndMeet, MoveReplica, RemoveReplica, ScaleIn, ScaleOut};
use crate::target::valkey::forget::{forget, keep_forgotten};
use crate::target::valkey::form::{join, replicate};
use crate::target::valkey::hands::{
    self, Done, Stop, draw, fail, known, live, live_primary, live_replicas, meet, skip,
};
use crate::target::valkey::provision;
use crate::time::Millis;
use crate::timeline::Role;

/// More nodes than this are not started in a run.
const NODES_MAX: usize = 24;
/// How long a new node may take to be a member, and a replica to be linked.
const JOIN_TIMEOUT: Millis = Millis(20_000);
/// How long the others may take to forget.
const FORGET_TIMEOUT: Millis = Millis(15_000);
/// How long a forgotten node may take to be known to all again: the ban of 60 s, and a round of gossip.
const MEET_TIMEOUT: Millis = Millis(90_000);
/// Looks in a row at which all must know a node that bans went round about.
const STEADY: u32 = 3;

pub async fn add_replica(op: OpIo, fields: AddReplica) -> Done {
    let primary = live_primary(&op, fields.shard)?;
    let node = create(&op, fields.shard, Role::Replica).await?;
    op.detail(format!("{node} becomes a replica of {primary}"));
    let deadline = op.io.after(JOIN_TIMEOUT);
    let done = async {
        hands::start(&op, node).await?;
        hands::learn_id(&op, node).await?;
        join(&op, node, primary, deadline).await?;
        replicate(&op, node, primary, deadline).await
    };
    or_take_out(&op, node, done.await).await
}

pub async fn remove_replica(op: OpIo, fields: RemoveReplica) -> Done {
    let Some(node) = draw(&op, "replica", &live_replicas(&op, fields.shard)) else {
        return skip(format!("shard {} has no live replica", fields.shard));
    };
    op.resolved(node);
    // One that does not answer may leave as well as any.
    if hands::replication(&op, node).await.is_ok_and(|says| says.role == Role::Primary) {
        return skip(format!("{node} was promoted meanwhile"));
    }
    op.detail(format!("{node} leaves shard {}", fields.shard));
    take_out(&op, node).await.map_err(Stop::Fail)
}

/// `CLUSTER REPLICATE` on a replica, which drops what it has and syncs with its new primary.
pub async fn move_replica(op: OpIo, fields: MoveReplica) -> Done {
    if fields.shard == fields.to {
        return skip(format!("a replica of shard {} follows its primary already", fields.to));
    }
    let primary = live_primary(&op, fields.to)?;
    let Some(node) = draw(&op, "replica", &live_replicas(&op, fields.shard)) else {
        return skip(format!("shard {} has no live replica", fields.shard));
    };
    op.resolved(node);
    op.resolved(primary);
    if hands::replication(&op, node).await?.role == Role::Primary {
        return skip(format!("{node} was promoted meanwhile"));
    }
    op.detail(format!("{node} of shard {} follows {primary}", fields.shard));
    let former = op.world.borrow().primary(fields.shard).and_then(|former| op.id(former).ok());
    if let Some(former) = former {
        op.world.borrow_mut().newcomers.insert(node, former);
    }
    replicate(&op, node, primary, op.io.after(JOIN_TIMEOUT)).await?;
    op.world.borrow_mut().newcomers.remove(&node);
    Ok(())
}

pub async fn scale_out(op: OpIo, fields: ScaleOut) -> Done {
    let (shard, donors) = {
        let world = op.world.borrow();
        let shard = world.nodes.values().map(|n| n.shard + 1).max().unwrap_or(0);
        let donors: Vec<NodeId> = world.primaries.values().copied().filter(|n| world.is_live(*n)).collect();
        (shard, donors)
    };
    let Some(member) = donors.first().copied() else { return skip("no primary is up") };
    let node = create(&op, shard, Role::Primary).await?;
    op.detail(format!("{node} becomes shard {shard}"));
    let deadline = op.io.after(JOIN_TIMEOUT);
    let joined = async {
        hands::start(&op, node).await?;
        hands::learn_id(&op, node).await?;
        join(&op, node, member, deadline).await.map_err(Stop::Fail)
    };
    or_take_out(&op, node, joined.await).await?;
    op.world.borrow_mut().primaries.insert(shard, node);
    let share = match fields.slots {
        0 => 16384 / (donors.len() + 1),
        slots => usize::from(slots),
    };
    for (place, donor) in donors.iter().enumerate() {
        // The first donors give one more where the share does not divide evenly.
        let part = share / donors.len() + usize::from(place < share % donors.len());
        turn(&op, *donor, node).await?;
        let slots = take(&op, *donor, part).await?;
        Mover::new(&op, *donor, node).all(&slots).await?;
    }
    Ok(())
}

pub async fn scale_in(op: OpIo, fields: ScaleIn) -> Done {
    let source = live_primary(&op, fields.shard)?;
    let (others, leaving): (Vec<NodeId>, Vec<NodeId>) = {
        let world = op.world.borrow();
        let others = world.primaries.iter().filter(|(shard, _)| **shard != fields.shard);
        let others = others.map(|(_, node)| *node).filter(|node| world.is_live(*node)).collect();
        // Replicas first: nobody forgets the primary that it follows.
        let mut leaving = world.replicas(fields.shard);
        leaving.push(source);
        (others, leaving)
    };
    // A primary that was drained follows its taker by replica migration and can take nothing.
    let mut takers = Vec::new();
    for other in others {
        if !owned(&op, other).await?.is_empty() {
            takers.push(other);
        }
    }
    if takers.len() < 3 {
        return skip(format!("only {} shards would be left", takers.len()));
    }
    if leaving.iter().any(|node| !op.world.borrow().is_live(*node)) {
        return skip(format!("a node of shard {} is down and could not leave", fields.shard));
    }
    for node in &leaving {
        op.resolved(*node);
    }
    let slots = take(&op, source, usize::MAX).await?;
    if slots.len() < owned(&op, source).await?.len() {
        return skip(format!("another operation moves slots of {source}"));
    }
    op.detail(format!("{} slots of {source} go to {} shards", slots.len(), takers.len()));
    let part = slots.len().div_ceil(takers.len()).max(1);
    for (taker, slots) in takers.iter().zip(slots.chunks(part)) {
        turn(&op, source, *taker).await?;
        Mover::new(&op, source, *taker).all(slots).await?;
    }
    for node in leaving {
        take_out(&op, node).await?;
    }
    op.world.borrow_mut().primaries.remove(&fields.shard);
    Ok(())
}

/// The live others forget a node and meet it again. A ban is lifted by nothing but time, so all of them must
/// meet it themselves: with redis 7.0 each learns it at once by its own handshake. Valkey 8.0 tells the others of its bans with
/// the seconds that are left (redis/redis#10869), so that one which has met the node forgets it again: all are asked, those that
/// joined meanwhile too, until it stays known.
pub async fn forget_and_meet(op: OpIo, fields: ForgetAndMeet) -> Done {
    let node = live(&op, &fields.node)?;
    op.resolved(node);
    let id = op.id(node).map_err(Stop::Skip)?;
    let others: Vec<NodeId> = op.world.borrow().live().into_iter().filter(|other| *other != node).collect();
    if others.is_empty() {
        return skip("there is nobody to forget it");
    }
    let mut forgot = 0;
    for other in &others {
        match op.tell(*other, &["CLUSTER", "FORGET", &id]).await {
            Ok(_) => forgot += 1,
            Err(why) => op.step(why),
        }
    }
    if forgot == 0 {
        return fail(format!("no node would forget {node}"));
    }
    op.step(format!("{forgot} of {} nodes have forgotten {node}", others.len()));
    let (mut looks, mut steady) = (0, 0);
    hands::retry(&op, op.io.after(MEET_TIMEOUT), Millis::secs(1), async || {
        looks += 1;
        let missing = introduce(&op, node, &id, &others).await?;
        if !missing.is_empty() {
            steady = 0;
            return Err(format!("{} do not know {node} again", missing.join(", ")));
        }
        steady += 1;
        // Where the first meeting did not do, bans go round, and who has met it may yet forget it again.
        if looks > 2 && steady < STEADY { Err(format!("{node} may yet be forgotten again")) } else { Ok(()) }
    })
    .await?;
    op.step(format!("{node} is known to all again"));
    Ok(())
}

/// Lets every node of the cluster that does not know this one meet it. Answers who did not, and who could not be asked
/// since it is stopped: it may hold a ban that it tells the others of when it goes on.
async fn introduce(op: &OpIo, node: NodeId, id: &str, forgot: &[NodeId]) -> Result<Vec<String>, String> {
    let (live, stopped) = {
        let world = op.world.borrow();
        let stopped = world.nodes.values().filter(|n| n.up && n.paused && !n.removed).map(|n| n.node);
        (world.live(), stopped.filter(|other| *other != node).collect::<Vec<_>>())
    };
    let mut missing: Vec<String> = stopped.iter().map(ToString::to_string).collect();
    for other in live.into_iter().filter(|other| *other != node) {
        let there = known(op, other).await?;
        // Of the others one that knows nobody has not joined yet.
        let joined = forgot.contains(&other) || there.len() > 1;
        if joined && !there.iter().any(|(there, _)| there == id) {
            missing.push(other.to_string());
            meet(op, other, node).await?;
        }
    }
    Ok(missing)
}

/// A new node, created and not yet started.
async fn create(op: &OpIo, shard: u16, role: Role) -> Result<NodeId, Stop> {
    hands::create(op, NODES_MAX, (shard, role), |world, node| provision::single(&world.timeline, node)).await
}

/// What failed half-way is taken out again, so that the cluster is left as it was; unless it was elected
/// meanwhile, because then its slots would leave with it.
async fn or_take_out(op: &OpIo, node: NodeId, done: Done) -> Done {
    let Err(why) = done else { return Ok(()) };
    if serves(op, node).await {
        op.step(format!("{node} owns slots by now and stays"));
        return Err(why);
    }
    op.step(format!("{node} is taken out again"));
    if let Err(also) = take_out(op, node).await {
        op.step(also);
    }
    Err(why)
}

/// Whether a live node gives slots to this one.
async fn serves(op: &OpIo, node: NodeId) -> bool {
    let Ok(id) = op.id(node) else { return false };
    let live = op.world.borrow().live();
    for teller in live {
        let known = hands::text(op, teller, &["CLUSTER", "NODES"]).await;
        if known.is_ok_and(|nodes| slots_of_id(&nodes, &id).is_some_and(|slots| !slots.is_empty())) {
            return true;
        }
    }
    false
}

/// Every live node forgets this one, which is then shut down. Who is down meanwhile, or refuses for now, is told
/// as soon as it can be.
async fn take_out(op: &OpIo, node: NodeId) -> Result<(), String> {
    let mut later: Vec<String> = {
        let world = op.world.borrow();
        let absent = world.nodes.values().filter(|n| !n.removed && n.node != node && !world.is_live(n.node));
        absent.map(|n| format!("{} is down", n.node)).collect()
    };
    hands::mark_removed(op, node);
    // It goes first where it could still be elected or heard: a node that runs would go on pinging the others.
    if let Ok(id) = op.id(node) {
        later.extend(forget(op, &id, node, op.io.after(FORGET_TIMEOUT)).await.err());
        keep_forgotten(op, id);
    }
    hands::end(op, node).await?;
    op.step(format!("{node} is forgotten and shut down"));
    if !later.is_empty() {
        op.step(format!("still to be told of that, as soon as they can be: {}", later.join(", ")));
    }
    Ok(())
}
