//! A session: what a client keeps between connections, and what it may expect on one. No input or output: bytes go in,
//! bytes come out, and whoever owns the connection decides when.
//!
//! A session outlives its connections for as long as its timeout, on whichever server it goes on. Its answers come in
//! the order of its requests, and a watch that fired is told before the answer that shows the change. Watches live on
//! one connection: when the session goes on, what is still watched is registered again (`SetWatches2`), and the server
//! tells at once what has happened since the newest transaction that the client has seen.

use super::code::Code;
use super::jute::{self, Fields};
use super::watches::Watches;
use super::wire::{
    Answer, ConnectRequest, ConnectResponse, Head, Notification, OpCode, Request, XID_AUTH, XID_NOTIFICATION,
    XID_PING, XID_SET_WATCHES,
};
use std::collections::VecDeque;

/// A client's session. The same one is used for all of its connections, one at a time.
#[derive(Clone, Debug)]
pub struct Session {
    /// 0 before a server has given one.
    pub id: i64,
    password: Vec<u8>,
    /// Negotiated once there is an id, wished for before.
    pub timeout_ms: i32,
    /// The newest transaction that it has seen; servers that have seen less refuse it.
    pub seen_zxid: i64,
    pub stage: Stage,
    /// Accept a server that has lost its quorum.
    pub read_only: bool,
    next_xid: i32,
    /// What it says of itself on each connection: scheme and proof.
    identities: Vec<(String, Vec<u8>)>,
    /// Requests without an answer on this connection, in order.
    waiting: VecDeque<Waiting>,
    pub watches: Watches,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is no connection.
    Apart,
    /// It has said hello.
    Connecting,
    Connected,
    /// The servers know it no more: its ephemerals are gone, and a new one is needed.
    Expired,
    Closed,
}

#[derive(Clone, Debug)]
struct Waiting {
    xid: i32,
    request: Request,
}

/// What a frame from the server was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Connected,
    /// The session is no more.
    Expired,
    Answer {
        xid: i32,
        zxid: i64,
        answer: Result<Answer, Code>,
    },
    /// A watch fired; `expected` says whether one was registered that could.
    Watch {
        notification: Notification,
        expected: bool,
    },
    Pong,
    /// Whether the identity that was claimed first was taken.
    Auth(Result<(), Code>),
    WatchesAgain(Result<(), Code>),
}

impl Session {
    pub fn new(timeout_ms: i32) -> Self {
        Self {
            id: 0,
            password: vec![0; 16],
            timeout_ms,
            seen_zxid: 0,
            stage: Stage::Apart,
            read_only: false,
            next_xid: 0,
            identities: Vec::new(),
            waiting: VecDeque::new(),
            watches: Watches::default(),
        }
    }

    /// Says who it is, on this connection and on all that follow.
    pub fn identify(&mut self, scheme: &str, auth: &[u8], out: &mut Vec<u8>) {
        self.identities.push((scheme.into(), auth.to_vec()));
        if self.stage == Stage::Connected {
            Request::Auth { scheme: scheme.into(), auth: auth.to_vec() }.encode(0, out);
        }
    }

    /// The connection is gone. Answers the requests that nobody will answer any more, in order: what became of them is
    /// not known.
    pub fn parted(&mut self) -> Vec<i32> {
        if matches!(self.stage, Stage::Connecting | Stage::Connected) {
            self.stage = Stage::Apart;
        }
        self.waiting.drain(..).map(|waiting| waiting.xid).collect()
    }

    /// Says hello on a new connection.
    pub fn hello(&mut self, out: &mut Vec<u8>) {
        assert!(self.waiting.is_empty(), "a session has one connection at a time");
        assert!(matches!(self.stage, Stage::Apart), "hello is said once, and by a session that lives");
        ConnectRequest {
            seen_zxid: self.seen_zxid,
            timeout_ms: self.timeout_ms,
            session: self.id,
            password: self.password.clone(),
            read_only: self.read_only,
        }
        .encode(out);
        self.stage = Stage::Connecting;
    }

