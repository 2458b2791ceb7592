//! Names of nodes, and questions for them that fail.
//!
//! A resolver in the run's process, at an address of the tool's device, tells the addresses of `node-0`, `node-1` and so on.
//! A node comes to ask it because `/etc/resolv.conf`, `/etc/hosts` and `/etc/nsswitch.conf` are others for it: they are
//! mounted over in a mount namespace that it enters before it becomes a server, and which is gone with it. So programs
//! of any kind ask: those with the C library, and those that read these files themselves.
//!
//! That a fault is over is told from the node's side: a question from its network namespace is answered.

use super::namespace::Namespace;
use super::switch::{NAMES, NOBODY, NODES_MAX, Port};
use crate::env::{EnvError, Evidence, NodeId, STRUCK_NOTHING};
use crate::fault::resolve_fails::{ResolveBlow, ResolveRule};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::eventfd::{EfdFlags, EventFd};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Where the files lie that nodes see in place of the machine's, in the run folder.
const FOLDER: &str = "names";
const PORT: u16 = 53;
/// What fits into an answer without more ado (RFC 1035).
const MESSAGE_MAX: usize = 512;
/// How long the answer may take that tells of a heal.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The number of the question that tells of a heal.
const TRIAL: u16 = 0x5eed;

/// See the module's page.
#[derive(Debug)]
pub struct Names {
    /// What is mounted over what.
    files: Arc<[(CString, CString)]>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Questions that tell of a heal, and what is said when they are answered.
    trials: BTreeMap<NodeId, (UdpSocket, String)>,
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    stop: EventFd,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// In the order in which they were put; the last one counts.
    rules: Vec<Held>,
    later: Vec<(Instant, Vec<u8>, SocketAddr)>,
}

#[derive(Debug)]
struct Held {
    node: NodeId,
    event: String,
    rule: ResolveRule,
    struck: u64,
}

impl Names {
    /// Where the resolver's address is, with the run folder. What a node lacks is refused in the machine's words.
    pub fn start(run: &Path) -> io::Result<Self> {
        let folder = run.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let resolver = format!("nameserver {}\nsearch .\n", Ipv4Addr::from(NAMES));
        let written = [
            ("resolv.conf", "/etc/resolv.conf", resolver.as_str()),
            ("hosts", "/etc/hosts", "127.0.0.1 localhost\n"),
            ("nsswitch.conf", "/etc/nsswitch.conf", "hosts: files dns\n"),
            // Who answers there would do so from outside.
            ("nobody", "/run/nscd/socket", ""),
        ];
        let mut files = Vec::new();
        for (name, place, text) in written {
            let file = folder.join(name);
            fs::write(&file, text)?;
            // Without the first nothing tells where the resolver is; without the others libraries do as they say.
            if name == "resolv.conf" || Path::new(place).exists() {
                files.push((CString::new(file.as_os_str().as_bytes())?, CString::new(place)?));
            }
        }
        let socket = UdpSocket::bind((Ipv4Addr::from(NAMES), PORT))?;
        socket.set_nonblocking(true)?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let shared = Arc::new(Shared { socket, stop, inner: Mutex::default() });
        let thread = std::thread::Builder::new().name("names".into()).spawn({
            let shared = shared.clone();
            move || shared.run()
        })?;
        Ok(Self { files: files.into(), shared, thread: Some(thread), trials: BTreeMap::new() })
    }

