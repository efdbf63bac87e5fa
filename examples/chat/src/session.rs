//! A session: the task of one client, which owns its WebSocket. It passes messages from the client
//! to the room, and from the client's queue to the client.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::time::{Duration, Instant};

use async_tungstenite::tungstenite::error::ProtocolError;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};
use futures_util::future::select;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use headwaiter::sync::mpsc;
use headwaiter::task::CancelToken;
use headwaiter::time::{now, timeout, timeout_at};
use hyper::upgrade::OnUpgrade;
use log::{info, warn};

use crate::room::Event;
use crate::websocket::{self, MESSAGE, Refusal, Socket, refuse};

/// How many messages a client may send in a burst.
const BURST: f64 = 20.0;

/// How many messages a client may send per second after the burst. Pings and pongs count too.
pub const RATE: f64 = 5.0;

pub struct Session {
    /// The client's name in the log.
    pub label: String,
    pub upgrade: OnUpgrade,
    pub seat: Result<Seat, Refusal>,
    /// The interval of pings. A client that is silent for twice as long is closed.
    pub patience: Duration,
    /// Cancelled when the server ends.
    pub closing: CancelToken,
}

/// The connection between a session and its room.
pub struct Seat {
    pub id: u64,
    pub events: mpsc::Sender<Event>,
    pub outgoing: mpsc::Receiver<Message>,
    /// Cancelled by the room when the client is too slow, and by the server when it shuts down.
    pub stop: CancelToken,
}

/// How a session ends.
enum End {
    /// The client has sent a close frame.
    Left,
    /// The connection failed.
    Lost(Error),
    /// The server sends a close frame.
    Closed(CloseFrame),
}

impl Session {
    /// Serves the client until the connection ends. An error affects only this client.
    pub async fn run(self) -> Result<(), Infallible> {
        let Session { label, upgrade, seat, patience, closing } = self;
        let mut socket = match websocket::open(upgrade).await {
            Ok(socket) => socket,
            Err(error) => {
                warn!("{label}: no WebSocket: {error}");
                return Ok(());
            }
        };
        let end = match seat {
            Err(refusal) => End::Closed(refusal),
            Ok(mut seat) => {
                info!("{label}: connected");
                let stop = seat.stop.clone();
                let end = match stop.run(talk(&mut socket, &mut seat, patience)).await {
                    Ok(Ok(end)) => end,
                    Ok(Err(error)) => error.into(),
                    Err(_) if closing.is_cancelled() => {
                        End::closed(CloseCode::Away, "the server is ending")
                    }
                    Err(_) => {
                        End::closed(CloseCode::Again, "too slow: too many messages were waiting")
                    }
                };
                drop(seat); // Before the closing handshake, which may take some time.
                end
            }
        };
        end.log(&label);
        websocket::close(socket, end.goodbye()).await;
        Ok(())
    }
}

/// Makes the client leave the room, however the session ends, even by a panic.
impl Drop for Seat {
    fn drop(&mut self) {
        let (id, events) = (self.id, self.events.clone());
        // Needs a task, because the room may be busy and a `drop` cannot wait. Earlier messages of
        // the client are ahead of it in the queue.
        drop(headwaiter::spawn(async move { events.send(Event::Leave { id }).await }));
    }
}

/// Serves both directions concurrently. Returns when one of them ends.
async fn talk(socket: &mut Socket, seat: &mut Seat, patience: Duration) -> Result<End, Error> {
    let (sink, stream) = socket.split();
    let sending = pin!(send(sink, &mut seat.outgoing, patience));
    let receiving = pin!(receive(stream, seat.id, &seat.events, patience));
    // `select` polls its first future first, so a refusal of the room is seen before messages of
    // the client.
    select(sending, receiving).await.factor_first().0
}

