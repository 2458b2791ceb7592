//! What the servers say of their ensemble, as a cluster of one shard: the leader is its primary and owns every slot, the
//! epoch of transactions is the epoch, the last transaction the offset.
//!
//! A server says how it serves and whom it takes for members, not whom it follows. A follower is shown with the leader of
//! the newest epoch that answers at the same look; it serves only once that one has brought it up to date. Who leads tells
//! its epoch itself; anybody else is in the newest one that it was seen in, for it may not have a transaction of it yet, and
//! tells none while it looks for a leader.

use super::client::{self, SESSION_MS, create};
use super::code::Code;
use super::provision::{node_of, server_id};
use super::session::Session;
use super::talk::{Lost, Talk, said};
use super::wire::{ANY_VERSION, Request};
use super::words::{self, Mode, Told, epoch};
use crate::env::NodeId;
use crate::history::Key;
use crate::run::probe::Look;
use crate::run::record::{KeyDump, SlotAnswer};
use crate::run::rest::untold;
use crate::run::task::{CallError, Conn, Io, LocalRef};
use crate::run::view::{ClusterView, Member, NodeReport, NodeView, Replication};
use crate::run::world::{Shared, World};
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The last slot there is.
const LAST_SLOT: u16 = 16383;
/// How long a server may take to answer what is asked of an ensemble at rest.
const READ_TIMEOUT: Millis = Millis(5000);
/// The node that is written to see whether an ensemble takes writes.
const PROBE_PATH: &str = "/seedfault";
/// Reads sent at once to one server.
const BATCH: usize = 128;
/// How often a server is asked for all that it holds, and how long after it failed to tell.
const TRIES: usize = 3;
const AGAIN: Millis = Millis(500);

/// The newest epoch that each server was seen in, by whoever looked.
pub type Seen = Rc<RefCell<BTreeMap<NodeId, u64>>>;

/// Asks all servers at once. A word takes a connection.
#[derive(Debug)]
pub struct Prober {
    io: Io,
    world: Shared,
    seen: Seen,
}

/// One server's own word: how it serves, and the numbers of the members.
type Word = (Told, Vec<u64>);

impl Look for Prober {
    fn look(&mut self, timeout: Millis) -> LocalRef<'_, ClusterView> {
        Box::pin(self.ask_all(timeout))
    }
}

impl Prober {
    pub fn new(io: Io, world: Shared, seen: Seen) -> Self {
        Self { io, world, seen }
    }

    async fn ask_all(&mut self, timeout: Millis) -> ClusterView {
        let deadline = self.io.after(timeout);
        let nodes = self.world.borrow().members();
        let asked: Vec<(NodeId, Conn, Conn)> = nodes
            .into_iter()
            .map(|node| {
                let ask = |word: &[u8]| {
                    let conn = self.io.open_now(node);
                    conn.send_bytes(word.to_vec());
                    conn
                };
                (node, ask(words::SRVR), ask(words::CONF))
            })
            .collect();
        let mut heard = Vec::with_capacity(asked.len());
        for (node, standing, members) in asked {
            let word = read(&standing, &members, deadline).await;
            heard.push((node, self.io.now(), word));
        }
        ClusterView { at: self.io.now(), nodes: views(heard, &mut self.seen.borrow_mut()) }
    }
}

async fn read(standing: &Conn, members: &Conn, deadline: Micros) -> Result<Word, String> {
    let why = |error: CallError| match error {
        CallError::Timeout => "no answer in time".to_string(),
        error => error.to_string(),
    };
    let told = words::srvr(&said(standing, deadline).await.map_err(why)?)?;
    let members = match told {
        // It knows them, and does not tell while it serves nobody.
        Told::Looks => Vec::new(),
        Told::Serves(_) => words::members(&said(members, deadline).await.map_err(why)?),
    };
    Ok((told, members.into_iter().map(|(number, _)| number).collect()))
}

/// The words of all servers as reports.
fn views(
    heard: Vec<(NodeId, Micros, Result<Word, String>)>,
    seen: &mut BTreeMap<NodeId, u64>,
) -> Vec<NodeView> {
    let leads = |(node, _, word): &(NodeId, Micros, Result<Word, String>)| match word {
        Ok((Told::Serves(standing), _)) if standing.mode == Mode::Leader => {
            Some((epoch(standing.zxid), server_id(*node)))
        }
        _ => None,
    };
    let leader = heard.iter().filter_map(leads).max();
    heard
        .into_iter()
        .map(|(node, at, word)| {
            let mut report = word.map(|word| report(node, word, leader));
            if let Ok(report) = &mut report {
                let newest = seen.entry(node).or_default();
                *newest = report.current_epoch.max(*newest);
                if report.replication.role != Role::Primary {
                    report.current_epoch = *newest;
                }
            }
            NodeView { node, at, report }
        })
        .collect()
}

