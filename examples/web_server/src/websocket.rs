//! WebSockets on axum's router. axum's own need tokio. These use hyper's upgrade, and tungstenite
//! on the upgraded stream.
//!
//! To use it elsewhere, copy this file. A handler takes an [`Upgrade`] and passes it a closure that
//! uses the [`WebSocket`]:
//!
//! ```ignore
//! async fn echo(State(app): State<Arc<App>>, upgrade: Upgrade) -> Response {
//!     upgrade.serve(&app.sockets, async |socket| {
//!         while let Some(message) = socket.next().await {
//!             socket.send(message).await?;
//!         }
//!         Ok(())
//!     })
//! }
//! ```

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::CapacityError;
use async_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
use async_tungstenite::tungstenite::handshake::server::create_response_with_body;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Message};
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::{HOST, HeaderName, ORIGIN, SEC_WEBSOCKET_VERSION};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Version};
use axum::response::Response;
use futures_util::{Sink, StreamExt};
use headwaiter::compat::hyper::Io;
use headwaiter::task::{self, CancelToken, Cancellation};
use headwaiter::time::{Sleep, now, sleep, timeout};
use hyper::ext::Protocol;
use hyper::rt::Write;
use hyper::upgrade::{OnUpgrade, Upgraded};
use log::{debug, warn};

/// The largest message that is accepted, in bytes.
const LARGEST_MESSAGE: usize = 64 * 1024;

/// The size of the buffer of each WebSocket, which is kept from its first message on.
const READ_BUFFER: usize = 4 * 1024;

/// How long a peer has to answer when a WebSocket is closed.
pub const GOODBYE: Duration = Duration::from_secs(2);

/// The settings that all WebSockets of a server share.
pub struct Sockets {
    closing: CancelToken,
    patience: Duration,
    open: Arc<CancelOnDrop>,
}

/// Cancels its token when its last owner drops it.
struct CancelOnDrop(CancelToken);

impl Sockets {
    /// The WebSockets end when `closing` is cancelled. A peer may be silent, or accept no data, for
    /// about as long as `patience`.
    pub fn new(closing: CancelToken, patience: Duration) -> Sockets {
        Sockets { closing, patience, open: Arc::new(CancelOnDrop(CancelToken::new())) }
    }

