//! What nodes stand on: where they listen, and what lies between them.
//!
//! The environment starts and ends processes in the same way wherever they are; a [`Ground`] tells it their
//! addresses and carries out what concerns links. The loopback interface is one; the namespaces and the switch of
//! `live` are another.

use super::node::Attempt;
use super::ports::{self, ADDRESS, Ports};
use crate::catalogue::MessageType;
use crate::env::{
    EnvError, Evidence, Hold, LinkRules, LinkStrike, NetworkTold, NodeId, Observed, PROCESSES, Profile,
    Trouble,
};
use crate::fault::disk::DiskRule;
use crate::fault::resolve_fails::ResolveRule;
use crate::fault::traffic::Traffic;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    pub address: Ipv4Addr,
    pub port: u16,
    pub bus_port: u16,
}

/// `spot` may be asked of any node at any time; `settle` is called once for each, before anything else concerns it.
pub trait Ground: std::fmt::Debug {
    fn profile(&self) -> &'static Profile;
    /// Where a node listens, whether or not it was created yet; none past the last for which there is room.
    fn spot(&self, node: NodeId) -> Option<Spot>;
    /// Makes the place of a node.
    fn settle(&mut self, node: NodeId) -> Result<(), String>;
    /// Whether a server could listen there now; if not, why.
    fn is_free(&self, spot: Spot) -> Result<(), String>;
    /// What the command starts is the node of this folder: puts it where the node belongs.
    fn place(&mut self, _: NodeId, _folder: &Path, _: &mut Command) -> io::Result<()> {
        Ok(())
    }
    /// Whether nodes have a wall clock of their own, which can be set.
    fn has_clocks(&self) -> bool;
    /// Where clients of the load connect from, if that is not where the tool does.
    fn clients(&self) -> Option<Ipv4Addr> {
        None
    }
    /// Where those connect from who only take connections, if they can be told from others.
    fn crowd(&self) -> Option<Ipv4Addr> {
        None
    }
    /// Replaces the rules of a link.
    fn link(&mut self, from: NodeId, to: NodeId, rules: LinkRules) -> Result<Evidence, EnvError>;
    /// Resets the connections between two nodes, or between a node and the tool's clients.
    fn reset(&mut self, one: NodeId, other: Option<NodeId>, traffic: Traffic) -> Result<Evidence, EnvError>;
    /// A node loses its connections with another, which still has them and hears of it, or nothing.
    fn forget(&mut self, _: NodeId, _: NodeId, _: Traffic, _silent: bool) -> Result<Evidence, EnvError> {
        Err(unable())
    }
    /// The other may hear of it now.
    fn recall(&mut self, _: NodeId, _: NodeId) -> Result<Evidence, EnvError> {
        Err(unable())
    }
    /// Holds messages of the cluster bus under an event's name, or lets go what it held.
    fn hold(&mut self, _event: String, _: Option<Hold>) -> Result<Evidence, EnvError> {
        Err(EnvError::Unable { what: "hold messages of the cluster bus".into() })
    }
    /// Lies in wait on links under an event's name, or ends that.
    fn strike(&mut self, _event: String, _: Option<LinkStrike>) -> Result<Evidence, EnvError> {
        Err(unable())
    }
    /// Tells of these messages of the cluster bus from now on.
    fn watch_messages(&mut self, _: &[MessageType]) {}
    /// The run has nothing more to do at once about what it was told.
    fn answered(&mut self) {}
    /// Puts an event's rule on a node's disk, or takes it off. Called again, with how long it has waited, until it
    /// answers something. `runs`: whether the node does.
    fn disk(
        &mut self,
        _: NodeId,
        _event: &str,
        _: Option<&DiskRule>,
        _runs: bool,
        _waited: Option<Duration>,
    ) -> Attempt {
        Err(EnvError::Unable { what: "strike a node's disk".into() })
    }
    /// Puts an event's rule on a node's questions for names, or takes it off. Called again, with how long it has waited,
    /// until it answers something.
    fn names(
        &mut self,
        _: NodeId,
        _event: &str,
        _: Option<&ResolveRule>,
        _waited: Option<Duration>,
    ) -> Attempt {
        Err(EnvError::Unable { what: "let names not resolve".into() })
    }
    /// What is in a node's folder now was put there by us, for its next start.
    fn furnished(&mut self, _: NodeId) -> io::Result<()> {
        Ok(())
    }
    /// A node is about to be ended in the name of an event: its power is lost. `flushed`: files that took the place of
    /// others are safe.
    fn cut_power(&mut self, _: NodeId, _event: &str, _flushed: bool) -> Result<(), EnvError> {
        Err(EnvError::Unable { what: "lose what a node has not synced".into() })
    }
    /// All processes of a node are dead: what its power takes with it, if that was lost. Answers what it saw.
    fn ended(&mut self, _: NodeId, _incarnation: u32) -> Option<Observed> {
        None
    }
    /// What became of the last loss of power of a node.
    fn lost(&mut self, node: NodeId) -> Result<Evidence, EnvError> {
        Err(EnvError::Failed { what: format!("cutting the power of {node}"), why: "it was not cut".into() })
    }
    /// Tells from a node's side whether packets of a class cross to another and back. Called again, with how long it has waited,
    /// until it answers something.
    fn reach(&mut self, _from: NodeId, _to: NodeId, _: Traffic, _waited: Option<Duration>) -> Attempt {
        Err(EnvError::Unable { what: "try whether packets cross".into() })
    }
    /// Begins to ask, from a node's side, for an answer of another.
    fn knock(&mut self, _from: NodeId, _to: NodeId, _: Traffic) -> Result<Evidence, EnvError> {
        Err(EnvError::Unable { what: "try whether packets cross".into() })
    }
    /// Ends that; an error if there was an answer.
    fn unheard(&mut self, _from: NodeId, _to: NodeId, _: Traffic) -> Result<Evidence, EnvError> {
        Err(EnvError::Unable { what: "try whether packets cross".into() })
    }
    /// Whether calls of a node are kept from being made: their threads do nothing, though they are not stopped.
    fn keeps(&self, _: NodeId) -> bool {
        false
    }
    /// A node that was stopped goes on.
    fn release(&mut self, _: NodeId) {}
    /// What it saw by itself, and descriptors that are readable when there is something.
    fn take_observed(&mut self) -> Vec<Observed> {
        Vec::new()
    }
    fn told(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
    /// What links carried, once it is closed.
    fn network(&self) -> Option<&NetworkTold> {
        None
    }
    /// Why nothing that was seen counts, if that is so.
    fn trouble(&self) -> Option<&Trouble> {
        None
    }
    /// The nodes are gone. Answers what the user should know.
    fn close(&mut self) -> Vec<String>;
}

/// Another address of the loopback interface, which all of 127/8 is.
const CROWD: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 1);

