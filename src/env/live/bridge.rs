//! The kernel's own bridge between the nodes: what the switch is measured against (`benches/network.rs`), and
//! without any fault.

use super::device;
use super::namespace::Namespace;
use super::switch::Port;
use crate::env::processes::cage::Cage;
use crate::env::processes::ground::{Ground, Spot};
use crate::env::processes::{Options, ProcessesEnv};
use crate::env::{EnvError, Evidence, LIVE, LinkRules, NodeId, Profile};
use crate::fault::traffic::Traffic;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;

#[derive(Debug)]
struct Bridge {
    port: u16,
    home: Namespace,
    /// Where the bridge is.
    far: Namespace,
    nodes: BTreeMap<NodeId, Namespace>,
}

/// An environment whose nodes, and the tool, are ends of veth pairs on a bridge.
pub fn new(cage: &Cage, options: Options) -> Result<ProcessesEnv, EnvError> {
    super::in_network(Some(cage))?;
    let port = options.base_port.unwrap_or(super::PORT);
    let made = Bridge::new(port);
    let bridge =
        made.map_err(|error| EnvError::Failed { what: "a bridge".into(), why: error.to_string() })?;
    ProcessesEnv::on(Box::new(bridge), options)
}

impl Bridge {
    fn new(port: u16) -> io::Result<Self> {
        let home = Namespace::own()?;
        let (far, ()) = home.make(|_| device::make_bridge())?;
        device::make_bridged(Port::TOOL.address(), Port::TOOL.0, &far)?;
        Ok(Self { port, home, far, nodes: BTreeMap::new() })
    }
}

impl Ground for Bridge {
    fn profile(&self) -> &'static Profile {
        &LIVE
    }

    fn spot(&self, node: NodeId) -> Option<Spot> {
        super::spot(node, self.port)
    }

    fn settle(&mut self, node: NodeId) -> Result<(), String> {
        let port = Port::from(node);
        let made = self.home.make(|_| device::make_bridged(port.address(), port.0, &self.far));
        let (namespace, ()) = made.map_err(|error| error.to_string())?;
        self.nodes.insert(node, namespace);
        Ok(())
    }

    fn is_free(&self, _: Spot) -> Result<(), String> {
        Ok(())
    }

    fn place(&mut self, node: NodeId, _: &Path, command: &mut Command) -> io::Result<()> {
        self.nodes.get(&node).ok_or(Errno::ENOENT)?.take_in(command);
        Ok(())
    }

    fn has_clocks(&self) -> bool {
        false
    }

    fn link(&mut self, _: NodeId, _: NodeId, _: LinkRules) -> Result<Evidence, EnvError> {
        Err(EnvError::Unable { what: "change a link of the kernel's bridge".into() })
    }

    fn reset(&mut self, _: NodeId, _: Option<NodeId>, _: Traffic) -> Result<Evidence, EnvError> {
        Err(EnvError::Unable { what: "reset connections across the kernel's bridge".into() })
    }

    fn close(&mut self) -> Vec<String> {
        Vec::new()
    }
}