    /// What the command starts asks the resolver.
    pub fn place(&self, command: &mut Command) {
        let files = self.files.clone();
        let see = move || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none = None::<&str>;
            for (file, place) in files.iter() {
                mount(Some(file.as_c_str()), place.as_c_str(), none, MsFlags::MS_BIND, none)?;
            }
            Ok(())
        };
        #[expect(unsafe_code, reason = "the closure makes system calls and allocates nothing")]
        unsafe {
            command.pre_exec(see);
        }
    }

    /// Puts an event's rule on a node's questions, or takes it off and asks from its side. Called again, with how long it
    /// has waited, until it answers something.
    pub fn change(
        &mut self,
        (home, near): (&Namespace, &Namespace),
        node: NodeId,
        event: &str,
        rule: Option<&ResolveRule>,
        waited: Option<Duration>,
    ) -> Result<Option<Evidence>, EnvError> {
        let failed = |why: String| EnvError::Failed { what: format!("resolving names for {node}"), why };
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(failed("the resolver has ended".into()));
        }
        let mut inner = self.shared.lock();
        if let Some(rule) = rule {
            inner.rules.push(Held { node, event: event.into(), rule: *rule, struck: 0 });
            return Ok(Some(format!("{rule:?}")));
        }
        let held = inner.rules.iter().position(|held| held.node == node && held.event == event);
        if let Some(at) = held {
            let struck = inner.rules.remove(at).struck;
            let said =
                if struck == 0 { STRUCK_NOTHING.into() } else { format!("{struck} questions were struck") };
            if inner.rules.iter().any(|held| held.node == node) {
                return Ok(Some(format!("{said}; another fault is on them still")));
            }
            drop(inner);
            let socket = home.visit(near, || ask(node)).map_err(|error| failed(error.to_string()))?;
            self.trials.insert(node, (socket, said));
            return Ok(None);
        }
        drop(inner);
        let Some((socket, said)) = self.trials.get(&node) else { return Ok(Some("no rule is on it".into())) };
        let mut answer = [0; MESSAGE_MAX];
        let came = match socket.recv(&mut answer) {
            Ok(length) => told(&answer[..length]).ok_or("an answer without an address".to_string()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if waited.unwrap_or_default() < ANSWER_MAX {
                    return Ok(None);
                }
                Err(format!("no answer within {} s", ANSWER_MAX.as_secs()))
            }
            Err(error) => Err(error.to_string()),
        };
        let said = said.clone();
        self.trials.remove(&node);
        match came {
            Ok(address) if address == Ipv4Addr::from(Port::from(node).address()) => {
                Ok(Some(format!("{said}; its own name is {address} again")))
            }
            Ok(address) => Err(failed(format!("its own name is {address}"))),
            Err(why) => Err(failed(why)),
        }
    }

    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.shared.stop.write(1);
            let _ = thread.join();
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn run(&self) {
        let mut message = [0; MESSAGE_MAX];
        loop {
            let due = self.lock().later.iter().map(|(due, ..)| *due).min();
            let wait = due.map_or(PollTimeout::NONE, |due| {
                let left = due.saturating_duration_since(now()).as_millis() + 1;
                PollTimeout::try_from(left as u64).unwrap_or(PollTimeout::MAX)
            });
            let mut fds =
                [self.stop.as_fd(), self.socket.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            // Interrupted by a signal: the next turn asks again.
            let _ = poll(&mut fds, wait);
            if fds[0].any().unwrap_or(false) {
                return;
            }
            while let Ok((length, from)) = self.socket.recv_from(&mut message) {
                self.take(&message[..length], from);
            }
            let (now, mut inner) = (now(), self.lock());
            let (due, later) =
                std::mem::take(&mut inner.later).into_iter().partition(|(due, ..)| *due <= now);
            inner.later = later;
            let due: Vec<(Instant, Vec<u8>, SocketAddr)> = due;
            // Who does not take it asks again.
            due.iter().for_each(|(_, answer, to)| drop(self.socket.send_to(answer, to)));
        }
    }

    fn take(&self, question: &[u8], from: SocketAddr) {
        let mut inner = self.lock();
        let struck = match from.ip() {
            IpAddr::V4(address) => inner
                .rules
                .iter_mut()
                .rev()
                .find(|held| Ipv4Addr::from(Port::from(held.node).address()) == address),
            IpAddr::V6(_) => None,
        };
        let rule = struck.map(|held| {
            held.struck += 1;
            held.rule
        });
        let how = rule.map(|rule| rule.how);
        let Some(answer) = answer(question, how) else { return };
        match rule {
            Some(ResolveRule { how: ResolveBlow::Late, delay }) => {
                inner.later.push((now() + Duration::from_millis(delay.0), answer, from));
            }
            // Who does not take it asks again.
            _ => drop(self.socket.send_to(&answer, from)),
        }
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the resolver is the border: delays are real")]
    Instant::now()
}

/// The node of a name.
fn node_of(name: &str) -> Option<NodeId> {
    let number = name.to_ascii_lowercase().strip_prefix("node-")?.parse().ok()?;
    (number < NODES_MAX && name.len() == NodeId(number).to_string().len()).then_some(NodeId(number))
}

/// What a question is answered with; nothing to what is none, and to silence.
fn answer(question: &[u8], how: Option<ResolveBlow>) -> Option<Vec<u8>> {
    let asked = Packet::parse(question).ok()?;
    let [question] = &asked.questions[..] else { return None };
    let node = node_of(&question.qname.to_string());
    let mut reply = Packet::new_reply(asked.id());
    reply.set_flags(
        asked_for_more(&asked) | PacketFlag::RECURSION_AVAILABLE | PacketFlag::AUTHORITATIVE_ANSWER,
    );
    reply.questions.push(question.clone());
    let address = node.map(|node| Port::from(node).address());
    let address = match how {
        Some(ResolveBlow::Silence) => return None,
        Some(ResolveBlow::Error) => {
            *reply.rcode_mut() = RCODE::ServerFailure;
            None
        }
        Some(ResolveBlow::Unknown) => {
            *reply.rcode_mut() = RCODE::NameError;
            None
        }
        Some(ResolveBlow::Wrong) => address.map(|_| NOBODY),
        Some(ResolveBlow::Late) | None => address,
    };
    if address.is_none() && *reply.rcode_mut() == RCODE::NoError {
        *reply.rcode_mut() = RCODE::NameError;
    }
    // Of other types a name has nothing, which is no error.
    if let Some(address) = address.filter(|_| question.qtype == QTYPE::TYPE(TYPE::A)) {
        let told = ResourceRecord::new(question.qname.clone(), CLASS::IN, 0, RData::A(A { address }));
        reply.answers.push(told);
    }
    reply.build_bytes_vec().ok()
}

fn asked_for_more(asked: &Packet) -> PacketFlag {
    let wished = asked.has_flags(PacketFlag::RECURSION_DESIRED);
    if wished { PacketFlag::RECURSION_DESIRED } else { PacketFlag::empty() }
}

/// Asks for a node's own name, in the namespace that this thread is in.
fn ask(node: NodeId) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect((Ipv4Addr::from(NAMES), PORT))?;
    let name = node.to_string();
    let name = Name::new(&name).map_err(io::Error::other)?;
    let mut packet = Packet::new_query(TRIAL);
    packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
    socket.send(&packet.build_bytes_vec().map_err(io::Error::other)?)?;
    Ok(socket)
}

