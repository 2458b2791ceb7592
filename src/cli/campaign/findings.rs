//! What a campaign found: whether it is new, how small it gets, how often it comes back, and what is left for people.

use super::store::{Finding, Small};
use super::{Setting, cannot_write};
use crate::campaign::{Entry, Feature, Origin, Proposal, feature, name};
use crate::check::{claim_of, way::Way};
use crate::cli::exit::Failure;
use crate::cli::flags::shell;
use crate::cli::folder::{self, write_whole};
use crate::cli::job::{self, Done};
use crate::cli::{seed, shrink};
use crate::env::in_real_time;
use crate::report::names::counted;
use crate::report::story::Story;
use crate::report::text::{Detail, report};
use crate::repro::Repro;
use crate::run::record::Record;
use crate::timeline::Timeline;
use crate::yaml::document::Problems;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A failure as one run met it.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub way: Way,
    /// Of the cluster at the end.
    pub state: String,
    pub reason: String,
}

impl Met {
    pub(super) fn of(done: &Done, record: Option<&Record>) -> Option<Self> {
        let failed = done.story.failed().next()?;
        Some(Self {
            way: Way::of(failed)?,
            state: record.map_or_else(|| "not recorded".into(), feature::end_state),
            reason: failed.reason.clone(),
        })
    }

    /// The same check saw something of the same kind, and the cluster ended alike.
    pub(super) fn is(&self, finding: &Finding) -> bool {
        self.way.check == finding.check
            && !self.way.kinds.is_disjoint(&finding.kinds)
            && self.state == finding.state
    }
}

/// The timeline that a repro holds.
pub(super) fn timeline(path: &Path) -> Option<Timeline> {
    Some(read(path)?.timeline)
}

fn read(path: &Path) -> Option<Repro> {
    crate::repro::read(&fs::read(path).ok()?, &mut Problems::default()).ok()
}

/// The whole timeline as a repro in the campaign's folder: it is there whatever comes.
pub(super) fn save_as_it_is(
    setting: &Setting<'_>,
    met: &Met,
    proposal: &Proposal,
    done: Option<&Done>,
) -> Result<PathBuf, Failure> {
    let path = setting.folder.join(format!("{}-{}.yaml", met.way.check, name(&proposal.timeline)));
    if let Some(done) = done {
        let repro = job::repro(&proposal.timeline, None, &done.story, &done.finished);
        write_whole(&path, repro.to_yaml().as_bytes()).map_err(|error| cannot_write(&path, &error))?;
    }
    Ok(path)
}

/// Looks for the smallest timeline and counts how often it fails; without shrinking, of the whole one.
pub(super) fn shrink(
    setting: &Setting<'_>,
    known: &Finding,
    proposal: &Proposal,
    folder: &Path,
) -> Result<(Small, Repro), Failure> {
    let way = Way { check: known.check.clone(), kinds: known.kinds.clone() };
    let drawn = (proposal.origin == Origin::Seed && setting.args.spec.is_none())
        .then(|| seed::pins(&setting.args.shape))
        .flatten();
    let wish = shrink::Wish {
        place: setting.place,
        way,
        folder: folder.join("shrink"),
        // The others go on meanwhile.
        jobs: Some(1),
        budget: Some(shrink::OWN_BUDGET),
        times: 10,
        drawn,
        to: setting.folder.join(format!("{}-{}.min.yaml", known.check, name(&proposal.timeline))),
        told: false,
    };
    let repro = if setting.args.no_shrink {
        shrink::counted_only(&wish, &proposal.timeline)?
    } else {
        shrink::shrink(&wish, &proposal.timeline, &mut shrink::silent())?
    };
    let cut = repro.facts.shrunk.as_ref();
    let mut actions: Vec<&str> = repro.timeline.events.iter().map(|event| event.action.name()).collect();
    actions.sort_unstable();
    let again = cut.and_then(|cut| cut.again);
    let small = Small {
        shape: actions.join(", "),
        events: actions.len() as u64,
        nodes: repro.timeline.cluster.nodes().into(),
        failed: again.map_or(0, |rate| rate.failed.into()),
        replays: again.map_or(0, |rate| rate.runs.into()),
        minimal: cut.is_some_and(|cut| cut.minimal),
        token: cut.and_then(|cut| cut.token.clone()),
    };
    Ok((small, repro))
}

