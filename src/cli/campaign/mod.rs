//! `fuzz campaign`: many runs side by side for as long as there is time, in one file of results. What fails is told
//! apart, shrunk, replayed and saved; what was met before is counted.

mod crew;
mod findings;
mod metrics;
mod pace;
pub mod page;
pub mod store;
mod summary;
mod watch;

use super::choose::{self, Place};
use super::clock;
use super::console::talk;
use super::exit::{Code, Failure};
use super::flags::{Output, Shape, Where};
use super::folder::RUNS;
use super::input::{self, plain};
use super::seed;
use super::serve::Serve;
use crate::campaign::{Guide, Mode, name};
use crate::entropy::Seed;
use crate::report::names::thousands;
use crate::timeline::Timeline;
use metrics::Metrics;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Store, Wish};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How long, all parts of a campaign that was killed together: `90s`, `10m`, `8h`
    #[arg(long, value_name = "TIME", value_parser = super::flags::time, required_unless_present = "runs")]
    budget: Option<Duration>,
    /// How many runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    runs: Option<u64>,
    /// The first seed, a number or any other text, which is hashed to one; drawn when absent
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<String>,
    /// The scenario to draw from; the built-in one when absent
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    shape: Shape,
    /// `guided` by what the runs before reached, or `random`: one seed after the other
    #[arg(long, value_name = "MODE", default_value = "guided", value_parser = ["guided", "random"])]
    mode: String,
    /// A folder of timelines, run first; those that reach something new are added
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// How many runs side by side; when absent as many as there are processors, and in real time as many as do not
    /// hold one another up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// The K-th of N parts of the same campaign, which share no run: `2/4`
    #[arg(long, value_name = "K/N", value_parser = shard)]
    shard: Option<(u64, u64)>,
    /// End with the first finding
    #[arg(long)]
    stop_at_first: bool,
    /// Save findings as they are, instead of looking for the fewest events that still fail
    #[arg(long)]
    no_shrink: bool,
    /// The file of results, of many campaigns
    #[arg(long, value_name = "FILE", default_value = "results.db")]
    results: PathBuf,
    /// Where small repros and their pages are saved
    #[arg(long, value_name = "DIR", default_value = super::job::REPROS)]
    repro: PathBuf,
    /// How much the run folders of findings may take; the oldest go first: `500MB`, `2GB`
    #[arg(long, value_name = "SIZE", default_value = "2GB", value_parser = size)]
    quota: u64,
    /// Write the findings as `JUnit` XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Answer Prometheus at this address, at `/metrics`; a port alone is one of this machine alone
    #[arg(long, value_name = "[HOST:]PORT", value_parser = metrics::address)]
    metrics_addr: Option<SocketAddr>,
    /// Show it as it goes on to a browser on this machine, at an address that is printed
    #[arg(long)]
    serve: bool,
    /// Begin anew where one with the same flags did not come to its end
    #[arg(long)]
    fresh: bool,
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    parts
        .filter(|(k, n)| (1..=*n).contains(k) && *n <= 10_000)
        .ok_or_else(|| "expected a part and how many there are, such as `2/4`".into())
}

fn size(text: &str) -> Result<u64, String> {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    let parsed = units
        .iter()
        .find_map(|(unit, bytes)| {
            Some(text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(*bytes))
        })
        .flatten();
    parsed.ok_or_else(|| "expected a size such as `500MB` or `2GB`".into())
}

/// What a campaign works with.
struct Setting<'a> {
    args: &'a Args,
    place: &'a Place,
    campaign: store::Campaign,
    folder: PathBuf,
    began: Instant,
    deadline: Option<Instant>,
    metrics: Option<Arc<Metrics>>,
    serve: Option<Arc<Serve>>,
}

impl Setting<'_> {
    fn spent(&self) -> Duration {
        self.campaign.spent + self.began.elapsed()
    }
    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now()))
    }
}

