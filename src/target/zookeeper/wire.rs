//! ZooKeeper's client protocol, as bytes: what a client asks, and what a server answers or tells by itself.
//!
//! Fields and their order are those of `zookeeper.jute`, operation codes those of `ZooDefs.OpCode`, both of ZooKeeper
//! 3.8. Every request but the first of a connection has a number (xid), and its answer repeats it; a few numbers below
//! zero are reserved for what is not an answer. What is read here is checked to the last byte.

use super::code::Code;
use super::jute::{self, Fields};
use std::fmt;

/// An operation, by its number in `ZooDefs.OpCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpCode(pub i32);

impl OpCode {
    pub const CREATE: Self = Self(1);
    pub const DELETE: Self = Self(2);
    pub const EXISTS: Self = Self(3);
    pub const GET_DATA: Self = Self(4);
    pub const SET_DATA: Self = Self(5);
    pub const GET_ACL: Self = Self(6);
    pub const SET_ACL: Self = Self(7);
    pub const GET_CHILDREN: Self = Self(8);
    pub const SYNC: Self = Self(9);
    pub const PING: Self = Self(11);
    pub const GET_CHILDREN2: Self = Self(12);
    pub const CHECK: Self = Self(13);
    pub const MULTI: Self = Self(14);
    pub const CREATE2: Self = Self(15);
    pub const RECONFIG: Self = Self(16);
    pub const CHECK_WATCHES: Self = Self(17);
    pub const REMOVE_WATCHES: Self = Self(18);
    pub const CREATE_CONTAINER: Self = Self(19);
    pub const CREATE_TTL: Self = Self(21);
    pub const MULTI_READ: Self = Self(22);
    pub const AUTH: Self = Self(100);
    pub const GET_EPHEMERALS: Self = Self(103);
    pub const COUNT_DESCENDANTS: Self = Self(104);
    pub const SET_WATCHES2: Self = Self(105);
    pub const ADD_WATCH: Self = Self(106);
    pub const CLOSE_SESSION: Self = Self(-11);
    /// A part of a `multi` that came to nothing, and the end of its parts.
    const ERROR: Self = Self(-1);
}

/// The numbers of what is no answer to a numbered request.
pub const XID_NOTIFICATION: i32 = -1;
pub const XID_PING: i32 = -2;
pub const XID_AUTH: i32 = -4;
pub const XID_SET_WATCHES: i32 = -8;

/// Any version will do.
pub const ANY_VERSION: i32 = -1;

/// What a node in the tree is told of itself. Times are those of the leader's wall clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    pub created_zxid: i64,
    pub modified_zxid: i64,
    pub created_ms: i64,
    pub modified_ms: i64,
    pub version: i32,
    pub children_version: i32,
    pub acl_version: i32,
    /// The session that it ends with; 0 for none. Containers and nodes with a time to live have values of their own.
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub children: i32,
    pub children_zxid: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Read 1, write 2, create 4, delete 8, administer 16.
    pub permissions: i32,
    pub scheme: String,
    pub id: String,
}

impl Acl {
    pub const ALL: i32 = 31;

    pub fn everybody(permissions: i32) -> Self {
        Self { permissions, scheme: "world".into(), id: "anyone".into() }
    }
}

/// What kind of node is created, as `CreateMode` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateMode {
    Persistent,
    Ephemeral,
    PersistentSequential,
    EphemeralSequential,
    /// Goes once its last child has gone.
    Container,
    /// Goes when it has no children and was not changed for so many milliseconds.
    Ttl(i64),
    TtlSequential(i64),
}

impl CreateMode {
    const fn flag(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral => 1,
            Self::PersistentSequential => 2,
            Self::EphemeralSequential => 3,
            Self::Container => 4,
            Self::Ttl(_) => 5,
            Self::TtlSequential(_) => 6,
        }
    }
}

/// What `addWatch` registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    Persistent,
    PersistentRecursive,
}

/// Which watches `removeWatches` takes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    Children,
    Data,
    Any,
}

