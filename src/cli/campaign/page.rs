//! What the pages of campaigns are made of, read from the file of results; and where they are written.

use super::store::Store;
use crate::cli::exit::{Code, Failure};
use crate::cli::flags::{shell, where_spelled};
use crate::cli::folder::write_where_told;
use crate::cli::input::plain;
use crate::env::in_real_time;
use crate::page::campaign::{Before, Campaign, Finding, Mark, Run, Small, Verdict};
use crate::page::clock;
use crate::page::compare::{Comparison, Met, Side};
use crate::run::marks::Mark as Situation;
use rusqlite::params;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// With so many campaigns before it one is compared.
const BEFORE_MAX: usize = 10;

type Sql<T> = rusqlite::Result<T>;

/// The page of a campaign beside its file of results: `results-3.html`.
pub fn beside(results: &Path, campaign: i64) -> PathBuf {
    let stem = results.file_stem().unwrap_or_default().to_string_lossy();
    results.with_file_name(format!("{stem}-{campaign}.html"))
}

/// Writes the page of a campaign.
pub fn write(store: &Store, campaign: i64, to: &Path) -> Result<(), Failure> {
    let html = crate::page::campaign::page(&campaign_of(store, campaign, to)?);
    save(to, &html)
}

pub fn save(to: &Path, html: &str) -> Result<(), Failure> {
    write_where_told(to, html.as_bytes()).map_err(|error| {
        Failure::new(Code::Environment, format!("failed to write {}: {}", to.display(), plain(&error)))
    })
}

