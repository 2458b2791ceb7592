//! Where nodes live: the one seam between the executor's actors and the world.
//!
//! An [`Env`] owns the clock and does the I/O. Actors are sans-IO: they take an [`Input`], give [`Effect`]s,
//! name their next deadline, and never block, read a clock or touch a socket. They cannot tell which
//! environment they run in. `sim` is the simulation of the embedded target, `processes` starts real servers, `live`
//! gives them a network that fails on command, `exact` runs them in virtual time.

#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod bus;
#[cfg(exact)]
pub mod exact;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod live;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod processes;
pub mod sim;
pub mod talk;
#[cfg(all(feature = "cli", target_os = "linux"))]
pub mod trace;

use crate::catalogue::{Ability, MessageType};
use crate::fault::bit_flip::Flip;
use crate::fault::disk::{Blow, DiskRule};
use crate::fault::kill::Signal;
use crate::fault::resolve_fails::ResolveRule;
use crate::fault::resource::ResourceRule;
use crate::fault::restart::RestartData;
use crate::fault::slow::Distribution;
use crate::fault::strike_link::{LinkBlow, LinkPoint};
use crate::fault::traffic::Traffic;
use crate::target::{self, REAL};
use crate::time::{Micros, Millis};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A node of the cluster, by its number in the run. New nodes get the next numbers; none is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u16);

impl NodeId {
    /// No node: all clients of the run's load, as one end of a link.
    pub const CLIENTS: Self = Self(u16::MAX - 1);
}

/// A connection, by a number that the actor chose: unique within the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnId(pub u64);

/// Who submitted an effect and gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActorId(pub u32);

impl ActorId {
    /// The executor itself: observations of the environment go to it.
    pub const EXECUTOR: Self = Self(0);
}

/// What an environment declares that it can do. Versioned; never what probing a machine found.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub name: &'static str,
    pub version: u32,
    pub abilities: &'static [Ability],
    /// The targets whose nodes live there.
    pub targets: &'static [&'static str],
    /// The most nodes that a drawn cluster may have.
    pub nodes_max: u16,
    pub summary: &'static str,
}

impl Profile {
    pub fn offers(&self, ability: Ability) -> bool {
        ability == Ability::None || self.abilities.contains(&ability)
    }
    /// Why the nodes of a target do not live here; `None` if they do.
    pub fn lacks(&self, target: &str) -> Option<String> {
        let here = self.targets.contains(&target);
        (!here).then(|| format!("target `{target}` does not live in environment `{}`", self.name))
    }
    /// What other environments of its targets can do, and it cannot.
    pub fn lacking(&self) -> Vec<&'static str> {
        let others = PROFILES.iter().filter(|other| other.targets.iter().any(|t| self.targets.contains(t)));
        let all: BTreeSet<Ability> = others
            .flat_map(|other| other.abilities)
            .copied()
            .filter(|ability| !self.offers(*ability))
            .collect();
        all.into_iter().map(Ability::as_str).collect()
    }
    pub fn label(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }
}

/// The simulation of the embedded target in virtual time.
pub const SIM: Profile = Profile {
    name: "sim",
    version: 1,
    abilities: &[Ability::Signal, Ability::StaleData, Ability::Cut, Ability::Link, Ability::Clock],
    targets: &["embedded"],
    nodes_max: 12,
    summary: "the embedded target in virtual time, exact to the bit",
};

/// Real servers as processes on the loopback interface.
pub const PROCESSES: Profile = Profile {
    name: "processes",
    version: 1,
    abilities: &[Ability::Signal, Ability::StaleData, Ability::Memory, Ability::Resource, Ability::Files],
    targets: REAL,
    nodes_max: 16,
    summary: "real servers as processes on the loopback interface, in real time",
};

/// Real servers in virtual time.
pub const EXACT: Profile = Profile {
    name: "exact",
    version: 2,
    abilities: &[
        Ability::Signal,
        Ability::StaleData,
        Ability::Cut,
        Ability::Link,
        Ability::Clock,
        Ability::Disk,
        Ability::Power,
        Ability::Memory,
        Ability::Message,
        Ability::Connection,
        Ability::Files,
    ],
    targets: &["valkey"],
    nodes_max: 16,
    summary: "real servers in virtual time, exact to the bit",
};

