//! Which target, in which environment, by which server: from the flags, the scenario, and what is found.

use super::exit::{Code, Failure};
use super::flags::{Shape, Where};
use crate::catalogue::{ACTIONS, Ability, Action};
use crate::env::processes::doctor::{self, SERVERS};
use crate::env::processes::resources;
use crate::env::{EXACT, LIVE, PROFILES, Profile, SIM, live, own_of};
use crate::spec::{Dialect, Spec, Spread};
use crate::target::embedded::bugs;
use crate::target::{self, TargetInfo};
use crate::timeline::{Limits, Timeline, too_large};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where a run takes place, and why there.
#[derive(Clone, Debug)]
pub struct Place {
    pub target: String,
    pub profile: &'static Profile,
    pub server: Option<Server>,
    /// Why this target, for the first line of the output.
    pub why: String,
}

#[derive(Clone, Debug)]
pub struct Server {
    /// Absolute.
    pub path: PathBuf,
    /// As it was named by flag or file, for the reproduction command; `None` when it was found on `PATH`.
    pub named: Option<PathBuf>,
    /// As it says itself: `Valkey server v=8.0.1`.
    pub version: String,
}

impl Place {
    /// `valkey in processes: ...`
    pub fn told(&self) -> String {
        let server = self
            .server
            .as_ref()
            .map_or_else(String::new, |server| format!(" ({}, {})", server.path.display(), server.version));
        let time = match self.profile.name {
            name if name == EXACT.name => ", in virtual time".to_string(),
            name if name == SIM.name => String::new(),
            _ => match self.profile.lacking()[..] {
                [] => ", in real time".to_string(),
                ref lacks => format!(", in real time, without faults of {}", lacks.join(", ")),
            },
        };
        format!("target {}{server} in environment {}{time}: {}", self.target, self.profile.name, self.why)
    }
    pub fn spelled(&self) -> String {
        let named = self.server.as_ref().and_then(|server| server.named.as_deref());
        super::flags::where_spelled(&self.target, self.profile.name, named)
    }
}

/// What a binary says of its version, or why it says nothing.
type Said = Result<String, String>;

/// Chooses, without looking for a server yet: what `generate` and `validate` need.
pub fn target(flags: &Where, spec: &Spec) -> Result<Place, Failure> {
    chosen(flags, spec).map(|(place, _)| place)
}

/// The same, with what the server said that implies the target.
fn chosen(flags: &Where, spec: &Spec) -> Result<(Place, Option<Said>), Failure> {
    let mut said = None;
    let environment = flags.environment.as_deref().or(spec.environment.as_deref());
    let (target, why) = if let Some(target) = &flags.target {
        (target.clone(), "as --target says".to_string())
    } else if let Some(target) = &spec.target {
        (target.clone(), "as the scenario says".to_string())
    } else if let Some(binary) = &flags.server_binary {
        said = located(binary).map(|path| doctor::version(&path));
        (implied(said.as_ref()).into(), "as --server-binary implies".into())
    } else if !spec.bugs.is_empty() {
        ("embedded".into(), "named bugs are its alone".into())
    } else if let Some(environment) = environment {
        let target = if environment == SIM.name { "embedded" } else { "valkey" };
        (target.into(), format!("it goes with environment {environment}"))
    } else if spec.dialect != Dialect::Native {
        ("valkey".into(), "the scenario is in a dialect of valkey-fuzzer".into())
    } else if let Some((name, _)) = found() {
        ("valkey".into(), format!("{name} was found on PATH"))
    } else {
        ("embedded".into(), format!("no {} was found on PATH", SERVERS.join(" or ")))
    };
    let own = own_of(&target).unwrap_or(&EXACT);
    let named = environment.and_then(|name| PROFILES.iter().copied().find(|profile| profile.name == name));
    let profile = named.unwrap_or(own);
    if let Some(why) = profile.lacks(&target) {
        return Err(Failure::bad_input(why).hint(format!("use --env {}, or another --target", own.name)));
    }
    if !spec.bugs.is_empty() && target != "embedded" {
        return Err(Failure::bad_input(format!("target {target} has no named bugs to switch on"))
            .hint("use --target embedded"));
    }
    if target == "embedded" && flags.server_binary.is_some() {
        return Err(Failure::bad_input(
            "target embedded starts no server: --server-binary has no meaning there",
        )
        .hint("use --target valkey, or leave --server-binary out"));
    }
    Ok((Place { target, profile, server: None, why }, said))
}

