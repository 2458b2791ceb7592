//! etcd's v3 API by its JSON gateway (<https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/>): what is asked, and what an
//! answer holds. Keys and values are base64 there, and 64-bit numbers are texts; what is zero is left out.

use super::http::{self, Response};
use crate::run::task::{CallError, Conn};
use crate::time::Micros;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Value as Json, json};

/// Why a call has no answer of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    Call(#[from] CallError),
    /// The server's own words, with the number that gRPC gives its kind.
    #[error("{text}")]
    Refused { code: i64, text: String },
    #[error("an answer that does not read: {0}")]
    Odd(String),
}

impl ApiError {
    /// Whether the server says that it did nothing. The codes are gRPC's (<https://grpc.io/docs/guides/status-codes/>),
    /// the errors etcd's (`api/v3rpc/rpctypes/error.go`): what is out of time or unavailable may have been proposed.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Call(CallError::Refused) => true,
            // Invalid argument, not found, exists already, resource exhausted, failed precondition, out of range, unimplemented.
            Self::Refused { code, .. } => matches!(code, 3 | 5 | 6 | 8 | 9 | 11 | 12),
            Self::Call(_) | Self::Odd(_) => false,
        }
    }
}

/// Sends a request and waits for its answer.
pub async fn call<T: for<'a> Deserialize<'a>>(
    conn: &Conn,
    path: &str,
    body: &Json,
    deadline: Micros,
) -> Result<T, ApiError> {
    answer(&ask(conn, path, body, deadline).await?)
}

/// Waits for the answer to a request that was sent before.
pub async fn read<T: for<'a> Deserialize<'a>>(conn: &Conn, deadline: Micros) -> Result<T, ApiError> {
    answer(&conn.read(deadline, http::response).await?)
}

/// As `call`, of a method that streams: the one message that comes back before the stream ends.
pub async fn call_stream<T: for<'a> Deserialize<'a>>(
    conn: &Conn,
    path: &str,
    body: &Json,
    deadline: Micros,
) -> Result<T, ApiError> {
    let response = ask(conn, path, body, deadline).await?;
    if response.status == 200 { streamed(&response.body) } else { answer(&response) }
}

async fn ask(conn: &Conn, path: &str, body: &Json, deadline: Micros) -> Result<Response, CallError> {
    conn.send_bytes(http::post(path, &body.to_string()));
    conn.read(deadline, http::response).await
}

fn answer<T: for<'a> Deserialize<'a>>(response: &Response) -> Result<T, ApiError> {
    if response.status != 200 {
        #[derive(Deserialize)]
        struct Words {
            #[serde(default)]
            code: i64,
            #[serde(default)]
            error: String,
            #[serde(default)]
            message: String,
        }
        let text = String::from_utf8_lossy(&response.body).trim().to_string();
        let words = serde_json::from_slice(&response.body).unwrap_or(Words {
            code: 0,
            error: format!("HTTP status {}: {text}", response.status),
            message: String::new(),
        });
        let text = if words.error.is_empty() { words.message } else { words.error };
        return Err(ApiError::Refused { code: words.code, text });
    }
    serde_json::from_slice(&response.body).map_err(|error| ApiError::Odd(error.to_string()))
}

fn number<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is no number")))
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}

