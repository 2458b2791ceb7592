//! What campaigns did, in one `SQLite` file: the journal from which a killed campaign goes on, and what `fuzz results`
//! asks. Each run is one transaction with all that it changed, so that a campaign that is killed has a run or has it not.

use crate::campaign::{Entry, Feature, Guide};
use crate::cli::clock;
use crate::cli::exit::{Code, Failure};
use crate::timeline::Timeline;
use rusqlite::{Connection, Row, Transaction, params};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// The version of the schema, in the file's `user_version`.
const VERSION: i64 = 2;

/// What a file of version 1 lacks.
const SINCE_1: &str = "\
ALTER TABLE campaign ADD COLUMN command TEXT;
ALTER TABLE run ADD COLUMN marks TEXT;
";

/// The schema; `docs/results.md` shows it as it is here.
pub const SCHEMA: &str = "\
-- A campaign: many runs of one scenario on one system.
CREATE TABLE campaign (
    id          INTEGER PRIMARY KEY,
    started     TEXT NOT NULL,     -- in UTC: 2026-03-14T09:15:07Z
    ended       TEXT,              -- NULL while it runs, or when it was killed
    spent_ms    INTEGER NOT NULL,  -- how long it ran, all its parts together
    seed        TEXT NOT NULL,     -- from 0 to 2^64 - 1, which is no INTEGER
    mode        TEXT NOT NULL,     -- guided or random
    target      TEXT NOT NULL,
    environment TEXT NOT NULL,
    server      TEXT NOT NULL,     -- as the server says its version; empty for the embedded target
    build       TEXT NOT NULL,     -- the beginning of the digest of the server's file
    tool        TEXT NOT NULL,     -- the version of this tool
    wish        TEXT NOT NULL,     -- all that decides its runs: one with the same goes on with it
    folder      TEXT NOT NULL,     -- where the run folders of its findings are
    command     TEXT               -- as it was typed; NULL where version 1 kept it not
);
-- One run from seed to verdict.
CREATE TABLE run (
    campaign    INTEGER NOT NULL REFERENCES campaign(id),
    number      INTEGER NOT NULL,
    started     TEXT NOT NULL,
    origin      TEXT NOT NULL,     -- seed, corpus ENTRY, or ENTRY: what was changed
    seed        TEXT NOT NULL,
    timeline    TEXT NOT NULL,     -- its hash
    shards      INTEGER NOT NULL,
    replicas    INTEGER NOT NULL,
    events      INTEGER NOT NULL,
    verdict     TEXT NOT NULL,     -- pass, fail, unknown, or broken where there is none
    why         TEXT,              -- of what did not pass
    finding     INTEGER REFERENCES finding(id),
    virtual_ms  INTEGER NOT NULL,
    wall_ms     INTEGER NOT NULL,
    stretched_ms INTEGER NOT NULL, -- by how much the logical clock was held back
    operations  INTEGER NOT NULL,
    ok          INTEGER NOT NULL,
    latency_mean_us INTEGER NOT NULL,
    latency_p99_us  INTEGER NOT NULL,
    latency_max_us  INTEGER NOT NULL,
    failovers   INTEGER NOT NULL,  -- how often a shard got another primary after it had lost one
    failover_ms INTEGER,           -- the longest time that a shard was without
    first       INTEGER NOT NULL,  -- how many features it was the first to reach
    marks       TEXT,              -- JSON: the rare situations that it reached; NULL where version 1 kept them not
    PRIMARY KEY (campaign, number)
);
-- A failure, however many runs met it.
CREATE TABLE finding (
    id          INTEGER PRIMARY KEY,
    campaign    INTEGER NOT NULL REFERENCES campaign(id),
    found       TEXT NOT NULL,
    check_name  TEXT NOT NULL,
    kinds       TEXT NOT NULL,     -- JSON: what the check saw, without particulars
    state       TEXT NOT NULL,     -- of the cluster at the end, without particulars
    reason      TEXT NOT NULL,
    number      INTEGER NOT NULL,  -- of the first run that met it
    runs        INTEGER NOT NULL,  -- how many met it
    shape       TEXT,              -- the smallest timeline's operations and faults; NULL until it is shrunk
    events      INTEGER,
    nodes       INTEGER,
    failed      INTEGER,           -- in so many of so many replays it fails
    replays     INTEGER,
    minimal     INTEGER,           -- 1 where no event can be left out
    token       TEXT,
    repro       TEXT NOT NULL
);
-- What was reached, and in how many runs.
CREATE TABLE feature (
    campaign    INTEGER NOT NULL REFERENCES campaign(id),
    name        TEXT NOT NULL,     -- family and words: log Failover auth granted
    runs        INTEGER NOT NULL,
    number      INTEGER NOT NULL,  -- of the first run
    PRIMARY KEY (campaign, name)
);
-- Timelines that reached something first.
CREATE TABLE entry (
    campaign    INTEGER NOT NULL REFERENCES campaign(id),
    number      INTEGER NOT NULL,
    name        TEXT NOT NULL,
    timeline    TEXT NOT NULL,     -- as YAML
    features    TEXT NOT NULL,     -- JSON: all that it reached
    first       TEXT NOT NULL,     -- JSON: what nothing before it reached
    chosen      INTEGER NOT NULL,  -- how often it was changed
    PRIMARY KEY (campaign, number)
);
";

