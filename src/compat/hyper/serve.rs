//! [`serve()`]: an HTTP server. It accepts connections, each a task of its own (see
//! [`connection`](super::connection)), and ends them all when it ends.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use hyper_util::server::conn::auto;
use log::Level;

use super::builder::{Streams, http};
use super::connection::{Limits, serve_connection};
use super::handshake::{Handshake, HandshakeBy, NoHandshake};
use super::listener::Listener;
use super::service::{HttpService, IntoService};
use crate::net::is_out_of_files;
use crate::observe::{self, plural};
use crate::sync::{Notify, Semaphore};
use crate::task::{self, CancelToken, TaskGroup};
use crate::time::{sleep, timeout};

/// After an error of accept that may come again at once.
const PAUSE: Duration = Duration::from_millis(20);

/// Long enough that the loop asks the kernel meanwhile what has come in.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// Upper bound of the timeouts, so that adding one to an `Instant` cannot overflow.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// An HTTP server: accepts connections from a [`TcpListener`](crate::net::TcpListener) or a
/// [`UnixListener`](crate::net::UnixListener), and answers their requests by `service`, for ever.
/// Await it, or spawn its [`into_future`](IntoFuture::into_future).
///
/// It speaks HTTP/1.1 and HTTP/2 (which a client has to begin with: "prior knowledge", or ALPN
/// after a [`handshake`](Serve::handshake)), with upgrades such as WebSockets. Each connection is a
/// task, named `http 127.0.0.1:1234` after its peer. The service is an axum `Router`, any other
/// service of tower that is `Clone`, or one of hyper. It takes a
/// `Request<`[`Body`](super::Body)`>`, which has the extension [`Peer`](super::Peer). Its futures
/// need not be `Send`.
///
/// (Give it `router.with_state(())`, also where there is no state: axum then prepares the handlers
/// once. Else it does so for each request, which costs 1 % of the time of a short one.
/// `axum::serve` makes that call by itself.)
///
/// ```
/// use bytes::Bytes;
/// use headwaiter::compat::hyper::{Body, serve};
/// use headwaiter::net::{TcpListener, TcpStream};
/// use headwaiter::task::CancelToken;
/// use http_body_util::Full;
/// use hyper::service::service_fn;
/// use hyper::{Request, Response};
/// use std::convert::Infallible;
/// use std::future::IntoFuture;
/// use std::time::Duration;
///
/// async fn order(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
///     let dish = request.uri().path().trim_start_matches('/');
///     Ok(Response::new(Full::new(format!("one {dish}").into())))
/// }
///
/// headwaiter::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     let closing = CancelToken::new();
///     let server = serve(listener, service_fn(order))
///         .max_body(1024 * 1024)
///         .body_timeout(Duration::from_secs(20), 1024)
///         .max_connections(10_000)
///         .graceful(closing.clone(), Duration::from_secs(10));
///     let server = headwaiter::spawn(server.into_future());
///
///     let mut client = TcpStream::connect(address).await?;
///     client.write_all(b"GET /soup HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
///     let mut answer = [0; 1024];
///     let n = client.read(&mut answer).await?;
///     assert!(answer[..n].ends_with(b"one soup"));
///
///     closing.cancel();
///     server.await??;
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # What ends a connection
///
/// Besides the client itself, and [`graceful`](Serve::graceful):
///
/// - A request whose header does not come within the [`header_timeout`](Serve::header_timeout).
///   That is also how long an idle connection is kept.
/// - A client that does not take its response, for the [`write_timeout`](Serve::write_timeout).
/// - A request that is no HTTP (answered with 400), or whose header has more than 64 KiB, or 100
///   lines (431).
/// - Of HTTP/1, a body that the service has not read to its end, or that is refused by a limit.
/// - An HTTP/2 client that leaves a ping unanswered.
///
/// A handler may take as long as it likes, and so may an upgraded connection. What happens to a
/// connection ends no other, nor the server. It is logged with the target `headwaiter::http`: at
/// `warn` what a well-behaved client does not do, at `debug` an end without notice.
///
/// A handler that panics, and a service that returns an error, are logged at `error`, and answered
/// with 500. A panic in the body of a response comes too late for that. It costs an HTTP/1
/// connection, and of HTTP/2 the stream.
///
/// # Errors
///
/// None at present: those of accept are logged, and it goes on.
///
/// # Cancel safety
///
/// Dropping the future closes the listener and drops all connections, inside that call.
///
/// # Panics
///
/// Polling it outside any event loop, and in another than the listener's.
pub fn serve<L, S, M>(listener: L, service: S) -> Serve<L, S::Service>
where
    L: Listener,
    S: IntoService<M>,
{
    let limits = Limits {
        header: Duration::from_secs(30),
        write: Duration::from_secs(60),
        body: None,
        max_body: u64::MAX,
    };
    let service = service.into_service();
    Serve {
        listener,
        service,
        handshake: NoHandshake,
        limits,
        max_connections: None,
        closing: None,
    }
}

