//! The network between the nodes, and between them and the tool's own clients.
//!
//! Every connection ends here twice: each side is a Unix socket whose other end a server holds, or an actor of
//! the tool. What one side wrote in a turn is a chunk; it arrives at the other after a delay that is a keyed hash
//! of (link, connection, chunk), in order. A TCP link loses no messages: what arrives at a cut, or at a machine that is
//! off, comes by a later retransmission ([`link`]), a lossy link makes chunks late, and the end of a connection queues
//! behind what was written before it.
//!
//! A side that closes with everything read ends by FIN; one that throws away what it had not read, or is sent something
//! once it is gone, by RST, of which the shim asks when a socket has ended ([`Network::reset_pending`]).

mod carry;
mod connection;
mod hold;
mod link;
pub mod order;
pub mod pcap;

use crate::catalogue::MessageType;
use crate::entropy::Entropy;
use crate::env::{ActorId, ConnId, LinkRule, NodeId};
use connection::{Cargo, Connection, End, OUTSIDE, fill, name, stream};
use hold::Holding;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{Backlog, SockFlag, accept4, bind, connect, listen};
use order::Order;
use pcap::Pcap;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// The first port of connections that nobody gave a port.
const EPHEMERAL: u32 = 32_768;
const EPHEMERAL_COUNT: u64 = 28_000;

/// What the network has for an actor.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    Opened,
    Bytes(Vec<u8>),
    Closed,
    Reset,
    Refused,
}

/// A message of the cluster bus, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub at: u64,
    pub kind: MessageType,
    pub from: NodeId,
    pub to: NodeId,
    /// The sender's current and configuration epoch, where it tells them.
    pub epochs: Option<(u64, u64)>,
    /// It has arrived; else it has just been sent.
    pub delivered: bool,
}

/// A port of a node.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    pub node: NodeId,
    pub bus: bool,
}

#[derive(Debug)]
pub struct Network {
    key: Entropy,
    token: String,
    connections: BTreeMap<u64, Connection>,
    by_actor: BTreeMap<ConnId, u64>,
    next: u64,
    /// Connections that each link has had, by its two ends.
    counts: BTreeMap<(u16, u16), u64>,
    rules: BTreeMap<(u16, u16), LinkRule>,
    /// Nodes whose machine is off: nothing reaches them, and nobody is told.
    away: BTreeSet<u16>,
    /// Windows in which messages overtake one another.
    order: Order,
    /// What is carried, written down as packets.
    tap: Option<Pcap>,
    /// Faults that hold messages, by the event.
    holds: BTreeMap<String, Holding>,
    /// Ends of connections, by number and side, whose server has not yet seen that they were reset.
    resets: BTreeSet<(u64, usize)>,
    /// When something of a connection is due.
    due: BTreeSet<(u64, u64, usize)>,
    /// What was carried since it was last asked, for the trace.
    pub hasher: blake3::Hasher,
    /// Messages of the cluster bus that were sent or delivered since they were last taken.
    told: Vec<Message>,
    /// Directions of bus connections in which something came that is no message.
    pub not_parsed: u64,
    /// What watches the sockets of each node, by the node. An event's number is the connection's, doubled, and the
    /// side.
    watches: BTreeMap<u16, Epoll>,
    /// Nodes that had a turn, or a socket of which was written to, joined or closed, since it was last asked: who of
    /// them waits may have something to do.
    stirred: BTreeSet<u16>,
    /// Ways whose receiver, the node, had no room.
    blocked: BTreeSet<(u16, u64, usize)>,
    /// Room for what a watch tells.
    events: Vec<EpollEvent>,
    /// Room to read into.
    buffer: Vec<u8>,
}