pub fn main(args: &Args) -> super::Done {
    super::job::check_files(&Output {
        out: None,
        junit: args.junit.clone(),
        ..Output::quiet(PathBuf::new())
    })?;
    let mut spec = seed::spec(args.spec.as_deref(), &args.shape)?;
    choose::pin(&mut spec, &args.shape)?;
    let place = choose::place(&args.place, &spec)?;
    let mode = Mode::from_text(&args.mode).expect("the command line knows the modes");
    let wish = wish(args, &place, &spec)?;
    let store = Store::open(&args.results)?;
    super::oracle::attend().map_err(|error| {
        Failure::new(Code::Broken, format!("failed to wait for Ctrl-C: {}", plain(&error)))
    })?;
    let (campaign, lock) = begin(args, &wish, &store)?;
    let mut guide = Guide::new(spec, &place.target, place.profile, mode, Seed(campaign.seed));
    let done = store.done(campaign.id)?;
    store.restore(campaign.id, &mut guide)?;
    if let Some(folder) = &args.corpus {
        let mut entries = corpus(folder, &place)?;
        // Those that it has run already it has kept.
        entries.retain(|(_, timeline)| !guide.entries().iter().any(|entry| entry.timeline == *timeline));
        talk(&format!("corpus {}: {} timelines to begin with\n", folder.display(), entries.len()));
        guide.begin_with(entries);
    }
    let began = now();
    let left = args.budget.map(|budget| budget.saturating_sub(campaign.spent));
    let again = if done.is_empty() {
        String::new()
    } else {
        format!(", going on after {} runs in {}", thousands(done.len() as u64), length(campaign.spent))
    };
    talk(&format!(
        "campaign {}: {} from seed {}, {}{again}\n",
        campaign.id,
        mode,
        campaign.seed,
        place.told()
    ));
    let metrics = args.metrics_addr.map(|address| answer(address, args, &place, &campaign, &store));
    let setting = Setting {
        metrics: metrics.transpose()?,
        serve: Serve::if_wanted(args.serve)?,
        args,
        place: &place,
        folder: PathBuf::from(&campaign.folder),
        campaign,
        began,
        deadline: left.map(|left| began + left),
    };
    let ended = crew::work(&setting, guide, store, done, &wish)?;
    // Held for as long as runs are going on.
    drop(lock);
    summary(&setting, &ended)
}

/// Lets Prometheus ask from now on.
fn answer(
    address: SocketAddr,
    args: &Args,
    place: &Place,
    campaign: &store::Campaign,
    store: &Store,
) -> Result<Arc<Metrics>, Failure> {
    let server = place.server.as_ref().map_or_else(String::new, |server| server.version.clone());
    let labels = vec![
        ("id", campaign.id.to_string()),
        ("target", place.target.clone()),
        ("environment", place.profile.name.to_string()),
        ("server", server),
        ("mode", args.mode.clone()),
        ("seed", campaign.seed.to_string()),
    ];
    let metrics = Arc::new(Metrics::new(labels, args.budget.is_some()));
    for (verdict, runs) in store.verdicts(campaign.id)? {
        metrics.go_on(&verdict, runs);
    }
    let address = metrics::serve(Arc::clone(&metrics), address)?;
    talk(&format!("metrics: http://{address}/metrics\n"));
    Ok(metrics)
}

/// All that decides a campaign's runs.
fn wish(args: &Args, place: &Place, spec: &crate::spec::Spec) -> Result<Wish, Failure> {
    let (server, build) = match &place.server {
        Some(server) => (server.version.clone(), super::determinism::digest(&server.path)?),
        None => (String::new(), String::new()),
    };
    let seed = args.seed.as_deref().map(|_| seed::chosen(args.seed.as_deref(), spec)).transpose()?;
    let scenario = match &args.spec {
        Some(file) => blake3::hash(&input::read(file)?.bytes).to_hex()[..16].to_string(),
        None => "built-in".into(),
    };
    let shard = args.shard.map_or_else(String::new, |(k, n)| format!(" --shard {k}/{n}"));
    Ok(Wish {
        seed: seed.map(|(seed, _)| seed.0),
        mode: args.mode.clone(),
        target: place.target.clone(),
        environment: place.profile.name.into(),
        text: format!(
            "scenario {scenario}{} --mode {}{shard} on {} {build} in {}, tool {}",
            args.shape.spelled(),
            args.mode,
            place.target,
            place.profile.label(),
            env!("CARGO_PKG_VERSION")
        ),
        server,
        build,
        command: super::flags::typed(),
    })
}

