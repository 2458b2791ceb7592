//! Real servers of any kind in real time, on a network of their own whose links obey the timeline.
//!
//! Each node has a network namespace with one device, an address of its own and the usual port; all devices lead to
//! a [`switch`] in the run's process, which the [`driver`] serves, and nowhere else: there is no route out of the
//! machine. The tool's clients reach the nodes by a device of their own, so that what lies between is a link too.
//! It takes no privilege where user namespaces are allowed, and no device node: where `/dev/net/tun` may not be
//! opened, veth pairs and packet sockets do the same.
//!
//! Starting and ending processes is [`super::processes`]' part; here is the ground that they stand on. Everything
//! lives in namespaces that the run's process alone holds ([`cage`](super::processes::cage)), so that with it, however
//! it ends, all is gone.

mod alarm;
pub mod bridge;
mod capture;
mod device;
pub mod disk;
mod driver;
mod names;
mod namespace;
mod netlink;
pub mod probe;
mod reach;
pub mod switch;
mod tally;

use super::processes::cage::{Cage, Walls};
use super::processes::ground::{Ground, Spot};
use super::processes::{Options, ProcessesEnv};
use super::{
    BUS, EnvError, Evidence, Hold, LIVE, LinkRule, LinkRules, LinkStrike, LinkTold, NetworkTold, NodeId,
    Observed, Profile, Trouble, connections, struck_so_far,
};
use crate::catalogue::MessageType;
use crate::entropy::Entropy;
use crate::fault::disk::DiskRule;
use crate::fault::resolve_fails::ResolveRule;
use crate::fault::traffic::Traffic;
use capture::Capture;
pub use device::Kind;
use disk::Disks;
use disk::power::Power;
use driver::Driver;
use names::Names;
use namespace::Namespace;
use nix::errno::Errno;
use reach::Reach;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use switch::{Counts, NODES_MAX, OWN_PORTS, Port, Switch};
use tally::Tally;

/// Where every node listens, on its own address.
const PORT: u16 = 6379;
/// What each link has carried, in the run folder.
pub const LINKS: &str = "links.tsv";
pub use capture::FILE as CAPTURE;

/// An environment whose nodes stand on a network of their own. `key` is the one source of the links' choices.
pub fn new(cage: Option<&Cage>, options: Options, key: Entropy) -> Result<ProcessesEnv, EnvError> {
    with(cage, options, key, &Kind::ALL)
}

/// As [`new`], with the first of these kinds of devices that may be made.
pub fn with(
    cage: Option<&Cage>,
    options: Options,
    key: Entropy,
    kinds: &[Kind],
) -> Result<ProcessesEnv, EnvError> {
    in_network(cage)?;
    let run = options.dir.parent().map_or_else(PathBuf::new, PathBuf::from);
    let port = options.base_port.unwrap_or(PORT);
    let failed =
        |what: &str, error: io::Error| EnvError::Failed { what: what.into(), why: error.to_string() };
    // Before any thread exists.
    let power = options.power.then(|| Power::start(key)).transpose();
    let power = power.map_err(|error| failed("serving the nodes' folders", error))?;
    let capture = options.pcap.then(|| Capture::create(&run.join(CAPTURE))).transpose();
    let capture = capture.map_err(|error| failed("writing a capture", error))?;
    let mut net = Net::new(run.join(LINKS), port, key, kinds, capture)
        .map_err(|error| failed("making the network", error))?;
    net.power = power;
    if options.names {
        net.names = Some(Names::start(&run).map_err(|error| failed("telling nodes names", error))?);
    }
    if options.calls.any() {
        let disks = Disks::start(options.calls, key, run.join(disk::DISKS));
        let disks = disks.map_err(|error| failed("watching the nodes' disks", error))?;
        net.disks = Some(disks.with_power(options.power));
    }
    ProcessesEnv::on(Box::new(net), options)
}

