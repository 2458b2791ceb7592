//! Actors written as `async fn`: a future over inputs, polled by the executor in a fixed order.
//!
//! A [`Task`] is an [`Actor`]. Its future holds an [`Io`], through which it opens connections, sends, waits and
//! sleeps. Nothing here knows a runtime: a wait is ready or it names its deadline, and the next input polls the
//! future again. Every wait has a deadline.

use super::resp::{self, Reply};
use crate::env::{
    Actor, ConnId, Effect, EnvError, Evidence, Hold, Input, LinkRules, LinkStrike, NodeAction, NodeId, Why,
};
use crate::fault::traffic::Traffic;
use crate::time::{Micros, Millis};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A future of this thread.
pub type Local<T> = Pin<Box<dyn Future<Output = T>>>;
/// One that borrows.
pub type LocalRef<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// How long an action of the environment may take to be answered.
pub const ACTION_TIMEOUT: Millis = Millis(30_000);

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody listens: nothing was sent.
    #[error("connection refused")]
    Refused,
    #[error("connection closed: {0}")]
    Closed(String),
    #[error("no answer in time")]
    Timeout,
    #[error("not the protocol: {0}")]
    Protocol(String),
}

#[derive(Debug, Default)]
struct Mailbox {
    now: Micros,
    out: Vec<Effect>,
    deadline: Option<Micros>,
    links: BTreeMap<ConnId, Link>,
    applied: VecDeque<Result<Evidence, EnvError>>,
    /// Numbers of connections: the actor's own range.
    next_conn: u64,
    /// It is a client of the load.
    is_client: bool,
}

#[derive(Debug, Default)]
struct Link {
    opened: bool,
    closed: Option<Why>,
    buffer: Vec<u8>,
    /// How much of the buffer has been taken off.
    used: usize,
}

impl Link {
    /// So many bytes of the buffer are done with.
    fn take_off(&mut self, bytes: usize) {
        self.used += bytes;
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        } else if self.used > 1 << 16 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
    }
}

/// What a task does its input and output through. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Io {
    mail: Rc<RefCell<Mailbox>>,
}

/// A connection to a node's client port; closed when it is dropped.
pub struct Conn {
    pub id: ConnId,
    pub node: NodeId,
    io: Io,
}

/// An actor that is a future.
pub struct Task {
    mail: Rc<RefCell<Mailbox>>,
    future: Option<Local<()>>,
}

impl Task {
    /// `number` tells this task's connections from all others': it must be unique in the run.
    pub fn new<F: Future<Output = ()> + 'static>(number: u32, make: impl FnOnce(Io) -> F) -> Self {
        let mail =
            Rc::new(RefCell::new(Mailbox { next_conn: u64::from(number) << 32, ..Mailbox::default() }));
        let future = make(Io { mail: mail.clone() });
        Self { mail, future: Some(Box::pin(future)) }
    }
    pub fn done(&self) -> bool {
        self.future.is_none()
    }
}

impl Actor for Task {
    fn on(&mut self, now: Micros, input: Input, out: &mut Vec<Effect>) -> Option<Micros> {
        {
            let mut mail = self.mail.borrow_mut();
            mail.now = now;
            mail.deadline = None;
            match input {
                Input::Start | Input::Timer | Input::Observed(_) => {}
                Input::Opened(conn) => {
                    if let Some(link) = mail.links.get_mut(&conn) {
                        link.opened = true;
                    }
                }
                Input::Bytes(conn, bytes) => {
                    if let Some(link) = mail.links.get_mut(&conn) {
                        link.buffer.extend_from_slice(&bytes);
                    }
                }
                Input::Closed(conn, why) => {
                    if let Some(link) = mail.links.get_mut(&conn) {
                        link.closed = Some(why);
                    }
                }
                Input::Applied(result) => mail.applied.push_back(result),
            }
        }
        if let Some(future) = &mut self.future
            && future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        {
            self.future = None;
        }
        let mut mail = self.mail.borrow_mut();
        out.append(&mut mail.out);
        if self.future.is_none() { None } else { mail.deadline }
    }
}

impl Io {
    pub fn now(&self) -> Micros {
        self.mail.borrow().now
    }

    pub fn after(&self, millis: Millis) -> Micros {
        self.now().plus(millis)
    }