/// Saves the repro and its page where people look for them.
pub(super) fn publish(
    setting: &Setting<'_>,
    known: &Finding,
    small: &Small,
    repro: &Repro,
    folder: &Path,
) -> Result<PathBuf, Failure> {
    let place = &setting.args.repro;
    fs::create_dir_all(place).map_err(|error| cannot_write(place, &error))?;
    let stem = format!("{}-{}-{}", known.check, repro.timeline.target, name(&repro.timeline));
    let path = place.join(format!("{stem}.yaml"));
    write_whole(&path, repro.to_yaml().as_bytes()).map_err(|error| cannot_write(&path, &error))?;
    let beside = place.join(format!("{stem}.md"));
    let text = page(setting, known, small, repro, &path, folder);
    write_whole(&beside, text.as_bytes()).map_err(|error| cannot_write(&beside, &error))?;
    Ok(path)
}

/// One page for somebody who has never seen this tool.
fn page(
    setting: &Setting<'_>,
    known: &Finding,
    small: &Small,
    repro: &Repro,
    path: &Path,
    folder: &Path,
) -> String {
    let mut out = format!("# {}: {}\n\n", known.check, known.reason);
    let place = setting.place.spelled();
    if let Some((claim, source)) = claim_of(&known.check, &repro.timeline.target) {
        writeln!(out, "It must hold that {claim} ({source}).\n").expect("a string takes all");
    }
    let system = setting.place.server.as_ref().map_or_else(
        || format!("the embedded target, bugs {:?}", repro.timeline.bugs),
        |server| server.version.clone(),
    );
    let grade = if in_real_time(setting.place.profile.name) {
        "in real time: the same timeline, which may go another way"
    } else {
        "in virtual time: every run of it is the same, step by step"
    };
    writeln!(out, "- System: {system}").expect("a string takes all");
    writeln!(out, "- Environment: {}, {grade}", setting.place.profile.name).expect("a string takes all");
    writeln!(out, "- Fails in {}", often(small)).expect("a string takes all");
    writeln!(
        out,
        "- {} on {} nodes{}",
        counted(small.events, "event"),
        small.nodes,
        if small.minimal { "; without any of these it passes" } else { "; it may not be the smallest" }
    )
    .expect("a string takes all");
    let command = format!("fuzz replay {}{place}", shell(&path.to_string_lossy()));
    writeln!(out, "- See it again: `{command}`").expect("a string takes all");
    if let Some(token) = &small.token {
        writeln!(out, "- The same events of the seed: `fuzz replay {token}{place}`")
            .expect("a string takes all");
    }
    out += "\n## What happens\n\n```text\n";
    for event in &repro.timeline.events {
        out += &format!("{}\n", event.to_flow());
    }
    if repro.timeline.events.is_empty() {
        out += "the load alone\n";
    }
    out += "```\n\n## What was seen\n\n";
    let recorded =
        folder::read(&folder.join("shrink/smallest")).map(|recording| Story::of(&recording.events));
    let story = recorded.unwrap_or_default();
    for judged in story.failed() {
        writeln!(out, "- {}: {}", judged.check, judged.reason).expect("a string takes all");
        for line in &judged.evidence {
            writeln!(out, "  - {line}").expect("a string takes all");
        }
    }
    if story.failed().next().is_none() {
        writeln!(out, "- {}: {}", known.check, known.reason).expect("a string takes all");
        out += "\nThe last run of it did not fail, so that there is none to tell of.\n";
        return out;
    }
    out += "\n## The run\n\n```text\n";
    out += &report(&story, &claim_of, Detail::Lines).replace("```", "'''");
    out += "\n```\n";
    out
}

/// In virtual time a finding is replayed twice, in real time ten times.
pub(super) fn often(small: &Small) -> String {
    match (small.failed as u32, small.replays as u32) {
        (_, 0) => "a share of its runs that was not measured".into(),
        (failed, replays) => crate::repro::often(failed, replays, replays == 2),
    }
}

/// `1 event on 6 nodes (reshard)`.
pub(super) fn smallest(small: &Small) -> String {
    let shape = if small.shape.is_empty() { "the load alone" } else { &small.shape };
    format!("{} on {} nodes ({shape})", counted(small.events, "event"), small.nodes)
}