/// Anywhere but in a cage that has a network of its own, the devices would be the machine's: that is refused.
fn in_network(cage: Option<&Cage>) -> Result<(), EnvError> {
    let why = match cage {
        Some(Cage::Namespace(Walls::Network)) => return Ok(()),
        Some(Cage::Subreaper(why)) => why.clone(),
        _ => "the run was not started in namespaces of its own".into(),
    };
    Err(EnvError::Failed { what: "making a network of its own".into(), why })
}

/// Where a node listens.
fn spot(node: NodeId, port: u16) -> Option<Spot> {
    let bus_port = port.checked_add(BUS)?;
    (node.0 < NODES_MAX).then(|| Spot { address: Ipv4Addr::from(Port::from(node).address()), port, bus_port })
}

/// The nodes' network.
#[derive(Debug)]
struct Net {
    links: PathBuf,
    port: u16,
    kind: Kind,
    home: Namespace,
    /// Where the switch's ends of veth devices lie.
    far: Namespace,
    nodes: BTreeMap<NodeId, Namespace>,
    driver: Driver,
    /// Tries that are under way, from one node to another.
    reaching: BTreeMap<(NodeId, NodeId, Traffic), Reach>,
    /// Asked for while links are cut: nothing must come of it.
    knocks: BTreeMap<(NodeId, NodeId, Traffic), VecDeque<Reach>>,
    /// Where the timeline has a fault for a disk.
    disks: Option<Disks>,
    /// What was carried, once it is closed.
    told: Option<NetworkTold>,
    /// The run was told of messages that wait for it.
    asked: bool,
    /// The next port from which it connects.
    own_port: u16,
    /// Where the timeline has a loss of power.
    power: Option<Power>,
    /// Nodes that lose it: by which event, and whether files that took the place of others are safe.
    losing: BTreeMap<NodeId, (String, bool)>,
    lost: BTreeMap<NodeId, Result<Evidence, String>>,
    trouble: Option<Trouble>,
    /// Where the timeline has names that fail to resolve.
    names: Option<Names>,
}

impl Net {
    fn new(
        links: PathBuf,
        port: u16,
        key: Entropy,
        kinds: &[Kind],
        capture: Option<Capture>,
    ) -> io::Result<Self> {
        let home = Namespace::own()?;
        let (far, ()) = home.make(|_| Ok(()))?;
        let ports = (port, port.checked_add(BUS).ok_or(Errno::ERANGE)?);
        if [ports.0, ports.1].iter().any(|port| OWN_PORTS.contains(port)) {
            let (from, to) = (OWN_PORTS.start(), OWN_PORTS.end());
            let why = format!(
                "from port {from} to {to} the run itself connects; choose a port below {}",
                from - BUS
            );
            return Err(io::Error::other(why));
        }
        let driver = Driver::start(Switch::new(key.child("live"), ports), capture)?;
        let tool = device::make_any(kinds, Port::TOOL.address(), Port::TOOL.0, &far)?;
        device::also(1, Port::CLIENTS.address())?;
        device::also(2, switch::CROWD)?;
        device::also(3, switch::NAMES)?;
        let kind = tool.kind();
        driver.plug(Port::TOOL, tool)?;
        Ok(Self {
            links,
            port,
            kind,
            home,
            far,
            nodes: BTreeMap::new(),
            driver,
            reaching: BTreeMap::new(),
            knocks: BTreeMap::new(),
            disks: None,
            told: None,
            asked: false,
            own_port: *OWN_PORTS.start(),
            power: None,
            losing: BTreeMap::new(),
            lost: BTreeMap::new(),
            trouble: None,
            names: None,
        })
    }

    /// Who lives in one node's namespace begins to connect to another's, at the port of a class.
    fn ask(
        &mut self,
        from: NodeId,
        to: NodeId,
        traffic: Traffic,
        waited: Duration,
    ) -> Result<io::Result<Reach>, EnvError> {
        let near = self.nodes.get(&from).ok_or(EnvError::NotRunning { node: from })?;
        let port = match traffic {
            Traffic::All => reach::NOBODYS,
            Traffic::Clients => self.port,
            Traffic::Bus => self.port + BUS,
        };
        let own = self.own_port;
        self.own_port = if own == *OWN_PORTS.end() { *OWN_PORTS.start() } else { own + 1 };
        Ok(if to == NodeId::CLIENTS {
            // They listen nowhere: they are who connects.
            Reach::begin(&self.home, &self.home, (Port::CLIENTS, own), (from.into(), port), waited)
        } else {
            Reach::begin(&self.home, near, (from.into(), own), (to.into(), port), waited)
        })
    }