/// What decides a campaign's runs, and what it is called by.
#[derive(Clone, Debug)]
pub struct Wish {
    pub seed: Option<u64>,
    pub mode: String,
    pub target: String,
    pub environment: String,
    pub server: String,
    pub build: String,
    /// All of it but the seed, as text.
    pub text: String,
    /// The command line.
    pub command: String,
}

/// A campaign of the file.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub id: i64,
    pub seed: u64,
    pub folder: String,
    pub spent: Duration,
}

/// One run, for its row.
#[derive(Clone, Debug, Default)]
pub struct RunRow {
    pub number: u64,
    pub started: String,
    pub origin: String,
    pub seed: u64,
    pub timeline: String,
    pub shards: u16,
    pub replicas: u16,
    pub events: u64,
    pub verdict: String,
    pub why: Option<String>,
    pub finding: Option<i64>,
    pub virtual_ms: u64,
    pub wall_ms: u64,
    pub stretched_ms: u64,
    pub operations: u64,
    pub ok: u64,
    pub latency_mean_us: u64,
    pub latency_p99_us: u64,
    pub latency_max_us: u64,
    pub failovers: u64,
    pub failover_ms: Option<u64>,
    /// By name; `None` where there is no verdict.
    pub marks: Option<BTreeSet<String>>,
}

/// A finding, as its row.
#[derive(Clone, Debug)]
pub struct Finding {
    pub id: i64,
    pub check: String,
    pub kinds: BTreeSet<String>,
    pub state: String,
    pub reason: String,
    pub number: u64,
    pub runs: u64,
    pub repro: String,
    pub small: Option<Small>,
}

/// What shrinking and replaying made of a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Small {
    pub shape: String,
    pub events: u64,
    pub nodes: u64,
    pub failed: u64,
    pub replays: u64,
    pub minimal: bool,
    pub token: Option<String>,
}

#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: String,
}

type Sql<T> = rusqlite::Result<T>;

