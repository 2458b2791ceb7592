//! What people do to the embedded cluster: the target as the executor sees it, and its operations.
//!
//! Each is a future over the hands that the executor gives it: it asks nodes by commands, waits with a bound,
//! and ends in a [`Status`]. Nodes may die at any line.

use super::placement::{self, shard_of};
use crate::catalogue::{Action, NodeSelector};
use crate::env::{NodeId, NodeSpec};
use crate::fault::kill::Signal;
use crate::fault::restart::RestartData;
use crate::run::operation::{OpIo, Target};
use crate::run::record::Status;
use crate::run::task::Local;
use crate::run::world::World;
use crate::target::operation::{Burst, Failover, FailoverMode, Reshard, RollingRestart, StopAfter};
use crate::time::Millis;
use crate::timeline::{Role, Timeline};

/// How often a state that is waited for is looked at.
const LOOK: Millis = Millis(50);
/// How long slots may take to move, and a node to end, to start and to link.
const MOVE_TIMEOUT: Millis = Millis(15_000);
const RESTART_TIMEOUT: Millis = Millis(10_000);
/// Slots of a drain that are on their way together.
const DRAIN_AT_ONCE: usize = 512;
/// A stopped migration has reached its step when nothing has changed for so long.
const AT_STEP: Millis = Millis(1000);

/// The embedded cluster.
#[derive(Clone, Copy, Debug)]
pub struct Embedded;

impl Embedded {
    pub const NAME: &'static str = "embedded";
}

/// Lines of a node's log that mean something.
const LINES: &[&str] = &[
    "election",
    "Failover",
    "failover",
    "resync",
    "Marking node",
    "Clear FAIL",
    "Cluster state changed",
    "Reconfiguring myself",
    "BUG REPORT",
    "ASSERTION",
];

impl Target for Embedded {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn provision(&self, timeline: &Timeline) -> Vec<NodeSpec> {
        vec![NodeSpec::default(); usize::from(timeline.cluster.nodes())]
    }
    fn provision_new(&self, _: &Timeline, _: NodeId) -> NodeSpec {
        NodeSpec::default()
    }
    fn form(&self, _: OpIo) -> Local<Status> {
        Box::pin(async { Status::Applied })
    }
    fn operation(&self, action: &Action, op: OpIo) -> Local<Status> {
        match action.clone() {
            Action::Failover(fields) => Box::pin(finish(failover(op, fields))),
            Action::Reshard(fields) => Box::pin(finish(reshard(op, fields))),
            Action::Drain(fields) => Box::pin(finish(drain(op, fields.shard, fields.to))),
            Action::RollingRestart(fields) => Box::pin(finish(rolling_restart(op, fields))),
            Action::Burst(fields) => Box::pin(finish(burst(op, fields))),
            other => {
                let why = format!("the embedded target has no operation `{}`", other.name());
                Box::pin(async move { Status::Skipped(why) })
            }
        }
    }
    fn rejoin(&self, _: OpIo, node: NodeId, _: Option<String>) -> Local<Status> {
        let why = format!("{node} cannot have lost its id: its data is always kept");
        Box::pin(async move { Status::Failed(why) })
    }
    /// Consensus needs a majority of each log's voters, whoever is primary.
    fn first_needed(&self, world: &World) -> Option<NodeId> {
        let lives = |node| world.is_live(NodeId(node));
        placement::first_needed(&world.timeline.cluster, lives).map(NodeId)
    }
    fn log_matters(&self, line: &str) -> bool {
        LINES.iter().any(|word| line.contains(word))
    }
}

/// Why an operation ended without being carried out.
enum Stop {
    Skip(String),
    Fail(String),
}

type Done = Result<(), Stop>;

async fn finish(work: impl Future<Output = Done>) -> Status {
    match work.await {
        Ok(()) => Status::Applied,
        Err(Stop::Skip(why)) => Status::Skipped(why),
        Err(Stop::Fail(why)) => Status::Failed(why),
    }
}

fn live(op: &OpIo, selector: &NodeSelector) -> Result<NodeId, Stop> {
    let node = op.select_one(selector).map_err(Stop::Skip)?;
    if op.world.borrow().is_live(node) { Ok(node) } else { Err(Stop::Skip(format!("{node} is not up"))) }
}

fn live_replicas(op: &OpIo, shard: u16) -> Vec<NodeId> {
    let world = op.world.borrow();
    world.replicas(shard).into_iter().filter(|node| world.is_live(*node)).collect()
}

/// Asks until `holds` or the time is up; then why it does not hold.
async fn until(op: &OpIo, within: Millis, mut holds: impl AsyncFnMut() -> Result<(), String>) -> Done {
    let deadline = op.io.after(within);
    loop {
        match holds().await {
            Ok(()) => return Ok(()),
            Err(why) if op.io.now() >= deadline => return Err(Stop::Fail(why)),
            Err(_) => op.io.sleep(LOOK).await,
        }
    }
}

