//! The nodes' power: what a node has written and not synced is lost with it.
//!
//! A node sees its folder through a file system of ours ([`pass`]), mounted over it in a mount namespace that only the
//! node is in: it needs `/dev/fuse`, and neither `fusermount` nor a right that the run's user namespace does not give. The
//! run itself looks at the folder beneath. Writes go straight to the folder, so that a kill without a loss of power loses
//! nothing, and a [`journal`] keeps what stood in their place until the file is synced; a loss of power takes them back
//! once all processes of the node are dead. Then the node gets a new mount, without what the kernel had kept of the old.

mod journal;
mod pass;
mod server;

use crate::entropy::{Entropy, Seed};
use crate::env::NodeId;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chdir, getegid, geteuid};
use pass::Lost;
use server::{Ask, Server};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const DEVICE: &str = "/dev/fuse";

/// See the module's page.
#[derive(Debug)]
pub struct Power {
    server: Server,
    /// The mount namespaces in which the folders are served.
    places: BTreeMap<NodeId, Arc<OwnedFd>>,
}

impl Power {
    /// To be called before any thread exists. `key` decides what is lost.
    pub fn start(key: Entropy) -> io::Result<Self> {
        Ok(Self { server: Server::start(key)?, places: BTreeMap::new() })
    }

    /// What the command starts has its folder through the file system.
    pub fn place(&mut self, node: NodeId, folder: &Path, command: &mut Command) -> io::Result<()> {
        let folder = fs::canonicalize(folder)?;
        let place = self.mounted(node, &folder)?;
        let folder = CString::new(folder.as_os_str().as_bytes())?;
        let enter = move || {
            setns(&*place, CloneFlags::CLONE_NEWNS)?;
            Ok(chdir(folder.as_c_str())?)
        };
        #[expect(unsafe_code, reason = "the closure makes two system calls and allocates nothing")]
        unsafe {
            command.pre_exec(enter);
        }
        Ok(())
    }

    fn mounted(&mut self, node: NodeId, folder: &Path) -> io::Result<Arc<OwnedFd>> {
        if let Some(place) = self.places.get(&node) {
            return Ok(place.clone());
        }
        let said = |what: &'static str| move |error: io::Error| io::Error::other(format!("{what}: {error}"));
        let device = File::options().read(true).write(true).open(DEVICE).map_err(said(DEVICE))?;
        let place = mount_over(folder.to_path_buf(), &device).map_err(said("mounting a file system"))?;
        let place = Arc::new(OwnedFd::from(place));
        self.server.ask(&Ask::Serve { node, folder: folder.to_path_buf() }, Some(&device.into()))?;
        self.places.insert(node, place.clone());
        Ok(place)
    }

    /// All processes of a node are dead, and its power is lost: takes back what was not synced.
    pub fn lose(&mut self, node: NodeId, incarnation: u32, flushed: bool) -> io::Result<String> {
        // What the kernel has kept of the folder goes with it.
        self.places.remove(&node);
        let Lost { files, bytes } = self.server.ask(&Ask::Lose { node, incarnation, flushed }, None)?;
        Ok(format!("{bytes} bytes of {files} files of {node} were not synced and are lost"))
    }

    /// What is in the folder now was put there by us.
    pub fn leave(&mut self, node: NodeId) -> io::Result<()> {
        match self.places.remove(&node) {
            Some(_) => self.server.ask(&Ask::Leave { node }, None).map(drop),
            None => Ok(()),
        }
    }

    /// Whether all folders were served until now.
    pub fn works(&self) -> io::Result<()> {
        self.server.ask(&Ask::Live, None).map(drop)
    }
}

/// Mounts a file system over a folder, in a mount namespace of its own. The kernel asks through the device.
fn mount_over(folder: PathBuf, device: &File) -> io::Result<File> {
    let (fd, user, group) = (device.as_raw_fd(), geteuid(), getegid());
    apart(move || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let options =
            format!("fd={fd},rootmode=40000,user_id={user},group_id={group},default_permissions,allow_other");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("seedfault"), &folder, Some("fuse.seedfault"), flags, Some(options.as_str()))?;
        File::open("/proc/thread-self/ns/mnt")
    })
}

/// In a thread, which can go where the process stays.
fn apart<T: Send + 'static>(act: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let thread = std::thread::Builder::new().name("mount".into()).spawn(act)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a mistake of ours")))
}

/// Whether all of this works on this machine: a file in this folder is written, synced and written again, and loses some
/// of its end.
pub fn try_here(folder: &Path) -> Result<(), String> {
    const NAME: &str = "power-trial";
    const HALF: usize = 1000;
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let node = NodeId(0);
    let folder = fs::canonicalize(folder).map_err(said("its folder"))?;
    let mut power = Power::start(Entropy::root(Seed(0))).map_err(said("a process that serves folders"))?;
    let place = power.mounted(node, &folder).map_err(|error| error.to_string())?;
    let file = folder.join(NAME);
    let within = file.clone();
    let write = move || {
        unshare(CloneFlags::CLONE_FS)?;
        setns(&*place, CloneFlags::CLONE_NEWNS)?;
        let mut file = File::create(within)?;
        file.write_all(&[1; HALF])?;
        file.sync_all()?;
        file.write_all(&[2; HALF])
    };
    let lost = apart(write).and_then(|()| power.lose(node, 0, true)).map_err(said("a file in it"));
    let length = fs::metadata(&file).map_or(0, |meta| meta.len() as usize);
    // What cannot be removed is seen in the folder.
    let _ = fs::remove_file(&file);
    lost?;
    if (HALF..2 * HALF).contains(&length) { Ok(()) } else { Err(format!("{length} bytes are left of it")) }
}
