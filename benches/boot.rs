//! How long a cluster takes from nothing to healthy: `cargo bench --bench boot`.
//!
//! Method: six nodes, three shards with one replica each, on loopback, once with `nodes.conf` written beforehand
//! and once formed by `redis-cli --cluster create` from the same binary with the same settings, in turns. The
//! time runs from the first start of a process until every node says `cluster_state:ok` with all 16384 slots
//! and answers a read without CLUSTERDOWN, and every replica's link is up, asked every 10 ms. The median of the
//! rounds is reported with the fastest and the slowest. Two seconds of either are the
//! server's own (`CLUSTER_WRITABLE_DELAY` in `cluster.c`).
//!
//! And three members of etcd, with the timing of its defaults and with half of that, as a run boots them: from the first start of
//! a process until the first write of a client is acknowledged, which is after all three have said that they follow one leader.

mod six;

use seedfault::check::Judgement;
use seedfault::entropy::Seed;
use seedfault::env::processes::{Options, ProcessesEnv, doctor};
use seedfault::env::{Env, NodeId};
use seedfault::run::event::RunEvent;
use seedfault::run::execute::{Bounds, Oracle, execute};
use seedfault::run::record::{Applied, Life, Record};
use seedfault::spec;
use seedfault::target::etcd::Etcd;
use seedfault::time::Millis;
use seedfault::timeline::{Timeline, generate};
use seedfault::yaml::document::Problems;
use six::NODES;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

const ROUNDS: usize = 7;

fn main() {
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let servers = doctor::servers_on(&path);
    if servers.is_empty() {
        println!("boot: skipped, no server binary on PATH");
        return;
    }
    let cli = doctor::find(&path, "redis-cli").or_else(|| doctor::find(&path, "valkey-cli"));
    println!("boot of six nodes until healthy, median of {rounds} (fastest to slowest), ms");
    for server in servers.into_iter().filter(|server| server.version.is_ok()) {
        let (mut written, mut created) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            written.push(boot(&server.path, None));
            created.extend(cli.as_ref().map(|cli| boot(&server.path, Some(cli))));
        }
        println!("{}", server.version.unwrap_or_default());
        report("nodes.conf written beforehand", &mut written);
        report("--cluster create", &mut created);
    }
    if let Some(server) = doctor::find(&path, "etcd") {
        println!(
            "boot of three etcd members until the first write, median of {rounds} (fastest to slowest), ms"
        );
        for (name, heartbeat, election) in
            [("heartbeat 50, election 500", 50, 500), ("the defaults", 100, 1000)]
        {
            let mut times: Vec<Millis> = (0..rounds).map(|_| group(&server, heartbeat, election)).collect();
            report(name, &mut times);
        }
    }
}

/// How long three members of etcd take from the first process to the first write of a run's clients.
fn group(server: &Path, heartbeat: u64, election: u64) -> Millis {
    let run = std::env::temp_dir().join(format!("seedfault-boot-{}", std::process::id()));
    let options =
        Options { dir: run.join("nodes"), server: Some(server.to_path_buf()), ..Options::default() };
    let mut env = ProcessesEnv::new(options).expect("loopback is there");
    let text = format!(
        "fuzz: 1\ntarget: etcd\nenvironment: processes\nlength: 200ms\nload: {{clients: 3, rate: 300/s, pattern: write_heavy}}\n\
         cluster: {{shards: 1, replicas: 2, settings: {{heartbeat-interval: {heartbeat}, election-timeout: {election}}}}}\n\
         timeline: []\n"
    );
    let spec = spec::parse::parse(text.as_bytes(), &mut Problems::default()).expect("it reads");
    let timeline = generate(&spec, Seed(1), "etcd", env.profile()).expect("it can be drawn");
    let bounds = Bounds { boot: Millis(60_000), run: Millis(120_000) };
    let nobody = &mut |_: &RunEvent| {};
    let ran = execute(&timeline, &mut env, Rc::new(Etcd), bounds, Rc::new(Nothing), nobody);
    let record = ran.expect("it comes up");
    env.close();
    std::fs::remove_dir_all(&run).expect("ours");
    let began = record.lives.iter().map(|life| life.started).min().expect("there are processes");
    let writes = record.history.iter().filter(|operation| operation.acknowledged_write());
    let first = writes.map(|operation| operation.complete.logical).min().expect("there are writes");
    first.since(began).millis()
}

/// Nobody judges a benchmark.
struct Nothing;

impl Oracle for Nothing {
    fn look(&self, _: &Record, _: &[String]) -> Vec<Judgement> {
        Vec::new()
    }
    fn settle_bound(&self, _: &Timeline, _: &[Applied], _: &[Life]) -> (Millis, String) {
        (Millis(1500), String::new())
    }
}

fn report(name: &str, times: &mut [Millis]) {
    times.sort();
    if let (Some(first), Some(last)) = (times.first(), times.last()) {
        println!("  {name:<30} {:>6}  ({} to {})", times[times.len() / 2].0, first.0, last.0);
    }
}

/// Boots one cluster and takes it down again.
fn boot(server: &Path, create_by: Option<&PathBuf>) -> Millis {
    let run = std::env::temp_dir().join(format!("seedfault-boot-{}", std::process::id()));
    let options = Options { dir: run.join("nodes"), ..Options::default() };
    let mut env = ProcessesEnv::new(options).expect("loopback is there");
    let began = six::start(&mut env, server, create_by.is_none());
    if let Some(cli) = create_by {
        create(&mut env, cli);
    }
    six::wait_until_healthy(&mut env);
    let took = env.wall().since(began).millis();
    env.close();
    std::fs::remove_dir_all(&run).expect("ours");
    took
}

fn create(env: &mut ProcessesEnv, cli: &Path) {
    six::wait(env, b"PING\r\n", &|answers| answers.values().all(|answer| answer.starts_with("+PONG")));
    let place = |node| env.endpoint(NodeId(node)).map(|(address, port)| format!("{address}:{port}"));
    let output = Command::new(cli)
        .args(["--cluster", "create"])
        .args((0..NODES).filter_map(place))
        .args(["--cluster-replicas", "1", "--cluster-yes"])
        .output()
        .expect("redis-cli runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
