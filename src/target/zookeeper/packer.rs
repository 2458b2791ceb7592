//! A client that makes nodes which the leader removes by itself: containers, and nodes with a time to live.
//!
//! It makes a few at once, changes some of them before their time is over, puts children into others and takes them out
//! again, and looks at all of them by reads behind a `sync` until they are gone, and twice more. All that is by one session,
//! which goes from server to server: by what it has seen, no server tells it of an older state. Where the session is
//! no more, its nodes are left and others are made.

use super::client::{SESSION_MS, create};
use super::code::Code;
use super::session::{Session as State, Stage};
use super::talk::{Lost, Talk};
use super::wire::{ANY_VERSION, Acl, Answer, CreateMode, Request, Stat};
use super::worker::{ANSWER, Epochs, Worker};
use crate::history::{Removable, RemovableAct, RemovableAsk, RemovableSaid, Standing};
use crate::run::task::Io;
use crate::run::world::Shared;
use crate::target::CONTAINER_CHECK_MS;
use crate::time::{Micros, Millis};

/// Where the nodes are.
const HALL: &str = "/removed";
/// How many are made at once.
const NODES: u64 = 6;
/// Between two looks at the same node.
const PACE: Millis = Millis(120);
/// The times to live, in milliseconds.
const TTLS: [u64; 2] = [1000, 2000];
/// How long a node that has to go is looked at.
const PATIENCE: Millis = Millis(6000);
/// How often a node that has gone is looked at again.
const AGAIN: u32 = 2;

/// A node that is looked after.
struct Packed {
    path: String,
    /// Where it is in the record.
    place: usize,
    /// What is still to be done, and when, the next one last.
    steps: Vec<(Micros, RemovableAsk)>,
    until: Micros,
    looks: u32,
}

/// What is done to a node, in milliseconds from its creation.
fn steps(ttl: Option<u64>, draw: u64) -> Vec<(u64, RemovableAsk)> {
    use RemovableAsk::{AddChild, DeleteChild, Touch};
    // Longer than a leader takes to come round.
    let round = CONTAINER_CHECK_MS * 3 / 2;
    match (ttl, draw % 2) {
        // Changed in time, so that it is there for longer than its time to live and a round of the leader.
        (Some(ttl), 0) => (1..=4).map(|turn| (turn * ttl * 2 / 5, Touch)).collect(),
        (Some(ttl), _) => vec![(ttl / 4, AddChild(0)), (ttl + round, DeleteChild(0))],
        (None, 0) => vec![(round, AddChild(0)), (2 * round, DeleteChild(0))],
        (None, _) => {
            vec![(200, AddChild(0)), (400, AddChild(1)), (600, DeleteChild(0)), (600 + round, DeleteChild(1))]
        }
    }
}

struct Packer {
    me: Worker,
    /// The session while it has no connection.
    state: State,
    nodes: Vec<Packed>,
    round: u64,
}

/// Makes nodes for as long as there is load.
pub async fn pack(io: Io, world: Shared, number: u32, epochs: Epochs) {
    let me = Worker::new(io, world, "containers", number, epochs);
    let mut packer = Packer { me, state: State::new(SESSION_MS), nodes: Vec::new(), round: 0 };
    while !packer.me.stopped() {
        packer.stay().await;
        packer.me.go_on();
        packer.me.io.sleep(PACE).await;
    }
}

impl Packer {
    /// Stays on one server for a while.
    async fn stay(&mut self) {
        let node = self.me.next();
        let state = std::mem::replace(&mut self.state, State::new(SESSION_MS));
        let mut talk = match self.me.open(node, state).await {
            Ok(talk) => talk,
            Err((state, _)) => return self.keep(state),
        };
        if self.turns(&mut talk).await.is_err() {
            self.me.avoid(node);
        }
        self.keep(talk.part());
    }

    fn keep(&mut self, state: State) {
        if state.stage == Stage::Apart {
            self.state = state;
        } else {
            // A new session may be told of a state before these.
            self.nodes.clear();
        }
    }

