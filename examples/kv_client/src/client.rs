//! A client with one connection, on which many requests can be in flight. It reconnects when the
//! connection is lost.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use headwaiter::net::{TcpStream, UnixStream};
use headwaiter::sync::Notify;
use headwaiter::task::{self, JoinHandle};
use headwaiter::time::{now, sleep, timeout};
use log::{info, warn};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, Msg, ProtocolVersion, RedisError,
    RedisResult,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::subscriptions::Subscriptions;

/// The limit for connecting, including the greeting.
const CONNECT: Duration = Duration::from_secs(2);
/// The limit for a request, including the wait for a connection.
const REQUEST: Duration = Duration::from_secs(1);
/// A connection without any answer for this long is closed. The kernel would need many minutes to
/// notice that the other machine is gone.
const MAX_SILENCE: Duration = Duration::from_secs(3);
/// The pause before the second attempt to connect. It doubles with each further one, up to the
/// longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Dropping it closes the connection.
pub struct Client {
    shared: Rc<Shared>,
    keeper: JoinHandle<()>,
}

struct Shared {
    info: ConnectionInfo,
    /// `None` while it is lost.
    connection: RefCell<Option<MultiplexedConnection>>,
    connected: Notify,
    /// Since when requests have timed out. `None` if the last request was answered.
    silent_since: Cell<Option<Instant>>,
    was_late: Notify,
    subscriptions: Subscriptions,
}

/// The future that moves requests and answers between the connection's handles and its socket.
type Driver = Pin<Box<dyn Future<Output = ()>>>;

/// Why a request has no result.
#[derive(Debug)]
pub enum Error {
    /// No answer arrived in time. It is unknown whether the server has executed the request.
    Late,
    /// There was no connection during that time.
    NotConnected,
    /// For example, nothing listens there. The error names the address.
    Connect(io::Error),
    /// An error of the server, or the connection was lost: `is_unrecoverable_error()` says which.
    Redis(RedisError),
}

impl Client {
    /// Connects for the first time. That must succeed. Later, the client reconnects as often as
    /// needed.
    pub async fn connect(info: ConnectionInfo) -> Result<Client, Error> {
        // In version 3 of the protocol, messages of channels arrive on the same connection as
        // replies.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let shared = Rc::new(Shared {
            info: info.set_redis_settings(settings),
            connection: RefCell::default(),
            connected: Notify::new(),
            silent_since: Cell::new(None),
            was_late: Notify::new(),
            subscriptions: Subscriptions::default(),
        });
        let first = shared.connect().await?;
        shared.publish(&first.0);
        let keeper = task::Builder::new().name("connection").spawn(Rc::clone(&shared).keep(first));
        Ok(Client { shared, keeper })
    }

    /// Makes a request, of one or more commands, with a handle of the connection. Many calls may
    /// run concurrently. A failed request is not repeated, because only the caller knows whether a
    /// command may run twice.
    pub async fn call<T>(
        &self,
        request: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        let shared = &self.shared;
        match timeout(REQUEST, async { request(shared.connection().await).await }).await {
            Ok(result) => {
                shared.silent_since.set(None); // An error is an answer too.
                result.map_err(Error::Redis)
            }
            Err(_) if shared.connection.borrow().is_none() => Err(Error::NotConnected),
            Err(_) => {
                shared.silent_since.set(shared.silent_since.get().or(now().checked_sub(REQUEST)));
                shared.was_late.notify_one();
                Err(Error::Late)
            }
        }
    }

    /// Receives the messages of a channel from now on. After a reconnect, the subscription is
    /// renewed; messages published in between are lost. There can be one subscription per channel.
    pub async fn subscribe(&self, channel: &str) -> Result<mpsc::Receiver<Msg>, Error> {
        let messages = self.shared.subscriptions.add(channel);
        self.call(async |mut redis| redis.subscribe(channel).await).await?;
        Ok(messages)
    }

    pub async fn unsubscribe(&self, channel: &str) -> Result<(), Error> {
        self.shared.subscriptions.remove(channel);
        self.call(async |mut redis| redis.unsubscribe(channel).await).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.keeper.abort(); // This drops the future, and with it the driver and the socket.
    }
}

