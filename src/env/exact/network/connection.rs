//! A connection: two ends, a way in each direction, and what is on it. Also the sockets underneath.

use crate::env::bus::{Cutter, Mark};
use crate::env::{ActorId, ConnId, NodeId};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, send, socket};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};

/// What stands for the tool's clients as the end of a link.
pub const OUTSIDE: u16 = u16::MAX;

/// One side of a connection.
#[derive(Debug)]
pub enum End {
    /// Our half of a pair whose other half belongs to this node.
    Socket(NodeId, OwnedFd),
    Actor(ActorId, ConnId),
    /// Not connected yet.
    Coming(NodeId),
    /// This node knows nothing of the connection any more: what arrives is answered by a reset.
    Gone(NodeId),
    Closed,
}

impl End {
    pub fn node(&self) -> u16 {
        match self {
            Self::Socket(node, _) | Self::Coming(node) | Self::Gone(node) => node.0,
            Self::Actor(..) | Self::Closed => OUTSIDE,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Cargo {
    /// The connection itself arrives at the other side.
    Connect,
    /// The other side has it.
    Opened,
    Bytes(Vec<u8>),
    /// The other side has closed and had read everything: FIN.
    End,
    /// The other side knows nothing of the connection any more, or threw away what it had not read: RST.
    Reset,
    Refused,
}

#[derive(Debug)]
pub struct Chunk {
    /// When it was first sent, and how long it is on its way each time.
    pub sent: u64,
    pub transit: u64,
    pub due: u64,
    pub cargo: Cargo,
}

/// One way of a connection.
#[derive(Debug, Default)]
pub struct Way {
    pub queue: VecDeque<Chunk>,
    pub in_flight: usize,
    pub chunks: u64,
    pub last_due: u64,
    /// Its end was read.
    pub ended: bool,
    /// The first chunk arrived where nothing passes, and waits for its retransmission.
    pub stalled: bool,
    /// The first chunk waits for a fault that holds it.
    pub held: bool,
    /// Bytes that the other side has.
    pub delivered: u64,
    /// On the cluster bus: the messages that are on their way.
    pub cutter: Cutter,
    pub marks: VecDeque<Mark>,
}

#[derive(Debug)]
pub struct Connection {
    /// The key of its choices: its count among those of its link.
    pub count: u64,
    /// Way 0 leads from end 0 to end 1.
    pub ends: [End; 2],
    pub ways: [Way; 2],
    /// Where it leads: the port of end 1.
    pub to: (u32, u16),
    pub from_port: u16,
    /// It leads to a node's bus port.
    pub bus: bool,
    /// The server at end 0 waits for its connect: its socket has been made full, and is emptied when it is through.
    pub in_progress: bool,
}

impl Connection {
    /// The nodes that a way leads from and to.
    pub fn link(&self, way: usize) -> (u16, u16) {
        (self.ends[way].node(), self.ends[1 - way].node())
    }
}

/// The abstract name of a socket; see `shim/net.rs`.
pub fn name(token: &str, address: u32, port: u16, unique: &str) -> nix::Result<UnixAddr> {
    UnixAddr::new_abstract(format!("sf{token}{address:08x}{port:04x}{unique}").as_bytes())
}

/// Makes a server's socket unwritable, which is what a connect that is in progress looks like.
pub fn fill(fd: &OwnedFd) -> nix::Result<()> {
    loop {
        match send(fd.as_raw_fd(), &[0; 4096], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

pub fn stream() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}
