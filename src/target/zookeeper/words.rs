//! Four-letter words: what an administrator asks a server in place of a session. The server answers in lines of text and
//! closes the connection. Which words it takes is its `4lw.commands.whitelist`.

/// What it says of itself in the shortest way: asked at every look.
pub const SRVR: &[u8] = b"srvr";
/// Everything that is counted.
pub const MNTR: &[u8] = b"mntr";
/// The settings in force and who belongs to the ensemble.
pub const CONF: &[u8] = b"conf";

/// How a server serves, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Leader,
    Follower,
    Observer,
    /// Alone, without an ensemble.
    Standalone,
    /// Without a quorum, for those who asked for that.
    ReadOnly,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Serves(Standing),
    /// It runs and looks for a leader.
    Looks,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub mode: Mode,
    /// As it calls itself, without the build.
    pub version: String,
    /// The last transaction that it has applied; 0 where it does not say.
    pub zxid: i64,
    pub outstanding: u64,
    pub nodes: u64,
    /// Sessions of the ensemble; `None` where it was not asked.
    pub sessions: Option<u64>,
    /// Followers that a leader counts as in step.
    pub synced_followers: Option<u64>,
}

/// The half of a transaction's number that counts leaders.
pub const fn epoch(zxid: i64) -> u64 {
    zxid.unsigned_abs() >> 32
}

/// What a server answers to all words but a few while it looks for a leader.
const LOOKS: &str = "This ZooKeeper instance is not currently serving requests";
/// What it answers to a word that is not on its list.
const NOT_LISTED: &str = "is not executed because it is not in the whitelist";

/// Reads the answer to `srvr` (or `stat`, which holds the same).
pub fn srvr(answer: &str) -> Result<Told, String> {
    if let Some(told) = refused(answer)? {
        return Ok(told);
    }
    let field = |name: &str| {
        answer.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).ok_or(format!("no `{name}`"))
    };
    let number =
        |name: &str| field(name).and_then(|text| text.parse().map_err(|_| format!("`{name}` is {text:?}")));
    Ok(Told::Serves(Standing {
        mode: mode(field("Mode:")?)?,
        version: version(field("Zookeeper version:")?),
        zxid: hex(field("Zxid:")?)?,
        outstanding: number("Outstanding:")?,
        nodes: number("Node count:")?,
        sessions: None,
        synced_followers: None,
    }))
}

/// Reads the answer to `mntr`, which does not tell the last transaction on every server.
pub fn mntr(answer: &str) -> Result<Told, String> {
    if let Some(told) = refused(answer)? {
        return Ok(told);
    }
    let found = |name: &str| {
        answer
            .lines()
            .find_map(|line| line.split_once('\t').filter(|(key, _)| *key == name))
            .map(|(_, v)| v.trim())
    };
    let field = |name: &str| found(name).ok_or(format!("no `{name}`"));
    let number =
        |name: &str| field(name).and_then(|text| text.parse().map_err(|_| format!("`{name}` is {text:?}")));
    Ok(Told::Serves(Standing {
        mode: mode(field("zk_server_state")?)?,
        version: version(field("zk_version")?),
        zxid: found("zk_zxid").map_or(Ok(0), hex)?,
        outstanding: number("zk_outstanding_requests")?,
        nodes: number("zk_znode_count")?,
        sessions: found("zk_global_sessions").and_then(|text| text.parse().ok()),
        synced_followers: found("zk_synced_followers").and_then(|text| text.parse().ok()),
    }))
}

/// The members of the ensemble as `conf` lists them: `server.1=...`, by number, in its order.
pub fn members(answer: &str) -> Vec<(u64, String)> {
    answer
        .lines()
        .filter_map(|line| line.trim().strip_prefix("server.")?.split_once('='))
        .filter_map(|(number, place)| Some((number.parse().ok()?, place.to_string())))
        .collect()
}

/// The version of the configuration in force, as `conf` tells it.
pub fn version_of(answer: &str) -> Option<i64> {
    answer.lines().rev().find_map(|line| hex(line.trim().strip_prefix("version=")?).ok())
}

fn refused(answer: &str) -> Result<Option<Told>, String> {
    if answer.contains(LOOKS) {
        return Ok(Some(Told::Looks));
    }
    if answer.contains(NOT_LISTED) {
        return Err(answer.trim().into());
    }
    if answer.is_empty() { Err("an empty answer".into()) } else { Ok(None) }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "leader" => Ok(Mode::Leader),
        "follower" => Ok(Mode::Follower),
        "observer" => Ok(Mode::Observer),
        "standalone" => Ok(Mode::Standalone),
        "read-only" => Ok(Mode::ReadOnly),
        other => Err(format!("the mode `{other}`")),
    }
}

/// `3.8.0-${mvngit.commit.id}, built on ...` is version 3.8.0.
fn version(text: &str) -> String {
    text.trim_start_matches('v')
        .split(|c: char| c != '.' && !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
        .into()
}

fn hex(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    i64::from_str_radix(digits, 16).map_err(|_| format!("a transaction called {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ZooKeeper 3.8.0 of Debian answers.
    const LEADER: &str = "Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC\n\
        Latency min/avg/max: 0/0.0/0\nReceived: 1\nSent: 0\nConnections: 1\nOutstanding: 0\nZxid: 0x100000000\n\
        Mode: leader\nNode count: 5\nProposal sizes last/min/max: -1/-1/-1\n";

    #[test]
    fn a_server_tells_its_role_and_its_last_transaction() {
        let Ok(Told::Serves(standing)) = srvr(LEADER) else { panic!("it serves") };
        assert_eq!((standing.mode, standing.zxid, standing.nodes), (Mode::Leader, 0x1_0000_0000, 5));
        assert_eq!(standing.version, "3.8.0");
        assert_eq!(epoch(standing.zxid), 1);
    }

    #[test]
    fn a_server_without_a_leader_or_a_word_says_so() {
        assert_eq!(srvr("This ZooKeeper instance is not currently serving requests\n"), Ok(Told::Looks));
        assert!(srvr("srvr is not executed because it is not in the whitelist.\n").is_err());
        assert!(srvr("").is_err());
        assert!(srvr("HTTP/1.1 400 Bad Request\r\n").is_err());
    }

    #[test]
    fn what_is_counted_is_read_by_name() {
        let answer = "zk_version\t3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC\n\
            zk_server_state\tleader\nzk_outstanding_requests\t3\nzk_znode_count\t5\nzk_global_sessions\t2\n\
            zk_synced_followers\t2\nzk_avg_latency\t0.0\n";
        let Ok(Told::Serves(standing)) = mntr(answer) else { panic!("it serves") };
        assert_eq!(
            (standing.outstanding, standing.sessions, standing.synced_followers),
            (3, Some(2), Some(2))
        );
    }

    #[test]
    fn members_are_those_of_the_configuration_in_force() {
        let answer = "clientPort=21812\nmembership: \nserver.1=127.0.0.1:28881:38881:participant;127.0.0.1:21811\n\
            server.3=127.0.0.1:28883:38883:participant;127.0.0.1:21813\nversion=100000000";
        let members = members(answer);
        assert_eq!(members.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(version_of(answer), Some(0x1_0000_0000));
        assert_eq!(version_of("clientPort=21812"), None);
        assert!(members[1].1.ends_with(";127.0.0.1:21813"));
    }
}
