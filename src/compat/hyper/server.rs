//! The running server: it accepts connections, each a task of its own (`connection.rs`), and ends
//! them all when it ends. It also configures hyper: its limits, and where its tasks and timers come
//! from.

use std::task::{Context, Poll};
use std::{cell::Cell, convert::Infallible, io, pin::Pin, rc::Rc, time::Duration};

use hyper_util::server::conn::auto;
use log::Level;
use pin_project_lite::pin_project;

use super::{connection::serve_connection, handshake::Handshake, listener::Listener};
use super::{runtime::CoarseTimer, serve::Serve, service::HttpService, watch::Limits};
use crate::net::is_out_of_files;
use crate::state::{HTTP, plural, say};
use crate::sync::{Notify, Semaphore};
use crate::task::{self, Spawner, TaskGroup};
use crate::time::{sleep, timeout};

/// How long the server pauses after an error of accept, which may come again at once.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the server waits before it closes connections, so that the loop asks the kernel once
/// more what has arrived.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// What all connections of a server share.
pub(super) struct Server<S, H> {
    pub(super) service: Rc<S>,
    pub(super) handshake: H,
    pub(super) http: auto::Builder<Streams>,
    pub(super) limits: Limits,
    /// The server is ending: each connection closes as soon as it has answered what it has
    /// received.
    pub(super) closing: Cell<bool>,
    /// Wakes the connections when the end begins.
    pub(super) close: Notify,
}

/// Runs the server until it is ended gracefully. `docs/shutdown.md` describes the steps of that.
pub(super) async fn run<L, S, H>(serve: Serve<L, S, H>) -> io::Result<()>
where
    L: Listener,
    S: HttpService,
    H: Handshake<L::Stream>,
{
    let Serve { listener, service, handshake, limits, max_connections, closing } = serve;
    // Declared first, so dropped after the connections that they belong to.
    let streams = TaskGroup::isolated();
    let connections = TaskGroup::isolated();
    let server = Rc::new(Server {
        service: Rc::new(service),
        handshake,
        http: http(streams.spawner()),
        limits,
        closing: Cell::new(false),
        close: Notify::new(),
    });
    let permits = max_connections.map(|n| Rc::new(Semaphore::new(n)));
    let accept = accept(listener, &server, &connections, permits);
    let Some((closing, grace)) = closing else {
        accept.await;
        return Ok(());
    };
    // The listener is dropped with the future: no new client is accepted.
    let _ = closing.run(accept).await;
    // What clients have sent by now is read, and then answered, before their connections close.
    sleep(LAST_LOOK).await;
    server.closing.set(true);
    server.close.notify_waiters();

    let open = connections.len();
    say(
        Level::Info,
        HTTP,
        format_args!("closing: {open} connection{} may finish within {grace:?}", plural(open)),
    );
    let mut finishing = connections.join();
    let _ = timeout(grace, &mut finishing).await;
    let left = finishing.len();
    if left > 0 {
        say(
            Level::Info,
            HTTP,
            format_args!("closed: {left} connection{} had to be cut off", plural(left)),
        );
    }
    // Dropping the groups drops what is left of their tasks.
    Ok(())
}

/// Accepts connections and spawns their tasks. Returns only if the group is closed, because the
/// loop is ending.
async fn accept<L, S, H>(
    listener: L,
    server: &Rc<Server<S, H>>,
    connections: &TaskGroup<Infallible>,
    permits: Option<Rc<Semaphore>>,
) where
    L: Listener,
    S: HttpService,
    H: Handshake<L::Stream>,
{
    loop {
        // Before accept: connections beyond the limit wait in the kernel's queue, at no cost.
        let permit = match &permits {
            Some(permits) => Rc::clone(permits).acquire_owned().await.ok(),
            None => None,
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let label = L::label(&peer);
                let task = task::Builder::new().name(&*label);
                let connection = serve_connection::<L, S, H>(
                    Rc::clone(server),
                    stream,
                    peer,
                    label.into(),
                    permit,
                );
                if task.try_spawn_in(connections, connection).is_err() {
                    return;
                }
            }
            Err(error) => {
                // A shortage of file descriptors has been logged by accept itself.
                let level = if is_out_of_files(&error) { Level::Debug } else { Level::Warn };
                say(level, HTTP, format_args!("accept: {error}"));
                sleep(PAUSE).await;
            }
        }
    }
}

/// The largest header of a request, in bytes.
const HEADER_SIZE: usize = 64 * 1024;

/// How long an HTTP/2 peer may be silent before it is sent a ping, and how long it may take to
/// answer that.
const PING_AFTER: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// Configures hyper for connections whose streams are tasks of a group.
fn http(streams: Spawner<Infallible>) -> auto::Builder<Streams> {
    let mut http = auto::Builder::new(Streams(streams));
    // Without a timer, hyper arms none for the header of each request: the guard of the connection
    // has one for all.
    http.http1().max_buf_size(HEADER_SIZE);
    http.http2()
        .timer(CoarseTimer)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .max_header_list_size(HEADER_SIZE as u32)
        .max_concurrent_streams(200)
        .enable_connect_protocol(); // WebSockets over HTTP/2.
    http
}

/// Spawns the streams of HTTP/2 connections, which end with the server.
#[derive(Clone)]
pub(super) struct Streams(Spawner<Infallible>);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, stream: F) {
        // It fails if the group is closed, and then the server has ended.
        let _ = self.0.try_spawn(Stream { stream });
    }
}

pin_project! {
    // A stream with the output that the group needs. (An `async` block would store the future
    // twice: as it is captured, and as it is polled.)
    struct Stream<F> {
        #[pin]
        stream: F,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = Result<(), Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().stream.poll(cx).map(Ok)
    }
}
