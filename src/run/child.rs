//! The process that carries one run out: run events on standard output, the run folder filled as it goes. The
//! parent (`cli`) draws, reports and saves; this process owns the cluster.
//!
//! It is a process of its own because namespaces must be entered before any thread exists, because campaigns
//! run many side by side, and because killing it must clean up by itself.

use crate::catalogue::{Ability, Action};
use crate::check::{self, Judgement, Verdict};
#[cfg(exact)]
use crate::env::EXACT;
#[cfg(exact)]
use crate::env::exact::{self, ExactEnv};
use crate::env::live;
use crate::env::processes::cage::{self, Cage, Walls};
use crate::env::processes::{Options, ProcessesEnv};
use crate::env::sim::SimEnv;
use crate::env::{Env, Image, LIVE, SIM, Trouble};
use crate::fault::disk::Calls;
use crate::history::Operation;
use crate::run::event::{FORMAT, Finished, RunEvent};
use crate::run::execute::{Bounds, Oracle, RunError, Watch, execute};
use crate::run::marks;
use crate::run::operation::Target;
use crate::run::record::{Applied, Life, Record};
use crate::run::request::RunOptions;
use crate::run::stop::Stoppable;
use crate::run::tell;
use crate::target::embedded::operations::Embedded;
use crate::target::{self, REAL};
use crate::time::Millis;
use crate::timeline::Timeline;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

/// The exit codes that a run ends with; an interface (see the README).
pub mod exit {
    pub const PASSED: i32 = 0;
    pub const FINDING: i32 = 1;
    pub const BAD_INPUT: i32 = 2;
    pub const UNABLE: i32 = 3;
    pub const UNKNOWN: i32 = 4;
    pub const BROKEN: i32 = 5;
    pub const INTERRUPTED: i32 = 130;
}

/// Where events go: a line each, to the parent and to `events.jsonl`; operations to `history.jsonl` alone, with the next
/// event, which comes within a second.
struct Recorder {
    events: BufWriter<File>,
    history: BufWriter<File>,
    /// The first failure to write. Nothing is written after it, so that no line stands behind half of another;
    /// the run goes on, heals, and says it with its last word.
    failed: Option<String>,
}

impl Recorder {
    fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            events: BufWriter::new(File::create(folder.join("events.jsonl"))?),
            history: BufWriter::new(File::create(folder.join("history.jsonl"))?),
            failed: None,
        })
    }

    fn keep(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.failed.is_some() {
            return;
        }
        if let Err(error) = write(self) {
            say(&format!("failed to write to the run folder: {error}"));
            self.failed = Some(error.to_string());
        }
    }
}

impl Watch for Recorder {
    fn event(&mut self, event: &RunEvent) {
        let line = serde_json::to_string(event).expect("plain data");
        self.keep(|recorder| {
            recorder.history.flush()?;
            writeln!(recorder.events, "{line}").and_then(|()| recorder.events.flush())
        });
        // A parent that is gone reads nothing; its death ends this process by a signal.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }

    fn operations(&mut self, operations: &[Operation]) {
        for operation in operations {
            let line = serde_json::to_string(operation).expect("plain data");
            self.keep(|recorder| writeln!(recorder.history, "{line}"));
        }
    }
}

/// Words for `run.log`, which may lie on a full disk: `eprintln!` would panic there.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "fuzz: {text}");
}

