//! The simulation: the embedded target's nodes in virtual time that jumps from event to event.
//!
//! One queue holds all that is to happen, in the order of time and then of entry; nothing here waits, and
//! nothing is drawn from a shared stream: a packet's latency, its loss, a disk's speed are keyed hashes of
//! (timeline key, purpose, place, count) through [`Entropy::word`], so that leaving an event out of a timeline
//! disturbs no unrelated choice. Two runs of one timeline give the same inputs in the same order, to the bit.
//!
//! What belongs to a node's process (its memory, its connections) ends with it; its disks stay here.

mod links;
mod queue;

use super::{
    ActorId, ConnId, Effect, Env, EnvError, Exit, Input, NodeAction, NodeId, Observed, Profile, SIM, Step,
    Why,
};
use crate::entropy::Entropy;
use crate::fault::kill::Signal;
use crate::fault::restart::RestartData;
use crate::target::embedded::bugs::Bugs;
use crate::target::embedded::node::{Disks, Node, Out, TICK_US};
use crate::target::embedded::placement::{ADDRESS, Shape};
use crate::target::embedded::session::Packet;
use crate::time::Micros;
use crate::timeline::Timeline;
use links::Links;
use queue::Queue;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Once;

/// The port of node 0 where the timeline wishes for none.
const PORT_DEFAULT: u16 = 7000;
/// How long a process takes to start, and to end in order.
const START_US: u64 = 2_000;
const SHUTDOWN_US: u64 = 5_000;
/// A sync takes this and up to [`SYNC_US_MORE`] more.
const SYNC_US: u64 = 100;
const SYNC_US_MORE: u64 = 600;
/// A sync under the bug `lose_unsynced_log`.
const SYNC_US_LATE: u64 = 500_000;
/// What a client's bytes take one way, and up to how much more; the same for all bytes of one connection.
const CLIENT_US: u64 = 60;
const CLIENT_US_MORE: u64 = 200;

/// What is to happen.
#[derive(Debug)]
enum Event {
    Tick {
        node: u16,
        incarnation: u32,
    },
    Packet {
        from: u16,
        to: u16,
        packet: Packet,
    },
    Synced {
        node: u16,
        incarnation: u32,
    },
    Boot {
        node: u16,
    },
    /// A process that was asked to end has ended.
    Gone {
        node: u16,
        incarnation: u32,
    },
    ClientOpen {
        connection: u64,
    },
    ClientBytes {
        connection: u64,
        bytes: Vec<u8>,
    },
    ClientClose {
        connection: u64,
    },
    /// For an actor.
    Tell {
        actor: ActorId,
        input: Input,
    },
    /// For the actor of a connection, while it is open.
    Answer {
        connection: u64,
        input: Input,
    },
}

/// A node as the environment sees it.
#[derive(Debug)]
struct Host {
    disks: Disks,
    process: Option<Node>,
    incarnation: u32,
    starting: bool,
    paused: bool,
    ending: bool,
    /// What came while the process was stopped, in order.
    backlog: Vec<Event>,
    clock: Clock,
    syncs: u64,
}

/// A node's clock: a straight line since it was last set.
#[derive(Clone, Copy, Debug)]
struct Clock {
    set_at: u64,
    shown: u64,
    rate: u64,
}

impl Clock {
    fn at(&self, now: u64) -> u64 {
        self.shown + (now - self.set_at) * self.rate / 100
    }
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    actor: ActorId,
    node: u16,
    latency: u64,
    /// The process that accepted it.
    incarnation: u32,
}

#[derive(Debug)]
pub struct SimEnv {
    key: Entropy,
    shape: Rc<Shape>,
    hosts: Vec<Host>,
    links: Links,
    connections: BTreeMap<u64, Connection>,
    queue: Queue<Event>,
    now: u64,
    events: u64,
    ticks: u64,
    outs: Vec<Out>,
}

