//! Members without a vote (<https://etcd.io/docs/v3.4/learning/design-learner/>), and members that are replaced by new
//! ones. What the group refuses is a step of the operation, in its own words.

use super::api::{self, Done as Answer};
use super::operations::{AGAIN, ask, follows, join, leads, members, take_out};
use super::provision;
use crate::env::NodeId;
use crate::run::operation::{COMMAND_TIMEOUT, OpIo};
use crate::target::group::{JOIN_TIMEOUT, MEMBERS_MIN, alone};
use crate::target::hands::{Done, fail, live_primary, live_replicas, skip};
use crate::target::operation::ReplaceMember;
use serde_json::json;

/// What a leader says of a learner that has not caught up.
const BEHIND: &str = "in sync with leader";
/// What a learner says to clients.
const NOT_FOR_CLIENTS: &str = "rpc not supported for learner";

/// Adds a learner, and sees that it turns clients away.
pub async fn add(op: OpIo) -> Done {
    alone(&op).await?;
    let node = join(&op, true).await?;
    let key = "seedfault/learner";
    let put = json!({"key": api::encoded(key), "value": ""});
    for (what, path, body) in [("a read", api::RANGE, api::range(key, false)), ("a write", api::PUT, put)] {
        match ask::<Answer>(&op, node, path, &body, COMMAND_TIMEOUT).await {
            Err(why) if why.contains(NOT_FOR_CLIENTS) => op.step(format!("{what} is refused: {why}")),
            Err(why) => op.step(format!("{what} did not come through: {why}")),
            Ok(_) => return fail(format!("{node} is a learner and answered {what}")),
        }
    }
    Ok(())
}

/// Gives the learner a vote; again until it has caught up.
pub async fn promote(op: OpIo) -> Done {
    alone(&op).await?;
    let leader = live_primary(&op, 0)?;
    let known = members(&op, leader).await?;
    let Some(learner) = known.iter().find(|member| member.is_learner) else {
        return skip("no member is a learner");
    };
    let node = node_named(&op, &learner.name);
    let Some(node) = node else { return skip(format!("`{}` was never started", learner.name)) };
    op.resolved(node);
    let deadline = op.io.after(JOIN_TIMEOUT);
    let mut refused = false;
    loop {
        let body = json!({"ID": learner.id.to_string()});
        match ask::<Answer>(&op, leader, api::MEMBER_PROMOTE, &body, COMMAND_TIMEOUT).await {
            Ok(_) => break,
            Err(why) if why.contains(BEHIND) && op.io.now() < deadline => {
                if !refused {
                    op.step(format!("refused for now: {why}"));
                }
                refused = true;
                op.io.sleep(AGAIN).await;
            }
            Err(why) if why.contains(BEHIND) => return skip(why),
            Err(why) => return fail(why),
        }
    }
    if let Some(state) = op.world.borrow_mut().nodes.get_mut(&node) {
        state.removed = false;
    }
    op.detail(format!("{node} has a vote"));
    follows(&op, node, deadline, false).await?;
    Ok(())
}

fn node_named(op: &OpIo, name: &str) -> Option<NodeId> {
    op.world.borrow().nodes.keys().copied().find(|node| provision::name(*node) == name)
}

/// Takes a member out first, so that nothing that it has forgotten can count, and adds a new node then
/// (<https://etcd.io/docs/v3.4/op-guide/runtime-configuration/>, 'Replace a failed machine').
pub async fn replace(op: OpIo, fields: ReplaceMember) -> Done {
    let node = op.select_one(&fields.node).or_else(skip)?;
    op.resolved(node);
    replace_with_new(op, node).await
}

pub async fn replace_with_new(op: OpIo, node: NodeId) -> Done {
    alone(&op).await?;
    let count = op.world.borrow().members().len();
    if count + 1 < MEMBERS_MIN {
        return skip(format!("the group has {count} members, and one of two cannot be replaced"));
    }
    let live = op.world.borrow().live();
    let mut tellers = live.into_iter().filter(|teller| *teller != node);
    let Some(teller) = tellers.next() else { return skip("no other member is up") };
    let known = members(&op, teller).await?;
    let Some(old) = known.iter().find(|member| member.name == provision::name(node)) else {
        return skip(format!("{node} is no member"));
    };
    if op.world.borrow().is_live(node) && leads(&op, node).await.unwrap_or(false) {
        op.step(format!("{node} leads, and the others elect another leader"));
    }
    take_out(&op, node, old.id).await?;
    let deadline = op.io.after(JOIN_TIMEOUT);
    while op.world.borrow().primary(0).is_none_or(|leader| !op.world.borrow().is_live(leader)) {
        if op.io.now() >= deadline || live_replicas(&op, 0).is_empty() {
            return fail("no other member leads");
        }
        op.io.sleep(AGAIN).await;
    }
    let new = join(&op, false).await?;
    op.detail(format!("{new} instead of {node}"));
    Ok(())
}

/// Whoever still has no vote when all is over is taken out: the timeline left it, and nothing promises that it ever gets one.
pub async fn mend(op: &OpIo) {
    let Ok(leader) = live_primary(op, 0) else { return };
    let Ok(known) = members(op, leader).await else { return };
    for learner in known.iter().filter(|member| member.is_learner) {
        let Some(node) = node_named(op, &learner.name) else { continue };
        match take_out(op, node, learner.id).await {
            Ok(()) => op.step(format!("{node}, a learner, is taken out")),
            Err(_) => op.step(format!("{node}, a learner, could not be taken out")),
        }
    }
}