/// Carries a run out and gives the exit code.
pub fn run(timeline: &Timeline, options: &RunOptions) -> i32 {
    // Before anything is opened: the cage returns in a new process.
    // Whoever attaches a debugger to a node needs its number outside of it.
    let walls = if timeline.environment == LIVE.name { Walls::Network } else { Walls::Processes };
    let caged =
        (timeline.environment != SIM.name && options.stop_at_turn.is_none()).then(|| cage::enter(walls));
    // Before the first event is told: whoever hears of the run may ask it to stop.
    let requests = cage::interrupts();
    #[expect(clippy::disallowed_methods, reason = "the border reads the clock: how long the run took")]
    let started = Instant::now();
    let mut recorder = match Recorder::open(&options.folder) {
        Ok(recorder) => recorder,
        Err(error) => {
            say(&format!("failed to open {}: {error}", options.folder.display()));
            return exit::BROKEN;
        }
    };
    recorder.event(&begin(timeline, options));
    recorder.event(&RunEvent::Plan(Box::new(tell::plan(timeline))));
    if let Some(Cage::Subreaper(why)) = &caged {
        recorder.event(&RunEvent::Note { at_us: 0, text: format!("no PID namespace of its own: {why}") });
    }
    #[cfg(exact)]
    if timeline.environment == EXACT.name {
        let order = crate::env::exact::order(&timeline.environment_key(), timeline.order());
        let text = format!("turns are given by policy {}; {order}", timeline.policy());
        recorder.event(&RunEvent::Note { at_us: 0, text });
    }
    let (result, end_us, trace_hash, trouble, network) =
        match environment(timeline, options, caged.as_ref(), requests) {
            Ok((mut env, target)) => {
                let bounds = Bounds { boot: options.boot_timeout, run: options.run_timeout };
                let result = execute(timeline, env.as_mut(), target, bounds, Rc::new(Checks), &mut recorder);
                let end = env.now();
                env.close();
                for text in env.notes() {
                    recorder.event(&RunEvent::Note { at_us: end.0 as i64, text: text.clone() });
                }
                (result, end.0, env.trace_hash(), env.trouble().cloned(), env.network().cloned())
            }
            Err(error) => (Err(error), 0, None, None, None),
        };
    let mut finished = Finished {
        verdict: Verdict::Unknown,
        seed: timeline.seed.0,
        timeline_hash: timeline.hash().to_hex().to_string(),
        schedule_hash: String::new(),
        history_hash: String::new(),
        trace_hash,
        image: image(timeline, options),
        network,
        virtual_ms: end_us / 1000,
        wall_ms: 0,
        run: options.run.clone(),
        findings: Vec::new(),
        exit_code: exit::BROKEN,
        reproduce: options.reproduce.clone(),
        repro: None,
        error: None,
    };
    match result {
        Ok(record) => judge_record(&record, &mut finished, &options.folder, &mut recorder),
        Err(error @ RunError::Unformed(_)) => {
            finished.exit_code = exit::UNKNOWN;
            let judgement = Judgement::new(check::RUN, Verdict::Unknown, error.to_string());
            recorder.event(&RunEvent::Judged { judgement });
        }
        Err(error) => {
            finished.exit_code = match (&error, &options.server_binary) {
                (RunError::Interrupted, _) => exit::INTERRUPTED,
                (RunError::Ended { .. }, Some(_)) | (RunError::Lacks(_), _) => exit::UNABLE,
                _ => exit::BROKEN,
            };
            finished.error = Some(match (&error, &options.server_binary) {
                (RunError::Ended { node, .. }, Some(binary)) => {
                    format!("{error}; {}", no_server(binary, &options.folder.join(format!("nodes/{node}"))))
                }
                _ => error.to_string(),
            });
        }
    }
    if let Some(trouble) = trouble {
        troubled(trouble, &mut finished, &mut recorder);
    }
    if let Some(why) = &recorder.failed {
        incomplete(&mut finished, why, timeline.environment != SIM.name);
    }
    finished.wall_ms = started.elapsed().as_millis() as u64;
    let code = finished.exit_code;
    recorder.event(&RunEvent::Finished(Box::new(finished)));
    code
}