fn id(number: u64) -> String {
    format!("server.{number}")
}

fn report(node: NodeId, (told, members): Word, newest: Option<(u64, u64)>) -> NodeReport {
    let me = server_id(node);
    let (serves, leads, zxid) = match &told {
        Told::Serves(standing) => (true, standing.mode == Mode::Leader, standing.zxid),
        Told::Looks => (false, false, 0),
    };
    // Who leads is its own leader; who looks for one has none.
    let leader = if leads { Some((epoch(zxid), me)) } else { newest.filter(|_| serves) };
    let led = leader.map_or(0, |(epoch, _)| epoch);
    let role = |number: u64| match leader {
        Some((_, leader)) if leader == number => Role::Primary,
        _ => Role::Replica,
    };
    let listed = if members.is_empty() { vec![me] } else { members };
    let members = listed
        .into_iter()
        .map(|number| Member {
            id: id(number),
            node: node_of(number),
            role: role(number),
            primary: leader.filter(|(_, leader)| *leader != number).map(|(_, leader)| id(leader)),
            myself: number == me,
            fail: false,
            maybe_fail: false,
            handshake: false,
            noaddr: false,
            config_epoch: led,
            link_up: true,
            slots: if role(number) == Role::Primary { vec![(0, LAST_SLOT)] } else { Vec::new() },
            migrating: Vec::new(),
            importing: Vec::new(),
        })
        .collect();
    NodeReport {
        id: id(me),
        state: if serves { "ok" } else { "fail" }.into(),
        current_epoch: led.max(epoch(zxid)),
        members,
        replication: Replication {
            role: role(me),
            link_up: serves,
            sync_in_progress: false,
            // An epoch begins without a transaction of its own.
            offset: zxid.unsigned_abs().max(if serves { led << 32 } else { 0 }),
            replication_id: "ensemble".into(),
            last_io_s: None,
            link_down_s: None,
        },
    }
}

/// What keeps an ensemble from being as it should be; empty when nothing does.
pub fn amiss(view: &ClusterView, world: &World) -> Vec<String> {
    let live: BTreeSet<NodeId> = world.live().into_iter().collect();
    let mut amiss = Vec::new();
    let mut first: Option<(NodeId, &NodeReport)> = None;
    let mut leaders = Vec::new();
    for node in view.nodes.iter().filter(|node| live.contains(&node.node)) {
        let report = match &node.report {
            Ok(report) => report,
            Err(why) => {
                amiss.push(format!("{} does not answer: {why}", node.node));
                continue;
            }
        };
        if report.state != "ok" {
            amiss.push(format!("{} serves nobody: it looks for a leader", node.node));
            continue;
        }
        if report.myself().is_none() {
            amiss.push(format!("{} is no member by its own list", node.node));
        }
        if report.replication.role == Role::Primary {
            leaders.push(node.node);
        }
        let Some((other, before)) = first else {
            first = Some((node.node, report));
            continue;
        };
        let known = |report: &NodeReport| report.members.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
        if known(before) != known(report) {
            amiss.push(format!("{other} and {} know different members", node.node));
        }
    }
    match leaders[..] {
        [] => amiss.push("nobody says that it leads".into()),
        [_] => {}
        _ => amiss.push(format!(
            "{} say that they lead",
            leaders.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
        )),
    }
    amiss
}

/// The server that leads by its own word, in the newest epoch.
fn leader(view: &ClusterView) -> Option<NodeId> {
    let leads = |report: &NodeReport| report.replication.role == Role::Primary;
    let all = view.answered().filter(|(_, report)| leads(report));
    all.max_by_key(|(_, report)| report.current_epoch).map(|(node, _)| node)
}

/// Whether a write through the leader is acknowledged: it owns all there is.
pub async fn serves(io: Io, _world: Shared, view: ClusterView) -> Vec<SlotAnswer> {
    let owner = leader(&view);
    let answer = match owner {
        None => Err("nobody says that it leads".into()),
        Some(node) => written(&io, node).await.map_err(|lost| lost.to_string()),
    };
    vec![SlotAnswer { first: 0, last: LAST_SLOT, owner, answer }]
}

async fn written(io: &Io, node: NodeId) -> Result<(), Lost> {
    let deadline = io.after(READ_TIMEOUT);
    let mut talk =
        Talk::open(io, node, Session::new(SESSION_MS), deadline).await.map_err(|(_, lost)| lost)?;
    let set = Request::SetData { path: PROBE_PATH.into(), data: Vec::new(), version: ANY_VERSION };
    match talk.ask(set, deadline).await {
        Err(Lost::Refused(Code::NO_NODE)) => {
            talk.ask(create(PROBE_PATH.into(), Vec::new()), deadline).await?;
        }
        other => drop(other?),
    }
    talk.ask(Request::CloseSession, deadline).await.map(drop)
}

