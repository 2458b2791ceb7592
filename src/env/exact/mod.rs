//! Real, unmodified servers as one deterministic simulation in virtual time.
//!
//! Every server process is loaded with a shim (`shim/`) that lets it see no clock, no randomness and no network
//! but ours, and that stops it wherever it would wait. One process runs at a time. Which one is next, how long a
//! turn takes and how long a chunk of bytes is on its way are keyed hashes of (timeline key, purpose, place,
//! count); when no process can run, the clock jumps to the next deadline. See ADR 0005.
//!
//! The pieces: [`area`] hands the turn over, [`process`] starts servers, [`network`] is what lies between them,
//! [`scheduler`] gives the turns as [`policy`] orders them, [`super::trace`] writes down what happened. Here the whole
//! is an [`Env`].

pub mod area;
mod disk;
pub mod hang;
pub mod image;
mod network;
mod node;
mod policy;
pub mod probe;
mod process;
mod scheduler;
pub mod stop;

use super::processes::folder::{Folder, LOG, Place, fill};
use super::processes::heals::{Heal, Heals};
use super::processes::tail::Tail;
use super::talk::{Said, Sent, Talk};
use super::trace::Trace;
use super::{
    ActorId, BUS, ConnId, EXACT, Effect, Env, EnvError, Exit, Input, NodeAction, NodeId, NodeSpec, Observed,
    Profile, Step, Trouble, Why,
};
use crate::catalogue::MessageType;
use crate::entropy::Entropy;
use crate::fault::kill::Signal;
use crate::fault::restart::RestartData;
use crate::fault::traffic::Traffic;
use crate::time::Micros;
use crate::timeline::Policy;
use area::Area;
use network::order::Order;
use network::pcap::{self, Pcap};
use network::{LOOPBACK, Message, Network, News};
use node::{Clock, Node};
use policy::Picker;
use process::{Launch, Process};
use scheduler::Turn;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The port of node 0 where the timeline wishes for none. Ports are the simulation's own: none is ever taken.
const PORT_DEFAULT: u16 = 7000;
/// What a command line names where the run decides which binary it is.
const SERVER: &str = "{server}";
/// How the shim's last words begin, in which it says why it has ended a server.
const LAST_WORDS: &str = "seedfault: ";
/// What it says and goes on.
const NO_GUARD: &str = "seedfault: there is no guard";
/// The name of a capture in a run folder.
pub const CAPTURE: &str = pcap::FILE;
/// Slots are numbered from here.
const FIRST_SLOT: usize = 1;

/// How a run wants it.
#[derive(Debug)]
pub struct Options {
    /// The folder `nodes` of the run folder.
    pub dir: PathBuf,
    pub server: PathBuf,
    pub base_port: Option<u16>,
    /// The timeline's key for its environment: the one source of all choices.
    pub key: Entropy,
    /// Who goes next among those that can run.
    pub policy: Policy,
    /// Windows in which messages of the cluster bus overtake one another.
    pub order: u8,
    pub keep_data: bool,
    /// Where to keep the trace; its hash is kept in any case.
    pub trace: Option<PathBuf>,
    /// Where to write all that is carried, as packets.
    pub pcap: Option<PathBuf>,
    /// Keep to one processor: handing the turn over is several times faster there.
    pub pin: bool,
    /// Processor time after which a turn counts as one that never ends: [`hang::TURN_MAX`].
    pub turn_max: Duration,
    /// Stand still at a turn.
    pub stop: Option<stop::Stop>,
}

/// See the module's page.
#[derive(Debug)]
pub struct ExactEnv {
    dir: PathBuf,
    server: PathBuf,
    base_port: u16,
    keep_data: bool,
    key: Entropy,
    area: Area,
    shim: OwnedFd,
    heals: Heals,
    network: Network,
    picker: Picker,
    nodes: BTreeMap<NodeId, Node>,
    processes: BTreeMap<usize, Process>,
    now: u64,
    arrived: VecDeque<(ActorId, Input)>,
    trace: Trace,
    turns: u64,
    turn_max: Duration,
    stop: Option<stop::Stop>,
    /// Messages that are told of.
    watched: BTreeSet<MessageType>,
    talk: Talk,
    trouble: Option<Trouble>,
    /// The run was told to end because of it.
    told: bool,
    closed: bool,
}

