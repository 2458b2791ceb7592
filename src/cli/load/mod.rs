//! `fuzz load`: a workload on a cluster to which nothing happens, in steps, and the search for the highest rate that is
//! sustained.
//!
//! Each step has a cluster of its own, so that none pays for the data, the logs and the compactions of those before it.
//! Without `--env` that is environment `live`, where servers run at full speed and nodes have a network of their own.
//! Every step is a run like any other: it is judged, has a folder, and what its checks find is a finding.

mod measured;
mod search;

use super::choose::{self, Place};
use super::console::{print, talk};
use super::exit::{Code, Failure};
use super::flags::{Format, Output, Shape, Where};
use super::job::{self, Job, Save};
use super::{folder, seed};
use crate::check::Verdict;
use crate::entropy::Seed;
use crate::env::{EXACT, LIVE, SIM};
use crate::report::names::thousands;
use crate::spec::{Dialect, Spec, Spread};
use crate::time::Millis;
use crate::timeline::{Load, Rate};
use crate::yaml::document::{Node, Span, Value as Yaml};
use crate::yaml::fields::Field;
use measured::{Measured, PERCENTILES, Served, millis, per_second};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A scenario whose `cluster:` and `load:` are taken; what happens in it is left out
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
    /// As for `fuzz --seed`: it decides who does what to which key
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<String>,
    /// Operations a second over all clients, a step for each: `500/s,2000/s`, or `500/s..4000/s` for a ramp
    #[arg(long, value_name = "RATES")]
    rate: Option<Steps<Rate>>,
    /// Clients, a step for each: `4,16,64`, or `4..64` for a ramp
    #[arg(long, value_name = "NUMBERS")]
    clients: Option<Steps<u16>>,
    /// How many steps a ramp has, its ends among them
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=100))]
    steps: u16,
    /// How long each step is measured
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = Millis::parse)]
    length: Millis,
    /// How long each step's load goes on before it is measured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = Millis::parse)]
    warm_up: Millis,
    /// Look for the highest rate that is sustained: all that is due is asked, fewer than one in a thousand end in an
    /// error, and the 99th percentile is within --p99
    #[arg(long)]
    search: bool,
    /// The longest that the 99th percentile may be in a search
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = Millis::parse, requires = "search")]
    p99: Millis,
    /// Print tables, or one JSON object per step
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The folder of the steps' run folders; each has one in `runs/` when absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Values of the steps: each, or the ends of a ramp.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Steps<T> {
    Each(Vec<T>),
    Ramp(T, T),
}

impl<T: Field> FromStr for Steps<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |text: &str| {
            let value = Yaml::Scalar { text: text.trim().into(), quoted: false };
            T::read(&Node { span: Span::default(), value }).map_err(|expected| format!("expected {expected}"))
        };
        match text.split_once("..") {
            Some((from, to)) => Ok(Self::Ramp(one(from)?, one(to)?)),
            None => text.split(',').map(one).collect::<Result<_, _>>().map(Self::Each),
        }
    }
}

/// A number that a ramp can go through.
trait Number: Copy {
    fn number(self) -> u32;
    fn of(number: u32) -> Self;
}

impl Number for Rate {
    fn number(self) -> u32 {
        self.0
    }
    fn of(number: u32) -> Self {
        Self(number)
    }
}

impl Number for u16 {
    fn number(self) -> u32 {
        self.into()
    }
    fn of(number: u32) -> Self {
        Self::try_from(number).unwrap_or(Self::MAX)
    }
}

impl<T: Number> Steps<T> {
    fn values(&self, count: u16) -> Vec<T> {
        match self {
            Self::Each(values) => values.clone(),
            Self::Ramp(from, to) => {
                let (from, to, last) =
                    (i64::from(from.number()), i64::from(to.number()), i64::from(count) - 1);
                (0..=last).map(|n| T::of((from + (to - from) * n / last) as u32)).collect()
            }
        }
    }
}

/// What all steps have in common.
struct Bench<'a> {
    args: &'a Args,
    spec: Spec,
    load: Load,
    seed: Seed,
    place: Place,
    /// The heaviest code of the runs so far.
    code: Code,
    count: usize,
}

/// A step that was run.
struct Step {
    load: Load,
    measured: Measured,
    verdict: Verdict,
    /// What the checks found, or could not decide.
    remarks: Vec<String>,
    run: String,
}

