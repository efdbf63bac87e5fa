//! `serve` for clients of HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::Poll;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use ecosystem::{
    Error, Server, assert_logged, assert_not_logged, assert_passed, counts, listen, run, seconds,
};
use headwaiter::compat::hyper::{Executor, Io, Timer, serve};
use headwaiter::net::TcpStream;
use headwaiter::time::{now, sleep};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response, StatusCode, Version};

type Client = SendRequest<Full<Bytes>>;

/// The task of the connection ends with it.
async fn connect(address: SocketAddr) -> Result<Client, Error> {
    let stream = TcpStream::connect(address).await?;
    let (client, connection) =
        http2::Builder::new(Executor).timer(Timer).handshake(Io::new(stream)).await?;
    headwaiter::spawn(connection);
    Ok(client)
}

fn request(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://localhost{path}")).version(Version::HTTP_2);
    request.body(Full::new(body.into())).unwrap()
}

async fn text(response: Response<Incoming>) -> Result<String, hyper::Error> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn kitchen() -> Router {
    let slow = |s: u64| {
        move || async move {
            sleep(seconds(s)).await;
            "stew"
        }
    };
    let part = Bytes::from(vec![b'x'; 10_000]);
    let endless = move || async {
        let parts = futures_lite::stream::poll_fn(move |_| {
            Poll::Ready(Some(Ok::<_, Infallible>(Frame::data(part.clone()))))
        });
        axum::body::Body::new(http_body_util::StreamBody::new(parts))
    };
    Router::new()
        .route("/", get(|| async { "soup" }).post(|| async { "soup" }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/5", post(slow(5)))
        .route("/500", post(slow(500)))
        .route(
            "/panic",
            post(|| async {
                if true {
                    panic!("no soup")
                }
            }),
        )
        .route("/endless", post(endless))
        .route("/medium", post(|| async { vec![b'x'; 500_000] }))
        .route("/large", post(|| async { vec![b'x'; 5_000_000] }))
}

#[test]
fn requests_of_one_connection_are_served_at_the_same_time() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, kitchen()), seconds(1));
        let mut client = connect(address).await?;
        let since = now();
        let slow = (0..50).map(|_| headwaiter::spawn(client.send_request(request("/5", ""))));
        let slow: Vec<_> = slow.collect();
        let response = client.send_request(request("/echo", vec![b'x'; 1_000_000])).await?;
        assert_eq!(text(response).await?.len(), 1_000_000);
        assert_passed(since, seconds(0));
        for slow in slow {
            assert_eq!(text(slow.await??).await?, "stew");
        }
        assert_passed(since, seconds(5));
        Ok(())
    });
}

#[test]
fn failures_and_refusals_cost_their_request_alone() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, kitchen()).max_body(1000), seconds(1));
        let mut client = connect(address).await?;
        let slow = headwaiter::spawn(client.send_request(request("/5", "")));
        assert_eq!(client.send_request(request("/panic", "")).await?.status(), 500);
        assert_logged(&["ERROR headwaiter::http", "panicked", "no soup"]);
        let refused = client.send_request(request("/echo", vec![b'x'; 1001])).await?;
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_logged(&["WARN headwaiter::http", "a body of 1001 bytes"]);
        assert_eq!(text(slow.await??).await?, "stew");
        assert_eq!(text(client.send_request(request("/", "")).await?).await?, "soup");
        Ok(())
    });
}

#[test]
fn a_graceful_end_lets_what_is_in_flight_finish_and_the_grace_cuts_the_rest() {
    run(async {
        let (listener, address) = listen().await?;
        let before = counts();
        let server = Server::start(serve(listener, kitchen()), seconds(10));
        let mut client = connect(address).await?;
        let mut idle = connect(address).await?;
        let in_time = headwaiter::spawn(client.send_request(request("/5", "")));
        let late = headwaiter::spawn(client.send_request(request("/500", "")));
        assert_eq!(text(idle.send_request(request("/", "")).await?).await?, "soup");
        sleep(seconds(1)).await;
        let since = now();
        server.closing.cancel();
        sleep(seconds(1)).await;
        assert!(idle.ready().await.is_err(), "it was told");
        assert!(client.send_request(request("/", "")).await.is_err(), "it was told");
        assert_eq!(text(in_time.await??).await?, "stew");
        server.close().await?;
        assert_passed(since, seconds(10));
        assert_logged(&["INFO headwaiter::http", "1 connection", "cut off"]);
        assert!(late.await?.is_err());
        drop((client, idle));
        sleep(seconds(1)).await;
        assert_eq!((&*before, &*counts()), ("1 task, 1 source", "1 task, 0 sources"));
        Ok(())
    });
}

