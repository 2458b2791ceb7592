//! The environment from outside, with shell scripts for servers. The first test is the tutorial.

use super::ports::ADDRESS;
use super::*;
use crate::env::Exit;
use crate::fault::kill::Signal;
use crate::fault::restart::RestartData;
use crate::time::Millis;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

/// Bounds every wait of these tests.
const PATIENCE: Millis = Millis(10_000);
const ME: ActorId = ActorId(7);
const NODE: NodeId = NodeId(0);

struct Bench {
    env: ProcessesEnv,
    run: PathBuf,
    seen: Vec<(ActorId, Input)>,
}

impl Bench {
    fn new(name: &str) -> Self {
        let run = std::env::temp_dir().join(format!("seedfault-env-{name}-{}", std::process::id()));
        let options = Options { dir: run.join("nodes"), ..Options::default() };
        Self { env: ProcessesEnv::new(options).expect("loopback is there"), run, seen: Vec::new() }
    }

    /// A node that runs this script, in a shell that does not give way to it.
    fn node(&mut self, script: &str) {
        let argv = ["sh", "-c", script].map(String::from).to_vec();
        let data_files = vec!["data".into()];
        let created = self.act(NodeAction::Create(NodeSpec { argv, data_files, ..NodeSpec::default() }));
        created.expect("the folder is writable");
    }

    fn submit(&mut self, action: NodeAction) {
        self.env.submit(ME, Effect::Node(NODE, action));
    }

    fn act(&mut self, action: NodeAction) -> Result<String, EnvError> {
        self.submit(action);
        self.until(|input| if let Input::Applied(result) = input { Some(result.clone()) } else { None })
    }

    /// Steps until an input says what we wait for; what came before it is left in `seen`.
    fn until<T>(&mut self, pick: impl Fn(&Input) -> Option<T>) -> T {
        let limit = self.env.now().plus(PATIENCE);
        loop {
            if let Some(position) = self.seen.iter().position(|(_, input)| pick(input).is_some()) {
                let (_, input) = self.seen.remove(position);
                return pick(&input).expect("picked above");
            }
            assert!(self.env.now() < limit, "waited too long; seen: {:?}", self.seen);
            let mut out = Vec::new();
            let until = self.env.now().plus(Millis(50));
            self.env.step(until, &mut out);
            self.seen.extend(out.into_iter().map(|(_, who, input)| (who, input)));
        }
    }

    fn exit(&mut self) -> (u32, Exit) {
        self.until(|input| match input {
            Input::Observed(Observed::Exited { incarnation, exit, .. }) => Some((*incarnation, *exit)),
            _ => None,
        })
    }

    fn log(&mut self, has: &str) -> String {
        self.until(|input| match input {
            Input::Observed(Observed::Log { line, .. }) if line.contains(has) => Some(line.clone()),
            _ => None,
        })
    }

    fn folder(&self) -> PathBuf {
        self.run.join("nodes").join(NODE.to_string())
    }

    fn members(&self) -> Vec<i32> {
        proc::all()
            .into_iter()
            .filter(|s| !s.is_dead() && proc::is_marked(s.pid, &self.run))
            .map(|s| s.pid)
            .collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.env.close();
        // What is still there is the next look's business, not a test's.
        let _ = fs::remove_dir_all(&self.run);
    }
}

#[test]
fn a_node_is_created_started_killed_and_started_again() {
    let mut bench = Bench::new("life");
    bench.node("echo born {port} in {dir}; exec sleep 60");
    let (address, port) = bench.env.endpoint(NODE).expect("created");
    assert_eq!(Some((address, port)), bench.env.address(NODE));

    let evidence = bench.act(NodeAction::Start(RestartData::Kept)).expect("a shell starts");
    assert!(evidence.ends_with("incarnation 1"), "{evidence}");
    let line = bench.log("born");
    assert_eq!(line, format!("born {port} in {}", bench.folder().display()));

    let evidence = bench.act(NodeAction::Signal(Signal::Kill)).expect("it runs");
    assert!(evidence.contains("gone"), "{evidence}");
    assert_eq!(bench.exit(), (1, Exit::Signal(9)));

    bench.act(NodeAction::Start(RestartData::Kept)).expect("it is down");
    bench.log("born");
    let again = bench.act(NodeAction::Start(RestartData::Kept));
    assert_eq!(again, Err(EnvError::AlreadyRunning { node: NODE }));
    bench.env.close();
    let ends = fs::read_to_string(bench.folder().join(folder::EXIT)).expect("written");
    let ends: Vec<&str> = ends.lines().collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert!(ends[0].starts_with("incarnation 1: pid ") && ends[0].ends_with("signal 9"), "{ends:?}");
}

