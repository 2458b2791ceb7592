//! How long a cluster takes from nothing to healthy: `cargo bench --bench boot`.
//!
//! Method: six nodes, three shards with one replica each, on loopback, once with `nodes.conf` written beforehand
//! and once formed by `redis-cli --cluster create` from the same binary with the same settings, in turns. The
//! time runs from the first start of a process until every node says `cluster_state:ok` with all 16384 slots
//! and answers a read without CLUSTERDOWN, and every replica's link is up, asked every 10 ms. The median of the
//! rounds is reported with the fastest and the slowest. Two seconds of either are the
//! server's own (`CLUSTER_WRITABLE_DELAY` in `cluster.c`).

use seedfault::env::processes::{Options, ProcessesEnv, doctor};
use seedfault::env::{ActorId, ConnId, Effect, Env, Input, NodeAction, NodeId, NodeSpec};
use seedfault::fault::restart::RestartData;
use seedfault::time::{Micros, Millis};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const NODES: u16 = 6;
const SHARDS: u16 = 3;
const ROUNDS: usize = 7;
const ASK_EVERY: Millis = Millis(10);
/// A cluster that is not healthy by then counts as failed.
const HEALTHY_MAX: Millis = Millis(60_000);
const ME: ActorId = ActorId(1);

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
    for node in 0..NODES {
        let spec = spec(server, node, create_by.is_none());
        env.submit(ME, Effect::Node(NodeId(node), NodeAction::Create(spec)));
    }
    applied(&mut env);
    let began = env.wall();
    for node in 0..NODES {
        env.submit(ME, Effect::Node(NodeId(node), NodeAction::Start(RestartData::Kept)));
    }
    applied(&mut env);
    if let Some(cli) = create_by {
        create(&mut env, cli);
    }
    let question = b"CLUSTER INFO\r\nINFO replication\r\nGET boot\r\n";
    wait(&mut env, question, &|answers| answers.values().all(|answer| is_healthy(answer)));
    let took = env.wall().since(began).millis();
    env.close();
    std::fs::remove_dir_all(&run).expect("ours");
    took
}

/// What the nodes answered to the three questions, as text: all are plain words and bulk strings.
fn is_healthy(answer: &str) -> bool {
    let complete = answer.contains("master_repl_offset")
        && (answer.ends_with("$-1\r\n") || answer.contains("-MOVED ") || answer.contains("-CLUSTERDOWN"));
    complete
        && answer.contains("cluster_state:ok")
        && answer.contains("cluster_slots_ok:16384")
        && !answer.contains("-CLUSTERDOWN")
        && (answer.contains("role:master") || answer.contains("master_link_status:up"))
}

fn applied(env: &mut ProcessesEnv) {
    let (mut count, mut out) = (0, Vec::new());
    while count < NODES {
        env.step(env.now().plus(Millis(100)), &mut out);
        for (_, _, input) in out.drain(..) {
            if let Input::Applied(result) = input {
                result.expect("the node starts");
                count += 1;
            }
        }
    }
}

/// Asks every node, again and again, until the answers are right.
fn wait(env: &mut ProcessesEnv, question: &[u8], right: &dyn Fn(&BTreeMap<u64, String>) -> bool) {
    let mut number = env.now().0;
    let limit = env.now().plus(HEALTHY_MAX);
    loop {
        assert!(env.now() < limit, "not healthy within {HEALTHY_MAX}");
        let first = number;
        for node in 0..NODES {
            env.submit(ME, Effect::Open(ConnId(number), NodeId(node)));
            env.submit(ME, Effect::Send(ConnId(number), question.to_vec()));
            number += 1;
        }
        let mut answers: BTreeMap<u64, String> = (first..number).map(|id| (id, String::new())).collect();
        let until = env.now().plus(ASK_EVERY);
        while env.now() < until {
            step(env, until, &mut answers);
            if right(&answers) {
                return;
            }
        }
        for id in first..number {
            env.submit(ME, Effect::Close(ConnId(id)));
        }
    }
}

fn step(env: &mut ProcessesEnv, until: Micros, answers: &mut BTreeMap<u64, String>) {
    let mut out = Vec::new();
    env.step(until, &mut out);
    for (_, _, input) in out {
        if let Input::Bytes(ConnId(id), bytes) = input
            && let Some(answer) = answers.get_mut(&id)
        {
            answer.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

fn create(env: &mut ProcessesEnv, cli: &Path) {
    wait(env, b"PING\r\n", &|answers| answers.values().all(|answer| answer.starts_with("+PONG")));
    let place = |node| env.endpoint(NodeId(node)).map(|(address, port)| format!("{address}:{port}"));
    let output = Command::new(cli)
        .args(["--cluster", "create"])
        .args((0..NODES).filter_map(place))
        .args(["--cluster-replicas", "1", "--cluster-yes"])
        .output()
        .expect("redis-cli runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn spec(server: &Path, node: u16, written: bool) -> NodeSpec {
    let conf = "bind 127.0.0.1\nport {port}\ndir {dir}\ncluster-enabled yes\ncluster-config-file nodes.conf\n\
                cluster-node-timeout 1000\nrepl-diskless-sync-delay 0\nappendonly no\nsave \"\"\n";
    let mut files = BTreeMap::from([("server.conf".to_string(), conf.to_string())]);
    if written {
        files.insert("nodes.conf".into(), nodes_conf(node));
    }
    NodeSpec {
        argv: vec![server.to_string_lossy().into_owned(), "{dir}/server.conf".into()],
        files,
        config_files: vec!["nodes.conf".into()],
        data_files: vec!["dump.rdb".into()],
    }
}

/// Node *n* replicates node *n* - 3, or holds a third of the slots.
fn nodes_conf(myself: u16) -> String {
    let mut text = String::new();
    for node in 0..NODES {
        let shard = node % SHARDS;
        let me = if node == myself { "myself," } else { "" };
        let place =
            format!("{{address:{node}}}:{{port:{node}}}@{{bus_port:{node}}},,shard-id={:040x}", shard + 1);
        let (first, last) = (shard * 5461, if shard + 1 == SHARDS { 16383 } else { shard * 5461 + 5460 });
        let epoch = shard + 1;
        let line = if node < SHARDS {
            format!("{me}master - 0 0 {epoch} connected {first}-{last}")
        } else {
            format!("{me}slave {:040x} 0 0 {epoch} connected", shard + 0xa0)
        };
        writeln!(text, "{:040x} {place} {line}", node + 0xa0).expect("a string takes it");
    }
    text + "vars currentEpoch 3 lastVoteEpoch 0\n"
}
