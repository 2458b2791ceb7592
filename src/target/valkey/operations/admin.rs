//! `admin`: one administrative command on a right or a wrong node. Whatever the node answers is the outcome; it
//! is recorded and judged by nobody.

use crate::env::NodeId;
use crate::run::operation::OpIo;
use crate::run::resp::Reply;
use crate::target::operation::{Admin, AdminCommand};
use crate::target::valkey::hands::{Done, Stop, fail, live, skip};

/// Slots of a range, from the one named.
const RANGE: u16 = 4;

pub async fn run(op: OpIo, fields: Admin) -> Done {
    let node = live(&op, &fields.node)?;
    op.resolved(node);
    let about = match &fields.about {
        Some(selector) => Some(op.select_one(selector).map_err(Stop::Skip)?),
        None => None,
    };
    if let Some(about) = about {
        op.resolved(about);
    }
    let command = words(&op, &fields, node, about)?;
    op.detail(format!("{node} gets {}", command.join(" ")));
    let reply = op.ask(node, &command).await;
    let answer = match reply {
        Ok(Reply::Error(error)) => error,
        Ok(reply) => reply.text().map_or_else(|| format!("{reply:?}"), Into::into),
        Err(error) => return fail(format!("{node}: {error}")),
    };
    op.step(format!("{node} answered {answer}"));
    Ok(())
}

fn words(op: &OpIo, fields: &Admin, node: NodeId, about: Option<NodeId>) -> Result<Vec<String>, Stop> {
    // A command that speaks of a node and names none speaks of the node that gets it.
    let about = about.unwrap_or(node);
    let id = || op.id(about).map_err(Stop::Skip);
    let slot = fields.slot;
    if slot > 16383 {
        return skip(format!("there is no slot {slot}"));
    }
    let range = || [slot.to_string(), slot.saturating_add(RANGE - 1).min(16383).to_string()];
    let mut command: Vec<String> = vec!["CLUSTER".into()];
    let rest: Vec<String> = match fields.command {
        AdminCommand::Meet => {
            let (ip, port) = op.address(about).map_err(Stop::Skip)?;
            vec!["MEET".into(), ip, port.to_string()]
        }
        AdminCommand::Forget => vec!["FORGET".into(), id()?],
        AdminCommand::Replicate => vec!["REPLICATE".into(), id()?],
        AdminCommand::ResetSoft => vec!["RESET".into(), "SOFT".into()],
        AdminCommand::ResetHard => vec!["RESET".into(), "HARD".into()],
        AdminCommand::AddSlotsRange => [vec!["ADDSLOTSRANGE".into()], range().to_vec()].concat(),
        AdminCommand::DelSlotsRange => [vec!["DELSLOTSRANGE".into()], range().to_vec()].concat(),
        AdminCommand::SetSlotMigrating => vec!["SETSLOT".into(), slot.to_string(), "MIGRATING".into(), id()?],
        AdminCommand::SetSlotImporting => vec!["SETSLOT".into(), slot.to_string(), "IMPORTING".into(), id()?],
        AdminCommand::SetSlotStable => vec!["SETSLOT".into(), slot.to_string(), "STABLE".into()],
        AdminCommand::SetSlotNode => vec!["SETSLOT".into(), slot.to_string(), "NODE".into(), id()?],
        AdminCommand::BumpEpoch => vec!["BUMPEPOCH".into()],
        AdminCommand::SaveConfig => vec!["SAVECONFIG".into()],
    };
    command.extend(rest);
    Ok(command)
}
