//! Real servers as processes on the loopback interface, in real time.
//!
//! One thread and one poll(2): sockets of the clients, descriptors of the processes, the logs as they grow.
//! Each node has a folder with its configuration, its log and how it ended; one block of ports belongs to the
//! run. Whatever is started is written to `heals.jsonl` first, and the kernel is asked to kill it when we die,
//! so that nothing outlives the run in whatever way it ends (see [`heals`] and [`cage`]).
//!
//! What an action is answered with was read back from the kernel. Logical time follows the wall clock and
//! waits for us where we are late (see [`clock`]).
//!
//! What nodes stand on is a [`ground`]: the loopback interface here, namespaces and a switch in [`super::live`].

pub mod cage;
pub mod clock;
mod connection;
pub mod doctor;
pub(in crate::env) mod flip;
pub(in crate::env) mod folder;
pub(in crate::env) mod ground;
pub mod heals;
mod node;
mod ports;
pub mod proc;
pub mod resources;
pub(in crate::env) mod tail;
pub mod wall;

#[cfg(test)]
mod tests;

use super::{
    ActorId, ConnId, Effect, Env, EnvError, Input, NetworkTold, NodeAction, NodeId, NodeSpec, Observed,
    Profile, Step, Trouble, Why,
};
use crate::catalogue::MessageType;
use crate::fault::disk::{Blow, Calls};
use crate::fault::kill::Signal as Fatal;
use crate::fault::resource::ResourceRule;
use crate::time::Micros;
use clock::Clock;
use connection::Connection;
use folder::{Folder, Place, fill};
use ground::{Ground, Loopback};
use heals::{GONE_MAX, Heal, Heals};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use node::{Attempt, Node, Process};
use ports::Ports;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use wall::Wall;

/// What a command line names where the run decides which binary it is.
const SERVER: &str = "{server}";
/// The one event that may limit a node's memory, for the environment that has limits without names.
const MEMORY: &str = "memory";
/// Logs are read this often.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// An action that is not yet in force is looked at this often.
const RETRY_EVERY: Duration = Duration::from_millis(2);
/// Log read at most, of one node, when its process has ended: `CHUNK`s.
const LAST_CHUNKS: usize = 64;

/// How a run wants its processes.
#[derive(Debug, Default)]
pub struct Options {
    /// The folder `nodes` of the run folder: each node's folder is made in it, `heals.jsonl` beside it.
    pub dir: PathBuf,
    /// The first port, if it can be had.
    pub base_port: Option<u16>,
    /// Readable when the user wants to stop (see [`cage::interrupts`]); closed by the other side counts too.
    pub interrupt: Option<OwnedFd>,
    /// The binary that stands for `{server}` at the front of a command line.
    pub server: Option<PathBuf>,
    /// Leave the nodes' data behind, with their configuration and logs.
    pub keep_data: bool,
    /// Write what crosses the network into the run folder, where the environment carries it.
    pub pcap: bool,
    /// The calls to disks that rules may be about, where the environment can watch them.
    pub calls: Calls,
    /// Whether nodes may lose what they have not synced, where the environment can take it from them.
    pub power: bool,
    /// Whether nodes have names, which may fail to resolve, where the environment can tell them.
    pub names: bool,
}

/// See the module's page.
#[derive(Debug)]
pub struct ProcessesEnv {
    dir: PathBuf,
    server: Option<PathBuf>,
    keep_data: bool,
    interrupt: Option<OwnedFd>,
    ground: Box<dyn Ground>,
    heals: Heals,
    notes: Vec<String>,
    began: Instant,
    clock: Clock,
    nodes: BTreeMap<NodeId, Node>,
    connections: BTreeMap<ConnId, Connection>,
    pending: Vec<Pending>,
    /// What arrived and was not given out yet.
    arrived: Vec<(ActorId, Input)>,
    looked: Duration,
    closed: bool,
}

/// An action that was submitted and not yet answered.
#[derive(Debug)]
struct Pending {
    who: ActorId,
    node: NodeId,
    action: NodeAction,
    /// When it was first attempted.
    since: Option<Duration>,
    answer: Option<Input>,
}

impl ProcessesEnv {
    /// On the loopback interface.
    pub fn new(options: Options) -> Result<Self, EnvError> {
        let mut notes = Vec::new();
        let ports = Ports::take(options.base_port, &mut notes).ok_or_else(|| EnvError::Failed {
            what: "reserving ports".into(),
            why: "every block of ports is in use".into(),
        })?;
        let mut env = Self::on(Box::new(Loopback(ports)), options)?;
        env.notes = notes;
        Ok(env)
    }

