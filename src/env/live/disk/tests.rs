//! Heals and what is seen of them, on this process's own files: filters need neither namespace nor privilege.

use super::*;
use crate::entropy::Seed;
use crate::fault::disk::{DiskErrno, FileCall};
use crate::fault::slow_disk::RATE_MAX;
use crate::time::Millis;

const NODE: NodeId = NodeId(3);
const EVENT: &str = "e";

struct Bench {
    disks: Disks,
    run: PathBuf,
}

impl Bench {
    fn new(name: &str, calls: Calls) -> Self {
        let run = std::env::temp_dir().join(format!("seedfault-disk-{name}-{}", std::process::id()));
        let folder = run.join("node");
        fs::create_dir_all(&folder).expect("writable");
        let disks = Disks::start(calls, Entropy::root(Seed(1)), run.join(DISKS)).expect("the kernel can");
        disks.shared.lock().disks.entry(NODE).or_default().folder = folder;
        Self { disks, run }
    }

    fn put(&mut self, rule: &DiskRule) {
        let put = self.disks.change(NODE, EVENT, Some(rule), false, None);
        assert!(put.expect("watched").is_some());
    }

    /// What the end of a fault comes to.
    fn heal(&mut self) -> Result<String, EnvError> {
        let first = self.disks.change(NODE, EVENT, None, false, None)?;
        first.map_or_else(|| self.wait(), Ok)
    }

    fn wait(&mut self) -> Result<String, EnvError> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(said) = self.disks.change(NODE, EVENT, None, false, Some(waited))? {
                return Ok(said);
            }
            std::thread::sleep(Duration::from_millis(2));
            waited += Duration::from_millis(2);
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.disks.close();
        let _ = fs::remove_dir_all(&self.run);
    }
}

fn every_rule() -> Vec<DiskRule> {
    let fail = |call, error| DiskRule::Fail { call, error, nth: 1, count: 0 };
    vec![
        fail(FileCall::Write, DiskErrno::Io),
        fail(FileCall::Sync, DiskErrno::NoSpace),
        fail(FileCall::Rename, DiskErrno::Io),
        DiskRule::Full { room: 3 },
        DiskRule::Slow { delay: Millis(20), read: Millis(0), rate: 0 },
        DiskRule::Slow { delay: Millis(0), read: Millis(20), rate: 0 },
        DiskRule::Slow { delay: Millis(0), read: Millis(0), rate: 20 },
        DiskRule::Slow { delay: Millis(0), read: Millis(0), rate: RATE_MAX },
        DiskRule::Strike { call: FileCall::Sync, nth: 1, how: Blow::Kill },
        DiskRule::Strike { call: FileCall::Write, nth: 2, how: Blow::Torn },
    ]
}

#[test]
fn a_heal_is_tried_and_one_that_was_left_out_is_seen() {
    for (at, rule) in every_rule().into_iter().enumerate() {
        let mut bench = Bench::new(&format!("heal-{at}"), Calls { read: true, ..Calls::ALL });
        bench.put(&rule);
        // As the heal does, but the rule stays.
        bench.disks.try_disk(NODE, &rule, String::new()).expect("a process can try it");
        let left_out = bench.wait();
        assert!(left_out.is_err(), "{rule:?}: {left_out:?}");
        let healed = bench.heal().expect("it was taken off");
        assert!(healed.ends_with("a write, a sync and a rename pass again"), "{rule:?}: {healed}");
    }
}

#[test]
fn a_disk_that_is_not_well_for_another_reason_is_seen() {
    let mut bench = Bench::new("gone", FileCall::Sync.into());
    bench.put(&DiskRule::Fail { call: FileCall::Sync, error: DiskErrno::Io, nth: 1, count: 0 });
    fs::remove_dir_all(bench.run.join("node")).expect("ours");
    let error = bench.heal().expect_err("there is nowhere to write");
    assert!(error.to_string().contains("No such file or directory"), "{error}");
}

#[test]
fn the_last_of_several_faults_to_end_is_the_one_that_is_tried() {
    let mut bench = Bench::new("several", Calls::ALL);
    let fail = DiskRule::Fail { call: FileCall::Any, error: DiskErrno::Io, nth: 1, count: 0 };
    bench.put(&fail);
    let other = bench.disks.change(NODE, "other", Some(&fail), false, None);
    assert!(other.is_ok());
    assert_eq!(bench.heal(), Ok("0 calls were struck; other rules are on it still".into()));
    assert_eq!(bench.heal(), Ok("no rule is on it".into()));
}

#[test]
fn a_rule_about_calls_that_are_not_watched_is_refused() {
    let mut bench = Bench::new("unwatched", FileCall::Sync.into());
    let refused = bench.disks.change(NODE, EVENT, Some(&DiskRule::Full { room: 0 }), false, None);
    assert!(refused.is_err_and(|error| error.to_string().contains("not watched")));
    let power = DiskRule::Strike { call: FileCall::Sync, nth: 1, how: Blow::Power };
    assert!(bench.disks.change(NODE, EVENT, Some(&power), false, None).is_err());
}
