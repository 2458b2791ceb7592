//! `fuzz results`: what campaigns found and measured, from their file. For what is not asked here the file is `SQLite`'s,
//! and its schema is in docs/results.md.

use super::campaign::page;
use super::campaign::store::Store;
use super::clock;
use super::console::print;
use super::exit::{Code, Failure};
use crate::report::names::thousands;
use crate::report::visible::on_one_line;
use rusqlite::types::ValueRef;
use rusqlite::{Row, params};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What is asked; the campaigns when absent
    #[arg(value_name = "QUESTION", default_value = "campaigns")]
    question: Question,
    /// The file of results
    #[arg(long, value_name = "FILE", default_value = "results.db")]
    results: PathBuf,
    /// Of what began since so long ago alone: `24h`, `7d`
    #[arg(long, value_name = "TIME", value_parser = super::flags::time)]
    since: Option<Duration>,
    /// Of this campaign alone
    #[arg(long, value_name = "ID")]
    campaign: Option<i64>,
    /// How many lines at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    lines: u16,
    /// Two campaigns side by side: runs of the same timelines and how they differ, and the times that clients waited
    #[arg(long, value_names = ["A", "B"], num_args = 2, conflicts_with_all = ["campaign", "since"])]
    compare: Vec<i64>,
    /// Write a page to be looked at: of --campaign, else of the latest one, or of the two that are compared
    #[arg(long, value_name = "FILE", conflicts_with = "since")]
    html: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Question {
    /// Every campaign in a line
    Campaigns,
    /// What failed: findings, how many runs met each, its repro
    Failures,
    /// The runs that took longest
    Slowest,
    /// Findings that do not come every time, the rarest first
    Flakiest,
    /// How long shards were without a primary, by version of the server
    Failover,
    /// What the fewest runs reached
    Rare,
}

