//! `serve`: which connections are kept, and which are cut off, where that is hard to tell.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use ecosystem::{Client, Error, Server, echo_upgraded, listen, run, seconds, switching_protocols};
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use headwaiter::compat::hyper::{Body, Executor, Io, Timer, serve};
use headwaiter::net::TcpStream;
use headwaiter::sync::oneshot;
use headwaiter::time::{now, sleep};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};

async fn connect(address: std::net::SocketAddr) -> Result<SendRequest<Full<Bytes>>, Error> {
    let stream = TcpStream::connect(address).await?;
    let (client, connection) =
        http2::Builder::new(Executor).timer(Timer).handshake(Io::new(stream)).await?;
    headwaiter::spawn(connection);
    Ok(client)
}

fn get_request(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://localhost{path}")).body(Full::default()).unwrap()
}

#[test]
fn a_response_that_is_stuck_is_cut_off_also_beside_requests_that_are_served() {
    run(async {
        let app = Router::new()
            .route("/", get(|| async { "soup" }))
            .route("/slow", get(|| async { sleep(seconds(5000)).await }))
            .route(
                "/large",
                get(|| async {
                    let part = Bytes::from(vec![b'x'; 10_000]);
                    let parts =
                        (0..500).map(move |_| Ok::<_, io::Error>(Frame::data(part.clone())));
                    axum::body::Body::new(StreamBody::new(futures_lite::stream::iter(parts)))
                }),
            );
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, app), seconds(1));
        let mut client = connect(address).await?;
        let slow = client.send_request(get_request("/slow"));
        headwaiter::spawn(async move { _ = slow.await });
        // Its body is not read, so the window of its stream stays shut.
        let _stuck = client.send_request(get_request("/large")).await?;
        let since = now();
        while client.ready().await.is_ok() && client.send_request(get_request("/")).await.is_ok() {
            sleep(seconds(5)).await;
            assert!(now() - since < seconds(130), "it is kept for ever");
        }
        assert!(now() - since >= seconds(60), "{:?}", now() - since);
        Ok(())
    });
}

#[test]
fn a_tunnel_over_http2_outlives_the_limits() {
    run(async {
        let service = service_fn(|mut request: Request<Body>| async move {
            assert_eq!(request.method(), Method::CONNECT);
            echo_upgraded(&mut request);
            Ok::<_, Error>(Response::new(String::new()))
        });
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, service).header_timeout(seconds(30)), seconds(1));
        let mut client = connect(address).await?;
        let request = Request::connect("localhost:80").body(Full::default())?;
        let response = client.send_request(request).await?;
        assert_eq!(response.status(), StatusCode::OK);
        let mut tunnel = Io::new(hyper::upgrade::on(response).await?);
        for _ in 0..5 {
            tunnel.write_all(b"soup").await?;
            tunnel.flush().await?;
            let mut word = [0; 4];
            tunnel.read_exact(&mut word).await?;
            assert_eq!(&word, b"soup");
            sleep(seconds(300)).await;
        }
        Ok(())
    });
}

#[test]
fn an_upgraded_connection_receives_what_comes_after_it_has_closed_its_own_direction() {
    run(async {
        let (told, rest) = oneshot::channel();
        let told = std::rc::Rc::new(std::cell::Cell::new(Some(told)));
        let service = service_fn(move |mut request: Request<Body>| {
            let told = std::rc::Rc::clone(&told);
            async move {
                let upgrade = hyper::upgrade::on(&mut request);
                headwaiter::spawn(async move {
                    let mut stream = Io::new(upgrade.await?);
                    let mut word = [0; 4];
                    stream.read_exact(&mut word).await?;
                    stream.close().await?;
                    let mut rest = String::new();
                    stream.read_to_string(&mut rest).await?;
                    let _ = told.take().unwrap().send(rest);
                    Ok::<(), Error>(())
                })
                .log_error();
                switching_protocols("echo")
            }
        });
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, service), seconds(1));
        let mut client = Client::connect(address).await?;
        client
            .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nsoup")
            .await?;
        assert_eq!(client.answer().await?.status, 101);
        assert_eq!(client.rest().await, "", "the server has closed its direction");
        client.send("and the rest").await?;
        client.stream.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(rest.await?, "and the rest");
        Ok(())
    });
}

#[test]
fn a_body_may_be_read_on_another_thread() {
    run(async {
        let elsewhere = |body: axum::body::Body| async {
            let thread = thread::spawn(|| {
                futures_lite::future::block_on(body.collect()).unwrap().to_bytes()
            });
            headwaiter::spawn_blocking(|| thread.join().unwrap()).await.unwrap()
        };
        let app = Router::new().route("/", post(elsewhere));
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, app), seconds(1));
        let mut client = connect(address).await?;
        for _ in 0..3 {
            let body = Bytes::from(vec![b'x'; 300_000]);
            let request = Request::post("http://localhost/").body(Full::new(body.clone()))?;
            let response = client.send_request(request).await?;
            assert!(response.into_body().collect().await?.to_bytes() == body);
        }
        Ok(())
    });
}

/// Each second flush takes two polls, as that of TLS over a socket that is full.
struct Buffered(TcpStream, bool);

impl AsyncRead for Buffered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1 = true;
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.1) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

#[test]
fn a_flush_that_took_a_while_is_no_reason_to_cut_off_the_next_request() {
    run(async {
        let app = Router::new().route("/", get(|| async { "soup" })).route(
            "/slow",
            get(|| async {
                sleep(seconds(300)).await;
                "stew"
            }),
        );
        let (listener, address) = listen().await?;
        let server = serve(listener, app).handshake(|stream| async { Ok(Buffered(stream, false)) });
        let _server = Server::start(server, seconds(1));
        let mut client = Client::connect(address).await?;
        assert_eq!(client.get("/").await?.body, "soup");
        assert_eq!(client.get("/slow").await?.body, "stew");
        Ok(())
    });
}
