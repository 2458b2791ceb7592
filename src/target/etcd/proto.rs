//! The messages of etcd's watches, as gRPC carries them: what is asked for here of `etcdserverpb/rpc.proto` and
//! `mvccpb/kv.proto`, with the numbers of their fields (<https://github.com/etcd-io/etcd/blob/v3.4.23/etcdserver/etcdserverpb/rpc.proto>).
//! What is left out of them is passed over when it comes.

use prost::{Enumeration, Message, Oneof};

/// The method that all of them are for.
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// By this number an answer speaks of all watches of its stream.
pub const ALL: i64 = -1;

#[derive(Clone, PartialEq, Eq, Message)]
pub struct WatchRequest {
    #[prost(oneof = "Request", tags = "1, 2, 3")]
    pub request: Option<Request>,
}

#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Request {
    #[prost(message, tag = "1")]
    Create(Create),
    #[prost(message, tag = "2")]
    Cancel(Cancel),
    #[prost(message, tag = "3")]
    Progress(Progress),
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Create {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// Behind the last key; one zero byte stands for no end.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
    /// It is to be told its progress now and then while nothing happens.
    #[prost(bool, tag = "4")]
    pub progress_notify: bool,
    /// Chosen by the client; 0 leaves it to the server.
    #[prost(int64, tag = "7")]
    pub watch_id: i64,
    /// What is too large for one message may come in several.
    #[prost(bool, tag = "8")]
    pub fragment: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Cancel {
    #[prost(int64, tag = "1")]
    pub watch_id: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Progress {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Header {
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct WatchResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    #[prost(bool, tag = "3")]
    pub created: bool,
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// More of the same follows.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Kind {
    Put = 0,
    Delete = 1,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Event {
    #[prost(enumeration = "Kind", tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    #[prost(int64, tag = "4")]
    pub version: i64,
}

impl From<Request> for WatchRequest {
    fn from(request: Request) -> Self {
        Self { request: Some(request) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are what the tools of Protocol Buffers make of the same messages by hand.
    #[test]
    fn messages_are_those_of_the_servers_definition() {
        let create = Create {
            key: b"a".to_vec(),
            range_end: vec![0],
            start_revision: 300,
            progress_notify: true,
            watch_id: 7,
            fragment: true,
        };
        let bytes = WatchRequest::from(Request::Create(create)).encode_to_vec();
        assert_eq!(bytes, b"\x0a\x0f\x0a\x01a\x12\x01\0\x18\xac\x02\x20\x01\x38\x07\x40\x01");
        let bytes = WatchRequest::from(Request::Cancel(Cancel { watch_id: 7 })).encode_to_vec();
        assert_eq!(bytes, b"\x12\x02\x08\x07");
        let bytes = WatchRequest::from(Request::Progress(Progress {})).encode_to_vec();
        assert_eq!(bytes, b"\x1a\0");
        // With fields that nobody here asks for, such as the key as it was before it was deleted.
        let answer = b"\x0a\x06\x08\x09\x18\x05\x20\x02\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\
                       \x5a\x0e\x08\x01\x12\x05\x0a\x01a\x18\x05\x1a\x03\x0a\x01a";
        assert!(WatchResponse::decode(&answer[..answer.len() - 1]).is_err(), "cut short");
        let read = WatchResponse::decode(&answer[..]).expect("whole");
        let revision = read.header.map(|header| header.revision);
        assert_eq!((revision, read.watch_id, read.events.len()), (Some(5), ALL, 1));
        let event = &read.events[0];
        assert_eq!(event.kind(), Kind::Delete);
        assert_eq!(event.kv.as_ref().map(|kv| (kv.key.as_slice(), kv.mod_revision)), Some((&b"a"[..], 5)));
    }
}
