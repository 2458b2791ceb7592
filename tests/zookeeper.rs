//! The ZooKeeper protocol against a real ensemble of three servers, over plain sockets: sessions that outlive their
//! connections, ephemerals, sequences, transactions, watches, versions, access lists, and members that come and go. And the
//! target as a whole, by the tool.
//!
//! Without a server it is skipped by name, and fails where `SEEDFAULT_REQUIRE_SERVERS=1` says that servers must be there.

#![expect(clippy::disallowed_methods, reason = "real servers take real time")]

mod servers;

use seedfault::entropy::Seed;
use seedfault::env::NodeId;
use seedfault::target::zookeeper::code::Code;
use seedfault::target::zookeeper::provision::{self, Launch, SUPER};
use seedfault::target::zookeeper::session::{Heard, Session, Stage};
use seedfault::target::zookeeper::wire::{
    ANY_VERSION, Acl, Answer, CreateMode, Happened, Notification, Request, WatchKind, WatchMode,
};
use seedfault::target::zookeeper::words::{self, Mode, Standing, Told};
use seedfault::time::Millis;
use seedfault::timeline::{Cluster, Formation, Load, Schedule, Settings, Timeline};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ANSWER_MAX: Duration = Duration::from_secs(10);
const BOOT_MAX: Duration = Duration::from_secs(60);

fn timeline() -> Timeline {
    Timeline {
        seed: Seed(1),
        generator: String::new(),
        catalogue: seedfault::catalogue::VERSION,
        profile: "processes/1".into(),
        name: None,
        target: "zookeeper".into(),
        environment: "processes".into(),
        cluster: Cluster {
            shards: 1,
            replicas: 2,
            formation: Formation::Written,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        },
        load: Load::none(),
        length: Millis::secs(1),
        events: Vec::new(),
        checks: Vec::new(),
        bugs: Vec::new(),
        schedule: Schedule::default(),
    }
}

/// Whether there is a server here.
fn is_installed() -> bool {
    let java = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join("java").is_file());
    let found = java && Path::new(provision::DEBIAN).is_file();
    if !found {
        assert_ne!(
            std::env::var("SEEDFAULT_REQUIRE_SERVERS").as_deref(),
            Ok("1"),
            "there is no java or no {}, and SEEDFAULT_REQUIRE_SERVERS=1 wants one",
            provision::DEBIAN
        );
        eprintln!("skipped: no zookeeper is installed here");
    }
    found
}

#[test]
fn an_ensemble_bears_what_happens_to_its_leader_and_its_members() {
    if !is_installed() {
        return;
    }
    let ran = servers::run("ensemble", &["run", "tests/real/ensemble.yaml"], Path::new(provision::DEBIAN));
    assert_eq!(servers::amiss(&ran), Vec::<String>::new(), "{}", ran.story());
    let applied: Vec<(&str, &str)> = ran
        .applied()
        .filter_map(|applied| Some((applied["event"].as_str()?, applied["status"].as_str()?)))
        .collect();
    for event in ["die", "halt", "leave", "join", "again"] {
        assert!(applied.contains(&(event, "applied")), "{event}: {applied:?}\n{}", ran.story());
    }
    for check in ["linearizability", "acknowledged_loss", "data_consistency", "convergence_time"] {
        assert_eq!(ran.judged(check).map(|judged| &judged["verdict"]), Some(&"pass".into()), "{check}");
    }
}

/// Servers as processes of this test, in a folder of its own.
struct Ensemble {
    folder: PathBuf,
    /// Client, bus and second bus port of each.
    ports: Vec<[u16; 3]>,
    servers: Vec<Option<Child>>,
}