/// The watches that a client still has when it connects again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchesAgain {
    /// The newest transaction that the client has seen: what happened since is told at once.
    pub seen_zxid: i64,
    pub data: Vec<String>,
    pub exists: Vec<String>,
    pub children: Vec<String>,
    pub persistent: Vec<String>,
    pub recursive: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Answered with the path and its state (`create2`, `createContainer` or `createTTL`); in a `multi` with the path
    /// alone.
    Create {
        path: String,
        data: Vec<u8>,
        acl: Vec<Acl>,
        mode: CreateMode,
    },
    Delete {
        path: String,
        version: i32,
    },
    Exists {
        path: String,
        watch: bool,
    },
    GetData {
        path: String,
        watch: bool,
    },
    SetData {
        path: String,
        data: Vec<u8>,
        version: i32,
    },
    GetAcl {
        path: String,
    },
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: i32,
    },
    GetChildren {
        path: String,
        watch: bool,
    },
    Sync {
        path: String,
    },
    /// Part of a `multi`.
    Check {
        path: String,
        version: i32,
    },
    Multi(Vec<Self>),
    /// `GetData` and `GetChildren` alone.
    MultiRead(Vec<Self>),
    Reconfig {
        joining: Option<String>,
        leaving: Option<String>,
        /// All members at once, in place of the two above.
        members: Option<String>,
        /// The configuration that it is meant for, -1 for any.
        from_config: i64,
    },
    AddWatch {
        path: String,
        mode: WatchMode,
    },
    RemoveWatches {
        path: String,
        kind: WatchKind,
    },
    SetWatches(WatchesAgain),
    Auth {
        scheme: String,
        auth: Vec<u8>,
    },
    GetEphemerals {
        prefix: String,
    },
    CountDescendants {
        path: String,
    },
    Ping,
    CloseSession,
}

impl Request {
    pub const fn op(&self) -> OpCode {
        match self {
            Self::Create { mode: CreateMode::Container, .. } => OpCode::CREATE_CONTAINER,
            Self::Create { mode: CreateMode::Ttl(_) | CreateMode::TtlSequential(_), .. } => {
                OpCode::CREATE_TTL
            }
            Self::Create { .. } => OpCode::CREATE2,
            Self::Delete { .. } => OpCode::DELETE,
            Self::Exists { .. } => OpCode::EXISTS,
            Self::GetData { .. } => OpCode::GET_DATA,
            Self::SetData { .. } => OpCode::SET_DATA,
            Self::GetAcl { .. } => OpCode::GET_ACL,
            Self::SetAcl { .. } => OpCode::SET_ACL,
            Self::GetChildren { .. } => OpCode::GET_CHILDREN2,
            Self::Sync { .. } => OpCode::SYNC,
            Self::Check { .. } => OpCode::CHECK,
            Self::Multi(_) => OpCode::MULTI,
            Self::MultiRead(_) => OpCode::MULTI_READ,
            Self::Reconfig { .. } => OpCode::RECONFIG,
            Self::AddWatch { .. } => OpCode::ADD_WATCH,
            Self::RemoveWatches { .. } => OpCode::REMOVE_WATCHES,
            Self::SetWatches(_) => OpCode::SET_WATCHES2,
            Self::Auth { .. } => OpCode::AUTH,
            Self::GetEphemerals { .. } => OpCode::GET_EPHEMERALS,
            Self::CountDescendants { .. } => OpCode::COUNT_DESCENDANTS,
            Self::Ping => OpCode::PING,
            Self::CloseSession => OpCode::CLOSE_SESSION,
        }
    }

    /// The operation code as a part of a `multi`, which knows older ones.
    const fn op_as_part(&self) -> OpCode {
        match (self, self.op()) {
            (Self::GetChildren { .. }, _) => OpCode::GET_CHILDREN,
            (_, OpCode::CREATE2) => OpCode::CREATE,
            (_, op) => op,
        }
    }

    /// The number that it must have, where the protocol says so.
    pub const fn fixed_xid(&self) -> Option<i32> {
        match self {
            Self::Ping => Some(XID_PING),
            Self::Auth { .. } => Some(XID_AUTH),
            Self::SetWatches(_) => Some(XID_SET_WATCHES),
            _ => None,
        }
    }

    /// Appends it as a frame.
    pub fn encode(&self, xid: i32, out: &mut Vec<u8>) {
        let began = jute::begin(out);
        jute::int(out, self.fixed_xid().unwrap_or(xid));
        jute::int(out, self.op().0);
        self.fields(out);
        jute::end(out, began);
    }

