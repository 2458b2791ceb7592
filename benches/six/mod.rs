//! Six nodes, three shards with one replica each, started by an environment for a benchmark.

use seedfault::env::processes::ProcessesEnv;
use seedfault::env::{ActorId, ConnId, Effect, Env, Input, NodeAction, NodeId, NodeSpec};
use seedfault::fault::restart::RestartData;
use seedfault::time::{Micros, Millis};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

pub const NODES: u16 = 6;
pub const SHARDS: u16 = 3;
/// The last has one more.
pub const SLOTS_EACH: u16 = 5461;
const ASK_EVERY: Millis = Millis(10);
/// A cluster that is not healthy by then counts as failed.
const HEALTHY_MAX: Millis = Millis(60_000);
pub const ME: ActorId = ActorId(1);

/// Starts the nodes, with `nodes.conf` written beforehand or empty. Answers when that began.
pub fn start(env: &mut ProcessesEnv, server: &Path, written: bool) -> Micros {
    for node in 0..NODES {
        let spec = spec(server, node, written);
        env.submit(ME, Effect::Node(NodeId(node), NodeAction::Create(spec)));
    }
    applied(env, NODES);
    let began = env.wall();
    for node in 0..NODES {
        env.submit(ME, Effect::Node(NodeId(node), NodeAction::Start(RestartData::Kept)));
    }
    applied(env, NODES);
    began
}

/// Waits until every node says that it is well, and that the cluster is.
pub fn wait_until_healthy(env: &mut ProcessesEnv) {
    let question = b"CLUSTER INFO\r\nINFO replication\r\nGET boot\r\n";
    wait(env, question, &|answers| answers.values().all(|answer| is_healthy(answer)));
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

/// Waits for so many answers to what was submitted.
pub fn applied(env: &mut ProcessesEnv, answers: u16) {
    let (mut count, mut out) = (0, Vec::new());
    while count < answers {
        env.step(env.now().plus(Millis(100)), &mut out);
        for (_, _, input) in out.drain(..) {
            if let Input::Applied(result) = input {
                result.expect("it can be done");
                count += 1;
            }
        }
    }
}

/// Asks every node, again and again, until the answers are right.
pub fn wait(env: &mut ProcessesEnv, question: &[u8], right: &dyn Fn(&BTreeMap<u64, String>) -> bool) {
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

fn spec(server: &Path, node: u16, written: bool) -> NodeSpec {
    let conf = "bind {address}\nprotected-mode no\nport {port}\ndir {dir}\ncluster-enabled yes\ncluster-config-file nodes.conf\n\
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
        let (first, last) =
            (shard * SLOTS_EACH, if shard + 1 == SHARDS { 16383 } else { (shard + 1) * SLOTS_EACH - 1 });
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
