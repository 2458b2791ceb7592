//! Whether packets cross between two nodes, seen from the nodes' side: one of them connects to a port of the other that
//! nobody listens at, and the other's kernel answers that nobody does. Neither has to be awake for it, nor is it asked
//! what the switch believes. For a class of packets it is the port of that class, and a connection that opens is an
//! answer as well; the server sees one that is closed before anything was said.

use super::namespace::Namespace;
use super::switch::Port;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, getsockopt, setsockopt, socket, sockopt,
};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

/// The port of `tcpmux`, which no server of ours has.
pub const NOBODYS: u16 = 1;
/// The kernel tries again after 1, 3 and 7 s. Where another fault has let one be lost the next crosses.
const WITHIN: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub struct Reach {
    socket: OwnedFd,
    /// How long its asker had waited when it began.
    since: Duration,
}

impl Reach {
    /// Who lives in the namespace `near` begins to connect, from this address and port of his.
    pub fn begin(
        home: &Namespace,
        near: &Namespace,
        from: (Port, u16),
        to: (Port, u16),
        since: Duration,
    ) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let make = || Ok(socket(AddressFamily::Inet, SockType::Stream, flags, None)?);
        let socket = home.visit(near, make)?;
        let place = |port: Port, number| SockaddrIn::from(SocketAddrV4::new(port.address().into(), number));
        // What it came from before may still be closing.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        bind(socket.as_raw_fd(), &place(from.0, from.1))?;
        match connect(socket.as_raw_fd(), &place(to.0, to.1)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(Self { socket, since }),
            Err(error) => Err(error.into()),
        }
    }

    /// What it came to; `None`: nothing yet.
    pub fn look(&self, waited: Duration) -> Option<Result<(), String>> {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
        // Interrupted by a signal: the next look asks again.
        if poll(&mut fds, PollTimeout::ZERO).unwrap_or(0) == 0 {
            let late = waited.saturating_sub(self.since) > WITHIN;
            return late.then(|| Err(format!("no answer within {} s", WITHIN.as_secs())));
        }
        let error = match getsockopt(&self.socket, sockopt::SocketError) {
            Ok(0) => return Some(Ok(())),
            Ok(code) => Errno::from_raw(code),
            Err(error) => error,
        };
        Some(if error == Errno::ECONNREFUSED { Ok(()) } else { Err(error.desc().into()) })
    }
}