/// A server that [`serve()`] has made, to be configured and awaited.
#[must_use = "a server does nothing until it is awaited"]
pub struct Serve<L, S, H = NoHandshake> {
    listener: L,
    service: S,
    handshake: H,
    limits: Limits,
    max_connections: Option<usize>,
    closing: Option<(CancelToken, Duration)>,
}

impl<L: Listener, S, H> Serve<L, S, H> {
    /// How long the header of a request may take: from when the connection was accepted (so that a
    /// [`handshake`](Self::handshake) counts), and then from the end of each response. So it is
    /// also the time for which an idle connection is kept open. (Of HTTP/2 at least the
    /// [`write_timeout`](Self::write_timeout): its last response may still be on the way.) 30
    /// seconds, if not set.
    ///
    /// A client that is in the middle of a header then is cut off; one that has sent nothing is
    /// closed as at the end of the server, so that HTTP/2 is told.
    ///
    /// # Panics
    ///
    /// If it is zero. `Duration::MAX` is no limit.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        assert!(
            !timeout.is_zero(),
            "headwaiter: `header_timeout` of zero would end every connection: for no limit, use `Duration::MAX`"
        );
        self.limits.header = timeout.min(FOREVER);
        self
    }

    /// How long the reader of a request's body may have to wait for the client: `initial`, and a
    /// second more for each `min_rate` bytes that have come. Then the body fails with
    /// [`BodyTimeout`](super::BodyTimeout). The time that the reader itself takes does not count.
    /// No limit, if not set: it would end requests that are streams of messages too.
    ///
    /// # Panics
    ///
    /// If `min_rate` is 0.
    pub fn body_timeout(mut self, initial: Duration, min_rate: u64) -> Self {
        assert!(
            min_rate > 0,
            "headwaiter: `body_timeout` needs a rate of at least one byte a second"
        );
        self.limits.body = Some((initial.min(FOREVER), min_rate));
        self
    }

    /// How long a client may take nothing of its response. When that is noticed, which takes twice
    /// as long at most, the connection is cut off. 60 seconds, if not set.
    ///
    /// # Panics
    ///
    /// If it is zero. `Duration::MAX` is no limit.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        assert!(
            !timeout.is_zero(),
            "headwaiter: `write_timeout` of zero would end every connection: for no limit, use `Duration::MAX`"
        );
        self.limits.write = timeout.min(FOREVER);
        self
    }

    /// The largest body of a request, in bytes. A request that declares a larger one is answered
    /// with 413, and the service is not called. A body of unknown length fails with
    /// [`LengthLimitError`](http_body_util::LengthLimitError) when it has come that far. No limit,
    /// if not set. (axum's extractors have one of their own, of 2 MB: `DefaultBodyLimit`.)
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.limits.max_body = bytes;
        self
    }

    /// How many connections are open at the same time. Others wait in the kernel's queue until one
    /// has ended. An upgraded connection counts no more. No limit, if not set, but the number of
    /// file descriptors.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn max_connections(mut self, connections: usize) -> Self {
        assert!(
            connections > 0,
            "headwaiter: a server with `max_connections(0)` would serve no client"
        );
        self.max_connections = Some(connections);
        self
    }

    /// What is done with each connection before HTTP is spoken, in the task of the connection and
    /// within the [`header_timeout`](Self::header_timeout): for instance the TLS handshake. What
    /// `handshake` returns is the stream to speak HTTP on. If it fails, that is logged at `warn`,
    /// and the connection closed.
    ///
    /// ```
    /// use headwaiter::compat::hyper::serve;
    /// use headwaiter::net::{TcpListener, TcpStream};
    /// use std::io;
    ///
    /// /// Serves only clients that know the word. (With futures-rustls: `acceptor.accept(stream).await`.)
    /// async fn ask(mut stream: TcpStream) -> io::Result<TcpStream> {
    ///     let mut word = [0; 4];
    ///     stream.read_exact(&mut word).await?;
    ///     if &word == b"soup" { Ok(stream) } else { Err(io::Error::other("the wrong word")) }
    /// }
    ///
    /// # async fn run(
    /// #     service: impl hyper::service::Service<
    /// #         hyper::Request<headwaiter::compat::hyper::Body>,
    /// #         Response = hyper::Response<String>,
    /// #         Error = io::Error,
    /// #         Future: 'static,
    /// #     > + 'static,
    /// # ) -> io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// serve(listener, service).handshake(ask).await
    /// # }
    /// ```
    pub fn handshake<F, Fut, T>(self, handshake: F) -> Serve<L, S, HandshakeBy<F>>
    where
        F: Fn(L::Stream) -> Fut + 'static,
        Fut: Future<Output = io::Result<T>>,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Serve { listener, service, limits, max_connections, closing, .. } = self;
        Serve {
            listener,
            service,
            handshake: HandshakeBy(handshake),
            limits,
            max_connections,
            closing,
        }
    }

    /// Ends the server when `closing` is cancelled. Then it stops to listen. Idle connections are
    /// closed at once, the others as soon as the request that is being served is answered (of
    /// HTTP/1, those that were pipelined behind it are not), HTTP/2 clients are told so. What is
    /// not done after `grace` is dropped, also the handlers in it, and the future returns. How many
    /// connections that were is logged at `info`.
    ///
    /// A connection that was upgraded, such as a WebSocket, is the program's: end it by the same
    /// token. And so are tasks that a handler has spawned. A tunnel over HTTP/2 (CONNECT) is a part
    /// of its connection, and cut off with it.
    pub fn graceful(mut self, closing: CancelToken, grace: Duration) -> Self {
        self.closing = Some((closing, grace));
        self
    }
}

