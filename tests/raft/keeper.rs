//! A server that lies: ZooKeeper behind a proxy which answers what ZooKeeper did not say. As `liar` does for etcd, it is
//! the very test binary, started by a script that stands for the server.
//!
//! ZooKeeper listens for clients one port higher, and dies with the liar (`setpriv --pdeathsig`). Four-letter words pass as
//! they are. What is said here follows `zookeeper.jute`: a frame has a length, a request a number and an operation, an answer
//! the number, the newest transaction and a code.

use seedfault::target::zookeeper::provision::{self, DEBIAN, Launch};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Which lie is told.
const LIE: &str = "SEEDFAULT_KEEPER_LIE";
/// ZooKeeper's configuration file.
const CONFIGURATION: &str = "SEEDFAULT_KEEPER_CONFIGURATION";

const CREATE2: i32 = 15;
const SET_DATA: i32 = 5;
const DELETE: i32 = 2;
const GET_DATA: i32 = 4;
const SYNC: i32 = 9;
const PING: i32 = 11;
const GET_CHILDREN2: i32 = 12;
const MULTI: i32 = 14;
const RECONFIG: i32 = 16;
const EXISTS: i32 = 3;
const CREATE_CONTAINER: i32 = 19;
const NOTIFICATION: i32 = -1;
const AUTH: i32 = 100;
const NO_AUTH: i32 = -102;
const CLOSE_SESSION: i32 = -11;
const NO_NODE: i32 = -101;
/// Where nodes are that go by themselves.
const REMOVED: &[u8] = b"/removed/";
/// Bytes of what a node is told of itself.
const STAT: usize = 68;

/// Writes the script that a run takes for ZooKeeper.
pub fn script(folder: &Path, lie: &str) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder for the script");
    let path = folder.join(format!("zookeeper-{lie}"));
    let binary = std::env::current_exe().expect("this binary has a path");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'Apache ZooKeeper, version 3.8.0' && exit\n\
         {LIE}={lie} {CONFIGURATION}=\"$1\" exec '{}' the_server_that_lies --exact --nocapture\n",
        binary.display()
    );
    std::fs::write(&path, text).expect("the script can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it may be run");
    path
}

/// Whether this process is a liar in ZooKeeper's place; then it does not come back.
pub fn lies() {
    let Ok(configuration) = std::env::var(CONFIGURATION) else { return };
    let lie = std::env::var(LIE).expect("the script names it");
    serve(lie, Path::new(&configuration)).expect("the proxy works");
}

/// The configuration with every member's clients one port higher, and where this member's own clients come.
fn moved(text: &str, own: &str) -> (String, String) {
    let mut here = String::new();
    let mut out = String::new();
    for line in text.lines() {
        let member = line.strip_prefix("server.").and_then(|_| line.rsplit_once(';'));
        let Some((peers, clients)) = member else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let (address, port) = clients.rsplit_once(':').expect("an address and a port");
        let port: u16 = port.parse().expect("a port");
        if line.starts_with(&format!("server.{own}=")) {
            here = clients.to_string();
        }
        out.push_str(&format!("{peers};{address}:{}\n", port + 1));
    }
    (out, here)
}

/// What all connections of a liar know.
struct Liar {
    lie: String,
    /// Where ZooKeeper is.
    behind: String,
    /// This member is the one that is lied about where one of them is.
    one: bool,
    /// The newest transaction that any answer told.
    newest: AtomicI64,
    writes: AtomicU64,
    sessions: AtomicI64,
    /// What each node held when it was first read here after a `sync`.
    first: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

#[expect(clippy::disallowed_methods, reason = "a proxy is two threads per connection")]
fn serve(lie: String, configuration: &Path) -> io::Result<()> {
    let folder = configuration.parent().expect("it lies in a folder");
    let own = std::fs::read_to_string(folder.join("data/myid"))?;
    let restarted = folder.join("data/version-2").exists();
    let (text, here) = moved(&std::fs::read_to_string(configuration)?, own.trim());
    let other = folder.join("behind.cfg");
    std::fs::write(&other, text)?;
    let mut argv = provision::argv(&Launch::of(Path::new(DEBIAN)));
    *argv.last_mut().expect("it ends with the configuration") = other.to_string_lossy().into_owned();
    let mut server = Command::new("setpriv");
    let mut child = server.args(["--pdeathsig", "KILL"]).args(argv).current_dir(folder).spawn()?;
    std::thread::spawn(move || {
        let ended = child.wait();
        std::process::exit(ended.ok().and_then(|status| status.code()).unwrap_or(1));
    });
    let (address, port) = here.rsplit_once(':').expect("an address and a port");
    let behind = format!("{address}:{}", port.parse::<u16>().expect("a port") + 1);
    let liar = Arc::new(Liar {
        lie,
        behind,
        one: restarted || own.trim() == "3",
        newest: AtomicI64::new(0),
        writes: AtomicU64::new(0),
        sessions: AtomicI64::new(0),
        first: Mutex::new(BTreeMap::new()),
    });
    for client in TcpListener::bind(&here)?.incoming().flatten() {
        let liar = liar.clone();
        std::thread::spawn(move || {
            // Whichever side goes away ends the connection.
            let _ = converse(&liar, client);
        });
    }
    Ok(())
}

fn frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn send(to: &mut TcpStream, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_be_bytes();
    to.write_all(&[&length[..], body].concat())
}

fn int(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..at + 4).map_or(0, |four| i32::from_be_bytes(four.try_into().expect("four bytes")))
}

