//! What the switch of `live` costs: `cargo bench --bench network`.
//!
//! Method: the same six nodes (three shards with one replica each) on four kinds of network, in turns: the loopback
//! interface; veth pairs on the kernel's bridge; the switch with TUN devices; the switch with packet sockets. The load
//! is the benchmark program that comes with the server, in a place of its own on that network. Each figure is the
//! median of the rounds, and beside it the ratio to the bridge, of medians of the same rounds. The last figures are of
//! the switch alone: a link with a fault on it that changes nothing, one on which each segment has a fate of its own, the
//! same link without a fault, how late a delay of 5 ms is (by round trips with a pause of as long before each, which are
//! compared with the same on the link without a fault, in turns), and how long it takes until a cut is in force (its
//! answer comes afterwards).
//!
//! The figures are worth something on an idle machine with two processors; `--bench` measures, without it each is
//! tried once, briefly. A word chooses the servers whose names have it: `cargo bench --bench network -- valkey`. As an
//! ordinary user, or where `/dev/net/tun` may not be opened, TUN is left out by name.

mod six;

use nix::unistd::geteuid;
use seedfault::entropy::{Entropy, Seed};
use seedfault::env::live::{self, Kind};
use seedfault::env::processes::cage::{self, Walls};
use seedfault::env::processes::{Options, ProcessesEnv, doctor};
use seedfault::env::{Effect, Env, LinkRule, NodeId};
use seedfault::run::resp;
use seedfault::time::Millis;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const NETWORKS: &[&str] = &["loopback", "bridge", "TUN", "packet sockets"];
/// What the others are compared with.
const PEER: usize = 1;
/// A node whose place clients share where links have rules. It is a replica.
const NEIGHBOUR: NodeId = NodeId(5);
const DELAY: Millis = Millis(5);
/// Before a round trip: as long as the delay, in which processors go to sleep.
const PAUSE: Duration = Duration::from_millis(5);
const TRIPS: u64 = 60;
/// Turns with the delay and without, since what a processor takes to wake up changes within seconds.
const PAIRS: usize = 9;
const LARGE: u64 = 8 << 20;
/// What the servers' benchmark program calls its key where it is to be one.
const KEY: &str = "key:__rand_int__";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, network, server, amount] = arguments.as_slice()
        && word == "on"
    {
        return on(network, Path::new(server), amount.parse().unwrap_or(1));
    }
    if let [_, word, place, count] = arguments.as_slice()
        && word == "trips"
    {
        return trips(place, count.parse().unwrap_or(1));
    }
    let measures = arguments.iter().any(|argument| argument == "--bench");
    let (rounds, amount) = if measures { (ROUNDS, 100) } else { (1, 1) };
    let servers = doctor::servers_on(&std::env::var_os("PATH").unwrap_or_default());
    if servers.is_empty() {
        println!("network: skipped, no server binary on PATH");
    }
    let user = if geteuid().is_root() { "as root" } else { "as an ordinary user" };
    let word = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = |path: &Path| word.is_none_or(|word| path.to_string_lossy().contains(word.as_str()));
    for server in servers.into_iter().filter(|server| server.version.is_ok() && chosen(&server.path)) {
        println!("{}, {user}, median of {rounds}", server.version.unwrap_or_default());
        let mut found: Vec<Figures> = NETWORKS.iter().map(|_| Figures::default()).collect();
        for _ in 0..rounds {
            for (network, figures) in NETWORKS.iter().zip(&mut found) {
                figures.measure(network, &server.path, amount);
            }
        }
        print(&found);
    }
    ExitCode::SUCCESS
}

/// By what was measured, in the order in which that was done.
#[derive(Default)]
struct Figures {
    names: Vec<String>,
    values: BTreeMap<String, Vec<f64>>,
    failed: Option<String>,
}