    fn fields(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create { path, data, acl, mode } => {
                jute::text(out, path);
                jute::buffer(out, data);
                acls(out, acl);
                jute::int(out, mode.flag());
                if let CreateMode::Ttl(millis) | CreateMode::TtlSequential(millis) = mode {
                    jute::long(out, *millis);
                }
            }
            Self::Delete { path, version } | Self::Check { path, version } => {
                jute::text(out, path);
                jute::int(out, *version);
            }
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch } => {
                jute::text(out, path);
                jute::boolean(out, *watch);
            }
            Self::SetData { path, data, version } => {
                jute::text(out, path);
                jute::buffer(out, data);
                jute::int(out, *version);
            }
            Self::SetAcl { path, acl, version } => {
                jute::text(out, path);
                acls(out, acl);
                jute::int(out, *version);
            }
            Self::GetAcl { path }
            | Self::Sync { path }
            | Self::GetEphemerals { prefix: path }
            | Self::CountDescendants { path } => jute::text(out, path),
            Self::Multi(parts) | Self::MultiRead(parts) => {
                for part in parts {
                    part_head(out, part.op_as_part(), false);
                    part.fields(out);
                }
                part_head(out, OpCode::ERROR, true);
            }
            Self::Reconfig { joining, leaving, members, from_config } => {
                for servers in [joining, leaving, members] {
                    jute::optional(out, servers.as_deref());
                }
                jute::long(out, *from_config);
            }
            Self::AddWatch { path, mode } => {
                jute::text(out, path);
                jute::int(out, i32::from(*mode == WatchMode::PersistentRecursive));
            }
            Self::RemoveWatches { path, kind } => {
                jute::text(out, path);
                jute::int(
                    out,
                    match kind {
                        WatchKind::Children => 1,
                        WatchKind::Data => 2,
                        WatchKind::Any => 3,
                    },
                );
            }
            Self::SetWatches(again) => {
                jute::long(out, again.seen_zxid);
                for paths in
                    [&again.data, &again.exists, &again.children, &again.persistent, &again.recursive]
                {
                    jute::texts(out, paths);
                }
            }
            Self::Auth { scheme, auth } => {
                jute::int(out, 0);
                jute::text(out, scheme);
                jute::buffer(out, auth);
            }
            Self::Ping | Self::CloseSession => {}
        }
    }
}

fn part_head(out: &mut Vec<u8>, op: OpCode, last: bool) {
    jute::int(out, op.0);
    jute::boolean(out, last);
    jute::int(out, -1);
}

fn acls(out: &mut Vec<u8>, acl: &[Acl]) {
    jute::int(out, i32::try_from(acl.len()).expect("a list is far below 2 G entries"));
    for one in acl {
        jute::int(out, one.permissions);
        jute::text(out, &one.scheme);
        jute::text(out, &one.id);
    }
}

/// The first that a client says on a connection: for a new session, or to go on with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// A server that has seen less refuses by closing the connection.
    pub seen_zxid: i64,
    pub timeout_ms: i32,
    pub session: i64,
    pub password: Vec<u8>,
    /// Whether a server that has lost its quorum will do.
    pub read_only: bool,
}

impl ConnectRequest {
    pub fn encode(&self, out: &mut Vec<u8>) {
        let began = jute::begin(out);
        jute::int(out, 0);
        jute::long(out, self.seen_zxid);
        jute::int(out, self.timeout_ms);
        jute::long(out, self.session);
        jute::buffer(out, &self.password);
        jute::boolean(out, self.read_only);
        jute::end(out, began);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// As negotiated; 0 where the session is no more.
    pub timeout_ms: i32,
    pub session: i64,
    pub password: Vec<u8>,
    pub read_only: bool,
}

impl ConnectResponse {
    pub fn decode(frame: &[u8]) -> Result<Self, String> {
        let mut fields = Fields::new(frame);
        let _version = fields.int()?;
        let response = Self {
            timeout_ms: fields.int()?,
            session: fields.long()?,
            password: fields.buffer()?.unwrap_or_default().to_vec(),
            // Servers before 3.4 do not say.
            read_only: !fields.is_empty() && fields.boolean()?,
        };
        fields.done()?;
        Ok(response)
    }
}

/// What a frame begins with: whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub xid: i32,
    /// The last transaction that the server has applied when it answered.
    pub zxid: i64,
    pub code: Code,
}

/// What a request was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    Path(String),
    Created(String, Stat),
    Stat(Stat),
    Data(Vec<u8>, Stat),
    Children(Vec<String>, Option<Stat>),
    Acl(Vec<Acl>, Stat),
    Count(i32),
    /// One for each part. Of a `multi` that came to nothing every part has a code: [`Code::OK`] before the one that was
    /// refused, [`Code::RUNTIME_INCONSISTENCY`] behind it.
    Parts(Vec<Result<Self, Code>>),
}

