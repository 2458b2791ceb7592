//! The network between the nodes, and between them and the tool's own clients.
//!
//! Every connection ends here twice: each side is a Unix socket whose other end a server holds, or an actor of
//! the tool. What one side wrote in a turn is a chunk; it arrives at the other after a delay that is a keyed hash
//! of (link, connection, chunk), in order. A TCP link loses no messages: a cut holds them, a lossy link makes
//! them late, as retransmission does, and the end of a connection queues behind what was written before it.

use crate::entropy::Entropy;
use crate::env::{ActorId, ConnId, LinkRule, NodeId};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, recv,
    send, socket,
};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A chunk takes its link's own base, and up to this much more by itself.
const BASE_US: u64 = 40;
const BASE_US_MORE: u64 = 200;
const JITTER_US: u64 = 150;
/// What a lost segment costs: Linux's least retransmission timeout (`TCP_RTO_MIN`).
const RETRANSMIT_US: u64 = 200_000;
/// A segment that comes out of order waits for the one before it.
const OVERTAKEN_US: u64 = 3_000;
/// Bytes on the way in one direction before the sender is no longer read from: what buffers would hold.
const WINDOW: usize = 1 << 20;
/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// The first port of connections that nobody gave a port.
const EPHEMERAL: u32 = 32_768;
const EPHEMERAL_COUNT: u64 = 28_000;
/// What stands for the tool's clients as the end of a link.
const OUTSIDE: u16 = u16::MAX;

/// One side of a connection.
#[derive(Debug)]
enum End {
    /// Our half of a pair whose other half belongs to this node.
    Socket(NodeId, OwnedFd),
    Actor(ActorId, ConnId),
    /// Not connected yet.
    Coming(NodeId),
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
enum Cargo {
    /// The connection itself arrives at the other side.
    Connect,
    /// The other side has it.
    Opened,
    Bytes(Vec<u8>),
    End,
    Refused,
}

#[derive(Debug)]
struct Chunk {
    due: u64,
    cargo: Cargo,
}

/// One way of a connection.
#[derive(Debug, Default)]
struct Way {
    queue: VecDeque<Chunk>,
    in_flight: usize,
    chunks: u64,
    last_due: u64,
    /// Its end was read.
    ended: bool,
}

#[derive(Debug)]
struct Connection {
    /// The key of its choices: its count among those of its link.
    count: u64,
    /// Way 0 leads from end 0 to end 1.
    ends: [End; 2],
    ways: [Way; 2],
    /// Where it leads: the port of end 1.
    to: (u32, u16),
    from_port: u16,
    /// The server at end 0 waits for its connect: its socket has been made full, and is emptied when it is through.
    in_progress: bool,
}

/// What the network has for an actor.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    Opened,
    Bytes(Vec<u8>),
    Closed,
    Refused,
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
    /// When something of a connection is due.
    due: BTreeSet<(u64, u64, usize)>,
    /// What was carried since it was last asked, for the trace.
    pub hasher: blake3::Hasher,
    /// What watches the sockets of each node, by the node. An event's number is the connection's, doubled, and the
    /// side.
    watches: BTreeMap<u16, Epoll>,
    /// Ways whose receiver, the node, had no room.
    blocked: BTreeSet<(u16, u64, usize)>,
    /// Room for what a watch tells.
    events: Vec<EpollEvent>,
    /// Room to read into.
    buffer: Vec<u8>,
}

fn end_node(end: &End) -> u16 {
    match end {
        End::Socket(node, _) | End::Coming(node) => node.0,
        End::Actor(..) | End::Closed => OUTSIDE,
    }
}

fn name(token: &str, address: u32, port: u16, unique: &str) -> nix::Result<UnixAddr> {
    UnixAddr::new_abstract(format!("sf{token}{address:08x}{port:04x}{unique}").as_bytes())
}