    /// Returns a token that is cancelled when all WebSockets have ended and this is dropped.
    pub fn ended(&self) -> CancelToken {
        self.open.0.clone()
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A request for a WebSocket. Other requests are refused, with the reason.
pub struct Upgrade {
    on_upgrade: OnUpgrade,
    response: Response,
}

impl<S: Sync> FromRequest<S> for Upgrade {
    type Rejection = (StatusCode, [(HeaderName, &'static str); 1], String);

    async fn from_request(mut request: Request, _: &S) -> Result<Upgrade, Self::Rejection> {
        let refuse =
            |status, why: &str| (status, [(SEC_WEBSOCKET_VERSION, "13")], format!("{why}\n"));
        if !is_same_origin(&request) {
            return Err(refuse(StatusCode::FORBIDDEN, "This is not for the pages of other sites."));
        }
        let response = if request.version() == Version::HTTP_2 {
            let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
            let is_websocket = request.method() == Method::CONNECT && protocol == Some("websocket");
            is_websocket
                .then(|| Response::new(Body::empty()))
                .ok_or("This is for WebSockets.".to_owned())
        } else {
            create_response_with_body(&request, Body::empty).map_err(|error| error.to_string())
        };
        let response = response.map_err(|why| refuse(StatusCode::BAD_REQUEST, &why))?;
        Ok(Upgrade { on_upgrade: hyper::upgrade::on(&mut request), response })
    }
}

/// Checks the origin that a browser sends. A browser sends the cookies of this site even for a page
/// of another site, so without this check any page could act on behalf of its visitors. Clients
/// other than browsers need not send an origin.
fn is_same_origin(request: &Request) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else { return true };
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or(request.uri().authority().map(Authority::as_str));
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    page.is_some_and(|(_, page)| host.is_some_and(|host| host.eq_ignore_ascii_case(page)))
}

impl Upgrade {
    /// Answers with 101, and spawns `serve` on the WebSocket. The WebSocket is closed when `serve`
    /// has ended.
    pub fn serve<F>(self, sockets: &Sockets, name: String, serve: F) -> Response
    where
        F: AsyncFnOnce(&mut WebSocket) -> Result<(), Error> + 'static,
    {
        let Upgrade { on_upgrade, response } = self;
        let (closing, patience, open) =
            (sockets.closing.cancelled(), sockets.patience, Arc::clone(&sockets.open));
        let task = task::Builder::new().name(&*name);
        let socket = async move {
            match on_upgrade.await {
                Ok(upgraded) => {
                    let mut socket = WebSocket::new(upgraded, name, closing, patience).await;
                    let result = serve(&mut socket).await;
                    let _ = timeout(GOODBYE, socket.close(result)).await;
                }
                Err(error) => debug!("{name}: left before the upgrade: {error}"),
            }
            drop(open);
        };
        drop(task.spawn(socket)); // Detached. A panic is logged.
        response
    }
}

/// A WebSocket with its time limits. It answers pings, and pings a silent peer.
pub struct WebSocket {
    stream: WebSocketStream<Io<Upgraded>>,
    name: String,
    closing: Cancellation,
    patience: Duration,
    /// When the flags below are checked next.
    look: Sleep,
    was_heard: bool,
    was_pinged: bool,
    end: Option<End>,
}

/// Why a WebSocket ends.
enum End {
    /// The peer has closed it or is gone. Nothing more can be sent.
    ByPeer,
    /// The close frame to send to the peer.
    ByServer(CloseFrame),
}

impl WebSocket {
    async fn new(
        upgraded: Upgraded,
        name: String,
        closing: Cancellation,
        patience: Duration,
    ) -> WebSocket {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * LARGEST_MESSAGE)
            .max_message_size(Some(LARGEST_MESSAGE))
            .max_frame_size(Some(LARGEST_MESSAGE));
        let stream =
            WebSocketStream::from_raw_socket(Io::new(upgraded), Role::Server, Some(config)).await;
        let look = sleep(patience / 2);
        WebSocket {
            stream,
            name,
            closing,
            patience,
            look,
            was_heard: false,
            was_pinged: false,
            end: None,
        }
    }

    /// Returns the next text or binary message, or `None` if the WebSocket must end: the peer has
    /// closed the connection, has violated the protocol or has been silent for too long, or the
    /// server shuts down.
    ///
    /// Cancel-safe.
    #[allow(dead_code)] // The example has a second thing to wait for, and uses `poll_next`.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Like [`next`](Self::next), for a future that also waits for something else.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        if Pin::new(&mut self.closing).poll(cx).is_ready() {
            return self.end(End::ByServer(frame(CloseCode::Away, "the server ends")));
        }
        loop {
            match self.stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    self.was_heard = true;
                    match message {
                        Message::Text(_) | Message::Binary(_) => return Poll::Ready(Some(message)),
                        // tungstenite answers pings and the closing handshake by itself while it is
                        // polled for the next message.
                        _ => continue,
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let end = self.end_of(&error);
                    return self.end(end);
                }
                Poll::Ready(None) => return self.end(End::ByPeer),
                Poll::Pending => {}
            }
            ready!(Pin::new(&mut self.look).poll(cx));
            if !std::mem::take(&mut self.was_heard) {
                if self.was_pinged {
                    return self.end(End::ByServer(frame(CloseCode::Away, "silent for too long")));
                }
                // If it cannot be written now, it is written together with the next message.
                let mut stream = Pin::new(&mut self.stream);
                let _ = stream.as_mut().start_send(Message::Ping(Default::default()));
                let _ = stream.as_mut().poll_flush(cx);
                self.was_pinged = true;
            } else {
                self.was_pinged = false;
            }
            self.look.reset(now() + self.patience / 2);
        }
    }

    /// Sends a message. Waits until the socket accepts it, so a peer that reads slowly delays only
    /// its own messages.
    ///
    /// # Errors
    ///
    /// If the peer is gone, or accepts no data for too long.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        let sent = timeout(self.patience, self.stream.send(message)).await;
        sent.unwrap_or_else(|_| Err(Error::Io(io::ErrorKind::TimedOut.into())))
    }

    fn end(&mut self, end: End) -> Poll<Option<Message>> {
        self.end = Some(end);
        Poll::Ready(None)
    }

    /// Performs the closing handshake, unless the peer has done so already, and closes the
    /// connection.
    async fn close(&mut self, result: Result<(), Error>) {
        let end = match (self.end.take(), &result) {
            (_, Err(error)) => self.end_of(error),
            (Some(end), Ok(())) => end,
            (None, Ok(())) => End::ByServer(frame(CloseCode::Normal, "")),
        };
        if let End::ByServer(frame) = end {
            debug!("{}: closes with {} {}", self.name, u16::from(frame.code), frame.reason);
            if self.stream.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        }
        // Reads and discards input of a misbehaving client for a while, so that the client can read
        // the reason.
        let upgraded = self.stream.get_mut().get_mut();
        let _ = poll_fn(|cx| Pin::new(&mut *upgraded).poll_shutdown(cx)).await;
    }

    fn end_of(&self, error: &Error) -> End {
        use CloseCode::{Invalid, Protocol, Size};
        let frame = match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                frame(Size, "message too long")
            }
            Error::Utf8(_) => frame(Invalid, "not UTF-8"),
            Error::Io(_)
            | Error::ConnectionClosed
            | Error::Protocol(ResetWithoutClosingHandshake) => {
                debug!("{}: lost: {error}", self.name);
                return End::ByPeer;
            }
            _ => frame(Protocol, "protocol error"),
        };
        warn!("{}: {error}", self.name);
        End::ByServer(frame)
    }
}

fn frame(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame { code, reason: reason.into() }
}
