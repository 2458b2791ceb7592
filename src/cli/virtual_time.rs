//! `fuzz bench exact`: what virtual time costs. How long real servers take to form a cluster, how much faster than
//! real time whole runs are, how many fit into a minute, and what the same timelines take when they run live.

use super::choose::{self, Place};
use super::console::print;
use super::determinism::{SCENARIO, processor};
use super::exit::{Code, Failure};
use super::flags::{Output, Where};
use super::job::{self, Job};
use super::seed;
use crate::entropy::Seed;
use crate::env::{EXACT, PROCESSES, Profile};
use crate::report::names::{seconds, thousands};
use crate::spec::Spec;
use crate::timeline::Timeline;
use crate::yaml::document::Problems;
use nix::sys::resource::{UsageWho, getrusage};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many timelines of each of two scenarios, both of three shards with one replica each
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// How many run at once when runs per minute are counted
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// How many of the timelines also run live, which takes half a minute each
    #[arg(long, value_name = "N", default_value_t = 0)]
    live: u64,
    /// The server; the first on PATH when absent
    #[arg(long, value_name = "PATH")]
    server_binary: Option<PathBuf>,
}

/// What is run: what it is called, and its scenario.
const SCENARIOS: [(&str, &str); 2] = [
    ("a primary killed under the default load", include_str!("../../dsl/kill-primary.yaml")),
    ("operations and faults, everything kept on disk", SCENARIO),
];

pub fn main(args: &Args) -> super::Done {
    let specs = SCENARIOS.map(|(name, text)| {
        Some((name, crate::spec::parse::parse(text.as_bytes(), &mut Problems::default())?))
    });
    let specs: Vec<(&str, Spec)> = specs
        .into_iter()
        .collect::<Option<_>>()
        .ok_or_else(|| Failure::new(Code::Broken, "a built-in scenario is bad"))?;
    let place = |profile: &Profile| {
        let environment = Some(profile.name.into());
        let at = Where { environment, server_binary: args.server_binary.clone(), target: None };
        choose::place(&at, &specs[0].1)
    };
    let (exact, live) = (place(&EXACT)?, place(&PROCESSES)?);
    let version = exact.server.as_ref().map_or("", |server| &server.version);
    print(&format!("{version} in virtual time\n"));
    for (shards, replicas) in [(3, 1), (16, 2)] {
        print(&boot(&exact, shards, replicas)?);
    }
    for (name, spec) in &specs {
        print(&format!("{name}:\n"));
        measure(args, spec, &exact, &live)?;
    }
    Ok(Code::Passed)
}