    async fn turns(&mut self, talk: &mut Talk) -> Result<(), Lost> {
        loop {
            if self.nodes.is_empty() {
                self.make(talk).await?;
            }
            let mut came = Ok(());
            for mut node in std::mem::take(&mut self.nodes) {
                if came.is_ok() {
                    came = self.turn(talk, &mut node).await;
                }
                if node.looks <= AGAIN && self.me.io.now() < node.until {
                    self.nodes.push(node);
                }
            }
            came?;
            self.round += 1;
            if self.me.stopped() || self.me.word("move", self.round).is_multiple_of(12) {
                return Ok(());
            }
            self.me.io.sleep(PACE).await;
        }
    }

    /// Makes some of each kind.
    async fn make(&mut self, talk: &mut Talk) -> Result<(), Lost> {
        match talk.ask(create(HALL.into(), Vec::new()), self.me.io.after(ANSWER)).await {
            Ok(_) | Err(Lost::Refused(Code::NODE_EXISTS)) => {}
            Err(lost) => return Err(lost),
        }
        self.me.count += 1;
        for place in 0..NODES {
            let draw = self.me.word("node", place);
            let ttl = (place % 2 == 0).then(|| TTLS[(draw / 2 % TTLS.len() as u64) as usize]);
            let path = format!("{HALL}/c{}.{}.{place}", self.me.number, self.me.count);
            let at = {
                let mut world = self.me.world.borrow_mut();
                let (client, path) = (self.me.number, path.clone());
                world.removables.push(Removable { client, path, ttl: ttl.map(Millis), acts: Vec::new() });
                world.removables.len() - 1
            };
            let mode =
                ttl.map_or(CreateMode::Container, |ttl| CreateMode::Ttl(i64::try_from(ttl).expect("short")));
            let acl = vec![Acl::everybody(Acl::ALL)];
            let request = Request::Create { path: path.clone(), data: Vec::new(), acl, mode };
            // One of which it is not known whether it was made is left alone.
            if !self.ask(talk, at, RemovableAsk::Create, request).await? {
                continue;
            }
            let now = self.me.io.now();
            let steps: Vec<_> = steps(ttl, draw).into_iter().rev().collect();
            let last = steps.first().map_or(0, |(after, _)| *after) + ttl.unwrap_or(0);
            self.nodes.push(Packed {
                path,
                place: at,
                steps: steps.into_iter().map(|(after, ask)| (now.plus(Millis(after)), ask)).collect(),
                until: now.plus(Millis(last).saturating_add(PATIENCE)),
                looks: 0,
            });
        }
        Ok(())
    }

    /// Does what is due, and looks.
    async fn turn(&mut self, talk: &mut Talk, node: &mut Packed) -> Result<(), Lost> {
        let now = self.me.io.now();
        if let Some((_, ask)) = node.steps.last().copied().filter(|(due, _)| *due <= now) {
            let child = |number: u32| format!("{}/{number}", node.path);
            let request = match ask {
                RemovableAsk::AddChild(number) => create(child(number), Vec::new()),
                RemovableAsk::DeleteChild(number) => {
                    Request::Delete { path: child(number), version: ANY_VERSION }
                }
                _ => Request::SetData { path: node.path.clone(), data: b"on".to_vec(), version: ANY_VERSION },
            };
            // What has no answer is asked once more.
            self.ask(talk, node.place, ask, request).await?;
            node.steps.pop();
        }
        let look = Request::Exists { path: node.path.clone(), watch: false };
        let there = self.ask(talk, node.place, RemovableAsk::Look, look).await?;
        node.looks += u32::from(!there);
        Ok(())
    }

