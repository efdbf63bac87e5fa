//! axum and the layers of tower-http under `compat::hyper::serve`: what runs, and what fails as the page says.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{MethodRouter, get};
use futures::{AsyncReadExt, Stream};
use headwaiter::compat::hyper::serve;
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::time::{interval, sleep, timeout};
use headwaiter::{block_on, spawn, sync};
use send_wrapper::SendWrapper;
use tower_http::services::ServeDir;

const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(1);

const PLAIN: &str = "GET / HTTP/1.1\r\nhost: kitchen\r\nconnection: close\r\n\r\n";
/// The status of the response to one request, and its body as it goes over the wire.
async fn ask(router: Router, request: &str) -> io::Result<(u16, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let server = spawn(serve(listener, router).into_future());
    client.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    let mut chunk = [0; 4096];
    while !answer.contains("\r\n\r\n") {
        let n = timeout(PATIENCE, client.read(&mut chunk)).await??;
        assert!(n > 0, "an answer without end: {answer}");
        answer.push_str(&String::from_utf8_lossy(&chunk[..n]));
    }
    if request == PLAIN {
        timeout(PATIENCE, client.read_to_string(&mut answer)).await??;
    }
    server.abort();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a header");
    Ok((head[9..12].parse().expect("a status"), body.to_owned()))
}

fn at_root(handler: MethodRouter) -> Router {
    Router::new().route("/", handler)
}

fn soup() -> Router {
    at_root(get(|| async { "soup" }))
}

#[test]
fn the_layers_of_tower_http_run_except_for_timeout_and_files() -> io::Result<()> {
    block_on(async {
        let router = soup()
            .layer(tower_http::cors::CorsLayer::permissive())
            .layer(tower_http::trace::TraceLayer::new_for_http())
            .layer(tower_http::limit::RequestBodyLimitLayer::new(16))
            .layer(tower::limit::ConcurrencyLimitLayer::new(1));
        assert_eq!(ask(router, PLAIN).await?, (200, "soup".to_owned()));

        let status = StatusCode::GATEWAY_TIMEOUT;
        let timeout = tower_http::timeout::TimeoutLayer::with_status_code(status, PATIENCE);
        assert_eq!(ask(soup().layer(timeout), PLAIN).await?.0, 500);
        let files = Router::new().fallback_service(ServeDir::new(env!("CARGO_MANIFEST_DIR")));
        assert_eq!(ask(files, "GET /Cargo.toml HTTP/1.1\r\nhost: kitchen\r\n\r\n").await?.0, 500);
        Ok(())
    })
}

fn three_events() -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let mut ticks = interval(SHORT);
        for n in 0..3 {
            ticks.tick().await;
            yield Ok(Event::default().data(n.to_string()));
        }
    }
}

#[test]
fn server_sent_events_run_without_keep_alive() -> io::Result<()> {
    block_on(async {
        let (status, body) =
            ask(at_root(get(|| async { Sse::new(three_events()) })), PLAIN).await?;
        let data: Vec<_> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!((status, data), (200, vec!["0", "1", "2"]));
        let kept_alive = || async { Sse::new(three_events()).keep_alive(KeepAlive::default()) };
        assert_eq!(ask(at_root(get(kept_alive)), PLAIN).await?.0, 500);
        Ok(())
    })
}

#[test]
fn a_send_wrapper_lets_a_handler_hold_what_is_not_send() -> io::Result<()> {
    block_on(async {
        let till = SendWrapper::new(Rc::new(sync::Mutex::new(7)));
        let pay = move || {
            SendWrapper::new(async move {
                let mut till = till.lock().await;
                sleep(SHORT).await;
                *till += 1;
                till.to_string()
            })
        };
        assert_eq!(ask(at_root(get(pay)), PLAIN).await?, (200, "8".to_owned()));
        Ok(())
    })
}

/// So handlers may use them without a wrapper.
#[test]
fn the_futures_of_this_crate_are_send() {
    fn is_send<T: Send>(_: T) {}
    is_send(async { sleep(SHORT).await });
    is_send(async { timeout(SHORT, TcpStream::connect("127.0.0.1:1")).await });
    is_send(async {
        let mut stream = TcpStream::connect("127.0.0.1:1").await?;
        stream.write_all(b"soup").await?;
        stream.read_to_string(&mut String::new()).await
    });
    is_send(async {
        headwaiter::net::UdpSocket::bind("127.0.0.1:0").await?.recv_from(&mut [0]).await
    });
    is_send(async { headwaiter::fs::File::open("menu").await?.read(&mut [0]).await });
    is_send(async { headwaiter::fs::read("menu").await });
    is_send(async { headwaiter::process::Command::new("true").output().await });
    is_send(async { spawn(async {}).await });
    is_send(async { headwaiter::spawn_blocking(|| ()).await });
    is_send(async { headwaiter::task::CancelToken::new().cancelled().await });
    is_send(async { interval(SHORT).tick().await });
}
