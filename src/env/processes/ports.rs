//! Which ports a run's nodes listen on: one block of the loopback interface per run, guarded so that runs side
//! by side never meet.
//!
//! A block is a hundred client ports and the hundred cluster bus ports ten thousand above them, where the
//! servers put the bus by themselves (valkey `cluster.h`: `CLUSTER_PORT_INCR`). Both lie below the range from
//! which Linux takes the ports of outgoing connections (32768), so that no client of anybody occupies one by
//! chance while its node is down. Node *n* listens on the block's first port plus *n*: files written for one
//! node may name the ports of nodes that do not exist yet.
//!
//! The guard is a socket in the abstract Unix namespace, named by the hundred it guards. It has just the
//! scope of the ports (the network namespace), needs no file, and the kernel lets go of it however we end.

use crate::env::BUS;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Client ports in a block: nodes 0 to 99.
pub const BLOCK: u16 = 100;
/// The first client port of the first block.
const FIRST: u16 = 10_000;
/// Blocks to choose from: client ports 10000 to 19999, bus ports 20000 to 29999.
const BLOCKS: u16 = 100;
/// Ports tried when a block is chosen: more nodes than any declared profile allows.
const TRIED: u16 = 24;
/// Ports that an ordinary user may listen on.
const WISH_MIN: u16 = 1024;

/// A block that is ours until it is dropped.
#[derive(Debug)]
pub struct Ports {
    base: u16,
    _guards: Vec<UnixDatagram>,
}

/// Where nodes listen.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;

impl Ports {
    /// Takes the block that begins at the port wished for, or, saying why not, a free one.
    pub fn take(wish: Option<u16>, notes: &mut Vec<String>) -> Option<Self> {
        if let Some(base) = wish {
            match Self::at(base) {
                Ok(ports) => return Some(ports),
                Err(why) => notes.push(format!("base_port {base} cannot be had ({why}); another was taken")),
            }
        }
        // Runs that begin together look in different places first.
        let offset = (std::process::id() % u32::from(BLOCKS)) as u16;
        (0..BLOCKS).find_map(|step| Self::at(FIRST + (offset + step) % BLOCKS * BLOCK).ok())
    }

    fn at(base: u16) -> Result<Self, String> {
        if !(WISH_MIN..=u16::MAX - BUS - BLOCK).contains(&base) {
            return Err(format!("it must lie between {WISH_MIN} and {}", u16::MAX - BUS - BLOCK));
        }
        let last = base + (BLOCK - 1);
        let mut hundreds = vec![base / 100, last / 100, (base + BUS) / 100, (last + BUS) / 100];
        hundreds.dedup();
        let guards: Result<Vec<_>, _> = hundreds.into_iter().map(guard).collect();
        let guards = guards.map_err(|_| "another run has it".to_string())?;
        for number in 0..TRIED {
            for port in [base + number, base + number + BUS] {
                is_free(port).map_err(|error| format!("port {port}: {error}"))?;
            }
        }
        Ok(Self { base, _guards: guards })
    }

    /// The client port of node `number`; none past the end of the block.
    pub fn client(&self, number: u16) -> Option<u16> {
        (number < BLOCK).then(|| self.base + number)
    }

    pub fn bus(&self, number: u16) -> Option<u16> {
        self.client(number).map(|port| port + BUS)
    }
}

fn guard(hundred: u16) -> std::io::Result<UnixDatagram> {
    let name = SocketAddr::from_abstract_name(format!("seedfault/ports/{hundred}00"))?;
    UnixDatagram::bind_addr(&name)
}

/// Whether a server could listen there now. The standard library sets `SO_REUSEADDR`, as servers do, so
/// connections of an earlier life that linger in `TIME_WAIT` are no obstacle.
pub fn is_free(port: u16) -> std::io::Result<()> {
    TcpListener::bind(SocketAddrV4::new(ADDRESS, port)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_never_share_a_block() {
        let mut notes = Vec::new();
        let first = Ports::take(None, &mut notes).expect("a free block");
        let second = Ports::take(first.client(0), &mut notes).expect("another block");
        assert_ne!(first.client(0), second.client(0));
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("another run has it"), "{notes:?}");
    }

    #[test]
    fn a_block_is_free_again_when_its_run_is_over() {
        let mut notes = Vec::new();
        let first = Ports::take(None, &mut notes).expect("a free block");
        let base = first.client(0);
        drop(first);
        // Another test may have taken it in between; then the note says so.
        let second = Ports::take(base, &mut notes).expect("a free block");
        assert!(second.client(0) == base || notes.len() == 1);
    }

    #[test]
    fn a_port_that_somebody_listens_on_spoils_its_block() {
        let probe = Ports::take(None, &mut Vec::new()).expect("a free block");
        let port = probe.bus(3).expect("in the block");
        let base = probe.client(0).expect("in the block");
        drop(probe);
        let Ok(_held) = TcpListener::bind((ADDRESS, port)) else { return };
        let why = Ports::at(base).expect_err("one port is taken");
        assert!(why.contains(&port.to_string()) || why.contains("another run"), "{why}");
    }

    #[test]
    fn a_wish_without_room_for_the_bus_is_refused_with_a_note() {
        let mut notes = Vec::new();
        assert!(Ports::take(Some(60_000), &mut notes).is_some());
        assert!(notes[0].contains("must lie between"), "{notes:?}");
    }
}