#[test]
fn kill_and_start_in_one_instant_waits_for_the_old_process() {
    let mut bench = Bench::new("instant");
    bench.node("exec sleep 60");
    bench.act(NodeAction::Start(RestartData::Kept)).expect("a shell starts");
    bench.submit(NodeAction::Signal(Signal::Kill));
    bench.submit(NodeAction::Start(RestartData::Kept));
    let pick = |input: &Input| if let Input::Applied(result) = input { Some(result.clone()) } else { None };
    assert!(bench.until(pick).expect("it runs").contains("SIGKILL"), "answers come in the order asked");
    assert!(bench.until(pick).expect("it is down").contains("incarnation 2"));
}

#[test]
fn a_pause_is_read_back_and_ends() {
    let mut bench = Bench::new("pause");
    bench.node("sleep 60 & echo up; wait");
    bench.act(NodeAction::Start(RestartData::Kept)).expect("a shell starts");
    bench.log("up");
    assert!(bench.act(NodeAction::Pause).expect("it runs").contains("state T"));
    let states =
        |bench: &Bench| -> Vec<char> { bench.members().into_iter().flat_map(proc::thread_states).collect() };
    assert_eq!(states(&bench), ['T', 'T'], "the wrapper and its child stand still");
    assert!(!bench.act(NodeAction::Resume).expect("it runs").contains("state T"));
    assert!(!states(&bench).contains(&'T'));
    bench.act(NodeAction::Signal(Signal::Kill)).expect("it runs");
    assert_eq!(bench.act(NodeAction::Pause), Err(EnvError::NotRunning { node: NODE }));
}

#[test]
fn a_handled_signal_is_reported_as_handled() {
    let mut bench = Bench::new("handled");
    bench.node("trap 'echo caught' TERM; echo up; while :; do sleep 0.05; done");
    bench.act(NodeAction::Start(RestartData::Kept)).expect("a shell starts");
    bench.log("up");
    assert!(bench.act(NodeAction::Signal(Signal::Term)).expect("it runs").contains("still runs"));
    bench.log("caught");
}

#[test]
fn a_wrapper_that_does_not_exec_dies_with_all_it_started() {
    let mut bench = Bench::new("wrapper");
    bench.node("setsid sleep 60 & sleep 60 & echo up; wait");
    for _ in 0..2 {
        bench.act(NodeAction::Start(RestartData::Kept)).expect("a shell starts");
        bench.log("up");
        bench.act(NodeAction::Signal(Signal::Kill)).expect("it runs");
        assert_eq!(bench.members(), Vec::<i32>::new());
    }
}

#[test]
fn what_a_wrapper_leaves_when_it_ends_is_killed_before_the_exit_is_seen() {
    let mut bench = Bench::new("left");
    bench.node("setsid sleep 60 & exit 3");
    bench.act(NodeAction::Start(RestartData::Kept)).expect("a shell starts");
    assert_eq!(bench.exit(), (1, Exit::Code(3)));
    assert_eq!(bench.members(), Vec::<i32>::new());
}

#[test]
fn the_last_words_come_before_the_exit() {
    let mut bench = Bench::new("words");
    bench.node("printf 'one\\nlast without an end'; exit 4");
    bench.act(NodeAction::Start(RestartData::Kept)).expect("a shell starts");
    bench.exit();
    let lines = bench.seen.iter().filter_map(|(_, input)| match input {
        Input::Observed(Observed::Log { line, .. }) => Some(line.as_str()),
        _ => None,
    });
    assert_eq!(lines.collect::<Vec<_>>(), ["one", "last without an end"]);
}

#[test]
fn a_port_in_use_at_start_is_named() {
    let mut bench = Bench::new("port");
    bench.node("exec sleep 60");
    let port = bench.env.endpoint(NODE).expect("created").1;
    let _squatter = TcpListener::bind((ADDRESS, port)).expect("reserved for us");
    let Err(EnvError::Failed { why, .. }) = bench.act(NodeAction::Start(RestartData::Kept)) else {
        panic!("somebody listens there")
    };
    assert!(why.contains(&format!("port {port}")) && why.contains("in use"), "{why}");
}

