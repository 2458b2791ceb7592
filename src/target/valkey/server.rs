//! Which server a binary is, by what it prints for `--version`.

use std::fmt;

/// The two servers that speak the same cluster protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    Redis,
    Valkey,
}

/// A server by kind and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    pub kind: ServerKind,
    pub version: (u16, u16, u16),
}

/// The oldest version whose cluster commands (`ADDSLOTSRANGE`, ACL, `WAITAOF` aside) the operations use.
pub const OLDEST: (u16, u16, u16) = (7, 0, 0);

impl Server {
    /// Reads the line that `--version` prints: `Redis server v=7.0.15 sha=...` or `Valkey server v=8.0.1 ...`.
    /// `None` for anything else.
    pub fn from_version(output: &str) -> Option<Self> {
        let line = output.lines().find(|line| line.contains(" server v="))?;
        let kind = if line.starts_with("Valkey") {
            ServerKind::Valkey
        } else if line.starts_with("Redis") {
            ServerKind::Redis
        } else {
            return None;
        };
        let text = line.split_once(" v=")?.1.split_ascii_whitespace().next()?;
        // A development build calls itself 255.255.255.
        let mut parts = text.split('.').map(|part| part.parse::<u16>().ok());
        let mut part = || parts.next().flatten();
        Some(Self { kind, version: (part()?, part()?, part().unwrap_or(0)) })
    }

    /// Why this server will not do, completing "the server ...".
    pub fn unfit(&self) -> Option<String> {
        (self.version < OLDEST)
            .then(|| format!("is {self}, older than {}.{}, the oldest that is supported", OLDEST.0, OLDEST.1))
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.version;
        write!(f, "{} {major}.{minor}.{patch}", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_by_their_version_line() {
        let redis =
            "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=d81b8ff71cfb150e\n";
        let server = Server::from_version(redis).expect("a redis server");
        assert_eq!(server, Server { kind: ServerKind::Redis, version: (7, 0, 15) });
        assert_eq!(server.to_string(), "redis 7.0.15");
        assert_eq!(server.unfit(), None);
        let valkey = "wrapper: starting\nValkey server v=8.0.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1f\n";
        let server = Server::from_version(valkey).expect("a valkey server");
        assert_eq!(server, Server { kind: ServerKind::Valkey, version: (8, 0, 1) });
    }

    #[test]
    fn anything_else_is_no_server() {
        for output in
            ["", "redis-cli 7.0.15", "etcd Version: 3.4.30", "KeyDB server v=6.3.4 sha=0", "Redis server v=x"]
        {
            assert_eq!(Server::from_version(output), None, "{output}");
        }
        let old = Server::from_version("Redis server v=6.2.1 sha=0").expect("it is one");
        assert!(old.unfit().is_some());
    }
}