impl SimEnv {
    /// The cluster of this timeline, its nodes created and none started.
    ///
    /// # Panics
    /// On a bug that has no such name: the timeline's reader refuses those.
    pub fn new(timeline: &Timeline) -> Self {
        keep_crashes_quiet();
        let key = timeline.environment_key().child("sim");
        let cluster = &timeline.cluster;
        let bugs = Bugs::from_names(timeline.bugs.iter().map(String::as_str)).expect("bugs were validated");
        let nodes = cluster.nodes();
        assert!(nodes <= 64, "suspicions are kept in the bits of a word");
        let id = |node: u16| {
            let word = |part| key.word("node id", u64::from(node), part);
            format!("{:016x}{:016x}{:08x}", word(0), word(1), word(2) as u32)
        };
        let base = cluster.base_port.unwrap_or(PORT_DEFAULT);
        let ports = (0..nodes).map(|node| base + node).collect();
        let password = (cluster.password || cluster.acl_user).then(|| "seedfault".to_string());
        let shape = Rc::new(Shape::new(cluster, bugs, (0..nodes).map(id).collect(), ports, password));
        let host = |node| Host {
            disks: Disks::new(&shape, node),
            process: None,
            incarnation: 0,
            starting: false,
            paused: false,
            ending: false,
            backlog: Vec::new(),
            clock: Clock { set_at: 0, shown: 1_000_000, rate: 100 },
            syncs: 0,
        };
        Self {
            hosts: (0..nodes).map(host).collect(),
            links: Links::new(key, nodes),
            connections: BTreeMap::new(),
            queue: Queue::default(),
            now: 0,
            events: 0,
            ticks: 0,
            outs: Vec::new(),
            key,
            shape,
        }
    }

    /// How many events and how many node ticks have been simulated: for the benchmark.
    pub fn counts(&self) -> (u64, u64) {
        (self.events, self.ticks)
    }

    fn tell(&mut self, actor: ActorId, input: Input) {
        self.queue.push(self.now, Event::Tell { actor, input });
    }

    fn observe(&mut self, observed: Observed) {
        self.tell(ActorId::EXECUTOR, Input::Observed(observed));
    }

    fn act(&mut self, node: NodeId, action: NodeAction) -> Result<String, EnvError> {
        let Some(host) = self.hosts.get_mut(usize::from(node.0)) else {
            return Err(EnvError::Unable {
                what: format!("add {node}: members of a consensus group never change"),
            });
        };
        match action {
            NodeAction::Create(_) => Ok("in memory".into()),
            NodeAction::Start(data) => {
                if host.process.is_some() || host.starting {
                    return Err(EnvError::AlreadyRunning { node });
                }
                if data != RestartData::Kept && host.incarnation > 0 {
                    let what =
                        format!("start {node} with {data} data: a voter that forgets voids every promise");
                    return Err(EnvError::Unable { what });
                }
                host.incarnation += 1;
                host.starting = true;
                let incarnation = host.incarnation;
                self.queue.push(self.now + START_US, Event::Boot { node: node.0 });
                Ok(format!("pid {}", pid(node.0, incarnation)))
            }
            NodeAction::Signal(signal) => {
                if host.process.is_none() || host.ending && signal != Signal::Kill {
                    return Err(EnvError::NotRunning { node });
                }
                let number = match signal {
                    Signal::Kill => 9,
                    Signal::Abrt => 6,
                    Signal::Segv => 11,
                    // Ignored, as Redis does.
                    Signal::Hup => return Ok("ignored".into()),
                    Signal::Term | Signal::Int => {
                        host.ending = true;
                        let event = Event::Gone { node: node.0, incarnation: host.incarnation };
                        if host.paused {
                            host.backlog.push(event);
                        } else {
                            self.queue.push(self.now + SHUTDOWN_US, event);
                            let line = "User requested shutdown...".into();
                            self.observe(Observed::Log { node, line });
                        }
                        return Ok("asked to end".into());
                    }
                };
                self.end(node.0, Exit::Signal(number));
                Ok(format!("ended by signal {number}"))
            }
            NodeAction::Pause => {
                if host.process.is_none() {
                    return Err(EnvError::NotRunning { node });
                }
                host.paused = true;
                Ok("stopped".into())
            }
            NodeAction::Resume => {
                if host.process.is_none() {
                    return Err(EnvError::NotRunning { node });
                }
                host.paused = false;
                for event in std::mem::take(&mut host.backlog) {
                    self.queue.push(self.now, event);
                }
                Ok("running".into())
            }
            NodeAction::KeepCopy => {
                let what = "use an older copy of a voter's log: it voids every promise".into();
                Err(EnvError::Unable { what })
            }
            NodeAction::Disk(..)
            | NodeAction::PowerLoss(..)
            | NodeAction::Flip(_)
            | NodeAction::Remove(_)
            | NodeAction::Adopt(_)
            | NodeAction::Names(..)
            | NodeAction::Memory(_)
            | NodeAction::Reach(..)
            | NodeAction::Knock(..)
            | NodeAction::Unheard(..)
            | NodeAction::Resource(..) => Err(EnvError::Unable {
                what: "strike a node's disk, power, memory or other resources".into(),
            }),
            NodeAction::Clock { behind, .. } if !behind.is_zero() => {
                Err(EnvError::Unable { what: "turn back a clock that only goes forward".into() })
            }
            NodeAction::Clock { ahead, rate, .. } => {
                let shown = host.clock.at(self.now) + ahead.micros().0;
                host.clock = Clock { set_at: self.now, shown, rate: u64::from(rate.max(1)) };
                Ok(format!("{ahead} ahead, {rate} per cent"))
            }
        }
    }