    fn works(&self, what: String) -> Result<(), EnvError> {
        if self.driver.works() {
            return Ok(());
        }
        Err(EnvError::Failed { what, why: "the switch has ended".into() })
    }

    /// Packets that were lost on the way without anybody having asked for it.
    fn interference(&self) -> u64 {
        let dropped = |namespace: &Namespace| self.home.visit(namespace, device::dropped).unwrap_or(0);
        let devices: u64 = self.nodes.values().chain([&self.home]).map(dropped).sum();
        devices + self.driver.lost()
    }

    /// The table of all links, and of those that a fault struck what a report tells.
    fn tally(&self, interference: u64) -> (Tally<COLUMNS>, NetworkTold) {
        let mut tally = Tally::new("from\tto", CARRIED, columns(&Counts::default()));
        let mut told = NetworkTold { interference, ..NetworkTold::default() };
        for (from, to, counts) in self.driver.counts() {
            let (from, to, columns) = (name(from), name(to), columns(&counts));
            tally.row(&format!("{from}\t{to}"), columns);
            let struck: BTreeMap<String, u64> = columns[CARRIED..]
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(title, count)| (title.to_string(), *count))
                .collect();
            let Counts { packets, bytes, crossed, bytes_crossed, .. } = counts;
            if struck.is_empty() {
                told.others += 1;
                told.others_packets += packets;
                told.others_bytes += bytes;
            } else {
                told.struck.push(LinkTold { from, to, packets, bytes, crossed, bytes_crossed, struck });
            }
        }
        (tally, told)
    }
}

/// Links that a report tells of one by one.
const LINKS_TOLD: usize = 6;

/// One line of a report.
fn of_link(link: &LinkTold) -> String {
    let LinkTold { from, to, packets, crossed, bytes_crossed, struck, .. } = link;
    let struck: Vec<String> = struck.iter().map(|(what, count)| format!("{count} {what}")).collect();
    format!(
        "{from} to {to}: {crossed} of {packets} packets crossed ({bytes_crossed} bytes); {}",
        struck.join(", ")
    )
}

/// Columns that tell what was carried; those after them tell what a fault did.
const CARRIED: usize = 4;
const COLUMNS: usize = 16;