/// `SQLite`'s numbers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Store {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let failed = |error: &rusqlite::Error| trouble(&shown, error);
        let db = Connection::open(path).map_err(|error| failed(&error))?;
        // Other campaigns, shards of this one among them, may write to it.
        let begin = || -> Sql<i64> {
            db.busy_timeout(Duration::from_secs(60))?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "NORMAL")?;
            db.pragma_update(None, "foreign_keys", true)?;
            db.execute_batch("BEGIN IMMEDIATE")?;
            let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
            if version == 0 && tables == 0 {
                db.execute_batch(SCHEMA)?;
                db.pragma_update(None, "user_version", VERSION)?;
                db.execute_batch("COMMIT")?;
                return Ok(VERSION);
            }
            if version == 1 {
                db.execute_batch(SINCE_1)?;
                db.pragma_update(None, "user_version", VERSION)?;
            }
            db.execute_batch("COMMIT")?;
            Ok(if version == 1 { VERSION } else { version })
        };
        let version = begin().map_err(|error| failed(&error))?;
        if version != VERSION {
            let message = format!("{shown} holds results of version {version}; this tool reads {VERSION}");
            return Err(Failure::bad_input(message).hint("name another file by --results"));
        }
        Ok(Self { db, path: shown })
    }

    /// Opens a file that must be there.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        if !path.is_file() {
            let message = format!("there are no results: no file {}", path.display());
            return Err(Failure::bad_input(message)
                .hint("`fuzz campaign` writes them; name another file by --results"));
        }
        Self::open(path)
    }

    pub fn db(&self) -> &Connection {
        &self.db
    }

    /// What a statement could not do, as a failure.
    pub fn or<T>(&self, result: Sql<T>) -> Result<T, Failure> {
        result.map_err(|error| trouble(&self.path, &error))
    }

    /// Campaigns that did not end and were to do the same, the latest first.
    pub fn unfinished(&self, wish: &Wish) -> Result<Vec<Campaign>, Failure> {
        let seed = wish.seed.map(|seed| seed.to_string());
        let sql = "SELECT id, seed, folder, spent_ms FROM campaign
                   WHERE ended IS NULL AND wish = ?1 AND (?2 IS NULL OR seed = ?2) ORDER BY id DESC";
        let read = || -> Sql<Vec<Campaign>> {
            self.db.prepare(sql)?.query_map(params![wish.text, seed], campaign)?.collect()
        };
        self.or(read())
    }

    pub fn begin(&self, wish: &Wish, seed: u64, folder: &str) -> Result<Campaign, Failure> {
        let sql =
            "INSERT INTO campaign (started, spent_ms, seed, mode, target, environment, server, build, tool,
                   wish, folder, command) VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let values = params![
            clock::now(),
            seed.to_string(),
            wish.mode,
            wish.target,
            wish.environment,
            wish.server,
            wish.build,
            env!("CARGO_PKG_VERSION"),
            wish.text,
            folder,
            wish.command
        ];
        self.or(self.db.execute(sql, values))?;
        let id = self.db.last_insert_rowid();
        Ok(Campaign { id, seed, folder: folder.into(), spent: Duration::ZERO })
    }

    pub fn end(&self, campaign: i64, spent: Duration) -> Result<(), Failure> {
        let sql = "UPDATE campaign SET ended = ?2, spent_ms = ?3 WHERE id = ?1";
        let spent = signed(spent.as_millis() as u64);
        self.or(self.db.execute(sql, params![campaign, clock::now(), spent])).map(drop)
    }

    /// The numbers of the runs that a campaign has done.
    pub fn done(&self, campaign: i64) -> Result<BTreeSet<u64>, Failure> {
        let read = || -> Sql<BTreeSet<u64>> {
            let mut statement = self.db.prepare("SELECT number FROM run WHERE campaign = ?1")?;
            statement.query_map([campaign], |row| Ok(unsigned(row.get(0)?)))?.collect()
        };
        self.or(read())
    }

    /// How many runs of a campaign ended how.
    pub fn verdicts(&self, campaign: i64) -> Result<BTreeMap<String, u64>, Failure> {
        let read = || -> Sql<BTreeMap<String, u64>> {
            let sql = "SELECT verdict, count(*) FROM run WHERE campaign = ?1 GROUP BY verdict";
            let mut statement = self.db.prepare(sql)?;
            statement.query_map([campaign], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?.collect()
        };
        self.or(read())
    }

    /// The findings that a campaign's runs met.
    pub fn met_by(&self, campaign: i64) -> Result<BTreeSet<i64>, Failure> {
        let read = || -> Sql<BTreeSet<i64>> {
            let sql = "SELECT DISTINCT finding FROM run WHERE campaign = ?1 AND finding IS NOT NULL";
            self.db.prepare(sql)?.query_map([campaign], |row| row.get(0))?.collect()
        };
        self.or(read())
    }

    /// Lets a guide know what it knew when the campaign was killed.
    pub fn restore(&self, campaign: i64, guide: &mut Guide) -> Result<(), Failure> {
        let read = || -> Sql<(Vec<(String, i64)>, Vec<[String; 3]>, Vec<i64>)> {
            let mut statement = self.db.prepare("SELECT name, runs FROM feature WHERE campaign = ?1")?;
            let counts =
                statement.query_map([campaign], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Sql<_>>()?;
            let sql = "SELECT name, timeline, features, chosen FROM entry
                       WHERE campaign = ?1 ORDER BY number";
            let mut statement = self.db.prepare(sql)?;
            let rows: Vec<([String; 3], i64)> = statement
                .query_map([campaign], |row| Ok(([row.get(0)?, row.get(1)?, row.get(2)?], row.get(3)?)))?
                .collect::<Sql<_>>()?;
            let (texts, chosen) = rows.into_iter().unzip();
            Ok((counts, texts, chosen))
        };
        let (counts, texts, chosen) = self.or(read())?;
        let counts: Vec<(Feature, u64)> = counts
            .into_iter()
            .filter_map(|(name, runs)| Some((Feature::parse(&name)?, unsigned(runs))))
            .collect();
        guide.restore(self.done(campaign)?.len() as u64, &counts);
        for ([name, timeline, features], chosen) in texts.into_iter().zip(chosen) {
            let names: Vec<String> = serde_json::from_str(&features).unwrap_or_default();
            let features: Vec<Feature> = names.iter().filter_map(|name| Feature::parse(name)).collect();
            if let Some(timeline) = Timeline::from_yaml(&timeline) {
                guide.restore_entry(name, timeline, &features, unsigned(chosen));
            }
        }
        Ok(())
    }

    /// Keeps a run with all that it changed: what it reached, what was kept of it, how long the campaign has run.
    pub fn keep(
        &mut self,
        campaign: i64,
        run: &RunRow,
        features: &BTreeSet<Feature>,
        first: &[Feature],
        entry: Option<&Entry>,
        spent: Duration,
    ) -> Result<(), Failure> {
        let path = self.path.clone();
        let keep = |change: &Transaction<'_>| -> Sql<()> {
            insert(change, campaign, run, first.len())?;
            let mut reached = change.prepare_cached(
                "INSERT INTO feature (campaign, name, runs, number) VALUES (?1, ?2, 1, ?3)
                 ON CONFLICT (campaign, name) DO UPDATE SET runs = runs + 1",
            )?;
            for feature in features {
                reached.execute(params![campaign, feature.to_string(), signed(run.number)])?;
            }
            if let Some(entry) = entry {
                let names = |features: &mut dyn Iterator<Item = &Feature>| {
                    serde_json::to_string(&features.map(ToString::to_string).collect::<Vec<_>>())
                        .expect("plain data")
                };
                change.execute(
                    "INSERT INTO entry (campaign, number, name, timeline, features, first, chosen)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
                    params![
                        campaign,
                        signed(run.number),
                        entry.name,
                        entry.timeline.to_yaml(),
                        names(&mut features.iter()),
                        names(&mut first.iter())
                    ],
                )?;
            }
            if let Some((name, _)) = run.origin.split_once(": ") {
                change.execute(
                    "UPDATE entry SET chosen = chosen + 1 WHERE campaign = ?1 AND name = ?2",
                    params![campaign, name],
                )?;
            }
            if let Some(finding) = run.finding {
                change.execute("UPDATE finding SET runs = runs + 1 WHERE id = ?1", [finding])?;
            }
            let spent = signed(spent.as_millis() as u64);
            change.execute("UPDATE campaign SET spent_ms = ?2 WHERE id = ?1", params![campaign, spent])?;
            Ok(())
        };
        let mut all = || -> Sql<()> {
            let change = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            keep(&change)?;
            change.commit()
        };
        all().map_err(|error| trouble(&path, &error))
    }

    /// A failure that nobody met before. The run that met it names it, and is kept after it.
    pub fn found(&self, campaign: i64, finding: &Finding) -> Result<i64, Failure> {
        let sql =
            "INSERT INTO finding (campaign, found, check_name, kinds, state, reason, number, runs, repro)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)";
        let kinds = serde_json::to_string(&finding.kinds).expect("plain data");
        let values = params![
            campaign,
            clock::now(),
            finding.check,
            kinds,
            finding.state,
            finding.reason,
            signed(finding.number),
            finding.repro
        ];
        self.or(self.db.execute(sql, values))?;
        Ok(self.db.last_insert_rowid())
    }

    /// What shrinking made of it.
    pub fn shrunk(&self, finding: i64, repro: &str, small: &Small) -> Result<(), Failure> {
        let sql =
            "UPDATE finding SET repro = ?2, shape = ?3, events = ?4, nodes = ?5, failed = ?6, replays = ?7,
                   minimal = ?8, token = ?9 WHERE id = ?1";
        let values = params![
            finding,
            repro,
            small.shape,
            signed(small.events),
            signed(small.nodes),
            signed(small.failed),
            signed(small.replays),
            small.minimal,
            small.token
        ];
        self.or(self.db.execute(sql, values)).map(drop)
    }

    /// It is another one after all.
    pub fn merge(&mut self, finding: i64, into: i64) -> Result<(), Failure> {
        let path = self.path.clone();
        let mut merge = || -> Sql<()> {
            let change = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            change.execute("UPDATE run SET finding = ?2 WHERE finding = ?1", [finding, into])?;
            change.execute("DELETE FROM finding WHERE id = ?1", [finding])?;
            let count =
                "UPDATE finding SET runs = (SELECT count(*) FROM run WHERE finding = ?1) WHERE id = ?1";
            change.execute(count, [into])?;
            change.commit()
        };
        merge().map_err(|error| trouble(&path, &error))
    }

    /// Where the timeline of the run came from that met a finding first; `None` where the run was not kept.
    pub fn origin(&self, finding: i64) -> Result<Option<String>, Failure> {
        let sql = "SELECT origin FROM run JOIN finding
                   ON run.campaign = finding.campaign AND run.number = finding.number WHERE finding.id = ?1";
        match self.db.query_row(sql, [finding], |row| row.get(0)) {
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            other => self.or(other).map(Some),
        }
    }

    /// The findings of these campaigns' system, first found first: of all campaigns on the same build.
    pub fn findings(&self, target: &str, build: &str) -> Result<Vec<Finding>, Failure> {
        let sql = "SELECT finding.id, check_name, kinds, state, reason, number, runs, repro, shape, events, nodes,
                   failed, replays, minimal, token FROM finding JOIN campaign ON campaign.id = finding.campaign
                   WHERE target = ?1 AND build = ?2 ORDER BY finding.id";
        let read = || -> Sql<Vec<Finding>> {
            self.db.prepare(sql)?.query_map(params![target, build], finding)?.collect()
        };
        self.or(read())
    }
}