/// Real servers on a network of their own.
pub const LIVE: Profile = Profile {
    name: "live",
    version: 3,
    abilities: &[
        Ability::Signal,
        Ability::StaleData,
        Ability::Cut,
        Ability::Link,
        Ability::Clock,
        Ability::Connection,
        Ability::Packet,
        Ability::Disk,
        Ability::Message,
        Ability::Memory,
        Ability::Resource,
        Ability::Power,
        Ability::Files,
        Ability::Reads,
        Ability::Names,
    ],
    targets: REAL,
    nodes_max: 16,
    summary: "real servers in real time, on a network and on disks that fail on command",
};

pub const PROFILES: &[&Profile] = &[&SIM, &EXACT, &PROCESSES, &LIVE];

/// Whether time in the environment of this name is the machine's, so that no two runs are the same.
pub fn in_real_time(environment: &str) -> bool {
    environment == PROCESSES.name || environment == LIVE.name
}

/// The environment in which a target's nodes live unless another is asked for.
pub fn own_of(target: &str) -> Option<&'static Profile> {
    let own = target::info(target)?.environment;
    PROFILES.iter().copied().find(|profile| profile.name == own)
}

/// Digests of what an exact run rests on beside its timeline: with the same image a seed gives the same hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The first digits of BLAKE3 of the server's file.
    pub server: String,
    /// Those of the C library's.
    pub libc: String,
    /// The kernel's release.
    pub kernel: String,
}

/// From a node's client port to the one on which it hears its peers, in every environment; that of the cluster bus
/// (`CLUSTER_PORT_INCR` in valkey's `cluster.h`).
pub const BUS: u16 = 10_000;
/// From a node's bus port to a second one, for servers that talk with one another on two: within the hundred that a run of
/// `processes` guards, and above all nodes that there can be.
pub const SECOND_BUS: u16 = 50;

/// What a node is: the same data for every environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// The command line. The server logs to its standard output or to `{dir}/server.log`, which are one file.
    /// `{dir}`, `{address}`, `{port}`, `{bus_port}` and `{second_bus_port}` are filled in by the environment, and an
    /// argument `{server}` is the program that it was given.
    pub argv: Vec<String>,
    /// Files written into the node's folder before its first start, by relative path. In them, `{dir}` and the
    /// like stand for the node's own, `{address:3}`, `{port:3}`, `{bus_port:3}` for those of node 3.
    pub files: BTreeMap<String, String>,
    /// Files under the folder that hold the cluster's configuration rather than data (`nodes.conf`).
    pub config_files: Vec<String>,
    /// Files under the folder that hold data, as prefixes of relative paths (`dump.rdb`, `appendonlydir`).
    pub data_files: Vec<String>,
}

/// What is done to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeAction {
    /// Reserve its address and write its files.
    Create(NodeSpec),
    /// Start it, its folder first brought into this state.
    Start(RestartData),
    Signal(Signal),
    Pause,
    Resume,
    /// Keep a copy of its folder as the "older" data of a later start.
    KeepCopy,
    /// Put a copy of what another node has learned into its folder, in place of what it has itself. It does not run.
    Adopt(NodeId),
    /// Jump ahead and back, and run at this rate in per cent from now on.
    Clock {
        ahead: Millis,
        behind: Millis,
        rate: u16,
    },
    /// Put the event of this name's rule on its disk, or take it off. It outlasts the process.
    Disk(String, Option<DiskRule>),
    /// End it in the name of an event, and lose what it has not synced; not what took the place of another file by
    /// a rename, if the flag says so.
    PowerLoss(String, bool),
    /// Let it have so many megabytes more than it has, or as many as there are.
    Memory(Option<u32>),
    /// Take something away from it in the name of this event, or give it back: then it is told what was measured.
    Resource(String, Option<ResourceRule>),
    /// Let its questions for names come to this in the name of an event, or be answered again: then it is told how many
    /// were struck.
    Names(String, Option<ResolveRule>),
    /// Remove the files that a start with this data would not find, whether it runs or not.
    Remove(RestartData),
    /// Flip a bit of a file in its folder.
    Flip(Flip),
    /// Tell, from its side, whether packets of a class cross to another node and back.
    Reach(NodeId, Traffic),
    /// Begin, from its side, to ask another node for an answer in packets of a class.
    Knock(NodeId, Traffic),
    /// Tell that no answer has come to that, and ask no longer.
    Unheard(NodeId, Traffic),
}

