//! How long a cluster takes from nothing to healthy: `cargo bench --bench boot`.
//!
//! Method: six nodes, three shards with one replica each, on loopback, once with `nodes.conf` written beforehand
//! and once formed by `redis-cli --cluster create` from the same binary with the same settings, in turns. The
//! time runs from the first start of a process until every node says `cluster_state:ok` with all 16384 slots
//! and answers a read without CLUSTERDOWN, and every replica's link is up, asked every 10 ms. The median of the
//! rounds is reported with the fastest and the slowest. Two seconds of either are the
//! server's own (`CLUSTER_WRITABLE_DELAY` in `cluster.c`).

mod six;

use seedfault::env::processes::{Options, ProcessesEnv, doctor};
use seedfault::env::{Env, NodeId};
use seedfault::time::Millis;
use six::NODES;
use std::path::{Path, PathBuf};
use std::process::Command;

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