    /// Waits until `ready` gives a value or the deadline has come.
    async fn until<T>(
        &self,
        deadline: Micros,
        mut ready: impl FnMut(&mut Mailbox) -> Option<T>,
    ) -> Option<T> {
        poll_fn(|_| {
            let mut mail = self.mail.borrow_mut();
            if let Some(value) = ready(&mut mail) {
                return Poll::Ready(Some(value));
            }
            if mail.now >= deadline {
                return Poll::Ready(None);
            }
            mail.deadline = Some(mail.deadline.map_or(deadline, |other| other.min(deadline)));
            Poll::Pending
        })
        .await
    }

    /// Polls what is polled by hand until it gives a value or the deadline has come. It may use what goes through here
    /// while it is polled.
    pub async fn drive<T>(
        &self,
        deadline: Micros,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        poll_fn(|context| match poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => {
                let mut mail = self.mail.borrow_mut();
                if mail.now >= deadline {
                    return Poll::Ready(None);
                }
                mail.deadline = Some(mail.deadline.map_or(deadline, |other| other.min(deadline)));
                Poll::Pending
            }
        })
        .await
    }

    pub async fn sleep_until(&self, deadline: Micros) {
        self.until(deadline, |_| None::<()>).await;
    }

    pub async fn sleep(&self, millis: Millis) {
        self.sleep_until(self.after(millis)).await;
    }

    /// Waits for a condition on state shared within the run; looked at whenever this task is polled and every
    /// `period`. False when the deadline came first.
    pub async fn wait_for(
        &self,
        deadline: Micros,
        period: Millis,
        mut condition: impl FnMut() -> bool,
    ) -> bool {
        loop {
            if condition() {
                return true;
            }
            if self.now() >= deadline {
                return false;
            }
            self.sleep_until(self.after(period).min(deadline)).await;
        }
    }

    /// Asks the environment to do something to a node.
    pub async fn node(&self, node: NodeId, action: NodeAction) -> Result<Evidence, EnvError> {
        self.mail.borrow_mut().out.push(Effect::Node(node, action));
        self.answer(&format!("act on {node}")).await
    }

    pub async fn link(&self, from: NodeId, to: NodeId, rules: LinkRules) -> Result<Evidence, EnvError> {
        self.mail.borrow_mut().out.push(Effect::Link(from, to, rules));
        self.answer(&format!("act on {from}")).await
    }

    pub async fn hold(&self, event: String, hold: Option<Hold>) -> Result<Evidence, EnvError> {
        self.mail.borrow_mut().out.push(Effect::Hold(event, hold));
        self.answer("hold messages").await
    }

    pub async fn strike(&self, event: String, strike: Option<LinkStrike>) -> Result<Evidence, EnvError> {
        self.mail.borrow_mut().out.push(Effect::Strike(event, strike));
        self.answer("lie in wait on links").await
    }

    pub async fn reset(
        &self,
        one: NodeId,
        other: Option<NodeId>,
        traffic: Traffic,
    ) -> Result<Evidence, EnvError> {
        self.mail.borrow_mut().out.push(Effect::Reset(one, other, traffic));
        self.answer(&format!("act on {one}")).await
    }

    pub async fn forget(
        &self,
        node: NodeId,
        other: NodeId,
        traffic: Traffic,
        silent: bool,
    ) -> Result<Evidence, EnvError> {
        self.mail.borrow_mut().out.push(Effect::Forget(node, other, traffic, silent));
        self.answer(&format!("act on {node}")).await
    }

    pub async fn recall(&self, node: NodeId, other: NodeId) -> Result<Evidence, EnvError> {
        self.mail.borrow_mut().out.push(Effect::Recall(node, other));
        self.answer(&format!("act on {node}")).await
    }

    async fn answer(&self, what: &str) -> Result<Evidence, EnvError> {
        let answer = self.until(self.after(ACTION_TIMEOUT), |mail| mail.applied.pop_front()).await;
        answer.unwrap_or_else(|| {
            Err(EnvError::Failed { what: what.into(), why: "the environment did not answer".into() })
        })
    }

    /// From now on it opens connections as a client of the load.
    pub fn act_as_client(&self) {
        self.mail.borrow_mut().is_client = true;
    }

    /// Begins to open a connection, and does not wait.
    pub fn open_now(&self, node: NodeId) -> Conn {
        let mut mail = self.mail.borrow_mut();
        let id = ConnId(mail.next_conn);
        mail.next_conn += 1;
        mail.links.insert(id, Link::default());
        let open = if mail.is_client { Effect::OpenAsClient(id, node) } else { Effect::Open(id, node) };
        mail.out.push(open);
        Conn { id, node, io: self.clone() }
    }

    pub async fn open(&self, node: NodeId, deadline: Micros) -> Result<Conn, CallError> {
        let conn = self.open_now(node);
        conn.opened(deadline).await?;
        Ok(conn)
    }

    /// Opens, sends one command, waits for the reply and closes.
    pub async fn ask<A: AsRef<[u8]>>(
        &self,
        node: NodeId,
        args: &[A],
        timeout: Millis,
    ) -> Result<Reply, CallError> {
        let deadline = self.after(timeout);
        let conn = self.open(node, deadline).await?;
        conn.call(args, deadline).await
    }
}