/// What is done to one direction of a link between two nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRule {
    pub cut: bool,
    pub delay: Millis,
    pub jitter: Millis,
    /// In a thousand messages.
    pub lose: u16,
    pub duplicate: u16,
    pub reorder: u16,
    /// Connects are refused; connections that are established live on.
    pub refuse: bool,
    /// In a thousand segments, one bit is flipped: so that the checksum tells, or so that the application gets it.
    pub corrupt: u16,
    pub garble: u16,
    /// At most so many thousand bytes a second; no limit where it is 0.
    pub rate: u32,
    /// Losses come in bursts of so many on average; each by itself where it is 0.
    pub burst: u16,
    /// How the jitter is spread.
    pub shape: Distribution,
    /// After a cut nobody is woken up.
    pub natural: bool,
    /// The end of a connection takes so much longer.
    pub linger: Millis,
    /// Of every hundred or thousand messages exactly the share is lost, in a shuffled order.
    pub exact: bool,
}

/// What is done to one direction of a link, by the class of what crosses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkRules {
    pub clients: LinkRule,
    pub bus: LinkRule,
    /// What belongs to neither.
    pub rest: LinkRule,
}

impl LinkRules {
    /// The rule for all of it, where that is one.
    pub fn uniform(&self) -> Option<LinkRule> {
        (self.clients == self.rest && self.bus == self.rest).then_some(self.rest)
    }

    /// Whether what belongs to a class is left alone.
    pub fn spares(&self, traffic: Traffic) -> bool {
        let spared = |rule: &LinkRule| *rule == LinkRule::default();
        match traffic {
            Traffic::All => [&self.clients, &self.bus, &self.rest].into_iter().all(spared),
            Traffic::Clients => spared(&self.clients),
            Traffic::Bus => spared(&self.bus),
        }
    }
}

impl From<LinkRule> for LinkRules {
    fn from(rule: LinkRule) -> Self {
        Self { clients: rule, bus: rule, rest: rule }
    }
}

/// What one directed link carried, and what faults did on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkTold {
    pub from: String,
    pub to: String,
    /// Packets and bytes that came by, as the devices gave them, and what of that was given to the other end.
    pub packets: u64,
    pub bytes: u64,
    pub crossed: u64,
    pub bytes_crossed: u64,
    /// Segments, by what was done to them: `cut`, `lost`, `delayed` and so on.
    pub struck: BTreeMap<String, u64>,
}

/// What the network of a run carried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkTold {
    /// The links on which a fault struck anything.
    pub struck: Vec<LinkTold>,
    /// The others: how many, and what they carried together.
    pub others: u64,
    pub others_packets: u64,
    pub others_bytes: u64,
    /// Packets that were lost for want of room, which no fault asked for.
    pub interference: u64,
}

/// What rules have come to on a directed link so far, where segments are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCount {
    /// Segments that came under a rule, those that it struck, and those of them that it lost.
    pub seen: u64,
    pub struck: u64,
    pub lost: u64,
    /// Ends of connections that were held back until they were due, and how soon the first of them came through.
    pub ends: u64,
    pub ends_after: Option<Micros>,
}

