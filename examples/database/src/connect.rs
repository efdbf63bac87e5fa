//! Connections over streams of headwaiter, each driven by a task of its own: tokio-postgres without
//! tokio's runtime.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{self, LocalBoxStream, StreamExt};
use headwaiter::net::{TcpStream, UnixStream};
use headwaiter::sync::mpsc::Sender;
use headwaiter::task::{self, JoinHandle};
use headwaiter::time::{sleep, timeout};
use log::{debug, info, warn};
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification};

use crate::error::{Error, in_full, is_fatal};

/// The limit for connecting and the login, unless the URL has a `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The limit for closing a connection, and for making it usable again.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause after the first failed attempt to connect. It doubles with each further one, up to the
/// longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An open connection.
pub struct Session {
    pub client: Client,
    target: Target,
    /// The task that reads and writes for `client`. It ends with the connection.
    driver: JoinHandle<()>,
    /// Why the connection failed. The driver knows it; statements in flight often learn only that
    /// the connection is closed.
    lost: Rc<OnceCell<String>>,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Target {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Target::Tcp(host, port) => write!(f, "{host}:{port}"),
            Target::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Messages of the server that are not answers to statements.
type Messages = LocalBoxStream<'static, Result<AsyncMessage, tokio_postgres::Error>>;

/// Connects to the first host of `config` that accepts the connection. The notifications that a
/// LISTEN asks for go to `notifications`.
pub async fn connect(
    config: &Config,
    notifications: Option<Sender<Notification>>,
) -> Result<Session, Error> {
    let limit = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    let mut failure = None;
    for target in targets(config) {
        match timeout(limit, open(config, &target)).await {
            Ok(Ok((client, messages, target))) => {
                let lost = Rc::new(OnceCell::new());
                let name = format!("connection to {target}");
                let driving = drive(messages, target.clone(), notifications, Rc::clone(&lost));
                let driver = task::Builder::new().name(name).spawn(driving);
                return Ok(Session { client, target, driver, lost });
            }
            Ok(Err(error)) => failure = Some(error),
            Err(_) => {
                failure = Some(Error::Unreachable(format!(
                    "cannot connect to {target}: no answer within {limit:?}"
                )));
            }
        }
    }
    Err(failure.expect("`targets` is never empty"))
}

/// Connects, and retries while the server is unreachable. `failure` contains the error of the last
/// attempt.
pub async fn connect_again(
    config: &Config,
    failure: &RefCell<Option<String>>,
) -> Result<Session, Error> {
    let mut pause = FIRST_PAUSE;
    loop {
        failure.borrow_mut().get_or_insert_with(|| "the server has not answered yet".to_owned());
        let result = connect(config, None).await;
        failure.replace(result.as_ref().err().map(Error::to_string));
        let Err(Error::Unreachable(why)) = result else { return result };
        // With jitter, so that clients that lost their connections together do not reconnect
        // together.
        let pause_now = pause.mul_f64(0.5 + fastrand::f64());
        warn!("{why}; next attempt in {pause_now:.0?}");
        sleep(pause_now).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// `connect_raw` receives an open stream, and ignores hosts, ports and sockets in `config`.
fn targets(config: &Config) -> Vec<Target> {
    let port = |number: usize| {
        let ports = config.get_ports();
        *ports.get(number).or(ports.first()).unwrap_or(&5432)
    };
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        let numbered = addresses.iter().enumerate();
        return numbered.map(|(number, ip)| Target::Tcp(ip.to_string(), port(number))).collect();
    }
    let hosts = config.get_hosts().iter().enumerate().map(|(number, host)| match host {
        Host::Tcp(host) => Target::Tcp(host.clone(), port(number)),
        Host::Unix(folder) => Target::Unix(folder.join(format!(".s.PGSQL.{}", port(number)))),
    });
    let hosts: Vec<_> = hosts.collect();
    if hosts.is_empty() { vec![Target::Tcp("localhost".to_owned(), port(0))] } else { hosts }
}

/// Also returns the address that it has connected to, because a host name may have several.
async fn open(config: &Config, target: &Target) -> Result<(Client, Messages, Target), Error> {
    let user = config.get_user().unwrap_or("the user of this process");
    let refused = |error| Error::connecting(target, user, &error);
    match target {
        Target::Tcp(host, port) => {
            let stream =
                TcpStream::connect((host.as_str(), *port)).await.map_err(Error::opening)?;
            // Small messages must be sent immediately, because an answer is awaited.
            stream.set_nodelay(true).map_err(Error::opening)?;
            let peer = stream.peer_addr().map_err(Error::opening)?;
            let (client, mut connection) =
                config.connect_raw(stream, NoTls).await.map_err(refused)?;
            let messages = stream::poll_fn(move |cx| connection.poll_message(cx)).boxed_local();
            Ok((client, messages, Target::Tcp(peer.ip().to_string(), peer.port())))
        }
        Target::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(Error::opening)?;
            let (client, mut connection) =
                config.connect_raw(stream, NoTls).await.map_err(refused)?;
            let messages = stream::poll_fn(move |cx| connection.poll_message(cx)).boxed_local();
            Ok((client, messages, target.clone()))
        }
    }
}

/// Drives the connection: it sends statements and reads answers only while it is polled for
/// messages.
async fn drive(
    mut messages: Messages,
    target: Target,
    notifications: Option<Sender<Notification>>,
    lost: Rc<OnceCell<String>>,
) {
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notification(notification)) => {
                if let Some(notifications) = &notifications {
                    // Backpressure: while the channel is full, nothing is read from the server. So
                    // the receiver must not await a statement on the same connection. An error
                    // means that the receiver is gone.
                    let _ = notifications.send(notification).await;
                }
            }
            // The rollback makes sure that no transaction is open: see `settle`.
            Ok(AsyncMessage::Notice(notice))
                if *notice.code() == SqlState::NO_ACTIVE_SQL_TRANSACTION => {}
            Ok(AsyncMessage::Notice(notice)) => {
                info!("{target}: {}: {}", notice.severity(), notice.message());
            }
            Ok(_) => {} // The enum is non-exhaustive.
            Err(error) => {
                let why = in_full(&error);
                warn!("{target}: the connection is lost: {why}");
                // Set before `messages` is dropped, because that drop fails the statements in
                // flight.
                let _ = lost.set(why);
                return;
            }
        }
    }
    debug!("{target}: the connection is closed");
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl Session {
    pub fn is_broken(&self) -> bool {
        self.client.is_closed()
    }

    /// Distinguishes an error of a statement from the loss of the connection.
    pub fn explain(&self, error: tokio_postgres::Error) -> Error {
        if !is_fatal(&error) {
            return Error::Statement(error);
        }
        let why = self
            .lost
            .get()
            .filter(|_| error.is_closed())
            .cloned()
            .unwrap_or_else(|| in_full(&error));
        Error::Lost(format!("{}: {why}", self.target))
    }

    /// Makes a connection usable again after the future of a statement or transaction was dropped.
    /// The server does not notice that drop: it continues with the statement, and the rollback that
    /// tokio-postgres has sent waits behind it. Returns `None` if that fails; then the connection
    /// is closed.
    pub async fn settle(self) -> Option<Session> {
        if self.is_broken() {
            return None;
        }
        let settled = timeout(SETTLE_TIMEOUT, async {
            self.cancel().await?;
            // The cancellation arrives on another connection, so it may hit the rollback of
            // tokio-postgres, or this one, instead of the dropped statement. When a rollback
            // succeeds, everything before it is finished.
            for _ in 0..2 {
                match self.client.batch_execute("rollback").await {
                    Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => {}
                    result => return result.map_err(|error| self.explain(error)),
                }
            }
            Err(Error::Lost("it was cancelled twice".to_owned()))
        });
        match settled.await {
            Ok(Ok(())) => return Some(self),
            Ok(Err(error)) => debug!("{}: discarded: {error}", self.target),
            Err(_) => warn!("{}: discarded: it is not idle within {SETTLE_TIMEOUT:?}", self.target),
        }
        // Not `close`, which waits for answers.
        self.driver.abort();
        None
    }

    /// Cancels the statement that runs on this connection. The request uses a separate connection.
    async fn cancel(&self) -> Result<(), Error> {
        let unreachable = |error: io::Error| {
            Error::Unreachable(format!("cannot cancel at {}: {error}", self.target))
        };
        let token = self.client.cancel_token();
        let mut end = [0];
        match &self.target {
            Target::Tcp(host, port) => {
                let mut stream =
                    TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
                token
                    .cancel_query_raw(&mut stream, NoTls)
                    .await
                    .map_err(|error| self.explain(error))?;
                // The server closes the connection after it has delivered the cancellation.
                stream.read(&mut end).await.map_err(unreachable)?;
            }
            Target::Unix(path) => {
                let mut stream = UnixStream::connect(path).await.map_err(unreachable)?;
                token
                    .cancel_query_raw(&mut stream, NoTls)
                    .await
                    .map_err(|error| self.explain(error))?;
                stream.read(&mut end).await.map_err(unreachable)?;
            }
        }
        Ok(())
    }

    /// Closes the connection properly, and waits for that.
    pub async fn close(self) {
        let Session { client, mut driver, target, .. } = self;
        drop(client); // The driver then sends the remaining messages and ends.
        if timeout(SETTLE_TIMEOUT, &mut driver).await.is_err() {
            warn!("{target}: not closed within {SETTLE_TIMEOUT:?}: dropped");
            driver.abort();
        }
    }
}
