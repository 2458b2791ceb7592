//! Carrying: what servers and actors hand over is put on its way, and what is due is given to the other side.

use super::connection::{Cargo, Chunk, End, OUTSIDE};
use super::link::{self, Place};
use super::{Message, Network, News};
use crate::env::bus::Mark;
use crate::env::{ActorId, ConnId, NodeId};
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, recv, send};
use std::os::fd::AsRawFd;

/// Bytes on the way in one direction before the sender is no longer read from: what buffers would hold.
const WINDOW: usize = 1 << 20;

type Delivered = Vec<(ActorId, ConnId, News)>;

impl Network {
    pub(super) fn push(&mut self, now: u64, number: u64, way: usize, cargo: Cargo) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let link = connection.link(way);
        let (bus, count) = (connection.bus, connection.count);
        let lane = &mut connection.ways[way];
        let place = Place { link, connection: count, chunk: lane.chunks };
        let mut transit = link::delay(&self.key, self.rules.get(&link), place);
        lane.chunks += 1;
        if let Cargo::Bytes(bytes) = &cargo {
            lane.in_flight += bytes.len();
            if bus {
                let mut marks = Vec::new();
                let read = lane.cutter.is_whole();
                if !lane.cutter.take(bytes, &mut marks) && read {
                    self.not_parsed += 1;
                }
                marks.iter().for_each(|mark| self.order.sent(now, mark.kind));
                transit += self.order.more(now, place);
                let sent = marks.iter().map(|mark| message(now, link, mark, false));
                self.told.extend(sent);
                lane.marks.extend(marks);
            }
        }
        let due = (now + transit).max(lane.last_due);
        lane.last_due = due;
        lane.queue.push_back(Chunk { sent: now, transit, due, cargo });
        if lane.queue.len() == 1 {
            self.due.insert((due, number, way));
        }
    }

    pub(super) fn schedule(&mut self, now: u64, number: u64, way: usize) {
        let Some(connection) = self.connections.get(&number) else { return };
        if let Some(head) = connection.ways[way].queue.front() {
            self.due.insert((head.due.max(now), number, way));
        }
    }

    /// What arrived where nothing passed comes by its next retransmission, on the links that are open again.
    pub(super) fn resume(&mut self, now: u64, open: impl Fn((u16, u16)) -> bool) {
        for (number, connection) in &mut self.connections {
            for way in 0..2 {
                if !connection.ways[way].stalled || !open(connection.link(way)) {
                    continue;
                }
                let lane = &mut connection.ways[way];
                lane.stalled = false;
                let Some(head) = lane.queue.front_mut() else { continue };
                let is_connect = matches!(head.cargo, Cargo::Connect | Cargo::Opened);
                head.due = link::sent_again(head.sent, now, is_connect) + head.transit;
                self.due.insert((head.due, *number, way));
            }
        }
    }

    /// When the next chunk arrives.
    pub fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(at, _, _)| *at)
    }

    /// Delivers what is due now, and appends what actors get.
    pub fn deliver(&mut self, now: u64, news: &mut Delivered) {
        while let Some((at, number, way)) = self.due.first().copied().filter(|(at, _, _)| *at <= now) {
            self.due.remove(&(at, number, way));
            self.carry(now, number, way, news);
        }
    }

    fn carry(&mut self, now: u64, number: u64, way: usize, news: &mut Delivered) {
        loop {
            let Some(connection) = self.connections.get(&number) else { return };
            let link = connection.link(way);
            let Some(head) = connection.ways[way].queue.front() else { return };
            if head.due > now {
                self.due.insert((head.due, number, way));
                return;
            }
            let passes = self.passes(link);
            let first_held = if passes { self.first_held(number, way) } else { None };
            let Some(connection) = self.connections.get_mut(&number) else { return };
            let lane = &mut connection.ways[way];
            if !passes {
                // A reset is not sent again: the other side learns of it when it next sends something.
                if lane.queue.front().is_some_and(|head| head.cargo == Cargo::Reset) {
                    lane.queue.pop_front();
                    lane.ended = false;
                    continue;
                }
                lane.stalled = true;
                return;
            }
            if first_held == Some(0) {
                lane.held = true;
                return;
            }
            let Some(mut chunk) = lane.queue.pop_front() else { return };
            if let (Some(at), Cargo::Bytes(bytes)) = (first_held, &mut chunk.cargo) {
                let rest = Cargo::Bytes(bytes.split_off(at));
                let Chunk { sent, transit, due, .. } = chunk;
                lane.queue.push_front(Chunk { sent, transit, due, cargo: rest });
            }
            if !self.hand(now, number, way, chunk, news) {
                return;
            }
        }
    }

    /// Gives one chunk to the receiver. Answers whether the next may follow.
    fn hand(&mut self, now: u64, number: u64, way: usize, chunk: Chunk, news: &mut Delivered) -> bool {
        self.write_down(now, number, way, &chunk.cargo);
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        match (chunk.cargo, &connection.ends[1 - way]) {
            (Cargo::Connect, End::Coming(there)) => {
                let there = *there;
                self.arrive(now, number, way, there)
            }
            (Cargo::Opened, End::Actor(actor, id)) => {
                news.push((*actor, *id, News::Opened));
                true
            }
            (Cargo::Opened, End::Socket(..)) => {
                self.establish(number);
                true
            }
            (Cargo::Refused, End::Actor(..)) => self.end(number, way, News::Refused, news),
            (Cargo::End, End::Actor(..)) => self.end(number, way, News::Closed, news),
            (Cargo::Reset, End::Actor(..)) => self.end(number, way, News::Reset, news),
            (Cargo::Bytes(bytes), End::Actor(actor, id)) => {
                connection.ways[way].in_flight -= bytes.len();
                news.push((*actor, *id, News::Bytes(bytes)));
                true
            }
            (Cargo::Bytes(bytes), End::Socket(..)) => self.give(now, number, way, chunk.due, bytes),
            (Cargo::Bytes(_), End::Gone(_)) => {
                self.answer_by_reset(now, number, way);
                false
            }
            (Cargo::Reset, End::Socket(..)) => {
                self.resets.insert((number, 1 - way));
                self.drop_connection(number);
                false
            }
            // A side whose peer has closed has nothing more to say that anyone would read.
            // What a connect that is refused was filled with is left unread: so a Unix socket gets `ECONNRESET`.
            (Cargo::End | Cargo::Reset, _) | (Cargo::Refused, End::Socket(..)) => {
                self.drop_connection(number);
                false
            }
            _ => true,
        }
    }

    /// Packets of what arrives. What a server takes is written down when it has taken it.
    fn write_down(&mut self, now: u64, number: u64, way: usize, cargo: &Cargo) {
        let (Some(tap), Some(connection)) = (&mut self.tap, self.connections.get(&number)) else { return };
        match (cargo, &connection.ends[1 - way]) {
            (Cargo::Connect, _) => {
                tap.connect(now, number, connection.link(way), (connection.from_port, connection.to.1));
            }
            (Cargo::Bytes(bytes), End::Actor(..)) => tap.bytes(now, number, way, bytes),
            // An answer was written down when the connect was taken.
            (Cargo::Bytes(_) | Cargo::Opened, _) => {}
            (Cargo::End, _) => tap.end(now, number, way),
            (Cargo::Reset | Cargo::Refused, _) => tap.reset(now, number, way),
        }
    }

    /// A connect arrives at its node.
    fn arrive(&mut self, now: u64, number: u64, way: usize, there: NodeId) -> bool {
        let connection = &self.connections[&number];
        let (link, to, from_port) = (connection.link(way), connection.to, connection.from_port);
        let reached = self.reach(number, link, to, from_port);
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        if let Ok(far) = reached {
            connection.ends[1 - way] = End::Socket(there, far);
            if let Some(tap) = &mut self.tap {
                tap.accept(now, number);
            }
            let watched = self.watch(number, 1 - way).is_ok();
            self.push(now, number, 1 - way, if watched { Cargo::Opened } else { Cargo::Refused });
            watched
        } else {
            connection.ways[way].queue.clear();
            self.push(now, number, 1 - way, Cargo::Refused);
            false
        }
    }

    /// An actor learns that its connection has ended.
    fn end(&mut self, number: u64, way: usize, what: News, news: &mut Delivered) -> bool {
        if let Some(End::Actor(actor, id)) =
            self.connections.get(&number).map(|connection| &connection.ends[1 - way])
        {
            news.push((*actor, *id, what));
        }
        self.drop_connection(number);
        false
    }

    /// Writes bytes into a server's socket, as many as there is room for.
    fn give(&mut self, now: u64, number: u64, way: usize, due: u64, mut bytes: Vec<u8>) -> bool {
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        let End::Socket(node, fd) = &connection.ends[1 - way] else { return false };
        self.stirred.insert(node.0);
        self.hasher.update(&number.to_le_bytes()).update(&bytes);
        let written = match send(fd.as_raw_fd(), &bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EAGAIN) => Ok(0),
            written => written,
        };
        let Ok(count) = written else {
            self.answer_by_reset(now, number, way);
            return false;
        };
        if let Some(tap) = &mut self.tap {
            tap.bytes(now, number, way, &bytes[..count]);
        }
        let link = connection.link(way);
        let lane = &mut connection.ways[way];
        lane.in_flight -= count;
        let whole = count == bytes.len();
        if !whole {
            bytes.drain(..count);
            let cargo = Cargo::Bytes(bytes);
            lane.queue.push_front(Chunk { sent: now, transit: 0, due, cargo });
            self.blocked.insert((link.1, number, way));
        }
        if connection.bus {
            lane.delivered += count as u64;
            let mut arrived = Vec::new();
            while let Some(mark) = lane.marks.front().filter(|mark| mark.to <= lane.delivered) {
                arrived.push(message(now, link, mark, true));
                lane.marks.pop_front();
            }
            for message in arrived {
                self.told.push(message);
                self.let_go_by(&message);
            }
        }
        whole
    }

    /// Nobody reads there any more: the sender learns it by a reset.
    fn answer_by_reset(&mut self, now: u64, number: u64, way: usize) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let lane = &mut connection.ways[way];
        lane.in_flight = 0;
        lane.queue.clear();
        if !connection.ways[1 - way].ended {
            connection.ways[1 - way].ended = true;
            self.push(now, number, 1 - way, Cargo::Reset);
        }
    }

    /// A server's connect is through: its socket can be written to again.
    fn establish(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.in_progress = false;
        if let End::Socket(node, near) = &connection.ends[0] {
            self.stirred.insert(node.0);
            let mut buffer = [0; 4096];
            while recv(near.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).is_ok_and(|count| count > 0) {}
        }
        self.unwatch(number, 0);
        if self.watch(number, 0).is_err() {
            self.drop_connection(number);
        }
    }

    /// Reads what a node wrote in its turn, and tries again what it had no room for.
    pub fn pump(&mut self, now: u64, node: NodeId) {
        // It may have written to a pipe of its family as well.
        self.stirred.insert(node.0);
        let mut ready = Vec::new();
        if let Some(watch) = self.watches.get(&node.0) {
            // Room for all of them: which of many would be left out is not ours to say.
            let room = (2 * self.connections.len() + 1).max(self.events.len());
            self.events.resize(room, EpollEvent::empty());
            let count = watch.wait(&mut self.events, EpollTimeout::ZERO).unwrap_or(0);
            ready.extend(self.events[..count].iter().map(|event| {
                let closing = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
                (event.data(), event.events().intersects(closing))
            }));
        }
        ready.sort_unstable();
        for (data, closes) in ready {
            let (number, side) = (data >> 1, (data & 1) as usize);
            if side == 0 && self.connections.get(&number).is_some_and(|connection| connection.in_progress) {
                // The server has given its connect up.
                self.drop_connection(number);
            } else {
                self.read(now, number, side, closes);
            }
        }
        let of_node = (node.0, 0, 0)..=(node.0, u64::MAX, usize::MAX);
        let blocked: Vec<_> = self.blocked.range(of_node).copied().collect();
        for place in blocked {
            self.blocked.remove(&place);
            self.schedule(now, place.1, place.2);
        }
    }

    /// Takes what a server wrote. Where it has closed as well, it is read to the end.
    fn read(&mut self, now: u64, number: u64, side: usize, closes: bool) {
        let mut bytes = Vec::new();
        let mut end = None;
        let Some(connection) = self.connections.get(&number) else { return };
        let End::Socket(node, fd) = &connection.ends[side] else { return };
        let node = *node;
        let lane = &connection.ways[side];
        if lane.ended {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        while lane.in_flight + bytes.len() < WINDOW {
            match recv(fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => end = Some(Cargo::End),
                Ok(count) => {
                    bytes.extend_from_slice(&buffer[..count]);
                    if closes || count == buffer.len() {
                        continue;
                    }
                }
                Err(Errno::EAGAIN) => {}
                // It had not read everything.
                Err(_) => end = Some(Cargo::Reset),
            }
            break;
        }
        self.buffer = buffer;
        if !bytes.is_empty() {
            self.hasher.update(&number.to_le_bytes()).update(&bytes);
            self.push(now, number, side, Cargo::Bytes(bytes));
        }
        let Some(end) = end else { return };
        self.unwatch(number, side);
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.ways[side].ended = true;
            if end == Cargo::Reset {
                connection.ends[side] = End::Gone(node);
            }
        }
        self.push(now, number, side, end);
    }
}

fn message(at: u64, link: (u16, u16), mark: &Mark, delivered: bool) -> Message {
    debug_assert!(link.0 != OUTSIDE && link.1 != OUTSIDE, "a bus connection is between nodes");
    let (from, to) = (NodeId(link.0), NodeId(link.1));
    Message { at, kind: mark.kind, from, to, epochs: mark.epochs, delivered }
}
