use super::*;
use std::process::{Child, Stdio};

/// Starts a program with a clock of its own.
fn start(wall: &mut Wall, program: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped());
    wall.ask(&mut command);
    let child = command.spawn().expect("it is there");
    wall.take(child.id() as i32);
    child
}

/// What `date` says after this change, in seconds more than true.
fn date_after(change: impl FnOnce(&mut Wall)) -> f64 {
    let mut wall = Wall::new().expect("memory");
    change(&mut wall);
    let before = true_time().expect("a clock");
    let child = start(&mut wall, "/bin/date", &["+%s%N"]);
    assert_eq!(wall.out_of_reach, None);
    let said = child.wait_with_output().expect("it ends").stdout;
    let said: i64 = String::from_utf8_lossy(&said).trim().parse().expect("a number");
    (said - before) as f64 / 1e9
}

#[test]
fn a_program_reads_the_clock_of_its_node() {
    assert!((0.0..2.0).contains(&date_after(|_| {})));
    let set = |ahead, behind| move |wall: &mut Wall| drop(wall.change((Millis(ahead), Millis(behind)), 100));
    assert!((3600.0..3602.0).contains(&date_after(set(3_600_000, 0))));
    assert!((-7200.0..-7198.0).contains(&date_after(set(0, 7_200_000))));
}

#[test]
fn a_child_that_was_forked_has_the_clock_and_one_that_was_executed_is_missed() {
    let mut wall = Wall::new().expect("memory");
    // The subshell is a fork that executes nothing until it is told.
    let mut shell = start(&mut wall, "/bin/sh", &["-c", "(read line; exec sleep 10) & read other"]);
    let pid = shell.id() as i32;
    assert_eq!(wall.missed_by([pid]), None);
    let mut sleeper = start(&mut wall, "/bin/sh", &["-c", "exec sleep 100"]);
    let other = sleeper.id() as i32;
    let missed = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        wall.missed_by([pid, other]).is_some_and(|why| why.contains(&other.to_string()))
    });
    assert!(missed);
    for child in [&mut shell, &mut sleeper] {
        child.kill().and_then(|()| child.wait()).expect("ours");
    }
}
