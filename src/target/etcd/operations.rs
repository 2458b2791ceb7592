//! What people do to a group: move the leader, add and remove members, restart them one by one, compact, defragment.

use super::api::{self, ApiError, Done as Answer, Member, Members, Range, Status, hex};
use super::{learner, provision, sabotage, space};
use crate::catalogue::Action;
use crate::env::NodeId;
use crate::run::operation::{COMMAND_TIMEOUT, OpIo};
use crate::run::record::Status as Ended;
use crate::run::task::Local;
use crate::target::group::{JOIN_TIMEOUT, MEMBERS_MIN, NODES_MAX, alone};
use crate::target::hands::{
    self, Done, Stop, draw, end, fail, finish, live, live_primary, live_replicas, mark_removed, removed,
    retry, skip,
};
use crate::target::operation::{
    AddReplica, Compact, Defragment, Failover, FailoverMode, RemoveReplica, Revision, RollingRestart,
};
use crate::time::Millis;
use crate::timeline::Role;
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// What a leader says that takes no new member for now.
const UNHEALTHY: &str = "unhealthy cluster";
/// What a group says that has a learner already: etcd 3.4 takes one at a time (`maxLearners` in `membership/cluster.go`).
const TOO_MANY_LEARNERS: &str = "too many learner members";
pub(super) const AGAIN: Millis = Millis(500);
/// How long a store may take to be written anew.
const DEFRAGMENT_TIMEOUT: Millis = Millis(30_000);

/// Carries an operation out.
pub fn start(action: &Action, op: OpIo) -> Local<Ended> {
    match action.clone() {
        Action::Failover(fields) => Box::pin(finish(failover(op, fields))),
        Action::AddReplica(fields) => Box::pin(finish(add(op, fields))),
        Action::RemoveReplica(fields) => Box::pin(finish(remove(op, fields))),
        Action::RollingRestart(fields) => Box::pin(finish(rolling_restart(op, fields))),
        Action::Burst(fields) => Box::pin(finish(hands::burst(op, fields))),
        Action::Compact(fields) => Box::pin(finish(compact(op, fields))),
        Action::Defragment(fields) => Box::pin(finish(defragment(op, fields))),
        Action::AddLearner(_) => Box::pin(finish(learner::add(op))),
        Action::Promote(_) => Box::pin(finish(learner::promote(op))),
        Action::ReplaceMember(fields) => Box::pin(finish(learner::replace(op, fields))),
        Action::ExceedQuota(fields) => Box::pin(finish(space::exceed(op, fields))),
        Action::Snapshot(fields) => Box::pin(finish(space::snapshot(op, fields))),
        Action::Sabotage(fields) => Box::pin(finish(sabotage::start(op, fields))),
        other => {
            let why = format!("the etcd target does not carry out `{}`", other.name());
            Box::pin(async move { Ended::Skipped(why) })
        }
    }
}

/// One call on a connection of its own.
pub(super) async fn ask<T: for<'a> Deserialize<'a>>(
    op: &OpIo,
    node: NodeId,
    path: &str,
    body: &Json,
    within: Millis,
) -> Result<T, String> {
    let deadline = op.io.after(within);
    let answer = async {
        let conn = op.io.open(node, deadline).await?;
        api::call(&conn, path, body, deadline).await
    };
    answer.await.map_err(|error: ApiError| format!("{node}: {error}"))
}

async fn status(op: &OpIo, node: NodeId) -> Result<Status, String> {
    ask(op, node, api::STATUS, &json!({}), COMMAND_TIMEOUT).await
}

/// Whether it leads, by its own word.
pub(super) async fn leads(op: &OpIo, node: NodeId) -> Result<bool, String> {
    let status = status(op, node).await?;
    Ok(status.leader == status.header.member_id)
}

pub(super) async fn members(op: &OpIo, node: NodeId) -> Result<Vec<Member>, String> {
    Ok(ask::<Members>(op, node, api::MEMBERS, &json!({}), COMMAND_TIMEOUT).await?.members)
}