    /// A process ends: its memory is gone, its disks keep what was synced, its clients see a reset.
    fn end(&mut self, node: u16, exit: Exit) {
        let host = &mut self.hosts[usize::from(node)];
        let Some(mut process) = host.process.take() else { return };
        process.end(&mut host.disks, matches!(exit, Exit::Code(_)));
        (host.paused, host.ending) = (false, false);
        host.backlog.clear();
        let incarnation = host.incarnation;
        let gone: Vec<(u64, Connection)> = self
            .connections
            .iter()
            .filter(|(_, open)| open.node == node && open.incarnation == incarnation)
            .map(|(id, open)| (*id, *open))
            .collect();
        for (connection, open) in gone {
            let input = Input::Closed(ConnId(connection), Why::Reset("connection reset by peer".into()));
            self.queue.push(self.now + open.latency, Event::Answer { connection, input });
        }
        self.observe(Observed::Exited { node: NodeId(node), incarnation, exit });
    }

    fn happen(&mut self, event: Event, out: &mut Vec<(Micros, ActorId, Input)>) {
        self.events += 1;
        match event {
            Event::Tell { actor, input } => out.push((Micros(self.now), actor, input)),
            Event::Answer { connection, input } => {
                if let Some(open) = self.connections.get(&connection) {
                    out.push((Micros(self.now), open.actor, input.clone()));
                    if matches!(input, Input::Closed(..)) {
                        self.connections.remove(&connection);
                    }
                }
            }
            Event::Boot { node } => self.boot(node),
            Event::Gone { node, incarnation } => {
                if self.hosts[usize::from(node)].incarnation == incarnation {
                    self.observe(Observed::Log {
                        node: NodeId(node),
                        line: "ready to exit, bye bye...".into(),
                    });
                    self.end(node, Exit::Code(0));
                }
            }
            Event::Tick { node, incarnation } => {
                let host = &self.hosts[usize::from(node)];
                if host.incarnation == incarnation && host.process.is_some() {
                    let after = TICK_US * 100 / host.clock.rate;
                    self.queue.push(self.now + after, Event::Tick { node, incarnation });
                    if !host.paused {
                        self.ticks += 1;
                        self.drive(node, Node::tick);
                    }
                }
            }
            Event::Synced { node, incarnation } => {
                let host = &mut self.hosts[usize::from(node)];
                if host.incarnation != incarnation {
                } else if host.paused {
                    host.backlog.push(event);
                } else {
                    self.drive(node, Node::synced);
                }
            }
            Event::Packet { from, to, packet } => {
                let host = &mut self.hosts[usize::from(to)];
                if host.paused {
                    host.backlog.push(Event::Packet { from, to, packet });
                } else {
                    self.drive(to, |process, now| process.packet(now, from, &packet));
                }
            }
            Event::ClientOpen { connection } => self.client_open(connection),
            Event::ClientBytes { connection, bytes } => {
                if let Some(node) = self.accepted_by(connection) {
                    let host = &mut self.hosts[usize::from(node)];
                    if host.paused {
                        host.backlog.push(Event::ClientBytes { connection, bytes });
                    } else {
                        self.drive(node, |process, now| process.client_bytes(now, connection, &bytes));
                    }
                }
            }
            Event::ClientClose { connection } => {
                if let Some(open) = self.connections.remove(&connection) {
                    let host = &mut self.hosts[usize::from(open.node)];
                    if let (true, Some(process)) = (host.incarnation == open.incarnation, &mut host.process) {
                        process.client_closed(connection);
                    }
                }
            }
        }
    }