/// The evidence for a change of a link, where segments are counted.
pub fn struck_so_far(count: &LinkCount, woken: u64, leaked: u64) -> Evidence {
    let LinkCount { seen, struck, lost, ends, ends_after } = count;
    let after = ends_after.map_or(String::new(), |after| format!(" after {} us", after.0));
    let told = format!(
        "{struck}{STRUCK} of {seen}, {lost} lost, {ends} ends held{after}, {woken} connections woken up"
    );
    if leaked == 0 { told } else { format!("{told}, {leaked}{LEAKED}") }
}

/// How many packets crossed while it was cut, if any did.
pub fn leaked_in(evidence: &str) -> Option<u64> {
    evidence.strip_suffix(LEAKED)?.rsplit(' ').next()?.parse().ok()
}

/// The evidence for what was done to connections.
pub fn connections(count: u64) -> Evidence {
    format!("{count} connections")
}

/// The numbers in it; none where nothing is counted.
pub fn counted_in(evidence: &str) -> Option<LinkCount> {
    let (struck, rest) = evidence.split_once(STRUCK)?;
    let mut parts = rest.strip_prefix(" of ")?.split(", ");
    let seen = parts.next()?.parse().ok()?;
    let lost = parts.next()?.strip_suffix(" lost")?.parse().ok()?;
    let (ends, after) = parts.next()?.split_once(" ends held")?;
    let after = after.strip_prefix(" after ").and_then(|text| text.strip_suffix(" us"));
    let ends_after = after.and_then(|text| text.parse().ok()).map(Micros);
    Some(LinkCount { seen, struck: struck.parse().ok()?, lost, ends: ends.parse().ok()?, ends_after })
}

/// How the evidence of a strike that came to nothing begins.
pub const STRUCK_NOTHING: &str = "struck nothing";

const LEAKED: &str = " packets crossed while it was cut";
const STRUCK: &str = " segments struck so far";

/// Messages of the cluster bus that wait for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// From the first node of each to the second.
    pub links: Vec<(NodeId, NodeId)>,
    pub message: MessageType,
    /// Until such a message has been delivered on one of these links; until it is let go without.
    pub until: Option<(Vec<(NodeId, NodeId)>, MessageType)>,
}

/// What is done to the n-th packet, byte, connect or message on some links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStrike {
    /// From the first node of each to the second.
    pub links: Vec<(NodeId, NodeId)>,
    pub at: LinkPoint,
    /// The type of the messages that are counted.
    pub message: Option<MessageType>,
    /// Counted from 1.
    pub nth: u64,
    pub traffic: Traffic,
    pub how: LinkBlow,
    pub delay: Millis,
}

/// What an actor asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open a connection to a node's client port. Answered by `Opened` or `Closed`. What is sent before it is open
    /// goes out once it is.
    Open(ConnId, NodeId),
    /// As `Open`, by a client of the load: what lies between is a link of the timeline's, as the tool's own is not.
    OpenAsClient(ConnId, NodeId),
    Send(ConnId, Vec<u8>),
    /// Close it; no further input comes from it.
    Close(ConnId),
    /// Answered by `Applied`, in the order submitted.
    Node(NodeId, NodeAction),
    /// Replaces the rules of the link from the first node to the second. Answered by `Applied`.
    Link(NodeId, NodeId, LinkRules),
    /// Holds messages under this event's name, or lets go what it held. Answered by `Applied`.
    Hold(String, Option<Hold>),
    /// Lies in wait on links under this event's name, or ends that wait and answers what came of it. Answered by
    /// `Applied`.
    Strike(String, Option<LinkStrike>),
    /// Resets the established connections of a class between two nodes, or between a node and all clients. Answered
    /// by `Applied`.
    Reset(NodeId, Option<NodeId>, Traffic),
    /// The first node loses its established connections of a class with the second, which still has them. `true`: it
    /// hears nothing of that until `Recall`. Answered by `Applied`.
    Forget(NodeId, NodeId, Traffic, bool),
    /// The second node may hear that the first has lost their connections. Answered by `Applied`.
    Recall(NodeId, NodeId),
}

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Nobody listens there: nothing was sent.
    Refused,
    /// The other side closed it, or it broke.
    Reset(String),
}

