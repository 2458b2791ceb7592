//! Clients that do nothing but be connected: they come from an address of their own, until the node takes no more or
//! there are as many as were asked for, and stay. One that is closed is replaced, so that nobody else gets its place.
//!
//! What the node has of them is counted in its own kernel (`/proc/PID/net/tcp`); it is rid of them when it has closed
//! its own ends.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect, recv, socket,
};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Connects under way at once: fewer than a server's backlog holds.
const UNDER_WAY_MAX: usize = 64;
/// Who gets no answer for so long will get none.
const SILENT_MAX: Duration = Duration::from_secs(2);
/// A node that was full is tried again this often.
const AGAIN: Duration = Duration::from_millis(100);
const ESTABLISHED: &str = "01";
const CLOSE_WAIT: &str = "08";

#[derive(Debug)]
pub struct Crowd {
    near: Ipv4Addr,
    to: SocketAddrV4,
    most: usize,
    clients: Vec<TcpStream>,
    /// Connects that the node closed again, or refused.
    away: u64,
    /// When there were last more of them than before.
    grew: Instant,
    connected: usize,
    full: bool,
    tried: Instant,
}

impl Crowd {
    /// As many as the node takes, where no number is given.
    pub fn new(near: Ipv4Addr, to: SocketAddrV4, count: Option<u32>) -> Self {
        let most = count.map_or(usize::MAX, |count| count as usize);
        let (grew, tried) = (now(), now());
        Self { near, to, most, clients: Vec::new(), away: 0, grew, connected: 0, full: false, tried }
    }

    /// Notices who was closed, and has others come. Whether there are as many as there will be.
    pub fn turn(&mut self) -> io::Result<bool> {
        let before = self.clients.len();
        self.clients.retain(is_open);
        self.away += (before - self.clients.len()) as u64;
        self.full |= self.away > 0;
        let connected = self.clients.iter().filter(|client| client.peer_addr().is_ok()).count();
        if connected > self.connected {
            self.grew = now();
        }
        self.connected = connected;
        let under_way = self.clients.len() - connected;
        // It neither takes nor refuses them.
        self.full |= under_way > 0 && self.grew.elapsed() > SILENT_MAX;
        let room = self.most.saturating_sub(self.clients.len());
        let wanted = match self.full {
            false => room.min(UNDER_WAY_MAX.saturating_sub(under_way)),
            true if under_way == 0 && self.tried.elapsed() > AGAIN => room.min(1),
            true => 0,
        };
        for _ in 0..wanted {
            self.tried = now();
            match self.come() {
                Ok(client) => self.clients.push(client),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.away += 1;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.full || connected >= self.most)
    }

    fn come(&self) -> io::Result<TcpStream> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(self.near, 0)))?;
        match connect(fd.as_raw_fd(), &SockaddrIn::from(self.to)) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(TcpStream::from(fd)),
            Err(error) => Err(error.into()),
        }
    }

    /// How many the node has, as its kernel tells, and how many it sent away.
    pub fn told(&self, leader: Option<i32>) -> String {
        let held = leader.map_or(0, |pid| self.at_node(pid, &[ESTABLISHED]));
        format!("{held} connections of a crowd at {} are held, {} were sent away", self.near, self.away)
    }

    pub fn leave(&mut self) {
        (self.most, self.full) = (0, true);
        self.clients.clear();
    }

    /// Connections of the crowd that the node has not closed.
    pub fn left(&self, leader: Option<i32>) -> usize {
        leader.map_or(0, |pid| self.at_node(pid, &[ESTABLISHED, CLOSE_WAIT]))
    }

    fn at_node(&self, pid: i32, states: &[&str]) -> usize {
        // Addresses are written as the machine stores them, ports as numbers.
        let place = |address: &Ipv4Addr| format!("{:08X}", u32::from_ne_bytes(address.octets()));
        let local = format!("{}:{:04X}", place(self.to.ip()), self.to.port());
        let remote = format!("{}:", place(&self.near));
        let text = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
        let ours = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.len() > 3
                && words[1] == local
                && words[2].starts_with(&remote)
                && states.contains(&words[3])
        };
        text.lines().filter(ours).count()
    }
}

/// Whether the other side has not closed it. What it says is of no interest.
fn is_open(client: &TcpStream) -> bool {
    let mut bytes = [0; 1024];
    loop {
        match recv(client.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EINTR) => return true,
            Err(_) => return false,
        }
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "real connections take real time")]
    Instant::now()
}