pub fn main(args: &Args) -> super::Done {
    let mut spec = match &args.spec {
        Some(file) => seed::spec(Some(file), &Shape::default())?,
        None => Spec::quiet(Dialect::Native),
    };
    let left_out = quieten(&mut spec);
    let seed = match (&args.seed, spec.seed) {
        (None, None) => Seed(1),
        _ => seed::chosen(args.seed.as_deref(), &spec)?.0,
    };
    let mut at = args.place.clone();
    at.environment = at.environment.or_else(|| spec.environment.clone()).or_else(|| Some(LIVE.name.into()));
    let place = choose::place(&at, &spec)?;
    if [EXACT.name, SIM.name].contains(&place.profile.name) {
        let message = format!(
            "environment {} has virtual time: it says nothing of how fast a server is",
            place.profile.name
        );
        return Err(Failure::bad_input(message).hint("use --env live or --env processes, with a server"));
    }
    if args.spec.is_none() && crate::target::group(&place.target) {
        (spec.cluster.shards, spec.cluster.replicas) = (Spread::exactly(1), Spread::exactly(2));
    }
    let load = spec.load.clone().unwrap_or_default();
    if load.closed {
        let message =
            "a closed load asks only when it was answered, which hides how long others would have waited";
        return Err(Failure::bad_input(message).hint("leave `closed` out: fuzz load asks by the clock"));
    }
    if load.stop.is_some() {
        return Err(Failure::bad_input("`load.stop` has no meaning here").hint("leave it out, and use --for"));
    }
    let steps = steps(args, &load)?;
    let mut bench = Bench { args, spec, load, seed, place, code: Code::Passed, count: 0 };
    bench.head(left_out);
    if args.search {
        search::search(&mut bench, steps[0])?;
        return Ok(bench.code);
    }
    for (rate, clients) in steps {
        let Some(step) = bench.step(rate, clients)? else { break };
        bench.tell(&step, None);
    }
    Ok(bench.code)
}

/// Takes everything out of a scenario that would happen to the cluster; says whether there was any.
fn quieten(spec: &mut Spec) -> bool {
    let events = spec.draw.take().is_some()
        | !spec.events.is_empty()
        | !spec.backgrounds.is_empty()
        | !spec.dice.is_empty();
    spec.events.clear();
    spec.backgrounds.clear();
    spec.dice.clear();
    events
}

/// Rate and clients of each step. A list of one goes with each of the other.
fn steps(args: &Args, load: &Load) -> Result<Vec<(Rate, u16)>, Failure> {
    let rates = args.rate.as_ref().map_or_else(|| vec![load.rate], |rate| rate.values(args.steps));
    let clients =
        args.clients.as_ref().map_or_else(|| vec![load.clients], |clients| clients.values(args.steps));
    if rates.iter().any(|rate| rate.0 == 0) || clients.contains(&0) {
        return Err(Failure::bad_input("a step needs a rate and clients above zero"));
    }
    if args.search && rates.len() * clients.len() > 1 {
        return Err(Failure::bad_input("--search begins at one rate, with one number of clients")
            .hint("name one --rate and one --clients; it finds the others itself"));
    }
    match (rates.len(), clients.len()) {
        (1, _) => Ok(clients.into_iter().map(|clients| (rates[0], clients)).collect()),
        (_, 1) => Ok(rates.into_iter().map(|rate| (rate, clients[0])).collect()),
        (one, other) if one == other => Ok(rates.into_iter().zip(clients).collect()),
        (one, other) => {
            Err(Failure::bad_input(format!("{one} rates and {other} numbers of clients are no steps"))
                .hint("name as many of each, or one of the one"))
        }
    }
}