/// Chooses, and finds the server.
pub fn place(flags: &Where, spec: &Spec) -> Result<Place, Failure> {
    let (mut place, said) = chosen(flags, spec)?;
    if place.target != "embedded" {
        place.server = Some(server(flags, spec, &place.target, said)?);
    }
    if let (true, Some(server)) = (place.profile.name == EXACT.name, &place.server) {
        loadable(&server.path).map_err(|why| {
            Failure::new(
                Code::Environment,
                format!("{} cannot run in virtual time: {why}", server.path.display()),
            )
            .hint("name a dynamically linked server itself by --server-binary, or use --env processes")
        })?;
        started(&server.path)?;
    }
    if place.profile.name == LIVE.name {
        live::probe::probe().map(drop).map_err(|unable| {
            let message = format!("environment live cannot be had here: {}", unable.why);
            let or = unable.mend.map_or_else(String::new, |mend| format!("{mend}; or "));
            Failure::new(Code::Environment, message)
                .hint(format!("{or}use --env processes, whose links no fault can strike"))
        })?;
    }
    Ok(place)
}

/// Refuses a timeline that sets clocks where those of real processes cannot be set.
pub fn sets_clocks(timeline: &Timeline, profile: &Profile) -> Result<(), Failure> {
    let asked = timeline.events.iter().find(|event| event.action.info().needs == Ability::Clock);
    let Some(event) = asked.filter(|_| profile.name == LIVE.name) else { return Ok(()) };
    live::probe::probe_clocks().map_err(|why| {
        let message = format!("{} of the timeline sets clocks, which cannot be set here: {why}", event.id);
        Failure::new(Code::Environment, message).hint("use --env exact")
    })
}

/// Files that the tool has open beside the connections that a fault takes: those of the load, of nodes and links.
const OWN_FILES: u64 = 512;

/// Refuses a timeline that takes away what cannot be taken away here.
pub fn takes_resources(timeline: &Timeline) -> Result<(), Failure> {
    let asked = timeline.events.iter().find(|event| event.action.needs() == Ability::Resource);
    let Some(event) = asked else { return Ok(()) };
    resources::probe().map_err(|why| {
        let message = format!("{} takes a node's resources, which cannot be done here: {why}", event.id);
        Failure::new(Code::Environment, message)
    })?;
    let files = resources::files_at_most();
    for event in &timeline.events {
        if let Action::UseUpConnections(fault) = &event.action
            && let Some(count) = fault.connections.map(u64::from).filter(|count| count + OWN_FILES > files)
        {
            let message =
                format!("{} takes {count} connections, and the tool may open {files} files", event.id);
            return Err(Failure::new(Code::Environment, message)
                .hint(format!("ulimit -Hn {}, as root, or fewer `connections`", count + OWN_FILES)));
        }
    }
    Ok(())
}

/// The first server of the target `valkey` on `PATH`, by name and path.
pub fn found() -> Option<(&'static str, PathBuf)> {
    first_of(SERVERS)
}

fn first_of(names: &[&'static str]) -> Option<(&'static str, PathBuf)> {
    let found = |name: &str| {
        let path = Path::new(name);
        if path.is_absolute() { located(path) } else { on_path(path) }
    };
    names.iter().find_map(|name| Some((*name, found(name)?)))
}

/// The target that a server binary belongs to; `valkey` where it does not say, which is told once it is started.
fn implied(said: Option<&Said>) -> &'static str {
    let known = said.and_then(|said| target::of_version(said.as_ref().ok()?)?.ok());
    known.map_or("valkey", |info| info.name)
}

fn on_path(name: &Path) -> Option<PathBuf> {
    doctor::find(&std::env::var_os("PATH")?, name.to_str()?)
}

fn executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// How to come by a server.
fn install(info: &TargetInfo) -> String {
    format!(
        "install one ({}), name one by --server-binary, or use --target embedded, which needs none",
        info.install
    )
}