impl Shared {
    /// Returns the connection. Waits for it if it is lost.
    async fn connection(&self) -> MultiplexedConnection {
        loop {
            let connected = self.connected.notified();
            if let Some(connection) = &*self.connection.borrow() {
                return connection.clone();
            }
            connected.await;
        }
    }

    fn publish(&self, connection: &MultiplexedConnection) {
        *self.connection.borrow_mut() = Some(connection.clone());
        self.connected.notify_waiters();
    }

    /// Drives the connection, and reconnects whenever it is lost. Never returns.
    async fn keep(self: Rc<Self>, first: (MultiplexedConnection, Driver)) {
        let address = self.info.addr();
        let (mut connected, mut pause) = (Some(first), FIRST_PAUSE);
        loop {
            let result = match connected.take() {
                Some(first) => Ok(first),
                None => self.connect().await,
            };
            match result {
                Ok((connection, driver)) => {
                    info!("connected to {address}");
                    let why = self.drive(connection, driver).await;
                    *self.connection.borrow_mut() = None;
                    warn!("lost the connection to {address}: {why}");
                    pause = FIRST_PAUSE;
                }
                Err(error) => {
                    let waits = with_jitter(pause);
                    warn!("no connection: {error}; next try in {} ms", waits.as_millis());
                    sleep(waits).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
    }

    /// Returns when the connection has ended, with the reason.
    async fn drive(&self, mut connection: MultiplexedConnection, driver: Driver) -> String {
        self.silent_since.set(None);
        // The driver must run meanwhile, because it sends and receives.
        let use_it = async {
            for channel in self.subscriptions.channels() {
                if let Err(error) = connection.subscribe(&channel).await {
                    warn!("no longer subscribed to {channel:?}: {error}");
                }
            }
            self.publish(&connection);
            while self.silent_since.get().is_none_or(|since| now() - since < MAX_SILENCE) {
                self.was_late.notified().await;
            }
        };
        match select(driver, pin!(use_it)).await {
            Either::Left(_) => "it was closed".to_owned(),
            Either::Right(_) => format!("no request was answered for {MAX_SILENCE:?}"),
        }
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, Driver), Error> {
        let connecting = async {
            match self.info.addr() {
                ConnectionAddr::Tcp(host, port) => {
                    let stream =
                        TcpStream::connect((host.as_str(), *port)).await.map_err(Error::Connect)?;
                    stream.set_nodelay(true).map_err(Error::Connect)?;
                    self.greet(stream).await
                }
                ConnectionAddr::Unix(path) => {
                    let stream = UnixStream::connect(path).await.map_err(Error::Connect)?;
                    self.greet(stream).await
                }
                _ => Err(Error::Connect(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "TLS is not built in",
                ))),
            }
        };
        timeout(CONNECT, connecting).await.unwrap_or(Err(Error::Late))
    }

    async fn greet<S>(&self, stream: S) -> Result<(MultiplexedConnection, Driver), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new()
            // The crate's own timeout would use a timer of tokio and panic: "there is no reactor
            // running".
            .set_response_timeout(None)
            .set_push_sender(self.subscriptions.receiver());
        let settings = self.info.redis_settings();
        let greeted = MultiplexedConnection::new_with_config(settings, stream, config).await;
        let (connection, driver) = greeted.map_err(Error::Redis)?;
        Ok((connection, Box::pin(driver)))
    }
}

/// Returns a random pause between half of it and all of it, so that many clients of the same server
/// do not reconnect at the same time.
fn with_jitter(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
    pause.mul_f64(0.5 + random / 2.0)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Late => f.write_str("no answer in time"),
            Error::NotConnected => f.write_str("no connection in time"),
            Error::Connect(error) => error.fmt(f),
            Error::Redis(error) => match error.code() {
                Some("NOAUTH") => {
                    f.write_str("the server wants a password, and none was given (NOAUTH)")
                }
                Some("WRONGPASS") => {
                    f.write_str("the server does not take the user or the password (WRONGPASS)")
                }
                _ => error.fmt(f),
            },
        }
    }
}

impl std::error::Error for Error {}
