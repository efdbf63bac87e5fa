//! The handshakes of a WebSocket: opening it on a connection that hyper serves, and closing it.
//!
//! axum has an extractor for this, `axum::extract::ws`, but it needs tokio.

use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::server::create_response_with_body;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Error, Utf8Bytes};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use futures_util::{AsyncWriteExt, StreamExt};
use headwaiter::compat::hyper::Io;
use headwaiter::time::timeout;
use hyper::upgrade::{OnUpgrade, Upgraded};

/// The longest message that a client may send, in bytes.
pub const MESSAGE: usize = 4096;

/// How long each of the two handshakes may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

pub type Socket = WebSocketStream<Io<Upgraded>>;

/// Why a client is refused: the code and the reason of its close frame.
pub type Refusal = CloseFrame;

pub fn refuse(code: CloseCode, reason: impl Into<Utf8Bytes>) -> Refusal {
    CloseFrame { code, reason: reason.into() }
}

/// Why a request is not answered with 101.
pub type NoWebSocket = (StatusCode, [(&'static str, &'static str); 2], String);

/// Answers a request for a WebSocket. The second value becomes the connection once the response has
/// been sent: see [`open`].
pub fn accept(request: &mut Request) -> Result<(Response, OnUpgrade), NoWebSocket> {
    check_origin(request).map_err(|why| no_websocket(StatusCode::FORBIDDEN, why))?;
    // Checks the method, `Connection`, `Upgrade`, `Sec-WebSocket-Version` and `Sec-WebSocket-Key`,
    // and derives `Sec-WebSocket-Accept`.
    match create_response_with_body(request, Body::empty) {
        Ok(response) => Ok((response, hyper::upgrade::on(request))),
        Err(error) => Err(no_websocket(StatusCode::UPGRADE_REQUIRED, error.to_string())),
    }
}

/// Refuses pages of other sites. A browser lets any page open a WebSocket to any server, with the
/// cookies of that server, and only reports the origin of the page in `Origin`. This matters once
/// there are cookies, or if the server is on an internal network. Clients other than browsers send
/// no `Origin`. Behind a proxy, `Host` must be that of the request to the proxy.
fn check_origin(request: &Request) -> Result<(), String> {
    let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
    let site = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    match site.as_ref().and_then(Uri::authority) {
        Some(site) if host.is_some_and(|host| host.eq_ignore_ascii_case(site.as_str())) => Ok(()),
        _ => Err(format!("a page of {origin:?} may not connect to {:?}", host.unwrap_or_default())),
    }
}

fn no_websocket(status: StatusCode, why: String) -> NoWebSocket {
    (status, [("upgrade", "websocket"), ("sec-websocket-version", "13")], format!("{why}\n"))
}

/// Waits until the response has been sent, and turns the connection into a WebSocket.
pub async fn open(upgrade: OnUpgrade) -> Result<Socket, Box<dyn std::error::Error>> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE))
        // Allocated immediately and kept, so this is the cost of an idle connection. The default is
        // 128 KiB.
        .read_buffer_size(1024)
        // How much is collected before it is written. The buffer never shrinks. The default is 128
        // KiB here too.
        .write_buffer_size(MESSAGE);
    let connection = timeout(HANDSHAKE, upgrade).await??;
    Ok(WebSocketStream::from_raw_socket(Io::new(connection), Role::Server, Some(config)).await)
}

/// Sends this close frame, or answers the client's, and closes the connection.
pub async fn close(mut socket: Socket, goodbye: Option<CloseFrame>) {
    let closing = async {
        if goodbye.is_some() {
            socket.close(goodbye).await?;
        }
        // Until the client has answered. After an error this ends immediately.
        while let Some(Ok(_)) = socket.next().await {}
        // Dropping a connection while bytes arrive resets it, and the client might never see the
        // close frame. When connections of `serve` are closed, they continue to read until the
        // client has closed its side.
        socket.get_mut().close().await.map_err(Error::Io)
    };
    // The connection is dropped now in any case.
    let _ = timeout(HANDSHAKE, closing).await;
}