impl Head {
    /// Takes it off a frame; what follows is for [`Answer::decode`] or [`Notification::decode`].
    pub fn take(fields: &mut Fields<'_>) -> Result<Self, String> {
        Ok(Self { xid: fields.int()?, zxid: fields.long()?, code: Code(fields.int()?) })
    }
}

impl Answer {
    /// Reads the answer of an operation that came to something.
    pub fn decode(op: OpCode, fields: &mut Fields<'_>) -> Result<Self, String> {
        let answer = match op {
            OpCode::CREATE | OpCode::SYNC => Self::Path(fields.text()?),
            OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                Self::Created(fields.text()?, stat(fields)?)
            }
            OpCode::EXISTS | OpCode::SET_DATA | OpCode::SET_ACL => Self::Stat(stat(fields)?),
            OpCode::GET_DATA | OpCode::RECONFIG => {
                Self::Data(fields.buffer()?.unwrap_or_default().to_vec(), stat(fields)?)
            }
            OpCode::GET_CHILDREN | OpCode::GET_EPHEMERALS => Self::Children(fields.list(Fields::text)?, None),
            OpCode::GET_CHILDREN2 => Self::Children(fields.list(Fields::text)?, Some(stat(fields)?)),
            OpCode::GET_ACL => {
                let acl = fields.list(|fields| {
                    Ok(Acl { permissions: fields.int()?, scheme: fields.text()?, id: fields.text()? })
                })?;
                Self::Acl(acl, stat(fields)?)
            }
            // An `ErrorResponse` that says so once more.
            OpCode::ADD_WATCH => fields.int().map(|_| Self::Nothing)?,
            OpCode::COUNT_DESCENDANTS => Self::Count(fields.int()?),
            OpCode::MULTI | OpCode::MULTI_READ => Self::Parts(parts(fields)?),
            _ => Self::Nothing,
        };
        Ok(answer)
    }

    pub fn stat(&self) -> Option<&Stat> {
        match self {
            Self::Created(_, stat) | Self::Stat(stat) | Self::Data(_, stat) | Self::Acl(_, stat) => {
                Some(stat)
            }
            Self::Children(_, stat) => stat.as_ref(),
            _ => None,
        }
    }
}

fn parts(fields: &mut Fields<'_>) -> Result<Vec<Result<Answer, Code>>, String> {
    let mut parts = Vec::new();
    loop {
        let op = OpCode(fields.int()?);
        let last = fields.boolean()?;
        let _code = fields.int()?;
        if last {
            return Ok(parts);
        }
        parts.push(match op {
            OpCode::ERROR => Err(Code(fields.int()?)),
            OpCode::MULTI | OpCode::MULTI_READ => return Err("a part of a multi that has parts".into()),
            op => Ok(Answer::decode(op, fields)?),
        });
    }
}

fn stat(fields: &mut Fields<'_>) -> Result<Stat, String> {
    Ok(Stat {
        created_zxid: fields.long()?,
        modified_zxid: fields.long()?,
        created_ms: fields.long()?,
        modified_ms: fields.long()?,
        version: fields.int()?,
        children_version: fields.int()?,
        acl_version: fields.int()?,
        ephemeral_owner: fields.long()?,
        data_length: fields.int()?,
        children: fields.int()?,
        children_zxid: fields.long()?,
    })
}

/// What happened to a watched path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    Created,
    Deleted,
    DataChanged,
    ChildrenChanged,
    /// A watch was taken off, of its data, children or both.
    WatchRemoved,
    /// Nothing to a path: the state of the session changed.
    Session,
}

/// A watch that fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub happened: Happened,
    pub state: i32,
    pub path: String,
}

impl Notification {
    pub fn decode(fields: &mut Fields<'_>) -> Result<Self, String> {
        let happened = match fields.int()? {
            -1 => Happened::Session,
            1 => Happened::Created,
            2 => Happened::Deleted,
            3 => Happened::DataChanged,
            4 => Happened::ChildrenChanged,
            5..=7 => Happened::WatchRemoved,
            other => return Err(format!("a notification of type {other}")),
        };
        Ok(Self { happened, state: fields.int()?, path: fields.text()? })
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Deleted => "deleted",
            Self::DataChanged => "data changed",
            Self::ChildrenChanged => "children changed",
            Self::WatchRemoved => "watch removed",
            Self::Session => "session",
        })
    }
}