/// Sends the messages of the queue, and a ping each time `patience` has passed.
async fn send(
    mut sink: SplitSink<&mut Socket, Message>,
    outgoing: &mut mpsc::Receiver<Message>,
    patience: Duration,
) -> Result<End, Error> {
    let mut ping_at = now() + patience;
    loop {
        // Also checked here and not only after a timeout, because there may always be something to
        // send.
        if now() >= ping_at {
            ping_at = now() + patience;
            sink.send(Message::Ping(Bytes::new())).await?;
        }
        let Ok(message) = timeout_at(ping_at, outgoing.recv()).await else { continue };
        let mut next = message;
        // Messages that are already queued are sent together, in one system call.
        loop {
            match next {
                Some(Message::Close(Some(refusal))) => return Ok(End::Closed(refusal)),
                Some(message) => sink.feed(message).await?,
                None => return Ok(End::closed(CloseCode::Error, "the room has failed")), // It has panicked.
            }
            match outgoing.try_recv() {
                Ok(message) => next = Some(message),
                Err(_) => break,
            }
        }
        sink.flush().await?;
    }
}

/// Passes the client's messages on to the room. While the room is busy, nothing is read, and TCP
/// slows the client down.
async fn receive(
    mut stream: SplitStream<&mut Socket>,
    id: u64,
    events: &mpsc::Sender<Event>,
    patience: Duration,
) -> Result<End, Error> {
    let mut rate = Rate::new();
    loop {
        // tungstenite answers pings and joins the frames of a message. A frame that never ends
        // counts as silence too.
        let message = match timeout(2 * patience, stream.next()).await {
            Ok(Some(message)) => message?,
            Ok(None) => return Ok(End::Left),
            Err(_) => return Ok(End::closed(CloseCode::Policy, "no answer to a ping")),
        };
        if !rate.allows_one() {
            return Ok(End::closed(CloseCode::Policy, "too many messages in too short a time"));
        }
        match message {
            Message::Text(text) if text.trim().is_empty() => {}
            Message::Text(text) => {
                if events.send(Event::Say { id, text }).await.is_err() {
                    return Ok(End::closed(CloseCode::Error, "the room has failed"));
                }
            }
            Message::Binary(_) => {
                return Ok(End::closed(CloseCode::Unsupported, "a message must be text"));
            }
            Message::Close(_) => return Ok(End::Left),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// A token bucket: it holds up to [`BURST`] tokens, each message takes one, and [`RATE`] are added
/// per second.
struct Rate {
    tokens: f64,
    counted: Instant,
}

impl Rate {
    fn new() -> Rate {
        Rate { tokens: BURST, counted: now() }
    }

    fn allows_one(&mut self) -> bool {
        let now = now();
        let since = now.duration_since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + since * RATE).min(BURST);
        self.counted = now;
        let allows = self.tokens >= 1.0;
        if allows {
            self.tokens -= 1.0;
        }
        allows
    }
}

impl End {
    fn log(&self, label: &str) {
        match self {
            End::Closed(frame) if frame.code != CloseCode::Away => warn!("{label}: {self}"),
            _ => info!("{label}: {self}"),
        }
    }

    fn goodbye(self) -> Option<CloseFrame> {
        if let End::Closed(frame) = self { Some(frame) } else { None }
    }

    fn closed(code: CloseCode, reason: impl Into<Utf8Bytes>) -> End {
        End::Closed(refuse(code, reason))
    }
}

impl From<Error> for End {
    /// A client that violates the protocol receives a close frame with the reason. After an error
    /// of the connection, nothing can be sent.
    fn from(error: Error) -> End {
        match error {
            Error::Capacity(_) => {
                End::closed(CloseCode::Size, format!("a message has at most {MESSAGE} bytes"))
            }
            Error::Utf8(_) => End::closed(CloseCode::Invalid, "a message must be UTF-8"),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Lost(error),
            Error::Protocol(violation) => End::closed(CloseCode::Protocol, violation.to_string()),
            error => End::Lost(error),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Left => f.write_str("left"),
            End::Lost(error) => write!(f, "lost: {error}"),
            End::Closed(frame) => write!(f, "closed with {}: {}", frame.code, frame.reason),
        }
    }
}