#[test]
fn an_idle_connection_is_closed_after_the_header_timeout_and_a_busy_one_is_not() {
    run(async {
        let (listener, address) = listen().await?;
        let server =
            serve(listener, kitchen()).header_timeout(seconds(30)).write_timeout(seconds(30));
        let _server = Server::start(server, seconds(1));
        let before = counts();
        let mut client = connect(address).await?;
        assert_eq!(text(client.send_request(request("/500", "")).await?).await?, "stew");
        for _ in 0..10 {
            sleep(seconds(29)).await;
            assert_eq!(text(client.send_request(request("/", "")).await?).await?, "soup");
        }
        let since = now();
        while counts() != before {
            assert!(now() - since < seconds(200));
            sleep(seconds(3)).await;
        }
        assert!((30..=39).contains(&(now() - since).as_secs()), "{:?}", now() - since);
        assert!(client.ready().await.is_err());
        assert_not_logged("WARN headwaiter::http");
        Ok(())
    });
}

/// The request and the end of the connection cross each other.
#[test]
fn a_request_that_comes_just_when_an_idle_connection_is_closed_is_answered() {
    run(async {
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, kitchen()).header_timeout(seconds(30)), seconds(1));
        let mut client = TcpStream::connect(address).await?;
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
        sleep(seconds(31)).await;
        // GET http / on stream 1.
        client.write_all(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84").await?;
        let (mut bytes, mut received) = ([0; 1000], Vec::new());
        while !received.ends_with(b"soup") {
            let n = client.read(&mut bytes).await?;
            assert_ne!(n, 0, "closed after {received:?}");
            received.extend_from_slice(&bytes[..n]);
        }
        Ok(())
    });
}

/// It has only the preface, so it answers no ping and no GOAWAY either.
#[test]
fn a_peer_that_has_vanished_is_found() {
    run(async {
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, kitchen()).header_timeout(seconds(100_000)), seconds(1));
        let mut client = TcpStream::connect(address).await?;
        let since = now();
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
        let mut bytes = [0; 1000];
        while client.read(&mut bytes).await.unwrap_or(0) > 0 {}
        assert!((40..=60).contains(&(now() - since).as_secs()), "{:?}", now() - since);
        Ok(())
    });
}

#[test]
fn a_client_that_says_nothing_after_the_preface_is_cut_off() {
    run(async {
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, kitchen()).header_timeout(seconds(10)), seconds(1));
        let mut client = TcpStream::connect(address).await?;
        let since = now();
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
        // And then a header without its end.
        client.write_all(b"\0\0\x01\x01\0\0\0\0\x01\x82").await?;
        let mut bytes = [0; 1000];
        while client.read(&mut bytes).await.unwrap_or(0) > 0 {}
        assert!((10..=16).contains(&(now() - since).as_secs()), "{:?}", now() - since);
        Ok(())
    });
}

/// It gives the window of a stream back only when its body is read.
#[test]
fn a_client_that_takes_nothing_of_a_response_is_cut_off() {
    run(async {
        for path in ["/endless", "/large"] {
            let (listener, address) = listen().await?;
            let server =
                serve(listener, kitchen()).write_timeout(seconds(60)).header_timeout(seconds(30));
            let _server = Server::start(server, seconds(1));
            let mut client = connect(address).await?;
            let since = now();
            let response = client.send_request(request(path, "")).await?;
            while headwaiter::dump().to_string().contains("\"http 127.0.0.1") {
                assert!(now() - since < seconds(200));
                sleep(seconds(5)).await;
            }
            let passed = (now() - since).as_secs();
            assert!((30..=125).contains(&passed), "{path}: {passed} s");
            assert!(text(response).await.is_err());
        }
        Ok(())
    });
}

#[test]
fn a_client_that_takes_its_response_slowly_is_served_to_the_end() {
    run(async {
        let (listener, address) = listen().await?;
        let server =
            serve(listener, kitchen()).write_timeout(seconds(10)).header_timeout(seconds(10));
        let _server = Server::start(server, seconds(1));
        let stream = TcpStream::connect(address).await?;
        let handshake = http2::Builder::new(Executor)
            .timer(Timer)
            .initial_stream_window_size(65_535)
            .handshake::<_, Full<Bytes>>(Io::new(stream));
        let (mut client, connection) = handshake.await?;
        headwaiter::spawn(connection);
        let since = now();
        let mut body = client.send_request(request("/medium", "")).await?.into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame?.into_data().map_or(0, |data| data.len());
            sleep(seconds(4)).await;
        }
        assert_eq!(received, 500_000);
        assert!(now() - since > seconds(100));
        Ok(())
    });
}

#[test]
fn a_broken_frame_ends_its_connection_alone() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, kitchen()), seconds(1));
        let mut other = connect(address).await?;
        let mut client = TcpStream::connect(address).await?;
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\0\0\0\0\0soup").await?;
        let mut bytes = [0; 1000];
        while client.read(&mut bytes).await.unwrap_or(0) > 0 {}
        let peer = client.local_addr()?.to_string();
        drop(client);
        assert_eq!(text(other.send_request(request("/", "")).await?).await?, "soup");
        assert_logged(&["headwaiter::http", &peer]);
        Ok(())
    });
}
