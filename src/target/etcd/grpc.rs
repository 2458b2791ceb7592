//! One call of gRPC over a connection of the run, of a method that streams both ways
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
//!
//! `h2` speaks HTTP/2. It wants bytes in and bytes out and somebody who polls it; it has no thread, timer or socket of its
//! own, so that all it sends and gets is the run's, with the run's deadlines. It is polled whenever something has come, again
//! and again until neither the connection nor the stream on it has woken the other.

use super::api::ApiError;
use crate::env::NodeId;
use crate::run::task::{CallError, Conn, Io};
use crate::time::Micros;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{Builder, Connection, ResponseFuture};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much a server may send before it must be told that it was read.
const WINDOW: u32 = 8 << 20;
/// Longer messages are no answers to what is asked here.
const MESSAGE_MAX: usize = 64 << 20;
/// A flag that says whether it is compressed, and the length of a message: what stands before it.
const PREFIX: usize = 5;
/// How often the connection and its stream may wake each other at one instant.
const ROUNDS_MAX: u32 = 10_000;

/// The connection as `h2` wants it. Nothing of it waits: it is polled again when something has come.
#[derive(Debug)]
struct Pipe(Rc<Conn>);

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0.take(out.remaining()) {
            Ok(bytes) if bytes.is_empty() => Poll::Pending,
            Ok(bytes) => {
                out.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error))),
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.send_bytes(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    /// It is closed when it is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Whether something has been woken since it was last asked.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A call that lasts: requests go out and answers come until one side ends it.
pub struct Stream {
    io: Io,
    conn: Rc<Conn>,
    connection: Connection<Pipe, Bytes>,
    /// Why there will be no more of the connection.
    over: Option<ApiError>,
    requests: SendStream<Bytes>,
    /// Before its head has come.
    head: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// What has come of it and is not yet a whole message.
    rest: BytesMut,
    woken: Arc<Woken>,
}

impl Stream {
    /// Opens a connection and begins a call on it.
    pub async fn open(io: &Io, node: NodeId, path: &str, deadline: Micros) -> Result<Self, ApiError> {
        let conn = Rc::new(io.open(node, deadline).await?);
        let mut settings = Builder::new();
        settings.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
        let mut shaken = pin!(settings.handshake::<_, Bytes>(Pipe(conn.clone())));
        let shaken = io.drive(deadline, |context| shaken.as_mut().poll(context)).await;
        let (mut client, connection) = shaken.ok_or(CallError::Timeout)?.map_err(|error| broken(&error))?;
        let request = Request::post(format!("http://etcd{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| ApiError::Odd(error.to_string()))?;
        // A new connection takes a first stream at once.
        let (head, requests) = client.send_request(request, false).map_err(|error| broken(&error))?;
        Ok(Self {
            io: io.clone(),
            conn,
            connection,
            over: None,
            requests,
            head: Some(head),
            body: None,
            rest: BytesMut::new(),
            woken: Arc::default(),
        })
    }

    /// Sends a request when the stream is next waited for.
    pub fn send(&mut self, message: &impl Message) -> Result<(), ApiError> {
        let mut bytes = BytesMut::with_capacity(PREFIX + message.encoded_len());
        bytes.put_u8(0);
        bytes.put_u32(message.encoded_len() as u32);
        bytes.put_slice(&message.encode_to_vec());
        self.requests.send_data(bytes.freeze(), false).map_err(|error| broken(&error))
    }

    /// The next answer.
    pub async fn next<M: Message + Default>(&mut self, deadline: Micros) -> Result<M, ApiError> {
        let io = self.io.clone();
        let message = io.drive(deadline, |_| self.poll()).await.unwrap_or(Err(CallError::Timeout.into()))?;
        M::decode(message).map_err(|error| ApiError::Odd(error.to_string()))
    }

    fn poll(&mut self) -> Poll<Result<Bytes, ApiError>> {
        let waker = Waker::from(self.woken.clone());
        let mut context = Context::from_waker(&waker);
        for _ in 0..ROUNDS_MAX {
            self.woken.0.store(false, Ordering::Relaxed);
            if self.over.is_none()
                && let Poll::Ready(end) = Pin::new(&mut self.connection).poll(&mut context)
            {
                self.over = Some(match (self.conn.closed(), end) {
                    (Some(why), _) => why.into(),
                    (None, Err(error)) => broken(&error),
                    (None, Ok(())) => CallError::Closed("by the server".into()).into(),
                });
            }
            match self.answer(&mut context) {
                Poll::Pending => {}
                // Of what breaks with the connection, the connection knows why.
                Poll::Ready(Err(ApiError::Call(error))) => {
                    return Poll::Ready(Err(self.over.clone().unwrap_or(error.into())));
                }
                ready @ Poll::Ready(_) => return ready,
            }
            if !self.woken.0.load(Ordering::Relaxed) {
                return self.over.clone().map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
            }
        }
        Poll::Ready(Err(ApiError::Odd(format!("it does not come to rest in {ROUNDS_MAX} rounds"))))
    }

    /// The next message of the stream.
    fn answer(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, ApiError>> {
        if let Some(head) = &mut self.head {
            let Poll::Ready(head) = Pin::new(head).poll(context) else { return Poll::Pending };
            let (head, body) = head.map_err(|error| broken(&error))?.into_parts();
            self.head = None;
            if head.status != 200 {
                return Poll::Ready(Err(ApiError::Odd(format!("HTTP status {}", head.status))));
            }
            if head.headers.contains_key("grpc-status") {
                return Poll::Ready(Err(refused(&head.headers)));
            }
            self.body = Some(body);
        }
        loop {
            if let Some(message) = whole(&mut self.rest)? {
                return Poll::Ready(Ok(message));
            }
            let Some(body) = &mut self.body else { return Poll::Pending };
            match body.poll_data(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(broken(&error))),
                Poll::Ready(Some(Ok(bytes))) => {
                    body.flow_control().release_capacity(bytes.len()).map_err(|error| broken(&error))?;
                    self.rest.extend_from_slice(&bytes);
                }
                Poll::Ready(None) => {
                    let Poll::Ready(trailers) = body.poll_trailers(context) else { return Poll::Pending };
                    let trailers = trailers.map_err(|error| broken(&error))?;
                    return Poll::Ready(Err(refused(&trailers.unwrap_or_default())));
                }
            }
        }
    }
}

/// Takes the first message off what has come, if it is whole.
fn whole(rest: &mut BytesMut) -> Result<Option<Bytes>, ApiError> {
    if rest.len() < PREFIX {
        return Ok(None);
    }
    let length = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
    if rest[0] != 0 {
        return Err(ApiError::Odd("a compressed message".into()));
    }
    if length > MESSAGE_MAX {
        return Err(ApiError::Odd(format!("a message of {length} bytes")));
    }
    if rest.len() < PREFIX + length {
        rest.reserve(PREFIX + length - rest.len());
        return Ok(None);
    }
    rest.advance(PREFIX);
    Ok(Some(rest.split_to(length).freeze()))
}

/// What the end of a call says.
fn refused(trailers: &HeaderMap) -> ApiError {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let code = text("grpc-status").parse().unwrap_or(2);
    match (code, text("grpc-message")) {
        (0, "") => CallError::Closed("the server ended the stream".into()).into(),
        (_, words) => ApiError::Refused { code, text: words.into() },
    }
}

fn broken(error: &h2::Error) -> ApiError {
    CallError::Closed(error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::super::proto::Cancel;
    use super::*;
    use crate::env::{Actor, Effect, Input, Why};
    use crate::run::task::Task;
    use crate::time::Millis;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::future::{Future, poll_fn};

    #[test]
    fn messages_are_taken_off_one_by_one_once_they_are_whole() {
        let bytes = b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x01c";
        let mut rest = BytesMut::new();
        let mut messages = Vec::new();
        for byte in bytes {
            rest.put_u8(*byte);
            messages.extend(whole(&mut rest).expect("plain").map(|message| message.to_vec()));
        }
        assert_eq!(messages, [&b"ab"[..], b"", b"c"]);
        assert!(rest.is_empty());
        assert!(whole(&mut BytesMut::from(&b"\x01\0\0\0\0"[..])).is_err());
        assert!(whole(&mut BytesMut::from(&b"\0\xff\0\0\0"[..])).is_err());
    }

    /// The other end, polled by hand as well: what has come for it, and what it sends.
    #[derive(Clone, Debug, Default)]
    struct Wire(Rc<RefCell<(Vec<u8>, Vec<u8>)>>);

    impl AsyncRead for Wire {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let mut wire = self.0.borrow_mut();
            let size = wire.0.len().min(out.remaining());
            if size == 0 {
                return Poll::Pending;
            }
            out.put_slice(&wire.0.drain(..size).collect::<Vec<u8>>());
            Poll::Ready(Ok(()))
        }
    }
    impl AsyncWrite for Wire {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.borrow_mut().1.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Takes one call, answers each of its messages by the same, and ends it after the second with words.
    async fn serve(wire: Wire) {
        let mut server = h2::server::handshake(wire).await.expect("a client");
        let (request, mut answers) = server.accept().await.expect("a call").expect("whole");
        assert_eq!((request.uri().path(), request.headers()["te"].as_bytes()), ("/a/b", &b"trailers"[..]));
        let head =
            http::Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
        let mut answers = answers.send_response(head, false).expect("taken");
        let mut requests = request.into_body();
        let mut seen = 0;
        while seen < 2 {
            let next = poll_fn(|context| {
                // The connection moves on while the stream is waited for.
                let _ = server.poll_closed(context);
                requests.poll_data(context)
            });
            let bytes = next.await.expect("a request").expect("whole");
            seen += bytes.len() / (PREFIX + 2);
            answers.send_data(bytes, false).expect("taken");
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "11".parse().expect("plain"));
        trailers.insert("grpc-message", "compacted".parse().expect("plain"));
        answers.send_trailers(trailers).expect("taken");
        poll_fn(|context| server.poll_closed(context)).await.expect("closed in order");
    }

    #[test]
    fn a_call_goes_by_the_runs_connection_to_its_end() {
        let answers: Rc<RefCell<Vec<String>>> = Rc::default();
        let seen = answers.clone();
        let mut task = Task::new(1, |io| async move {
            let deadline = io.after(Millis(1000));
            let mut stream = Stream::open(&io, NodeId(0), "/a/b", deadline).await.expect("opened below");
            for watch_id in [7, 8] {
                stream.send(&Cancel { watch_id }).expect("open");
                let answer: Result<Cancel, ApiError> = stream.next(deadline).await;
                seen.borrow_mut().push(format!("{answer:?}"));
            }
            let end: Result<Cancel, ApiError> = stream.next(deadline).await;
            seen.borrow_mut().push(format!("{end:?}"));
            let mut lost = Stream::open(&io, NodeId(0), "/a/b", deadline).await.expect("opened below");
            let end: Result<Cancel, ApiError> = lost.next(deadline).await;
            seen.borrow_mut().push(format!("{end:?}"));
        });
        let wire = Wire::default();
        let mut server = Box::pin(serve(wire.clone()));
        let mut served = false;
        let (mut out, mut inputs) = (Vec::new(), VecDeque::from([Input::Start]));
        let mut opened = 0;
        while let Some(input) = inputs.pop_front() {
            task.on(Micros(0), input, &mut out);
            for effect in out.drain(..) {
                match effect {
                    Effect::Open(conn, _) => {
                        opened += 1;
                        inputs.push_back(Input::Opened(conn));
                        if opened == 2 {
                            inputs.push_back(Input::Closed(conn, Why::Reset("reset".into())));
                        }
                    }
                    Effect::Send(conn, bytes) if opened == 1 => {
                        wire.0.borrow_mut().0.extend(bytes);
                        if !served {
                            served = server.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
                        }
                        let come = std::mem::take(&mut wire.0.borrow_mut().1);
                        inputs.push_back(Input::Bytes(conn, come));
                    }
                    _ => {}
                }
            }
        }
        let expected = [
            "Ok(Cancel { watch_id: 7 })",
            "Ok(Cancel { watch_id: 8 })",
            "Err(Refused { code: 11, text: \"compacted\" })",
            "Err(Call(Closed(\"reset\")))",
        ];
        assert_eq!(*answers.borrow(), expected);
        assert!(task.done());
    }
}