/// `etcdctl move-leader`.
async fn failover(op: OpIo, fields: Failover) -> Done {
    if fields.mode != FailoverMode::Default {
        return skip("a leader of a Raft group is moved in one way only");
    }
    let follower = match &fields.to {
        Some(selector) => live(&op, selector)?,
        None => match draw(&op, "replica", &live_replicas(&op, 0)) {
            Some(follower) => follower,
            None => return skip("no live follower could take over"),
        },
    };
    let leader = live_primary(&op, 0)?;
    if leader == follower {
        return skip(format!("{follower} leads already"));
    }
    move_leader(&op, leader, follower, fields.timeout).await
}

async fn move_leader(op: &OpIo, leader: NodeId, follower: NodeId, within: Millis) -> Done {
    op.resolved(follower);
    let to = status(op, follower).await?.header.member_id;
    op.detail(format!("{leader} hands its leadership to {follower}"));
    let body = json!({"targetID": to.to_string()});
    // It waits until the other leads, at most for the election timeout.
    match ask::<Answer>(op, leader, api::MOVE_LEADER, &body, within).await {
        Err(why) if why.contains("not leader") => return skip(format!("{leader} does not lead any more")),
        other => other.map(drop)?,
    }
    op.step(format!("{leader} has handed it over"));
    let deadline = op.io.after(within);
    retry(op, deadline, hands::LOOK, async || {
        if leads(op, follower).await? { Ok(()) } else { Err(format!("{follower} does not lead")) }
    })
    .await?;
    op.world.borrow_mut().primaries.insert(0, follower);
    op.step(format!("{follower} leads"));
    Ok(())
}

/// `etcdctl member add`, then a new process with the list of members that this answered.
async fn add(op: OpIo, _fields: AddReplica) -> Done {
    alone(&op).await?;
    join(&op, false).await.map(drop)
}

/// Adds a new node, with a vote or as a learner.
pub(super) async fn join(op: &OpIo, learner: bool) -> Result<NodeId, Stop> {
    let leader = live_primary(op, 0)?;
    let known = members(op, leader).await?;
    if known.iter().any(|member| member.name.is_empty()) {
        return skip("another member has been added and not been started yet");
    }
    let node = hands::create(op, NODES_MAX, (0, Role::Replica), |world, node| {
        let mut all: Vec<(String, String)> = known
            .iter()
            .filter_map(|member| Some((member.name.clone(), member.peer_urls.first()?.clone())))
            .collect();
        all.push((provision::name(node), provision::peer_url(node)));
        provision::spec(&world.timeline, node, &all, "existing")
    })
    .await?;
    if learner {
        // Nobody asks it anything, and it counts for nothing, until it is promoted.
        mark_removed(op, node);
    }
    op.detail(format!("{node} joins{}", if learner { " as a learner" } else { "" }));
    let url = op.world.borrow().bus_of(node).map(|(address, port)| format!("http://{address}:{port}"));
    let Some(url) = url else {
        mark_removed(op, node);
        return fail(format!("{node} has no address"));
    };
    let id = match admitted(op, leader, &url, learner).await {
        Ok(id) => id,
        Err(Stop::Skip(why)) => {
            mark_removed(op, node);
            return skip(why);
        }
        Err(Stop::Fail(why)) => {
            // It may have been added all the same; then the group waits for it, and an administrator would take it out.
            if let Some(id) = id_of(op, &url).await {
                take_out(op, node, id).await?;
            }
            mark_removed(op, node);
            return fail(why);
        }
    };
    op.step(format!("the group has the member {}", hex(id)));
    let deadline = op.io.after(JOIN_TIMEOUT);
    let joined = async {
        loop {
            let started = op.start(node, crate::fault::restart::RestartData::Kept).await;
            started.map_err(|error| error.to_string())?;
            match follows(op, node, deadline, true).await {
                // A peer that has not heard of it yet tells it another list of members, and it ends (`crash::BY_DESIGN`).
                Err(why) if hands::is_up(op, node) || op.io.now() >= deadline => return Err(why),
                Err(_) => op.io.sleep(AGAIN).await,
                Ok(()) => return Ok(()),
            }
        }
    };
    if let Err(why) = joined.await {
        op.step(format!("{node} is taken out again"));
        take_out(op, node, id).await?;
        return fail(why);
    }
    op.step(format!("{node} follows a leader"));
    Ok(node)
}

