//! `--serve`: what goes on, for a browser on this machine.
//!
//! Whoever has the address sees it, and nobody else: it is one of this machine alone, and has a word in it that cannot be
//! guessed. The run tells its events to a thread of the parent process and never waits for it; that thread paints at
//! most ten frames a second and keeps the newest alone, so that a browser that is slow, or gone, misses frames and holds
//! nothing up. At the end pages get the last frame before the process ends, for which it waits a moment and no longer.

use super::console::talk;
use super::exit::{Code, Failure};
use super::input::plain;
use crate::page::live::{self, Frame, Night, Now};
use crate::report::story::Story;
use crate::run::event::RunEvent;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

/// Between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// How long the end waits for pages, at the most.
const GRACE: Duration = Duration::from_secs(2);
/// How many pages may listen at once.
const LISTENERS_MAX: usize = 16;
/// What is written is on its way to the browser for so long.
const FLUSH: Duration = Duration::from_millis(50);

/// What the run tells.
enum Told {
    Run(Box<RunEvent>),
    Campaign(Box<Night>),
    /// The process is about to end; a page that was written, if there is one.
    Over(Option<PathBuf>),
}

/// The server; it ends with the process.
#[derive(Debug)]
pub struct Serve {
    told: UnboundedSender<Told>,
    seen: Arc<Seen>,
}

/// What browsers were given.
#[derive(Debug, Default)]
struct Seen {
    /// Pages that listen.
    listening: AtomicUsize,
    /// Pages that listened when the last frame was there, and those of them that have it.
    last: AtomicUsize,
    /// How often a report was fetched since.
    fetched: AtomicUsize,
    /// The last frame is there, with so many links.
    over: Mutex<Option<usize>>,
    /// Nobody need wait any more.
    finished: AtomicBool,
}

/// What answers are made of.
#[derive(Clone)]
struct Shared {
    token: Arc<str>,
    frames: watch::Receiver<Arc<Frame>>,
    reports: Arc<Mutex<Vec<PathBuf>>>,
    seen: Arc<Seen>,
}

impl Serve {
    /// Answers from now on, and says where.
    #[expect(clippy::disallowed_methods, reason = "it waits for questions; the runs are other processes")]
    pub fn begin() -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| {
            let message = format!("failed to --serve on this machine: {}", plain(&error));
            Failure::new(Code::Environment, message).hint("leave --serve out")
        };
        let token = token().map_err(cannot)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(cannot)?;
        listener.set_nonblocking(true).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let (told, hear) = unbounded_channel();
        let (show, frames) = watch::channel(Arc::new(live::run(&Story::default(), &Now::default())));
        let seen = Arc::new(Seen::default());
        let shared =
            Shared { token: token.as_str().into(), frames, reports: Arc::default(), seen: Arc::clone(&seen) };
        let (reports, painted) = (Arc::clone(&shared.reports), Arc::clone(&seen));
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                let answers = axum::serve(listener, router(shared)).into_future();
                tokio::select! {
                    // Who asks and goes away is no matter.
                    _ = answers => {}
                    () = paint(hear, &show, &reports, &painted) => {}
                }
            });
        });
        talk(&format!("live page: http://{address}/{token}/\n"));
        Ok(Self { told, seen })
    }

    /// Where it is wanted.
    pub fn if_wanted(wanted: bool) -> Result<Option<Arc<Self>>, Failure> {
        wanted.then(|| Self::begin().map(Arc::new)).transpose()
    }

    pub fn event(&self, event: &RunEvent) {
        // A server that is gone takes nothing with it.
        let _ = self.told.send(Told::Run(Box::new(event.clone())));
    }

    pub fn campaign(&self, night: Night) {
        let _ = self.told.send(Told::Campaign(Box::new(night)));
    }

    /// The last frame. Waits until the pages that listen have it, and what it links to; for two seconds at most.
    pub fn finish(&self, page: Option<PathBuf>) {
        let began = now();
        if self.seen.finished.swap(true, Ordering::SeqCst) || self.told.send(Told::Over(page)).is_err() {
            return;
        }
        let done = || {
            let over = *self.seen.over.lock().unwrap_or_else(PoisonError::into_inner);
            let pages = self.seen.last.load(Ordering::SeqCst);
            over.is_some_and(|links| {
                self.seen.listening.load(Ordering::SeqCst) == 0
                    && self.seen.fetched.load(Ordering::SeqCst) >= pages * links
            })
        };
        while !done() && began.elapsed() < GRACE {
            pause(Duration::from_millis(5));
        }
        if self.seen.last.load(Ordering::SeqCst) > 0 {
            pause(FLUSH);
        }
    }
}

impl Drop for Serve {
    /// Whatever way the command ends.
    fn drop(&mut self) {
        self.finish(None);
    }
}

