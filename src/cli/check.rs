//! `fuzz check`: is a history of clients what a model promises? Histories of this tool, of Jepsen, of Porcupine's
//! tests, or one event a line; run folders are judged again by the checks of their run.

use super::console::{print, talk};
use super::exit::{Code, Failure};
use super::flags::Format;
use super::folder::record;
use super::input::plain;
use crate::check::{self, Judgement, Verdict as Judged, linearizability};
use crate::history::Operation;
use crate::report::visible::on_one_line;
use crate::time::Micros;
use crate::yaml::document::nearest;
use judge::model::{self, MODELS, Model};
use judge::options::{FailedCas, NullRead};
use judge::read::{self, Shaping};
use judge::table::{self, Word};
use judge::value::Shape;
use judge::{Answer, Budget, History, Options, Verdict, picture};
use nix::sys::signal::{SigSet, Signal};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Histories (JSON lines, EDN, or a log of jepsen.util; gzip too), run folders, or `-` for standard input
    #[arg(value_name = "HISTORY", required_unless_present_any = ["table", "list"])]
    inputs: Vec<PathBuf>,
    /// What is promised: a name of `fuzz check --list`
    #[arg(long, short, value_name = "M")]
    model: Option<String>,
    /// List the models
    #[arg(long)]
    list: bool,
    /// Judge every row of a table of histories with known verdicts; its paths are relative to it
    #[arg(long, value_name = "FILE.tsv", conflicts_with_all = ["inputs", "model"])]
    table: Option<PathBuf>,
    /// The value an object begins with, as JSON; the model's own when absent
    #[arg(long, value_name = "JSON")]
    initial: Option<String>,
    /// What a refused compare-and-set tells: nothing, or that the value was another
    #[arg(long, value_name = "TELLS", default_value = "no-effect", value_parser = ["no-effect", "asserts-mismatch"])]
    failed_cas: String,
    /// What a read of null tells: that nothing was there, or nothing
    #[arg(long, value_name = "TELLS", default_value = "asserts-null", value_parser = ["asserts-null", "unknown-read"])]
    null_read: String,
    /// The claimed consistency models of transactions, by Elle's names; strict-serializable when absent
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    consistency_models: Vec<String>,
    /// Report these anomalies and what they imply, and no others
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    anomalies: Vec<String>,
    /// Versions of a key of rw-register are in the order of real time
    #[arg(long)]
    linearizable_keys: bool,
    /// Versions of a key of rw-register are in the order in which each process sees them
    #[arg(long)]
    sequential_keys: bool,
    /// In rw-register, what a transaction writes follows what it read of the key
    #[arg(long)]
    wfr_keys: bool,
    /// What set-full says of an element must hold of every read after it, not of the last ones
    #[arg(long)]
    linearizable: bool,
    /// The sum of all accounts of bank
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    total: Option<i64>,
    /// Accounts of bank may be below zero
    #[arg(long)]
    negative_balances: bool,
    /// How many keys a group of long-fork has
    #[arg(long, value_name = "N")]
    group_size: Option<u32>,
    /// Values are pairs of a key and a value, as Jepsen's independent tests have them
    #[arg(long)]
    independent: bool,
    /// The history has completions alone
    #[arg(long)]
    completions_only: bool,
    /// Give up after so long, with `unknown`
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    time: u64,
    /// Give up where more memory would be needed than this, with `unknown`
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory: u64,
    /// Retell the life of one key, and judge it alone
    #[arg(long, value_name = "KEY")]
    explain: Option<String>,
    /// Draw the verdict: a page of HTML, complete in itself
    #[arg(long, value_name = "FILE.html")]
    picture: Option<PathBuf>,
    /// Print a report, or one JSON object a history
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn main(args: &Args) -> super::Done {
    if args.list {
        let width = MODELS.iter().map(|model| model.name.len()).max().unwrap_or(0);
        let text: String =
            MODELS.iter().map(|model| format!("{:<width$}  {}\n", model.name, model.claim)).collect();
        print(&text);
        return Ok(Code::Passed);
    }
    let interrupted = interruptible();
    if let Some(path) = &args.table {
        return rows(path, args, &interrupted);
    }
    if args.picture.is_some() && args.inputs.len() > 1 {
        return Err(Failure::bad_input("--picture draws one history").hint("name one history"));
    }
    let mut code = Code::Passed;
    for input in &args.inputs {
        let ended = if input.is_dir() { again(input, args)? } else { history(input, args, &interrupted)? };
        code = code.heavier(ended);
        if interrupted.load(Ordering::Relaxed) {
            return Ok(code.heavier(Code::Interrupted));
        }
    }
    Ok(code)
}