impl Figures {
    /// One round, in a process of its own: it enters namespaces.
    fn measure(&mut self, network: &str, server: &Path, amount: u64) {
        let program = std::env::current_exe().expect("we run");
        let mut command = Command::new(program);
        command.args(["on", network]).arg(server).arg(amount.to_string()).stderr(Stdio::piped());
        cage::die_with_us(&mut command);
        let output = command.output().expect("it starts");
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            // A panic says where first, and ends with a note on how to hear more.
            let said = why.lines().filter(|line| !line.starts_with("note:")).collect::<Vec<_>>().join(" ");
            self.failed = Some(said);
            return;
        }
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((name, value)) = line.split_once('\t') else { continue };
            let Ok(value) = value.parse() else { continue };
            if !self.names.iter().any(|known| known == name) {
                self.names.push(name.to_string());
            }
            self.values.entry(name.to_string()).or_default().push(value);
        }
    }

    fn median(&self, name: &str) -> Option<f64> {
        let mut values = self.values.get(name)?.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

fn print(found: &[Figures]) {
    let mut names: Vec<&String> = Vec::new();
    for name in found.iter().flat_map(|figures| &figures.names) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let cells: Vec<String> = NETWORKS.iter().map(|network| format!("{network:>24}")).collect();
    println!("{:36}{}", "", cells.concat());
    for name in names {
        let peer = found[PEER].median(name);
        let cell = |(place, figures): (usize, &Figures)| {
            let text = match (figures.median(name), peer) {
                (Some(value), Some(peer)) if place != PEER && peer > 0.0 => {
                    format!("{value:.1} ({:.2})", value / peer)
                }
                (Some(value), _) => format!("{value:.1}"),
                (None, _) => "-".into(),
            };
            format!("{text:>24}")
        };
        println!("{name:36}{}", found.iter().enumerate().map(cell).collect::<String>());
    }
    for (network, figures) in NETWORKS.iter().zip(found) {
        if let Some(why) = &figures.failed {
            println!("{network}: not measured: {why}");
        }
    }
}

/// One kind of network, from nothing to figures on standard output.
fn on(network: &str, server: &Path, amount: u64) -> ExitCode {
    let run = std::env::temp_dir().join(format!("seedfault-network-{}", std::process::id()));
    let walls = if network == "loopback" { Walls::Processes } else { Walls::Network };
    let cage = cage::enter(walls);
    let options = Options { dir: run.join("nodes"), ..Options::default() };
    let switch = |options, kind| live::with(Some(&cage), options, Entropy::root(Seed(1)), &[kind]);
    let made = match network {
        "loopback" => ProcessesEnv::new(options),
        "bridge" => live::bridge::new(&cage, options),
        "TUN" => switch(options, Kind::Tun),
        _ => switch(options, Kind::Packet),
    };
    let mut env = match made {
        Ok(env) => env,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let began = six::start(&mut env, server, true);
    six::wait_until_healthy(&mut env);
    let boot = env.wall().since(began).millis();
    let load = Load { program: benchmark_of(server), amount };
    load.common(&mut env);
    println!("boot, ms\t{}", boot.0);
    if network != "loopback" && network != "bridge" {
        load.faults(&mut env);
    }
    env.close();
    for note in env.notes().iter().filter(|note| note.contains("the switch itself")) {
        eprintln!("{network}: {note}");
    }
    let _ = std::fs::remove_dir_all(&run);
    ExitCode::SUCCESS
}

/// `valkey-benchmark` beside `valkey-server`, and so on.
fn benchmark_of(server: &Path) -> PathBuf {
    let name = server.file_name().unwrap_or_default().to_string_lossy();
    server.with_file_name(name.replace("-server", "-benchmark"))
}

struct Load {
    program: PathBuf,
    /// In per cent of a whole measurement.
    amount: u64,
}

/// What the benchmark program says of one test.
struct Said {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Load {
    /// What can be measured anywhere. The clients are the tool's.
    fn common(&self, env: &mut ProcessesEnv) {
        let ping = self.run(env, 20_000, &["-c", "1", "-t", "ping_mbulk"]);
        println!("round trip, p50, us\t{}", ping.p50_us);
        println!("round trip, p99, us\t{}", ping.p99_us);
        // With threads, as in a cluster, it looks at the clock four times a second: so many take 5 s or more.
        let single = self.run(env, 400_000, &["--cluster", "-c", "50", "-t", "set"]);
        println!("SET, thousand a second\t{}", single.per_second / 1e3);
        let piped = self.run(env, 4_000_000, &["--cluster", "-c", "50", "-P", "16", "-t", "set"]);
        println!("SET, 16 at a time, thousand a second\t{}", piped.per_second / 1e3);
        self.large(env, None, "");
    }

    /// Of one key, at its node: with `--cluster` each request is for another slot's, of which most have none.
    fn large(&self, env: &mut ProcessesEnv, from: Option<NodeId>, where_: &str) {
        let (size, owner) = (LARGE.to_string(), owner(KEY));
        for (test, count) in [("set", 40), ("get", 200)] {
            let said = self.ask(env, (from, owner), count, &["-c", "1", "-d", &size, "-t", test]);
            let megabytes = said.per_second * LARGE as f64 / 1e6;
            println!("{} of 8 MB{where_}, MB/s\t{megabytes}", test.to_uppercase());
            if test == "set" {
                let (question, length) = (format!("STRLEN {KEY}\r\n"), format!(":{LARGE}\r\n"));
                six::wait(env, question.as_bytes(), &|answers| {
                    answers.values().any(|answer| *answer == length)
                });
            }
        }
    }

    /// What only links of the switch can be asked. The clients stand where a replica does.
    fn faults(&self, env: &mut ProcessesEnv) {
        let primaries: Vec<NodeId> = (0..six::SHARDS).map(NodeId).collect();
        // A link so wide that nothing waits; and one on which each segment has a fate of its own, and one of a thousand
        // comes twice, which TCP hardly notices.
        let through = LinkRule { rate: u32::MAX, ..LinkRule::default() };
        let one_by_one = LinkRule { duplicate: 1, ..LinkRule::default() };
        for (rule, what) in
            [(through, "with a fault"), (one_by_one, "by segment"), (LinkRule::default(), "healed")]
        {
            for node in &primaries {
                set(env, NEIGHBOUR, *node, rule);
                set(env, *node, NEIGHBOUR, rule);
            }
            self.large(env, Some(NEIGHBOUR), &format!(", link {what}"));
        }
        let (mut without, mut late): (Vec<f64>, Vec<f64>) = Default::default();
        for _ in 0..PAIRS {
            let before = self.trips(env);
            set(env, NEIGHBOUR, NodeId(0), LinkRule { delay: DELAY, ..LinkRule::default() });
            let after = self.trips(env);
            set(env, NEIGHBOUR, NodeId(0), LinkRule::default());
            without.push(before);
            late.push(after - before - DELAY.micros().0 as f64);
        }
        println!("round trip after a pause, p50, us\t{}", median(without));
        println!("a delay of 5 ms is late by, p50, us\t{}", median(late));
        let mut took: Vec<f64> = Vec::new();
        for _ in 0..20 {
            let cut = LinkRule { cut: true, ..LinkRule::default() };
            took.push(set(env, NEIGHBOUR, NodeId(0), cut));
            set(env, NEIGHBOUR, NodeId(0), LinkRule::default());
        }
        println!("a cut is in force after, p50, us\t{}", median(took));
    }

    /// The median of round trips with a pause before each, from the neighbour to the first node, in microseconds.
    fn trips(&self, env: &mut ProcessesEnv) -> f64 {
        let (address, port) = env.endpoint(NodeId(0)).expect("started");
        let mut command = Command::new(std::env::current_exe().expect("we run"));
        let count = (TRIPS * self.amount / 100).max(10);
        command.args(["trips", &format!("{address}:{port}"), &count.to_string()]);
        env.beside(NEIGHBOUR, &mut command).expect("the node is there");
        cage::die_with_us(&mut command);
        let output = command.output().expect("we run");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
    }

    /// The first node is asked, and with `--cluster` those that it knows.
    fn run(&self, env: &mut ProcessesEnv, count: u64, arguments: &[&str]) -> Said {
        self.ask(env, (None, NodeId(0)), count, arguments)
    }

    /// Clients in the place of a node, or the tool's, ask a node.
    fn ask(
        &self,
        env: &mut ProcessesEnv,
        (from, to): (Option<NodeId>, NodeId),
        count: u64,
        arguments: &[&str],
    ) -> Said {
        let (address, port) = env.endpoint(to).expect("started");
        let count = (count * self.amount / 100).max(10).to_string();
        let mut command = Command::new(&self.program);
        command.args(["-h", &address, "-p", &port.to_string(), "--csv", "-n", &count]).args(arguments);
        if let Some(node) = from {
            env.beside(node, &mut command).expect("the node is there");
        }
        cage::die_with_us(&mut command);
        let output = command.output().expect("the server's benchmark program is beside it");
        let text = String::from_utf8_lossy(&output.stdout);
        // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",...
        let numbers: Vec<f64> = text
            .lines()
            .next_back()
            .unwrap_or_default()
            .split(',')
            .filter_map(|field| field.trim_matches('"').parse().ok())
            .collect();
        let [per_second, _, _, p50, _, p99, ..] = numbers[..] else {
            panic!("{arguments:?} answered {text} {}", String::from_utf8_lossy(&output.stderr));
        };
        Said { per_second, p50_us: p50 * 1e3, p99_us: p99 * 1e3 }
    }
}

/// The primary that has a key's slot, as the nodes are told.
fn owner(key: &str) -> NodeId {
    NodeId((resp::slot(key.as_bytes()) / six::SLOTS_EACH).min(six::SHARDS - 1))
}

/// Asks a node again and again, with a pause before each question; says what the median of the answers took.
fn trips(place: &str, count: u64) -> ExitCode {
    let mut stream = TcpStream::connect(place).expect("it listens");
    stream.set_nodelay(true).expect("a TCP connection");
    let mut took: Vec<f64> = Vec::new();
    let mut answer = [0; 7];
    for _ in 0..count {
        std::thread::sleep(PAUSE);
        #[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
        let began = Instant::now();
        stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut answer)).expect("it answers");
        took.push(began.elapsed().as_secs_f64() * 1e6);
    }
    println!("{}", median(took));
    ExitCode::SUCCESS
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Puts a rule on a link; answers how long that took, in microseconds.
fn set(env: &mut ProcessesEnv, from: NodeId, to: NodeId, rule: LinkRule) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
    let began = Instant::now();
    env.submit(six::ME, Effect::Link(from, to, rule.into()));
    six::applied(env, 1);
    began.elapsed().as_secs_f64() * 1e6
}