impl Network {
    pub fn new(key: Entropy, token: String, order: Order, tap: Option<Pcap>) -> Self {
        Self {
            key,
            order,
            tap,
            token,
            connections: BTreeMap::new(),
            by_actor: BTreeMap::new(),
            next: 0,
            counts: BTreeMap::new(),
            rules: BTreeMap::new(),
            away: BTreeSet::new(),
            holds: BTreeMap::new(),
            resets: BTreeSet::new(),
            due: BTreeSet::new(),
            hasher: blake3::Hasher::new(),
            told: Vec::new(),
            not_parsed: 0,
            watches: BTreeMap::new(),
            stirred: BTreeSet::new(),
            blocked: BTreeSet::new(),
            events: Vec::new(),
            buffer: vec![0; CHUNK],
        }
    }

    /// The port of the next connection of a link: its own count, so that what other links do leaves it alone. (Two
    /// connections of one port that lead to different places are no rarity.)
    fn port(&self, from: u16, to: u16) -> u16 {
        let place = u64::from(from) << 16 | u64::from(to);
        let count = self.counts.get(&(from, to)).copied().unwrap_or(0);
        (EPHEMERAL + (((self.key.word("port", place, 0) >> 1) + count) % EPHEMERAL_COUNT) as u32) as u16
    }

    fn add(&mut self, ends: [End; 2], to: (u32, u16), from_port: u16, bus: bool) -> u64 {
        let count = self.counts.entry((ends[0].node(), ends[1].node())).or_default();
        *count += 1;
        let count = *count;
        let ways = Default::default();
        let connection = Connection { count, ends, ways, to, from_port, bus, in_progress: false };
        self.next += 1;
        self.connections.insert(self.next, connection);
        self.next
    }

    /// An actor connects to a node's port.
    pub fn open(&mut self, now: u64, actor: ActorId, id: ConnId, node: NodeId, to: (u32, u16)) {
        let from_port = self.port(OUTSIDE, node.0);
        let number = self.add([End::Actor(actor, id), End::Coming(node)], to, from_port, false);
        self.by_actor.insert(id, number);
        self.push(now, number, 0, Cargo::Connect);
    }

    pub fn send(&mut self, now: u64, id: ConnId, bytes: Vec<u8>) {
        if let Some(number) = self.by_actor.get(&id) {
            self.push(now, *number, 0, Cargo::Bytes(bytes));
        }
    }

    pub fn close(&mut self, now: u64, id: ConnId) {
        let Some(number) = self.by_actor.remove(&id) else { return };
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.ends[0] = End::Closed;
        if connection.ways[0].stalled && matches!(connection.ends[1], End::Coming(_)) {
            // A connect that is given up is not tried again.
            self.connections.remove(&number);
        } else {
            self.push(now, number, 0, Cargo::End);
        }
    }

    /// A node connects this socket of its own to a port. The errno is the server's to see.
    pub fn connect(
        &mut self,
        now: u64,
        node: NodeId,
        fd: &OwnedFd,
        to: (u32, u16),
        there: Option<Port>,
    ) -> Result<(), Errno> {
        let Some(Port { node: there, bus }) = there else { return Err(Errno::ECONNREFUSED) };
        let passes = self.passes((node.0, there.0)) && self.passes((there.0, node.0));
        let from_port = self.port(node.0, there.0);
        let number = self.next + 1;
        let link = (node.0, there.0);
        let far = if passes {
            if let Some(tap) = &mut self.tap {
                tap.connect(now, number, link, (from_port, to.1));
            }
            let reached = self.reach(number, link, to, from_port);
            if let (Some(tap), Err(_)) = (&mut self.tap, &reached) {
                tap.reset(now, number, 1);
            }
            Some(reached?)
        } else {
            None
        };
        // A listener that lives for one connection: its name is what the server takes for its peer's.
        let unique = format!(".{number}");
        let listener = stream()?;
        bind(listener.as_raw_fd(), &name(&self.token, to.0, to.1, &unique)?)?;
        listen(&listener, Backlog::new(1).map_err(|_| Errno::EINVAL)?)?;
        // Where the server has bound it already it keeps that name.
        let _ = bind(fd.as_raw_fd(), &name(&self.token, LOOPBACK, from_port, &unique)?);
        connect(fd.as_raw_fd(), &name(&self.token, to.0, to.1, &unique)?)?;
        let near = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
        #[expect(unsafe_code, reason = "the kernel has just made this descriptor for us")]
        let near = unsafe { OwnedFd::from_raw_fd(near) };
        let held = far.is_none();
        if held {
            fill(fd)?;
        }
        let far = far.map_or(End::Coming(there), |far| End::Socket(there, far));
        let number = self.add([End::Socket(node, near), far], to, from_port, bus);
        if held && let Some(connection) = self.connections.get_mut(&number) {
            connection.in_progress = true;
        }
        self.watch(number, 0)?;
        self.watch(number, 1)?;
        if held {
            self.push(now, number, 0, Cargo::Connect);
            return Err(Errno::EINPROGRESS);
        }
        if let Some(tap) = &mut self.tap {
            tap.accept(now, number);
        }
        Ok(())
    }