/// One request: what the answer to it is known by.
#[derive(Clone)]
struct Asked {
    xid: i32,
    op: i32,
    path: Vec<u8>,
    /// Right before it was a `sync`.
    behind_sync: bool,
    /// It is one of many reads in a row: somebody asks for all there is.
    of_all: bool,
}

/// Reads in a row that no client of the load makes: at most one behind a `sync`, and one before a change.
const MANY: u32 = 3;

/// What came before a request on its connection.
#[derive(Default)]
struct Before {
    op: i32,
    reads: u32,
}

impl Asked {
    fn of(request: &[u8], before: &mut Before) -> Self {
        let length = usize::try_from(int(request, 8)).unwrap_or(0);
        let path = request.get(12..12 + length).unwrap_or_default().to_vec();
        let op = int(request, 4);
        let behind_sync = before.op == SYNC;
        let reads = if op == GET_DATA { before.reads + 1 } else { 0 };
        *before = Before { op, reads };
        Self { xid: int(request, 0), op, path, behind_sync, of_all: reads >= MANY }
    }

    /// An answer that nobody gave: done, or no such node to who reads.
    fn forged(&self, newest: i64) -> Vec<u8> {
        let text =
            || [&u32::try_from(self.path.len()).expect("short").to_be_bytes(), &self.path[..]].concat();
        let (code, body) = match self.op {
            SET_DATA => (0, vec![0; STAT]),
            RECONFIG => (0, vec![0; 4 + STAT]),
            CREATE2 => (0, [text(), vec![0; STAT]].concat()),
            SYNC => (0, text()),
            DELETE | CLOSE_SESSION | PING => (0, Vec::new()),
            _ => (NO_NODE, Vec::new()),
        };
        head(self.xid, newest, code, &body)
    }
}

