//! The router on headwaiter, as in `examples/web_server`.

use std::io;
use std::path::PathBuf;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::server::create_response_with_body;
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use futures_util::{StreamExt, stream};
use headwaiter::compat::hyper::Io;
use headwaiter::fs::File;
use headwaiter::net::TcpListener;
use hyper::upgrade::OnUpgrade;

const PIECE: usize = 64 * 1024;

pub fn serve(router: Router, path: PathBuf) -> io::Result<()> {
    headwaiter::block_on(async {
        let router = router.route("/file", get(file).with_state(path)).route("/ws", get(websocket));
        // Makes its handlers ready once, not for each request. `axum::serve` does it too.
        let router = router.with_state(());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        crate::say_port(listener.local_addr()?.port());
        headwaiter::compat::hyper::serve(listener, router).await
    })
}

async fn file(State(path): State<PathBuf>) -> Result<Body, String> {
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    Ok(Body::from_stream(stream::try_unfold(file, async |mut file| {
        let mut piece = vec![0; PIECE];
        let n = file.read(&mut piece).await?;
        piece.truncate(n);
        io::Result::Ok((n > 0).then(|| (Bytes::from(piece), file)))
    })))
}

async fn websocket(mut request: Request) -> Result<Response, String> {
    let response =
        create_response_with_body(&request, Body::empty).map_err(|error| error.to_string())?;
    drop(headwaiter::spawn(echo(hyper::upgrade::on(&mut request))));
    Ok(response)
}

async fn echo(upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    let mut socket =
        WebSocketStream::from_raw_socket(Io::new(upgraded), Role::Server, Some(config)).await;
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}