/// A word that nobody guesses.
fn token() -> std::io::Result<String> {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Turns what is told into frames until the end, and answers on after it.
async fn paint(
    mut hear: UnboundedReceiver<Told>,
    show: &watch::Sender<Arc<Frame>>,
    reports: &Mutex<Vec<PathBuf>>,
    seen: &Seen,
) {
    let mut canvas = Canvas { story: Story::default(), night: None, now: Now::default(), began: now() };
    while let Some(first) = hear.recv().await {
        canvas.take(first, reports);
        while let Ok(more) = hear.try_recv() {
            canvas.take(more, reports);
        }
        canvas.now.wall_ms = canvas.began.elapsed().as_millis() as u64;
        let frame = match &canvas.night {
            Some(night) => live::night(night, &canvas.now),
            None => live::run(&canvas.story, &canvas.now),
        };
        show.send_replace(Arc::new(frame));
        if canvas.now.is_last {
            *seen.over.lock().unwrap_or_else(PoisonError::into_inner) = Some(canvas.now.links.len());
            break;
        }
        tokio::time::sleep(FRAME).await;
    }
    std::future::pending::<()>().await;
}

struct Canvas {
    story: Story,
    night: Option<Night>,
    now: Now,
    began: Instant,
}

impl Canvas {
    fn take(&mut self, told: Told, reports: &Mutex<Vec<PathBuf>>) {
        match told {
            Told::Run(event) => {
                if matches!(*event, RunEvent::Started { .. }) {
                    // The next of several.
                    self.story = Story::default();
                    self.began = now();
                }
                self.story.hear(&event);
            }
            Told::Campaign(night) => self.night = Some(*night),
            Told::Over(page) => {
                self.now.is_last = true;
                let run = self.story.finished.as_ref().map(|finished| Path::new(&finished.run));
                let report = run.map(|run| run.join("report.html")).filter(|report| report.is_file());
                for (name, path) in [("its report", report), ("its page", page)] {
                    if let Some(path) = path {
                        let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                        self.now.links.push((name.into(), format!("report/{}", reports.len())));
                        reports.push(path);
                    }
                }
            }
        }
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/{token}/", get(whole))
        .route("/{token}/events", get(events))
        .route("/{token}/report/{number}", get(report))
        .fallback(|| async { refused() })
        .with_state(shared)
}

impl Shared {
    fn knows(&self, token: &str) -> bool {
        // As long for a wrong word as for the right one.
        let differs = token.bytes().zip(self.token.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        token.len() == self.token.len() && differs == 0
    }
}

fn refused() -> Response {
    (StatusCode::FORBIDDEN, "the address has a word in it, which is not this one\n").into_response()
}

/// A page that asks for nothing anywhere else, and stands in no other.
fn html(text: String) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                          img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let mut response = Response::new(Body::from(text));
    let fields: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn whole(UrlPath(token): UrlPath<String>, State(shared): State<Shared>) -> Response {
    if !shared.knows(&token) {
        return refused();
    }
    let frame = Arc::clone(&shared.frames.borrow());
    html(live::page(&frame))
}

async fn report(
    UrlPath((token, number)): UrlPath<(String, usize)>,
    State(shared): State<Shared>,
) -> Response {
    if !shared.knows(&token) {
        return refused();
    }
    let path = shared.reports.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned();
    let text = path.and_then(|path| std::fs::read_to_string(path).ok());
    shared.seen.fetched.fetch_add(1, Ordering::SeqCst);
    text.map_or_else(|| (StatusCode::NOT_FOUND, "it is not there any more\n").into_response(), html)
}

/// A page that listens, until it is dropped.
struct Listener(Shared);

impl Listener {
    fn begin(shared: Shared) -> Option<Self> {
        let before = shared.seen.listening.fetch_add(1, Ordering::SeqCst);
        let listener = Self(shared);
        (before < LISTENERS_MAX).then_some(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.seen.listening.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Every frame that a page is fast enough for, and the last one.
async fn events(UrlPath(token): UrlPath<String>, State(shared): State<Shared>) -> Response {
    if !shared.knows(&token) {
        return refused();
    }
    let Some(mut listener) = Listener::begin(shared) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages look at it\n").into_response();
    };
    listener.0.frames.mark_changed();
    let frames = stream::unfold((listener, false), |(mut listener, is_over)| async move {
        if is_over || listener.0.frames.changed().await.is_err() {
            return None;
        }
        let frame = Arc::clone(&listener.0.frames.borrow_and_update());
        let text = serde_json::json!({
            "title": frame.title, "head": frame.head.0.as_str(), "main": frame.main.0.as_str(),
        });
        let event = Event::default().data(text.to_string());
        let event = if frame.is_last { event.event("last") } else { event };
        if frame.is_last {
            listener.0.seen.last.fetch_add(1, Ordering::SeqCst);
        }
        Some((Ok::<_, std::convert::Infallible>(event), (listener, frame.is_last)))
    });
    Sse::new(frames).keep_alive(KeepAlive::default()).into_response()
}

#[expect(clippy::disallowed_methods, reason = "the command line is the border")]
fn now() -> Instant {
    Instant::now()
}

fn pause(time: Duration) {
    std::thread::sleep(time);
}
