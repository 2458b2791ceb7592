//! Harm behind the cluster's back that the checks of leases and accounts must find: each is what somebody else may do to one
//! by etcd's own interface, and what its holder would see if the server did it by itself.

use super::api::{self, Done as Answer, Remaining, Txn};
use super::operations::ask;
use super::teller;
use crate::history::{Ending, Entry, Lease, LeaseAsk, LeaseSaid, TransferSaid};
use crate::run::operation::{COMMAND_TIMEOUT, OpIo};
use crate::target::hands::{Done, live_primary, skip};
use crate::target::operation::{Harm, Sabotage};
use crate::time::Millis;
use serde_json::json;

/// How long a lease is waited for that the harm can be done to.
const WAIT: Millis = Millis(20_000);
const LOOK: Millis = Millis(10);
/// How long abandoned leases are kept alive, and how often.
const KEEP: Millis = Millis(20_000);
const KEEP_EVERY: Millis = Millis(300);
/// What a lease is granted for the second time.
const AGAIN_SECONDS: u64 = 60;

pub async fn start(op: OpIo, fields: Sabotage) -> Done {
    match fields.harm {
        Harm::RevokeLease => revoke(op).await,
        Harm::KeepLeases => keep(op).await,
        Harm::GrantAgain => grant_again(op).await,
        Harm::RobAccount => rob(op).await,
        other => skip(format!("the etcd target does not carry out `{other}`")),
    }
}

/// The id of the first lease of which this holds, once there is one.
async fn lease(op: &OpIo, such: impl Fn(&Lease) -> bool) -> Option<i64> {
    let found = || op.world.borrow().leases.iter().find(|lease| such(lease)).map(|lease| lease.id);
    op.io.wait_for(op.io.after(WAIT), LOOK, || found().is_some()).await;
    found()
}

/// Ten less than the last transfer wrote, under its name.
async fn rob(op: OpIo) -> Done {
    let last = || {
        let world = op.world.borrow();
        let done = world.transfers.iter().rev().find(|one| one.said == TransferSaid::Done);
        done.map(|transfer| transfer.to.clone())
    };
    op.io.wait_for(op.io.after(WAIT), LOOK, || last().is_some()).await;
    let Some((account, held)) = last() else { return skip("no transfer was done") };
    let node = live_primary(&op, 0)?;
    let robbed = Entry { balance: held.balance - 10, ..held };
    ask::<Txn>(&op, node, api::TXN, &json!({"success": [teller::put(account, &robbed)]}), COMMAND_TIMEOUT)
        .await?;
    op.step(format!("account {account} holds {} and not {}", robbed.balance, robbed.balance + 10));
    Ok(())
}

/// Just kept alive, so that the holder means to look again before it lets go.
async fn revoke(op: OpIo) -> Done {
    let renewed = |lease: &Lease| {
        lease.calls.last().is_some_and(|call| {
            call.ask == LeaseAsk::KeepAlive
                && matches!(call.said, LeaseSaid::For(left) if left >= Millis(2000))
        }) && !lease.has(LeaseAsk::Revoke, |_| true)
    };
    let Some(id) = lease(&op, renewed).await else { return skip("no lease was kept alive") };
    let node = live_primary(&op, 0)?;
    ask::<Answer>(&op, node, api::LEASE_REVOKE, &json!({"ID": id.to_string()}), COMMAND_TIMEOUT).await?;
    op.step(format!("lease {id} is revoked behind its holder's back"));
    Ok(())
}

async fn keep(op: OpIo) -> Done {
    let node = live_primary(&op, 0)?;
    let until = op.io.after(KEEP);
    let mut kept = 0;
    while op.io.now() < until {
        let abandoned: Vec<i64> = {
            let world = op.world.borrow();
            let let_go = world.leases.iter().filter(|lease| lease.ending == Ending::Abandon);
            let there = let_go.filter(|lease| !lease.has(LeaseAsk::Read, |said| *said == LeaseSaid::Keys(0)));
            there.map(|lease| lease.id).collect()
        };
        for id in abandoned {
            let deadline = op.io.after(COMMAND_TIMEOUT);
            let conn = op.io.open(node, deadline).await.map_err(|error| error.to_string())?;
            let body = json!({"ID": id.to_string()});
            let left: Result<Remaining, _> =
                api::call_stream(&conn, api::LEASE_KEEP_ALIVE, &body, deadline).await;
            kept += u64::from(left.is_ok_and(|left| left.seconds > 0));
        }
        op.io.sleep(KEEP_EVERY).await;
    }
    op.step(format!("{kept} times a lease was kept alive behind its holder's back"));
    if kept == 0 { skip("no lease was abandoned") } else { Ok(()) }
}

async fn grant_again(op: OpIo) -> Done {
    let node = live_primary(&op, 0)?;
    let over = |lease: &Lease| {
        lease.calls.last().is_some_and(|call| call.ask == LeaseAsk::Revoke && call.said == LeaseSaid::Done)
    };
    let Some(id) = lease(&op, over).await else { return skip("no lease was revoked") };
    let body = api::grant(id, AGAIN_SECONDS);
    ask::<Remaining>(&op, node, api::LEASE_GRANT, &body, COMMAND_TIMEOUT).await?;
    op.step(format!("lease {id} is granted again behind its holder's back"));
    Ok(())
}