/// A switch that Ctrl-C sets: the judge ends with what it knows. A second one ends the process.
fn interruptible() -> Arc<AtomicBool> {
    let switch = Arc::new(AtomicBool::new(false));
    let signals: SigSet = [Signal::SIGINT].into_iter().collect();
    if signals.thread_block().is_ok() {
        let set = Arc::clone(&switch);
        // Without the thread the signal is taken as if it had not been blocked.
        let waits = std::thread::Builder::new().spawn(move || {
            if signals.wait().is_ok() {
                set.store(true, Ordering::Relaxed);
            }
            let _ = signals.thread_unblock();
            std::thread::sleep(Duration::from_secs(u64::MAX));
        });
        if waits.is_err() {
            let _ = signals.thread_unblock();
        }
    }
    switch
}

fn budget(args: &Args, interrupted: &Arc<AtomicBool>) -> Budget {
    #[expect(clippy::disallowed_methods, reason = "the command line is the border")]
    let end = std::time::Instant::now() + Duration::from_secs(args.time.min(1 << 32));
    Budget::new(u64::MAX, args.memory << 20).until(end).cancelled_by(Arc::clone(interrupted))
}

fn bytes(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let name = on_one_line(&path.display().to_string()).into_owned();
    let fail = |error: std::io::Error| Failure::bad_input(format!("{name}: {}", plain(&error)));
    if name == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(fail)?;
        return Ok(("<stdin>".into(), bytes));
    }
    let bytes = fs::read(path).map_err(fail)?;
    Ok((name, bytes))
}

fn options(args: &Args) -> Result<Options, Failure> {
    let named = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
    Ok(Options {
        // What is no JSON is the text itself: `--initial x` means "x".
        initial: args
            .initial
            .as_ref()
            .map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())),
        failed_cas: if args.failed_cas == "no-effect" {
            FailedCas::NoEffect
        } else {
            FailedCas::AssertsMismatch
        },
        null_read: if args.null_read == "asserts-null" {
            NullRead::AssertsNull
        } else {
            NullRead::UnknownRead
        },
        consistency_models: named(&args.consistency_models),
        anomalies: named(&args.anomalies),
        linearizable_keys: args.linearizable_keys,
        sequential_keys: args.sequential_keys,
        wfr_keys: args.wfr_keys,
        linearizable: args.linearizable,
        total: args.total,
        negative_balances: args.negative_balances,
        group_size: args.group_size,
        ..Options::default()
    })
}

fn model(args: &Args) -> Result<&'static Model, Failure> {
    let Some(name) = &args.model else {
        return Err(Failure::bad_input("a history is judged by a model: --model M")
            .hint("`fuzz check --list` lists them; a run folder needs none"));
    };
    model::named(name).ok_or_else(|| {
        let near = nearest(name, MODELS.iter().map(|model| model.name));
        let hint = near.map_or_else(
            || "`fuzz check --list` lists them".into(),
            |near| format!("did you mean {near}? `fuzz check --list` lists them"),
        );
        Failure::bad_input(format!("no model is named {name:?}")).hint(hint)
    })
}

/// Judges one history.
fn history(path: &Path, args: &Args, interrupted: &Arc<AtomicBool>) -> super::Done {
    let budget = budget(args, interrupted);
    let (name, bytes) = bytes(path)?;
    if bytes.starts_with(OURS) {
        return ours(&name, &bytes, args);
    }
    let (model, options) = (model(args)?, options(args)?);
    let shaping = Shaping { independent: args.independent, completions_only: args.completions_only };
    let (mut history, form) = read::history(&bytes, shaping)
        .map_err(|error| Failure::bad_input(format!("{name}: {error}")).hint(hint_for(&error)))?;
    drop(bytes);
    let mut life = String::new();
    if let Some(key) = &args.explain {
        history.ops.retain(|op| touches(&history.arena, op, key));
        if history.ops.is_empty() {
            return Err(Failure::bad_input(format!("{name}: no operation is on key {key:?}")));
        }
        life = tell_life(&history, key);
    }
    // Reading may have taken all the time there was.
    let verdict = match budget.look() {
        Err(spent) => Ok(Verdict::spent("nothing", spent)),
        Ok(()) => (model.judge)(&history, &options, &budget),
    };
    let verdict =
        verdict.map_err(|unfit| Failure::bad_input(format!("{name}: as {}: {unfit}", model.name)))?;
    if let Some(file) = &args.picture {
        let page = picture::page(&history, &verdict, &name, model.name);
        super::folder::write_where_told(file, page.as_bytes())
            .map_err(|error| Failure::bad_input(format!("{}: {}", file.display(), plain(&error))))?;
    }
    if args.format == Format::Json {
        print(&json(&name, model, form, &history, &verdict));
    } else {
        print(&life);
        print(&text(&name, model, form, &history, &verdict));
    }
    Ok(match verdict.answer {
        Answer::Ok => Code::Passed,
        Answer::Bad => Code::Finding,
        Answer::Unknown if interrupted.load(Ordering::Relaxed) => Code::Interrupted,
        Answer::Unknown => Code::Unknown,
    })
}