    /// Watches what a node does with its socket. Of a connect in progress only the end is news, which is told
    /// without being asked for.
    fn watch(&mut self, number: u64, side: usize) -> nix::Result<()> {
        let Some(connection) = self.connections.get(&number) else { return Ok(()) };
        let End::Socket(node, fd) = &connection.ends[side] else { return Ok(()) };
        let watch = match self.watches.entry(node.0) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?),
        };
        let waits = side == 0 && connection.in_progress;
        let news = if waits { EpollFlags::empty() } else { EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP };
        watch.add(fd, EpollEvent::new(news, number << 1 | side as u64))
    }

    fn unwatch(&self, number: u64, side: usize) {
        if let Some(connection) = self.connections.get(&number)
            && let End::Socket(node, fd) = &connection.ends[side]
            && let Some(watch) = self.watches.get(&node.0)
        {
            // One that is not watched is not to be watched.
            let _ = watch.delete(fd);
        }
    }

    /// A socket in the queue of whoever listens at this port. Its name tells the shim the number of the connection.
    fn reach(
        &mut self,
        number: u64,
        link: (u16, u16),
        to: (u32, u16),
        from_port: u16,
    ) -> Result<OwnedFd, Errno> {
        self.stirred.insert(link.1);
        if self.rules.get(&link).is_some_and(|rule| rule.refuse) {
            return Err(Errno::ECONNREFUSED);
        }
        let far = stream()?;
        let unique = format!(".{number}f");
        bind(far.as_raw_fd(), &name(&self.token, LOOPBACK, from_port, &unique)?)?;
        connect(far.as_raw_fd(), &name(&self.token, to.0, to.1, "")?)?;
        Ok(far)
    }

    pub fn set_rule(&mut self, now: u64, from: NodeId, to: NodeId, rule: LinkRule) {
        if self.rules.insert((from.0, to.0), rule).is_none_or(|before| !before.cut) && rule.cut {
            self.order.struck(now);
        }
        self.resume(now, |link| link == (from.0, to.0));
    }

    /// A node was struck: a moment around which messages may overtake one another.
    pub fn struck(&mut self, now: u64) {
        self.order.struck(now);
    }

    /// Whether what is on a link arrives.
    fn passes(&self, link: (u16, u16)) -> bool {
        !self.rules.get(&link).is_some_and(|rule| rule.cut) && !self.away.contains(&link.1)
    }

    /// Resets the established connections between two nodes, or those of a node with the tool's clients: both sides
    /// learn it at once, and what is on the way is lost. Answers how many there were.
    pub fn reset(
        &mut self,
        now: u64,
        one: NodeId,
        other: Option<NodeId>,
        news: &mut Vec<(ActorId, ConnId, News)>,
    ) -> u64 {
        let other = other.map_or(OUTSIDE, |node| node.0);
        let between = |connection: &Connection| {
            let link = connection.link(0);
            let established = !connection.ends.iter().any(|end| matches!(end, End::Coming(_) | End::Closed));
            established && (link == (one.0, other) || link == (other, one.0))
        };
        let numbers: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| between(connection))
            .map(|(number, _)| *number)
            .collect();
        for number in &numbers {
            for side in 0..2 {
                match &self.connections[number].ends[side] {
                    End::Socket(..) => drop(self.resets.insert((*number, side))),
                    End::Actor(actor, id) => news.push((*actor, *id, News::Reset)),
                    _ => {}
                }
            }
            if let Some(tap) = &mut self.tap {
                tap.break_off(now, *number);
            }
            self.drop_connection(*number);
        }
        numbers.len() as u64
    }

    /// Whether this end of a connection was reset and its server has not been told. Tells it once, as TCP does.
    pub fn reset_pending(&mut self, number: u64, side: usize) -> bool {
        self.resets.remove(&(number, side))
    }

    /// The machine of a node goes off, with the processes on it, which the caller ends next: nobody is told. What the
    /// node has sent arrives, unless it would have to be sent again; what is sent to it is sent again and again.
    pub fn vanish(&mut self, now: u64, node: NodeId) {
        self.struck(now);
        self.away.insert(node.0);
        let mut given_up = Vec::new();
        for (number, connection) in &mut self.connections {
            for side in 0..2 {
                if !matches!(&connection.ends[side], End::Socket(of, _) if *of == node) {
                    continue;
                }
                if matches!(connection.ends[1 - side], End::Coming(_)) {
                    given_up.push(*number);
                }
                connection.ends[side] = End::Gone(node);
                let own = &mut connection.ways[side];
                if own.stalled || own.held {
                    own.queue.clear();
                    (own.in_flight, own.stalled, own.held) = (0, false, false);
                }
                connection.ways[1 - side].stalled |= self.blocked.remove(&(node.0, *number, 1 - side));
            }
        }
        for number in given_up {
            self.drop_connection(number);
        }
    }

    /// The machine of a node is on again: it knows nothing of its former connections.
    pub fn back(&mut self, now: u64, node: NodeId) {
        if self.away.remove(&node.0) {
            self.resume(now, |link| link.1 == node.0);
        }
    }

    /// Nodes whose processes may find something where they wait that was not there at the last call.
    pub fn take_stirred(&mut self) -> BTreeSet<u16> {
        std::mem::take(&mut self.stirred)
    }

    /// Messages of the cluster bus that were sent or delivered since the last call, in order.
    pub fn take_told(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.told)
    }

    /// Writes out what is still to be written.
    pub fn flush(&mut self) {
        if let Some(tap) = &mut self.tap {
            tap.flush();
        }
    }

    fn drop_connection(&mut self, number: u64) {
        if let Some(tap) = &mut self.tap {
            tap.forget(number);
        }
        if let Some(connection) = self.connections.remove(&number) {
            for end in &connection.ends {
                if let End::Actor(_, id) = end {
                    self.by_actor.remove(id);
                }
                self.stirred.insert(end.node());
            }
        }
    }
}