/// The windows of a run in which messages overtake one another, by the environment's key and their number.
pub fn order(key: &Entropy, windows: u8) -> Order {
    Order::new(key.child("exact").child("order"), windows)
}

impl ExactEnv {
    pub fn new(options: Options) -> Result<Self, EnvError> {
        let failed =
            |what: &str, error: io::Error| EnvError::Failed { what: what.into(), why: error.to_string() };
        let dir = std::path::absolute(&options.dir)
            .and_then(|dir| fs::create_dir_all(&dir).map(|()| dir))
            .map_err(|error| failed("making the nodes' folder", error))?;
        let run = dir.parent().unwrap_or(&dir);
        let heals = Heals::open(run).map_err(|error| failed("opening heals.jsonl", error))?;
        let token = scheduler::token().map_err(|error| failed("reading /dev/urandom", error))?;
        let digits = token.as_bytes().try_into().expect("sixteen digits");
        let area = Area::new(digits).map_err(|error| failed("sharing memory", error))?;
        let shim = process::shim().map_err(|error| failed("making the shim", error))?;
        let mut trace =
            Trace::new(options.trace.as_deref()).map_err(|error| failed("opening the trace", error))?;
        trace.line(format_args!("policy {}", options.policy));
        scheduler::open_many_files().map_err(|error| failed("opening files", error))?;
        if options.pin {
            scheduler::keep_to_one_processor();
        }
        let tap = options.pcap.as_deref().map(Pcap::create).transpose();
        let tap = tap.map_err(|error| failed("opening the capture", error))?;
        let order = order(&options.key, options.order);
        trace.line(format_args!("{order}"));
        let key = options.key.child("exact");
        Ok(Self {
            dir,
            server: options.server,
            base_port: options.base_port.unwrap_or(PORT_DEFAULT),
            keep_data: options.keep_data,
            network: Network::new(key.child("network"), token, order, tap),
            picker: Picker::new(options.policy, key),
            key,
            area,
            shim,
            heals,
            nodes: BTreeMap::new(),
            processes: BTreeMap::new(),
            now: 0,
            arrived: VecDeque::new(),
            trace,
            turns: 0,
            turn_max: options.turn_max,
            stop: options.stop,
            watched: BTreeSet::new(),
            talk: Talk::default(),
            trouble: None,
            told: false,
            closed: false,
        })
    }

    /// Turns so far, for the benchmark.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Directions of bus connections in which something came that is no message: none, as far as is known.
    pub fn bus_not_read(&self) -> u64 {
        self.network.not_parsed
    }

    fn tell(&mut self, actor: ActorId, input: Input) {
        self.arrived.push_back((actor, input));
    }

    fn observe(&mut self, observed: Observed) {
        if let Observed::Log { node, line } = &observed
            && line.starts_with(LAST_WORDS)
            && !line.starts_with(NO_GUARD)
        {
            self.trouble.get_or_insert_with(|| Trouble::Leak { node: *node, what: line.clone() });
        }
        if let Observed::Log { node, line } = &observed
            && !tells_of_the_machine(line)
        {
            self.trace.line(format_args!("{} {node} log {}", self.now, without_addresses(line)));
        }
        self.tell(ActorId::EXECUTOR, Input::Observed(observed));
    }

    fn place(&self, node: NodeId) -> Option<Place> {
        let port = self.base_port.checked_add(node.0)?;
        let bus_port = port.checked_add(BUS)?;
        // The folder that a run lies in has a name of its own: a server is to know nothing of it.
        Some(Place { dir: PathBuf::from("."), address: "127.0.0.1".into(), port, bus_port })
    }