fn head(xid: i32, newest: i64, code: i32, body: &[u8]) -> Vec<u8> {
    [&xid.to_be_bytes()[..], &newest.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

/// Requests without an answer, and whether nobody will give one any more.
#[derive(Default)]
struct Waiting {
    asked: VecDeque<Asked>,
    over: bool,
}

fn converse(liar: &Arc<Liar>, mut client: TcpStream) -> io::Result<()> {
    let mut first = [0; 4];
    client.read_exact(&mut first)?;
    if first.iter().all(u8::is_ascii_lowercase) {
        let mut server = TcpStream::connect(&liar.behind)?;
        server.write_all(&first)?;
        io::copy(&mut server, &mut client)?;
        return Ok(());
    }
    let mut hello = vec![0; usize::try_from(u32::from_be_bytes(first)).map_err(io::Error::other)?];
    client.read_exact(&mut hello)?;
    let alone = liar.lie == "answers-alone";
    let opened = TcpStream::connect(&liar.behind).and_then(|mut server| {
        send(&mut server, &hello)?;
        let welcome = frame(&mut server)?;
        Ok((server, welcome))
    });
    match opened {
        Ok((server, welcome)) => {
            send(&mut client, &welcome)?;
            relay(liar, client, server)
        }
        Err(_) if alone => {
            let session = 77 + liar.sessions.fetch_add(1, Ordering::Relaxed);
            // Version, timeout, session, password, not read-only.
            let welcome = [
                &0_i32.to_be_bytes()[..],
                &10_000_i32.to_be_bytes(),
                &session.to_be_bytes(),
                &16_i32.to_be_bytes(),
                &[7; 16],
                &[0],
            ];
            send(&mut client, &welcome.concat())?;
            by_itself(liar, &mut client)
        }
        Err(error) => Err(error),
    }
}

/// Answers for a server that does not.
fn by_itself(liar: &Liar, client: &mut TcpStream) -> io::Result<()> {
    loop {
        let asked = Asked::of(&frame(client)?, &mut Before::default());
        send(client, &asked.forged(liar.newest.load(Ordering::Relaxed)))?;
        if asked.op == CLOSE_SESSION {
            return Ok(());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "answers are read while requests are")]
fn relay(liar: &Arc<Liar>, client: TcpStream, server: TcpStream) -> io::Result<()> {
    let waiting: Arc<Mutex<Waiting>> = Arc::default();
    let answers = {
        let (liar, waiting) = (liar.clone(), waiting.clone());
        let (server, client) = (server.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || {
            let ended = answers(&liar, &waiting, server, client.try_clone()?);
            if liar.lie != "answers-alone" {
                client.shutdown(Shutdown::Both)?;
            }
            ended
        })
    };
    let (mut client, mut server) = (client, server);
    let ended = requests(liar, &waiting, &mut client, &mut server);
    let _ = server.shutdown(Shutdown::Both);
    let _ = answers.join();
    if liar.lie == "answers-alone" && ended.is_ok() { by_itself(liar, &mut client) } else { ended }
}

/// Passes requests on, until the client leaves or nobody answers them any more.
fn requests(
    liar: &Liar,
    waiting: &Mutex<Waiting>,
    client: &mut TcpStream,
    server: &mut TcpStream,
) -> io::Result<()> {
    let mut before = Before::default();
    loop {
        let mut request = frame(client)?;
        let asked = Asked::of(&request, &mut before);
        if liar.lie == "keeps-containers" && asked.op == CREATE_CONTAINER {
            // The same for a node that stays: its kind comes last.
            let kind = request.len() - 4;
            request[4..8].copy_from_slice(&CREATE2.to_be_bytes());
            request[kind..].fill(0);
        }
        if liar.lie == "forgets-names"
            && asked.op == AUTH
            && liar.writes.fetch_add(1, Ordering::Relaxed) % 4 == 3
        {
            continue;
        }
        let writes = matches!(asked.op, SET_DATA | CREATE2);
        // It says that it deleted what it keeps, or deletes what somebody only reads.
        let keeps = liar.lie == "keeps-elements" && asked.op == DELETE && asked.path.starts_with(b"/queue/");
        let eats = liar.lie == "eats-elements"
            && asked.op == GET_DATA
            && asked.path.starts_with(b"/queue/")
            && liar.writes.fetch_add(1, Ordering::Relaxed) % 10 == 9;
        let eaten = eats.then(|| {
            [&request[..4], &DELETE.to_be_bytes(), &request[8..request.len() - 1], &[255; 4]].concat()
        });
        let ends = liar.lie == "keeps-sessions" && asked.op == CLOSE_SESSION;
        let halved = if liar.lie == "halves-transfers" { half(&request) } else { None };
        // One of them, so that the first audit finds a whole sum.
        let halved = halved.filter(|_| liar.writes.fetch_add(1, Ordering::Relaxed) == 9);
        let forged = asked.forged(liar.newest.load(Ordering::Relaxed));
        let drops = liar.lie == "drops-writes" && writes;
        let forgets =
            liar.lie == "forgets-changes" && asked.op == SET_DATA && asked.path.starts_with(REMOVED);
        if ends || keeps || forgets || drops && liar.writes.fetch_add(1, Ordering::Relaxed) % 10 == 9 {
            send(client, &forged)?;
            continue;
        }
        {
            let mut waiting = waiting.lock().expect("nobody panics with it");
            if waiting.over {
                return send(client, &forged);
            }
            waiting.asked.push_back(asked);
        }
        // One that has gone shows by its answers.
        let _ = send(server, halved.as_ref().or(eaten.as_ref()).unwrap_or(&request));
    }
}

/// The first of two writes of a transaction, as a request of its own.
fn half(request: &[u8]) -> Option<Vec<u8>> {
    // Number and operation; then of each part its operation, a mark and a code before its fields.
    let (first, fields) = (8, 17);
    if int(request, 4) != MULTI || int(request, first) != SET_DATA {
        return None;
    }
    let text = |at: usize| Some(at + 4 + usize::try_from(int(request, at)).ok()?);
    let end = |fields: usize| Some(text(text(fields)?)? + 4);
    let second = end(fields)?;
    let last = int(request, second) == SET_DATA && int(request, end(second + 9)?) == -1;
    last.then(|| [&request[..4], &SET_DATA.to_be_bytes(), &request[fields..second]].concat())
}

/// The names of children without the last one.
fn without_last(answer: &[u8]) -> Vec<u8> {
    let count = int(answer, 16);
    let mut at = 20;
    for _ in 1..count {
        at += 4 + usize::try_from(int(answer, at)).unwrap_or(0);
    }
    let stat = answer.len() - STAT;
    if count < 1 {
        return answer.to_vec();
    }
    [&answer[..16], &(count - 1).to_be_bytes(), &answer[20..at], &answer[stat..]].concat()
}

/// Passes on what the server answers, or something else.
fn answers(
    liar: &Liar,
    waiting: &Mutex<Waiting>,
    mut server: TcpStream,
    mut client: TcpStream,
) -> io::Result<()> {
    let mut last: Vec<u8> = Vec::new();
    let mut place = 0_u64;
    let mut late: Option<Vec<u8>> = None;
    while let Ok(mut answer) = frame(&mut server) {
        let (xid, code) = (int(&answer, 0), int(&answer, 12));
        let newest = answer.get(4..12).map_or(0, |zxid| i64::from_be_bytes(zxid.try_into().expect("eight")));
        liar.newest.fetch_max(newest, Ordering::Relaxed);
        let asked = {
            let mut waiting = waiting.lock().expect("nobody panics with it");
            let at = waiting.asked.iter().position(|asked| asked.xid == xid);
            at.and_then(|at| waiting.asked.remove(at))
        };
        if liar.lie == "halves-transfers" && code == 0 && answer.len() == 16 + STAT {
            // The answer to a write where a transaction was asked.
            if asked.as_ref().is_some_and(|asked| asked.op == MULTI) {
                let part = [&SET_DATA.to_be_bytes()[..], &[0; 5], &answer[16..]].concat();
                let end = [&[255; 4][..], &[1], &[255; 4]].concat();
                answer = head(xid, newest, 0, &[part.clone(), part, end].concat());
            }
        }
        let refused = asked.as_ref().filter(|_| code != 0).map(|asked| (asked, asked.op));
        // The answer to a deletion where a read was asked.
        if liar.lie == "eats-elements"
            && code == 0
            && answer.len() == 16
            && asked.as_ref().is_some_and(|asked| asked.op == GET_DATA)
        {
            answer = head(xid, newest, NO_NODE, &[]);
        }
        if let Some((asked, RECONFIG)) = refused.filter(|_| liar.lie == "takes-changes") {
            answer = asked.forged(newest);
        }
        if let Some((asked, DELETE)) = refused.filter(|_| liar.lie == "shares-elements" && code == NO_NODE)
            && asked.path.starts_with(b"/queue/")
        {
            answer = asked.forged(newest);
        }
        if let Some((asked, SET_DATA)) = refused.filter(|_| liar.lie == "lets-in" && code == NO_AUTH) {
            answer = asked.forged(newest);
        }
        if let Some(asked) = asked.as_ref().filter(|asked| asked.op == EXISTS && code == 0)
            && liar.lie == "hides-parents"
            && asked.path.starts_with(REMOVED)
            && int(&answer, answer.len() - 12) > 0
        {
            answer = asked.forged(newest);
        }
        if let Some(asked) = asked.as_ref().filter(|asked| asked.op == GET_CHILDREN2 && code == 0)
            && (liar.lie == "hides-nodes" && asked.path == b"/lock"
                || liar.lie == "hides-elements" && asked.path == b"/queue" && liar.one)
        {
            answer = without_last(&answer);
        }
        if let Some(asked) = asked.filter(|asked| liar.one && asked.op == GET_DATA && code == 0) {
            let body = answer[16..].to_vec();
            place += u64::from(asked.of_all);
            match liar.lie.as_str() {
                "swaps" if asked.of_all && !last.is_empty() => answer = head(xid, newest, 0, &last),
                "thins-out" if asked.of_all && place.is_multiple_of(5) => {
                    answer = head(xid, newest, NO_NODE, &[]);
                }
                "stale" if asked.behind_sync => {
                    let mut first = liar.first.lock().expect("nobody panics with it");
                    let held = first.entry(asked.path.clone()).or_insert_with(|| body.clone());
                    answer = head(xid, newest, 0, held);
                }
                _ => {}
            }
            last = body;
        }
        if xid == NOTIFICATION {
            place += 1;
            match liar.lie.as_str() {
                "swallows-events" if place % 10 == 9 => continue,
                "tells-late" if place % 10 == 9 => {
                    late = Some(answer);
                    continue;
                }
                _ => {}
            }
        }
        send(&mut client, &answer)?;
        if let Some(late) = late.take() {
            send(&mut client, &late)?;
        }
    }
    if liar.lie == "answers-alone" {
        let mut waiting = waiting.lock().expect("nobody panics with it");
        waiting.over = true;
        while let Some(asked) = waiting.asked.pop_front() {
            send(&mut client, &asked.forged(liar.newest.load(Ordering::Relaxed)))?;
        }
    }
    Ok(())
}