    /// Asks, and takes down what came of it; whether it was done.
    async fn ask(
        &self,
        talk: &mut Talk,
        place: usize,
        ask: RemovableAsk,
        request: Request,
    ) -> Result<bool, Lost> {
        let deadline = self.me.io.after(ANSWER);
        let sent = self.me.stamp();
        let looks = ask == RemovableAsk::Look;
        let synced = looks.then(|| talk.send(Request::Sync { path: HALL.into() }));
        let asked = talk.send(request);
        let behind = match synced {
            Some(sync) => talk.answered(sync, deadline).await.map(|(answer, _)| answer.is_ok()),
            None => Ok(true),
        };
        let answer = match behind {
            Ok(fresh) => talk.answered(asked, deadline).await.map(|(answer, zxid)| (answer, zxid, fresh)),
            Err(lost) => Err(lost),
        };
        let back = self.me.stamp();
        let said = match &answer {
            Err(lost) => RemovableSaid::Unknown(lost.to_string()),
            Ok((answer, zxid, fresh)) => {
                self.me.epochs.heard(*zxid);
                let old = !fresh || self.me.epochs.newer_than(*zxid).is_some();
                said(ask, answer, *zxid, old && looks)
            }
        };
        let done = matches!(said, RemovableSaid::Stands(_) | RemovableSaid::Done);
        let unclear = matches!(&said, RemovableSaid::Unknown(_));
        let act = RemovableAct { ask, node: talk.node(), sent, back, said };
        self.me.world.borrow_mut().removables[place].acts.push(act);
        match answer {
            Err(lost) => Err(lost),
            // The session has moved or is no more, or the server could not.
            Ok((Err(code), ..)) if unclear => Err(Lost::Refused(code)),
            // A look that told nothing missed nothing.
            Ok(_) => Ok(done || unclear),
        }
    }
}

fn said(ask: RemovableAsk, answer: &Result<Answer, Code>, as_of: i64, old: bool) -> RemovableSaid {
    match (ask, answer) {
        (_, Err(Code::NO_NODE)) => RemovableSaid::Gone,
        // One that exists was made by a request without an answer.
        (RemovableAsk::AddChild(_), Ok(_) | Err(Code::NODE_EXISTS))
        | (RemovableAsk::DeleteChild(_), Ok(_)) => RemovableSaid::Done,
        (_, Ok(_)) if old => RemovableSaid::Unknown("of an older state".into()),
        (_, Ok(answer)) => answer.stat().map_or_else(
            || RemovableSaid::Unknown("an answer without what the node is told of itself".into()),
            |stat| RemovableSaid::Stands(standing(stat, as_of)),
        ),
        (_, Err(code)) => RemovableSaid::Unknown(code.to_string()),
    }
}

fn standing(stat: &Stat, as_of: i64) -> Standing {
    Standing {
        as_of,
        modified_zxid: stat.modified_zxid,
        modified_ms: stat.modified_ms,
        children_zxid: stat.children_zxid,
        children_version: stat.children_version,
        children: stat.children,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_changed_in_time_and_every_child_is_taken_out_again() {
        for ttl in TTLS {
            let touched = steps(Some(ttl), 0);
            let gaps = touched.windows(2).map(|pair| pair[1].0 - pair[0].0);
            assert!(gaps.chain([touched[0].0]).all(|gap| gap * 2 < ttl), "{touched:?}");
            assert!(touched.last().is_some_and(|(at, _)| *at > ttl), "it outlives its first time");
        }
        for (ttl, draw) in [(Some(1000), 1), (None, 0), (None, 1)] {
            let steps = steps(ttl, draw);
            assert!(steps.is_sorted_by_key(|(at, _)| *at), "{steps:?}");
            let children: Vec<u32> = steps
                .iter()
                .filter_map(|(_, ask)| if let RemovableAsk::AddChild(n) = ask { Some(*n) } else { None })
                .collect();
            for child in children {
                assert!(steps.iter().any(|(_, ask)| *ask == RemovableAsk::DeleteChild(child)), "{steps:?}");
            }
        }
    }

    #[test]
    fn an_answer_of_an_older_state_shows_no_node_that_stands() {
        let stat = Answer::Stat(Stat::default());
        let look = |answer, old| said(RemovableAsk::Look, &answer, 7, old);
        assert!(matches!(look(Ok(stat.clone()), false), RemovableSaid::Stands(_)));
        assert!(matches!(look(Ok(stat), true), RemovableSaid::Unknown(_)));
        assert_eq!(look(Err(Code::NO_NODE), true), RemovableSaid::Gone);
        let child = said(RemovableAsk::AddChild(0), &Err(Code::NODE_EXISTS), 7, false);
        assert_eq!(child, RemovableSaid::Done);
    }
}