/// A finding in one line.
pub(super) fn line(finding: &Finding) -> String {
    let small = finding.small.as_ref().map_or_else(
        || "not shrunk".to_string(),
        |small| format!("{}, fails in {}", smallest(small), often(small)),
    );
    format!("{:>6}x  {}: {small}: {}\n", finding.runs.max(1), finding.check, finding.repro)
}

/// Keeps a timeline in the corpus, with what it was the first to reach.
pub(super) fn add_to_corpus(folder: &Path, entry: &Entry, first: &[Feature]) -> Result<(), Failure> {
    let mut text = String::from("# Kept by a campaign, for it was the first to reach:\n");
    for feature in first {
        text += &format!("#   {feature}\n");
    }
    text += &entry.timeline.to_yaml();
    let path = folder.join(format!("{}.yaml", entry.name));
    write_whole(&path, text.as_bytes()).map_err(|error| cannot_write(&path, &error))
}

/// Removes run folders, the oldest first, until the rest takes no more than so many bytes. Those of runs that are under
/// way stay, and are not counted; those of runs that broke count as the others do.
pub(super) fn keep_room(folder: &Path, quota: u64, active: &BTreeSet<u64>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut runs: Vec<(std::time::SystemTime, PathBuf, u64)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let number: u64 = name.to_str()?.strip_prefix("run-")?.parse().ok()?;
            if active.contains(&number) {
                return None;
            }
            // A run that broke may have no verdict.
            let ended = fs::metadata(entry.path().join(folder::VERDICT)).or_else(|_| entry.metadata());
            Some((ended.and_then(|there| there.modified()).ok()?, entry.path(), bytes(&entry.path())))
        })
        .collect();
    runs.sort();
    let mut all: u64 = runs.iter().map(|(_, _, bytes)| bytes).sum();
    for (_, path, bytes) in runs {
        if all <= quota {
            return;
        }
        let _ = fs::remove_dir_all(&path);
        all -= bytes;
    }
}

fn bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes(&entry.path()),
            _ => entry.metadata().map_or(0, |there| there.len()),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Judgement, Verdict};

    #[test]
    fn the_quota_counts_runs_that_broke_and_spares_those_under_way() {
        let folder = std::env::temp_dir().join(format!("seedfault-quota-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let make = |number: u64, verdict: bool| {
            let run = folder.join(format!("run-{number}"));
            fs::create_dir_all(run.join("node-0")).expect("there is room");
            fs::write(run.join("node-0/log"), [b'x'; 1000]).expect("there is room");
            if verdict {
                fs::write(run.join(folder::VERDICT), "").expect("there is room");
            }
            // What is younger than a clock's step has no order.
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        make(1, false);
        make(2, true);
        make(3, false);
        make(4, false);
        let left = |quota: u64| {
            keep_room(&folder, quota, &BTreeSet::from([3]));
            (1..=4).filter(|number| folder.join(format!("run-{number}")).exists()).collect::<Vec<u64>>()
        };
        assert_eq!(left(3000), [1, 2, 3, 4]);
        assert_eq!(left(2000), [2, 3, 4], "the oldest goes, which broke");
        assert_eq!(left(0), [3], "what is under way stays");
        fs::remove_dir_all(&folder).expect("it is ours");
    }

    #[test]
    fn a_finding_is_known_by_check_kind_and_the_state_it_leaves() {
        let judged = Judgement::new("topology", Verdict::Fail, "2 differences")
            .with_evidence(vec!["shard 3 has two primaries".into()]);
        let met = Met {
            way: Way::of(&judged).expect("it failed"),
            state: "all primaries".into(),
            reason: "2 differences".into(),
        };
        let finding = Finding {
            id: 1,
            check: "topology".into(),
            kinds: BTreeSet::from(["shard # has two primaries".into()]),
            state: "all primaries".into(),
            reason: "1 difference".into(),
            number: 3,
            runs: 1,
            repro: "a.yaml".into(),
            small: None,
        };
        assert!(met.is(&finding));
        assert!(!met.is(&Finding { state: "primaries missing".into(), ..finding.clone() }));
        assert!(!met.is(&Finding { check: "quorum".into(), ..finding.clone() }));
        assert!(!met.is(&Finding { kinds: BTreeSet::from(["another".into()]), ..finding }));
    }
}