pub fn main(args: &Args) -> super::Done {
    let store = Store::read(&args.results)?;
    if let [one, other] = args.compare[..] {
        return compare(&store, one, other, args);
    }
    if let Some(to) = &args.html {
        let latest =
            || store.db().query_row("SELECT max(id) FROM campaign", [], |row| row.get::<_, Option<i64>>(0));
        let latest = || store.or(latest())?.ok_or_else(|| Failure::bad_input("there is no campaign yet"));
        let campaign = args.campaign.map_or_else(latest, Ok)?;
        page::write(&store, campaign, to)?;
        print(&format!("campaign {campaign}: {}\n", to.display()));
        return Ok(Code::Passed);
    }
    // Text compares as time does.
    let since = args.since.map_or_else(String::new, clock::ago);
    let (title, sql): (&str, &str) = match args.question {
        Question::Campaigns => (
            "campaign\tbegan\tseed\tmode\tsystem\truns\tfailed\tundecided\tbroke\tfindings\tended",
            "SELECT campaign.id, started, seed, mode, target || ' in ' || environment || ' ' || server,
                 (SELECT count(*) FROM run WHERE campaign = campaign.id),
                 (SELECT count(*) FROM run WHERE campaign = campaign.id AND verdict = 'fail'),
                 (SELECT count(*) FROM run WHERE campaign = campaign.id AND verdict = 'unknown'),
                 (SELECT count(*) FROM run WHERE campaign = campaign.id AND verdict = 'broken'),
                 (SELECT count(DISTINCT finding) FROM run WHERE campaign = campaign.id),
                 coalesce(ended, 'no')
             FROM campaign WHERE started >= ?1 AND (?2 IS NULL OR campaign.id = ?2)
             ORDER BY campaign.id DESC LIMIT ?3",
        ),
        Question::Failures => (
            "finding\tfound\tcheck\truns\tevents\tnodes\tfails in\tserver\trepro\treason",
            "SELECT finding.id, found, check_name, finding.runs, coalesce(events, '-'), coalesce(nodes, '-'),
                 coalesce(failed || ' of ' || replays, '-'), server, repro, reason
             FROM finding JOIN campaign ON campaign.id = finding.campaign
             WHERE (found >= ?1 OR EXISTS (SELECT 1 FROM run WHERE finding = finding.id AND run.started >= ?1))
                 AND (?2 IS NULL OR EXISTS (SELECT 1 FROM run WHERE finding = finding.id AND campaign = ?2))
             ORDER BY finding.runs DESC, finding.id LIMIT ?3",
        ),
        Question::Slowest => (
            "campaign\trun\tvirtual ms\twall ms\tevents\tshards\treplicas\tverdict\torigin",
            "SELECT campaign, number, virtual_ms, wall_ms, events, shards, replicas, verdict, origin FROM run
             WHERE started >= ?1 AND (?2 IS NULL OR campaign = ?2) ORDER BY wall_ms DESC LIMIT ?3",
        ),
        Question::Flakiest => (
            "finding\tcheck\tfails in\truns\trepro",
            "SELECT finding.id, check_name, failed || ' of ' || replays, runs, repro FROM finding
             WHERE found >= ?1 AND (?2 IS NULL OR campaign = ?2) AND replays > 0 AND failed < replays
             ORDER BY failed * 1000 / replays, finding.id LIMIT ?3",
        ),
        Question::Failover => (
            "server\tenvironment\truns\tfailovers\tlongest ms: median\t90 %\tmost",
            "WITH waits AS (
                 SELECT server, environment, failovers, failover_ms,
                     row_number() OVER (PARTITION BY server, environment ORDER BY failover_ms) AS place,
                     count(*) OVER (PARTITION BY server, environment) AS of
                 FROM run JOIN campaign ON campaign.id = run.campaign
                 WHERE failover_ms IS NOT NULL AND run.started >= ?1 AND (?2 IS NULL OR campaign.id = ?2))
             SELECT server, environment, of, sum(failovers),
                 max(CASE WHEN place = (of + 1) / 2 THEN failover_ms END),
                 max(CASE WHEN place = (of * 9 + 9) / 10 THEN failover_ms END), max(failover_ms)
             FROM waits GROUP BY server, environment ORDER BY server, environment LIMIT ?3",
        ),
        Question::Rare => (
            "feature\truns\tfirst run\tcampaign",
            "SELECT name, runs, number, campaign FROM feature JOIN campaign ON campaign.id = campaign
             WHERE started >= ?1 AND (?2 IS NULL OR campaign = ?2) ORDER BY runs, name LIMIT ?3",
        ),
    };
    let rows = || {
        let mut statement = store.db().prepare(sql)?;
        let rows = statement.query_map(params![since, args.campaign, args.lines], texts)?;
        rows.collect::<rusqlite::Result<Vec<Vec<String>>>>()
    };
    let rows = store.or(rows())?;
    print(&table(title, &rows));
    Ok(Code::Passed)
}

/// A row as words.
fn texts(row: &Row<'_>) -> rusqlite::Result<Vec<String>> {
    let column = |at: usize| -> rusqlite::Result<String> {
        Ok(match row.get_ref(at)? {
            ValueRef::Null => "-".into(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => format!("{number:.1}"),
            ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
        })
    };
    (0..row.as_ref().column_count()).map(column).collect()
}

/// Columns under their titles; the last one is as long as it is.
pub fn table(title: &str, rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = title.split('\t').map(String::from).collect();
    let all: Vec<Vec<String>> = std::iter::once(&titles)
        .chain(rows)
        .map(|row| row.iter().map(|cell| on_one_line(cell).into_owned()).collect())
        .collect();
    let width = |at: usize| all.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut out = String::new();
    for row in &all {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:width$}  ").expect("a string takes all");
        }
        out += line.trim_end();
        out.push('\n');
    }
    if rows.is_empty() {
        out += "nothing\n";
    }
    out
}