    fn create(&mut self, id: NodeId, spec: &NodeSpec) -> Result<String, EnvError> {
        let failed = |why: String| EnvError::Failed { what: format!("creating {id}"), why };
        if self.nodes.contains_key(&id) {
            return Err(failed("it is there already".into()));
        }
        let own = self.place(id).ok_or_else(|| failed("there is no port left".into()))?;
        let filled = |text: &String| fill(text, id, &|node| self.place(node)).map_err(failed);
        let mut argv = spec.argv.iter().map(filled).collect::<Result<Vec<_>, _>>()?;
        for argument in argv.iter_mut().filter(|argument| *argument == SERVER) {
            *argument = self.server.to_string_lossy().into_owned();
        }
        let file = |(name, text)| Ok((String::clone(name), filled(text)?));
        let files = spec.files.iter().map(file).collect::<Result<_, _>>()?;
        let spec = NodeSpec { argv, files, ..spec.clone() };
        let folder = Folder::create(&self.dir, id, &spec)?;
        let tail = Tail::new(folder.path.join(LOG));
        let node = Node {
            spec,
            folder,
            tail,
            port: own.port,
            bus_port: own.bus_port,
            incarnations: 0,
            started: 0,
            processes: 0,
            server: None,
            paused: false,
            doomed: false,
            clock: Clock::default(),
            disk: disk::Disk::default(),
            waiting: VecDeque::new(),
        };
        self.nodes.insert(id, node);
        Ok(format!("127.0.0.1:{}", own.port))
    }

    /// Carries an action out; `None` if it waits for the end of a process.
    fn act(&mut self, who: ActorId, id: NodeId, action: NodeAction) -> Option<Result<String, EnvError>> {
        if let NodeAction::Create(spec) = &action {
            return Some(self.create(id, spec));
        }
        if let NodeAction::Adopt(owner) = action {
            return Some(self.adopt(id, owner));
        }
        let Some(node) = self.nodes.get_mut(&id) else {
            return Some(Err(EnvError::NotRunning { node: id }));
        };
        if node.server.is_some() && node.doomed && matches!(action, NodeAction::Start(_)) {
            node.waiting.push_back((who, action));
            return None;
        }
        let running = node.server.is_some();
        let needs_it = matches!(
            action,
            NodeAction::Signal(_)
                | NodeAction::Pause
                | NodeAction::Resume
                | NodeAction::PowerLoss(..)
                | NodeAction::Memory(_)
        );
        if needs_it && !running {
            return Some(Err(EnvError::NotRunning { node: id }));
        }
        Some(match action {
            NodeAction::Create(_) | NodeAction::Adopt(_) => unreachable!("handled above"),
            NodeAction::Start(_) if running => Err(EnvError::AlreadyRunning { node: id }),
            NodeAction::Start(data) => self.start(id, data),
            NodeAction::Signal(signal) => Ok(self.signal(id, signal)),
            NodeAction::Pause => {
                node.paused = true;
                Ok("gets no turns".into())
            }
            NodeAction::Resume => {
                node.paused = false;
                Ok("gets turns again".into())
            }
            NodeAction::KeepCopy => match node.folder.keep_copy() {
                Ok((files, bytes)) => Ok(format!("{files} files, {bytes} bytes")),
                Err(error) => Err(EnvError::Failed {
                    what: format!("copying the folder of {id}"),
                    why: error.to_string(),
                }),
            },
            NodeAction::Clock { ahead, behind, rate } => {
                node.clock.change(self.now, (ahead, behind), rate);
                Ok(format!("{ahead} ahead, {behind} back, {rate} per cent"))
            }
            NodeAction::Disk(event, rule) => self.set_disk_rule(id, &event, rule),
            NodeAction::PowerLoss(event, flushed) => Ok(self.lose_power(id, event, flushed)),
            NodeAction::Memory(room) => self.limit_memory(id, room),
            NodeAction::Remove(data) => match node.folder.remove_under(data, &node.spec) {
                Ok(count) => Ok(format!("{count} files of {id} are gone")),
                Err(error) => Err(EnvError::Failed {
                    what: format!("removing the files of {id}"),
                    why: error.to_string(),
                }),
            },
            NodeAction::Flip(flip) => {
                let done = super::processes::flip::flip(&node.folder, &flip);
                done.map_err(|error| EnvError::Failed {
                    what: format!("flipping a bit on the disk of {id}"),
                    why: error.to_string(),
                })
            }
            NodeAction::Reach(..) | NodeAction::Knock(..) | NodeAction::Unheard(..) => {
                Err(EnvError::Unable { what: "try whether packets cross".into() })
            }
            NodeAction::Names(..) => {
                Err(EnvError::Unable { what: "let names not resolve where nobody asks for them".into() })
            }
            NodeAction::Resource(..) => {
                Err(EnvError::Unable { what: "take real resources away where time is virtual".into() })
            }
        })
    }