/// What an actor gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Start,
    Opened(ConnId),
    Bytes(ConnId, Vec<u8>),
    Closed(ConnId, Why),
    /// The deadline that it named has come.
    Timer,
    Applied(Result<Evidence, EnvError>),
    Observed(Observed),
}

/// How the environment knows that an action is in force: a pid, an exit status, a state read back.
pub type Evidence = String;

/// Why the environment could not do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum EnvError {
    #[error("{node} is not running")]
    NotRunning { node: NodeId },
    #[error("{node} is running already")]
    AlreadyRunning { node: NodeId },
    #[error("this environment cannot {what}")]
    Unable { what: String },
    #[error("{what}: {why}")]
    Failed { what: String, why: String },
}

/// What the environment saw by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observed {
    /// A line of a node's log.
    Log { node: NodeId, line: String },
    /// A process began; `incarnation` counts from 1.
    Started { node: NodeId, incarnation: u32, pid: u32 },
    /// A process is gone.
    Exited { node: NodeId, incarnation: u32, exit: Exit },
    /// The rule that an event put on a node's disk struck for the first time; a blow is more than an error.
    Struck { node: NodeId, event: String, blow: Option<Blow>, what: String },
    /// A message of the cluster bus was sent; nothing of it has arrived yet.
    Message { kind: MessageType, from: NodeId, to: NodeId },
    /// We were late by this much and the logical clock was held back.
    Stretched { by: Millis, why: String },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// What an environment knows of a run that no record shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A node took its turn and does not give it back. A finding.
    Hang { node: NodeId, why: String, stack: Vec<String> },
    /// Something of the real world got at a node: the run cannot be repeated, and shows nothing.
    Leak { node: NodeId, what: String },
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Inputs were delivered, or the time given has come.
    Going,
    /// The user asked to stop.
    Interrupted,
}

pub trait Env {
    fn profile(&self) -> &'static Profile;
    /// Logical microseconds since the environment was made.
    fn now(&self) -> Micros;
    /// Wall microseconds since the environment was made; the same as `now` in virtual time.
    fn wall(&self) -> Micros;
    /// The address and client port of a node that was created: how an answer that names a place (`MOVED`) is
    /// told to be a node. Simulated nodes have made-up places; what counts is that they are all different.
    fn endpoint(&self, node: NodeId) -> Option<(String, u16)>;
    /// Takes an effect. Never blocks.
    fn submit(&mut self, who: ActorId, effect: Effect);
    /// Lets time pass until something arrives or `until` has come, and appends what arrived in order.
    fn step(&mut self, until: Micros, out: &mut Vec<(Micros, ActorId, Input)>) -> Step;
    /// Ends every node and gives back what was taken. Called once, also after an error.
    fn close(&mut self);
    /// Which messages of the cluster bus it tells of from now on ([`Observed::Message`]), where it can tell of any.
    fn watch_messages(&mut self, _kinds: &[MessageType]) {}
    /// A hash over all that the environment did, turn by turn, where it decides that itself.
    fn trace_hash(&self) -> Option<String> {
        None
    }
    /// What its nodes said to one another so far, where it can read that.
    fn said(&self) -> Vec<talk::Said> {
        Vec::new()
    }
    /// The messages of its nodes that were no gossip, where it can read them.
    fn messages(&self) -> Vec<talk::Sent> {
        Vec::new()
    }
    /// What its network carried, once it is closed, where it counts that.
    fn network(&self) -> Option<&NetworkTold> {
        None
    }
    /// What the user should know, once it is closed.
    fn notes(&self) -> &[String] {
        &[]
    }
    /// Why the run ended as if it had been interrupted, if that was the environment's doing.
    fn trouble(&self) -> Option<&Trouble> {
        None
    }
}

/// A sans-IO state machine. It is called with what happened and answers with effects and its next deadline.
pub trait Actor {
    fn on(&mut self, now: Micros, input: Input, out: &mut Vec<Effect>) -> Option<Micros>;
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::CLIENTS { f.write_str("clients") } else { write!(f, "node-{}", self.0) }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