fn server(flags: &Where, spec: &Spec, target: &str, said: Option<Said>) -> Result<Server, Failure> {
    let info = target::info(target).ok_or_else(|| Failure::bad_input(format!("no target {target}")))?;
    let missing = |message: String| Failure::new(Code::Environment, message).hint(install(info));
    let (path, named) = if let Some(named) = &flags.server_binary {
        let path = located(named).ok_or_else(|| missing(absent(named)))?;
        (path, Some(named.clone()))
    } else if let Some(path) = spec.server_binary.as_deref().and_then(|name| located(Path::new(name))) {
        (path, None)
    } else {
        let (_, path) = first_of(info.servers)
            .ok_or_else(|| missing(format!("no {} was found on PATH", info.servers.join(" or "))))?;
        (path, None)
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    let version = said.unwrap_or_else(|| doctor::version(&path)).map_err(|why| {
        Failure::new(Code::Environment, format!("failed to start {}: {why}", path.display())).hint(
            "a server, or a script that starts one, answers `--version`; name another by --server-binary",
        )
    })?;
    let says = format!("{} says `{version}` for `--version`", path.display());
    match target::of_version(&version) {
        None => {
            let servers: Vec<&str> = target::TARGETS.iter().flat_map(|info| info.servers).copied().collect();
            Err(Failure::new(Code::Environment, format!("{says}, and is no server that is known")).hint(format!(
                "a {}, or a script that starts one with the arguments that it is given; name another by --server-binary",
                servers.join(", ")
            )))
        }
        Some(Err(why)) => {
            Err(Failure::new(Code::Environment, format!("the server {} {why}", path.display()))
                .hint("name a newer one by --server-binary"))
        }
        Some(Ok(other)) if other.name != target => {
            Err(Failure::bad_input(format!("{says}, which is no server of the target {target}"))
                .hint(format!("use --target {}, or name another by --server-binary", other.name)))
        }
        Some(Ok(_)) => Ok(Server { path, named, version }),
    }
}

fn located(named: &Path) -> Option<PathBuf> {
    if named.components().count() == 1 && !named.is_file() {
        return on_path(named);
    }
    // A release of a server in Java is an archive, or a folder as it was unpacked, which is told by a slash at its end.
    if named.is_dir() && named.join("lib").is_dir() {
        return Some(named.join(""));
    }
    let archive = named.extension().is_some_and(|extension| extension == "jar") && named.is_file();
    (archive || executable(named)).then(|| named.to_path_buf())
}

fn absent(named: &Path) -> String {
    let shown = named.display();
    match std::fs::metadata(named) {
        Ok(file) if file.is_dir() => format!("the server binary {shown} is a folder"),
        Ok(_) => format!("the server binary {shown} may not be executed"),
        Err(_) if named.components().count() == 1 => format!("no server binary {shown} was found on PATH"),
        Err(error) => format!("the server binary {shown} cannot be used: {}", super::input::plain(&error)),
    }
}

/// Whether the shim can be loaded into this program: what a server does without the C library, nobody sees.
pub fn loadable(path: &Path) -> Result<(), String> {
    if !cfg!(exact) {
        return Err("it is offered on x86_64 Linux with glibc".into());
    }
    let bytes = std::fs::read(path).map_err(|error| super::input::plain(&error))?;
    // The header: magic, 64 bits, and the machine at offset 18 (`elf(5)`).
    if !bytes.starts_with(b"\x7fELF\x02") {
        return Err("it is no program but a script or the like".into());
    }
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    if bytes.get(18..20) != Some(&[62, 0]) {
        Err("it is built for another machine".into())
    } else if has(b".gopclntab") {
        Err("it is written in Go, whose programs make their system calls themselves".into())
    } else if !names_a_loader(&bytes) || !has(b"libc.so.6\0") {
        Err("it is statically linked, or by another C library than glibc".into())
    } else {
        Ok(())
    }
}

/// Whether the kernel is to start this program by a loader, which loads the shim too: a segment `PT_INTERP`. (A static
/// program may hold the loader's name all the same: its C library can load others.)
fn names_a_loader(bytes: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, length: usize| {
        let part = bytes.get(at..at.checked_add(length)?)?;
        Some(part.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let (Some(begin), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else {
        return false;
    };
    (0..count).any(|n| {
        let at = size.checked_mul(n).and_then(|offset| offset.checked_add(begin));
        at.and_then(|at| number(at, 4)) == Some(INTERPRETER as usize)
    })
}

/// Whether it starts under the shim: what this machine does not allow shows here, and not in the middle of a run.
#[cfg(exact)]
fn started(path: &Path) -> Result<(), Failure> {
    crate::env::exact::probe::probe(path).map(drop).map_err(|unable| {
        let message = format!("{} cannot run in virtual time here: {}", path.display(), unable.why);
        let or = unable.mend.map_or_else(String::new, |mend| format!("{mend}; or "));
        Failure::new(Code::Environment, message).hint(format!("{or}use --env processes"))
    })
}

#[cfg(not(exact))]
fn started(_: &Path) -> Result<(), Failure> {
    Ok(())
}

/// Leaves in what seeds draw only what the flags want. It is done before anything is drawn: a timeline stays a function
/// of scenario, flags and seed.
fn narrow(spec: &mut Spec, shape: &Shape) -> Result<(), Failure> {
    let named = [("--include", &shape.include), ("--exclude", &shape.exclude)];
    let drawable = || ACTIONS.iter().filter(|info| info.may_be_drawn()).map(|info| info.name);
    for (flag, name) in named.iter().flat_map(|(flag, names)| names.iter().map(move |name| (flag, name))) {
        if spec.draw.is_none() {
            let message = format!("{flag} {name}: the scenario draws nothing");
            return Err(
                Failure::bad_input(message).hint("it says itself what happens; take the event out there")
            );
        }
        if !drawable().any(|known| known == name) {
            let failure = Failure::bad_input(format!("{flag}: seeds draw no operation or fault `{name}`"));
            return Err(failure.hint(match crate::yaml::document::nearest(name, drawable()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`fuzz list operations` and `fuzz list faults` name them all".into(),
            }));
        }
    }
    let Some(draw) = spec.draw.as_mut() else { return Ok(()) };
    if !shape.include.is_empty() {
        if draw.vocabulary.is_empty() {
            draw.vocabulary = shape.include.iter().map(|name| (name.clone(), 1)).collect();
        } else {
            draw.vocabulary.retain(|(name, _)| shape.include.contains(name));
        }
        if draw.vocabulary.iter().all(|(name, weight)| *weight == 0 || shape.exclude.contains(name)) {
            return Err(Failure::bad_input("--include and --exclude leave nothing that the scenario draws"));
        }
    }
    draw.without.clone_from(&shape.exclude);
    Ok(())
}

/// Applies the flags that pin what the scenario leaves open.
pub fn pin(spec: &mut Spec, shape: &Shape) -> Result<(), Failure> {
    narrow(spec, shape)?;
    if let Some(shards) = shape.shards {
        spec.cluster.shards = Spread::exactly(shards);
    }
    if let Some(replicas) = shape.replicas {
        spec.cluster.replicas = Spread::exactly(replicas);
    }
    for bug in &shape.bugs {
        if bugs::find(bug).is_none() {
            let names = || bugs::BUGS.iter().map(|bug| bug.name);
            let hint = match crate::yaml::document::nearest(bug, names()) {
                Some(near) => format!("did you mean `{near}`? `fuzz list bugs` names them all"),
                None => format!("the bugs are {}", names().collect::<Vec<_>>().join(", ")),
            };
            return Err(Failure::bad_input(format!("--bug: there is no bug `{bug}`")).hint(hint));
        }
        if !spec.bugs.contains(bug) {
            spec.bugs.push(bug.clone());
        }
    }
    let shards = spec.cluster.shards.low;
    for event in &spec.events {
        for (name, text) in event.action.write_fields() {
            let beyond = match name {
                "shard" => text.parse::<u16>().ok(),
                _ => crate::catalogue::NodeSelector::from_text(&text).and_then(|node| node.shard()),
            }
            .filter(|shard| *shard >= shards);
            if let Some(shard) = beyond.filter(|_| shape.shards.is_some()) {
                return Err(Failure::bad_input(format!(
                    "event `{}` (line {}) names shard {shard}, and --shards {shards} leaves shards 0 to {}",
                    event.id,
                    event.line,
                    shards - 1
                ))
                .hint("shards count from 0; leave --shards out, or give more"));
            }
        }
    }
    Ok(())
}

/// Refuses a cluster that this machine cannot carry; a timeline itself never depends on the machine. The shape of
/// one that is `recorded` cannot be pinned.
pub fn fits(timeline: &Timeline, recorded: bool) -> Result<(), Failure> {
    let threads = timeline.cluster.settings.0.get("io-threads");
    if let Some(threads) = threads.filter(|threads| timeline.environment == EXACT.name && *threads != "1") {
        let message =
            format!("io-threads {threads} cannot run in virtual time: such threads wait by spinning");
        return Err(
            Failure::new(Code::Environment, message).hint("leave io-threads at 1, or use --env processes")
        );
    }
    let (nodes, because) = doctor::carries();
    let Some(large) = too_large(timeline, &Limits { nodes, because }) else { return Ok(()) };
    let hint = match large.fitting {
        _ if recorded => {
            "a replay has the cluster that was recorded: make room, or replay it on a larger machine; \
                          `fuzz doctor` says what this one has"
                .into()
        }
        Some((shards, replicas)) => format!("pin less with `--shards {shards} --replicas {replicas}`"),
        None => "it carries no cluster of three shards: take `--target embedded`".into(),
    };
    Err(Failure::new(Code::Environment, large.why).hint(hint))
}