/// Where all nodes are.
pub const LOOPBACK: u32 = 0x7f00_0001;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{MsgFlags, send};
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    const PORT: u16 = 7001;
    const HERE: NodeId = NodeId(0);
    const THERE: NodeId = NodeId(1);

    fn network() -> (Network, OwnedFd) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let token =
            format!("{:016x}", u64::from(std::process::id()) << 32 | u64::from(COUNT.fetch_add(1, Relaxed)));
        let key = Entropy::root(Seed(1));
        let network = Network::new(key, token, Order::new(key, 0), None);
        let listener = stream().expect("a socket");
        bind(listener.as_raw_fd(), &name(&network.token, LOOPBACK, PORT, "").expect("a name")).expect("free");
        listen(&listener, Backlog::new(8).expect("a backlog")).expect("it is bound");
        (network, listener)
    }

    fn shows(fd: &OwnedFd) -> PollFlags {
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN | PollFlags::POLLOUT)];
        poll(&mut fds, PollTimeout::ZERO).expect("it is open");
        fds[0].revents().unwrap_or(PollFlags::empty())
    }

    #[test]
    fn a_connect_into_a_cut_is_in_progress_until_the_cut_heals_or_nobody_is_there() {
        let (mut network, listener) = network();
        let cut = LinkRule { cut: true, ..LinkRule::default() };
        let try_connect = |network: &mut Network, now, socket: &OwnedFd| {
            let fd = socket.try_clone().expect("a descriptor");
            network.connect(now, HERE, &fd, (LOOPBACK, PORT), Some(Port { node: THERE, bus: true }))
        };
        let mut news = Vec::new();
        // The way back alone is cut: the answer to the connect does not come either.
        network.set_rule(0, THERE, HERE, cut);
        let (kept, given_up, refused) =
            (stream().expect("one"), stream().expect("one"), stream().expect("one"));
        assert_eq!(try_connect(&mut network, 0, &kept), Err(Errno::EINPROGRESS));
        assert_eq!(try_connect(&mut network, 0, &given_up), Err(Errno::EINPROGRESS));
        assert_eq!(shows(&kept), PollFlags::empty());
        network.deliver(1_000, &mut news);
        network.deliver(1_000_000, &mut news);
        assert_eq!(shows(&kept), PollFlags::empty());
        drop(given_up);
        network.pump(1_000_000, HERE);
        assert_eq!(network.connections.len(), 1, "what was given up is gone");
        network.set_rule(2_000_000, THERE, HERE, LinkRule::default());
        network.deliver(2_999_999, &mut news);
        assert_eq!(shows(&kept), PollFlags::empty(), "it is tried again after one second and after three");
        network.deliver(3_100_000, &mut news);
        network.deliver(3_200_000, &mut news);
        assert_eq!(shows(&kept), PollFlags::POLLOUT, "it is through, and nothing can be read");
        // What the other side says from now on is heard.
        let accepted = [(); 2].map(|()| accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC));
        let heard = accepted
            .iter()
            .filter(|fd| send(fd.expect("both came"), b"hello", MsgFlags::MSG_NOSIGNAL) == Ok(5))
            .count();
        assert_eq!(heard, 1, "the other is given up");
        network.pump(3_200_000, THERE);
        network.deliver(3_300_000, &mut news);
        assert_eq!(shows(&kept), PollFlags::POLLIN | PollFlags::POLLOUT);

        network.set_rule(4_000_000, HERE, THERE, cut);
        assert_eq!(try_connect(&mut network, 4_000_000, &refused), Err(Errno::EINPROGRESS));
        drop(listener);
        network.set_rule(5_000_000, HERE, THERE, LinkRule::default());
        network.deliver(6_000_000, &mut news);
        network.deliver(7_000_000, &mut news);
        let error = nix::sys::socket::getsockopt(&refused, nix::sys::socket::sockopt::SocketError);
        assert_eq!(error, Ok(Errno::ECONNRESET as i32));
        assert!(news.is_empty(), "{news:?}");
    }

    /// When each chunk of a connection to node 1 is due, and its port, where other links may be busy too.
    fn choices(others: bool) -> (Vec<u64>, u16) {
        let (mut network, _listener) = network();
        let mut dues = Vec::new();
        if others {
            network.open(0, ActorId(1), ConnId(90), NodeId(2), (LOOPBACK, PORT + 1));
            network.send(0, ConnId(90), vec![0; 100]);
        }
        network.open(0, ActorId(1), ConnId(1), THERE, (LOOPBACK, PORT));
        let number = network.by_actor[&ConnId(1)];
        for count in 0..20 {
            let now = count * 1_000;
            if others {
                network.send(now, ConnId(90), vec![0; 10]);
            }
            network.send(now, ConnId(1), vec![0; 10]);
            dues.push(network.connections[&number].ways[0].queue.back().map_or(0, |chunk| chunk.due));
        }
        (dues, network.connections[&number].from_port)
    }

    #[test]
    fn what_happens_on_one_link_changes_no_choice_of_another() {
        assert_eq!(choices(false), choices(true));
    }
}