fn insert(change: &Transaction<'_>, campaign: i64, run: &RunRow, first: usize) -> Sql<()> {
    change.execute(
        "INSERT INTO run (campaign, number, started, origin, seed, timeline, shards, replicas, events, verdict, why,
         finding, virtual_ms, wall_ms, stretched_ms, operations, ok, latency_mean_us, latency_p99_us,
         latency_max_us, failovers, failover_ms, first, marks)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
         ?23, ?24)",
        params![
            campaign,
            signed(run.number),
            run.started,
            run.origin,
            run.seed.to_string(),
            run.timeline,
            run.shards,
            run.replicas,
            signed(run.events),
            run.verdict,
            run.why,
            run.finding,
            signed(run.virtual_ms),
            signed(run.wall_ms),
            signed(run.stretched_ms),
            signed(run.operations),
            signed(run.ok),
            signed(run.latency_mean_us),
            signed(run.latency_p99_us),
            signed(run.latency_max_us),
            signed(run.failovers),
            run.failover_ms.map(signed),
            signed(first as u64),
            run.marks.as_ref().map(|marks| serde_json::to_string(marks).expect("plain data"))
        ],
    )?;
    Ok(())
}

fn campaign(row: &Row<'_>) -> Sql<Campaign> {
    let seed: String = row.get(1)?;
    Ok(Campaign {
        id: row.get(0)?,
        seed: seed.parse().unwrap_or(0),
        folder: row.get(2)?,
        spent: Duration::from_millis(unsigned(row.get(3)?)),
    })
}