impl Conn {
    /// Waits until it is open.
    pub async fn opened(&self, deadline: Micros) -> Result<(), CallError> {
        let id = self.id;
        self.io
            .until(deadline, |mail| {
                let link = mail.links.get(&id)?;
                match &link.closed {
                    Some(why) => Some(Err(call_error(why))),
                    None => link.opened.then_some(Ok(())),
                }
            })
            .await
            .unwrap_or(Err(CallError::Timeout))
    }

    pub fn is_closed(&self) -> bool {
        self.io.mail.borrow().links.get(&self.id).is_none_or(|link| link.closed.is_some())
    }

    /// Sends a command and does not wait.
    pub fn send<A: AsRef<[u8]>>(&self, args: &[A]) {
        let mut bytes = Vec::with_capacity(64);
        resp::encode(args, &mut bytes);
        self.send_bytes(bytes);
    }

    pub fn send_bytes(&self, bytes: Vec<u8>) {
        self.io.mail.borrow_mut().out.push(Effect::Send(self.id, bytes));
    }

    /// Waits for the next reply of a server that speaks RESP.
    pub async fn reply(&self, deadline: Micros) -> Result<Reply, CallError> {
        self.read(deadline, resp::decode).await
    }

    /// Waits until what has come holds a whole message, as `decode` says: with how many bytes it took, or that more
    /// must come.
    pub async fn read<T>(
        &self,
        deadline: Micros,
        mut decode: impl FnMut(&[u8]) -> Result<Option<(T, usize)>, String>,
    ) -> Result<T, CallError> {
        let id = self.id;
        self.io
            .until(deadline, |mail| {
                let link = mail.links.get_mut(&id)?;
                match decode(&link.buffer[link.used..]) {
                    Ok(Some((reply, used))) => {
                        link.take_off(used);
                        Some(Ok(reply))
                    }
                    Ok(None) => link.closed.as_ref().map(|why| Err(call_error(why))),
                    Err(why) => Some(Err(CallError::Protocol(why))),
                }
            })
            .await
            .unwrap_or(Err(CallError::Timeout))
    }

    /// Why the other side is gone, if it is.
    pub fn closed(&self) -> Option<CallError> {
        let mail = self.io.mail.borrow();
        mail.links.get(&self.id).and_then(|link| link.closed.as_ref()).map(call_error)
    }

    /// What has come, at most so many bytes of it, without waiting; nothing where nothing has. Why it is closed, once all
    /// has been taken off.
    pub fn take(&self, most: usize) -> Result<Vec<u8>, CallError> {
        let mut mail = self.io.mail.borrow_mut();
        let Some(link) = mail.links.get_mut(&self.id) else { return Ok(Vec::new()) };
        let come = &link.buffer[link.used..];
        let bytes = come[..come.len().min(most)].to_vec();
        match &link.closed {
            Some(why) if come.is_empty() => Err(call_error(why)),
            _ => {
                link.take_off(bytes.len());
                Ok(bytes)
            }
        }
    }