/// Makes a server's socket unwritable, which is what a connect that is in progress looks like.
fn fill(fd: &OwnedFd) -> nix::Result<()> {
    loop {
        match send(fd.as_raw_fd(), &[0; 4096], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn stream() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

impl Network {
    pub fn new(key: Entropy, token: String) -> Self {
        Self {
            key,
            token,
            connections: BTreeMap::new(),
            by_actor: BTreeMap::new(),
            next: 0,
            counts: BTreeMap::new(),
            rules: BTreeMap::new(),
            due: BTreeSet::new(),
            hasher: blake3::Hasher::new(),
            watches: BTreeMap::new(),
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

    fn add(&mut self, ends: [End; 2], to: (u32, u16), from_port: u16) -> u64 {
        let link = (end_node(&ends[0]), end_node(&ends[1]));
        let count = self.counts.entry(link).or_default();
        *count += 1;
        let connection =
            Connection { count: *count, ends, ways: Default::default(), to, from_port, in_progress: false };
        self.next += 1;
        self.connections.insert(self.next, connection);
        self.next
    }

    /// An actor connects to a node's port.
    pub fn open(&mut self, now: u64, actor: ActorId, id: ConnId, node: NodeId, to: (u32, u16)) {
        let from_port = self.port(OUTSIDE, node.0);
        let number = self.add([End::Actor(actor, id), End::Coming(node)], to, from_port);
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
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.ends[0] = End::Closed;
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
        there: Option<NodeId>,
    ) -> Result<(), Errno> {
        let Some(there) = there else { return Err(Errno::ECONNREFUSED) };
        let cut = self.is_cut(node.0, there.0) || self.is_cut(there.0, node.0);
        let from_port = self.port(node.0, there.0);
        let far = if cut { None } else { Some(self.reach(to, from_port)?) };
        // A listener that lives for one connection: its name is what the server takes for its peer's.
        let unique = format!(".{}", self.next + 1);
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
        let number = self.add([End::Socket(node, near), far], to, from_port);
        if held && let Some(connection) = self.connections.get_mut(&number) {
            connection.in_progress = true;
        }
        self.watch(number, 0)?;
        self.watch(number, 1)?;
        if held {
            self.push(now, number, 0, Cargo::Connect);
            return Err(Errno::EINPROGRESS);
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
        let news = if waits { EpollFlags::empty() } else { EpollFlags::EPOLLIN };
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

    /// A socket in the queue of whoever listens at this port.
    fn reach(&self, to: (u32, u16), from_port: u16) -> Result<OwnedFd, Errno> {
        let far = stream()?;
        let unique = format!(".{}f", self.next + 1);
        bind(far.as_raw_fd(), &name(&self.token, LOOPBACK, from_port, &unique)?)?;
        connect(far.as_raw_fd(), &name(&self.token, to.0, to.1, "")?)?;
        Ok(far)
    }

    pub fn set_rule(&mut self, now: u64, from: NodeId, to: NodeId, rule: LinkRule) {
        self.rules.insert((from.0, to.0), rule);
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            for way in 0..2 {
                if self.link(number, way) == (from.0, to.0) {
                    self.schedule(now, number, way);
                }
            }
        }
    }

    fn is_cut(&self, from: u16, to: u16) -> bool {
        self.rules.get(&(from, to)).is_some_and(|rule| rule.cut)
    }

    fn link(&self, number: u64, way: usize) -> (u16, u16) {
        let ends = &self.connections[&number].ends;
        (end_node(&ends[way]), end_node(&ends[1 - way]))
    }

    fn delay(&self, link: (u16, u16), connection: u64, chunk: u64) -> u64 {
        let place = u64::from(link.0) << 16 | u64::from(link.1);
        let base = BASE_US + self.key.word("link base", place, 0) % BASE_US_MORE;
        let word = self.key.word("chunk", place << 32 | connection, chunk);
        let mut delay = base + (word & 0xffff) * JITTER_US / 65_536;
        if let Some(rule) = self.rules.get(&link) {
            let share = |shift: u64| (word >> shift & 0xffff) * 1000 / 65_536;
            delay += rule.delay.micros().0 + (word >> 48) * rule.jitter.micros().0 / 65_536;
            if share(16) < u64::from(rule.lose) {
                delay += RETRANSMIT_US;
            }
            if share(32) < u64::from(rule.reorder) {
                delay += OVERTAKEN_US;
            }
        }
        delay
    }

    fn push(&mut self, now: u64, number: u64, way: usize, cargo: Cargo) {
        let link = self.link(number, way);
        let Some(connection) = self.connections.get(&number) else { return };
        let delay = self.delay(link, connection.count, connection.ways[way].chunks);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let lane = &mut connection.ways[way];
        lane.chunks += 1;
        if let Cargo::Bytes(bytes) = &cargo {
            lane.in_flight += bytes.len();
        }
        let due = (now + delay).max(lane.last_due);
        lane.last_due = due;
        lane.queue.push_back(Chunk { due, cargo });
        if lane.queue.len() == 1 {
            self.due.insert((due, number, way));
        }
    }

    fn schedule(&mut self, now: u64, number: u64, way: usize) {
        let Some(connection) = self.connections.get(&number) else { return };
        if let Some(head) = connection.ways[way].queue.front() {
            self.due.insert((head.due.max(now), number, way));
        }
    }

    /// When the next chunk arrives.
    pub fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(at, _, _)| *at)
    }

    /// Delivers what is due now, and appends what actors get.
    pub fn deliver(&mut self, now: u64, news: &mut Vec<(ActorId, ConnId, News)>) {
        while let Some((at, number, way)) = self.due.first().copied().filter(|(at, _, _)| *at <= now) {
            self.due.remove(&(at, number, way));
            self.carry(now, number, way, news);
        }
    }

    fn carry(&mut self, now: u64, number: u64, way: usize, news: &mut Vec<(ActorId, ConnId, News)>) {
        loop {
            if !self.connections.contains_key(&number) {
                return;
            }
            let link = self.link(number, way);
            if self.is_cut(link.0, link.1) {
                return;
            }
            let Some(connection) = self.connections.get_mut(&number) else { return };
            let Some(head) = connection.ways[way].queue.front() else { return };
            if head.due > now {
                let due = head.due;
                self.due.insert((due, number, way));
                return;
            }
            let Some(chunk) = connection.ways[way].queue.pop_front() else { return };
            if !self.hand(now, number, way, chunk, news) {
                return;
            }
        }
    }

    /// Gives one chunk to the receiver. Answers whether the next may follow.
    fn hand(
        &mut self,
        now: u64,
        number: u64,
        way: usize,
        chunk: Chunk,
        news: &mut Vec<(ActorId, ConnId, News)>,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        let (to, from_port) = (connection.to, connection.from_port);
        match (chunk.cargo, &connection.ends[1 - way]) {
            (Cargo::Connect, End::Coming(there)) => {
                let there = *there;
                match self.reach(to, from_port) {
                    Ok(far) => {
                        let Some(connection) = self.connections.get_mut(&number) else { return false };
                        connection.ends[1 - way] = End::Socket(there, far);
                        let watched = self.watch(number, 1 - way).is_ok();
                        self.push(now, number, 1 - way, if watched { Cargo::Opened } else { Cargo::Refused });
                        watched
                    }
                    Err(_) => {
                        let Some(connection) = self.connections.get_mut(&number) else { return false };
                        connection.ways[way].queue.clear();
                        self.push(now, number, 1 - way, Cargo::Refused);
                        false
                    }
                }
            }
            (Cargo::Opened, End::Actor(actor, id)) => {
                news.push((*actor, *id, News::Opened));
                true
            }
            (Cargo::Opened, End::Socket(..)) => {
                self.establish(number);
                true
            }
            (Cargo::Refused, End::Actor(actor, id)) => {
                let (actor, id) = (*actor, *id);
                news.push((actor, id, News::Refused));
                self.drop_connection(number);
                false
            }
            (Cargo::Bytes(bytes), End::Actor(actor, id)) => {
                news.push((*actor, *id, News::Bytes(bytes.clone())));
                connection.ways[way].in_flight -= bytes.len();
                true
            }
            (Cargo::End, End::Actor(actor, id)) => {
                let (actor, id) = (*actor, *id);
                news.push((actor, id, News::Closed));
                self.drop_connection(number);
                false
            }
            (Cargo::Bytes(mut bytes), End::Socket(_, fd)) => {
                self.hasher.update(&number.to_le_bytes()).update(&bytes);
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                match send(fd.as_raw_fd(), &bytes, flags) {
                    Ok(count) if count == bytes.len() => {
                        connection.ways[way].in_flight -= count;
                        true
                    }
                    partly @ (Ok(_) | Err(Errno::EAGAIN)) => {
                        let count = partly.unwrap_or(0);
                        let receiver = end_node(&connection.ends[1 - way]);
                        let lane = &mut connection.ways[way];
                        lane.in_flight -= count;
                        bytes.drain(..count);
                        lane.queue.push_front(Chunk { due: chunk.due, cargo: Cargo::Bytes(bytes) });
                        self.blocked.insert((receiver, number, way));
                        false
                    }
                    // Nobody reads there any more: the sender learns it by a reset.
                    Err(_) => {
                        connection.ways[way].in_flight -= bytes.len();
                        connection.ways[way].queue.clear();
                        if !connection.ways[1 - way].ended {
                            connection.ways[1 - way].ended = true;
                            self.push(now, number, 1 - way, Cargo::End);
                        }
                        false
                    }
                }
            }
            // A side whose peer has closed has nothing more to say that anyone would read.
            // What a connect that is refused was filled with is left unread: so a Unix socket gets `ECONNRESET`.
            (Cargo::End, _) | (Cargo::Refused, End::Socket(..)) => {
                self.drop_connection(number);
                false
            }
            _ => true,
        }
    }

    /// A server's connect is through: its socket can be written to again.
    fn establish(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.in_progress = false;
        if let End::Socket(_, near) = &connection.ends[0] {
            let mut buffer = [0; 4096];
            while recv(near.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).is_ok_and(|count| count > 0) {}
        }
        self.unwatch(number, 0);
        if self.watch(number, 0).is_err() {
            self.drop_connection(number);
        }
    }

    fn drop_connection(&mut self, number: u64) {
        if let Some(connection) = self.connections.remove(&number) {
            for end in &connection.ends {
                if let End::Actor(_, id) = end {
                    self.by_actor.remove(id);
                }
            }
        }
    }

    /// Reads what a node wrote in its turn, and tries again what it had no room for.
    pub fn pump(&mut self, now: u64, node: NodeId) {
        let mut ready = Vec::new();
        if let Some(watch) = self.watches.get(&node.0) {
            // Room for all of them: which of many would be left out is not ours to say.
            let room = (2 * self.connections.len() + 1).max(self.events.len());
            self.events.resize(room, EpollEvent::empty());
            let count = watch.wait(&mut self.events, EpollTimeout::ZERO).unwrap_or(0);
            ready.extend(self.events[..count].iter().map(EpollEvent::data));
        }
        ready.sort_unstable();
        for data in ready {
            let (number, side) = (data >> 1, (data & 1) as usize);
            if side == 0 && self.connections.get(&number).is_some_and(|connection| connection.in_progress) {
                // The server has given its connect up.
                self.drop_connection(number);
            } else {
                self.read(now, number, side);
            }
        }
        let of_node = (node.0, 0, 0)..=(node.0, u64::MAX, usize::MAX);
        let blocked: Vec<_> = self.blocked.range(of_node).copied().collect();
        for place in blocked {
            self.blocked.remove(&place);
            self.schedule(now, place.1, place.2);
        }
    }

    fn read(&mut self, now: u64, number: u64, side: usize) {
        let mut bytes = Vec::new();
        let mut ended = false;
        let Some(connection) = self.connections.get(&number) else { return };
        let End::Socket(_, fd) = &connection.ends[side] else { return };
        let lane = &connection.ways[side];
        if lane.ended {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        while lane.in_flight + bytes.len() < WINDOW {
            match recv(fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => ended = true,
                Ok(count) => {
                    bytes.extend_from_slice(&buffer[..count]);
                    continue;
                }
                Err(Errno::EAGAIN) => {}
                Err(_) => ended = true,
            }
            break;
        }
        self.buffer = buffer;
        if !bytes.is_empty() {
            self.hasher.update(&number.to_le_bytes()).update(&bytes);
            self.push(now, number, side, Cargo::Bytes(bytes));
        }
        if ended {
            self.unwatch(number, side);
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.ways[side].ended = true;
            }
            self.push(now, number, side, Cargo::End);
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
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    const PORT: u16 = 7001;
    const HERE: NodeId = NodeId(0);
    const THERE: NodeId = NodeId(1);

    fn network() -> (Network, OwnedFd) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let token =
            format!("{:016x}", u64::from(std::process::id()) << 32 | u64::from(COUNT.fetch_add(1, Relaxed)));
        let network = Network::new(Entropy::root(Seed(1)), token);
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
            network.connect(now, HERE, &fd, (LOOPBACK, PORT), Some(THERE))
        };
        let mut news = Vec::new();
        // The way back alone is cut: the answer to the connect does not come either.
        network.set_rule(0, THERE, HERE, cut);
        let (kept, given_up, refused) =
            (stream().expect("one"), stream().expect("one"), stream().expect("one"));
        assert_eq!(try_connect(&mut network, 0, &kept), Err(Errno::EINPROGRESS));
        assert_eq!(try_connect(&mut network, 0, &given_up), Err(Errno::EINPROGRESS));
        assert_eq!(shows(&kept), PollFlags::empty());
        network.deliver(1_000_000, &mut news);
        assert_eq!(shows(&kept), PollFlags::empty());
        drop(given_up);
        network.pump(1_000_000, HERE);
        assert_eq!(network.connections.len(), 1, "what was given up is gone");
        network.set_rule(2_000_000, THERE, HERE, LinkRule::default());
        network.deliver(3_000_000, &mut news);
        assert_eq!(shows(&kept), PollFlags::POLLOUT, "it is through, and nothing can be read");
        // What the other side says from now on is heard.
        let accepted = [(); 2].map(|()| accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC));
        let heard = accepted
            .iter()
            .filter(|fd| send(fd.expect("both came"), b"hello", MsgFlags::MSG_NOSIGNAL) == Ok(5))
            .count();
        assert_eq!(heard, 1, "the other is given up");
        network.pump(3_000_000, THERE);
        network.deliver(3_100_000, &mut news);
        assert_eq!(shows(&kept), PollFlags::POLLIN | PollFlags::POLLOUT);

        network.set_rule(3_000_000, HERE, THERE, cut);
        assert_eq!(try_connect(&mut network, 3_000_000, &refused), Err(Errno::EINPROGRESS));
        drop(listener);
        network.set_rule(4_000_000, HERE, THERE, LinkRule::default());
        network.deliver(5_000_000, &mut news);
        network.deliver(6_000_000, &mut news);
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
