//! What people do to an ensemble: servers join and leave by `reconfig`, and are restarted one by one.

use super::client::SESSION_MS;
use super::code::Code;
use super::provision::{self, Launch, SUPER, server_id};
use super::refusal;
use super::session::Session;
use super::talk::{self, Lost, Talk};
use super::wire::Request;
use super::words::{self, Mode, Told};
use crate::catalogue::Action;
use crate::env::{NodeId, SECOND_BUS};
use crate::fault::kill::Signal;
use crate::fault::restart::RestartData;
use crate::run::operation::{COMMAND_TIMEOUT, OpIo};
use crate::run::record::Status;
use crate::run::task::Local;
use crate::target::group::{JOIN_TIMEOUT, MEMBERS_MIN, NODES_MAX, alone};
use crate::target::hands::{
    self, Done, Stop, draw, end, fail, finish, live_primary, live_replicas, mark_removed, removed, retry,
    skip,
};
use crate::target::operation::RollingRestart;
use crate::time::{Micros, Millis};
use crate::timeline::Role;

const AGAIN: Millis = Millis(200);

/// Carries an operation out.
pub fn start(action: &Action, op: OpIo, launch: Launch) -> Local<Status> {
    match action.clone() {
        Action::AddReplica(_) => Box::pin(finish(add(op, launch))),
        Action::RemoveReplica(_) => Box::pin(finish(remove(op))),
        Action::RollingRestart(fields) => Box::pin(finish(rolling_restart(op, fields))),
        Action::RefusedReconfig(fields) => Box::pin(finish(refusal::try_all(op, fields))),
        Action::Burst(fields) => Box::pin(finish(hands::burst(op, fields))),
        other => {
            let why = format!("the zookeeper target does not carry out `{}`", other.name());
            Box::pin(async move { Status::Skipped(why) })
        }
    }
}

async fn mode(op: &OpIo, node: NodeId) -> Result<Mode, String> {
    match talk::standing(&op.io, node, op.io.after(COMMAND_TIMEOUT)).await? {
        Told::Serves(standing) => Ok(standing.mode),
        Told::Looks => Err(format!("{node} looks for a leader")),
    }
}

/// Waits until a server serves as a part of an ensemble.
async fn serves(op: &OpIo, node: NodeId, deadline: Micros) -> Result<(), String> {
    retry(op, deadline, hands::LOOK, async || mode(op, node).await.map(drop)).await
}

/// Changes who belongs to the ensemble, as the super-user, and answers who does then.
async fn reconfig(
    op: &OpIo,
    at: NodeId,
    joining: Option<String>,
    leaving: Option<String>,
) -> Result<Vec<u64>, Lost> {
    let deadline = op.io.after(COMMAND_TIMEOUT);
    let mut session = Session::new(SESSION_MS);
    session.identify("digest", format!("{}:{}", SUPER.0, SUPER.1).as_bytes(), &mut Vec::new());
    let mut talk = Talk::open(&op.io, at, session, deadline).await.map_err(|(_, lost)| lost)?;
    let request = Request::Reconfig { joining, leaving, members: None, from_config: -1 };
    let (answer, _) = talk.ask(request, deadline).await?;
    let super::wire::Answer::Data(config, _) = answer else { return Err(Lost::Odd(format!("{answer:?}"))) };
    let _ = talk.ask(Request::CloseSession, deadline).await;
    Ok(words::members(&String::from_utf8_lossy(&config)).into_iter().map(|(number, _)| number).collect())
}

/// As [`reconfig`], again until it is taken: another change may be under way, the one that joins may not have caught up
/// yet, and an answer that is lost says nothing. `done` tells by the list of members.
async fn reconfigured(
    op: &OpIo,
    joining: Option<String>,
    leaving: Option<String>,
    done: impl Fn(&[u64]) -> bool,
) -> Result<(), String> {
    let deadline = op.io.after(JOIN_TIMEOUT);
    retry(op, deadline, AGAIN, async || {
        let tellers = op.world.borrow().live();
        let mut last = "no server is up".to_string();
        for teller in tellers {
            if let Ok(known) = talk::word(&op.io, teller, words::CONF, op.io.after(COMMAND_TIMEOUT)).await {
                let known: Vec<u64> = words::members(&known).into_iter().map(|(number, _)| number).collect();
                if !known.is_empty() && done(&known) {
                    return Ok(());
                }
            }
            match reconfig(op, teller, joining.clone(), leaving.clone()).await {
                Ok(members) if done(&members) => return Ok(()),
                Ok(members) => last = format!("{teller} answers with the members {members:?}"),
                Err(lost @ Lost::Refused(Code::NEW_CONFIG_NO_QUORUM | Code::RECONFIG_IN_PROGRESS)) => {
                    return Err(format!("{teller}: {lost}"));
                }
                Err(lost) => last = format!("{teller}: {lost}"),
            }
        }
        Err(last)
    })
    .await
}