impl Ensemble {
    fn start() -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let folder = std::env::temp_dir().join(format!("seedfault-zookeeper-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        // All at once, so that none is given twice.
        let held: Vec<TcpListener> =
            (0..12).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let free: Vec<u16> = held.iter().map(|l| l.local_addr().expect("bound").port()).collect();
        let ports = free.chunks_exact(3).map(|three| [three[0], three[1], three[2]]).collect();
        drop(held);
        let mut ensemble = Self { folder, ports, servers: Vec::new() };
        let specs = provision::ensemble(&timeline(), &Launch::of(Path::new(provision::DEBIAN)));
        for (number, spec) in specs.into_iter().enumerate() {
            let dir = ensemble.folder.join(number.to_string());
            for (name, text) in &spec.files {
                let file = dir.join(name);
                fs::create_dir_all(file.parent().expect("in a folder")).expect("a folder");
                fs::write(file, ensemble.fill(text, number)).expect("written");
            }
            ensemble.servers.push(None);
            ensemble.spawn(number);
        }
        Some(ensemble)
    }

    fn spawn(&mut self, number: usize) {
        let launch = Launch::of(Path::new(provision::DEBIAN));
        let spec = provision::ensemble(&timeline(), &launch).swap_remove(number);
        let dir = self.folder.join(number.to_string());
        let log =
            fs::OpenOptions::new().create(true).append(true).open(dir.join("server.log")).expect("a log");
        let argv: Vec<String> = spec.argv.iter().map(|text| self.fill(text, number)).collect();
        let child = Command::new(&argv[0])
            .args(&argv[1..])
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .process_group(0)
            .spawn();
        self.servers[number] = Some(child.expect("a server"));
    }

    fn fill(&self, text: &str, own: usize) -> String {
        let mut text = text.replace("{dir}", &self.folder.join(own.to_string()).to_string_lossy());
        for (number, ports) in self.ports.iter().enumerate() {
            text = text.replace(&format!("{{address:{number}}}"), "127.0.0.1");
            for (name, port) in ["port", "bus_port", "second_bus_port"].iter().zip(ports) {
                text = text.replace(&format!("{{{name}:{number}}}"), &port.to_string());
            }
        }
        text
    }

    fn kill(&mut self, number: usize) {
        let mut child = self.servers[number].take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("gone");
    }

    fn word(&self, number: usize, word: &[u8]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[number][0]))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(word)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn standing(&self, number: usize) -> Option<Standing> {
        match words::srvr(&self.word(number, words::SRVR).ok()?) {
            Ok(Told::Serves(standing)) => Some(standing),
            _ => None,
        }
    }

