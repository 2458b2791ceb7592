//! Environment `live` from outside: what its faults do, measured by the nodes themselves, and that nothing is left.
//!
//! Nodes are this program again (`live/node.rs`): they ping one another and tell what they saw, so that nothing
//! rests on what the switch says of itself. Each case runs in a process of its own, which enters namespaces and must
//! have no thread for it; this file has its own `main` therefore. As root every case is done twice, the second time
//! as an ordinary user, who may open no TUN device on most machines.

#[path = "live/disk.rs"]
mod disk;
#[path = "live/faults/mod.rs"]
mod faults;
#[path = "live/names.rs"]
mod names;
#[path = "live/node.rs"]
mod node;
#[path = "live/power.rs"]
mod power;
#[path = "live/programs.rs"]
mod programs;
#[path = "live/resources.rs"]
mod resources;
#[path = "live/scenarios.rs"]
mod scenarios;
mod servers;
#[path = "live/striking.rs"]
mod striking;

use nix::time::{ClockId, clock_gettime};
use seedfault::entropy::{Entropy, Seed};
use seedfault::env::processes::cage::{self, Cage, Walls};
use seedfault::env::processes::{Options, ProcessesEnv, proc};
use seedfault::env::{
    ActorId, ConnId, Effect, Env, EnvError, Input, LIVE, LinkRule, LinkRules, NodeAction, NodeId, NodeSpec,
    Observed, live,
};
use seedfault::fault::disk::{Calls, DiskRule};
use seedfault::fault::kill::Signal;
use seedfault::fault::resource::{Percent, ResourceRule};
use seedfault::fault::restart::RestartData;
use seedfault::fault::traffic::Traffic;
use seedfault::run::world::Shared;
use seedfault::time::Millis;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use striking::Striking;

/// Bounds every wait of a case.
const PATIENCE: Millis = Millis(20_000);
/// How long killed processes may take to go. The kernel does it at once; a busy machine is given time.
const GONE_MAX: Duration = Duration::from_secs(5);
const NOBODY: u32 = 65_534;
const ME: ActorId = ActorId(7);
const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const FOLDER: &str = "SEEDFAULT_LIVE_FOLDER";