/// A campaign, with what the page that stands at `to` links to.
pub fn campaign_of(store: &Store, id: i64, to: &Path) -> Result<Campaign, Failure> {
    let sql =
        "SELECT ended IS NOT NULL, spent_ms, seed, mode, target, environment, server, build, tool, command
               FROM campaign WHERE id = ?1";
    let known = store.db().query_row(sql, [id], |row| {
        let environment: String = row.get(5)?;
        Ok(Campaign {
            id,
            is_over: row.get(0)?,
            spent_ms: unsigned(row.get(1)?),
            seed: row.get(2)?,
            mode: row.get(3)?,
            target: row.get(4)?,
            real_time: in_real_time(&environment),
            environment,
            server: row.get(6)?,
            build: row.get(7)?,
            tool: row.get(8)?,
            command: row.get(9)?,
            ..Campaign::default()
        })
    });
    let mut campaign = match known {
        Err(rusqlite::Error::QueryReturnedNoRows) => {
            return Err(Failure::bad_input(format!("there is no campaign {id}"))
                .hint("`fuzz results` lists those that there are"));
        }
        other => store.or(other)?,
    };
    campaign.runs = store.or(runs(store, id))?;
    campaign.features = store.or(features(store, id))?;
    campaign.kept = store.or(count(store, "SELECT count(*) FROM entry WHERE campaign = ?1", id))?;
    campaign.marks = store.or(marks(store, id, &campaign.target))?;
    campaign.findings = store.or(findings(store, &campaign, to))?;
    campaign.before = store.or(before(store, id))?;
    Ok(campaign)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn count(store: &Store, sql: &str, campaign: i64) -> Sql<u64> {
    store.db().query_row(sql, [campaign], |row| row.get(0)).map(unsigned)
}

fn runs(store: &Store, campaign: i64) -> Sql<Vec<Run>> {
    Ok(runs_and_timelines(store, campaign)?.into_iter().map(|(run, _)| run).collect())
}

/// Each run, and the hash of its timeline.
fn runs_and_timelines(store: &Store, campaign: i64) -> Sql<Vec<(Run, String)>> {
    let sql =
        "SELECT number, started, origin, seed, shards, replicas, events, verdict, coalesce(why, ''), finding,
               virtual_ms, wall_ms, stretched_ms, latency_p99_us, failover_ms, first, latency_mean_us, latency_max_us, timeline
               FROM run
               WHERE campaign = ?1 ORDER BY number";
    let mut statement = store.db().prepare(sql)?;
    let rows = statement.query_map([campaign], |row| {
        let number = |at: usize| row.get(at).map(unsigned);
        let run = Run {
            number: number(0)?,
            started: clock::parse(&row.get::<_, String>(1)?).unwrap_or(0),
            origin: row.get(2)?,
            seed: row.get(3)?,
            shards: number(4)?,
            replicas: number(5)?,
            events: number(6)?,
            verdict: Verdict::parse(&row.get::<_, String>(7)?),
            why: row.get(8)?,
            finding: row.get(9)?,
            virtual_ms: number(10)?,
            wall_ms: number(11)?,
            stretched_ms: number(12)?,
            latency_p99_us: number(13)?,
            failover_ms: row.get::<_, Option<i64>>(14)?.map(unsigned),
            first: number(15)?,
            latency_mean_us: number(16)?,
            latency_max_us: number(17)?,
        };
        Ok((run, row.get(18)?))
    })?;
    rows.collect()
}

fn features(store: &Store, campaign: i64) -> Sql<BTreeMap<String, u64>> {
    let sql =
        "SELECT substr(name, 1, instr(name, ' ') - 1), count(*) FROM feature WHERE campaign = ?1 GROUP BY 1";
    let mut statement = store.db().prepare(sql)?;
    statement.query_map([campaign], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?.collect()
}

/// Rare situations that seeds of this target can reach, and others that were reached all the same.
fn marks(store: &Store, campaign: i64, target: &str) -> Sql<Option<Vec<Mark>>> {
    let sql = "SELECT marks FROM run WHERE campaign = ?1 AND marks IS NOT NULL";
    let mut statement = store.db().prepare(sql)?;
    let told = statement.query_map([campaign], |row| row.get::<_, String>(0))?.collect::<Sql<Vec<_>>>()?;
    if told.is_empty() {
        return Ok(None);
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for names in told {
        let names: Vec<String> = serde_json::from_str(&names).unwrap_or_default();
        names.into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
    }
    let all = Situation::ALL.iter().filter_map(|mark| {
        let runs = counts.get(mark.as_str()).copied().unwrap_or(0);
        (runs > 0 || mark.targets().contains(&target)).then(|| Mark {
            name: mark.as_str().into(),
            line: mark.line().into(),
            runs,
        })
    });
    Ok(Some(all.collect()))
}

fn findings(store: &Store, campaign: &Campaign, to: &Path) -> Sql<Vec<Finding>> {
    let sql =
        "SELECT finding.id, finding.campaign = ?1, check_name, reason, campaign.server, first.events, shape,
               finding.events, nodes, failed, replays, minimal, token, repro, campaign.folder, finding.number
               FROM finding JOIN campaign ON campaign.id = finding.campaign
               LEFT JOIN run AS first ON first.campaign = finding.campaign AND first.number = finding.number
               WHERE finding.id IN (SELECT finding FROM run WHERE campaign = ?1 AND finding IS NOT NULL)
               ORDER BY finding.campaign <> ?1,
                   (SELECT count(*) FROM run WHERE campaign = ?1 AND finding = finding.id) DESC, finding.id";
    let mut statement = store.db().prepare(sql)?;
    let rows = statement.query_map(params![campaign.id], |row| {
        let number = |at: usize| row.get::<_, Option<i64>>(at).map(|n| unsigned(n.unwrap_or(0)));
        let shape: Option<String> = row.get(6)?;
        let small = match shape {
            Some(shape) => Some(Small {
                shape,
                events: number(7)?,
                nodes: number(8)?,
                failed: number(9)? as u32,
                replays: number(10)? as u32,
                minimal: number(11)? != 0,
                token: row.get(12)?,
            }),
            None => None,
        };
        let repro: String = row.get(13)?;
        let (folder, run): (String, i64) = (row.get(14)?, row.get(15)?);
        let server: String = row.get(4)?;
        Ok(Finding {
            id: row.get(0)?,
            new: row.get(1)?,
            check: row.get(2)?,
            reason: row.get(3)?,
            server: if server.is_empty() { format!("{} target", campaign.target) } else { server },
            before: row.get::<_, Option<i64>>(5)?.map(unsigned),
            small,
            replay: format!(
                "fuzz replay {}{}",
                shell(&repro),
                where_spelled(&campaign.target, &campaign.environment, None)
            ),
            links: links(&repro, &Path::new(&folder).join(format!("run-{run}")), to),
            upstream: upstream(Path::new(&repro)),
            repro,
        })
    })?;
    rows.collect()
}

/// Two campaigns and what they have in common.
pub fn comparison(store: &Store, one: i64, other: i64, command: String) -> Result<Comparison, Failure> {
    let side = |id: i64| -> Sql<(Side, Vec<String>)> {
        let sql =
            "SELECT server, build, target, environment, mode, seed, spent_ms FROM campaign WHERE id = ?1";
        let side = store.db().query_row(sql, [id], |row| {
            Ok(Side {
                id,
                server: row.get(0)?,
                build: row.get(1)?,
                target: row.get(2)?,
                environment: row.get(3)?,
                mode: row.get(4)?,
                seed: row.get(5)?,
                spent_ms: unsigned(row.get(6)?),
                runs: Vec::new(),
            })
        })?;
        let (runs, timelines) = runs_and_timelines(store, id)?.into_iter().unzip();
        Ok((Side { runs, ..side }, timelines))
    };
    let findings = || -> Sql<Vec<Met>> {
        let sql = "SELECT check_name, reason, (SELECT count(*) FROM run WHERE campaign = ?1 AND finding = finding.id),
                   (SELECT count(*) FROM run WHERE campaign = ?2 AND finding = finding.id) FROM finding
                   WHERE id IN (SELECT finding FROM run WHERE campaign IN (?1, ?2)) ORDER BY 3 > 0, 4 DESC, 3 DESC, id";
        let mut statement = store.db().prepare(sql)?;
        let rows = statement.query_map([one, other], |row| {
            let runs = [unsigned(row.get(2)?), unsigned(row.get(3)?)];
            Ok(Met { check: row.get(0)?, reason: row.get(1)?, runs })
        })?;
        rows.collect()
    };
    let (a, timelines) = store.or(side(one))?;
    let (b, others) = store.or(side(other))?;
    let places: BTreeMap<&str, usize> =
        others.iter().enumerate().rev().map(|(at, hash)| (hash.as_str(), at)).collect();
    let pairs = timelines.iter().enumerate();
    Ok(Comparison {
        pairs: pairs.filter_map(|(at, hash)| Some((at, *places.get(hash.as_str())?))).collect(),
        sides: [a, b],
        findings: store.or(findings())?,
        command,
    })
}

/// What is there to be read of a finding, and where that is from the page.
fn links(repro: &str, run: &Path, to: &Path) -> Vec<(String, String)> {
    let story = Path::new(repro).with_extension("md");
    let reports = [run.join("shrink/smallest/report.html"), run.join("report.html")];
    let report = reports.iter().find(|path| path.is_file()).map(|path| ("report", path.as_path()));
    let rest = [("page", story.as_path()), ("repro", Path::new(repro))];
    report
        .into_iter()
        .chain(rest.into_iter().filter(|(_, path)| path.is_file()))
        .filter_map(|(name, path)| Some((name.to_string(), link(to, path)?)))
        .collect()
}

/// A path as a link from a page beside it: `None` where that would have to name more of the machine than was typed.
fn link(page: &Path, path: &Path) -> Option<String> {
    let plain = |path: &Path| -> Option<Vec<String>> {
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => parts.push(name.to_str()?.to_string()),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        Some(parts)
    };
    if page.is_absolute() != path.is_absolute() {
        return None;
    }
    let (from, to) = (plain(page.parent()?)?, plain(path)?);
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if page.is_absolute() && shared == 0 {
        return None;
    }
    let parts =
        from[shared..].iter().map(|_| "..".to_string()).chain(to[shared..].iter().map(|name| escaped(name)));
    Some(parts.collect::<Vec<_>>().join("/"))
}

/// A name as part of an address (RFC 3986, 2.3).
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// What the table beside the repros says of it: the folder's `README.md`, the cell under `Upstream`.
fn upstream(repro: &Path) -> Option<String> {
    let name = repro.file_name()?.to_str()?;
    let text = fs::read_to_string(repro.with_file_name("README.md")).ok()?;
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect()
    };
    let mut column = None;
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells = cells(line);
        if let Some(at) = cells.iter().position(|cell| cell == "Upstream") {
            column = Some(at);
        } else if cells.first().is_some_and(|cell| cell.trim_matches('`') == name) {
            return cells.get(column?).filter(|cell| !cell.is_empty()).cloned();
        }
    }
    None
}

/// Those that did the same, whatever the build: scenario, flags and mode stand in the wish before the system.
fn before(store: &Store, campaign: i64) -> Sql<Vec<Before>> {
    let kind = |wish: &str, target: &str| {
        wish.split_once(&format!(" on {target} ")).map_or(wish, |(kind, _)| kind).to_string()
    };
    let sql = "SELECT id, server, build, spent_ms, wish, target, environment FROM campaign WHERE id <= ?1
               ORDER BY id DESC";
    let mut statement = store.db().prepare(sql)?;
    let rows = statement.query_map([campaign], |row| {
        let target: String = row.get(5)?;
        let kind = (kind(&row.get::<_, String>(4)?, &target), target, row.get::<_, String>(6)?);
        let before = Before {
            id: row.get(0)?,
            server: row.get(1)?,
            build: row.get(2)?,
            spent_ms: unsigned(row.get(3)?),
            ..Before::default()
        };
        Ok((kind, before))
    })?;
    let mut all = rows.collect::<Sql<Vec<_>>>()?.into_iter();
    let Some((this, _)) = all.next() else { return Ok(Vec::new()) };
    let same = all.filter(|(kind, _)| *kind == this).map(|(_, before)| before);
    let mut found = Vec::new();
    for mut before in same {
        before.runs = runs(store, before.id)?;
        if before.runs.is_empty() {
            continue;
        }
        before.features = count(store, "SELECT count(*) FROM feature WHERE campaign = ?1", before.id)?;
        let met = "SELECT count(DISTINCT finding) FROM run WHERE campaign = ?1";
        before.findings = count(store, met, before.id)?;
        found.push(before);
        if found.len() == BEFORE_MAX {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_name_no_more_of_the_machine_than_was_typed() {
        for (page, path, expected) in [
            ("results-1.html", "repro/a.yaml", Some("repro/a.yaml")),
            ("out/results-1.html", "repro/a b.yaml", Some("../repro/a%20b.yaml")),
            ("/srv/n/r.html", "/srv/repro/a.yaml", Some("../repro/a.yaml")),
            ("/srv/r.html", "/home/x/a.yaml", None),
            ("/srv/r.html", "repro/a.yaml", None),
            ("r.html", "../a.yaml", None),
            ("r.html", "javascript:alert(1)", Some("javascript%3Aalert%281%29")),
        ] {
            assert_eq!(link(Path::new(page), Path::new(path)).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_known_upstream_stands_in_the_table_beside() {
        let known =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("repro/slot_coverage-redis-7.0.15-half-moved.yaml");
        assert!(upstream(&known).is_some_and(|text| text.starts_with("valkey-io/valkey#445")));
        assert_eq!(upstream(&known.with_file_name("another.yaml")), None);
    }

    #[test]
    fn pages_stand_beside_their_file() {
        assert_eq!(beside(Path::new("a/night.db"), 3), Path::new("a/night-3.html"));
    }
}
