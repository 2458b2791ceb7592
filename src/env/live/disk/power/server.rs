//! The process that serves the nodes' folders, and what it is asked.
//!
//! It is a process of its own, and touches no folder but from behind its file system: whoever waits for an answer
//! of a file system that ends while he waits, waits for ever if he keeps it open himself. As a child of the run's process
//! it dies with it, its devices are closed, and the kernel wakes all who wait.

use super::pass::{Lost, Pass, Store, config};
use crate::entropy::Entropy;
use crate::env::NodeId;
use fuser::{Session, SessionACL};
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    setsockopt, socketpair, sockopt,
};
use nix::sys::stat::{Mode, umask};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

/// An answer takes as long as old content is written back, which has a bound.
const ANSWER_MAX_SECONDS: i64 = 60;
const MESSAGE_MAX: usize = 1 << 14;

/// What the server is asked. Each is answered.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// To serve a node's folder through the device that comes with it, in place of what it served before.
    Serve { node: NodeId, folder: PathBuf },
    /// To take back what the loss of power takes, and to serve it no more.
    Lose { node: NodeId, incarnation: u32, flushed: bool },
    /// To serve it no more: what is in the folder now is durable.
    Leave { node: NodeId },
    /// Whether it is there.
    Live,
}

type Answer = Result<Option<(u32, u64)>, String>;

/// The server, as the run's process sees it.
#[derive(Debug)]
pub struct Server {
    socket: OwnedFd,
    process: Pid,
}

impl Server {
    /// Starts it. To be called before any thread exists.
    pub fn start(key: Entropy) -> io::Result<Self> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_MAX_SECONDS))?;
        #[expect(unsafe_code, reason = "no other thread exists, so the child is a whole copy of us")]
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { socket: ours, process: child }),
            ForkResult::Child => {
                drop(ours);
                let ended = serve(&theirs, key);
                unsafe { libc::_exit(i32::from(ended.is_err())) }
            }
        }
    }

    pub fn ask(&self, ask: &Ask, device: Option<&OwnedFd>) -> io::Result<Lost> {
        let bytes = serde_json::to_vec(ask)?;
        let fds: Vec<RawFd> = device.iter().map(|fd| fd.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights };
        let parts = [IoSlice::new(&bytes)];
        let sent = sendmsg::<()>(self.socket.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL, None);
        let answer = sent.map_err(io::Error::from).and_then(|_| receive(self.socket.as_raw_fd()));
        let (bytes, _) =
            answer.map_err(|_| io::Error::other("the process that serves the nodes' folders has ended"))?;
        match serde_json::from_slice::<Answer>(&bytes)? {
            Ok(lost) => Ok(lost.map_or_else(Lost::default, |(files, bytes)| Lost { files, bytes })),
            Err(why) => Err(io::Error::other(why)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A socket without its other end is its end.
        let _ = nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        let _ = waitpid(self.process, None);
    }
}

/// A message and the descriptor that came with it; an error: nobody is at the other end.
fn receive(from: RawFd) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let mut room = nix::cmsg_space!(RawFd);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let message = loop {
        match recvmsg::<()>(from, &mut parts, Some(&mut room), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let fd = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    #[expect(unsafe_code, reason = "the kernel has just made this descriptor for us")]
    let fd = fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let length = message.bytes;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.truncate(length);
    Ok((bytes, fd))
}

/// The process, until nobody asks any more.
fn serve(socket: &OwnedFd, key: Entropy) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_name(c"disks")?;
    // The kernel has applied that of who asks.
    umask(Mode::empty());
    // One for each file that a node knows.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let mut stores: BTreeMap<NodeId, Arc<Store>> = BTreeMap::new();
    let key = key.child("power");
    while let Ok((bytes, device)) = receive(socket.as_raw_fd()) {
        let answer: Answer = act(&mut stores, &key, &serde_json::from_slice(&bytes)?, device)
            .map(|lost| lost.map(|lost| (lost.files, lost.bytes)))
            .map_err(|error| error.to_string());
        let bytes = serde_json::to_vec(&answer)?;
        let sent =
            sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&bytes)], &[], MsgFlags::MSG_NOSIGNAL, None);
        if sent.is_err() {
            break;
        }
    }
    Ok(())
}

fn act(
    stores: &mut BTreeMap<NodeId, Arc<Store>>,
    key: &Entropy,
    ask: &Ask,
    device: Option<OwnedFd>,
) -> io::Result<Option<Lost>> {
    match ask {
        Ask::Serve { node, folder } => {
            let device = device.ok_or_else(|| io::Error::other("no device came with it"))?;
            let store = Arc::new(Store::new(folder.clone())?);
            let session = Session::from_fd(Pass(store.clone()), device, SessionACL::All, config())?;
            std::thread::Builder::new().name(node.to_string()).spawn({
                let store = store.clone();
                move || {
                    // It ends when it is mounted nowhere; before, nodes would see a disk that nobody asked for.
                    if session.run().is_err() && store.is_on() {
                        std::process::abort();
                    }
                }
            })?;
            stores.insert(*node, store).iter().for_each(|old| old.switch_off());
        }
        Ask::Lose { node, incarnation, flushed } => {
            let store = stores.remove(node).ok_or(Errno::ENOENT)?;
            let word = |name: &str| key.child(name).word("cut", u64::from(node.0), u64::from(*incarnation));
            return store.lose(*flushed, &word).map(Some);
        }
        Ask::Leave { node } => stores.remove(node).iter().for_each(|store| store.switch_off()),
        Ask::Live => {}
    }
    Ok(None)
}