fn finding(row: &Row<'_>) -> Sql<Finding> {
    let kinds: String = row.get(2)?;
    let number = |at: usize| -> Sql<u64> { Ok(unsigned(row.get::<_, Option<i64>>(at)?.unwrap_or(0))) };
    let shape: Option<String> = row.get(8)?;
    Ok(Finding {
        id: row.get(0)?,
        check: row.get(1)?,
        kinds: serde_json::from_str(&kinds).unwrap_or_default(),
        state: row.get(3)?,
        reason: row.get(4)?,
        number: number(5)?,
        runs: number(6)?,
        repro: row.get(7)?,
        small: match shape {
            Some(shape) => Some(Small {
                shape,
                events: number(9)?,
                nodes: number(10)?,
                failed: number(11)?,
                replays: number(12)?,
                minimal: number(13)? != 0,
                token: row.get(14)?,
            }),
            None => None,
        },
    })
}

fn trouble(path: &str, error: &rusqlite::Error) -> Failure {
    let failure = Failure::new(Code::Environment, format!("failed to keep results in {path}: {error}"));
    failure.hint("make room, or name another file by --results")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_shows_the_schema() {
        let page = include_str!("../../../docs/results.md");
        assert!(page.contains(&format!("```sql\n{SCHEMA}```")), "docs/results.md is not of this schema");
        let db = Connection::open_in_memory().expect("there is memory");
        db.execute_batch(SCHEMA).expect("it is SQL");
    }

    #[test]
    fn a_file_of_version_1_gets_what_it_lacks() {
        let folder = std::env::temp_dir().join(format!("seedfault-version-1-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("there is room");
        let path = folder.join("results.db");
        let old: String = SCHEMA
            .lines()
            .filter(|line| !line.starts_with("    command ") && !line.starts_with("    marks "))
            .map(|line| line.replace("folder      TEXT NOT NULL, ", "folder      TEXT NOT NULL ") + "\n")
            .collect();
        let db = Connection::open(&path).expect("there is room");
        db.execute_batch(&old).expect("it is SQL");
        db.pragma_update(None, "user_version", 1).expect("it is SQL");
        drop(db);
        for _ in 0..2 {
            let store = Store::open(&path).expect("it is taken");
            let columns = |table: &str| -> Vec<String> {
                let mut statement = store.db().prepare(&format!("PRAGMA table_info({table})")).expect("SQL");
                let rows = statement.query_map([], |row| row.get(1)).expect("SQL");
                rows.collect::<Sql<_>>().expect("names")
            };
            let fresh = Connection::open_in_memory().expect("there is memory");
            fresh.execute_batch(SCHEMA).expect("it is SQL");
            for table in ["campaign", "run"] {
                let mut statement = fresh.prepare(&format!("PRAGMA table_info({table})")).expect("SQL");
                let rows = statement.query_map([], |row| row.get(1)).expect("SQL");
                assert_eq!(columns(table), rows.collect::<Sql<Vec<String>>>().expect("names"));
            }
        }
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}