    /// The node whose process accepted this connection, while that process lives.
    fn accepted_by(&self, connection: u64) -> Option<u16> {
        let open = self.connections.get(&connection)?;
        let host = &self.hosts[usize::from(open.node)];
        (host.process.is_some() && host.incarnation == open.incarnation).then_some(open.node)
    }

    fn client_open(&mut self, connection: u64) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        let host = &mut self.hosts[usize::from(open.node)];
        let latency = open.latency;
        let input = match &mut host.process {
            Some(process) => {
                open.incarnation = host.incarnation;
                // The kernel accepts for a stopped process too.
                process.client_opened(connection);
                Input::Opened(ConnId(connection))
            }
            None => Input::Closed(ConnId(connection), Why::Refused),
        };
        self.queue.push(self.now + latency, Event::Answer { connection, input });
    }

    fn boot(&mut self, node: u16) {
        let host = &mut self.hosts[usize::from(node)];
        host.starting = false;
        let (incarnation, shown) = (host.incarnation, host.clock.at(self.now));
        host.process = Some(Node::start(self.shape.clone(), &host.disks, node, incarnation, shown));
        let started = Observed::Started { node: NodeId(node), incarnation, pid: pid(node, incarnation) };
        self.observe(started);
        // Ticks of different nodes fall on different moments.
        let first = self.key.word("first tick", u64::from(node), u64::from(incarnation)) % TICK_US;
        self.queue.push(self.now + first, Event::Tick { node, incarnation });
        self.drive(node, |_, _| {});
    }

    /// Lets a process do something and carries out what comes of it. A panic in it is its crash.
    fn drive(&mut self, node: u16, work: impl FnOnce(&mut Node, u64)) {
        let host = &mut self.hosts[usize::from(node)];
        let shown = host.clock.at(self.now);
        let Some(process) = &mut host.process else { return };
        let mut outs = std::mem::take(&mut self.outs);
        let panicked = IN_A_NODE.with(|inside| {
            inside.set(true);
            let done = catch_unwind(AssertUnwindSafe(|| {
                work(process, shown);
                process.take(&mut outs);
            }));
            inside.set(false);
            done.err()
        });
        let incarnation = host.incarnation;
        let mut aborted = panicked.map(|what| {
            let text = what.downcast_ref::<&str>().map(ToString::to_string);
            text.or_else(|| what.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".into())
        });
        for out in outs.drain(..) {
            match out {
                Out::Packet(to, packet) => {
                    for at in self.links.carry(self.now, node, to) {
                        let Some(at) = at else { continue };
                        self.queue.push(at, Event::Packet { from: node, to, packet: packet.clone() });
                    }
                }
                Out::Reply(connection, bytes) => {
                    if let Some(open) = self.connections.get(&connection) {
                        let input = Input::Bytes(ConnId(connection), bytes);
                        self.queue.push(self.now + open.latency, Event::Answer { connection, input });
                    }
                }
                Out::Close(connection, why) => {
                    if let Some(open) = self.connections.get(&connection) {
                        let input = Input::Closed(ConnId(connection), Why::Reset(why));
                        self.queue.push(self.now + open.latency, Event::Answer { connection, input });
                    }
                }
                Out::Log(line) => self.observe(Observed::Log { node: NodeId(node), line }),
                Out::Sync => {
                    let host = &mut self.hosts[usize::from(node)];
                    host.syncs += 1;
                    let word = links::share(self.key, "sync", u64::from(node), host.syncs);
                    let after = if self.shape.bugs.lose_unsynced_log {
                        SYNC_US_LATE
                    } else {
                        SYNC_US + u64::from(word) * SYNC_US_MORE / 65_536
                    };
                    self.queue.push(self.now + after, Event::Synced { node, incarnation });
                }
                Out::Abort => aborted = Some("the process aborts".into()),
            }
        }
        self.outs = outs;
        if let Some(why) = aborted {
            let line = format!("=== BUG REPORT START === {why}");
            self.observe(Observed::Log { node: NodeId(node), line });
            self.end(node, Exit::Signal(6));
        }
    }
}