    /// What a node finds at its next start is a copy of another's.
    fn adopt(&mut self, id: NodeId, owner: NodeId) -> Result<String, EnvError> {
        let node = self.nodes.get(&id).ok_or(EnvError::NotRunning { node: id })?;
        let other = self.nodes.get(&owner).ok_or(EnvError::NotRunning { node: owner })?;
        if node.server.is_some() {
            return Err(EnvError::AlreadyRunning { node: id });
        }
        match other.folder.lend(&other.spec, &node.folder, &node.spec) {
            Ok((files, bytes)) => Ok(format!("{files} files, {bytes} bytes")),
            Err(error) => Err(EnvError::Failed {
                what: format!("copying the folder of {owner}"),
                why: error.to_string(),
            }),
        }
    }

    fn start(&mut self, id: NodeId, data: RestartData) -> Result<String, EnvError> {
        let failed = |why: String| EnvError::Failed { what: format!("starting {id}"), why };
        let slot = self.free_slot().ok_or_else(|| failed("there are too many processes".into()))?;
        let node = self.nodes.get_mut(&id).expect("looked up by the caller");
        node.folder
            .prepare(data, &node.spec)
            .map_err(|error| failed(format!("preparing its folder: {error}")))?;
        if data != RestartData::Kept {
            node.disk.forget();
        }
        node.incarnations += 1;
        node.started = self.now;
        node.processes += 1;
        self.network.back(self.now, id);
        (node.paused, node.doomed) = (false, false);
        let incarnation = node.incarnations;
        let pid = scheduler::pid(id, node.processes);
        self.heals
            .write(&Heal::Starting { node: id.to_string() })
            .map_err(|error| failed(error.to_string()))?;
        node.clock.show(self.now, self.area.slot(slot));
        self.mount(id, slot);
        let node = &self.nodes[&id];
        let launch = Launch {
            node: id,
            incarnation,
            pid,
            slot,
            argv: &node.spec.argv,
            folder: &node.folder.path,
            log: &node.folder.path.join(LOG),
            key: self.key,
        };
        let process = Process::launch(&launch, &self.area, &self.shim)
            .map_err(|error| failed(format!("{}: {error}", self.server.display())))?;
        self.nodes.get_mut(&id).expect("looked up by the caller").server = Some(slot);
        self.processes.insert(slot, process);
        self.observe(Observed::Started { node: id, incarnation, pid: pid as u32 });
        let turn = self.finish_turn(slot);
        self.after_turn(slot, turn);
        Ok(format!("pid {pid}, incarnation {incarnation}"))
    }

    fn signal(&mut self, id: NodeId, signal: Signal) -> String {
        let node = self.nodes.get_mut(&id).expect("looked up by the caller");
        let slot = node.server.expect("looked up by the caller");
        node.doomed = true;
        self.network.struck(self.now);
        let number = match signal {
            Signal::Kill => {
                self.kill_family(id);
                return "ended by SIGKILL".into();
            }
            Signal::Term => 15,
            Signal::Int => 2,
            Signal::Abrt => 6,
            Signal::Segv => 11,
            Signal::Hup => 1,
        };
        self.area.slot(slot).signal.store(number, Relaxed);
        if let Some(process) = self.processes.get_mut(&slot) {
            process.forced = true;
        }
        format!("signal {number} is taken at its next turn")
    }