    /// Waits until the other side has closed it, and gives all that came.
    pub async fn read_to_end(&self, deadline: Micros) -> Result<Vec<u8>, CallError> {
        let id = self.id;
        self.io
            .until(deadline, |mail| {
                let link = mail.links.get_mut(&id)?;
                match link.closed.as_ref()? {
                    Why::Refused => Some(Err(CallError::Refused)),
                    why @ Why::Reset(_) if link.buffer.len() == link.used => Some(Err(call_error(why))),
                    Why::Reset(_) => Some(Ok(link.buffer.split_off(link.used))),
                }
            })
            .await
            .unwrap_or(Err(CallError::Timeout))
    }

    pub async fn call<A: AsRef<[u8]>>(&self, args: &[A], deadline: Micros) -> Result<Reply, CallError> {
        self.send(args);
        self.reply(deadline).await
    }
}

fn call_error(why: &Why) -> CallError {
    match why {
        Why::Refused => CallError::Refused,
        Why::Reset(text) => CallError::Closed(text.clone()),
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let mut mail = self.io.mail.borrow_mut();
        if mail.links.remove(&self.id).is_some_and(|link| link.closed.is_none()) {
            mail.out.push(Effect::Close(self.id));
        }
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conn({} to {})", self.id.0, self.node)
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task(done: {})", self.done())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_calls_and_times_out() {
        let answers: Rc<RefCell<Vec<Result<Reply, CallError>>>> = Rc::default();
        let seen = answers.clone();
        let mut task = Task::new(1, |io| async move {
            let conn = io.open(NodeId(0), io.after(Millis(100))).await.expect("opened below");
            seen.borrow_mut().push(conn.call(&["PING"], io.after(Millis(50))).await);
            seen.borrow_mut().push(conn.reply(io.after(Millis(50))).await);
        });
        let mut out = Vec::new();
        assert_eq!(task.on(Micros(0), Input::Start, &mut out), Some(Micros(100_000)));
        let conn = ConnId(1 << 32);
        assert_eq!(out, [Effect::Open(conn, NodeId(0))]);
        out.clear();
        assert_eq!(task.on(Micros(10), Input::Opened(conn), &mut out), Some(Micros(50_010)));
        assert_eq!(out, [Effect::Send(conn, b"*1\r\n$4\r\nPING\r\n".to_vec())]);
        task.on(Micros(20), Input::Bytes(conn, b"+PO".to_vec()), &mut out);
        let next = task.on(Micros(30), Input::Bytes(conn, b"NG\r\n".to_vec()), &mut out);
        assert_eq!(next, Some(Micros(50_030)));
        out.clear();
        assert_eq!(task.on(Micros(50_030), Input::Timer, &mut out), None);
        assert!(task.done());
        assert_eq!(out, [Effect::Close(conn)]);
        assert_eq!(*answers.borrow(), [Ok(Reply::Simple("PONG".into())), Err(CallError::Timeout)]);
    }

    #[test]
    fn what_is_polled_by_hand_takes_bytes_as_they_come_and_then_the_end() {
        let taken: Rc<RefCell<Vec<String>>> = Rc::default();
        let seen = taken.clone();
        let mut task = Task::new(1, |io| async move {
            let conn = io.open(NodeId(0), io.after(Millis(100))).await.expect("opened below");
            let take = |_: &mut Context<'_>| match conn.take(2) {
                Ok(bytes) if bytes.is_empty() => Poll::Pending,
                other => Poll::Ready(format!("{other:?}")),
            };
            for _ in 0..4 {
                let next = io.drive(io.after(Millis(50)), take).await;
                seen.borrow_mut().push(next.unwrap_or_else(|| "nothing".into()));
            }
        });
        let (mut out, conn) = (Vec::new(), ConnId(1 << 32));
        task.on(Micros(0), Input::Start, &mut out);
        assert_eq!(task.on(Micros(10), Input::Opened(conn), &mut out), Some(Micros(50_010)));
        assert_eq!(task.on(Micros(50_010), Input::Timer, &mut out), Some(Micros(100_010)));
        task.on(Micros(50_020), Input::Bytes(conn, b"abc".to_vec()), &mut out);
        task.on(Micros(50_030), Input::Closed(conn, Why::Reset("reset".into())), &mut out);
        assert!(task.done());
        assert_eq!(*taken.borrow(), ["nothing", "Ok([97, 98])", "Ok([99])", "Err(Closed(\"reset\"))"]);
    }
}