/// What is to be known of a server that does not stay: the binary, the end of its log, and what to do.
fn no_server(binary: &Path, node: &Path) -> String {
    const LINES: usize = 5;
    let bytes = fs::read(node.join("server.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2000)..]).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = match lines.get(lines.len().saturating_sub(LINES)..) {
        Some(last) if !last.is_empty() => format!("it said: {}", last.join(" / ")),
        _ => "it said nothing".into(),
    };
    format!(
        "{} does not stay a server in the foreground when it is given the settings file {}; {said}. Try it by hand, \
         see `settings` in the scenario, or name another by --server-binary",
        binary.display(),
        node.join("server.conf").display()
    )
}

/// The checks, as the executor asks them.
struct Checks;

impl Oracle for Checks {
    fn look(&self, record: &Record, checks: &[String]) -> Vec<Judgement> {
        check::look(record, checks)
    }
    fn settle_bound(&self, timeline: &Timeline, applied: &[Applied], lives: &[Life]) -> (Millis, String) {
        check::owed::settle_bound(timeline, applied, lives)
    }
}

/// What the environment alone knows changes what a run comes to: a hang is a finding of its own, and after a leak
/// nothing that was seen counts.
fn troubled(trouble: Trouble, finished: &mut Finished, recorder: &mut Recorder) {
    match trouble {
        Trouble::Hang { node, why, stack } => {
            let mut judgement = Judgement::new(check::HANG, Verdict::Fail, why);
            judgement.looked_at = format!("the turns of {node}");
            judgement.evidence = stack;
            judgement.evidence.truncate(check::EVIDENCE_MAX);
            finished.findings.insert(0, finding(&judgement));
            recorder.event(&RunEvent::Judged { judgement });
            finished.verdict = Verdict::Fail;
            finished.exit_code = exit::FINDING;
        }
        Trouble::Leak { what, .. } => {
            finished.verdict = Verdict::Unknown;
            finished.exit_code = exit::BROKEN;
            finished.findings.clear();
            finished.error = Some(format!("{what}; `--env processes` runs it in real time"));
        }
    }
}

/// A run whose folder could not be written is not passed: what it rests on is not there to be looked at. Servers
/// that share the disk fail with it, so that a finding on them may be the disk's doing; one on the embedded
/// target, which has no disk but the simulated, stands.
fn incomplete(finished: &mut Finished, why: &str, servers_write: bool) {
    let error = format!(
        "failed to write to the run folder ({why}), so it is incomplete; make room, or name another by --out DIR"
    );
    finished.error = Some(match &finished.error {
        Some(first) => format!("{first}; {error}"),
        None => error,
    });
    if finished.verdict != Verdict::Fail || servers_write {
        finished.verdict = Verdict::Unknown;
        finished.exit_code = exit::UNABLE;
    }
}

fn judge_record(record: &Record, finished: &mut Finished, folder: &Path, recorder: &mut Recorder) {
    let bytes = serde_json::to_vec(record).expect("plain data");
    recorder.keep(|_| {
        let path = folder.join("record.json");
        // Half a record is worse than none.
        fs::write(&path, bytes).inspect_err(|_| drop(fs::remove_file(&path)))
    });
    recorder.event(&RunEvent::Workload(tell::workload(record)));
    recorder.event(&RunEvent::Cluster(Box::new(tell::cluster(record))));
    let marks = marks::marks(record).into_iter().map(|(mark, count)| (mark.to_string(), count)).collect();
    recorder.event(&RunEvent::Marks { marks });
    let judgements = check::judge_all(record);
    for judgement in &judgements {
        recorder.event(&RunEvent::Judged { judgement: judgement.clone() });
    }
    let verdict = check::merge(&judgements);
    finished.schedule_hash = record.schedule_hash().to_hex().to_string();
    finished.history_hash = record.history_hash().to_hex().to_string();
    finished.findings = judgements.iter().filter(|j| j.verdict == Verdict::Fail).map(finding).collect();
    finished.verdict = verdict;
    finished.exit_code = match verdict {
        Verdict::Fail => exit::FINDING,
        _ if record.ended_early.as_deref() == Some("interrupted") => exit::INTERRUPTED,
        Verdict::Unknown => exit::UNKNOWN,
        Verdict::Pass | Verdict::NotOwed | Verdict::Voided => exit::PASSED,
    };
}

fn finding(judgement: &Judgement) -> String {
    format!("{}: {}", judgement.check, judgement.reason)
}

fn begin(timeline: &Timeline, options: &RunOptions) -> RunEvent {
    RunEvent::Started {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        seed: timeline.seed.0,
        name: timeline.name.clone(),
        target: timeline.target.clone(),
        environment: timeline.environment.clone(),
        timeline_hash: timeline.hash().to_hex().to_string(),
        shards: timeline.cluster.shards,
        replicas: timeline.cluster.replicas,
        run: options.run.clone(),
        started_at: options.started_at.clone(),
        server: options.server_version.clone(),
    }
}

#[cfg(exact)]
fn image(timeline: &Timeline, options: &RunOptions) -> Option<Image> {
    let server = options.server_binary.as_ref().filter(|_| timeline.environment == EXACT.name)?;
    Some(exact::image::image(server))
}

#[cfg(not(exact))]
fn image(_: &Timeline, _: &RunOptions) -> Option<Image> {
    None
}

/// The environment and the target that the timeline names.
fn environment(
    timeline: &Timeline,
    options: &RunOptions,
    caged: Option<&Cage>,
    requests: io::Result<OwnedFd>,
) -> Result<(Box<dyn Env>, Rc<dyn Target>), RunError> {
    let unable = |why: String| RunError::Boot { within: options.boot_timeout, why };
    let requests = requests.map_err(|error| unable(error.to_string()))?;
    let binary = || options.server_binary.clone().ok_or_else(|| unable("no server binary was named".into()));
    let real = |server: &Path| {
        target::real(&timeline.target, server, &options.server_version).ok_or_else(|| {
            unable(format!("`{}` is no version of a server that is known", options.server_version))
        })
    };
    match (timeline.target.as_str(), timeline.environment.as_str()) {
        (name, "processes" | "live") if REAL.contains(&name) => {
            let binary = binary()?;
            let target = real(&binary)?;
            let on_live = timeline.environment == LIVE.name;
            let options = Options {
                dir: options.folder.join("nodes"),
                base_port: timeline.cluster.base_port,
                interrupt: Some(requests),
                server: Some(binary),
                keep_data: options.keep_data,
                pcap: options.pcap,
                calls: calls(timeline),
                power: timeline.events.iter().any(|event| event.action.needs() == Ability::Power),
                names: timeline.events.iter().any(|event| event.action.needs() == Ability::Names),
            };
            let folder = options.dir.parent().unwrap_or(&options.dir);
            // Before any thread exists.
            if on_live && options.power {
                live::disk::power::try_here(folder)
                    .map_err(|why| RunError::Lacks(format!("nodes cannot lose their power here: {why}")))?;
            }
            if on_live && options.calls.any() {
                let tried = live::disk::try_here(folder);
                tried
                    .map_err(|why| RunError::Lacks(format!("the disks of nodes cannot fail here: {why}")))?;
            }
            let env = if on_live {
                live::new(caged, options, timeline.environment_key())
            } else {
                ProcessesEnv::new(options)
            };
            let env = env.map_err(|error| unable(error.to_string()))?;
            Ok((Box::new(env), target))
        }
        #[cfg(exact)]
        ("valkey", "exact") => {
            let binary = binary()?;
            let target = real(&binary)?;
            let stop = options.stop_at_turn.map(|turn| {
                let requests = requests.try_clone()?;
                Ok(exact::stop::Stop { turn, folder: options.folder.clone(), requests })
            });
            let stop = stop.transpose().map_err(|error: io::Error| unable(error.to_string()))?;
            let env = ExactEnv::new(exact::Options {
                dir: options.folder.join("nodes"),
                server: binary,
                base_port: timeline.cluster.base_port,
                key: timeline.environment_key(),
                policy: timeline.policy(),
                order: timeline.order(),
                keep_data: options.keep_data,
                trace: options.trace.then(|| options.folder.join(crate::env::trace::FILE)),
                pcap: options.pcap.then(|| options.folder.join(crate::env::exact::CAPTURE)),
                pin: !options.spread,
                turn_max: exact::hang::TURN_MAX,
                stop,
            })
            .map_err(|error| unable(error.to_string()))?;
            Ok((Box::new(Stoppable::new(env, requests)), target))
        }
        (Embedded::NAME, "sim") => {
            Ok((Box::new(Stoppable::new(SimEnv::new(timeline), requests)), Rc::new(Embedded)))
        }
        (target, environment) => {
            Err(unable(format!("the target {target} does not run in the environment {environment}")))
        }
    }
}

/// The calls to disks that a timeline's faults are about.
fn calls(timeline: &Timeline) -> Calls {
    let rules = timeline.events.iter().filter_map(|event| match &event.action {
        Action::DiskError(fault) => Some(fault.rule()),
        Action::FullDisk(fault) => Some(fault.rule()),
        Action::SlowDisk(fault) => Some(fault.rule()),
        Action::StrikeAt(fault) => Some(fault.rule()),
        _ => None,
    });
    rules.fold(Calls::default(), |calls, rule| calls.and(rule.calls()))
}