/// The campaign to go on with, or a new one, and what keeps others from it.
fn begin(args: &Args, wish: &Wish, store: &Store) -> Result<(store::Campaign, fs::File), Failure> {
    if !args.fresh {
        for campaign in store.unfinished(wish)? {
            if let Some(lock) = lock(Path::new(&campaign.folder))? {
                return Ok((campaign, lock));
            }
        }
    }
    let seed = match wish.seed {
        Some(seed) => Seed(seed),
        None => seed::chosen(None, &seed::built_in())?.0,
    };
    let stem = format!("campaign-{}-{seed}", clock::now().replace(['-', ':'], ""));
    let folder = (1..1000)
        .map(|n| Path::new(RUNS).join(if n == 1 { stem.clone() } else { format!("{stem}-{n}") }))
        .find(|folder| !folder.exists())
        .ok_or_else(|| Failure::new(Code::Environment, "a thousand campaigns of this second have folders"))?;
    fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
    let Some(lock) = lock(&folder)? else {
        return Err(Failure::new(Code::Environment, format!("{} is in use", folder.display())));
    };
    Ok((store.begin(wish, seed.0, &folder.display().to_string())?, lock))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("failed to write {}: {}", path.display(), plain(error));
    Failure::new(Code::Environment, message).hint("make room, or start it in a folder that can be written")
}

/// `None` while another process works on it.
fn lock(folder: &Path) -> Result<Option<fs::File>, Failure> {
    let path = folder.join("lock");
    let open = || {
        fs::create_dir_all(folder)?;
        fs::File::create(&path)
    };
    let file = open().map_err(|error| cannot_write(&path, &error))?;
    Ok(file.try_lock().is_ok().then_some(file))
}

/// The timelines of a folder, by name, in order. One that cannot be run here is left out, and told.
fn corpus(folder: &Path, place: &Place) -> Result<Vec<(String, Timeline)>, Failure> {
    fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    let mut entries = Vec::new();
    for path in input::scenarios_in(folder).unwrap_or_default() {
        let source = input::read(&path)?;
        let timeline = Timeline::from_yaml(&String::from_utf8_lossy(&source.bytes));
        let here = timeline
            .filter(|timeline| timeline.target == place.target && timeline.environment == place.profile.name);
        match here {
            Some(timeline) => entries.push((name(&timeline), timeline)),
            None => talk(&format!(
                "warning: {}: no timeline for {} in {}: left out\n",
                path.display(),
                place.target,
                place.profile.name
            )),
        }
    }
    Ok(entries)
}

/// `7 h 59 m`, `12 m 5 s`, `8 s`.
fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} m {s} s"),
        (h, m, _) => format!("{h} h {m} m"),
    }
}

fn summary(setting: &Setting<'_>, ended: &crew::Ended) -> super::Done {
    let page = page::beside(&setting.args.results, setting.campaign.id);
    // The campaign is what it is without it.
    let written = Store::read(&setting.args.results)
        .and_then(|store| page::write(&store, setting.campaign.id, &page))
        .map_err(|failure| talk(&format!("warning: {}\n", failure.message)));
    summary::tell(setting, ended, written.is_ok().then_some(page.as_path()))?;
    if let Some(serve) = &setting.serve {
        serve.campaign(ended.standing.night(setting));
        serve.finish(written.is_ok().then_some(page));
    }
    let now = &ended.standing;
    let all = now.all();
    Ok(match (now.findings.is_empty(), ended.interrupted) {
        (false, _) => Code::Finding,
        (_, true) => Code::Interrupted,
        // A night in which nothing could be seen is not passed.
        _ if all > 0 && now.of("broken") == all => Code::Broken,
        _ => Code::Passed,
    })
}

#[expect(clippy::disallowed_methods, reason = "the command line is the border")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_parts_are_read() {
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        assert_eq!(size("500 MB"), Ok(500_000_000));
        for bad in ["", "2", "-1GB", "GB", "99999999999999999999GB", "18446744073709551615GB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(shard("2/4"), Ok((2, 4)));
        for bad in ["0/4", "5/4", "2", "a/b", "1/0", "-1/4"] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_are_said_as_people_do() {
        for (seconds, text) in [(8, "8 s"), (725, "12 m 5 s"), (28_799, "7 h 59 m")] {
            assert_eq!(length(Duration::from_secs(seconds)), text);
        }
    }
}
