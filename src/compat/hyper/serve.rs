//! [`serve()`]: an HTTP server, as its users see it, with its limits. [`Serve`] is the builder;
//! `server.rs` runs it.

use std::future::{Future, IntoFuture};
use std::{io, pin::Pin, time::Duration};

use futures_io::{AsyncRead, AsyncWrite};

use super::handshake::{Handshake, HandshakeBy, NoHandshake};
use super::service::{HttpService, IntoService};
use super::{listener::Listener, server::run, watch::Limits};
use crate::fmt::debug_struct;
use crate::task::CancelToken;

/// The upper bound of the timeouts, so that adding one to an `Instant` cannot overflow.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Makes an HTTP server. It accepts connections from a [`TcpListener`](crate::net::TcpListener) or
/// a [`UnixListener`](crate::net::UnixListener), and answers their requests with `service`, for
/// ever. Await it, or spawn its [`into_future`](IntoFuture::into_future).
///
/// It speaks HTTP/1.1, HTTP/2 (if the client starts with it: "prior knowledge", or ALPN after a
/// [`handshake`](Serve::handshake)), and upgrades such as WebSockets. Each connection is a task,
/// named after its peer: `http 127.0.0.1:1234`. The service is an axum `Router`, any other `Clone`
/// service of tower, or one of hyper. It takes a `Request<`[`Body`](super::Body)`>` with the
/// extension [`Peer`](super::Peer). Its futures need not be `Send`.
///
/// (For axum, pass `router.with_state(())`, even if there is no state: axum then prepares the
/// handlers once, and otherwise for each request, which costs 1 % of the time of a short one.
/// `axum::serve` makes that call itself.)
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
/// - A request whose header does not arrive within the [`header_timeout`](Serve::header_timeout).
///   That is also how long an idle connection is kept.
/// - A client that takes nothing of its response for the [`write_timeout`](Serve::write_timeout).
/// - A request that is not HTTP (answered with 400), or whose header has more than 64 KiB, or 100
///   lines (431).
/// - With HTTP/1, a body that the service has not read to its end, or that a limit refuses.
/// - An HTTP/2 client that leaves a ping unanswered.
///
/// A handler may take any time, and so may an upgraded connection. No failure of a connection ends
/// another one, or the server. Failures are logged with the target `headwaiter::http`: at `warn` if
/// a well-behaved client would not cause them, at `debug` if the connection just ended.
///
/// If a handler panics, or a service returns an error, that is logged at `error`, and answered with
/// 500. A panic in the body of a response comes too late for that: it ends an HTTP/1 connection, or
/// the stream of HTTP/2.
///
/// # Errors
///
/// None at present: those of accept are logged, and the server goes on.
///
/// # Cancel safety
///
/// Dropping the future closes the listener and drops all connections, inside that call.
///
/// # Panics
///
/// Polling it outside the loop that the listener belongs to.
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

/// A server made by [`serve()`], to be configured and awaited.
#[must_use = "a server does nothing until it is awaited"]
pub struct Serve<L, S, H = NoHandshake> {
    pub(super) listener: L,
    pub(super) service: S,
    pub(super) handshake: H,
    pub(super) limits: Limits,
    pub(super) max_connections: Option<usize>,
    /// When to end gracefully, and the grace period.
    pub(super) closing: Option<(CancelToken, Duration)>,
}