#[test]
fn a_missing_server_and_a_missing_copy_are_said() {
    let mut bench = Bench::new("missing");
    let argv = vec!["seedfault-no-such-server".to_string()];
    bench.act(NodeAction::Create(NodeSpec { argv, ..NodeSpec::default() })).expect("writable");
    for (data, words) in [(RestartData::Kept, "seedfault-no-such-server"), (RestartData::Older, "no copy")] {
        let Err(EnvError::Failed { why, .. }) = bench.act(NodeAction::Start(data)) else {
            panic!("it cannot start")
        };
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn bytes_cross_in_order_and_nobody_there_is_refused() {
    let mut bench = Bench::new("bytes");
    bench.node("exec sleep 60");
    bench.env.submit(ME, Effect::Open(ConnId(1), NODE));
    let closed =
        |input: &Input| if let Input::Closed(id, why) = input { Some((*id, why.clone())) } else { None };
    assert_eq!(bench.until(closed), (ConnId(1), Why::Refused));
    bench.env.submit(ME, Effect::Open(ConnId(2), NodeId(9)));
    assert_eq!(bench.until(closed), (ConnId(2), Why::Refused), "a node that does not exist");

    let port = bench.env.endpoint(NODE).expect("created").1;
    let listener = TcpListener::bind((ADDRESS, port)).expect("reserved for us");
    bench.env.submit(ME, Effect::Open(ConnId(3), NODE));
    bench.env.submit(ME, Effect::Send(ConnId(3), b"sent before it was open".to_vec()));
    bench.until(|input| (*input == Input::Opened(ConnId(3))).then_some(()));
    let (mut peer, _) = listener.accept().expect("it connects");
    let mut got = [0; 23];
    peer.read_exact(&mut got).expect("it was sent");
    assert_eq!(&got, b"sent before it was open");
    peer.write_all(b"answer").expect("open");
    let bytes = bench.until(|input| match input {
        Input::Bytes(ConnId(3), bytes) => Some(bytes.clone()),
        _ => None,
    });
    assert_eq!(bytes, b"answer");
    peer.write_all(b"too late").expect("open");
    bench.env.submit(ME, Effect::Close(ConnId(3)));
    let mut out = Vec::new();
    bench.env.step(bench.env.now().plus(Millis(30)), &mut out);
    assert_eq!(out, [], "a closed connection is silent");
}

#[test]
fn a_step_ends_at_its_time_and_a_late_one_holds_the_clock() {
    let mut bench = Bench::new("clock");
    let mut out = Vec::new();
    let until = bench.env.now().plus(Millis(40));
    assert_eq!(bench.env.step(until, &mut out), Step::Going);
    assert!(bench.env.now() >= until && out.is_empty());
    let until = bench.env.now().plus(Millis(10));
    std::thread::sleep(Duration::from_millis(400));
    bench.env.step(until, &mut out);
    assert!(
        matches!(&out[..], [(at, ActorId::EXECUTOR, Input::Observed(Observed::Stretched { by, .. }))]
            if *at >= until && *at < until.plus(Millis(50)) && *by >= Millis(300)),
        "{out:?}"
    );
    assert!(bench.env.wall().since(bench.env.now()) > Millis(300).micros());
}

#[test]
fn a_request_to_stop_is_told_once() {
    // No program that a test beside this one starts may hold the other side.
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
    let mut bench = Bench::new("stop");
    bench.env.interrupt = Some(reader);
    let mut out = Vec::new();
    nix::unistd::write(&writer, b"!").expect("open");
    let soon = |bench: &Bench| bench.env.now().plus(Millis(20));
    assert_eq!(bench.env.step(soon(&bench), &mut out), Step::Interrupted);
    assert_eq!(bench.env.step(soon(&bench), &mut out), Step::Going);
    drop(writer);
    assert_eq!(bench.env.step(soon(&bench), &mut out), Step::Interrupted, "the other side is gone");
    assert_eq!(bench.env.step(soon(&bench), &mut out), Step::Going);
}

#[test]
fn a_panic_leaves_no_process_and_marks_the_folder_as_healed() {
    let mut run = PathBuf::new();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut bench = Bench::new("panic");
        bench.node("sleep 60 & echo up; wait");
        bench.act(NodeAction::Start(RestartData::Kept)).expect("a shell starts");
        bench.log("up");
        run.clone_from(&bench.run);
        assert_eq!(bench.members().len(), 2);
        let heals = fs::read_to_string(bench.run.join(heals::FILE)).expect("written");
        assert!(heals.contains("kill_group"), "{heals}");
        std::panic::panic_any("on purpose");
    }));
    assert!(outcome.expect_err("it panics").downcast_ref::<&str>() == Some(&"on purpose"));
    let marked =
        |folder: &Path| proc::all().into_iter().any(|s| !s.is_dead() && proc::is_marked(s.pid, folder));
    assert!(!marked(&run));
}

#[test]
fn data_goes_at_the_end_and_the_log_stays() {
    let mut bench = Bench::new("data");
    bench.node("echo x > data.rdb; echo written; exec sleep 60");
    bench.act(NodeAction::Start(RestartData::Kept)).expect("a shell starts");
    bench.log("written");
    bench.env.close();
    assert!(!bench.folder().join("data.rdb").exists());
    assert!(bench.folder().join(folder::LOG).exists());
    assert_eq!(heals::sweep(&bench.run).expect("readable"), heals::Swept::Clean);
}

/// A run has SIGTERM and SIGINT blocked, to be told of them in its own time; nodes must not inherit that.
#[test]
fn a_node_hears_the_signals_that_its_starter_has_blocked() {
    use nix::sys::signal::{SigSet, Signal as Raw};
    let mut bench = Bench::new("blocked");
    bench.node("echo up; exec sleep 60");
    let blocked: SigSet = [Raw::SIGTERM, Raw::SIGINT].into_iter().collect();
    let before = blocked.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).expect("a mask");
    bench.act(NodeAction::Start(RestartData::Kept)).expect("it starts");
    before.thread_set_mask().expect("the mask of before");
    bench.log("up");
    bench.act(NodeAction::Signal(Signal::Term)).expect("it is there");
    assert_eq!(bench.exit(), (1, Exit::Signal(15)));
}