async fn text(op: &OpIo, node: NodeId, command: &[&str]) -> Result<String, String> {
    let reply = op.tell(node, command).await?;
    reply.text().map(Into::into).ok_or_else(|| format!("{node} answered with no text"))
}

/// The role that a node gives itself, and whether a replica's link is up.
async fn role(op: &OpIo, node: NodeId) -> Result<(Role, bool), String> {
    let info = text(op, node, &["INFO", "replication"]).await?;
    let primary = info.contains("role:master");
    let role = if primary { Role::Primary } else { Role::Replica };
    Ok((role, primary || info.contains("master_link_status:up")))
}

async fn failover(op: OpIo, fields: Failover) -> Done {
    let shard = match (fields.shard, &fields.of) {
        (Some(shard), _) => shard,
        (None, Some(of)) => {
            let node = op.select_one(of).map_err(Stop::Skip)?;
            shard_of(&op.world.borrow().timeline.cluster, node.0)
        }
        (None, None) => return Err(Stop::Skip("neither a shard nor a primary is named".into())),
    };
    let replica = match &fields.to {
        Some(selector) => live(&op, selector)?,
        None => {
            let replicas = live_replicas(&op, shard);
            let count = replicas.len() as u64;
            if count == 0 {
                return Err(Stop::Skip(format!("shard {shard} has no live replica")));
            }
            replicas[(op.entropy.child("replica").word("node", 0, 0) % count) as usize]
        }
    };
    if op.world.borrow().primary(shard) == Some(replica) {
        return Err(Stop::Skip(format!("{replica} is the primary of shard {shard} already")));
    }
    take_over(&op, shard, replica, fields.mode, fields.timeout).await
}

async fn take_over(op: &OpIo, shard: u16, replica: NodeId, mode: FailoverMode, within: Millis) -> Done {
    op.resolved(replica);
    let mut command = vec!["CLUSTER", "FAILOVER"];
    match mode {
        FailoverMode::Default => {}
        FailoverMode::Force => command.push("FORCE"),
        FailoverMode::Takeover => command.push("TAKEOVER"),
    }
    op.detail(format!("{replica} of shard {shard} gets {}", command.join(" ")));
    op.tell(replica, &command).await.map_err(Stop::Fail)?;
    op.step(format!("{replica} accepted the command"));
    until(op, within, async || match role(op, replica).await? {
        (Role::Primary, _) => Ok(()),
        _ => Err(format!("{replica} is still a replica")),
    })
    .await?;
    op.step(format!("{replica} says it is primary"));
    op.world.borrow_mut().primaries.insert(shard, replica);
    Ok(())
}

/// First and last of each range on the line of a node in `CLUSTER NODES`, with its id, and the slots that are
/// on their way from or to it.
struct Line {
    id: String,
    ranges: Vec<(u16, u16)>,
    open: Vec<u16>,
}

async fn own_line(op: &OpIo, node: NodeId) -> Result<Line, String> {
    let nodes = text(op, node, &["CLUSTER", "NODES"]).await?;
    let line = nodes.lines().find(|line| line.contains("myself")).ok_or("no line of its own")?;
    let mut words = line.split_ascii_whitespace();
    let id = words.next().unwrap_or_default().to_string();
    let (mut ranges, mut open) = (Vec::new(), Vec::new());
    for word in words.skip(7) {
        if let Some(inner) = word.strip_prefix('[') {
            let digits = inner.split('-').next().unwrap_or_default();
            open.extend(digits.parse::<u16>());
        } else {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let bound = |text: &str| text.parse::<u16>().map_err(|_| format!("odd slots: {word}"));
            ranges.push((bound(first)?, bound(last)?));
        }
    }
    Ok(Line { id, ranges, open })
}

async fn reshard(op: OpIo, fields: Reshard) -> Done {
    let giver = live(&op, &NodeSelector::Primary(fields.from))?;
    let taker = live(&op, &NodeSelector::Primary(fields.to))?;
    let line = own_line(&op, giver).await.map_err(Stop::Fail)?;
    let owned = line.ranges.iter().flat_map(|(first, last)| *first..=*last);
    let free: Vec<u16> = owned.filter(|slot| !line.open.contains(slot)).collect();
    let slots: Vec<u16> = free.into_iter().take(usize::from(fields.slots)).collect();
    move_slots(&op, giver, taker, slots, fields.stop_after).await
}

async fn drain(op: OpIo, shard: u16, to: u16) -> Done {
    let giver = live(&op, &NodeSelector::Primary(shard))?;
    live(&op, &NodeSelector::Primary(to))?;
    let line = own_line(&op, giver).await.map_err(Stop::Fail)?;
    let owned = line.ranges.iter().flat_map(|(first, last)| *first..=*last);
    let slots: Vec<u16> = owned.filter(|slot| !line.open.contains(slot)).collect();
    if slots.is_empty() {
        return Err(Stop::Skip(format!("{giver} has no slot to give")));
    }
    let mut moved = Vec::new();
    for part in slots.chunks(DRAIN_AT_ONCE) {
        // Either shard may have failed over since the last part.
        let giver = live(&op, &NodeSelector::Primary(shard))?;
        let taker = live(&op, &NodeSelector::Primary(to))?;
        let outcome = move_slots(&op, giver, taker, part.to_vec(), StopAfter::Done).await;
        moved.extend_from_slice(part);
        op.report.borrow_mut().slots.clone_from(&moved);
        outcome?;
    }
    Ok(())
}