impl<L: Listener, S, H> Serve<L, S, H> {
    /// Sets how long the header of a request may take: from when the connection was accepted (so a
    /// [`handshake`](Self::handshake) counts), and then from the end of each response. The default
    /// is 30 seconds.
    ///
    /// So it is also how long an idle connection is kept open. (With HTTP/2 at least the
    /// [`write_timeout`](Self::write_timeout), because its last response may still be in flight.)
    ///
    /// A client in the middle of a header is cut off. One that has sent nothing is closed
    /// gracefully, so that an HTTP/2 client is notified.
    ///
    /// # Panics
    ///
    /// If it is zero. `Duration::MAX` means no limit.
    #[must_use = "a server does nothing until it is awaited"]
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        assert!(
            !timeout.is_zero(),
            "headwaiter: `header_timeout` of zero would end every connection: for no limit, use `Duration::MAX`"
        );
        self.limits.header = timeout.min(FOREVER);
        self
    }

    /// Sets how long the reader of a request's body may have to wait for the client: `initial`, and
    /// a second more for each `min_rate` bytes that have arrived. After that the body fails with
    /// [`BodyTimeout`](super::BodyTimeout). The time that the reader itself takes does not count.
    /// The default is no limit, because one would also end requests that are streams of messages.
    ///
    /// # Panics
    ///
    /// If `min_rate` is 0.
    #[must_use = "a server does nothing until it is awaited"]
    pub fn body_timeout(mut self, initial: Duration, min_rate: u64) -> Self {
        assert!(
            min_rate > 0,
            "headwaiter: `body_timeout` needs a rate of at least one byte a second"
        );
        self.limits.body = Some((initial.min(FOREVER), min_rate));
        self
    }

    /// Sets how long a client may take nothing of its response. When that is noticed, after twice
    /// that time at most, the connection is cut off. The default is 60 seconds.
    ///
    /// # Panics
    ///
    /// If it is zero. `Duration::MAX` means no limit.
    #[must_use = "a server does nothing until it is awaited"]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        assert!(
            !timeout.is_zero(),
            "headwaiter: `write_timeout` of zero would end every connection: for no limit, use `Duration::MAX`"
        );
        self.limits.write = timeout.min(FOREVER);
        self
    }

    /// Sets the largest body of a request, in bytes. A request that declares a larger one is
    /// answered with 413, and the service is not called. A body of unknown length fails with
    /// [`LengthLimitError`](http_body_util::LengthLimitError) when it exceeds the limit. The
    /// default is no limit. (axum's extractors have a limit of their own, of 2 MB:
    /// `DefaultBodyLimit`.)
    #[must_use = "a server does nothing until it is awaited"]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.limits.max_body = bytes;
        self
    }

    /// Sets how many connections may be open at the same time. Others wait in the kernel's queue
    /// until one has ended. An upgraded connection does not count any more. The default is no limit
    /// except the number of file descriptors.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[must_use = "a server does nothing until it is awaited"]
    pub fn max_connections(mut self, connections: usize) -> Self {
        assert!(
            connections > 0,
            "headwaiter: a server with `max_connections(0)` would serve no client"
        );
        self.max_connections = Some(connections);
        self
    }

    /// Sets a function that runs on each connection before HTTP, in the task of the connection and
    /// within the [`header_timeout`](Self::header_timeout): for instance the TLS handshake. HTTP is
    /// spoken on the stream that it returns. If it fails, that is logged at `warn`, and the
    /// connection is closed.
    ///
    /// ```
    /// use headwaiter::compat::hyper::serve;
    /// use headwaiter::net::{TcpListener, TcpStream};
    /// use std::io;
    ///
    /// /// Serves only clients that send the password. (With futures-rustls:
    /// /// `acceptor.accept(stream).await`.)
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

    /// Ends the server gracefully when `closing` is cancelled. It then stops listening. Idle
    /// connections are closed at once, the others as soon as the request in flight is answered.
    /// (Requests that were pipelined behind it on HTTP/1 are not answered; HTTP/2 clients are
    /// notified.) What is not finished after the grace period is dropped, with its handlers, and
    /// the future is ready. The number of such connections is logged at `info`.
    ///
    /// An upgraded connection, such as a WebSocket, and tasks that a handler has spawned belong to
    /// the program: end them with the same token. A tunnel over HTTP/2 (CONNECT) is a part of its
    /// connection, and is cut off with it.
    #[must_use = "a server does nothing until it is awaited"]
    pub fn graceful(mut self, closing: CancelToken, grace: Duration) -> Self {
        self.closing = Some((closing, grace));
        self
    }
}

debug_struct!(impl[L, S, H] for Serve<L, S, H> as "Serve", |this| limits: this.limits, ..);

impl<L, S, H> IntoFuture for Serve<L, S, H>
where
    L: Listener,
    S: HttpService,
    H: Handshake<L::Stream>,
{
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}