    /// Gives one turn, or lets time pass up to the next event, at most until then. False: there is none.
    fn advance(&mut self, until: u64) -> bool {
        if let Some(slot) = self.next_runnable() {
            let turn = self.turn(slot);
            self.after_turn(slot, turn);
            return true;
        }
        let next = [self.network.next_due(), self.next_deadline()].into_iter().flatten().min();
        let next = next.unwrap_or(u64::MAX).min(until);
        if next == u64::MAX {
            return false;
        }
        self.now = self.now.max(next);
        true
    }

    fn carry_news(&mut self) {
        let mut news = Vec::new();
        self.network.deliver(self.now, &mut news);
        self.tell_messages();
        self.tell_news(news);
    }

    fn tell_news(&mut self, news: Vec<(ActorId, ConnId, News)>) {
        for (actor, id, what) in news {
            let input = match what {
                News::Opened => Input::Opened(id),
                News::Bytes(bytes) => Input::Bytes(id, bytes),
                News::Closed => Input::Closed(id, Why::Reset("connection closed by peer".into())),
                News::Reset => Input::Closed(id, Why::Reset("connection reset by peer".into())),
                News::Refused => Input::Closed(id, Why::Refused),
            };
            self.tell(actor, input);
        }
    }

    /// Writes down what was delivered on the cluster bus, and tells of what was sent, where somebody waits for it.
    fn tell_messages(&mut self) {
        for Message { at, kind, from, to, epochs, delivered } in self.network.take_told() {
            self.talk.hear(at, kind, (from, to), epochs.map(|(current, _)| current), delivered);
            if delivered {
                let (current, config) = epochs.unwrap_or_default();
                self.trace.line(format_args!("{at} bus {from} to {to} {kind} epochs {current} {config}"));
            } else if self.watched.contains(&kind) {
                self.tell(ActorId::EXECUTOR, Input::Observed(Observed::Message { kind, from, to }));
            }
        }
    }
}