thread_local! {
    /// Whether the code of a node is running, whose panic is the crash of that node and goes into its log.
    static IN_A_NODE: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the panics of nodes off the standard error: they are the run's business, and a run tells of them.
fn keep_crashes_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IN_A_NODE.with(Cell::get) {
                before(info);
            }
        }));
    });
}

fn pid(node: u16, incarnation: u32) -> u32 {
    10_000 + u32::from(node) * 1000 + incarnation
}

impl Env for SimEnv {
    fn profile(&self) -> &'static Profile {
        &SIM
    }
    fn now(&self) -> Micros {
        Micros(self.now)
    }
    fn wall(&self) -> Micros {
        Micros(self.now)
    }
    fn endpoint(&self, node: NodeId) -> Option<(String, u16)> {
        self.shape.ports.get(usize::from(node.0)).map(|port| (ADDRESS.to_string(), *port))
    }

    fn submit(&mut self, who: ActorId, effect: Effect) {
        match effect {
            Effect::Open(ConnId(connection), node) | Effect::OpenAsClient(ConnId(connection), node) => {
                let word = self.key.word("client latency", connection, 0);
                let latency = CLIENT_US + word % CLIENT_US_MORE;
                if usize::from(node.0) >= self.hosts.len() {
                    return self.tell(who, Input::Closed(ConnId(connection), Why::Refused));
                }
                self.connections
                    .insert(connection, Connection { actor: who, node: node.0, latency, incarnation: 0 });
                self.queue.push(self.now + latency, Event::ClientOpen { connection });
            }
            Effect::Send(ConnId(connection), bytes) => {
                if let Some(open) = self.connections.get(&connection) {
                    self.queue.push(self.now + open.latency, Event::ClientBytes { connection, bytes });
                }
            }
            Effect::Close(ConnId(connection)) => {
                if let Some(open) = self.connections.get_mut(&connection) {
                    // Nothing more comes from it; the node learns of the close a little later.
                    open.actor = ActorId(u32::MAX);
                    let at = self.now + open.latency;
                    self.queue.push(at, Event::ClientClose { connection });
                }
            }
            Effect::Node(node, action) => {
                let done = self.act(node, action);
                self.tell(who, Input::Applied(done));
            }
            Effect::Link(from, to, rules) => {
                let known = [from, to].iter().all(|node| usize::from(node.0) < self.hosts.len());
                let done = match rules.uniform().filter(|_| known && from != to) {
                    Some(rule) => {
                        self.links.set(from.0, to.0, rule);
                        Ok(format!("{from} to {to}: {rule:?}"))
                    }
                    None => Err(EnvError::Unable { what: format!("change the link from {from} to {to}") }),
                };
                self.tell(who, Input::Applied(done));
            }
            Effect::Hold(..)
            | Effect::Strike(..)
            | Effect::Reset(..)
            | Effect::Forget(..)
            | Effect::Recall(..) => {
                let what = "see connections: it carries messages".into();
                self.tell(who, Input::Applied(Err(EnvError::Unable { what })));
            }
        }
    }

    fn step(&mut self, until: Micros, out: &mut Vec<(Micros, ActorId, Input)>) -> Step {
        let before = out.len();
        while let Some(at) = self.queue.next_at() {
            if at > until.0 || out.len() > before && at > self.now {
                break;
            }
            let Some(event) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            self.happen(event, out);
        }
        if out.len() == before {
            self.now = self.now.max(until.0);
        }
        out.retain(|(_, actor, _)| *actor != ActorId(u32::MAX));
        Step::Going
    }

    fn close(&mut self) {
        for node in 0..self.hosts.len() as u16 {
            self.end(node, Exit::Signal(9));
        }
        self.queue.clear();
    }
}