/// Lets the group have one more member at this peer URL, and answers its id; a skip where the group says no.
///
/// With strict reconfiguration checks a leader refuses until all members have been connected for 5 s (`HealthInterval` in
/// `etcdserver/server.go`).
async fn admitted(op: &OpIo, leader: NodeId, url: &str, learner: bool) -> Result<u64, Stop> {
    let mut body = json!({"peerURLs": [url]});
    if learner {
        body["isLearner"] = true.into();
    }
    let deadline = op.io.after(JOIN_TIMEOUT);
    let added: Result<Members, String> = loop {
        let answer = ask(op, leader, api::MEMBER_ADD, &body, JOIN_TIMEOUT).await;
        let healthy = !answer.as_ref().is_err_and(|why: &String| why.contains(UNHEALTHY));
        if healthy || op.io.now() >= deadline {
            break answer;
        }
        op.io.sleep(AGAIN).await;
    };
    match added {
        Err(why) if why.contains(UNHEALTHY) || why.contains(TOO_MANY_LEARNERS) => skip(why),
        Ok(Members { member: Some(member), .. }) => Ok(member.id),
        Ok(_) => Ok(0),
        Err(why) => fail(why),
    }
}

/// The id of the member at this peer URL, by any live member's list.
async fn id_of(op: &OpIo, url: &str) -> Option<u64> {
    let live = op.world.borrow().live();
    for node in live {
        if let Ok(known) = members(op, node).await {
            return known.iter().find(|m| m.peer_urls.iter().any(|u| u == url)).map(|m| m.id);
        }
    }
    None
}

/// Waits until it knows a leader; no longer than its process lives, where that may end by itself.
pub(super) async fn follows(
    op: &OpIo,
    node: NodeId,
    deadline: crate::time::Micros,
    may_end: bool,
) -> Result<(), String> {
    loop {
        let why = match status(op, node).await {
            Ok(status) if status.leader != 0 => return Ok(()),
            Ok(_) => format!("{node} knows no leader"),
            Err(why) => why,
        };
        if op.io.now() >= deadline || (may_end && !hands::is_up(op, node)) {
            return Err(why);
        }
        op.io.sleep_until(op.io.after(hands::LOOK).min(deadline)).await;
    }
}

/// `etcdctl member remove`, then the end of its process.
async fn remove(op: OpIo, _fields: RemoveReplica) -> Done {
    alone(&op).await?;
    let Some(node) = draw(&op, "replica", &live_replicas(&op, 0)) else {
        return skip("no live follower could leave");
    };
    let count = op.world.borrow().members().len();
    if count < MEMBERS_MIN {
        return skip(format!("the group has {count} members, and two of them would bear no loss"));
    }
    op.resolved(node);
    if leads(&op, node).await.unwrap_or(false) {
        return skip(format!("{node} was elected meanwhile"));
    }
    let id = status(&op, node).await?.header.member_id;
    op.detail(format!("{node} leaves"));
    take_out(&op, node, id).await
}

/// Takes a member out by the word of another one. What has left ends by itself; what was never told is ended.
pub(super) async fn take_out(op: &OpIo, node: NodeId, id: u64) -> Done {
    let deadline = op.io.after(JOIN_TIMEOUT);
    mark_removed(op, node);
    op.world.borrow_mut().announce(node, &op.event, crate::fault::kill::Signal::Term);
    let body = json!({"ID": id.to_string()});
    let told = retry(op, deadline, hands::LOOK, async || {
        let tellers: Vec<NodeId> = op.world.borrow().live();
        let Some(teller) = tellers.first().copied() else { return Err("no member is up".to_string()) };
        match ask::<Answer>(op, teller, api::MEMBER_REMOVE, &body, COMMAND_TIMEOUT).await {
            Err(why) if why.contains("member not found") => Ok(()),
            other => other.map(drop),
        }
    });
    let told = told.await;
    end(op, node).await?;
    told.map_err(Stop::Fail)?;
    op.step(format!("the member {} has left and its process is gone", hex(id)));
    Ok(())
}