impl Env for ExactEnv {
    fn profile(&self) -> &'static Profile {
        &EXACT
    }
    fn now(&self) -> Micros {
        Micros(self.now)
    }
    fn wall(&self) -> Micros {
        Micros(self.now)
    }
    fn endpoint(&self, node: NodeId) -> Option<(String, u16)> {
        self.nodes.get(&node).map(|node| ("127.0.0.1".to_string(), node.port))
    }

    fn submit(&mut self, who: ActorId, effect: Effect) {
        match effect {
            Effect::Open(id, node) | Effect::OpenAsClient(id, node) => {
                match self.nodes.get(&node).map(|node| node.port) {
                    Some(port) => self.network.open(self.now, who, id, node, (LOOPBACK, port)),
                    None => self.tell(who, Input::Closed(id, Why::Refused)),
                }
            }
            Effect::Send(id, bytes) => self.network.send(self.now, id, bytes),
            Effect::Close(id) => {
                self.network.close(self.now, id);
                self.arrived.retain(|(_, input)| !super::processes::is_about(input, id));
            }
            Effect::Node(node, action) => {
                if let Some(done) = self.act(who, node, action) {
                    self.tell(who, Input::Applied(done));
                }
            }
            Effect::Link(from, to, rules) => {
                let known = from != to && [from, to].iter().all(|node| self.nodes.contains_key(node));
                let done = match rules.uniform().filter(|_| known) {
                    Some(rule) => {
                        self.network.set_rule(self.now, from, to, rule);
                        Ok(format!("{from} to {to}: {rule:?}"))
                    }
                    None => Err(EnvError::Unable { what: format!("change the link from {from} to {to}") }),
                };
                self.tell(who, Input::Applied(done));
            }
            Effect::Hold(event, Some(hold)) => {
                self.network.hold(self.now, event, &hold);
                self.tell(who, Input::Applied(Ok(format!("{} is held", hold.message))));
            }
            Effect::Hold(event, None) => {
                let done = self.network.let_go(self.now, &event);
                self.tell(who, Input::Applied(Ok(done)));
            }
            Effect::Strike(..) => {
                let what = "strike single packets of a link".into();
                self.tell(who, Input::Applied(Err(EnvError::Unable { what })));
            }
            Effect::Forget(..) | Effect::Recall(..) => {
                let what = "let one end of a connection forget it".into();
                self.tell(who, Input::Applied(Err(EnvError::Unable { what })));
            }
            Effect::Reset(.., traffic) if traffic != Traffic::All => {
                let what = "tell connections apart by their ports".into();
                self.tell(who, Input::Applied(Err(EnvError::Unable { what })));
            }
            Effect::Reset(one, other, _) => {
                let mut news = Vec::new();
                let count = self.network.reset(self.now, one, other, &mut news);
                self.tell_news(news);
                self.tell(who, Input::Applied(Ok(format!("{count} connections"))));
            }
        }
    }

    fn step(&mut self, until: Micros, out: &mut Vec<(Micros, ActorId, Input)>) -> Step {
        // With trouble the run is asked to end, once: it heals and looks at what is left.
        let mut over = false;
        loop {
            self.carry_news();
            over |= self.trouble.is_some() && !std::mem::replace(&mut self.told, true);
            if over || !self.arrived.is_empty() || self.now >= until.0 {
                break;
            }
            if !self.advance(until.0) {
                // Nothing will ever happen by itself.
                break;
            }
            self.stand();
        }
        let now = Micros(self.now);
        out.extend(self.arrived.drain(..).map(|(who, input)| (now, who, input)));
        if over { Step::Interrupted } else { Step::Going }
    }

    fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in nodes {
            if self.nodes[&id].server.is_some() {
                self.kill_family(id);
            }
        }
        self.trace.flush();
        self.network.flush();
        // Without the mark, the next start looks once more and finds nothing.
        let _ = self.heals.write(&Heal::Complete);
        for node in self.nodes.values().filter(|_| !self.keep_data) {
            // What cannot be removed is left in the run folder, where it can be seen.
            let _ = node.folder.drop_data(&node.spec);
        }
    }

    fn watch_messages(&mut self, kinds: &[MessageType]) {
        self.watched = kinds.iter().copied().collect();
    }

    fn said(&self) -> Vec<Said> {
        self.talk.said()
    }

    fn messages(&self) -> Vec<Sent> {
        self.talk.sent().to_vec()
    }

    /// Over every turn: what ran, when, for what it waits, every byte that was carried, every line that was logged.
    fn trace_hash(&self) -> Option<String> {
        Some(self.trace.hash().to_hex().to_string())
    }

    fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }
}

impl Drop for ExactEnv {
    fn drop(&mut self) {
        self.close();
    }
}

/// Lines of a server's report of a crash that are not the same in every run: words of its stack, among them the
/// canary that the kernel draws for each process, and where the run folder lies.
fn tells_of_the_machine(line: &str) -> bool {
    line.contains(" # (0000") || line.starts_with("config_file:")
}

/// A line with what it says of places in memory left out: where the kernel may not be asked to put a program always at
/// the same place, they differ.
fn without_addresses(line: &str) -> Cow<'_, str> {
    const DIGITS_MIN: usize = 6;
    if !line.contains("0x") {
        return Cow::Borrowed(line);
    }
    let mut parts = line.split("0x");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        out += "0x";
        out += if digits < DIGITS_MIN { part } else { &part[digits..] };
    }
    Cow::Owned(out)
}

/// How a server ended, as the kernel says it.
fn exit_of(status: Option<std::process::ExitStatus>) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Code(-1),
        },
        None => Exit::Code(-1),
    }
}

impl Turn {
    const fn is_over(self) -> bool {
        matches!(self, Self::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::without_addresses;

    #[test]
    fn addresses_are_left_out_and_numbers_are_not() {
        assert_eq!(
            without_addresses("at: 0x7ffff7fbafda, flags 0x10 [0x55555555a0b1]"),
            "at: 0x, flags 0x10 [0x]"
        );
        assert_eq!(without_addresses("no number"), "no number");
        assert_eq!(without_addresses("ends in 0x"), "ends in 0x");
    }
}