    /// Appends a request; its answer will have the number that is answered here.
    pub fn request(&mut self, request: Request, out: &mut Vec<u8>) -> i32 {
        assert_eq!(self.stage, Stage::Connected, "a request is made on a connection");
        assert_eq!(request.fixed_xid(), None, "what has a number of its own is not asked here");
        self.next_xid = self.next_xid.checked_add(1).unwrap_or(1);
        let xid = self.next_xid;
        request.encode(xid, out);
        self.waiting.push_back(Waiting { xid, request });
        xid
    }

    /// Keeps the session alive; due when nothing else was sent for a third of its timeout.
    pub fn ping(&self, out: &mut Vec<u8>) {
        assert_eq!(self.stage, Stage::Connected, "a ping needs a connection");
        Request::Ping.encode(0, out);
    }

    /// How long it may be silent before it should send a ping, and how long a server may be silent before it should try
    /// another: a third and two thirds of the timeout, as ZooKeeper's own client has it (`ClientCnxn`).
    pub fn ping_after_ms(&self) -> u64 {
        (self.timeout_ms.max(3) / 3).unsigned_abs().into()
    }
    pub fn give_up_after_ms(&self) -> u64 {
        (self.timeout_ms.max(3) / 3 * 2).unsigned_abs().into()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Reads the first frame of what has arrived and answers how many bytes it took; `None` while it is not complete.
    /// What there is to say in return goes to `out`.
    pub fn hear(&mut self, stream: &[u8], out: &mut Vec<u8>) -> Result<Option<(Heard, usize)>, String> {
        let Some((frame, used)) = jute::frame(stream)? else { return Ok(None) };
        let heard = match self.stage {
            Stage::Connecting => self.welcomed(&ConnectResponse::decode(frame)?, out),
            Stage::Connected => self.told(frame)?,
            stage => return Err(format!("a frame for a session that is {stage:?}")),
        };
        Ok(Some((heard, used)))
    }

    fn welcomed(&mut self, response: &ConnectResponse, out: &mut Vec<u8>) -> Heard {
        if response.timeout_ms <= 0 || response.session == 0 {
            self.stage = Stage::Expired;
            return Heard::Expired;
        }
        self.stage = Stage::Connected;
        self.id = response.session;
        self.password.clone_from(&response.password);
        self.timeout_ms = response.timeout_ms;
        for (scheme, auth) in &self.identities {
            Request::Auth { scheme: scheme.clone(), auth: auth.clone() }.encode(0, out);
        }
        if !self.watches.is_empty() {
            Request::SetWatches(self.watches.again(self.seen_zxid)).encode(0, out);
        }
        Heard::Connected
    }

    fn told(&mut self, frame: &[u8]) -> Result<Heard, String> {
        let mut fields = Fields::new(frame);
        let head = Head::take(&mut fields)?;
        let plain = if head.code == Code::OK { Ok(()) } else { Err(head.code) };
        let heard = match head.xid {
            XID_NOTIFICATION => {
                let notification = Notification::decode(&mut fields)?;
                let expected = self.watches.fired(&notification, self.waiting.iter().map(|w| &w.request));
                Heard::Watch { notification, expected }
            }
            XID_PING => Heard::Pong,
            XID_AUTH => Heard::Auth(plain),
            XID_SET_WATCHES => Heard::WatchesAgain(plain),
            xid => {
                let first = self.waiting.pop_front().ok_or("an answer to no request")?;
                if first.xid != xid {
                    return Err(format!("an answer to request {xid} where {} is the next", first.xid));
                }
                // What came to nothing has no fields, but for a `multi`, which tells of each part.
                let answer = if head.code == Code::OK {
                    Ok(Answer::decode(first.request.op(), &mut fields)?)
                } else {
                    Err(head.code)
                };
                if head.zxid > self.seen_zxid {
                    self.seen_zxid = head.zxid;
                }
                self.watches.answered(&first.request, &answer);
                match (first.request.op(), &answer) {
                    (OpCode::CLOSE_SESSION, Ok(_)) => self.stage = Stage::Closed,
                    (_, Err(Code::SESSION_EXPIRED)) => self.stage = Stage::Expired,
                    _ => {}
                }
                Heard::Answer { xid, zxid: head.zxid, answer }
            }
        };
        fields.done()?;
        Ok(heard)
    }
}
