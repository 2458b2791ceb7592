//! The quota of space (<https://etcd.io/docs/v3.4/op-guide/maintenance/>, 'Space quota'): a store that would outgrow it
//! raises an alarm in the whole group, which takes deletions alone from then on, until somebody has made room and
//! disarmed it. And copies of a whole store.

use super::api::{self, Alarm, Alarms, Done as Answer, Piece};
use super::http::{self, Part};
use super::operations::{AGAIN, ask, compact_to, revision, write_anew};
use crate::env::NodeId;
use crate::run::operation::{COMMAND_TIMEOUT, OpIo};
use crate::target::group::JOIN_TIMEOUT;
use crate::target::hands::{Done, Stop, fail, live, live_primary, retry, skip};
use crate::target::operation::{ExceedQuota, Snapshot};
use crate::time::Millis;
use serde_json::json;
use sha2::{Digest, Sha256};

/// What a server says whose quota is used up.
const NO_SPACE: &str = "database space exceeded";
const FILL: &str = "seedfault/fill/";
const FILL_BYTES: usize = 128 * 1024;
/// A larger quota is not filled: it would take most of a run.
const QUOTA_MAX: usize = 64 << 20;
/// How long a copy of a store may take, and a single piece of it.
const SNAPSHOT_TIMEOUT: Millis = Millis(30_000);
/// A copy ends with the SHA-256 of what comes before (`Snapshot` in `etcdserver/api/v3rpc/maintenance.go`), and all before
/// that is pages of this many bytes.
const DIGEST_BYTES: usize = 32;
const PAGE_BYTES: usize = 512;

/// Writes until the group says that there is no space, waits, and makes room.
pub async fn exceed(op: OpIo, fields: ExceedQuota) -> Done {
    let quota = {
        let world = op.world.borrow();
        world
            .timeline
            .cluster
            .settings
            .0
            .get("quota-backend-bytes")
            .and_then(|text| text.parse::<usize>().ok())
    };
    let quota = match quota {
        Some(quota) if quota > 0 && quota <= QUOTA_MAX => quota,
        _ => return skip(format!("`quota-backend-bytes` is not set, or to more than {QUOTA_MAX}")),
    };
    let value = api::encoded(&"x".repeat(FILL_BYTES));
    let mut written = 0;
    let refused = loop {
        // What is overwritten takes space too.
        if written > 2 * quota / FILL_BYTES + 8 {
            return fail(format!(
                "{written} values of {FILL_BYTES} bytes were written beyond a quota of {quota}"
            ));
        }
        let leader = live_primary(&op, 0)?;
        let body = json!({"key": api::encoded(&format!("{FILL}{written}")), "value": value});
        match ask::<Answer>(&op, leader, api::PUT, &body, COMMAND_TIMEOUT).await {
            Ok(_) => written += 1,
            Err(why) if why.contains(NO_SPACE) => break why,
            Err(why) => return leave(&op, why).await,
        }
    };
    op.step(format!("{written} values of {FILL_BYTES} bytes are written; then {refused}"));
    let raised = retry(&op, op.io.after(COMMAND_TIMEOUT), AGAIN, async || {
        let leader = live_primary(&op, 0).map_err(|_| "no leader".to_string())?;
        let raised = alarms(&op, leader).await?;
        if raised.is_empty() { Err("no alarm is raised".into()) } else { Ok(raised) }
    });
    for Alarm { member_id, alarm } in raised.await? {
        op.step(format!("alarm {alarm} of the member {}", api::hex(member_id)));
    }
    op.io.sleep(fields.hold).await;
    make_room(&op).await
}

/// What was written goes all the same when it did not come to the end.
async fn leave(op: &OpIo, why: String) -> Done {
    make_room(op).await?;
    fail(why)
}

async fn alarms(op: &OpIo, node: NodeId) -> Result<Vec<Alarm>, String> {
    Ok(ask::<Alarms>(op, node, api::ALARM, &json!({"action": "GET"}), COMMAND_TIMEOUT).await?.alarms)
}

