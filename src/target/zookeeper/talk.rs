//! A session on a connection of the run: what a client, an operation or a look at a server speaks through.

use super::code::Code;
use super::session::{Heard, Session};
use super::wire::{Answer, Notification, Request};
use super::words::{self, Told};
use crate::env::NodeId;
use crate::run::task::{CallError, Conn, Io};
use crate::time::Micros;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("{0}")]
    Call(#[from] CallError),
    /// The server's own word.
    #[error("{0}")]
    Refused(Code),
    /// The session is no more; nothing was sent in its name on this connection.
    #[error("the session has expired")]
    Expired,
    #[error("an answer that does not fit: {0}")]
    Odd(String),
}

impl Lost {
    /// Whether the request was surely not carried out, once it was sent.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(code) if code.refused()) || *self == Self::Expired
    }
}

/// A session that has a connection.
#[derive(Debug)]
pub struct Talk {
    conn: Conn,
    pub session: Session,
    /// Watches that have fired, and whether one was set that could.
    pub fired: Vec<(Notification, bool)>,
}

impl Talk {
    /// Opens a connection and says hello on it. An error gives the session back; no request was sent.
    pub async fn open(
        io: &Io,
        node: NodeId,
        session: Session,
        deadline: Micros,
    ) -> Result<Self, (Session, Lost)> {
        let conn = match io.open(node, deadline).await {
            Ok(conn) => conn,
            Err(error) => return Err((session, error.into())),
        };
        let mut talk = Self { conn, session, fired: Vec::new() };
        let mut out = Vec::new();
        talk.session.hello(&mut out);
        talk.conn.send_bytes(out);
        match talk.hear(deadline).await {
            Ok(Heard::Connected) => Ok(talk),
            Ok(Heard::Expired) => Err((talk.part(), Lost::Expired)),
            Ok(other) => Err((talk.part(), Lost::Odd(format!("{other:?} to a hello")))),
            Err(error) => Err((talk.part(), error.into())),
        }
    }

    /// Ends the connection and keeps the session.
    pub fn part(mut self) -> Session {
        self.session.parted();
        self.session
    }

    pub fn node(&self) -> NodeId {
        self.conn.node
    }
    pub fn connection(&self) -> crate::env::ConnId {
        self.conn.id
    }
    pub fn is_closed(&self) -> bool {
        self.conn.is_closed()
    }

    /// Sends a request and does not wait.
    pub fn send(&mut self, request: Request) -> i32 {
        let mut out = Vec::with_capacity(64);
        let xid = self.session.request(request, &mut out);
        self.conn.send_bytes(out);
        xid
    }

    /// Waits for the answer to a request, and how far the server was. Answers come in the order of the requests: what
    /// was asked before must have been waited for.
    pub async fn answer(&mut self, asked: i32, deadline: Micros) -> Result<(Answer, i64), Lost> {
        let (answer, zxid) = self.answered(asked, deadline).await?;
        answer.map(|answer| (answer, zxid)).map_err(Lost::Refused)
    }

    /// As [`Talk::answer`], and how far the server was also where it refused.
    pub async fn answered(
        &mut self,
        asked: i32,
        deadline: Micros,
    ) -> Result<(Result<Answer, Code>, i64), Lost> {
        loop {
            match self.hear(deadline).await? {
                Heard::Answer { xid, zxid, answer } if xid == asked => return Ok((answer, zxid)),
                Heard::Answer { xid, .. } => return Err(Lost::Odd(format!("it answers request {xid}"))),
                Heard::Watch { notification, expected } => self.fired.push((notification, expected)),
                _ => {}
            }
        }
    }

    pub async fn ask(&mut self, request: Request, deadline: Micros) -> Result<(Answer, i64), Lost> {
        let asked = self.send(request);
        self.answer(asked, deadline).await
    }

    async fn hear(&mut self, deadline: Micros) -> Result<Heard, CallError> {
        let mut out = Vec::new();
        let session = &mut self.session;
        let heard = self.conn.read(deadline, |bytes| session.hear(bytes, &mut out)).await;
        if !out.is_empty() {
            self.conn.send_bytes(out);
        }
        heard
    }
}

/// Asks a four-letter word.
pub async fn word(io: &Io, node: NodeId, word: &[u8], deadline: Micros) -> Result<String, CallError> {
    let conn = io.open(node, deadline).await?;
    conn.send_bytes(word.to_vec());
    said(&conn, deadline).await
}

/// What a server answers to a word before it closes the connection.
pub async fn said(conn: &Conn, deadline: Micros) -> Result<String, CallError> {
    let bytes = conn.read_to_end(deadline).await?;
    String::from_utf8(bytes).map_err(|_| CallError::Protocol("bytes that are no text".into()))
}

/// How a server serves.
pub async fn standing(io: &Io, node: NodeId, deadline: Micros) -> Result<Told, String> {
    let answer = word(io, node, words::SRVR, deadline).await.map_err(|error| error.to_string())?;
    words::srvr(&answer)
}
