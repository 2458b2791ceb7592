//! A turn that does not end: how it is told from one that is only slow, and where it stands.

use nix::libc;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Processor time that one turn may take. What servers do in one turn takes milliseconds; loading the largest data
/// set that a scenario makes, a second.
pub const TURN_MAX: Duration = Duration::from_secs(20);
/// A process that neither runs nor gives its turn back for so long waits for something that will not come.
pub const STUCK_MAX: Duration = Duration::from_secs(60);
/// How long a debugger may take for the stack.
const STACK_MAX: &str = "30";
/// Frames that are told in the finding itself.
const FRAMES: usize = 6;

/// The processor time that a process has taken.
pub fn processor_time(pid: i32) -> Duration {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "both calls take numbers and the address of a local")]
    unsafe {
        if libc::clock_getcpuclockid(pid, &raw mut clock) != 0
            || libc::clock_gettime(clock, &raw mut time) != 0
        {
            return Duration::ZERO;
        }
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Whether it waits: one that could run and is not let is only on a busy machine.
pub fn waits(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('R'))
}

/// Where a process stands: the stacks of its threads where there is a debugger, else what the kernel knows.
pub fn stack(pid: i32) -> String {
    // The main thread first: it has the turn, and evidence is cut at its end.
    const ALL: &str = "thread apply all -ascending bt 30";
    let debugged = Command::new("timeout")
        .args([STACK_MAX, "gdb", "--batch", "--nx", "-p", &pid.to_string(), "-ex", ALL])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    if let Ok(output) = debugged {
        let text = String::from_utf8_lossy(&output.stdout);
        let frames: Vec<&str> =
            text.lines().filter(|line| line.starts_with('#') || line.starts_with("Thread ")).collect();
        if frames.iter().any(|line| line.starts_with('#')) {
            return frames.join("\n");
        }
    }
    let mut text = String::new();
    for file in ["wchan", "syscall", "maps"] {
        let content = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let executable = |line: &&str| file != "maps" || line.contains(" r-xp ");
        let lines: Vec<&str> = content.lines().filter(executable).collect();
        let _ = writeln!(text, "{file}: {}", lines.join("\n"));
    }
    text
}

/// The innermost functions of a stack, for one line.
pub fn innermost(stack: &str) -> String {
    let main = stack.rsplit("Thread 1 ").next().unwrap_or(stack);
    let main = main.split("\nThread ").next().unwrap_or(main);
    let name = |line: &str| {
        let line = line.trim_start_matches('#').trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let line = line.split_once(" in ").map_or(line, |(_, rest)| rest);
        line.split(" (").next().unwrap_or(line).trim().to_string()
    };
    let frames: Vec<String> =
        main.lines().filter(|line| line.starts_with('#')).take(FRAMES).map(name).collect();
    frames.join(" < ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_told_by_its_innermost_functions_of_the_main_thread() {
        let other = "Thread 2 (LWP 5):\n#0  0x1 in futex_wait () from libc";
        let main = "Thread 1 (LWP 4):\n#0  spin (x=1) at a.c:3\n#1  0x00007f in main () at a.c:9";
        for stack in [format!("{other}\n{main}"), format!("{main}\n{other}")] {
            assert_eq!(innermost(&stack), "spin < main");
        }
        assert_eq!(innermost("wchan: 0"), "");
    }

    #[test]
    fn processor_time_is_that_of_work_and_not_of_waiting() {
        let before = processor_time(std::process::id() as i32);
        let mut work = 1u64;
        for n in 0..20_000_000u64 {
            work = std::hint::black_box(work.wrapping_mul(n | 1));
        }
        assert!(processor_time(std::process::id() as i32) > before);
        assert!(!waits(nix::unistd::gettid().as_raw()), "who asks runs");
    }
}
