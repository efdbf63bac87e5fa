//! The router on tokio.

use std::io;
use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::fs::File;
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

const PIECE: usize = 64 * 1024;

pub fn serve(router: Router, path: PathBuf) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let router = router
            .route("/file", get(file).with_state(path.clone()))
            .route("/file-64k", get(file_in_large_pieces).with_state(path))
            .route("/ws", get(websocket));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        crate::say_port(listener.local_addr()?.port());
        // As headwaiter's `serve` does it.
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        axum::serve(listener, router).await
    })
}

async fn file(State(path): State<PathBuf>) -> Result<Body, String> {
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    Ok(Body::from_stream(ReaderStream::new(file)))
}

async fn file_in_large_pieces(State(path): State<PathBuf>) -> Result<Body, String> {
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    Ok(Body::from_stream(ReaderStream::with_capacity(file, PIECE)))
}

async fn websocket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(4096).write_buffer_size(0).on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_))
            && socket.send(message).await.is_err()
        {
            return;
        }
    }
}