/// Whole runs of six nodes: one after the other, several at once, and live.
fn measure(args: &Args, spec: &Spec, exact: &Place, live: &Place) -> Result<(), Failure> {
    // What both environments can do.
    let timelines = (0..args.seeds)
        .map(|seed| seed::draw(spec, Seed(seed), live))
        .collect::<Result<Vec<Timeline>, Failure>>()?;
    let (before, began) = (children(), now());
    let alone = std::thread::scope(|scope| {
        let all = || {
            processor(Some(0));
            timelines.iter().map(|timeline| run(timeline, exact)).collect::<Result<Vec<_>, _>>()
        };
        scope.spawn(all).join().expect("it does not panic")
    })?;
    let (wall, work) = (began.elapsed(), children().saturating_sub(before));
    let virtual_time = Duration::from_millis(alone.iter().map(|ran| ran.0).sum());
    let times = |span: Duration| tenths(virtual_time.as_millis() * 10 / span.as_millis().max(1));
    print(&format!(
        "  one after the other on one processor: {} runs, {} s of virtual time, {} times real time by the clock, {} times \
         by processor time ({} s a run)\n",
        timelines.len(),
        thousands(virtual_time.as_secs()),
        times(wall),
        times(work),
        seconds((work.as_millis() / timelines.len().max(1) as u128) as u64, 2),
    ));

    let (next, began) = (AtomicUsize::new(0), now());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..usize::from(args.threads))
            .map(|number| {
                let (next, timelines, exact) = (&next, &timelines, &exact);
                scope.spawn(move || {
                    processor(Some(number));
                    while let Some(timeline) = timelines.get(next.fetch_add(1, Relaxed)) {
                        run(timeline, exact)?;
                    }
                    Ok(())
                })
            })
            .collect();
        let ended: Vec<Result<(), Failure>> =
            workers.into_iter().map(|worker| worker.join().expect("it does not panic")).collect();
        ended.into_iter().collect::<Result<(), Failure>>()
    })?;
    let minute = timelines.len() as u128 * 60_000 / began.elapsed().as_millis().max(1);
    print(&format!("  {} at once: {minute} per minute\n", args.threads));

    let count = timelines.len().min(args.live as usize);
    if count > 0 {
        let ran: Result<Vec<_>, Failure> = timelines[..count].iter().map(|one| run(one, live)).collect();
        for (place, ran) in [("live", &ran?[..]), ("in virtual time", &alone[..count])] {
            let sum = |part: fn(&(u64, u64)) -> u64| ran.iter().map(part).sum::<u64>();
            let (cluster, wall) = (sum(|ran| ran.0), sum(|ran| ran.1));
            print(&format!(
                "  the first {count} of them {place}: {} s each for {} s of the cluster's time, {} times real time\n",
                seconds(wall / count as u64, 2),
                seconds(cluster / count as u64, 1),
                tenths(u128::from(cluster * 10 / wall.max(1))),
            ));
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
fn now() -> Instant {
    Instant::now()
}

/// A number of tenths.
fn tenths(number: u128) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// Processor time of all processes that have ended below this one.
fn children() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return Duration::ZERO };
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// One run, in a folder that goes away with it: its virtual and its wall milliseconds.
fn run(timeline: &Timeline, place: &Place) -> Result<(u64, u64), Failure> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("seedfault-bench-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
    let folder = std::env::temp_dir().join(name);
    let output = Output::quiet(folder.clone());
    let timeline = Timeline {
        environment: place.profile.name.into(),
        profile: place.profile.label(),
        ..timeline.clone()
    };
    let job = Job::plain(timeline, place, &output);
    let done = job::silently(job);
    // What cannot be removed is seen in the temporary folder.
    let _ = std::fs::remove_dir_all(folder);
    let done = done?;
    match done.code() {
        Code::Interrupted => Err(Failure::new(Code::Interrupted, "interrupted")),
        Code::Broken => Err(Failure::new(Code::Broken, done.finished.error.unwrap_or_default())),
        _ => Ok((done.finished.virtual_ms, done.finished.wall_ms)),
    }
}

/// From nothing to a cluster in which every node says that all slots are served.
#[cfg(exact)]
fn boot(place: &Place, shards: u16, replicas: u16) -> Result<String, Failure> {
    let formed = std::thread::scope(|scope| {
        // Its servers end with the thread, at the latest.
        scope.spawn(|| form(place, shards, replicas)).join().expect("it does not panic")
    });
    let (wall, virtual_time, turns) = formed?;
    Ok(format!(
        "{} nodes from nothing until all of them serve all slots: {} s, {} s of virtual time, {} turns\n",
        shards * (1 + replicas),
        seconds(wall.as_millis() as u64, 2),
        seconds(virtual_time, 2),
        thousands(turns),
    ))
}

#[cfg(not(exact))]
fn boot(_: &Place, _: u16, _: u16) -> Result<String, Failure> {
    Err(Failure::new(Code::Environment, "virtual time is offered on x86_64 Linux with glibc"))
}

#[cfg(exact)]
fn form(place: &Place, shards: u16, replicas: u16) -> Result<(Duration, u64, u64), Failure> {
    use crate::env::exact::{ExactEnv, Options, hang};
    use crate::env::{ActorId, ConnId, Effect, Env as _, Input, NodeAction, NodeId};
    use crate::fault::restart::RestartData;
    use crate::spec::{Dialect, Spread};
    use crate::target::valkey::provision;
    use crate::time::Millis;
    use std::collections::BTreeMap;

    const ME: ActorId = ActorId(1);
    /// Virtual time that a cluster may take.
    const LIMIT: Millis = Millis(60_000);
    let broken = |what: &str| Failure::new(Code::Broken, format!("the cluster does not form: {what}"));
    let mut spec = Spec::quiet(Dialect::Native);
    (spec.cluster.shards, spec.cluster.replicas) = (Spread::exactly(shards), Spread::exactly(replicas));
    let timeline = seed::draw(&spec, Seed(1), place)?;
    let folder = std::env::temp_dir().join(format!("seedfault-bench-{}-boot", std::process::id()));
    let began = now();
    let mut env = ExactEnv::new(Options {
        dir: folder.join("nodes"),
        server: place.server.as_ref().map_or_else(PathBuf::new, |server| server.path.clone()),
        base_port: None,
        key: timeline.environment_key(),
        policy: timeline.policy(),
        order: timeline.order(),
        keep_data: false,
        trace: None,
        pcap: None,
        pin: true,
        turn_max: hang::TURN_MAX,
        stop: None,
    })
    .map_err(|error| broken(&error.to_string()))?;
    let nodes = provision::cluster(&timeline);
    let count = nodes.len() as u16;
    for (node, spec) in (0..).map(NodeId).zip(nodes) {
        env.submit(ME, Effect::Node(node, NodeAction::Create(spec)));
        env.submit(ME, Effect::Node(node, NodeAction::Start(RestartData::Kept)));
    }
    let (mut out, mut said) = (Vec::new(), BTreeMap::<ConnId, (NodeId, Vec<u8>)>::new());
    let mut unformed: Vec<NodeId> = (0..count).map(NodeId).collect();
    let mut connections = 0;
    while !unformed.is_empty() {
        for node in &unformed {
            connections += 1;
            env.submit(ME, Effect::Open(ConnId(connections), *node));
            env.submit(ME, Effect::Send(ConnId(connections), b"CLUSTER INFO\r\n".to_vec()));
            said.insert(ConnId(connections), (*node, Vec::new()));
        }
        let until = env.now().plus(Millis(50));
        while env.now() < until {
            env.step(until, &mut out);
            for (_, _, input) in out.drain(..) {
                match input {
                    Input::Bytes(id, bytes) => {
                        if let Some((_, text)) = said.get_mut(&id) {
                            text.extend(bytes);
                        }
                    }
                    Input::Applied(Err(error)) => return Err(broken(&error.to_string())),
                    _ => {}
                }
            }
        }
        for (id, (node, text)) in std::mem::take(&mut said) {
            env.submit(ME, Effect::Close(id));
            let text = String::from_utf8_lossy(&text);
            if text.contains("cluster_state:ok") && text.contains("cluster_slots_ok:16384") {
                unformed.retain(|other| *other != node);
            }
        }
        if env.now().millis() > LIMIT {
            return Err(broken(&format!("{} nodes do not serve after {LIMIT}", unformed.len())));
        }
    }
    let formed = (began.elapsed(), env.now().millis().0, env.turns());
    env.close();
    // What cannot be removed is seen in the temporary folder.
    let _ = std::fs::remove_dir_all(folder);
    Ok(formed)
}
