//! A run that stands still at a turn, for whoever wants to look: all nodes are parked, and can be looked into by a
//! debugger; asked, they answer by turns of their own; then the run goes on.
//!
//! Between this process and the command line lie three files of the run folder: [`STANDING`] says where the run
//! stands and how to look, each [`ASK`] is answered by an [`ANSWER`], and an empty one lets the run go on.

use super::ExactEnv;
use crate::env::{ActorId, ConnId, Input, NodeId};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

pub const STANDING: &str = "standing.txt";
pub const ASK: &str = "ask";
pub const ANSWER: &str = "answer";

/// How often the folder is looked into.
const LOOK_EVERY_MS: u16 = 50;
/// Who asks: no actor of a run has this number, and no connection those from here on.
const CONSOLE: ActorId = ActorId(u32::MAX);
const CONNECTIONS: u64 = u64::MAX / 2;
/// Virtual time that an answer may take, and that it is taken to be complete after.
const ANSWER_MAX_US: u64 = 2_000_000;
const QUIET_US: u64 = 20_000;

/// Where a run is to stand still.
#[derive(Debug)]
pub struct Stop {
    /// After so many turns of all nodes together.
    pub turn: u64,
    /// The run folder.
    pub folder: PathBuf,
    /// Becomes readable when the run is to end; it is left to whoever reads it.
    pub requests: OwnedFd,
}

impl Stop {
    /// Waits a moment; whether the run is to end.
    fn is_over(&self) -> bool {
        let mut fds = [PollFd::new(self.requests.as_fd(), PollFlags::POLLIN)];
        !matches!(poll(&mut fds, LOOK_EVERY_MS), Ok(0) | Err(Errno::EINTR))
    }
}

impl ExactEnv {
    /// Stands still if this is the turn, until it is told to go on.
    pub(super) fn stand(&mut self) {
        let Some(stop) = self.stop.take_if(|stop| stop.turn <= self.turns) else { return };
        let told = fs::write(stop.folder.join(STANDING), self.standing());
        if told.is_err() {
            // Nobody would know that it stands.
            return;
        }
        let (ask, answer) = (stop.folder.join(ASK), stop.folder.join(ANSWER));
        for count in 0.. {
            let question = loop {
                match fs::read_to_string(&ask) {
                    // It is renamed to there when it is whole, so that no half of it is read.
                    Ok(text) => break text,
                    Err(_) if stop.is_over() => return,
                    Err(_) => {}
                }
            };
            // The next one is to be seen.
            let _ = fs::remove_file(&ask);
            if question.trim().is_empty() {
                return;
            }
            let text = self.ask(question.trim(), CONNECTIONS + count);
            let half = stop.folder.join("answer.half");
            if fs::write(&half, text).and_then(|()| fs::rename(&half, &answer)).is_err() {
                return;
            }
        }
    }

    /// Where the run stands and how each node is looked into.
    fn standing(&self) -> String {
        let mut text =
            format!("the run stands at turn {}, at {} ms of virtual time\n", self.turns, self.now / 1000);
        for process in self.processes.values().filter(|process| !process.gone) {
            let what = if process.parent.is_some() { "a forked child" } else { "the server" };
            let _ = writeln!(text, "  {}, {what}: gdb -p {}", process.node, process.kernel_pid);
        }
        text
    }

    /// Sends a node a command (`node-2 CLUSTER NODES`) and lets turns pass until it has answered.
    fn ask(&mut self, question: &str, connection: u64) -> String {
        let (node, command) = question.split_once(' ').unwrap_or((question, ""));
        let id = node.strip_prefix("node-").and_then(|number| number.parse().ok()).map(NodeId);
        let Some((id, node)) = id.and_then(|id| Some((id, self.nodes.get(&id)?))) else {
            return format!("there is no {node}; ask `node-0 INFO server`\n");
        };
        let (port, connection) = (node.port, ConnId(connection));
        self.network.open(self.now, CONSOLE, connection, id, (super::LOOPBACK, port));
        self.network.send(self.now, connection, format!("{command}\r\n").into_bytes());
        let (mut said, limit) = (Vec::new(), self.now + ANSWER_MAX_US);
        let mut quiet_at = limit;
        while self.now < quiet_at {
            self.carry_news();
            let (mine, others): (VecDeque<_>, _) =
                std::mem::take(&mut self.arrived).into_iter().partition(|(who, _)| *who == CONSOLE);
            self.arrived = others;
            for (_, input) in mine {
                match input {
                    Input::Bytes(_, bytes) => {
                        said.extend(bytes);
                        quiet_at = limit.min(self.now + QUIET_US);
                    }
                    Input::Closed(..) => quiet_at = self.now,
                    _ => {}
                }
            }
            self.advance(quiet_at);
        }
        self.network.close(self.now, connection);
        if said.is_empty() {
            "it does not answer\n".into()
        } else {
            String::from_utf8_lossy(&said).into_owned()
        }
    }
}