/// How often the tool is killed as each user; `SEEDFAULT_TRIALS` sets another number.
fn killings() -> u64 {
    std::env::var("SEEDFAULT_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// What is told to a run that holds: its nodes may lose their power.
const POWERED: &str = "power";

type Case = (&'static str, fn(&mut Bench));

const CASES: &[Case] = &[
    ("nodes_reach_one_another_on_the_same_port", reach),
    ("a_cut_lets_nothing_through_and_a_heal_is_prompt", cut),
    ("that_a_cut_is_in_force_is_told_by_its_nodes", in_force),
    ("a_cut_one_way_leaves_the_other_open", one_way),
    ("a_cut_of_one_class_of_packets_leaves_the_others_alone", classes),
    ("clients_of_the_load_are_cut_off_and_the_tool_is_not", cut_clients),
    ("a_delay_is_as_long_as_asked_for", slow),
    ("the_end_of_a_connection_is_late_and_what_was_sent_before_it_is_not", slow_close),
    ("losses_duplicates_and_overtaking_are_repaired_by_tcp", lossy),
    ("large_values_cross_a_link_with_a_fault_unharmed", large),
    ("flipped_bits_are_told_by_the_checksum_or_reach_the_application", corrupt),
    ("a_limited_link_is_as_narrow_as_asked_for", narrow),
    ("a_reset_is_seen_by_both_ends", reset),
    ("a_reset_of_clients_is_seen_by_the_tool", reset_clients),
    ("a_connection_that_one_end_has_lost_is_told_when_the_other_sends_or_not_at_all", half_open),
    ("a_refused_connect_leaves_established_ones_alone", refuse),
    ("a_clock_is_set_as_asked_and_what_counts_from_the_boot_stays_true", clock),
    ("a_clock_runs_at_the_rate_asked_for_and_not_beyond_the_fault", drift),
    ("a_clock_outlasts_the_process_and_is_that_of_forked_children", clock_stays),
    ("a_program_that_began_by_an_exec_of_its_own_is_refused_a_clock", no_clock),
    ("a_link_that_is_not_healed_is_told_by_its_nodes", reach_again),
    ("nothing_leaves_the_machine", no_way_out),
    ("what_crosses_is_captured_and_what_a_cut_swallows_is_not", capture),
    ("a_link_to_a_node_that_is_not_there_is_an_error", no_node),
    ("calls_to_a_disk_fail_from_the_nth_on_and_the_heal_is_tried", disk::error),
    ("a_full_disk_shortens_a_write_and_refuses_the_next", disk::full),
    ("a_slow_disk_takes_as_long_as_asked_for", disk::slow),
    ("reads_from_a_slow_disk_take_as_long_as_asked_for", disk::slow_reads),
    ("files_are_removed_under_a_server", disk::remove),
    ("a_bit_is_flipped_where_it_was_asked_for_and_told", disk::flip),
    ("a_node_ends_at_its_nth_sync", disk::kill),
    ("a_node_ends_in_the_middle_of_a_write", disk::torn),
    ("a_node_stops_at_its_nth_rename_and_goes_on", disk::stop),
    ("a_child_of_a_node_is_on_the_same_disk", disk::child),
    ("a_node_that_waits_for_its_disk_can_be_paused_and_killed", disk::wait),
    ("a_node_has_the_share_of_a_core_that_it_is_given", resources::share),
    ("a_share_outlasts_the_process_and_lets_others_pause_it", resources::share_stays),
    ("busy_threads_take_their_part_of_the_core_of_a_node", resources::hog),
    ("a_node_that_runs_out_of_files_is_told_so_and_has_them_again", resources::files),
    ("a_node_that_wants_more_memory_is_killed", resources::memory),
    ("a_crowd_is_as_large_as_asked_for_and_goes_again", resources::crowd),
    ("a_name_resolves_or_fails_as_asked_for", names::resolve),
    ("etcd_serves_once_its_name_resolves", names::etcd),
    ("programs_of_any_kind_are_short_of_resources", programs::short),
    ("a_java_program_sees_its_disk_fail_and_heal", programs::java),
    ("etcd_waits_for_a_slow_disk_and_ends_at_a_failed_sync", programs::etcd),
];

/// Cases in which nodes may lose their power.
const POWER: &[Case] = &[
    ("a_loss_of_power_takes_what_was_not_synced_and_nothing_else", power::loss),
    ("a_node_that_is_killed_keeps_what_it_wrote_and_loses_it_with_the_power_later", power::kill),
    ("a_node_loses_its_power_at_its_nth_sync", power::strike),
    ("a_folder_is_served_as_the_folder_is", power::folder),
    ("etcd_keeps_what_it_acknowledged_when_its_power_is_lost", power::etcd),
    ("a_java_program_loses_what_it_has_not_forced_with_the_power", power::java),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().skip(1).map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["node", address] => node::serve(address).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        ["case", name] => case(name),
        ["faults", program, rows @ ..] => {
            in_cage(faults::is_served(rows), |bench| faults::measure(bench, program, rows))
        }
        ["hold", power] => hold(*power == POWERED),
        rest => all(rest.iter().find(|word| !word.starts_with('-')).copied().unwrap_or("")),
    }
}

/// Every case whose name holds the filter.
fn all(filter: &str) -> ExitCode {
    if let Err(unable) = live::probe::probe() {
        println!("live: it cannot be had here: {} ({:?})", unable.why, unable.mend);
        let required = std::env::var_os("SEEDFAULT_REQUIRE_LIVE").is_some();
        return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let power = live::probe::probe_power();
    if let Err(why) = &power {
        println!("live: skipped, no node can lose its power here: {why}");
        if std::env::var_os("SEEDFAULT_REQUIRE_LIVE").is_some() {
            return ExitCode::FAILURE;
        }
    }
    let cases = || CASES.iter().chain(POWER.iter().filter(|_| power.is_ok()));
    let place = std::env::temp_dir().join(format!("seedfault-live-{}", std::process::id()));
    fs::create_dir_all(&place).expect("writable");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).expect("ours");
    // Where this program lies an ordinary user may not look.
    let program = place.join("program");
    fs::copy(std::env::current_exe().expect("we run"), &program).expect("readable");
    let users: &[Option<u32>] =
        if nix::unistd::geteuid().is_root() { &[None, Some(NOBODY)] } else { &[None] };
    let mut failed: Vec<String> = Vec::new();
    for user in users {
        let who = if user.is_some() { "as an ordinary user" } else { "as who started it" };
        for (name, _) in cases().filter(|(name, _)| name.contains(filter)) {
            // Most of them measure wall times: a busy machine has a second attempt.
            let passed = (1..=2).find(|attempt| {
                let run = place.join(format!("{name}-{user:?}-{attempt}"));
                again(&program, &["case", name], &run, *user).status().is_ok_and(|status| status.success())
            });
            let told = match passed {
                Some(1) => "ok",
                Some(_) => "ok, at the second attempt",
                None => "FAILED",
            };
            println!("live: {name}, {who}: {told}");
            failed.extend(passed.is_none().then(|| format!("{name}, {who}")));
        }
        if "kill_9_leaves_nothing".contains(filter) {
            let trials: Vec<_> =
                (0..killings()).map(|trial| killed(&program, &place, trial, *user, power.is_ok())).collect();
            let left: Vec<&String> = trials.iter().filter_map(|trial| trial.as_ref().err()).collect();
            // Six nodes, the tool, and its waiter: else the strikes came before anything ran, and prove nothing.
            let most = trials.iter().flatten().max().copied().unwrap_or(0);
            println!(
                "live: kill_9_leaves_nothing, {who}: {} trials, {} failed, up to {most} processes struck {left:?}",
                trials.len(),
                left.len()
            );
            failed.extend((!left.is_empty() || most < 8).then(|| format!("kill_9_leaves_nothing, {who}")));
        }
    }
    failed.extend(faults::all(filter, &program, &place, users));
    let _ = fs::remove_dir_all(&place);
    failed.extend(scenarios::all(filter, power.is_ok()));
    // The last lines say which, whatever came before.
    println!("live: {} failed", failed.len());
    failed.iter().for_each(|what| println!("live: FAILED: {what}"));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn again(program: &Path, arguments: &[&str], run: &Path, user: Option<u32>) -> Command {
    fs::create_dir_all(run).expect("writable");
    fs::set_permissions(run, fs::Permissions::from_mode(0o777)).expect("ours");
    let mut command = Command::new(program);
    command.args(arguments).env(FOLDER, run).env(proc::MARK, run).current_dir(run).stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    cage::die_with_us(&mut command);
    command
}

fn case(name: &str) -> ExitCode {
    let power = POWER.iter().any(|(known, _)| *known == name);
    let Some((_, act)) = CASES.iter().chain(POWER).find(|(known, _)| *known == name) else {
        return ExitCode::FAILURE;
    };
    in_cage(power, act)
}

fn in_cage(power: bool, act: impl FnOnce(&mut Bench)) -> ExitCode {
    // A listener of the machine, which no node may reach.
    let outside = TcpListener::bind("127.0.0.1:0").expect("a port");
    // In the machine's own network it is refused, whoever asks.
    let options = Options { dir: std::env::temp_dir().join("never-made/nodes"), ..Options::default() };
    assert!(live::new(None, options, Entropy::root(Seed(1))).is_err());
    let cage = cage::enter(Walls::Network);
    let mut bench = Bench::new(&cage, outside.local_addr().expect("bound").port(), power);
    act(&mut bench);
    bench.env.close();
    let lost: Vec<_> = bench.env.notes().iter().filter(|note| note.contains("the switch itself")).collect();
    assert!(lost.is_empty(), "{lost:?}");
    ExitCode::SUCCESS
}

/// A run that goes on until somebody ends it.
fn hold(power: bool) -> ExitCode {
    let cage = cage::enter(Walls::Network);
    let mut bench = Bench::new(&cage, 0, power);
    for node in 0..6 {
        bench.start(NodeId(node));
    }
    let cut = LinkRule { cut: true, ..LinkRule::default() };
    // One node waits in a call for its disk.
    let slow = DiskRule::Slow { delay: Millis(600_000), read: Millis(0), rate: 0 };
    bench.apply(Effect::Node(A, NodeAction::Disk("e".into(), Some(slow)))).expect("it is watched");
    let client = bench.client(A);
    bench.say(client, "disk write data 10");
    // Another is short of time, and stands most of it; a third has busy threads beside it.
    let short = [(B, ResourceRule::Share(Percent(5))), (NodeId(2), ResourceRule::Hog { threads: 1 })];
    for (node, rule) in short {
        bench.apply(Effect::Node(node, NodeAction::Resource("r".into(), Some(rule)))).expect("it runs");
    }
    let client = bench.client(B);
    bench.say(client, "burn 600000");
    loop {
        bench.apply(Effect::Link(A, B, cut.into())).expect("both are there");
        bench.pass(Millis(20));
        bench.apply(Effect::Link(A, B, LinkRules::default())).expect("both are there");
    }
}

/// Kills a run at some moment; answers how many processes it had then, or what was left.
fn killed(program: &Path, place: &Path, trial: u64, user: Option<u32>, power: bool) -> Result<usize, String> {
    let run = place.join(format!("killed-{trial}-{user:?}"));
    let mut tool: Child = again(program, &["hold", if power { POWERED } else { "plain" }], &run, user)
        .spawn()
        .map_err(|error| error.to_string())?;
    // From before the namespaces are entered to when all runs.
    std::thread::sleep(Duration::from_millis(trial * 131 % 600));
    let marked = || -> Vec<i32> {
        let all = proc::all().into_iter();
        all.filter(|stat| !stat.is_dead() && proc::is_marked(stat.pid, &run)).map(|stat| stat.pid).collect()
    };
    let seen = marked().len();
    tool.kill().and_then(|()| tool.wait()).map_err(|error| error.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "a test of real processes waits in real time")]
    let began = Instant::now();
    let mut left = marked();
    while !left.is_empty() && began.elapsed() < GONE_MAX {
        std::thread::sleep(Duration::from_millis(5));
        left = marked();
    }
    if left.is_empty() { Ok(seen) } else { Err(format!("trial {trial}: {left:?} live on")) }
}

struct Bench {
    env: ProcessesEnv,
    /// What the executor's half of a fault knows of the first node.
    world: Shared,
    /// The fault of a timeline that is under way.
    striking: Option<Striking>,
    /// The process of the node that was started last.
    pid: u32,
    run: PathBuf,
    /// The port of a listener outside.
    outside: u16,
    seen: Vec<Input>,
    next: u64,
}

impl Bench {
    fn new(cage: &Cage, outside: u16, power: bool) -> Self {
        let run = PathBuf::from(std::env::var_os(FOLDER).expect("given by the parent"));
        let calls = Calls { read: true, ..Calls::ALL };
        let options =
            Options { dir: run.join("nodes"), calls, power, names: true, pcap: true, ..Options::default() };
        let env = live::new(Some(cage), options, Entropy::root(Seed(1))).expect("the probe said so");
        assert_eq!(env.profile().name, LIVE.name);
        let (world, striking) = (striking::world(), None);
        Self { env, world, striking, pid: 0, run, outside, seen: Vec::new(), next: 0 }
    }

    /// Starts a node and waits until it listens.
    fn start(&mut self, node: NodeId) {
        let program = std::env::current_exe().expect("we run").to_string_lossy().into_owned();
        self.start_as(node, vec![program, "node".into(), "{address}:{port}".into()]);
    }

    fn start_as(&mut self, node: NodeId, argv: Vec<String>) {
        let spec = NodeSpec { argv, ..NodeSpec::default() };
        self.apply(Effect::Node(node, NodeAction::Create(spec))).expect("there is room");
        self.apply(Effect::Node(node, NodeAction::Start(RestartData::Kept))).expect("it starts");
        let text = format!("listening at {}", self.place(node));
        self.until(|input| matches!(input, Input::Observed(seen) if format!("{seen:?}").contains(&text)));
    }

    fn place(&self, node: NodeId) -> String {
        let (address, port) = self.env.endpoint(node).expect("created");
        format!("{address}:{port}")
    }

    fn apply(&mut self, effect: Effect) -> Result<String, EnvError> {
        self.env.submit(ME, effect);
        match self.until(|input| matches!(input, Input::Applied(_))) {
            Input::Applied(result) => result,
            other => unreachable!("{other:?}"),
        }
    }

    /// Both nodes, and a client of the first, which is connected to the second.
    fn pair(&mut self) -> ConnId {
        self.start(A);
        self.start(B);
        let client = self.client(A);
        let to = self.place(B);
        assert_eq!(self.ask(client, &format!("dial {to}")), "open");
        client
    }

    fn client(&mut self, node: NodeId) -> ConnId {
        self.next += 1;
        let id = ConnId(self.next);
        self.env.submit(ME, Effect::Open(id, node));
        self.until(|input| *input == Input::Opened(id));
        id
    }

    fn say(&mut self, client: ConnId, line: &str) {
        self.env.submit(ME, Effect::Send(client, format!("{line}\n").into_bytes()));
    }

    /// The next line of a client.
    fn hear(&mut self, client: ConnId) -> String {
        match self.until(|input| matches!(input, Input::Bytes(id, _) if *id == client)) {
            Input::Bytes(_, bytes) => String::from_utf8_lossy(&bytes).trim().to_string(),
            other => unreachable!("{other:?}"),
        }
    }

    fn ask(&mut self, client: ConnId, line: &str) -> String {
        self.say(client, line);
        self.hear(client)
    }

    /// How long an answer of B takes to A, in microseconds; or a word for why there is none.
    fn echo(&mut self, client: ConnId, patience: u64) -> Result<u64, String> {
        self.next += 1;
        let said = self.ask(client, &format!("echo {} {patience}", self.next));
        said.parse().map_err(|_| said)
    }

    fn link(&mut self, from: NodeId, to: NodeId, rule: LinkRule) -> String {
        self.apply(Effect::Link(from, to, rule.into())).expect("both are there")
    }

    fn rules(&mut self, from: NodeId, to: NodeId, rules: LinkRules) -> String {
        self.apply(Effect::Link(from, to, rules)).expect("both are there")
    }

    /// What a connect to another port of a node comes to.
    fn dial_at(&mut self, client: ConnId, node: NodeId, port: u16) -> String {
        let place = self.place(node);
        let address = place.split(':').next().expect("an address");
        self.ask(client, &format!("dial {address}:{port}"))
    }

    fn until(&mut self, is: impl Fn(&Input) -> bool) -> Input {
        let limit = self.env.now().plus(PATIENCE);
        loop {
            if let Some(position) = self.seen.iter().position(&is) {
                return self.seen.remove(position);
            }
            assert!(self.env.now() < limit, "waited too long; seen: {:?}", self.seen);
            self.pass(Millis(50));
        }
    }

    fn pass(&mut self, time: Millis) {
        let mut out = Vec::new();
        let until = self.env.now().plus(time);
        self.env.step(until.min(self.due()), &mut out);
        for (_, who, input) in out {
            if !self.is_the_faults(who, &input) {
                self.seen.push(input);
            }
        }
        if self.due() <= self.env.now() {
            self.feed(Input::Timer);
        }
    }

    /// What the run folder tells of a link, by column, after the end.
    fn counted(&mut self, from: NodeId, to: NodeId, column: &str) -> u64 {
        self.noted(live::LINKS, &[from, to], column)
    }

    /// What a table in the run folder tells in the row of these nodes, after the end.
    fn noted(&mut self, file: &str, nodes: &[NodeId], column: &str) -> u64 {
        self.env.close();
        let text = fs::read_to_string(self.run.join(file)).expect("written at the end");
        let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let titles = lines.next().expect("titles");
        let at = titles.iter().position(|title| *title == column).expect("such a column");
        let is = |row: &Vec<&str>| nodes.iter().zip(row).all(|(node, word)| *word == node.to_string());
        lines.find(is).expect("it was used")[at].parse().expect("a number")
    }
}

fn reach(bench: &mut Bench) {
    let client = bench.pair();
    let time = bench.echo(client, 3000).expect("nothing is in the way");
    assert!(time < 500_000, "{time} us");
    let (one, other) = (bench.place(A), bench.place(B));
    assert_eq!((one.as_str(), other.as_str()), ("10.77.0.1:6379", "10.77.0.2:6379"));
    assert!(bench.counted(A, B, "packets") > 2);
}

fn reach_again(bench: &mut Bench) {
    bench.start(A);
    bench.start(B);
    let reach = |bench: &mut Bench| bench.apply(Effect::Node(A, NodeAction::Reach(B, Traffic::All)));
    reach(bench).expect("nothing is in the way");
    // Neither has to be awake.
    bench.apply(Effect::Node(B, NodeAction::Pause)).expect("it runs");
    reach(bench).expect("its kernel answers");
    for (from, to) in [(A, B), (B, A)] {
        bench.link(from, to, LinkRule { cut: true, ..LinkRule::default() });
        let error = reach(bench).expect_err("one way is cut");
        assert!(error.to_string().contains("no answer within 8 s"), "{error}");
        bench.link(from, to, LinkRule::default());
        reach(bench).expect("it is healed");
    }
}

fn capture(bench: &mut Bench) {
    let client = bench.pair();
    let said = |bench: &mut Bench| {
        bench.next += 1;
        let id = bench.next;
        bench.ask(client, &format!("echo {id} 300")).parse::<u64>().map(|_| id).map_err(|_| id)
    };
    let heard = said(bench).expect("nothing is in the way");
    bench.link(A, B, LinkRule { cut: true, ..LinkRule::default() });
    let lost = said(bench).expect_err("all is cut off");
    bench.env.close();
    let bytes = fs::read(bench.run.join(live::CAPTURE)).expect("it was asked for");
    assert_eq!(bytes[..4], [0x0a, 0x0d, 0x0d, 0x0a], "the first block of a pcapng file");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(&format!("ping {heard}\n")) && text.contains(&format!("pong {heard}\n")));
    assert!(!text.contains(&format!("ping {lost}\n")), "the cut swallowed it");
    assert!(text.contains("node-0 to node-1: cut"), "the fault is a comment");
}

fn cut(bench: &mut Bench) {
    let client = bench.pair();
    let cut = LinkRule { cut: true, ..LinkRule::default() };
    bench.link(A, B, cut);
    bench.link(B, A, cut);
    assert_eq!(bench.echo(client, 300), Err("silent".into()));
    let to = bench.place(B);
    let other = bench.client(A);
    assert_eq!(bench.ask(other, &format!("dial {to}")), "silent");
    // TCP has tried again at 0.2, 0.6, 1.4 and 3.0 s by now, and would say nothing until 6.2 s.
    bench.next += 1;
    let id = bench.next;
    bench.say(client, &format!("echo {id} 10000"));
    bench.pass(Millis(200));
    bench.link(A, B, LinkRule::default());
    bench.link(B, A, LinkRule::default());
    let healed = bench.env.wall();
    let said = bench.hear(client);
    let took = bench.env.wall().since(healed).millis();
    assert!(said.parse::<u64>().is_ok(), "{said}");
    assert!(took < Millis(2000), "it took {took} after the heal");
    assert!(bench.counted(A, B, "cut") > 0 && bench.counted(A, B, "kicked") > 0);
}

fn one_way(bench: &mut Bench) {
    let client = bench.pair();
    bench.link(B, A, LinkRule { cut: true, ..LinkRule::default() });
    assert_eq!(bench.echo(client, 300), Err("silent".into()), "the answer does not come");
    assert!(bench.counted(B, A, "cut") > 0);
    assert_eq!(bench.counted(A, B, "cut"), 0);
}

fn in_force(bench: &mut Bench) {
    bench.start(A);
    bench.start(B);
    let clear = LinkRule::default();
    for (there, back) in [(true, true), (true, false), (false, true), (false, false)] {
        let cut = |is| LinkRule { cut: is, ..clear };
        bench.link(A, B, cut(there));
        bench.link(B, A, cut(back));
        bench.apply(Effect::Node(A, NodeAction::Knock(B, Traffic::All))).expect("it begins");
        bench.pass(Millis(100));
        let unheard = bench.apply(Effect::Node(A, NodeAction::Unheard(B, Traffic::All)));
        let told = [bench.link(A, B, clear), bench.link(B, A, clear)].concat();
        assert_eq!(unheard.is_ok(), there || back, "{unheard:?}");
        assert!(!told.contains("crossed"), "{told}");
    }
    assert_eq!(bench.counted(A, B, "cut"), 0, "that it was tried strikes nobody");
}

/// Nodes listen where servers do for their clients, and nobody at the port of the bus.
fn classes(bench: &mut Bench) {
    let client = bench.pair();
    let cut = LinkRule { cut: true, ..LinkRule::default() };
    let reach = |bench: &mut Bench, class| bench.apply(Effect::Node(A, NodeAction::Reach(B, class)));
    bench.rules(A, B, LinkRules { bus: cut, ..LinkRules::default() });
    bench.echo(client, 3000).expect("it is for clients");
    reach(bench, Traffic::Clients).expect("it is for clients");
    reach(bench, Traffic::All).expect("it is neither for clients nor the bus");
    assert_eq!(bench.dial_at(client, B, 16_379), "silent");
    bench.rules(A, B, LinkRules { clients: cut, ..LinkRules::default() });
    reach(bench, Traffic::Bus).expect("it is healed");
    let other = bench.client(A);
    assert_eq!(bench.dial_at(other, B, 16_379), "refused");
    assert_eq!(bench.echo(client, 300), Err("silent".into()));
    bench.rules(A, B, LinkRules::default());
    reach(bench, Traffic::Clients).expect("it is healed");
    assert!(bench.counted(A, B, "cut") > 1);
}

fn cut_clients(bench: &mut Bench) {
    bench.start(A);
    let (tool, load) = (bench.client(A), ConnId(900));
    bench.env.submit(ME, Effect::OpenAsClient(load, A));
    bench.until(|input| *input == Input::Opened(load));
    assert_eq!(bench.ask(load, "ping 1"), "pong 1");
    let cut = LinkRule { cut: true, ..LinkRule::default() };
    bench.rules(NodeId::CLIENTS, A, LinkRules { clients: cut, ..LinkRules::default() });
    bench.say(load, "ping 2");
    bench.pass(Millis(200));
    assert_eq!(bench.ask(tool, "ping 3"), "pong 3");
    let heard = |input: &Input| matches!(input, Input::Bytes(id, _) if *id == load);
    assert!(!bench.seen.iter().any(heard), "{:?}", bench.seen);
    bench.rules(NodeId::CLIENTS, A, LinkRules::default());
    let reached = Effect::Node(A, NodeAction::Reach(NodeId::CLIENTS, Traffic::Clients));
    bench.apply(reached).expect("it is healed");
    assert_eq!(bench.hear(load), "pong 2");
    assert!(bench.counted(NodeId::CLIENTS, A, "cut") > 0);
}

fn slow_close(bench: &mut Bench) {
    let client = bench.pair();
    bench.link(A, B, LinkRule { linger: Millis(700), ..LinkRule::default() });
    let quick = bench.echo(client, 3000).expect("it comes");
    assert!(quick < 500_000, "{quick} us");
    let took: u64 = bench.ask(client, "leave").parse().expect("the other end closes");
    assert!((700_000..5_000_000).contains(&took), "{took} us");
    bench.link(A, B, LinkRule::default());
    assert!(bench.counted(A, B, "delayed") > 0);
}

fn slow(bench: &mut Bench) {
    let client = bench.pair();
    let slow = LinkRule { delay: Millis(50), ..LinkRule::default() };
    bench.link(A, B, slow);
    let times: Vec<u64> = (0..20).map(|_| bench.echo(client, 3000).expect("it comes late")).collect();
    assert!(times.iter().all(|time| *time >= 50_000), "{times:?}");
    // The quickest are not disturbed by other work of the machine.
    assert!(times.iter().min() < Some(&60_000), "none comes soon after: {times:?}");
    bench.link(A, B, LinkRule::default());
    let after: Vec<u64> = (0..20).map(|_| bench.echo(client, 3000).expect("it is healed")).collect();
    assert!(after.iter().min() < Some(&50_000), "{after:?} us after the heal");
}

fn lossy(bench: &mut Bench) {
    let client = bench.pair();
    let lossy = LinkRule { lose: 100, duplicate: 200, reorder: 200, ..LinkRule::default() };
    bench.link(A, B, lossy);
    bench.link(B, A, lossy);
    for _ in 0..60 {
        bench.echo(client, 15_000).expect("TCP sends it again");
    }
    for column in ["lost", "duplicated", "overtaken"] {
        let count = bench.counted(A, B, column);
        assert!((1..60).contains(&count), "{column}: {count}");
    }
}

fn large(bench: &mut Bench) {
    let client = bench.pair();
    assert_eq!(bench.ask(client, "bulk 8000000"), "same", "on a link without a fault");
    bench.link(A, B, LinkRule { delay: Millis(1), duplicate: 20, ..LinkRule::default() });
    assert_eq!(bench.ask(client, "bulk 8000000"), "same", "on a slow link");
    bench.link(A, B, LinkRule { lose: 1, reorder: 1, ..LinkRule::default() });
    assert_eq!(bench.ask(client, "bulk 2000000"), "same", "on a lossy link");
}

fn corrupt(bench: &mut Bench) {
    let client = bench.pair();
    bench.link(A, B, LinkRule { corrupt: 50, ..LinkRule::default() });
    assert_eq!(bench.ask(client, "bulk 500000"), "same", "TCP sends again what was spoilt");
    bench.link(A, B, LinkRule { garble: 200, ..LinkRule::default() });
    assert_eq!(bench.ask(client, "bulk 500000"), "different", "nothing tells");
    assert!(bench.counted(A, B, "corrupted") > 0 && bench.counted(A, B, "garbled") > 0);
}

fn narrow(bench: &mut Bench) {
    let client = bench.pair();
    bench.link(A, B, LinkRule { rate: 1000, ..LinkRule::default() });
    let began = bench.env.wall();
    assert_eq!(bench.ask(client, "bulk 2000000"), "same");
    let took = bench.env.wall().since(began).millis();
    assert!((Millis(2000)..Millis(4000)).contains(&took), "2 MB at 1 MB/s took {took}");
}

fn reset(bench: &mut Bench) {
    let client = bench.pair();
    bench.echo(client, 3000).expect("nothing is in the way");
    assert_eq!(bench.apply(Effect::Reset(B, Some(A), Traffic::All)), Ok("1 connections".into()));
    assert_eq!(bench.echo(client, 3000), Err("reset".into()));
    let to = bench.place(B);
    assert_eq!(bench.ask(client, &format!("dial {to}")), "open", "new connections are open");
    bench.echo(client, 3000).expect("nothing is in the way");
}

fn reset_clients(bench: &mut Bench) {
    let client = bench.pair();
    assert_eq!(bench.apply(Effect::Reset(A, None, Traffic::All)), Ok("1 connections".into()));
    let closed = bench.until(|input| matches!(input, Input::Closed(id, _) if *id == client));
    assert!(format!("{closed:?}").contains("reset"), "{closed:?}");
}

fn half_open(bench: &mut Bench) {
    let client = bench.pair();
    let to = bench.place(B);
    for silent in [false, true] {
        bench.echo(client, 3000).expect("nothing is in the way");
        assert_eq!(bench.apply(Effect::Forget(B, A, Traffic::All, silent)), Ok("1 connections".into()));
        if silent {
            assert_eq!(bench.echo(client, 300), Err("silent".into()));
            let other = bench.client(A);
            assert_eq!(bench.ask(other, &format!("dial {to}")), "open", "new connections are open");
            assert_eq!(bench.apply(Effect::Recall(B, A)), Ok("1 connections".into()));
        }
        assert_eq!(bench.echo(client, 10_000), Err("reset".into()));
        assert_eq!(bench.ask(client, &format!("dial {to}")), "open");
    }
    assert!(bench.counted(A, B, "silenced") > 0);
}

fn refuse(bench: &mut Bench) {
    let client = bench.pair();
    let to = bench.place(B);
    bench.link(A, B, LinkRule { refuse: true, ..LinkRule::default() });
    bench.echo(client, 3000).expect("it lives on");
    let other = bench.client(A);
    assert_eq!(bench.ask(other, &format!("dial {to}")), "refused");
    bench.link(A, B, LinkRule::default());
    assert_eq!(bench.ask(other, &format!("dial {to}")), "open");
}

/// What a node says of its clocks, in microseconds more than ours: the four that tell the time of day and the one that
/// counts from the boot, each with the bounds between which it is.
fn clocks(bench: &mut Bench, client: ConnId, question: &str) -> Vec<(i64, i64)> {
    let ours = || {
        [ClockId::CLOCK_REALTIME, ClockId::CLOCK_MONOTONIC].map(|clock| {
            let time = clock_gettime(clock).expect("a clock");
            time.tv_sec() * 1_000_000 + time.tv_nsec() / 1000
        })
    };
    let before = ours();
    let said = bench.ask(client, question);
    let after = ours();
    let times: Vec<i64> = said.split(' ').map(|word| word.parse().expect("a number")).collect();
    assert_eq!(times.len(), 5, "{said}");
    let bounds = |(place, time): (usize, &i64)| {
        // A coarse clock is as old as the kernel's last tick, which may be late, and the fourth tells whole seconds of it.
        let (which, grain) = [(0, 0), (0, 0), (0, 100_000), (0, 1_100_000), (1, 0)][place];
        (time - after[which], time + grain + 1 - before[which])
    };
    times.iter().enumerate().map(bounds).collect()
}

/// Asserts that the wall clock is so far ahead, by every function that tells it, give or take, and the other is true.
fn assert_ahead(seen: &[(i64, i64)], least: i64, most: i64) {
    let (boot, wall) = seen.split_last().expect("five");
    assert!(wall.iter().all(|(low, high)| *low <= most && *high >= least), "{least} to {most}: {seen:?}");
    // As wide as the answer took.
    assert!(wall[0].1 - wall[0].0 < 1_000_000, "the machine is too busy to tell: {seen:?}");
    assert!(boot.0 <= 0 && boot.1 >= 0, "{seen:?}");
}

fn set_clock(bench: &mut Bench, ahead: u64, behind: u64, rate: u16) -> Result<String, EnvError> {
    bench.apply(Effect::Node(A, NodeAction::Clock { ahead: Millis(ahead), behind: Millis(behind), rate }))
}

fn clock(bench: &mut Bench) {
    bench.start(A);
    let client = bench.client(A);
    assert_ahead(&clocks(bench, client, "time"), 0, 0);
    for (ahead, behind, so_far) in [(5_000, 0, 5_000_000), (0, 3_700_000, -3_695_000_000), (3_695_000, 0, 0)]
    {
        set_clock(bench, ahead, behind, 100).expect("it can be set");
        assert_ahead(&clocks(bench, client, "time"), so_far, so_far);
    }
    // Not to before the epoch.
    set_clock(bench, 0, u64::MAX, 100).expect("it can be set");
    let said = bench.ask(client, "time");
    assert!(
        said.split(' ').take(4).all(|word| word.parse::<i64>().is_ok_and(|time| time < 10_000_000)),
        "{said}"
    );
}

fn drift(bench: &mut Bench) {
    bench.start(A);
    let client = bench.client(A);
    let mut so_far = (0.0, 0.0);
    for rate in [300, 50, 1] {
        let before = bench.env.wall();
        set_clock(bench, 0, 0, rate).expect("it can be set");
        let set = bench.env.wall();
        bench.pass(Millis(400));
        let healing = bench.env.wall().since(set);
        set_clock(bench, 0, 0, 100).expect("it can be set");
        let healed = bench.env.wall().since(before);
        let lean = f64::from(rate) / 100.0 - 1.0;
        let (one, other) = (healing.0 as f64 * lean, healed.0 as f64 * lean);
        so_far = (so_far.0 + one.min(other), so_far.1 + one.max(other));
        for wait in [0, 300] {
            bench.pass(Millis(wait));
            // The machine's own clocks may be drawn apart a little.
            assert_ahead(&clocks(bench, client, "time"), so_far.0 as i64 - 1000, so_far.1 as i64 + 1000);
        }
    }
}

fn clock_stays(bench: &mut Bench) {
    bench.start(A);
    let client = bench.client(A);
    set_clock(bench, 7_000, 0, 100).expect("it can be set");
    // The child is asked before and looks after.
    bench.say(client, "forked");
    bench.pass(Millis(node::FORKED.as_millis() as u64 / 3));
    set_clock(bench, 0, 2_000, 100).expect("it can be set");
    let before = clock_gettime(ClockId::CLOCK_REALTIME).expect("a clock").tv_sec();
    let said = bench.hear(client);
    let seconds: Vec<i64> = said
        .split(' ')
        .take(4)
        .map(|word| word.parse::<i64>().expect("a number") / 1_000_000 - before)
        .collect();
    assert!(seconds.iter().all(|ahead| (4..=7).contains(ahead)), "{seconds:?}");
    assert_ahead(&clocks(bench, client, "time"), 5_000_000, 5_000_000);

    bench.apply(Effect::Node(A, NodeAction::Signal(Signal::Kill))).expect("it runs");
    // While it is down its clock goes on, and can be set.
    set_clock(bench, 1_000, 0, 100).expect("it can be set");
    bench.until(|input| matches!(input, Input::Observed(Observed::Exited { .. })));
    bench.seen.clear();
    bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it starts");
    bench.until(|input| matches!(input, Input::Observed(Observed::Log { .. })));
    let client = bench.client(A);
    assert_ahead(&clocks(bench, client, "time"), 6_000_000, 6_000_000);
}

fn no_clock(bench: &mut Bench) {
    let program = std::env::current_exe().expect("we run").to_string_lossy().into_owned();
    let argv = vec!["/bin/sh".into(), "-c".into(), format!("exec {program} node {{address}}:{{port}}")];
    bench.start_as(A, argv);
    let why = set_clock(bench, 1_000, 0, 100).expect_err("it is out of reach").to_string();
    assert!(why.contains("an exec of its own"), "{why}");
    let client = bench.client(A);
    assert_ahead(&clocks(bench, client, "time"), 0, 0);
}

fn no_way_out(bench: &mut Bench) {
    bench.start(A);
    let client = bench.client(A);
    assert_eq!(bench.ask(client, "dial 192.0.2.1:80"), "unreachable");
    let outside = bench.outside;
    assert_eq!(bench.ask(client, &format!("dial 127.0.0.1:{outside}")), "refused", "its loopback is its own");
}

fn no_node(bench: &mut Bench) {
    bench.start(A);
    let cut = LinkRule { cut: true, ..LinkRule::default() };
    assert_eq!(bench.apply(Effect::Link(A, B, cut.into())), Err(EnvError::NotRunning { node: B }));
}
