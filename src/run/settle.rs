//! The end of a run: waiting until the cluster has settled, and reading all that the checks need from it.

use super::operation::Target;
use super::probe::{Normal, normal};
use super::record::{CatchUp, Last};
use super::task::Io;
use super::view::ClusterView;
use super::world::Shared;
use crate::env::NodeId;
use crate::time::{Micros, Millis};
use std::collections::BTreeMap;

/// How far apart two equal views must be.
const AT_REST: Millis = Millis(1000);
const LOOK_EVERY: Millis = Millis(250);
const LOOK_TIMEOUT: Millis = Millis(1000);
/// How long replicas get to reach their primary's offset when the timeline's check gives no bound.
const CATCH_UP: Millis = Millis(10_000);

/// Waits until the cluster is settled or the bound has come. Returns the last view and when it had settled.
pub async fn settle(
    io: &Io,
    world: &Shared,
    target: &dyn Target,
    bound_at: Micros,
) -> (ClusterView, Option<Micros>) {
    let mut prober = target.prober(io.clone(), world.clone());
    let mut still: Option<(Micros, Normal)> = None;
    loop {
        let next = io.after(LOOK_EVERY);
        let view = prober.look(LOOK_TIMEOUT).await;
        let now_normal = normal(&view);
        let since = match &still {
            Some((since, before)) if *before == now_normal => *since,
            _ => {
                still = Some((view.at, now_normal));
                view.at
            }
        };
        let good = target.amiss(&view, &world.borrow()).is_empty();
        {
            let mut world = world.borrow_mut();
            world.views.push(view.clone());
            world.learn(view.clone());
        }
        let rests = view.at.since(since) >= AT_REST.micros();
        // A cluster at rest that is not as it should be may still be waiting for a time-out of its own: it is
        // given all of the bound.
        if rests && (good || io.now() >= bound_at) {
            return (view, Some(since));
        }
        if io.now() >= bound_at.plus(AT_REST) || (io.now() >= bound_at && !rests && good) {
            return (view, None);
        }
        io.sleep_until(next).await;
    }
}

/// Reads everything that the checks look at from a cluster at rest.
pub async fn examine(
    io: &Io,
    world: &Shared,
    target: &dyn Target,
    (view, settled_at): (ClusterView, Option<Micros>),
    (bound, bound_why): (Millis, String),
    with_data: bool,
) -> Last {
    let catch_up = catch_up(io, world, target, &view).await;
    let slots = target.serves(io.clone(), world.clone(), view.clone()).await;
    let dump =
        if with_data { target.holds(io.clone(), world.clone(), view.clone()).await } else { Vec::new() };
    let world = world.borrow();
    Last {
        settled_at,
        bound,
        bound_why,
        slots,
        dump,
        catch_up,
        left_dead: world
            .nodes
            .values()
            .filter(|n| !n.removed && (!n.up || n.paused))
            .map(|n| n.node)
            .collect(),
        removed: world.nodes.values().filter(|n| n.removed).map(|n| n.node).collect(),
        view,
    }
}

/// Primary's offset first, then how long each of its replicas takes to reach it.
async fn catch_up(io: &Io, world: &Shared, target: &dyn Target, view: &ClusterView) -> Vec<CatchUp> {
    let mut prober = target.prober(io.clone(), world.clone());
    let ids: BTreeMap<&str, NodeId> =
        view.answered().map(|(node, report)| (report.id.as_str(), node)).collect();
    let pairs: Vec<(NodeId, NodeId)> = view
        .answered()
        .filter_map(|(node, report)| Some((*ids.get(report.myself()?.primary.as_deref()?)?, node)))
        .collect();
    if pairs.is_empty() {
        return Vec::new();
    }
    let first = prober.look(LOOK_TIMEOUT).await;
    let started = io.now();
    let mut open: Vec<CatchUp> = pairs
        .into_iter()
        .filter_map(|(primary, replica)| {
            let primary_offset = first.report(primary)?.replication.offset;
            Some(CatchUp {
                primary,
                primary_offset,
                replica,
                replica_offset: None,
                link_up: false,
                same_replication_id: false,
                after: None,
                last_io_s: None,
            })
        })
        .collect();
    let mut look = first;
    loop {
        for pair in open.iter_mut().filter(|pair| pair.after.is_none()) {
            let (Some(primary), Some(replica)) = (look.report(pair.primary), look.report(pair.replica))
            else {
                continue;
            };
            pair.replica_offset = Some(replica.replication.offset);
            pair.link_up = replica.replication.link_up;
            pair.same_replication_id =
                replica.replication.replication_id == primary.replication.replication_id;
            pair.last_io_s = replica.replication.last_io_s;
            if pair.link_up && pair.same_replication_id && replica.replication.offset >= pair.primary_offset {
                pair.after = Some(look.at.since(started).millis());
            }
        }
        if open.iter().all(|pair| pair.after.is_some()) || io.now().since(started) >= CATCH_UP.micros() {
            return open;
        }
        io.sleep(LOOK_EVERY).await;
        look = prober.look(LOOK_TIMEOUT).await;
    }
}