/// Two campaigns: of the same timelines what came of each, and the times of their clients.
fn compare(store: &Store, one: i64, other: i64, args: &Args) -> super::Done {
    let lines = args.lines;
    let mut out = String::new();
    for id in [one, other] {
        let sql =
            "SELECT target || ' in ' || environment || ', ' || server || ', build ' || build FROM campaign
                   WHERE id = ?1";
        let known: rusqlite::Result<String> = store.db().query_row(sql, [id], |row| row.get(0));
        match known {
            Ok(system) => writeln!(out, "{id}: {system}").expect("a string takes all"),
            Err(rusqlite::Error::QueryReturnedNoRows) => {
                return Err(Failure::bad_input(format!("there is no campaign {id}"))
                    .hint("`fuzz results` lists those that there are"));
            }
            Err(error) => return store.or(Err(error)),
        }
    }
    if let Some(to) = &args.html {
        let compared = page::comparison(store, one, other, super::flags::typed())?;
        page::save(to, &crate::page::compare::page(&compared))?;
        writeln!(out, "the page of both: {}", to.display()).expect("a string takes all");
    }
    let both =
        "FROM run AS a JOIN run AS b ON b.timeline = a.timeline AND b.campaign = ?2 WHERE a.campaign = ?1";
    let sql = format!("SELECT count(*), coalesce(sum(a.verdict = b.verdict), 0) {both}");
    let counts =
        store.db().query_row(&sql, [one, other], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    let (shared, equal) = store.or(counts)?;
    writeln!(
        out,
        "{} runs of the same timelines, {} with the same verdict",
        thousands(shared as u64),
        thousands(equal as u64)
    )
    .expect("a string takes all");
    if shared == 0 {
        out += "campaigns in mode `random` with the same --seed and scenario run the same timelines\n";
        print(&out);
        return Ok(Code::Unknown);
    }
    let sql = format!(
        "SELECT a.seed, a.verdict, b.verdict, coalesce(a.why, b.why, '') {both} AND a.verdict <> b.verdict
         ORDER BY a.verdict <> 'fail' AND b.verdict <> 'fail', a.number LIMIT {lines}"
    );
    let rows = || {
        let mut statement = store.db().prepare(&sql)?;
        statement.query_map([one, other], texts)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let rows = store.or(rows())?;
    if !rows.is_empty() {
        out += &table(&format!("seed\t{one}\t{other}\twhy"), &rows);
    }
    out += "\n";
    let mut quantiles = Vec::new();
    for (name, column) in [
        ("mean latency, us", "latency_mean_us"),
        ("99 % of latencies, us", "latency_p99_us"),
        ("longest latency, us", "latency_max_us"),
        ("without a primary, ms", "failover_ms"),
        ("virtual time, ms", "virtual_ms"),
    ] {
        let mut row = vec![name.to_string()];
        for side in ["a", "b"] {
            let sql = format!("SELECT {side}.{column} {both} AND {side}.{column} IS NOT NULL ORDER BY 1");
            let values = || {
                let mut statement = store.db().prepare(&sql)?;
                statement.query_map([one, other], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()
            };
            let values = store.or(values())?;
            let at = |percent: usize| {
                let place = (values.len() * percent).div_ceil(100).max(1) - 1;
                values.get(place).map_or("-".into(), ToString::to_string)
            };
            row.extend([at(50), at(90), at(100)]);
        }
        quantiles.push(row);
    }
    let title = format!("of runs\t{one}: median\t90 %\tmost\t{other}: median\t90 %\tmost");
    out += &table(&title, &quantiles);
    print(&out);
    let regressed = rows.iter().any(|row| row[1] != "fail" && row[2] == "fail");
    Ok(if regressed { Code::Finding } else { Code::Passed })
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_stand_under_their_titles() {
        let rows = [vec!["1".to_string(), "a b".into()], vec!["1000".into(), "\u{1b}[1m".into()]];
        let text = table("number\twhat", &rows);
        assert_eq!(text.lines().nth(1), Some("1       a b"));
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(table("a", &[]), "a\nnothing\n");
    }
}