/// Deletes what filled the store, compacts, writes every store anew, disarms the alarm, and sees that writes go on; again
/// until they do, since a store gives space back only after its own compaction is through.
async fn make_room(op: &OpIo) -> Done {
    let deadline = op.io.after(JOIN_TIMEOUT);
    retry(op, deadline, AGAIN, async || once(op).await).await.map_err(Stop::Fail)?;
    op.step("the alarm is disarmed, and a write is taken");
    Ok(())
}

async fn once(op: &OpIo) -> Result<(), String> {
    let leader = live_primary(op, 0).map_err(|_| "no leader".to_string())?;
    let body = json!({"key": api::encoded(FILL), "range_end": api::encoded("seedfault/fill0")});
    ask::<Answer>(op, leader, api::DELETE, &body, COMMAND_TIMEOUT).await?;
    let now = revision(op, leader).await?;
    if let Err(Stop::Fail(why)) = compact_to(op, leader, now, true).await {
        return Err(why);
    }
    let live = op.world.borrow().live();
    for node in live {
        write_anew(op, node).await?;
    }
    for alarm in alarms(op, leader).await? {
        let body =
            json!({"action": "DEACTIVATE", "memberID": alarm.member_id.to_string(), "alarm": alarm.alarm});
        ask::<Answer>(op, leader, api::ALARM, &body, COMMAND_TIMEOUT).await?;
    }
    let body = json!({"key": api::encoded(FILL), "value": api::encoded("room")});
    ask::<Answer>(op, leader, api::PUT, &body, COMMAND_TIMEOUT).await?;
    match alarms(op, leader).await?.first() {
        None => Ok(()),
        Some(alarm) => Err(format!("the alarm {} is raised again", alarm.alarm)),
    }
}

/// An alarm that is still raised when all is over: a group never takes it back by itself.
pub async fn mend(op: &OpIo) {
    let Ok(leader) = live_primary(op, 0) else { return };
    if alarms(op, leader).await.is_ok_and(|raised| !raised.is_empty())
        && let Err(Stop::Fail(why) | Stop::Skip(why)) = make_room(op).await
    {
        op.step(format!("the alarm could not be disarmed: {why}"));
    }
}

/// Fetches a copy of a store, piece by piece, and looks whether it is whole.
pub async fn snapshot(op: OpIo, fields: Snapshot) -> Done {
    let node = live(&op, &fields.node)?;
    op.resolved(node);
    let deadline = op.io.after(SNAPSHOT_TIMEOUT);
    let copy = async {
        let conn = op.io.open(node, deadline).await.map_err(|error| error.to_string())?;
        conn.send_bytes(http::post(api::SNAPSHOT, "{}"));
        let (mut begun, mut rest, mut copy, mut left) = (false, Vec::new(), Vec::new(), None);
        loop {
            match conn
                .read(deadline, |bytes| http::part(begun, bytes))
                .await
                .map_err(|error| error.to_string())?
            {
                Part::Head(200) => begun = true,
                Part::Head(status) => return Err(format!("HTTP status {status}")),
                Part::End => return Ok((copy, left)),
                Part::Chunk(bytes) => rest.extend_from_slice(&bytes),
            }
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if !line.trim_ascii().is_empty() {
                    let piece: Piece = api::streamed(&line).map_err(|error| error.to_string())?;
                    copy.extend_from_slice(&piece.blob);
                    left = Some(piece.remaining_bytes);
                }
            }
        }
    };
    let (copy, left): (Vec<u8>, Option<u64>) = copy.await.map_err(|why: String| format!("{node}: {why}"))?;
    let (store, digest) = copy.split_at(copy.len().saturating_sub(DIGEST_BYTES));
    if left != Some(0) || store.is_empty() || store.len() % PAGE_BYTES != 0 {
        return fail(format!("{node} sent {} bytes of a store and said that {left:?} are left", copy.len()));
    }
    if Sha256::digest(store).as_slice() != digest {
        return fail(format!("{node} sent a store of {} bytes whose digest is another", store.len()));
    }
    op.detail(format!("{} bytes of {node}, with their digest", store.len()));
    Ok(())
}