/// A new server, which is taught by the leader, and then `reconfig -add`.
async fn add(op: OpIo, launch: Launch) -> Done {
    alone(&op).await?;
    live_primary(&op, 0)?;
    let node = hands::create(&op, NODES_MAX, (0, Role::Replica), |world, node| {
        let members: Vec<NodeId> = world.members().into_iter().chain([node]).collect();
        provision::spec(&world.timeline, &launch, node, &members)
    })
    .await?;
    op.detail(format!("{node} joins"));
    let Some(line) = line(&op, node) else {
        mark_removed(&op, node);
        return fail(format!("{node} has no address"));
    };
    let joined = async {
        op.start(node, RestartData::Kept).await.map_err(|error| error.to_string())?;
        serves(&op, node, op.io.after(JOIN_TIMEOUT)).await?;
        op.step(format!("{node} has caught up"));
        reconfigured(&op, Some(line), None, |members| members.contains(&server_id(node))).await
    };
    if let Err(why) = joined.await {
        op.step(format!("{node} is taken out again"));
        take_out(&op, node).await?;
        return fail(why);
    }
    op.step(format!("{node} is a member"));
    Ok(())
}

/// A member's line with its addresses filled in.
pub fn line(op: &OpIo, node: NodeId) -> Option<String> {
    let world = op.world.borrow();
    let (address, port) = world.nodes.get(&node)?.address.clone()?;
    let (_, bus) = world.bus_of(node)?;
    let second = bus.checked_add(SECOND_BUS)?;
    Some(format!("server.{}={address}:{bus}:{second}:participant;{address}:{port}", server_id(node)))
}

/// `reconfig -remove`, then the end of its process.
async fn remove(op: OpIo) -> Done {
    alone(&op).await?;
    let Some(node) = draw(&op, "replica", &live_replicas(&op, 0)) else {
        return skip("no live follower could leave");
    };
    let count = op.world.borrow().members().len();
    if count < MEMBERS_MIN {
        return skip(format!("the ensemble has {count} members, and two of them would bear no loss"));
    }
    if mode(&op, node).await.is_ok_and(|mode| mode == Mode::Leader) {
        return skip(format!("{node} was elected meanwhile"));
    }
    op.resolved(node);
    op.detail(format!("{node} leaves"));
    take_out(&op, node).await
}

/// Takes a member out by the word of the others, and ends its process.
async fn take_out(op: &OpIo, node: NodeId) -> Done {
    mark_removed(op, node);
    let number = server_id(node);
    let told = reconfigured(op, None, Some(number.to_string()), |members| !members.contains(&number)).await;
    op.world.borrow_mut().announce(node, &op.event, Signal::Term);
    end(op, node).await?;
    told.map_err(Stop::Fail)?;
    op.step(format!("{node} has left and its process is gone"));
    Ok(())
}

/// Followers first, then the leader, whom the others replace.
async fn rolling_restart(op: OpIo, fields: RollingRestart) -> Done {
    let mut restarted = 0;
    for node in live_replicas(&op, 0) {
        restart(&op, node).await?;
        restarted += 1;
        op.io.sleep(fields.gap).await;
    }
    let leader = live_primary(&op, 0)?;
    restart(&op, leader).await?;
    op.detail(format!("{} servers restarted", restarted + 1));
    Ok(())
}

async fn restart(op: &OpIo, node: NodeId) -> Result<(), String> {
    op.resolved(node);
    end(op, node).await?;
    if hands::is_up(op, node) {
        return Err(format!("another event started {node} meanwhile"));
    }
    if removed(op, node) {
        return Err(format!("{node} has left the ensemble"));
    }
    op.start(node, RestartData::Kept).await.map_err(|error| error.to_string())?;
    serves(op, node, op.io.after(JOIN_TIMEOUT)).await?;
    op.step(format!("{node} is back"));
    Ok(())
}

/// A server that came back with nothing is a follower again by itself, once a leader has taught it everything.
pub async fn rejoin(op: OpIo, node: NodeId) -> Done {
    serves(&op, node, op.io.after(JOIN_TIMEOUT)).await?;
    if let Some(state) = op.world.borrow_mut().nodes.get_mut(&node) {
        state.stranger = false;
    }
    Ok(())
}
