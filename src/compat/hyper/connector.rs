//! [`Connector`] and [`UnixConnector`]: how hyper-util's client connects, over TCP and to a Unix
//! socket.

use std::io;
#[cfg(unix)]
use std::path::Path;
use std::pin::Pin;
#[cfg(unix)]
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

use super::io::Io;
#[cfg(unix)]
use crate::net::UnixStream;
use crate::time::timeout;
use crate::{about::about, net::TcpStream};

/// The future of a connection. It is `Send`, as hyper-util's client requires.
pub type Connecting<T> = Pin<Box<dyn Future<Output = io::Result<Io<T>>> + Send>>;

/// Connects hyper-util's client over TCP. Names are resolved, and several addresses are tried, as
/// by [`TcpStream::connect`].
///
/// ```
/// use bytes::Bytes;
/// use headwaiter::compat::hyper::{Body, Connector, Executor, Timer, serve};
/// use headwaiter::net::TcpListener;
/// use http_body_util::{BodyExt, Empty};
/// use hyper::service::service_fn;
/// use hyper::{Request, Response};
/// use hyper_util::client::legacy::Client;
/// use std::convert::Infallible;
/// use std::future::IntoFuture;
///
/// headwaiter::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     let soup = |_: Request<Body>| async {
///         Ok::<_, Infallible>(Response::new("soup".to_owned()))
///     };
///     headwaiter::spawn(serve(listener, service_fn(soup)).into_future());
///
///     // The client pools its connections, so make one for the whole program.
///     let connector = Connector::new();
///     let client = Client::builder(Executor).pool_timer(Timer).timer(Timer).build(connector);
///     let request = Request::get(format!("http://{address}/")).body(Empty::<Bytes>::new())?;
///     let response = client.request(request).await?;
///     assert_eq!(response.into_body().collect().await?.to_bytes(), "soup");
///     Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
///
/// # Errors
///
/// Those of [`TcpStream::connect`], or `TimedOut`, with host and port. `InvalidInput` for an
/// address that is not `http`: for `https`, wrap this in a connector that adds TLS.
///
/// # Cancel safety
///
/// Dropping the future of a call closes the connection.
///
/// # Panics
///
/// The future of a call panics outside any event loop.
#[derive(Clone, Debug)]
pub struct Connector {
    timeout: Duration,
    nodelay: bool,
    enforce_http: bool,
}

impl Connector {
    /// Makes a connector with a timeout of ten seconds and TCP_NODELAY, for `http` only.
    #[must_use]
    pub fn new() -> Self {
        Connector { timeout: Duration::from_secs(10), nodelay: true, enforce_http: true }
    }

    /// Makes a connector to a Unix socket, whatever host a request names: see [`UnixConnector`].
    #[cfg(unix)]
    pub fn unix(path: impl AsRef<Path>) -> UnixConnector {
        UnixConnector { path: path.as_ref().into() }
    }

    /// Sets how long connecting may take, including the look-up of the name.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets whether small writes are sent at once: see [`TcpStream::set_nodelay`].
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Sets whether addresses other than `http` are refused. Set it to `false` in a connector that
    /// is wrapped in TLS: it then connects to port 443 for `https`.
    #[must_use]
    pub fn enforce_http(mut self, enforce: bool) -> Self {
        self.enforce_http = enforce;
        self
    }

    /// The host and port of an address that this may connect to.
    fn target<'a>(&self, uri: &'a Uri) -> io::Result<(&'a str, u16)> {
        let refuse =
            |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{uri}: {why}")));
        let scheme = uri.scheme_str().unwrap_or_default();
        match scheme {
            "" => {
                return refuse(
                    "not a whole address: it needs a scheme and a host, as in http://127.0.0.1/",
                );
            }
            "http" => {}
            _ if !self.enforce_http => {}
            "https" => {
                return refuse(
                    "this connector has no TLS: wrap it, with `enforce_http(false)`, in one that has",
                );
            }
            _ => return refuse("this connector speaks http only"),
        }
        let Some(host) = uri.host() else { return refuse("it has no host") };
        // The brackets around an IPv6 address belong to the URI.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port =
            uri.port_u16().unwrap_or(if scheme == "https" || scheme == "wss" { 443 } else { 80 });
        Ok((host, port))
    }
}

impl Default for Connector {
    fn default() -> Self {
        Connector::new()
    }
}

impl Service<Uri> for Connector {
    type Response = Io<TcpStream>;
    type Error = io::Error;
    type Future = Connecting<TcpStream>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting<TcpStream> {
        // The future outlives the borrow of the connector.
        let connector = self.clone();
        Box::pin(async move {
            let (host, port) = connector.target(&uri)?;
            let connecting = timeout(connector.timeout, TcpStream::connect((host, port)));
            let Ok(connected) = connecting.await else {
                let late = format!("no answer within {:?}", connector.timeout);
                let late = io::Error::new(io::ErrorKind::TimedOut, late);
                return Err(about("connect to", format_args!("{host}:{port}"), late));
            };
            let stream = connected?;
            stream.set_nodelay(connector.nodelay)?;
            Ok(Io::new(stream))
        })
    }
}

/// Connects hyper-util's client to a Unix socket: made by [`Connector::unix`].
///
/// ```
/// use headwaiter::compat::hyper::{Connector, Executor};
/// use http_body_util::Empty;
/// use hyper_util::client::legacy::Client;
///
/// let connector = Connector::unix("/run/soup.sock");
/// let client = Client::builder(Executor).build::<_, Empty<bytes::Bytes>>(connector);
/// # headwaiter::block_on(async {
/// # let request = |address: &str| client.get(address.parse().unwrap());
/// // The host is only what the server reads in the header `host`.
/// let response = request("http://localhost/menu").await;
/// # assert!(format!("{:?}", response.unwrap_err()).contains("/run/soup.sock"));
/// # });
/// ```
///
/// # Errors
///
/// Those of [`UnixStream::connect`], with the path.
#[cfg(unix)]
#[derive(Clone, Debug)]
pub struct UnixConnector {
    path: Arc<Path>,
}

#[cfg(unix)]
impl Service<Uri> for UnixConnector {
    type Response = Io<UnixStream>;
    type Error = io::Error;
    type Future = Connecting<UnixStream>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Connecting<UnixStream> {
        let path = Arc::clone(&self.path);
        Box::pin(async move { UnixStream::connect(path).await.map(Io::new) })
    }
}

impl<T> Connection for Io<T> {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.is_http2() { connected.negotiated_h2() } else { connected }
    }
}
