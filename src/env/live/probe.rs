//! Whether this machine lets the environment be: every step is taken once, in a process that is gone afterwards. What
//! fails is named with the kernel's word for it, and with the setting that forbids it where that is known.

use super::device::{self, Kind};
use super::namespace::Namespace;
use super::switch::Port;
use crate::env::processes::cage::{self, Walls};
use crate::env::processes::doctor;

/// Why not, and the command that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unable {
    pub why: String,
    pub mend: Option<&'static str>,
}

/// How the nodes' devices are made here, if they can be made.
pub fn probe() -> Result<&'static str, Unable> {
    let kind = Kind::allowed();
    let tried = cage::inside(Walls::Network, &|| try_network(kind));
    tried.map(|()| kind.told()).map_err(|why| Unable { mend: doctor::mend_namespaces(&why), why })
}

fn try_network(kind: Kind) -> Result<(), String> {
    let home = Namespace::own().map_err(|error| format!("its own namespace: {error}"))?;
    let (far, ()) = home.make(|_| Ok(())).map_err(|error| format!("another network namespace: {error}"))?;
    let made = home.make(|_| device::make(kind, Port(0).address(), 0, &far));
    made.map(drop).map_err(|error| format!("a node's device: {error}"))
}
