//! `fuzz doctor`: what this machine can do, what is missing, and the command that mends it.

use super::choose;
use super::console::print;
use super::exit::Code;
use super::folder::RUNS;
use crate::env::live;
use crate::env::processes::doctor::{Finding, Server, Standing, examine, servers_on};
use crate::env::processes::resources;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder of run folders, where killed runs may have left something
    #[arg(long, value_name = "DIR", default_value = RUNS)]
    runs: PathBuf,
}

/// Exits with 3 when something is missing without which some runs cannot be done.
pub fn main(args: &Args) -> super::Done {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut text = String::from("✓ embedded: the target `embedded` in environment `sim` needs nothing\n");
    let mut missing = false;
    let mut findings = examine(&path, &args.runs);
    findings.extend([network(), clocks(), disks(), power(), resources()]);
    findings.extend(servers_on(&path).iter().filter(|server| server.version.is_ok()).map(virtual_time));
    for finding in findings {
        let sign = match finding.standing {
            Standing::Good => "✓",
            Standing::Limited => "!",
            Standing::Missing => "✗",
        };
        missing |= finding.standing == Standing::Missing;
        text += &format!("{sign} {}: {}\n", finding.what, finding.found);
        if let Some(means) = finding.means {
            text += &format!("    {means}\n");
        }
        if let Some(mend) = finding.mend {
            text += &format!("    mend it: {mend}\n");
        }
    }
    print(&text);
    Ok(if missing { Code::Environment } else { Code::Passed })
}

/// Whether nodes can have a network of their own.
fn network() -> Finding {
    let finding = |standing, found: String, means: Option<&str>, mend: Option<&str>| Finding {
        what: "network of its own".into(),
        standing,
        found,
        means: means.map(Into::into),
        mend: mend.map(Into::into),
    };
    match live::probe::probe() {
        Ok(devices) => finding(Standing::Good, format!("`--env live` runs, with {devices}"), None, None),
        Err(unable) => {
            let means = "`--env live` is refused; `--env processes` runs the same servers, but no fault strikes \
                         its links";
            finding(Standing::Limited, unable.why, Some(means), unable.mend)
        }
    }
}

/// What a probe came to: what there is, or why not and what is missing without it.
fn ability(what: &str, probe: Result<(), String>, good: String, means: &str) -> Finding {
    let (standing, found, means) = match probe {
        Ok(()) => (Standing::Good, good, None),
        Err(why) => (Standing::Limited, why, Some(means.into())),
    };
    Finding { what: what.into(), standing, found, means, mend: None }
}

/// Whether the clocks of nodes can be set in real time.
fn clocks() -> Finding {
    ability(
        "clocks of nodes",
        live::probe::probe_clocks(),
        "`--env live` sets the time of day of each".into(),
        "runs that set a clock are refused in environment `live`; `exact` has them",
    )
}

/// Whether the disks of nodes can fail in real time.
fn disks() -> Finding {
    let takes = "it takes Linux 5.19, and a container that allows seccomp and pidfd_getfd";
    ability(
        "disks of nodes",
        live::probe::probe_disks().map_err(|why| format!("{why} ({takes})")),
        "`--env live` lets calls to each fail, last, tear and stop".into(),
        "runs with a fault of a disk are refused in environment `live`; `exact` has them",
    )
}

/// Whether nodes can be short of processor time, files and connections.
fn resources() -> Finding {
    let most = resources::files_at_most();
    ability(
        "resources of nodes",
        resources::probe(),
        format!(
            "`cpu_limit`, `cpu_hog`, `fd_limit`, `memory_limit` and `use_up_connections`, up to {most} of these"
        ),
        "runs whose faults take them away are refused",
    )
}

/// Whether nodes can lose their power in real time.
fn power() -> Finding {
    let finding = ability(
        "power of nodes",
        live::probe::probe_power(),
        "`--env live` takes from each what it has not synced".into(),
        "runs with a loss of power are refused in environment `live`; `exact` has them",
    );
    let device = finding.means.is_some() && finding.found.contains("/dev/fuse");
    Finding { mend: device.then(|| "modprobe fuse; docker run --device /dev/fuse ...".into()), ..finding }
}

/// Whether a server can run in virtual time on this machine.
fn virtual_time(server: &Server) -> Finding {
    let place = server.path.display();
    let finding = |standing, found: String, means: Option<&str>, mend: Option<&str>| Finding {
        what: "virtual time".into(),
        standing,
        found,
        means: means.map(Into::into),
        mend: mend.map(Into::into),
    };
    let unable = "`--env exact` is refused for it; `--env processes` runs it in real time";
    if let Err(why) = choose::loadable(&server.path) {
        return finding(Standing::Limited, format!("{place}: {why}"), Some(unable), None);
    }
    match probed(server) {
        Ok(true) => finding(Standing::Good, format!("`--env exact` runs {place}"), None, None),
        Ok(false) => finding(
            Standing::Limited,
            format!("`--env exact` runs {place} without its guard: the kernel refuses seccomp"),
            Some("what gets around the shim shows as two runs that differ, and not by name"),
            Some("docker run --security-opt seccomp=unconfined ..."),
        ),
        Err((why, mend)) => finding(Standing::Limited, format!("{place}: {why}"), Some(unable), mend),
    }
}

#[cfg(exact)]
fn probed(server: &Server) -> Result<bool, (String, Option<&'static str>)> {
    crate::env::exact::probe::probe(&server.path).map_err(|unable| (unable.why, unable.mend))
}

#[cfg(not(exact))]
fn probed(_: &Server) -> Result<bool, (String, Option<&'static str>)> {
    Err(("it is offered on x86_64 Linux with glibc".into(), None))
}