    pub(in crate::env) fn on(ground: Box<dyn Ground>, options: Options) -> Result<Self, EnvError> {
        let failed = |what: &str, why: String| EnvError::Failed { what: what.into(), why };
        let dir = std::path::absolute(&options.dir)
            .and_then(|dir| fs::create_dir_all(&dir).map(|()| dir))
            .map_err(|error| failed("making the nodes' folder", error.to_string()))?;
        let run = dir.parent().unwrap_or(&dir);
        let heals = Heals::open(run).map_err(|error| failed("opening heals.jsonl", error.to_string()))?;
        #[expect(clippy::disallowed_methods, reason = "this environment is the border: it owns the clock")]
        let began = Instant::now();
        Ok(Self {
            dir,
            server: options.server,
            keep_data: options.keep_data,
            interrupt: options.interrupt,
            ground,
            heals,
            notes: Vec::new(),
            began,
            clock: Clock::default(),
            nodes: BTreeMap::new(),
            connections: BTreeMap::new(),
            pending: Vec::new(),
            arrived: Vec::new(),
            looked: Duration::ZERO,
            closed: false,
        })
    }

    /// Where a node listens for clients, whether or not it was created yet.
    pub fn address(&self, node: NodeId) -> Option<(String, u16)> {
        self.ground.spot(node).map(|spot| (spot.address.to_string(), spot.port))
    }