/// How a line of a run's `history.jsonl` begins.
const OURS: &[u8] = b"{\"client\":";

/// Judges the `history.jsonl` of a run by itself: is each key linearizable? What its system promises is for the checks of the
/// run to know, which its folder is judged by.
fn ours(name: &str, bytes: &[u8], args: &Args) -> super::Done {
    if args.model.is_some() {
        let message = format!("{name}: a history of this tool is judged key by key for linearizability");
        return Err(
            Failure::bad_input(message).hint("leave --model out; the run folder is judged by its own checks")
        );
    }
    let mut history: Vec<Operation> = Vec::new();
    for (place, line) in bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let one = serde_json::from_slice(line)
            .map_err(|error| Failure::bad_input(format!("{name}: line {}: {error}", place + 1)))?;
        history.push(one);
    }
    if let Some(key) = &args.explain {
        history.retain(|one| one.key.to_string() == *key);
        if history.is_empty() {
            return Err(Failure::bad_input(format!("{name}: no operation is on key {key:?}")));
        }
        print(&format!("The life of {key}: {} operations\n", history.len()));
        for one in &history {
            let (from, to) = (one.invoke.order, one.complete.order);
            print(&format!("  {from:>8} to {to:<8} {}\n", linearizability::tell(one, Micros(0))));
        }
    }
    let judgement = linearizability::judge_history(&history);
    let verdict = judgement.verdict;
    if args.format == Format::Json {
        let object = serde_json::json!({"version": VERSION, "history": name, "verdict": verdict, "judgements": [judgement]});
        print(&format!("{object}\n"));
    } else {
        print(&judged(name, verdict, &[judgement]));
    }
    Ok(code_of(verdict))
}

fn hint_for(error: &read::ReadError) -> &'static str {
    if error.refuses() {
        "a process has one open operation at most, and takes a new name after an `info`"
    } else {
        "one event a line: {\"process\":0,\"type\":\"invoke\",\"f\":\"read\",\"value\":null}"
    }
}

/// Whether an operation is on this key, by its key or by one of its micro-operations.
fn touches(arena: &judge::Arena, op: &judge::Op, key: &str) -> bool {
    let is = |value: judge::Value| match value.shape() {
        Shape::Text(text) => arena.str(text) == key || arena.show(value) == key,
        _ => arena.show(value) == key,
    };
    if !op.key.is_nil() {
        return is(op.key);
    }
    let micro = |value| arena.items_of(value).unwrap_or_default();
    let of = |value| micro(value).iter().any(|one| micro(*one).get(1).is_some_and(|key| is(*key)));
    of(op.input) || of(op.output)
}

/// Every operation on a key, as they were called, each with its interval.
fn tell_life(history: &History, key: &str) -> String {
    let mut text = format!("The life of {key}: {} operations\n", history.ops.len());
    for (place, op) in history.ops.iter().enumerate() {
        let ret = if op.ret == judge::history::NEVER { "never".into() } else { op.ret.to_string() };
        let _ = writeln!(text, "  {:>8} to {ret:<8} {}", op.call, history.tell(place));
    }
    text.push('\n');
    text
}

const SHOWN_MAX: usize = 10;

fn text(name: &str, model: &Model, form: read::Form, history: &History, verdict: &Verdict) -> String {
    let answer = verdict.answer.word().to_uppercase();
    let mut text = format!("{answer}: {name} as {}: {}\n", model.name, verdict.reason);
    let operations = history.ops.len();
    let _ = writeln!(text, "- Read: {operations} operations, from {}", form.name());
    let _ = writeln!(text, "- Looked at: {}", verdict.looked_at);
    let _ = writeln!(text, "- Found out by: {}", verdict.algorithm);
    if !verdict.not.is_empty() {
        let _ = writeln!(text, "- Rules out: {}", verdict.not.join(", "));
    }
    for note in &verdict.notes {
        let _ = writeln!(text, "- Note: {note}");
    }
    for anomaly in verdict.anomalies.iter().take(SHOWN_MAX) {
        let key = anomaly.key.as_ref().map_or_else(String::new, |key| format!(" on {key}"));
        let _ = writeln!(text, "\n{}{key}:", anomaly.name);
        for line in &anomaly.story {
            let _ = writeln!(text, "  {line}");
        }
    }
    if verdict.anomalies.len() > SHOWN_MAX {
        let mut more: BTreeMap<&str, usize> = BTreeMap::new();
        for anomaly in &verdict.anomalies[SHOWN_MAX..] {
            *more.entry(&anomaly.name).or_default() += 1;
        }
        let more: Vec<String> = more.into_iter().map(|(name, count)| format!("{count} {name}")).collect();
        let _ = writeln!(text, "\nand more: {}", more.join(", "));
    }
    text
}

