//! Network namespaces: one for each node, and going into one for a moment.
//!
//! A namespace lives as long as a process is in it or a descriptor of it is open: with the run's process they all
//! go, and their devices with them. Sockets and devices that were opened inside stay usable outside.

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

/// The namespace that this thread is in.
const OWN: &str = "/proc/thread-self/ns/net";

#[derive(Clone, Debug)]
pub struct Namespace(pub Arc<OwnedFd>);

impl Namespace {
    pub fn own() -> io::Result<Self> {
        Ok(Self(Arc::new(File::open(OWN)?.into())))
    }

    /// A new one, without any device but its own loopback. This thread is in it until it enters another.
    fn fresh() -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        // What IPv6 says by itself (router solicitations, multicast reports) has nobody to hear it. Where /proc may
        // not be written the switch passes over it.
        for which in ["all", "default"] {
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
        }
        Self::own()
    }

    /// Makes a namespace, does something in it, and comes back to this one.
    pub fn make<T>(&self, act: impl FnOnce(&Self) -> io::Result<T>) -> io::Result<(Self, T)> {
        let made = Self::fresh().and_then(|fresh| act(&fresh).map(|done| (fresh, done)));
        setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET)?;
        made
    }

    /// Does something in another namespace and comes back to this one.
    pub fn visit<T>(&self, other: &Self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        setns(other.0.as_fd(), CloneFlags::CLONE_NEWNET)?;
        let done = act();
        setns(self.0.as_fd(), CloneFlags::CLONE_NEWNET)?;
        done
    }

    /// What the command starts is in this one.
    pub fn take_in(&self, command: &mut Command) {
        let namespace = self.0.clone();
        let enter = move || Ok(setns(&*namespace, CloneFlags::CLONE_NEWNET)?);
        #[expect(unsafe_code, reason = "the closure makes one system call and allocates nothing")]
        unsafe {
            command.pre_exec(enter);
        }
    }
}
