//! Exit codes, which are an interface, and failures that end with one of them.

use std::fmt::Write as _;
use std::process::ExitCode;

/// What `--help` says of them.
pub const HELP: &str = "\
Exit codes:
  0    passed
  1    a finding: a check failed
  2    bad input
  3    the environment cannot do it (the message says how to mend that)
  4    unknown: it could not be decided
  5    the run itself broke
  130  interrupted with no finding so far";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Passed,
    Finding,
    BadInput,
    Environment,
    Unknown,
    Broken,
    Interrupted,
}

impl Code {
    pub const fn number(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Finding => 1,
            Self::BadInput => 2,
            Self::Environment => 3,
            Self::Unknown => 4,
            Self::Broken => 5,
            Self::Interrupted => 130,
        }
    }

    /// The code a run ended with; what is no code of ours is a broken run.
    pub const fn of(number: i32) -> Self {
        match number {
            0 => Self::Passed,
            1 => Self::Finding,
            2 => Self::BadInput,
            3 => Self::Environment,
            4 => Self::Unknown,
            130 => Self::Interrupted,
            _ => Self::Broken,
        }
    }

    /// How much a code weighs when several runs end with one: a finding first, then what kept us from deciding.
    const fn weight(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Unknown => 1,
            Self::Environment => 2,
            Self::BadInput => 3,
            Self::Broken => 4,
            Self::Interrupted => 5,
            Self::Finding => 6,
        }
    }

    #[must_use]
    pub const fn heavier(self, other: Self) -> Self {
        if other.weight() > self.weight() { other } else { self }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

/// Why a command ends without having done what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self::new(Code::BadInput, message)
    }
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    /// A message may be empty when all was said already.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.message.is_empty() {
            writeln!(text, "error: {}", self.message).expect("a string takes all");
        }
        if let Some(hint) = &self.hint {
            writeln!(text, "hint: {hint}").expect("a string takes all");
        }
        text
    }
    /// Says it on standard error.
    pub fn report(&self) -> ExitCode {
        super::console::talk(&self.text());
        self.code.into()
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn of_several_runs_a_finding_weighs_most() {
        for code in [0, 1, 2, 3, 4, 5, 130] {
            assert_eq!(i32::from(Code::of(code).number()), code);
            assert_eq!(Code::of(code).heavier(Code::Finding), Code::Finding);
            assert_eq!(Code::Passed.heavier(Code::of(code)), Code::of(code));
        }
        assert_eq!(Code::of(101), Code::Broken);
    }
}
