//! The command line: one file per subcommand, and what they share.
//!
//! Standard output is data (the report, the timeline, the event stream), standard error is talk. The parent
//! process decides what is to be run, a child carries it out (`supervise`), and the parent reports what the
//! child told. Exit codes are an interface: see [`exit::Code`].

mod bench;
mod bisect;
mod campaign;
mod canary;
mod check;
mod child;
mod choose;
mod clock;
mod console;
mod corpus;
mod determinism;
mod diff;
mod doctor;
pub mod exit;
mod explain;
mod fidelity;
mod flags;
mod folder;
mod generate;
mod input;
mod job;
mod list;
mod load;
mod meant;
mod older;
mod oracle;
mod real_time;
mod replay;
mod report;
mod results;
mod run;
mod schema;
mod seed;
mod serve;
mod set_up;
mod shrink;
mod standing;
mod supervise;
mod tags;
mod validate;
mod virtual_time;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use exit::{Code, Failure};
use std::process::ExitCode;

/// A deterministic, seed-driven fuzzer for clustered systems.
///
/// Without a subcommand it draws a timeline from the seed, runs it on a real cluster when a server is found
/// (else on the embedded one), judges what happened, and saves what broke so that it can be replayed.
#[derive(Debug, Parser)]
#[command(name = "fuzz", version, args_conflicts_with_subcommands = true, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    seed: seed::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the timeline that a seed means
    Generate(generate::Args),
    /// Run a scenario file, every scenario of a folder, or `-` for standard input
    Run(run::Args),
    /// Say whether scenario files are good, and what is wrong with them
    Validate(validate::Args),
    /// Run a saved repro again and compare
    Replay(replay::Args),
    /// Find the fewest events that still fail in the same way
    Shrink(shrink::Args),
    /// Run for hours: tell findings apart, shrink, replay and save them
    Campaign(campaign::Args),
    /// Run the same timelines on several servers, and say where their outcomes differ
    Diff(diff::Args),
    /// Find the first of several servers on which a repro fails
    Bisect(bisect::Args),
    /// Put load on a cluster to which nothing happens: rates, errors, latencies, and the highest rate that is sustained
    Load(load::Args),
    /// Ask what campaigns found and measured
    Results(results::Args),
    /// Keep a folder of timelines small
    Corpus(corpus::Args),
    /// Retell a finished or killed run from its folder
    Explain(explain::Args),
    /// Make the page of a run from its folder, or the same as text for an issue tracker
    Report(report::Args),
    /// Judge a history of clients by a model, or an old run by its checks
    Check(check::Args),
    /// Print the catalogue, or the scenarios of a folder, one line each
    List(list::Args),
    /// Say what this machine can do, what is missing, and how to mend it
    Doctor(doctor::Args),
    /// Print the JSON schema of the scenario language, for editors
    Schema,
    /// Measure what this machine does in a second
    Bench(bench::Args),
    /// Carry out the run on standard input; the tool starts itself so
    #[command(name = "__run", hide = true)]
    Child,
}

/// What a subcommand ends with.
type Done = Result<Code, Failure>;

/// Parses the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(failure) = older::equivalent(arguments.get(1..).unwrap_or_default()) {
        return failure.report();
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            if error.use_stderr() {
                // It quotes the command line, in which a shell's `*` may have put any name.
                console::talk(&error.render().to_string());
                let meant = || meant::command(arguments.get(1..).unwrap_or_default());
                if error.kind() == ErrorKind::InvalidSubcommand
                    && let Some(hint) = meant()
                {
                    console::talk(&format!("\nhint: {hint}\n"));
                }
                return Code::BadInput.into();
            }
            // A closed standard output is no reason to fail.
            let _ = error.print();
            return Code::Passed.into();
        }
    };
    let done = match cli.command {
        None => seed::main(&cli.seed),
        Some(Command::Generate(args)) => generate::main(&args),
        Some(Command::Run(args)) => run::main(&args),
        Some(Command::Validate(args)) => validate::main(&args),
        Some(Command::Replay(args)) => replay::main(&args),
        Some(Command::Shrink(args)) => shrink::main(&args),
        Some(Command::Campaign(args)) => campaign::main(&args),
        Some(Command::Diff(args)) => diff::main(&args),
        Some(Command::Bisect(args)) => bisect::main(&args),
        Some(Command::Load(args)) => load::main(&args),
        Some(Command::Results(args)) => results::main(&args),
        Some(Command::Corpus(args)) => corpus::main(&args),
        Some(Command::Explain(args)) => explain::main(&args),
        Some(Command::Report(args)) => report::main(&args),
        Some(Command::Check(args)) => check::main(&args),
        Some(Command::List(args)) => list::main(&args),
        Some(Command::Doctor(args)) => doctor::main(&args),
        Some(Command::Schema) => schema::main(),
        Some(Command::Bench(args)) => bench::main(&args),
        Some(Command::Child) => child::main(),
    };
    done.map_or_else(|failure| failure.report(), ExitCode::from)
}