/// The version of the JSON form.
const VERSION: u32 = 1;

fn json(name: &str, model: &Model, form: read::Form, history: &History, verdict: &Verdict) -> String {
    let anomalies: Vec<serde_json::Value> = verdict
        .anomalies
        .iter()
        .map(|anomaly| {
            let operations: Vec<serde_json::Value> = anomaly
                .ops
                .iter()
                .filter_map(|place| history.ops.get(*place).map(|op| (*place, op)))
                .map(|(place, op)| serde_json::json!({"index": op.index, "told": history.tell(place)}))
                .collect();
            serde_json::json!({
                "name": anomaly.name, "key": anomaly.key, "story": anomaly.story, "operations": operations,
            })
        })
        .collect();
    let object = serde_json::json!({
        "version": VERSION,
        "history": name,
        "form": form.name(),
        "model": model.name,
        "operations": history.ops.len(),
        "verdict": verdict.answer.word(),
        "reason": verdict.reason,
        "algorithm": verdict.algorithm,
        "looked_at": verdict.looked_at,
        "anomalies": anomalies,
        "not": verdict.not,
        "notes": verdict.notes,
    });
    format!("{object}\n")
}

/// Judges an old run again, by the checks of its timeline.
fn again(folder: &Path, args: &Args) -> super::Done {
    let name = on_one_line(&folder.display().to_string()).into_owned();
    if args.model.is_some() {
        return Err(Failure::bad_input(format!(
            "{name}: a run is judged by its own checks, not by a --model"
        )));
    }
    let record = record(folder)?;
    let judgements = check::judge_all(&record);
    let verdict = check::merge(&judgements);
    if args.format == Format::Json {
        let object = serde_json::json!({
            "version": VERSION, "run": name, "verdict": verdict, "judgements": judgements,
        });
        print(&format!("{object}\n"));
    } else {
        print(&judged(&name, verdict, &judgements));
    }
    Ok(code_of(verdict))
}

const fn code_of(verdict: Judged) -> Code {
    match verdict {
        Judged::Fail => Code::Finding,
        Judged::Unknown => Code::Unknown,
        Judged::Pass | Judged::NotOwed | Judged::Voided => Code::Passed,
    }
}

fn judged(name: &str, verdict: Judged, judgements: &[Judgement]) -> String {
    let mut text = format!("{}: {name}\n", verdict.as_str().to_uppercase());
    for one in judgements {
        let _ = writeln!(text, "- {}: {}: {}", one.check, one.verdict, one.reason);
        for line in &one.evidence {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// Judges every row of a table.
fn rows(path: &Path, args: &Args, interrupted: &Arc<AtomicBool>) -> super::Done {
    let (name, text) = bytes(path)?;
    let text = String::from_utf8(text).map_err(|_| Failure::bad_input(format!("{name} is not UTF-8")))?;
    let rows = table::rows(&text).map_err(|error| {
        Failure::bad_input(format!("{name}: {error}"))
            .hint("columns: file, model, verdict; initial, failed_cas, null_read where they matter")
    })?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for row in &rows {
        if !files.contains_key(row.file.as_str()) {
            let read = fs::read(folder.join(&row.file)).map_err(|error| {
                let why = plain(&error);
                Failure::bad_input(format!("{name}: line {}: {}: {why}", row.line, row.file))
                    .hint("paths are relative to the table")
            })?;
            files.insert(&row.file, read);
        }
    }
    let (mut agree, mut disagree, mut unknown) = (0usize, 0usize, 0usize);
    for row in &rows {
        let (said, why) =
            table::judge(row, &files[row.file.as_str()], &budget(args, interrupted)).map_err(|error| {
                Failure::bad_input(format!("{name}: line {}: {}: {error}", row.line, row.file))
            })?;
        if interrupted.load(Ordering::Relaxed) {
            return Ok(if disagree > 0 { Code::Finding } else { Code::Interrupted });
        }
        if said == row.expected {
            agree += 1;
            continue;
        }
        let undecided = said == Word::Unknown;
        *if undecided { &mut unknown } else { &mut disagree } += 1;
        let (line, row_name, expected) = (row.line, row.name(), row.expected.name());
        print(&format!(
            "line {line}: {row_name} as {}: {}, the table says {expected}: {why}\n",
            row.model,
            said.name()
        ));
    }
    print(&format!("{} rows: {agree} agree, {disagree} disagree, {unknown} undecided\n", rows.len()));
    if unknown > 0 {
        talk("hint: --time and --memory set what a row may cost\n");
    }
    Ok(if disagree > 0 {
        Code::Finding
    } else if unknown > 0 {
        Code::Unknown
    } else {
        Code::Passed
    })
}
