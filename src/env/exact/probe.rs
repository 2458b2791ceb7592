//! Whether a server can run in virtual time here: it is started under the shim once, to say its version.

use super::scheduler::FEW_FILES;
use super::{ExactEnv, FIRST_SLOT, NO_GUARD, Options, hang};
use crate::entropy::{Entropy, Seed};
use crate::env::{ActorId, Effect, Env as _, Exit, Input, NodeAction, NodeId, NodeSpec, Observed};
use crate::fault::restart::RestartData;
use crate::time::Micros;
use crate::timeline::Policy;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

/// Why not, and the command that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unable {
    pub why: String,
    pub mend: Option<&'static str>,
}

/// Virtual time that a program may take to say its version.
const LIMIT: Micros = Micros(60_000_000);

/// Answers whether the guard is up, too: where the kernel refuses it, a leak shows as two runs that differ and not by
/// name.
pub fn probe(server: &Path) -> Result<bool, Unable> {
    let folder = std::env::temp_dir().join(format!("seedfault-probe-{}", std::process::id()));
    let done = run(server, folder.join("nodes"));
    // What cannot be removed is seen in the temporary folder.
    let _ = std::fs::remove_dir_all(folder);
    let (exit, said) = done.map_err(|why| Unable { mend: mend(&why), why })?;
    if exit == Exit::Code(0) {
        return Ok(!said.iter().any(|line| line.starts_with(NO_GUARD)));
    }
    let last = said.last().map_or("it said nothing", String::as_str);
    Err(Unable { why: format!("under the shim `--version` ended with {exit}: {last}"), mend: None })
}

fn run(server: &Path, dir: PathBuf) -> Result<(Exit, Vec<String>), String> {
    let me = ActorId(1);
    let mut env = ExactEnv::new(Options {
        dir,
        server: server.to_path_buf(),
        base_port: None,
        key: Entropy::root(Seed(0)),
        policy: Policy::Random,
        order: 0,
        keep_data: false,
        trace: None,
        pcap: None,
        pin: false,
        turn_max: hang::TURN_MAX,
        stop: None,
    })
    .map_err(|error| error.to_string())?;
    let argv = vec![server.to_string_lossy().into_owned(), "--version".into()];
    let spec = NodeSpec { argv, ..NodeSpec::default() };
    env.submit(me, Effect::Node(NodeId(0), NodeAction::Create(spec)));
    env.submit(me, Effect::Node(NodeId(0), NodeAction::Start(RestartData::Kept)));
    let (mut out, mut said) = (Vec::new(), Vec::new());
    while env.now() < LIMIT && env.trouble().is_none() {
        env.step(LIMIT, &mut out);
        for (_, _, input) in out.drain(..) {
            match input {
                Input::Applied(Err(error)) => return Err(error.to_string()),
                Input::Observed(Observed::Log { line, .. }) => said.push(line),
                Input::Observed(Observed::Exited { .. })
                    if env.area.slot(FIRST_SLOT).loaded.load(Relaxed) == 0 =>
                {
                    return Err(format!("it did not load the shim: {}", said.join(" / ")));
                }
                Input::Observed(Observed::Exited { exit, .. }) => return Ok((exit, said)),
                _ => {}
            }
        }
    }
    Err(env.trouble().map_or_else(|| "`--version` does not end".into(), |trouble| format!("{trouble:?}")))
}

/// What a refused system call needs, as far as it is known.
fn mend(why: &str) -> Option<&'static str> {
    if why.contains("cannot be preloaded") {
        return Some("sysctl -w vm.memfd_noexec=0");
    }
    if why.contains(FEW_FILES) {
        return Some("ulimit -n 4096");
    }
    let refused = why.contains("not permitted") || why.contains("not implemented");
    refused.then_some("docker run --security-opt seccomp=unconfined ...")
}
