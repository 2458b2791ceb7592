//! One connection of an actor: a nonblocking socket, bytes in order, writes buffered.

use crate::env::{ActorId, Why};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, getsockopt, socket, sockopt,
};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Bytes taken from one connection in one turn, so that a flood on one does not keep the others waiting.
const TURN_MAX: usize = 1 << 20;
const CHUNK: usize = 64 * 1024;

#[derive(Debug)]
pub struct Connection {
    pub owner: ActorId,
    stream: TcpStream,
    open: bool,
    outgoing: Vec<u8>,
}

/// What a turn of a connection came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    pub opened: bool,
    pub bytes: Vec<u8>,
    pub closed: Option<Why>,
}

impl Connection {
    /// Begins to connect. On the loopback interface the answer is often there at once; it is still given by
    /// the next turn, so that there is one way in which connections open. `near` is where it connects from, if that
    /// is not the kernel's to choose.
    pub fn begin(owner: ActorId, near: Option<Ipv4Addr>, to: SocketAddrV4) -> Result<Self, Why> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).map_err(|e| reset(&e.into()))?;
        if let Some(near) = near {
            bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(near, 0)))
                .map_err(|e| reset(&e.into()))?;
        }
        match connect(fd.as_raw_fd(), &SockaddrIn::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => {}
            Err(Errno::ECONNREFUSED) => return Err(Why::Refused),
            Err(error) => return Err(reset(&error.into())),
        }
        let stream = TcpStream::from(fd);
        // A request is written as a whole; waiting to fill a packet would only delay it.
        stream.set_nodelay(true).map_err(|error| reset(&error))?;
        Ok(Self { owner, stream, open: false, outgoing: Vec::new() })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What to wait for.
    pub fn interest(&self) -> PollFlags {
        if !self.open {
            PollFlags::POLLOUT
        } else if self.outgoing.is_empty() {
            PollFlags::POLLIN
        } else {
            PollFlags::POLLIN | PollFlags::POLLOUT
        }
    }

    /// Sends what can be sent now; the rest follows in later turns.
    pub fn send(&mut self, bytes: &[u8]) -> Option<Why> {
        self.outgoing.extend_from_slice(bytes);
        if self.open { self.flush() } else { None }
    }

    /// Called when the socket is ready for something.
    pub fn turn(&mut self) -> Turn {
        let mut turn = Turn::default();
        if !self.open {
            match getsockopt(&self.stream, sockopt::SocketError) {
                Ok(0) => {}
                Ok(code) => {
                    let errno = Errno::from_raw(code);
                    turn.closed =
                        Some(if errno == Errno::ECONNREFUSED { Why::Refused } else { reset(&errno.into()) });
                    return turn;
                }
                Err(error) => {
                    turn.closed = Some(reset(&error.into()));
                    return turn;
                }
            }
            if self.stream.peer_addr().is_err() {
                return turn;
            }
            self.open = true;
            turn.opened = true;
        }
        // What arrived before a break is delivered before it, and a break met while writing does not hide it.
        let broken = self.flush();
        turn.closed = self.read(&mut turn.bytes).or(broken);
        turn
    }

    fn flush(&mut self) -> Option<Why> {
        let mut sent = 0;
        let mut broken = None;
        while sent < self.outgoing.len() {
            match self.stream.write(&self.outgoing[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    broken = Some(reset(&error));
                    break;
                }
            }
        }
        self.outgoing.drain(..sent);
        broken
    }

    fn read(&mut self, bytes: &mut Vec<u8>) -> Option<Why> {
        let mut chunk = vec![0; CHUNK];
        while bytes.len() < TURN_MAX {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(Why::Reset("closed by the other side".into())),
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some(reset(&error)),
            }
        }
        None
    }
}

fn reset(error: &io::Error) -> Why {
    Why::Reset(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollTimeout, poll};
    use std::net::TcpListener;

    fn wait(connection: &mut Connection) -> Turn {
        let mut fds = [PollFd::new(connection.fd(), connection.interest())];
        let ready = poll(&mut fds, PollTimeout::from(5000u16)).expect("poll");
        assert_eq!(ready, 1, "nothing came in five seconds");
        connection.turn()
    }

    fn listener() -> (TcpListener, SocketAddrV4) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let std::net::SocketAddr::V4(address) = listener.local_addr().expect("bound") else {
            unreachable!("bound to an IPv4 address")
        };
        (listener, address)
    }

    #[test]
    fn more_than_the_socket_holds_arrives_in_order() {
        let (listener, address) = listener();
        let mut connection = Connection::begin(ActorId(1), None, address).expect("somebody listens");
        let sent: Vec<u8> = (0..8_000_000u32).map(|i| (i % 251) as u8).collect();
        assert_eq!(connection.send(&sent), None, "before it is open, bytes are kept");
        assert!(wait(&mut connection).opened);
        let (mut peer, _) = listener.accept().expect("it connects");
        peer.set_nonblocking(true).expect("a socket");
        let mut received = Vec::new();
        let mut chunk = vec![0; CHUNK];
        while received.len() < sent.len() {
            match peer.read(&mut chunk) {
                Ok(count) => received.extend_from_slice(&chunk[..count]),
                Err(_) => assert_eq!(wait(&mut connection).closed, None),
            }
        }
        assert!(received == sent);
    }

    #[test]
    fn bytes_before_the_end_come_before_the_end() {
        let (listener, address) = listener();
        let mut connection = Connection::begin(ActorId(1), None, address).expect("somebody listens");
        assert!(wait(&mut connection).opened);
        let (mut peer, _) = listener.accept().expect("it connects");
        peer.write_all(b"last words").expect("open");
        drop(peer);
        let mut bytes = Vec::new();
        let closed = loop {
            let turn = wait(&mut connection);
            bytes.extend(turn.bytes);
            if let Some(why) = turn.closed {
                break why;
            }
        };
        assert_eq!(
            (bytes.as_slice(), closed),
            (&b"last words"[..], Why::Reset("closed by the other side".into()))
        );
    }

    #[test]
    fn nobody_listening_is_refused_and_not_broken() {
        let (listener, address) = listener();
        drop(listener);
        let why = match Connection::begin(ActorId(1), None, address) {
            Err(why) => why,
            Ok(mut connection) => wait(&mut connection).closed.expect("refused"),
        };
        assert_eq!(why, Why::Refused);
    }
}
