//! What it costs to have calls to the disk watched, and the node's folder served: `cargo bench --bench disks`.
//!
//! Method: one server in environment `live` with an append-only file that is synced at every write, or every second, under
//! the server's own benchmark (`SET`, 50 connections, without pipelining and 16 deep). In each round once without a filter,
//! with syncs watched, with all calls watched, with a rule in force that never strikes, and with the folder on the file
//! system that can lose what was not synced, one after the other, so that what else the machine does falls on all alike. Each in a process of its own, as namespaces cannot be left.
//! The median of the rounds is reported, with the median of the ratios to the same round without a filter.

use seedfault::entropy::{Entropy, Seed};
use seedfault::env::processes::cage::{self, Walls};
use seedfault::env::processes::{Options, doctor};
use seedfault::env::{ActorId, Effect, Env, Input, NodeAction, NodeId, NodeSpec, live};
use seedfault::fault::disk::{Calls, DiskErrno, DiskRule, FileCall};
use seedfault::fault::restart::RestartData;
use seedfault::time::Millis;
use std::path::Path;
use std::process::Command;

const ROUNDS: usize = 7;
const REQUESTS: u32 = 20_000;
const DEPTHS: [u32; 2] = [1, 16];
const WAYS: [&str; 5] =
    ["no filter", "syncs watched", "all watched", "all watched, a rule in force", "its folder served (FUSE)"];
/// When the server syncs, and which ways are measured with it.
const POLICIES: [(&str, &[usize]); 2] = [("always", &[0, 1, 2, 3, 4]), ("everysec", &[0, 2, 4])];
const SERVED: usize = 4;
const ME: ActorId = ActorId(1);
const NODE: NodeId = NodeId(0);
const PATIENCE: Millis = Millis(10_000);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, one, server, benchmark, policy, way, depth, requests] = arguments.as_slice()
        && one == "one"
    {
        let number = |text: &str| text.parse().expect("a number");
        measure((server, benchmark), policy, number(way) as usize, number(depth), number(requests));
        return;
    }
    let full = arguments.iter().any(|argument| argument == "--bench");
    let (rounds, requests) = if full { (ROUNDS, REQUESTS) } else { (1, REQUESTS / 30) };
    if let Err(unable) = live::probe::probe() {
        println!("disks: skipped, environment live cannot be had here: {}", unable.why);
        return;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for server in ["valkey", "redis"] {
        let tools = [format!("{server}-server"), format!("{server}-benchmark")];
        let found: Option<Vec<_>> = tools.iter().map(|name| doctor::find(&path, name)).collect();
        let Some([server, benchmark]) = found.as_deref() else {
            println!("disks: skipped, {} are not on PATH", tools.join(" and "));
            continue;
        };
        println!("{}, thousand requests a second, median of {rounds}", server.display());
        for (policy, ways) in POLICIES {
            println!(" appendfsync {policy}");
            for depth in DEPTHS {
                compare((server, benchmark), (policy, ways), depth, rounds, requests * depth);
            }
        }
    }
}

fn compare(
    (server, benchmark): (&Path, &Path),
    (policy, ways): (&str, &[usize]),
    depth: u32,
    rounds: usize,
    requests: u32,
) {
    let me = std::env::current_exe().expect("we run");
    let mut rates = [const { Vec::new() }; WAYS.len()];
    for round in 0..rounds {
        for step in 0..ways.len() {
            // Each comes first as often, and before and after its neighbours by turns.
            let back = ways.len() - 1;
            let way = ways[if round % 2 == 0 { round + step } else { round + back * step } % ways.len()];
            let mut command = Command::new(&me);
            command.arg("one").args([server, benchmark]).arg(policy);
            let out = command.args([way.to_string(), depth.to_string(), requests.to_string()]).output();
            let text = String::from_utf8(out.expect("we run").stdout).expect("text");
            rates[way].push(text.trim().parse::<f64>().unwrap_or_else(|_| panic!("no rate: {text}")));
        }
    }
    for way in ways {
        let (name, ours) = (WAYS[*way], &rates[*way]);
        let mut ratios: Vec<f64> = ours.iter().zip(&rates[0]).map(|(one, base)| one / base).collect();
        let mut ours = ours.clone();
        let (rate, ratio) = (median(&mut ours), median(&mut ratios));
        println!(
            "  {depth:>2} deep, {name:<28} {:>7.1}  ({:.1} to {:.1}), {ratio:.2} of that without",
            rate / 1000.0,
            ours[0] / 1000.0,
            ours[ours.len() - 1] / 1000.0
        );
    }
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// One server, one load; prints requests a second.
fn measure((server, benchmark): (&str, &str), policy: &str, way: usize, depth: u32, requests: u32) {
    let cage = cage::enter(Walls::Network);
    let run = std::env::temp_dir().join(format!("seedfault-disks-{}-{way}-{depth}", std::process::id()));
    let calls = match way {
        0 | SERVED => Calls::default(),
        1 => FileCall::Sync.into(),
        _ => Calls::ALL,
    };
    let options = Options { dir: run.join("nodes"), calls, power: way == SERVED, ..Options::default() };
    let mut env = live::new(Some(&cage), options, Entropy::root(Seed(1))).expect("the probe said so");
    let settings = [
        "--bind",
        "{address}",
        "--appendonly",
        "yes",
        "--appendfsync",
        policy,
        "--save",
        "",
        "--protected-mode",
        "no",
    ];
    let mut argv = vec![server.to_string()];
    argv.extend(settings.map(String::from));
    let spec = NodeSpec { argv, ..NodeSpec::default() };
    let mut actions = vec![NodeAction::Create(spec), NodeAction::Start(RestartData::Kept)];
    if way == 3 {
        let rule = DiskRule::Fail { call: FileCall::Any, error: DiskErrno::Io, nth: u32::MAX, count: 1 };
        actions.push(NodeAction::Disk("bench".into(), Some(rule)));
    }
    for action in actions {
        env.submit(ME, Effect::Node(NODE, action));
        until(&mut env, |input| matches!(input, Input::Applied(_)));
    }
    until(&mut env, |input| format!("{input:?}").contains("Ready to accept"));
    let (address, port) = env.endpoint(NODE).expect("created");
    let mut load = Command::new(benchmark);
    load.args(["-h", &address, "-p", &port.to_string(), "-t", "set", "-c", "50", "--csv"]);
    let out = load.args(["-P", &depth.to_string(), "-n", &requests.to_string(), "-r", "100000"]).output();
    let text = String::from_utf8(out.expect("it runs").stdout).expect("text");
    let rate = text.lines().find(|line| line.starts_with("\"SET\"")).and_then(|line| line.split('"').nth(3));
    println!("{}", rate.unwrap_or("none"));
    env.close();
    let _ = std::fs::remove_dir_all(run);
}

fn until(env: &mut dyn Env, is: impl Fn(&Input) -> bool) {
    let limit = env.now().plus(PATIENCE);
    let mut out = Vec::new();
    while !out.iter().any(|(_, _, input)| is(input)) {
        assert!(env.now() < limit, "waited too long: {out:?}");
        let until = env.now().plus(Millis(20));
        env.step(until, &mut out);
    }
}