impl<L, S, H> fmt::Debug for Serve<L, S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<L, S, H> IntoFuture for Serve<L, S, H>
where
    L: Listener,
    S: HttpService,
    H: Handshake<L::Stream>,
{
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What all connections of a server share.
pub(super) struct Server<S, H> {
    pub(super) service: Rc<S>,
    pub(super) handshake: H,
    pub(super) http: auto::Builder<Streams>,
    pub(super) limits: Limits,
    /// The server ends: each connection is to close as soon as it has answered what it has
    /// received.
    pub(super) closing: Cell<bool>,
    /// Wakes the connections when that begins.
    pub(super) close: Notify,
}

impl<L, S, H> Serve<L, S, H>
where
    L: Listener,
    S: HttpService,
    H: Handshake<L::Stream>,
{
    /// As `docs/shutdown.md` tells.
    async fn run(self) -> io::Result<()> {
        let Serve { listener, service, handshake, limits, max_connections, closing } = self;
        // Dropped after the connections to which they belong.
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
        // With the future the listener is dropped: no new client comes in.
        let _ = closing.run(accept).await;
        // What clients have sent by now is read, and then answered, before their connections are
        // told to close.
        sleep(LAST_LOOK).await;
        server.closing.set(true);
        server.close.notify_waiters();

        let open = connections.len();
        observe::say(
            Level::Info,
            observe::HTTP,
            format_args!("closing: {open} connection{} may finish within {grace:?}", plural(open)),
        );
        let mut finishing = connections.join();
        let _ = timeout(grace, &mut finishing).await;
        let left = finishing.len();
        if left > 0 {
            observe::say(
                Level::Info,
                observe::HTTP,
                format_args!("closed: {left} connection{} had to be cut off", plural(left)),
            );
        }
        Ok(()) // With the groups their tasks end.
    }
}

/// Returns only when the group of the connections is closed: the loop ends.
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
        // Before accept: connections for which there is no room wait in the kernel's queue, and
        // cost nothing.
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
                // Of a shortage, accept has logged the beginning.
                let level = if is_out_of_files(&error) { Level::Debug } else { Level::Warn };
                observe::say(level, observe::HTTP, format_args!("accept: {error}"));
                sleep(PAUSE).await;
            }
        }
    }
}