    /// Has a command run where a node's processes do.
    pub fn beside(&mut self, node: NodeId, command: &mut Command) -> std::io::Result<()> {
        self.ground.place(node, &self.dir.join(node.to_string()), command)
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn create(&mut self, id: NodeId, spec: &NodeSpec) -> Attempt {
        let failed = |why: String| EnvError::Failed { what: format!("creating {id}"), why };
        if self.nodes.contains_key(&id) {
            return Err(failed("it is there already".into()));
        }
        let Some(spot) = self.ground.spot(id) else {
            return Err(failed("a run has no room for so many nodes".into()));
        };
        self.ground.settle(id).map_err(failed)?;
        self.ground.is_free(spot).map_err(failed)?;
        let place = |node: NodeId| {
            let spot = self.ground.spot(node)?;
            let (port, bus_port) = (spot.port, spot.bus_port);
            let address = spot.address.to_string();
            Some(Place { dir: self.dir.join(node.to_string()), address, port, bus_port })
        };
        let filled = |text: &String| fill(text, id, &place).map_err(failed);
        let mut argv = spec.argv.iter().map(filled).collect::<Result<Vec<_>, _>>()?;
        if let Some(server) = &self.server {
            for argument in argv.iter_mut().filter(|argument| *argument == SERVER) {
                *argument = server.to_string_lossy().into_owned();
            }
        }
        let file = |(name, text)| Ok((String::clone(name), filled(text)?));
        let files = spec.files.iter().map(file).collect::<Result<_, _>>()?;
        let spec = NodeSpec { argv, files, ..spec.clone() };
        let folder = Folder::create(&self.dir, id, &spec)?;
        let wall = self.ground.has_clocks().then(Wall::new).transpose();
        let wall = wall.map_err(|error| failed(format!("its clock: {error}")))?;
        self.nodes.insert(id, Node::new(id, spec, folder, spot, wall));
        Ok(Some(format!("{}:{}", spot.address, spot.port)))
    }

    /// What a node finds at its next start is a copy of another's.
    fn adopt(&mut self, id: NodeId, owner: NodeId) -> Attempt {
        let Some(node) = self.nodes.remove(&id) else { return Err(EnvError::NotRunning { node: id }) };
        let lent = match self.nodes.get_mut(&owner) {
            _ if node.process.is_some() => Err(EnvError::AlreadyRunning { node: id }),
            Some(owner) => owner.lend(&node.folder, &node.spec),
            None => Err(EnvError::NotRunning { node: owner }),
        };
        self.nodes.insert(id, node);
        lent
    }

    fn attempt(&mut self, id: NodeId, action: &NodeAction, waited: Option<Duration>) -> Attempt {
        if let NodeAction::Create(spec) = action {
            return self.create(id, spec);
        }
        if let NodeAction::Adopt(owner) = action {
            return self.adopt(id, *owner);
        }
        let now = self.clock.now();
        let Some(node) = self.nodes.get_mut(&id) else { return Err(EnvError::NotRunning { node: id }) };
        let so_far = waited.unwrap_or_default();
        match action {
            NodeAction::Start(data) => {
                let evidence = node.start(*data, so_far, now, self.ground.as_mut(), &mut self.heals)?;
                if let (Some(_), Some(process)) = (&evidence, &node.process) {
                    let (incarnation, pid) = (process.incarnation, process.pid as u32);
                    let started = Observed::Started { node: id, incarnation, pid };
                    self.arrived.push((ActorId::EXECUTOR, Input::Observed(started)));
                }
                Ok(evidence)
            }
            NodeAction::Signal(signal) => node.signal(*signal, waited),
            NodeAction::Pause => node.pause(so_far, self.ground.keeps(id)),
            NodeAction::Resume => {
                self.ground.release(id);
                node.resume(so_far)
            }
            NodeAction::KeepCopy => node.keep_copy(),
            NodeAction::Create(_) | NodeAction::Adopt(_) => unreachable!("handled above"),
            NodeAction::Clock { ahead, behind, rate } => node.set_clock((*ahead, *behind), *rate),
            NodeAction::Disk(event, rule) => {
                let runs = node.process.as_ref().is_some_and(Process::is_running);
                self.ground.disk(id, event, rule.as_ref(), runs, waited)
            }
            NodeAction::Reach(to, traffic) => self.ground.reach(id, *to, *traffic, waited),
            NodeAction::Knock(to, traffic) => self.ground.knock(id, *to, *traffic).map(Some),
            NodeAction::Unheard(to, traffic) => self.ground.unheard(id, *to, *traffic).map(Some),
            NodeAction::Names(event, rule) => self.ground.names(id, event, rule.as_ref(), waited),
            NodeAction::Resource(event, rule) => {
                node.resource(event, rule.as_ref(), waited, self.ground.crowd())
            }
            NodeAction::Memory(room) => {
                let rule = room.map(|room| ResourceRule::Data { room });
                node.resource(MEMORY, rule.as_ref(), waited, None)
            }
            NodeAction::PowerLoss(event, flushed) => {
                if waited.is_none() {
                    self.ground.cut_power(id, event, *flushed)?;
                }
                match node.signal(Fatal::Kill, waited)? {
                    Some(_) => self.ground.lost(id).map(Some),
                    None => Ok(None),
                }
            }
            NodeAction::Remove(data) => match node.folder.remove_under(*data, &node.spec) {
                Ok(count) => Ok(Some(format!("{count} files of {id} are gone"))),
                Err(error) => Err(node.failed("removing the files of", error.to_string())),
            },
            NodeAction::Flip(flip) => flip::flip(&node.folder, flip)
                .map(Some)
                .map_err(|error| node.failed("flipping a bit on the disk of", error.to_string())),
        }
    }

    /// Attempts what was submitted. Actions on one node follow one another; answers to one actor come in the
    /// order in which it asked.
    fn act(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        let mut busy = BTreeSet::new();
        for item in pending.iter_mut().filter(|item| item.answer.is_none()) {
            if busy.contains(&item.node) {
                continue;
            }
            let elapsed = self.elapsed();
            let waited = item.since.map(|since| elapsed.saturating_sub(since));
            item.since.get_or_insert(elapsed);
            match self.attempt(item.node, &item.action, waited) {
                Ok(Some(evidence)) => item.answer = Some(Input::Applied(Ok(evidence))),
                // It does nothing to the node that others would have to wait for.
                Ok(None) if matches!(item.action, NodeAction::Reach(..)) => {}
                Ok(None) => drop(busy.insert(item.node)),
                Err(error) => item.answer = Some(Input::Applied(Err(error))),
            }
        }
        let mut waiting = BTreeSet::new();
        for mut item in pending {
            match item.answer.take() {
                Some(answer) if !waiting.contains(&item.who) => self.arrived.push((item.who, answer)),
                answer => {
                    waiting.insert(item.who);
                    self.pending.push(Pending { answer, ..item });
                }
            }
        }
    }

    /// Waits for any descriptor, at most so long, and takes what is there.
    fn wait(&mut self, at_most: Duration) -> bool {
        let running: Vec<_> = self.nodes.values().filter_map(|node| node.process.as_ref()).collect();
        let exits = running.iter().filter_map(|process| process.end_fd());
        let mut fds: Vec<PollFd> = exits.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
        let exits = fds.len();
        let ids: Vec<ConnId> = self.connections.keys().copied().collect();
        fds.extend(self.connections.values().map(|c| PollFd::new(c.fd(), c.interest())));
        fds.extend(self.ground.told().into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(self.interrupt.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        // Interrupted by a signal: the next turn asks again.
        let ready = ppoll(&mut fds, Some(TimeSpec::from_duration(at_most)), None).unwrap_or(0);
        let is_ready = |fd: &PollFd| fd.any().unwrap_or(true);
        let ended = ready > 0 && fds[..exits].iter().any(is_ready);
        let interrupted = ready > 0 && self.interrupt.is_some() && fds.last().is_some_and(is_ready);
        let talking: Vec<ConnId> = if ready == 0 {
            Vec::new()
        } else {
            ids.into_iter().zip(&fds[exits..]).filter(|(_, fd)| is_ready(fd)).map(|(id, _)| id).collect()
        };
        drop(fds);
        for id in talking {
            self.take(id);
        }
        self.look(ended);
        interrupted && self.drain_interrupt()
    }

    fn take(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let owner = connection.owner;
        let turn = connection.turn();
        if turn.opened {
            self.arrived.push((owner, Input::Opened(id)));
        }
        if !turn.bytes.is_empty() {
            self.arrived.push((owner, Input::Bytes(id, turn.bytes)));
        }
        if let Some(why) = turn.closed {
            self.connections.remove(&id);
            self.arrived.push((owner, Input::Closed(id, why)));
        }
    }

    /// Logs and ends of processes. A process's last lines come before its end.
    fn look(&mut self, ended: bool) {
        let elapsed = self.elapsed();
        let due = elapsed.saturating_sub(self.looked) >= LOOK_EVERY;
        if due {
            self.looked = elapsed;
        }
        let now = self.clock.now();
        let mut arrived = Vec::new();
        for node in self.nodes.values_mut().filter(|_| due || ended) {
            let id = node.id;
            let struck = node.look().into_iter().map(|(event, what)| Observed::Struck {
                node: id,
                event,
                blow: Some(Blow::Kill),
                what,
            });
            arrived.extend(struck);
            let gone = node.reap(now);
            let mut lines = Vec::new();
            if due || gone.is_some() {
                let chunks = if gone.is_some() { LAST_CHUNKS } else { 1 };
                // A log that cannot be read now is read at the next look.
                let _ = (0..chunks).find(|_| !node.tail.lines(&mut lines).unwrap_or(false));
            }
            if gone.is_some() {
                node.tail.last_words(&mut lines);
            }
            let power = gone.and_then(|(incarnation, _)| self.ground.ended(id, incarnation));
            let said = lines.into_iter().map(|line| Observed::Log { node: id, line });
            let exited = gone.map(|(incarnation, exit)| Observed::Exited { node: id, incarnation, exit });
            arrived.extend(said.chain(power).chain(exited));
        }
        // What ended a node was seen before its end was.
        let seen = self.ground.take_observed().into_iter().chain(arrived);
        self.arrived.extend(seen.map(|seen| (ActorId::EXECUTOR, Input::Observed(seen))));
    }

    /// Each request to stop is told once. A closed pipe is told once and then forgotten.
    fn drain_interrupt(&mut self) -> bool {
        let Some(fd) = &self.interrupt else { return false };
        let mut bytes = [0; 4096];
        match nix::unistd::read(fd, &mut bytes) {
            Ok(0) => self.interrupt = None,
            Ok(_) => {}
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return false,
            Err(_) => self.interrupt = None,
        }
        true
    }

    /// Kills what is left and waits for it, at most [`GONE_MAX`]. Answers what would not go.
    fn end_all(&mut self) -> Vec<NodeId> {
        let until = self.elapsed() + GONE_MAX;
        loop {
            let now = self.clock.now();
            for node in self.nodes.values_mut() {
                node.kill();
                node.reap(now);
            }
            let left: Vec<NodeId> =
                self.nodes.values().filter(|node| node.process.is_some()).map(|node| node.id).collect();
            if left.is_empty() || self.elapsed() > until {
                return left;
            }
            std::thread::sleep(RETRY_EVERY);
        }
    }
}

impl Env for ProcessesEnv {
    fn profile(&self) -> &'static Profile {
        self.ground.profile()
    }

    fn now(&self) -> Micros {
        self.clock.now()
    }

    fn wall(&self) -> Micros {
        Micros(self.elapsed().as_micros() as u64)
    }

    fn endpoint(&self, node: NodeId) -> Option<(String, u16)> {
        self.nodes.get(&node).map(|node| (node.spot.address.to_string(), node.spot.port))
    }

    fn submit(&mut self, who: ActorId, effect: Effect) {
        let is_client = matches!(effect, Effect::OpenAsClient(..));
        match effect {
            Effect::Open(id, node) | Effect::OpenAsClient(id, node) => {
                assert!(!self.connections.contains_key(&id), "{id:?} was opened twice");
                let near = if is_client { self.ground.clients() } else { None };
                let begun = match self.nodes.get(&node) {
                    Some(known) => {
                        Connection::begin(who, near, SocketAddrV4::new(known.spot.address, known.spot.port))
                    }
                    None => Err(Why::Refused),
                };
                match begun {
                    Ok(connection) => drop(self.connections.insert(id, connection)),
                    Err(why) => self.arrived.push((who, Input::Closed(id, why))),
                }
            }
            Effect::Send(id, bytes) => {
                // An error shows again, after what was received before it, when the socket is next looked at.
                let _ = self.connections.get_mut(&id).and_then(|connection| connection.send(&bytes));
            }
            Effect::Close(id) => {
                self.connections.remove(&id);
                self.arrived.retain(|(_, input)| !is_about(input, id));
            }
            Effect::Node(node, action) => {
                self.pending.push(Pending { who, node, action, since: None, answer: None });
            }
            Effect::Link(from, to, rules) => {
                let applied = self.ground.link(from, to, rules);
                self.arrived.push((who, Input::Applied(applied)));
            }
            Effect::Reset(one, other, traffic) => {
                let applied = self.ground.reset(one, other, traffic);
                self.arrived.push((who, Input::Applied(applied)));
            }
            Effect::Forget(node, other, traffic, silent) => {
                let applied = self.ground.forget(node, other, traffic, silent);
                self.arrived.push((who, Input::Applied(applied)));
            }
            Effect::Recall(node, other) => {
                let applied = self.ground.recall(node, other);
                self.arrived.push((who, Input::Applied(applied)));
            }
            Effect::Hold(event, hold) => {
                let applied = self.ground.hold(event, hold);
                self.arrived.push((who, Input::Applied(applied)));
            }
            Effect::Strike(event, strike) => {
                let applied = self.ground.strike(event, strike);
                self.arrived.push((who, Input::Applied(applied)));
            }
        }
    }

    fn step(&mut self, until: Micros, out: &mut Vec<(Micros, ActorId, Input)>) -> Step {
        let mut held = self.clock.advance(self.wall(), until);
        loop {
            self.act();
            let left = Duration::from_micros(self.clock.wait(self.wall(), until).0);
            if self.arrived.is_empty() && self.pending.is_empty() && !left.is_zero() {
                self.ground.answered();
            }
            let mut at_most = if self.arrived.is_empty() && held.is_none() { left } else { Duration::ZERO };
            if !self.pending.is_empty() {
                at_most = at_most.min(RETRY_EVERY);
            }
            if self.nodes.values().any(|node| node.process.is_some()) {
                let next_look = (self.looked + LOOK_EVERY).saturating_sub(self.elapsed());
                at_most = at_most.min(next_look);
            }
            let interrupted = self.wait(at_most);
            let late = self.clock.advance(self.wall(), until);
            held = match (held, late) {
                (Some(one), Some(other)) => Some(one.saturating_add(other)),
                (one, other) => one.or(other),
            };
            let now = self.clock.now();
            if !interrupted && self.arrived.is_empty() && held.is_none() && now < until {
                continue;
            }
            if let Some(by) = held {
                let why = format!("work due at {until} was delivered {by} late");
                let stretched = Observed::Stretched { by, why };
                out.push((now, ActorId::EXECUTOR, Input::Observed(stretched)));
            }
            out.extend(self.arrived.drain(..).map(|(who, input)| (now, who, input)));
            return if interrupted { Step::Interrupted } else { Step::Going };
        }
    }

    fn watch_messages(&mut self, kinds: &[MessageType]) {
        self.ground.watch_messages(kinds);
    }

    fn network(&self) -> Option<&NetworkTold> {
        self.ground.network()
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn trouble(&self) -> Option<&Trouble> {
        self.ground.trouble()
    }

    fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.connections.clear();
        self.pending.clear();
        let left = self.end_all();
        if left.is_empty() {
            // Without the mark, the next start looks once more and finds nothing.
            let _ = self.heals.write(&Heal::Complete);
        }
        for node in self.nodes.values().filter(|node| !self.keep_data && !left.contains(&node.id)) {
            if let Err(error) = node.folder.drop_data(&node.spec) {
                self.notes.push(format!("data of {} stays in {}: {error}", node.id, node.path().display()));
            }
        }
        self.notes.extend(left.iter().map(|node| format!("{node} would not end")));
        self.notes.extend(self.ground.close());
    }
}

pub(in crate::env) fn is_about(input: &Input, connection: ConnId) -> bool {
    match input {
        Input::Opened(id) | Input::Bytes(id, _) | Input::Closed(id, _) => *id == connection,
        _ => false,
    }
}

impl Drop for ProcessesEnv {
    fn drop(&mut self) {
        self.close();
    }
}