/// The loopback interface: a block of ports, and links that nobody can get at.
#[derive(Debug)]
pub struct Loopback(pub Ports);

impl Ground for Loopback {
    fn profile(&self) -> &'static Profile {
        &PROCESSES
    }

    fn spot(&self, node: NodeId) -> Option<Spot> {
        Some(Spot { address: ADDRESS, port: self.0.client(node.0)?, bus_port: self.0.bus(node.0)? })
    }

    fn settle(&mut self, _: NodeId) -> Result<(), String> {
        Ok(())
    }

    fn is_free(&self, spot: Spot) -> Result<(), String> {
        for port in [spot.port, spot.bus_port] {
            ports::is_free(port).map_err(|error| format!("port {port}: {error}"))?;
        }
        Ok(())
    }

    fn has_clocks(&self) -> bool {
        false
    }

    fn crowd(&self) -> Option<Ipv4Addr> {
        Some(CROWD)
    }

    fn link(&mut self, _: NodeId, _: NodeId, _: LinkRules) -> Result<Evidence, EnvError> {
        Err(unable())
    }

    fn reset(&mut self, _: NodeId, _: Option<NodeId>, _: Traffic) -> Result<Evidence, EnvError> {
        Err(unable())
    }

    fn close(&mut self) -> Vec<String> {
        Vec::new()
    }
}

fn unable() -> EnvError {
    EnvError::Unable { what: "change a link between nodes".into() }
}