/// A text as the gateway wants keys and values.
pub fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// What every answer begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Header {
    #[serde(default, deserialize_with = "number")]
    pub cluster_id: u64,
    #[serde(default, deserialize_with = "number")]
    pub member_id: u64,
    #[serde(default, deserialize_with = "number")]
    pub revision: i64,
    #[serde(default, deserialize_with = "number")]
    pub raft_term: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct KeyValue {
    #[serde(default, deserialize_with = "bytes")]
    pub key: Vec<u8>,
    #[serde(default, deserialize_with = "bytes")]
    pub value: Vec<u8>,
    #[serde(default, deserialize_with = "number")]
    pub create_revision: i64,
    #[serde(default, deserialize_with = "number")]
    pub mod_revision: i64,
    #[serde(default, deserialize_with = "number")]
    pub version: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Range {
    #[serde(default)]
    pub header: Header,
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

/// The answer to `put`, `compaction`, `defragment` and the like, of which nothing but the header is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Done {
    #[serde(default)]
    pub header: Header,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Deleted {
    #[serde(default)]
    pub header: Header,
    #[serde(default, deserialize_with = "number")]
    pub deleted: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Txn {
    #[serde(default)]
    pub header: Header,
    #[serde(default)]
    pub succeeded: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Status {
    #[serde(default)]
    pub header: Header,
    #[serde(default)]
    pub version: String,
    #[serde(default, deserialize_with = "number")]
    pub leader: u64,
    #[serde(default, rename = "raftTerm", deserialize_with = "number")]
    pub raft_term: u64,
    #[serde(default, rename = "raftIndex", deserialize_with = "number")]
    pub raft_index: u64,
    #[serde(default, rename = "raftAppliedIndex", deserialize_with = "number")]
    pub raft_applied_index: u64,
    #[serde(default)]
    pub errors: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Member {
    #[serde(default, rename = "ID", deserialize_with = "number")]
    pub id: u64,
    /// Empty until the member has been started.
    #[serde(default)]
    pub name: String,
    #[serde(default, rename = "peerURLs")]
    pub peer_urls: Vec<String>,
    #[serde(default, rename = "clientURLs")]
    pub client_urls: Vec<String>,
    #[serde(default, rename = "isLearner")]
    pub is_learner: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Members {
    #[serde(default)]
    pub header: Header,
    #[serde(default)]
    pub members: Vec<Member>,
    /// The new one, in the answer to an addition.
    pub member: Option<Member>,
}

/// A raised alarm, and the member that raised it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Alarm {
    #[serde(default, rename = "memberID", deserialize_with = "number")]
    pub member_id: u64,
    #[serde(default)]
    pub alarm: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Alarms {
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

/// A piece of a copy of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Piece {
    #[serde(default, deserialize_with = "number")]
    pub remaining_bytes: u64,
    #[serde(default, deserialize_with = "bytes")]
    pub blob: Vec<u8>,
}

/// One message of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct WatchAnswer {
    #[serde(default)]
    pub header: Header,
    #[serde(default)]
    pub created: bool,
    #[serde(default)]
    pub canceled: bool,
    #[serde(default, deserialize_with = "number")]
    pub compact_revision: i64,
    #[serde(default)]
    pub cancel_reason: String,
    #[serde(default)]
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// `DELETE`, or left out for a put.
    #[serde(default, rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub kv: KeyValue,
}

/// What is left of a lease, in the answers to a grant, a keep-alive and a question for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Remaining {
    /// In seconds; 0 or less where there is no such lease.
    #[serde(default, rename = "TTL", deserialize_with = "number")]
    pub seconds: i64,
    /// What it was granted for, where the answer says it.
    #[serde(default, rename = "grantedTTL", deserialize_with = "number")]
    pub granted: i64,
}

/// What the gateway makes of a stream: each message is in one of these.
#[derive(Clone, Debug, Deserialize)]
struct Streamed<T> {
    result: Option<T>,
    error: Option<Json>,
}

/// A message of a stream, or the error that ends it.
pub fn streamed<T: for<'a> Deserialize<'a>>(line: &[u8]) -> Result<T, ApiError> {
    let message: Streamed<T> =
        serde_json::from_slice(line).map_err(|error| ApiError::Odd(error.to_string()))?;
    match (message.result, message.error) {
        (Some(answer), _) => Ok(answer),
        (None, Some(error)) => {
            let text = error["message"].as_str().map_or_else(|| error.to_string(), Into::into);
            let code = error["grpc_code"].as_i64().or(error["code"].as_i64()).unwrap_or_default();
            Err(ApiError::Refused { code, text })
        }
        (None, None) => Err(ApiError::Odd("neither a result nor an error".into())),
    }
}

/// A watch of every key, and, if asked for, at once a request for a notification of progress. The gateway answers once
/// the body of the request has ended, so that nothing can be asked of a watch that runs.
pub fn watch(from: i64, progress: bool) -> String {
    let all = encoded("\0");
    let create =
        json!({"create_request": {"key": all, "range_end": all, "start_revision": from.to_string()}});
    if progress { format!("{create}\n{}", json!({"progress_request": {}})) } else { create.to_string() }
}

/// A member's id as etcd's own tools print it.
pub fn hex(id: u64) -> String {
    format!("{id:x}")
}

pub const STATUS: &str = "/v3/maintenance/status";
pub const MEMBERS: &str = "/v3/cluster/member/list";
pub const MEMBER_ADD: &str = "/v3/cluster/member/add";
pub const MEMBER_REMOVE: &str = "/v3/cluster/member/remove";
pub const MEMBER_PROMOTE: &str = "/v3/cluster/member/promote";
pub const ALARM: &str = "/v3/maintenance/alarm";
pub const SNAPSHOT: &str = "/v3/maintenance/snapshot";
pub const RANGE: &str = "/v3/kv/range";
pub const PUT: &str = "/v3/kv/put";
pub const DELETE: &str = "/v3/kv/deleterange";
pub const TXN: &str = "/v3/kv/txn";
pub const COMPACT: &str = "/v3/kv/compaction";
pub const DEFRAGMENT: &str = "/v3/maintenance/defragment";
pub const WATCH: &str = "/v3/watch";
pub const LEASE_GRANT: &str = "/v3/lease/grant";
pub const LEASE_KEEP_ALIVE: &str = "/v3/lease/keepalive";
pub const LEASE_LEFT: &str = "/v3/lease/timetolive";
pub const LEASE_REVOKE: &str = "/v3/lease/revoke";
pub const MOVE_LEADER: &str = "/v3/maintenance/transfer-leadership";

/// A key, read through the log, or as this member has it.
pub fn range(key: &str, serializable: bool) -> Json {
    json!({"key": encoded(key), "serializable": serializable})
}

/// Puts a key if it was last changed at this revision; 0 stands for a key that is not there.
pub fn put_if_at(key: &str, revision: i64, value: &str) -> Json {
    let key = encoded(key);
    json!({
        "compare": [{"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string()}],
        "success": [{"request_put": {"key": key, "value": encoded(value)}}],
    })
}

/// A lease of this id for so many seconds.
pub fn grant(id: i64, seconds: u64) -> Json {
    json!({"ID": id.to_string(), "TTL": seconds.to_string()})
}

/// Puts so many keys of this prefix under a lease, all or none.
pub fn attach(lease: i64, prefix: &str, keys: u32) -> Json {
    let put = |number: u32| {
        let key = encoded(&format!("{prefix}{number}"));
        json!({"request_put": {"key": key, "value": encoded("held"), "lease": lease.to_string()}})
    };
    json!({"success": (0..keys).map(put).collect::<Vec<Json>>()})
}

/// All keys of a prefix, which ends in `/`, read through the log.
pub fn count(prefix: &str) -> Json {
    let end = prefix.strip_suffix('/').map_or_else(String::new, |stem| format!("{stem}0"));
    json!({"key": encoded(prefix), "range_end": encoded(&end)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_lease_is_read_from_each_answer() {
        let granted = Response { status: 200, body: br#"{"header":{},"ID":"1000000","TTL":"3"}"#.to_vec() };
        assert_eq!(answer(&granted), Ok(Remaining { seconds: 3, granted: 0 }));
        let kept = br#"{"result":{"header":{"revision":"7"},"ID":"1000000","TTL":"3"}}"#;
        assert_eq!(streamed(kept), Ok(Remaining { seconds: 3, granted: 0 }));
        // Of a lease that is not there: nothing in a stream, and a number below zero where it is asked for.
        assert_eq!(streamed(br#"{"result":{"ID":"1000000"}}"#), Ok(Remaining::default()));
        let left = Response { status: 200, body: br#"{"ID":"1000000","TTL":"-1"}"#.to_vec() };
        assert_eq!(answer(&left), Ok(Remaining { seconds: -1, granted: 0 }));
    }

    #[test]
    fn answers_are_read_with_what_is_zero_left_out() {
        let status = br#"{"header":{"cluster_id":"6964728607212473779","member_id":"9685874076489904787","revision":"1","raft_term":"2"},"version":"3.4.23","dbSize":"20480","leader":"9685874076489904787","raftIndex":"4","raftTerm":"2","raftAppliedIndex":"4","dbSizeInUse":"20480"}"#;
        let status: Status = answer(&Response { status: 200, body: status.to_vec() }).expect("it reads");
        assert_eq!(
            (status.leader, status.raft_term, status.raft_applied_index),
            (9_685_874_076_489_904_787, 2, 4)
        );
        assert_eq!(hex(status.header.member_id), "866b232794587293");
        let range = br#"{"header":{"revision":"2"},"kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"2","version":"1","value":"Yg=="}],"count":"1"}"#;
        let range: Range = answer(&Response { status: 200, body: range.to_vec() }).expect("it reads");
        assert_eq!((range.kvs[0].key.as_slice(), range.kvs[0].value.as_slice()), (&b"a"[..], &b"b"[..]));
        let nothing: Range = answer(&Response { status: 200, body: b"{}".to_vec() }).expect("it reads");
        assert_eq!(nothing, Range::default());
    }

    #[test]
    fn a_refusal_is_told_from_what_may_have_happened() {
        let refused = |body: &str, status| {
            answer::<Done>(&Response { status, body: body.into() }).expect_err("an error")
        };
        let future =
            refused(r#"{"error":"etcdserver: mvcc: required revision is a future revision","code":11}"#, 400);
        assert_eq!(future.to_string(), "etcdserver: mvcc: required revision is a future revision");
        assert!(future.is_refusal());
        assert!(!refused(r#"{"error":"etcdserver: request timed out","code":14}"#, 503).is_refusal());
        assert!(!refused("Bad Gateway", 502).is_refusal());
        assert!(ApiError::Call(CallError::Refused).is_refusal(), "nothing was sent");
        assert!(!ApiError::Call(CallError::Timeout).is_refusal());
    }
}