/// What every server itself holds of every key that the clients touched.
pub async fn holds(io: Io, world: Shared, view: ClusterView) -> Vec<KeyDump> {
    let owner = leader(&view);
    let (mut dumps, load) =
        (untold(&world, "nobody says that it leads"), world.borrow().timeline.load.clone());
    let wanted: Vec<(Key, String)> =
        dumps.iter().map(|dump| (dump.key, client::path(&dump.key, &load))).collect();
    for (node, _) in view.answered() {
        let mut held = everything(&io, node, &wanted, load.value_bytes).await;
        for _ in 1..TRIES {
            if held.is_ok() {
                break;
            }
            // A session may be lost on a busy machine; what the server holds is there all the same.
            io.sleep(AGAIN).await;
            held = everything(&io, node, &wanted, load.value_bytes).await;
        }
        for (place, dump) in dumps.iter_mut().enumerate() {
            let value = match &held {
                Ok(all) => all[place].clone(),
                Err(why) => Err(format!("{node}: {why}")),
            };
            if owner == Some(node) {
                dump.value = value;
            } else {
                dump.replicas.push((node, value));
            }
        }
    }
    dumps
}

/// These keys as this server has them: a read asks nobody else.
async fn everything(
    io: &Io,
    node: NodeId,
    wanted: &[(Key, String)],
    value_bytes: u32,
) -> Result<Vec<Result<crate::history::Value, String>>, Lost> {
    let mut deadline = io.after(READ_TIMEOUT);
    let mut talk =
        Talk::open(io, node, Session::new(SESSION_MS), deadline).await.map_err(|(_, lost)| lost)?;
    let mut all = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(BATCH) {
        deadline = io.after(READ_TIMEOUT);
        let asked: Vec<i32> =
            some.iter().map(|(key, path)| talk.send(client::read_request(key.kind, path.clone()))).collect();
        for (xid, (key, _)) in asked.into_iter().zip(some) {
            let found = match talk.answer(xid, deadline).await {
                Ok((answer, _)) => Some(answer),
                Err(Lost::Refused(Code::NO_NODE)) => None,
                Err(lost) => return Err(lost),
            };
            all.push(client::value(key.kind, found.as_ref(), value_bytes));
        }
    }
    talk.ask(Request::CloseSession, deadline).await?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::zookeeper::words::Standing;

    fn word(mode: Mode, zxid: i64, members: &[u64]) -> Result<Word, String> {
        let standing = Standing {
            mode,
            version: "3.8.0".into(),
            zxid,
            outstanding: 0,
            nodes: 5,
            sessions: None,
            synced_followers: None,
        };
        Ok((Told::Serves(standing), members.to_vec()))
    }

    fn look(words: Vec<Result<Word, String>>) -> ClusterView {
        let heard = (0u16..).map(NodeId).zip(words).map(|(node, word)| (node, Micros(7), word)).collect();
        ClusterView { at: Micros(7), nodes: views(heard, &mut [(NodeId(2), 1)].into()) }
    }

    #[test]
    fn an_ensemble_is_seen_as_one_shard_whose_primary_leads() {
        let all = [1, 2, 3];
        let view = look(vec![
            word(Mode::Follower, 0, &all),
            word(Mode::Leader, 2 << 32, &all),
            word(Mode::Follower, (1 << 32) + 9, &all),
        ]);
        assert_eq!(leader(&view), Some(NodeId(1)));
        for (_, report) in view.answered() {
            assert_eq!((report.current_epoch, report.replication.offset), (2, 2 << 32));
            let roles: Vec<Role> = report.members.iter().map(|m| m.role).collect();
            assert_eq!(roles, [Role::Replica, Role::Primary, Role::Replica]);
            assert_eq!(report.members[2].primary.as_deref(), Some("server.2"));
        }
    }

    #[test]
    fn a_leader_that_was_replaced_is_told_by_its_epoch_and_who_looks_has_no_leader() {
        let all = [1, 2, 3];
        let view = look(vec![
            word(Mode::Leader, (1 << 32) + 5, &all),
            word(Mode::Leader, (2 << 32) + 1, &all),
            Ok((Told::Looks, Vec::new())),
        ]);
        assert_eq!(leader(&view), Some(NodeId(1)));
        let old = view.report(NodeId(0)).expect("it answered");
        assert_eq!((old.current_epoch, old.replication.role), (1, Role::Primary));
        let looking = view.report(NodeId(2)).expect("it answered");
        assert_eq!((looking.state.as_str(), looking.replication.link_up), ("fail", false));
        assert_eq!(looking.current_epoch, 1, "it was seen there");
        assert_eq!(looking.myself().map(|me| me.role), Some(Role::Replica));
    }
}