impl Bench<'_> {
    fn head(&self, left_out: bool) {
        let (load, place) = (&self.load, &self.place);
        talk(&format!("{}\n", place.told()));
        if left_out {
            talk("what the scenario does to its cluster is left out\n");
        }
        let Args { length, warm_up, .. } = self.args;
        talk(&format!(
            "seed {}, {} keys of each kind, {}, values of {} bytes; each step has a cluster of its own and is measured for \
             {length} after {warm_up}\n",
            self.seed, load.keys, load.skew, load.value_bytes,
        ));
    }

    /// Runs one step; nothing if it was interrupted.
    fn step(&mut self, rate: Rate, clients: u16) -> Result<Option<Step>, Failure> {
        self.count += 1;
        let (warm_up, length) = (self.args.warm_up, self.args.warm_up.saturating_add(self.args.length));
        let mut spec = self.spec.clone();
        let load = Load { clients, rate, ..self.load.clone() };
        spec.load = Some(load.clone());
        spec.length = Some(length);
        let timeline = seed::draw(&spec, self.seed, &self.place)?;
        let output = Output { out: None, ..Output::quiet(PathBuf::new()) };
        let out =
            self.args.out.as_ref().map(|out| out.join(format!("{:02}-{}-{clients}", self.count, rate.0)));
        let job = Job { out, save: Save::AsCommand, ..Job::plain(timeline, &self.place, &output) };
        let done = job::silently(job)?;
        self.code = self.code.heavier(done.code());
        match done.code() {
            Code::Interrupted => return Ok(None),
            code @ (Code::Broken | Code::Environment | Code::BadInput) => {
                let why = done.finished.error.unwrap_or_else(|| "the run broke".into());
                return Err(Failure::new(code, format!("{}: {why}", done.finished.run)));
            }
            Code::Passed | Code::Finding | Code::Unknown => {}
        }
        let record = folder::record(Path::new(&done.finished.run))?;
        let remarks = done
            .story
            .judgements
            .iter()
            .filter(|judged| matches!(judged.verdict, Verdict::Fail | Verdict::Unknown));
        let mut remarks: Vec<String> =
            remarks.map(|judged| format!("{} {}: {}", judged.check, judged.verdict, judged.reason)).collect();
        if done.code() == Code::Finding {
            remarks.push(done.finished.reproduce.clone());
        }
        let measured = Measured::of(&record, warm_up, length);
        Ok(Some(Step { load, measured, verdict: done.finished.verdict, remarks, run: done.finished.run }))
    }

    /// Prints a step, and in a search whether it was sustained.
    fn tell(&self, step: &Step, sustained: Option<&Result<(), measured::Short>>) {
        let text = match self.args.format {
            Format::Text => table(step, sustained),
            Format::Json => {
                let mut row = json!({
                    "event": "step", "rate": step.load.rate.0, "clients": step.load.clients, "run": step.run,
                    "verdict": step.verdict.to_string(), "remarks": step.remarks,
                    "measured": step.measured.json(),
                });
                if let Some(sustained) = sustained {
                    row["sustained"] = json!(sustained.is_ok());
                    row["why"] = json!(sustained.as_ref().err().map(measured::Short::why));
                }
                format!("{row}\n")
            }
        };
        print(&text);
    }
}

/// `12.3`, from tenths.
fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// A step for people.
fn table(step: &Step, sustained: Option<&Result<(), measured::Short>>) -> String {
    let Step { load, measured, .. } = step;
    let mut text = String::new();
    let clients = if load.clients == 1 { "1 client".into() } else { format!("{} clients", load.clients) };
    let _ = writeln!(
        text,
        "\n{}/s asked of {clients}: {}/s served, {} errors, {} skipped while their client waited",
        thousands(load.rate.0.into()),
        tenths(per_second(measured.all.ok, measured.over)),
        thousands(measured.all.errors()),
        thousands(measured.skipped()),
    );
    let heads: String = PERCENTILES.iter().map(|(name, _)| format!("{name:>10}")).collect();
    let _ = writeln!(text, "  {:<8}{:>11}{:>10}{:>8}{heads}{:>10}  ms", "", "count", "/s", "errors", "max");
    let mut row = |name: &str, served: &Served| {
        let cell = |value: Option<u64>| value.map_or_else(|| "-".into(), millis);
        let cells: String = PERCENTILES
            .iter()
            .map(|(_, quantile)| served.at(*quantile))
            .chain([served.longest()])
            .map(|value| format!("{:>10}", cell(value)))
            .collect();
        let _ = writeln!(
            text,
            "  {name:<8}{:>11}{:>10}{:>8}{cells}",
            thousands(served.count()),
            tenths(per_second(served.ok, measured.over)),
            thousands(served.errors()),
        );
    };
    for (kind, served) in &measured.kinds {
        row(&kind.to_string(), served);
    }
    row("all", &measured.all);
    for (why, count) in measured.errors.iter().take(3) {
        let _ = writeln!(text, "  {} times: {why}", thousands(*count));
    }
    let _ = writeln!(text, "  the tool asked up to {} ms late (p99)", millis(measured.late));
    for remark in &step.remarks {
        let _ = writeln!(text, "  {remark}");
    }
    let _ = writeln!(text, "  run: {}", step.run);
    match sustained {
        None => {}
        Some(Ok(())) => text += "  sustained\n",
        Some(Err(short)) => {
            let _ = writeln!(text, "  not sustained: {}", short.why());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_a_list_or_a_ramp() {
        let rates = |text: &str, count| text.parse::<Steps<Rate>>().map(|steps| steps.values(count));
        assert_eq!(rates("500/s,2000/s", 5), Ok(vec![Rate(500), Rate(2000)]));
        assert_eq!(rates("500/s..2500/s", 5), Ok([500, 1000, 1500, 2000, 2500].map(Rate).to_vec()));
        assert_eq!(rates("900/s..300/s", 3), Ok([900, 600, 300].map(Rate).to_vec()));
        assert_eq!("4..64".parse::<Steps<u16>>().map(|steps| steps.values(2)), Ok(vec![4, 64]));
        assert_eq!(rates("500", 2), Err("expected a rate such as `300/s`".into()));
    }
}
