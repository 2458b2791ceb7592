//! `fuzz`: see `seedfault::cli`.

fn main() -> std::process::ExitCode {
    seedfault::cli::main()
}