fn columns(counts: &Counts) -> [(&'static str, u64); COLUMNS] {
    [
        ("packets", counts.packets),
        ("bytes", counts.bytes),
        ("crossed", counts.crossed),
        ("bytes_crossed", counts.bytes_crossed),
        ("cut", counts.cut),
        ("kicked", counts.kicked),
        ("lost", counts.lost),
        ("duplicated", counts.duplicated),
        ("overtaken", counts.overtaken),
        ("delayed", counts.delayed),
        ("refused", counts.refused),
        ("corrupted", counts.corrupted),
        ("garbled", counts.garbled),
        ("overflowed", counts.overflowed),
        ("silenced", counts.silenced),
        ("held", counts.held),
    ]
}

/// What rules do, in the words of [`LinkRule`].
fn spelled(rules: &LinkRules) -> String {
    if let Some(rule) = rules.uniform() {
        return told(&rule);
    }
    let classes = [("clients", &rules.clients), ("bus", &rules.bus), ("rest", &rules.rest)];
    classes.map(|(class, rule)| format!("{class}: {}", told(rule))).join("; ")
}

fn told(rule: &LinkRule) -> String {
    let LinkRule {
        cut,
        delay,
        jitter,
        lose,
        duplicate,
        reorder,
        refuse,
        corrupt,
        garble,
        rate,
        burst,
        shape,
        natural,
        linger,
        exact,
    } = *rule;
    let mut told = Vec::new();
    told.extend(
        [("cut", cut), ("refuse", refuse)].into_iter().filter(|(_, is)| *is).map(|(name, _)| name.into()),
    );
    for (name, time) in [("delay", delay), ("jitter", jitter), ("ends late by", linger)] {
        told.extend((!time.is_zero()).then(|| format!("{name} {time}")));
    }
    let shares = [
        ("lose", lose),
        ("duplicate", duplicate),
        ("reorder", reorder),
        ("corrupt", corrupt),
        ("garble", garble),
    ];
    told.extend(
        shares
            .into_iter()
            .filter(|(_, share)| *share > 0)
            .map(|(name, share)| format!("{name} {share}/1000")),
    );
    told.extend((rate > 0).then(|| format!("rate {rate} kB/s")));
    told.extend(exact.then(|| "in exact shares".to_string()));
    told.extend((burst > 0).then(|| format!("in bursts of {burst}")));
    told.extend((!shape.is_uniform()).then(|| format!("{shape} distribution")));
    told.extend(natural.then(|| "nobody is woken up after it".to_string()));
    if told.is_empty() { "no fault".into() } else { told.join(", ") }
}

fn name(port: Port) -> String {
    if port == Port::TOOL { "tool".into() } else { NodeId(port.0).to_string() }
}

impl Ground for Net {
    fn profile(&self) -> &'static Profile {
        &LIVE
    }

    fn spot(&self, node: NodeId) -> Option<Spot> {
        spot(node, self.port)
    }

    fn settle(&mut self, node: NodeId) -> Result<(), String> {
        let port = Port::from(node);
        let make = || device::make(self.kind, port.address(), port.0, &self.far);
        let made = self.home.make(|_| make());
        let (namespace, device) =
            made.map_err(|error| format!("its network, with {}: {error}", self.kind.told()))?;
        self.driver.plug(port, device).map_err(|error| error.to_string())?;
        self.nodes.insert(node, namespace);
        Ok(())
    }

    /// Nobody else is there.
    fn is_free(&self, _: Spot) -> Result<(), String> {
        Ok(())
    }

    fn place(&mut self, node: NodeId, folder: &Path, command: &mut Command) -> io::Result<()> {
        self.nodes.get(&node).ok_or(Errno::ENOENT)?.take_in(command);
        if let Some(power) = &mut self.power {
            power.place(node, folder, command)?;
        }
        if let Some(names) = &self.names {
            names.place(command);
        }
        self.disks.as_ref().map_or(Ok(()), |disks| disks.watch(node, folder, command))
    }

    fn disk(
        &mut self,
        node: NodeId,
        event: &str,
        rule: Option<&DiskRule>,
        runs: bool,
        waited: Option<Duration>,
    ) -> Result<Option<Evidence>, EnvError> {
        let unable = || EnvError::Unable { what: "strike a disk whose calls are not watched".into() };
        self.disks.as_mut().ok_or_else(unable)?.change(node, event, rule, runs, waited)
    }

    fn names(
        &mut self,
        node: NodeId,
        event: &str,
        rule: Option<&ResolveRule>,
        waited: Option<Duration>,
    ) -> Result<Option<Evidence>, EnvError> {
        let near = self.nodes.get(&node).ok_or(EnvError::NotRunning { node })?;
        let unable = || EnvError::Unable { what: "let names not resolve that nobody has".into() };
        self.names.as_mut().ok_or_else(unable)?.change((&self.home, near), node, event, rule, waited)
    }

    fn furnished(&mut self, node: NodeId) -> io::Result<()> {
        self.power.as_mut().map_or(Ok(()), |power| power.leave(node))
    }

    fn cut_power(&mut self, node: NodeId, event: &str, flushed: bool) -> Result<(), EnvError> {
        if self.power.is_none() {
            return Err(EnvError::Unable {
                what: "lose what was not synced: the folders are not served".into(),
            });
        }
        self.losing.insert(node, (event.into(), flushed));
        Ok(())
    }

    fn ended(&mut self, node: NodeId, incarnation: u32) -> Option<Observed> {
        let struck = self.disks.as_ref().and_then(|disks| disks.take_power(node)).map(|event| (event, true));
        let (event, flushed) = self.losing.remove(&node).or(struck)?;
        let lost = self.power.as_mut()?.lose(node, incarnation, flushed).map_err(|error| error.to_string());
        let what = match &lost {
            Ok(said) => said.clone(),
            Err(why) => {
                let what = format!("what {node} had not synced could not be taken back: {why}");
                self.trouble = Some(Trouble::Leak { node, what: what.clone() });
                what
            }
        };
        self.lost.insert(node, lost);
        Some(Observed::Struck { node, event, blow: None, what })
    }

    fn lost(&mut self, node: NodeId) -> Result<Evidence, EnvError> {
        let what = format!("cutting the power of {node}");
        match self.lost.remove(&node) {
            Some(lost) => lost.map_err(|why| EnvError::Failed { what, why }),
            None => Err(EnvError::Failed { what, why: "it had ended before".into() }),
        }
    }

    fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    fn reach(
        &mut self,
        from: NodeId,
        to: NodeId,
        traffic: Traffic,
        waited: Option<Duration>,
    ) -> Result<Option<Evidence>, EnvError> {
        let failed = |why: String| EnvError::Failed { what: format!("reaching {to} from {from}"), why };
        let waited = waited.unwrap_or_default();
        // Where two ask for the same, whoever looks first takes the answer, and the other tries again.
        let Some(reach) = self.reaching.get(&(from, to, traffic)) else {
            let begun = self.ask(from, to, traffic, waited)?.map_err(|error| failed(error.to_string()))?;
            self.reaching.insert((from, to, traffic), begun);
            return Ok(None);
        };
        let Some(came) = reach.look(waited) else { return Ok(None) };
        self.reaching.remove(&(from, to, traffic));
        came.map_err(failed)?;
        Ok(Some(format!("{from} and {to} reach one another")))
    }

    fn knock(&mut self, from: NodeId, to: NodeId, traffic: Traffic) -> Result<Evidence, EnvError> {
        let what = || format!("trying from {from} whether {to} is cut off");
        let begun = self.ask(from, to, traffic, Duration::ZERO)?;
        let begun = begun.map_err(|error| EnvError::Failed { what: what(), why: error.to_string() })?;
        self.knocks.entry((from, to, traffic)).or_default().push_back(begun);
        Ok(format!("{from} asks {to} for an answer"))
    }

    fn unheard(&mut self, from: NodeId, to: NodeId, traffic: Traffic) -> Result<Evidence, EnvError> {
        let what = || format!("a cut between {from} and {to}");
        let oldest = self.knocks.get_mut(&(from, to, traffic)).and_then(VecDeque::pop_front);
        let Some(asked) = oldest else {
            return Err(EnvError::Failed { what: what(), why: "nobody has tried whether it is one".into() });
        };
        if let Some(Ok(())) = asked.look(Duration::ZERO) {
            return Err(EnvError::Failed { what: what(), why: "packets cross, as the nodes say".into() });
        }
        Ok(format!("{from} had no answer of {to}"))
    }

    fn keeps(&self, node: NodeId) -> bool {
        self.disks.as_ref().is_some_and(|disks| disks.keeps(node))
    }

    fn release(&mut self, node: NodeId) {
        if let Some(disks) = &self.disks {
            disks.release(node);
        }
    }

    fn take_observed(&mut self) -> Vec<Observed> {
        let messages = self.driver.take_told();
        self.asked |= !messages.is_empty();
        let told = |(kind, from, to): (_, Port, Port)| Observed::Message {
            kind,
            from: NodeId(from.0),
            to: NodeId(to.0),
        };
        let mut observed: Vec<Observed> = messages.into_iter().map(told).collect();
        observed.extend(self.disks.iter().flat_map(Disks::take_observed));
        observed
    }

    fn hold(&mut self, event: String, hold: Option<Hold>) -> Result<Evidence, EnvError> {
        self.works("holding messages of the cluster bus".into())?;
        let links = hold.as_ref().map_or(0, |hold| hold.links.len());
        Ok(self.driver.hold(event, hold).unwrap_or_else(|| format!("messages wait on {links} links")))
    }

    fn strike(&mut self, event: String, strike: Option<LinkStrike>) -> Result<Evidence, EnvError> {
        self.works("lying in wait on a link".into())?;
        let links = strike.as_ref().map_or(0, |strike| strike.links.len());
        Ok(self.driver.strike(event, strike).unwrap_or_else(|| format!("in wait on {links} links")))
    }

    fn watch_messages(&mut self, kinds: &[MessageType]) {
        self.driver.watch(kinds);
    }

    fn answered(&mut self) {
        if std::mem::take(&mut self.asked) {
            self.driver.answered();
        }
    }

    fn told(&self) -> Vec<BorrowedFd<'_>> {
        self.disks.iter().map(Disks::told).chain([self.driver.told()]).collect()
    }

    fn has_clocks(&self) -> bool {
        true
    }

    fn clients(&self) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(Port::CLIENTS.address()))
    }

    fn crowd(&self) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(switch::CROWD))
    }

    fn link(&mut self, from: NodeId, to: NodeId, rules: LinkRules) -> Result<Evidence, EnvError> {
        for node in [from, to] {
            if node != NodeId::CLIENTS && !self.nodes.contains_key(&node) {
                return Err(EnvError::NotRunning { node });
            }
        }
        self.works(format!("changing the link from {from} to {to}"))?;
        let change = self.driver.set_rules(from.into(), to.into(), rules);
        Ok(struck_so_far(&change.count, change.kicked, change.leaked))
    }

    fn reset(&mut self, one: NodeId, other: Option<NodeId>, traffic: Traffic) -> Result<Evidence, EnvError> {
        self.works(format!("resetting connections of {one}"))?;
        let others = other.map_or(vec![Port::TOOL, Port::CLIENTS], |other| vec![other.into()]);
        let count: u64 = others.into_iter().map(|other| self.driver.reset(one.into(), other, traffic)).sum();
        Ok(connections(count))
    }

    fn forget(
        &mut self,
        node: NodeId,
        other: NodeId,
        traffic: Traffic,
        silent: bool,
    ) -> Result<Evidence, EnvError> {
        self.works(format!("letting {node} forget connections"))?;
        Ok(connections(self.driver.forget(node.into(), other.into(), traffic, silent)))
    }

    fn recall(&mut self, node: NodeId, other: NodeId) -> Result<Evidence, EnvError> {
        self.works(format!("letting {other} hear of {node}"))?;
        Ok(connections(self.driver.recall(node.into(), other.into())))
    }

    fn network(&self) -> Option<&NetworkTold> {
        self.told.as_ref()
    }

    fn close(&mut self) -> Vec<String> {
        let lost = self.interference();
        let (tally, told) = self.tally(lost);
        let mut notes = vec![format!("nodes had a network of their own, with {}", self.kind.told())];
        notes.extend(tally.struck().map(|struck| format!("segments on links with a fault: {struck}")));
        notes.extend(told.struck.iter().take(LINKS_TOLD).map(of_link));
        if told.struck.len() > LINKS_TOLD {
            notes.push(format!("faults struck {} more links: see {LINKS}", told.struck.len() - LINKS_TOLD));
        }
        self.told = Some(told);
        if lost > 0 {
            notes.push(format!("the switch itself lost {lost} packets, which no fault asked for"));
        }
        let nowhere = self.driver.nowhere();
        let end = format!("# {lost} packets lost by the switch itself, {nowhere} for nobody\n");
        if let Err(error) = fs::write(&self.links, tally.table() + &end) {
            notes.push(format!("failed to write {LINKS}: {error}"));
        }
        notes.extend(self.disks.iter_mut().flat_map(Disks::close));
        if let Some(Err(error)) = self.power.take().map(|power| power.works())
            && let Some(node) = self.nodes.keys().next()
        {
            self.trouble.get_or_insert(Trouble::Leak { node: *node, what: error.to_string() });
        }
        if let Some(names) = &mut self.names {
            names.stop();
        }
        if !self.driver.stop() {
            notes.push(format!("failed to write all of {CAPTURE}"));
        }
        notes
    }
}