async fn move_slots(op: &OpIo, giver: NodeId, taker: NodeId, slots: Vec<u16>, stop: StopAfter) -> Done {
    if op.report.borrow().resolved.is_empty() {
        op.resolved(giver);
        op.resolved(taker);
    }
    let Some(last) = slots.last().copied() else {
        return Err(Stop::Skip(format!("{giver} has no slot to give")));
    };
    let to = own_line(op, taker).await.map_err(Stop::Fail)?.id;
    op.detail(format!("{} slots from {giver} to {taker}", slots.len()));
    let stop_word = stop.to_string();
    let numbers: Vec<String> = slots.iter().map(ToString::to_string).collect();
    let mut command = vec!["CLUSTER", "MIGRATESLOTS"];
    command.extend(numbers.iter().map(String::as_str));
    command.extend(["NODE", &to, "STOP", &stop_word]);
    {
        // Until the map says otherwise they count as on their way, should this operation not see the end.
        let mut report = op.report.borrow_mut();
        report.slots.clone_from(&slots);
        report.slots_left_open.clone_from(&slots);
    }
    op.tell(giver, &command).await.map_err(Stop::Fail)?;
    op.step(format!("{giver} took it on"));
    let stops = !matches!(stop, StopAfter::TargetOwns | StopAfter::Done);
    let whole = if stops { slots.len() - 1 } else { slots.len() };
    let (from_shard, to_shard) = {
        let world = op.world.borrow();
        let cluster = &world.timeline.cluster;
        (shard_of(cluster, giver.0), shard_of(cluster, taker.0))
    };
    until(op, MOVE_TIMEOUT, async || {
        // Either shard may have another primary by now.
        let (giver, taker) = {
            let world = op.world.borrow();
            (world.primary(from_shard).unwrap_or(giver), world.primary(to_shard).unwrap_or(taker))
        };
        let (left, taken) = (own_line(op, giver).await?, own_line(op, taker).await?);
        let has = |slot: &u16| taken.ranges.iter().any(|(first, last)| (*first..=*last).contains(slot));
        let moved = slots[..whole].iter().filter(|slot| has(slot)).count();
        op.report.borrow_mut().slots_left_open = slots.iter().copied().filter(|slot| !has(slot)).collect();
        match (moved == whole, stops && !left.open.contains(&last)) {
            (true, false) => Ok(()),
            _ => Err(format!("{moved} of {whole} slots have moved")),
        }
    })
    .await?;
    if stops {
        op.io.sleep(AT_STEP).await;
        op.step(format!("slot {last} stays open after `{stop_word}`"));
    } else {
        op.step(format!("{taker} owns the slots"));
    }
    Ok(())
}

async fn rolling_restart(op: OpIo, fields: RollingRestart) -> Done {
    let nodes: Vec<NodeId> = op.world.borrow().nodes.keys().copied().collect();
    let primaries: Vec<NodeId> = op.world.borrow().primaries.values().copied().collect();
    let (first, then): (Vec<NodeId>, Vec<NodeId>) =
        nodes.into_iter().partition(|node| !primaries.contains(node));
    for node in first.into_iter().chain(then) {
        if !op.world.borrow().is_live(node) {
            op.step(format!("{node} is not up and is left out"));
            continue;
        }
        let shard = shard_of(&op.world.borrow().timeline.cluster, node.0);
        let replica = live_replicas(&op, shard).into_iter().find(|replica| *replica != node);
        if let (Ok((Role::Primary, _)), Some(replica)) = (role(&op, node).await, replica) {
            take_over(&op, shard, replica, FailoverMode::Default, RESTART_TIMEOUT).await?;
        }
        op.resolved(node);
        op.signal(node, Signal::Term).await.map_err(|error| Stop::Fail(error.to_string()))?;
        if !op.gone(node, RESTART_TIMEOUT).await {
            return Err(Stop::Fail(format!("{node} did not end")));
        }
        op.start(node, RestartData::Kept).await.map_err(|error| Stop::Fail(error.to_string()))?;
        until(&op, RESTART_TIMEOUT, async || match role(&op, node).await? {
            (_, true) => Ok(()),
            _ => Err(format!("{node} has no link to its primary")),
        })
        .await?;
        op.step(format!("{node} is back"));
        op.io.sleep(fields.gap).await;
    }
    Ok(())
}

async fn burst(op: OpIo, fields: Burst) -> Done {
    op.detail(format!("{} operations a second on shard {} for {}", fields.rate, fields.shard, fields.length));
    let length = fields.length;
    op.world.borrow_mut().bursts.push((fields, op.event.clone()));
    op.io.sleep(length).await;
    Ok(())
}
