//! Whether this machine lets the environment be: every step is taken once, in a process that is gone afterwards. What
//! fails is named with the kernel's word for it, and with the setting that forbids it where that is known.

use super::device::{self, Kind};
use super::disk;
use super::namespace::Namespace;
use super::switch::Port;
use crate::env::processes::cage::{self, Walls};
use crate::env::processes::doctor;
use crate::env::processes::wall::Wall;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Why not, and the command that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unable {
    pub why: String,
    pub mend: Option<&'static str>,
}

/// What the nodes' devices are made with here, if they can be made.
pub fn probe() -> Result<&'static str, Unable> {
    // Each kind in namespaces of its own, so that no half-made device of one is in the way of the other.
    let mut whys = Vec::new();
    for kind in Kind::ALL {
        match cage::inside(Walls::Network, &|| try_network(kind)) {
            Ok(()) => return Ok(kind.told()),
            Err(why) => whys.push(why),
        }
    }
    // What fails before any device is made fails for both alike.
    whys.dedup();
    let why = whys.join("; ");
    Err(Unable { mend: mend(&why), why })
}

fn try_network(kind: Kind) -> Result<(), String> {
    let home = Namespace::own().map_err(|error| format!("its own namespace: {error}"))?;
    let (far, ()) = home.make(|_| Ok(())).map_err(|error| format!("another network namespace: {error}"))?;
    let made = home.make(|_| device::make(kind, Port(0).address(), 0, &far));
    made.map(drop).map_err(|error| format!("a node's device, with {}: {error}", kind.told()))
}

/// Whether the clock of a node's process can be set here.
pub fn probe_clocks() -> Result<(), String> {
    cage::inside(Walls::Network, &|| {
        let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        let mut wall = Wall::new().map_err(failed("a page to share"))?;
        let mut command = Command::new(std::env::current_exe().map_err(failed("this program"))?);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        wall.ask(&mut command);
        let mut child = command.spawn().map_err(failed("starting this program"))?;
        let taken = wall.take(child.id() as i32).map_or(Ok(()), |why| Err(why.to_string()));
        child.wait().map_err(failed("waiting for it"))?;
        taken
    })
}

/// Whether calls to the disks of nodes can be answered here.
pub fn probe_disks() -> Result<(), String> {
    in_folder("disks", &disk::try_here)
}

/// Whether what nodes have not synced can be taken from them here.
pub fn probe_power() -> Result<(), String> {
    in_folder("power", &disk::power::try_here)
}

fn in_folder(name: &str, act: &dyn Fn(&Path) -> Result<(), String>) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("seedfault-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let tried = cage::inside(Walls::Network, &|| act(&folder));
    // What cannot be removed is seen in the temporary folder.
    let _ = fs::remove_dir_all(&folder);
    tried
}

fn mend(why: &str) -> Option<&'static str> {
    let none = |file: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == "0");
    if none("/proc/sys/user/max_net_namespaces") {
        return Some("sysctl -w user.max_net_namespaces=10000");
    }
    doctor::mend_namespaces(why)
}