/// The address in an answer.
fn told(answer: &[u8]) -> Option<Ipv4Addr> {
    let answer = Packet::parse(answer).ok()?;
    answer.answers.iter().find_map(|record| match &record.rdata {
        RData::A(told) => Some(told.address.into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        let name = Name::new(name).expect("a name");
        packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        packet.build_bytes_vec().expect("it fits")
    }

    /// The code of an answer, and the address in it.
    fn came(name: &str, kind: TYPE, how: Option<ResolveBlow>) -> Option<(RCODE, Option<Ipv4Addr>)> {
        let bytes = answer(&question(name, kind), how)?;
        let packet = Packet::parse(&bytes).expect("an answer");
        assert_eq!((packet.id(), packet.questions.len()), (7, 1));
        Some((packet.rcode(), told(&bytes)))
    }

    #[test]
    fn a_name_of_a_node_is_told_in_ipv4_and_no_other_name_is() {
        let address = Some(Ipv4Addr::new(10, 77, 0, 4));
        assert_eq!(came("node-3", TYPE::A, None), Some((RCODE::NoError, address)));
        assert_eq!(came("NODE-3", TYPE::A, None), Some((RCODE::NoError, address)));
        assert_eq!(came("node-3", TYPE::AAAA, None), Some((RCODE::NoError, None)));
        for name in ["node-03", "node-1000", "node-", "example.org", "node-3.example.org"] {
            assert_eq!(came(name, TYPE::A, None), Some((RCODE::NameError, None)), "{name}");
        }
        assert_eq!(answer(b"no question", None), None);
    }

    #[test]
    fn each_blow_is_what_its_name_says() {
        let of = |how| came("node-0", TYPE::A, Some(how));
        assert_eq!(of(ResolveBlow::Error), Some((RCODE::ServerFailure, None)));
        assert_eq!(of(ResolveBlow::Unknown), Some((RCODE::NameError, None)));
        assert_eq!(of(ResolveBlow::Silence), None);
        assert_eq!(of(ResolveBlow::Wrong), Some((RCODE::NoError, Some(Ipv4Addr::from(NOBODY)))));
        assert_eq!(of(ResolveBlow::Late), came("node-0", TYPE::A, None));
    }
}