    /// Waits until so many serve, one of them as leader; answers which.
    fn leader(&self, serve: usize) -> usize {
        let began = Instant::now();
        loop {
            let modes: Vec<Option<Mode>> =
                (0..self.servers.len()).map(|n| self.standing(n).map(|s| s.mode)).collect();
            if modes.iter().flatten().count() >= serve
                && let Some(leader) = modes.iter().position(|mode| *mode == Some(Mode::Leader))
            {
                return leader;
            }
            assert!(began.elapsed() < BOOT_MAX, "no leader: {modes:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for child in self.servers.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A session and the connection that it has.
struct Client {
    session: Session,
    stream: TcpStream,
    buffer: Vec<u8>,
    fired: Vec<Notification>,
}

impl Client {
    fn new(ensemble: &Ensemble, number: usize) -> Self {
        Self::connect(Session::new(2000), ensemble, number).expect("a session")
    }

    /// `Err` with the session where it is no more.
    fn connect(mut session: Session, ensemble: &Ensemble, number: usize) -> Result<Self, Box<Session>> {
        let stream = TcpStream::connect(("127.0.0.1", ensemble.ports[number][0])).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let mut out = Vec::new();
        session.hello(&mut out);
        let mut client = Self { session, stream, buffer: Vec::new(), fired: Vec::new() };
        client.stream.write_all(&out).expect("sent");
        match client.hear(ANSWER_MAX).expect("an answer to hello") {
            Heard::Connected => Ok(client),
            Heard::Expired => Err(Box::new(client.session)),
            other => panic!("{other:?} to hello"),
        }
    }

    fn part(mut self) -> Session {
        self.session.parted();
        self.session
    }

    /// The next that the server says, or nothing in time.
    fn hear(&mut self, within: Duration) -> Option<Heard> {
        let until = Instant::now() + within;
        loop {
            let mut out = Vec::new();
            if let Some((heard, used)) = self.session.hear(&self.buffer, &mut out).expect("the protocol") {
                if std::env::var_os("SEEDFAULT_SHOW_BYTES").is_some() {
                    let hex: String = self.buffer[..used].iter().map(|b| format!("{b:02x}")).collect();
                    eprintln!("{heard:?}\n  {hex}");
                }
                self.buffer.drain(..used);
                self.stream.write_all(&out).expect("sent");
                if let Heard::Watch { notification, expected } = &heard {
                    assert!(expected, "{notification:?} was registered");
                    self.fired.push(notification.clone());
                }
                return Some(heard);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.stream.set_read_timeout(Some(left)).expect("a socket");
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn ask(&mut self, request: Request) -> Result<Answer, Code> {
        let mut out = Vec::new();
        let asked = self.session.request(request, &mut out);
        self.stream.write_all(&out).expect("sent");
        loop {
            match self.hear(ANSWER_MAX).expect("an answer") {
                Heard::Answer { xid, answer, .. } if xid == asked => return answer,
                Heard::Answer { xid, .. } => panic!("an answer to {xid}"),
                _ => {}
            }
        }
    }

    fn create(&mut self, path: &str, data: &str, mode: CreateMode) -> Result<String, Code> {
        let acl = vec![Acl::everybody(Acl::ALL)];
        match self.ask(Request::Create { path: path.into(), data: data.into(), acl, mode })? {
            Answer::Created(path, _) => Ok(path),
            other => panic!("{other:?}"),
        }
    }

    fn get(&mut self, path: &str, watch: bool) -> Result<(String, i32), Code> {
        match self.ask(Request::GetData { path: path.into(), watch })? {
            Answer::Data(data, stat) => Ok((String::from_utf8(data).expect("text"), stat.version)),
            other => panic!("{other:?}"),
        }
    }

    fn set(&mut self, path: &str, data: &str, version: i32) -> Result<i32, Code> {
        self.ask(Request::SetData { path: path.into(), data: data.into(), version })
            .map(|answer| answer.stat().expect("a state").version)
    }

    fn children(&mut self, path: &str) -> Vec<String> {
        match self.ask(Request::GetChildren { path: path.into(), watch: false }) {
            Ok(Answer::Children(mut names, _)) => {
                names.sort();
                names
            }
            other => panic!("{other:?}"),
        }
    }

    fn sync(&mut self) {
        assert_eq!(self.ask(Request::Sync { path: "/".into() }), Ok(Answer::Path("/".into())));
    }

    fn exists(&mut self, path: &str) -> bool {
        self.ask(Request::Exists { path: path.into(), watch: false }).is_ok()
    }
}

#[test]
fn a_real_ensemble_is_spoken_to() {
    let began = Instant::now();
    let Some(mut ensemble) = Ensemble::start() else { return };
    let leader = ensemble.leader(3);
    let follower = (leader + 1) % 3;
    let other = (leader + 2) % 3;
    let mut client = Client::new(&ensemble, follower);
    assert_eq!(client.create("/a", "one", CreateMode::Persistent), Ok("/a".into()));
    eprintln!("from the first process to the first write: {:?}", began.elapsed());

    versions(&mut client);
    sequences(&mut client);
    kinds_of_nodes(&mut client);
    transactions(&mut client);
    access(&mut client, &ensemble, other);
    watches(&mut client, &ensemble, other);
    let client = ephemerals(client, &ensemble, other);
    reads_after_sync(client, &ensemble, leader, follower);
    words_are_read(&ensemble, leader);
    members(&mut ensemble, leader);
    sessions_outlive_the_leader(&mut ensemble, leader);
}

fn versions(client: &mut Client) {
    assert_eq!(client.create("/a", "", CreateMode::Persistent), Err(Code::NODE_EXISTS));
    assert_eq!(client.get("/a", false), Ok(("one".into(), 0)));
    assert_eq!(client.set("/a", "two", 0), Ok(1));
    assert_eq!(client.set("/a", "three", 0), Err(Code::BAD_VERSION));
    assert_eq!(client.get("/none", false), Err(Code::NO_NODE));
    assert_eq!(client.ask(Request::Delete { path: "/a".into(), version: 9 }), Err(Code::BAD_VERSION));
}

fn sequences(client: &mut Client) {
    client.create("/queue", "", CreateMode::Persistent).expect("created");
    let names: Vec<String> = (0..3)
        .map(|_| client.create("/queue/n-", "", CreateMode::PersistentSequential).expect("created"))
        .collect();
    assert_eq!(names[2], "/queue/n-0000000002");
    assert_eq!(client.children("/queue").len(), 3);
    assert_eq!(client.ask(Request::Delete { path: "/queue".into(), version: -1 }), Err(Code::NOT_EMPTY));
    assert_eq!(client.ask(Request::CountDescendants { path: "/queue".into() }), Ok(Answer::Count(3)));
}

fn kinds_of_nodes(client: &mut Client) {
    client.create("/box", "", CreateMode::Container).expect("a container");
    client.create("/box/x", "", CreateMode::Persistent).expect("created");
    client.create("/short", "", CreateMode::Ttl(300)).expect("a time to live");
    client.create("/short-", "", CreateMode::TtlSequential(300)).expect("a time to live");
    assert_eq!(client.ask(Request::Delete { path: "/box/x".into(), version: -1 }), Ok(Answer::Nothing));
    let began = Instant::now();
    while client.exists("/box") || client.exists("/short") {
        assert!(began.elapsed() < ANSWER_MAX, "the leader takes off what is empty or too old");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn transactions(client: &mut Client) {
    let set = |data: &str| Request::SetData { path: "/a".into(), data: data.into(), version: ANY_VERSION };
    let create = |path: &str| Request::Create {
        path: path.into(),
        data: Vec::new(),
        acl: vec![Acl::everybody(Acl::ALL)],
        mode: CreateMode::Persistent,
    };
    let check = |version| Request::Check { path: "/a".into(), version };
    let delete = |path: &str| Request::Delete { path: path.into(), version: ANY_VERSION };
    let done =
        client.ask(Request::Multi(vec![check(1), create("/t"), set("four"), create("/u"), delete("/u")]));
    let Ok(Answer::Parts(parts)) = done else { panic!("{done:?}") };
    assert_eq!(parts[0], Ok(Answer::Nothing));
    assert_eq!(parts[1], Ok(Answer::Path("/t".into())));
    assert_eq!(parts[2].as_ref().expect("set").stat().expect("a state").version, 2);
    assert_eq!(parts[4], Ok(Answer::Nothing));
    // All or nothing: what stands before and behind the refused part has not happened.
    let refused = client.ask(Request::Multi(vec![set("five"), check(1), create("/v")]));
    let codes = [Code::OK, Code::BAD_VERSION, Code::RUNTIME_INCONSISTENCY];
    assert_eq!(refused, Ok(Answer::Parts(codes.map(Err).to_vec())));
    assert_eq!(client.get("/a", false), Ok(("four".into(), 2)));
    assert!(!client.exists("/v"));
    let reads = client.ask(Request::MultiRead(vec![
        Request::GetData { path: "/a".into(), watch: false },
        Request::GetChildren { path: "/queue".into(), watch: false },
        Request::GetData { path: "/none".into(), watch: false },
    ]));
    let Ok(Answer::Parts(parts)) = reads else { panic!("{reads:?}") };
    assert!(matches!(&parts[0], Ok(Answer::Data(data, _)) if data == b"four"));
    assert!(matches!(&parts[1], Ok(Answer::Children(names, None)) if names.len() == 3));
    assert_eq!(parts[2], Err(Code::NO_NODE));
}

fn access(client: &mut Client, ensemble: &Ensemble, other: usize) {
    let mut owner = Session::new(2000);
    owner.identify("digest", b"alice:wonder", &mut Vec::new());
    let mut owner = Client::connect(owner, ensemble, other).expect("a session");
    assert_eq!(owner.hear(ANSWER_MAX), Some(Heard::Auth(Ok(()))));
    let acl = vec![Acl { permissions: Acl::ALL, scheme: "auth".into(), id: String::new() }];
    let create =
        Request::Create { path: "/mine".into(), data: b"x".to_vec(), acl, mode: CreateMode::Persistent };
    owner.ask(create).expect("created");
    client.sync();
    assert_eq!(client.get("/mine", false), Err(Code::NO_AUTH));
    let Ok(Answer::Acl(acl, _)) = owner.ask(Request::GetAcl { path: "/mine".into() }) else {
        panic!("an ACL")
    };
    assert_eq!((acl[0].scheme.as_str(), acl[0].id.starts_with("alice:")), ("digest", true));
    let open = vec![Acl::everybody(1)];
    let set = Request::SetAcl { path: "/mine".into(), acl: open, version: ANY_VERSION };
    assert_eq!(owner.ask(set).expect("set").stat().expect("a state").acl_version, 1);
    client.sync();
    assert_eq!(client.get("/mine", false), Ok(("x".into(), 0)));
    assert_eq!(client.set("/mine", "y", ANY_VERSION), Err(Code::NO_AUTH));
}

fn watches(client: &mut Client, ensemble: &Ensemble, other: usize) {
    let mut writer = Client::new(ensemble, other);
    client.fired.clear();
    client.get("/a", true).expect("read");
    writer.set("/a", "five", ANY_VERSION).expect("set");
    writer.set("/a", "six", ANY_VERSION).expect("set");
    client.sync();
    // It is told before the new data is read, and once.
    let told = |client: &Client, happened: Happened, path: &str| {
        client.fired.iter().filter(|told| told.happened == happened && told.path == path).count()
    };
    assert_eq!(told(client, Happened::DataChanged, "/a"), 1, "{:?}", client.fired);
    let missing = client.ask(Request::Exists { path: "/w".into(), watch: true });
    assert_eq!(missing, Err(Code::NO_NODE));
    client.ask(Request::GetChildren { path: "/queue".into(), watch: true }).expect("listed");
    for (path, mode) in [("/w", WatchMode::PersistentRecursive), ("/queue", WatchMode::Persistent)] {
        assert_eq!(client.ask(Request::AddWatch { path: path.into(), mode }), Ok(Answer::Nothing));
    }
    client.fired.clear();
    for path in ["/w", "/w/x", "/w/x/y", "/queue/n"] {
        writer.create(path, "", CreateMode::Persistent).expect("created");
    }
    client.sync();
    for path in ["/w", "/w/x", "/w/x/y"] {
        assert!(told(client, Happened::Created, path) >= 1, "{path}: {:?}", client.fired);
    }
    assert!(told(client, Happened::ChildrenChanged, "/queue") >= 1, "{:?}", client.fired);
    let remove = Request::RemoveWatches { path: "/w".into(), kind: WatchKind::Any };
    assert_eq!(client.ask(remove.clone()), Ok(Answer::Nothing));
    assert_eq!(client.ask(remove), Err(Code::NO_WATCHER));
    client.fired.clear();
    writer.set("/w/x", "", ANY_VERSION).expect("set");
    client.sync();
    assert_eq!(client.fired, []);
}

/// The session goes on at another server with its watches, and its ephemerals go with it.
fn ephemerals(mut client: Client, ensemble: &Ensemble, other: usize) -> Client {
    client.create("/here", "", CreateMode::Ephemeral).expect("created");
    client.create("/here-", "", CreateMode::EphemeralSequential).expect("created");
    assert_eq!(client.create("/here/x", "", CreateMode::Persistent), Err(Code::NO_CHILDREN_FOR_EPHEMERALS));
    let mine = client.ask(Request::GetEphemerals { prefix: "/".into() });
    assert!(matches!(mine, Ok(Answer::Children(names, None)) if names.len() == 2));
    client.get("/a", true).expect("read");
    client.get("/w", true).expect("read");
    let (id, mut watcher) = (client.session.id, Client::new(ensemble, other));
    let session = client.part();
    watcher.set("/w", "while away", ANY_VERSION).expect("set");
    assert!(watcher.exists("/here"));
    let mut client = Client::connect(session, ensemble, other).expect("the same session");
    assert_eq!(client.session.id, id);
    let again = loop {
        match client.hear(ANSWER_MAX).expect("an answer") {
            Heard::WatchesAgain(taken) => break taken,
            Heard::Watch { .. } => {}
            unexpected => panic!("{unexpected:?}"),
        }
    };
    assert_eq!(again, Ok(()));
    client.sync();
    let paths: Vec<&str> = client.fired.iter().map(|told| told.path.as_str()).collect();
    assert_eq!(paths, ["/w"], "what happened meanwhile is told, and nothing else");
    watcher.set("/a", "seven", ANY_VERSION).expect("set");
    client.sync();
    assert_eq!(client.fired.last().map(|told| told.path.as_str()), Some("/a"));
    assert!(client.exists("/here"), "who goes on keeps its ephemerals");
    // A ping keeps it alive for longer than its timeout.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2 * u64::try_from(client.session.timeout_ms).expect("some"))
    {
        let mut out = Vec::new();
        client.session.ping(&mut out);
        client.stream.write_all(&out).expect("sent");
        assert_eq!(client.hear(ANSWER_MAX), Some(Heard::Pong));
        std::thread::sleep(Duration::from_millis(client.session.ping_after_ms()));
    }
    assert!(client.exists("/here"));
    assert_eq!(client.ask(Request::CloseSession), Ok(Answer::Nothing));
    assert_eq!(client.session.stage, Stage::Closed);
    let mut watcher = Client::new(ensemble, other);
    watcher.sync();
    assert!(!watcher.exists("/here"), "an ephemeral is gone with its session");
    // And one that nobody keeps alive expires.
    let mut quiet = Client::new(ensemble, other);
    quiet.create("/quiet", "", CreateMode::Ephemeral).expect("created");
    let session = quiet.part();
    std::thread::sleep(Duration::from_millis(2 * u64::try_from(session.timeout_ms).expect("some")));
    let expired = Client::connect(session, ensemble, other).err().expect("the session is no more");
    assert_eq!(expired.stage, Stage::Expired);
    let mut watcher = Client::new(ensemble, other);
    watcher.sync();
    assert!(!watcher.exists("/quiet"));
    watcher
}

fn reads_after_sync(mut writer: Client, ensemble: &Ensemble, leader: usize, follower: usize) {
    let mut reader = Client::new(ensemble, follower);
    let mut at_leader = Client::new(ensemble, leader);
    for round in 0..50 {
        let wanted = format!("round {round}");
        writer.set("/a", &wanted, ANY_VERSION).expect("set");
        for client in [&mut reader, &mut at_leader] {
            client.sync();
            assert_eq!(client.get("/a", false).expect("read").0, wanted, "a read after a sync is fresh");
        }
    }
}

fn words_are_read(ensemble: &Ensemble, leader: usize) {
    let standing = ensemble.standing(leader).expect("it serves");
    assert_eq!((standing.mode, words::epoch(standing.zxid)), (Mode::Leader, 1));
    let counted = words::mntr(&ensemble.word(leader, words::MNTR).expect("an answer"));
    let Ok(Told::Serves(counted)) = counted else { panic!("{counted:?}") };
    assert_eq!((counted.mode, counted.synced_followers), (Mode::Leader, Some(2)));
    assert!(counted.sessions.is_some());
    let members = words::members(&ensemble.word(leader, words::CONF).expect("an answer"));
    assert_eq!(members.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
}

/// A follower is removed and added again.
fn members(ensemble: &mut Ensemble, leader: usize) {
    let gone = (leader + 2) % 3;
    let reconfig = |joining: Option<String>, leaving: Option<String>| Request::Reconfig {
        joining,
        leaving,
        members: None,
        from_config: -1,
    };
    let id = provision::server_id(NodeId(u16::try_from(gone).expect("small")));
    let mut anybody = Client::new(ensemble, leader);
    assert_eq!(anybody.ask(reconfig(None, Some(id.to_string()))), Err(Code::NO_AUTH));
    let mut session = Session::new(2000);
    session.identify("digest", format!("{}:{}", SUPER.0, SUPER.1).as_bytes(), &mut Vec::new());
    let mut admin = Client::connect(session, ensemble, leader).expect("a session");
    let done = admin.ask(reconfig(None, Some(id.to_string())));
    let Ok(Answer::Data(config, _)) = done else { panic!("{done:?}") };
    let listed = words::members(&String::from_utf8(config).expect("text"));
    assert_eq!(listed.len(), 2, "{listed:?}");
    let line = ensemble.fill(&provision::member(NodeId(u16::try_from(gone).expect("small"))), gone);
    let done = admin.ask(reconfig(Some(line), None));
    let Ok(Answer::Data(config, _)) = done else { panic!("{done:?}") };
    assert_eq!(words::members(&String::from_utf8(config).expect("text")).len(), 3);
    assert_eq!(ensemble.leader(3), leader);
}

fn sessions_outlive_the_leader(ensemble: &mut Ensemble, leader: usize) {
    let mut client = Client::new(ensemble, (leader + 1) % 3);
    client.create("/held", "", CreateMode::Ephemeral).expect("created");
    let session = client.part();
    ensemble.kill(leader);
    let began = Instant::now();
    let next = ensemble.leader(2);
    eprintln!("a new leader after {:?}", began.elapsed());
    assert!(next != leader);
    let mut client = Client::connect(session, ensemble, next).expect("the session lives on");
    client.set("/a", "after", ANY_VERSION).expect("set");
    assert!(client.exists("/held"));
    let standing = ensemble.standing(next).expect("it serves");
    assert_eq!(words::epoch(standing.zxid), 2, "each leader has an epoch of its own");
    ensemble.spawn(leader);
    ensemble.leader(3);
    let mut back = Client::new(ensemble, leader);
    back.sync();
    assert_eq!(back.get("/a", false).expect("read").0, "after");
}