/// Followers first, then the leader, which hands its leadership over before.
async fn rolling_restart(op: OpIo, fields: RollingRestart) -> Done {
    let mut restarted = 0;
    for node in live_replicas(&op, 0) {
        restart(&op, node).await?;
        restarted += 1;
        op.io.sleep(fields.gap).await;
    }
    let leader = live_primary(&op, 0)?;
    match draw(&op, "replica", &live_replicas(&op, 0)) {
        Some(follower) => {
            move_leader(&op, leader, follower, Millis(10_000)).await?;
            restart(&op, leader).await?;
            restarted += 1;
        }
        None => op.step(format!("{leader} has nobody to take over and is passed over")),
    }
    op.detail(format!("{restarted} members restarted"));
    if restarted == 0 { fail("no member could be restarted") } else { Ok(()) }
}

async fn restart(op: &OpIo, node: NodeId) -> Result<(), String> {
    op.resolved(node);
    end(op, node).await?;
    if hands::is_up(op, node) {
        return Err(format!("another event started {node} meanwhile"));
    }
    if removed(op, node) {
        return Err(format!("{node} has left the group meanwhile"));
    }
    op.start(node, crate::fault::restart::RestartData::Kept).await.map_err(|error| error.to_string())?;
    follows(op, node, op.io.after(hands::START_TIMEOUT), false).await?;
    op.step(format!("{node} restarted and follows a leader"));
    Ok(())
}

/// Up to the current revision but for the last few.
async fn compact(op: OpIo, fields: Compact) -> Done {
    let node = live_primary(&op, 0)?;
    let now = revision(&op, node).await?;
    let known = op.world.borrow().revisions;
    let meant = match fields.at {
        Revision::Current => now,
        Revision::LastDelete => known.last_delete,
        Revision::Compacted => known.compacted,
    };
    let revision = meant.saturating_sub(i64::try_from(fields.back).unwrap_or(i64::MAX));
    if revision < 1 {
        return skip(format!("{} is revision {meant}", fields.at));
    }
    op.detail(format!("up to revision {revision} of {now}"));
    compact_to(&op, node, revision, fields.physical).await
}

/// The revision of the store, by a read through the log.
pub(super) async fn revision(op: &OpIo, node: NodeId) -> Result<i64, String> {
    let now: Range = ask(op, node, api::RANGE, &api::range("seedfault/none", false), COMMAND_TIMEOUT).await?;
    Ok(now.header.revision)
}

pub(super) async fn compact_to(op: &OpIo, node: NodeId, revision: i64, physical: bool) -> Done {
    let body = json!({"revision": revision.to_string(), "physical": physical});
    match ask::<Answer>(op, node, api::COMPACT, &body, COMMAND_TIMEOUT).await {
        Err(why) if why.contains("has been compacted") => skip("an earlier compaction went as far"),
        other => {
            other?;
            let compacted = &mut op.world.borrow_mut().revisions.compacted;
            *compacted = revision.max(*compacted);
            Ok(())
        }
    }
}

async fn defragment(op: OpIo, fields: Defragment) -> Done {
    let node = live(&op, &fields.node)?;
    op.resolved(node);
    op.detail(format!("{node} writes its store anew"));
    write_anew(&op, node).await?;
    Ok(())
}

pub(super) async fn write_anew(op: &OpIo, node: NodeId) -> Result<(), String> {
    ask::<Answer>(op, node, api::DEFRAGMENT, &json!({}), DEFRAGMENT_TIMEOUT).await.map(drop)
}
