//! What `serve` does for well-behaved clients of HTTP/1.1, and for programs that fail.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Extension;
use axum::routing::{get, post};
use ecosystem::{
    Client, Error, Server, assert_logged, echo_upgraded, listen, run, seconds, switching_protocols,
};
use futures_lite::AsyncReadExt;
use futures_lite::future::Boxed;
use headwaiter::compat::hyper::{Body, Peer, serve};
use headwaiter::net::{UnixListener, UnixStream};
use headwaiter::task::yield_now;
use headwaiter::time::sleep;
use http_body_util::BodyExt;
use hyper::{Request, Response};

#[test]
fn a_router_of_axum_is_served() {
    run(async {
        let router =
            Router::new()
                .route("/", get(|| async { "soup" }))
                .route("/echo", post(|body: String| async move { body }))
                .route(
                    "/me",
                    get(|Extension(Peer(me)): Extension<Peer<SocketAddr>>| async move {
                        me.to_string()
                    }),
                );
        let (listener, address) = listen().await?;
        let server = Server::start(serve(listener, router), seconds(1));
        let mut client = Client::connect(address).await?;
        for _ in 0..3 {
            assert_eq!(client.get("/").await?.body, "soup");
        }
        client
            .send("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nfish")
            .await?;
        assert_eq!(client.answer().await?.body, "fish");
        assert_eq!(client.get("/me").await?.body, client.stream.local_addr()?.to_string());
        assert_eq!(client.get("/nowhere").await?.status, 404);
        server.close().await?;
        assert_eq!(client.rest().await, "");
        Ok(())
    });
}

#[test]
fn a_service_of_hyper_is_served_and_need_not_be_send() {
    run(async {
        let served = Rc::new(Cell::new(0));
        let service = hyper::service::service_fn(move |request: Request<Body>| {
            let served = Rc::clone(&served);
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                served.set(served.get() + 1);
                Ok::<_, Error>(Response::new(format!("{}: {}", served.get(), body.len())))
            }
        });
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, service), seconds(1));
        let mut client = Client::connect(address).await?;
        assert_eq!(client.get("/").await?.body, "1: 0");
        client
            .send("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfish\r\n0\r\n\r\n")
            .await?;
        assert_eq!(client.answer().await?.body, "2: 4");
        Ok(())
    });
}

/// It is ready for a call only when it has been asked twice.
#[derive(Clone)]
struct Slow {
    asked: u32,
}

impl tower::Service<Request<Body>> for Slow {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Boxed<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked += 1;
        if self.asked < 2 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let asked = self.asked;
        Box::pin(async move { Ok(Response::new(format!("asked {asked} times"))) })
    }
}

#[test]
fn a_service_of_tower_is_called_when_it_is_ready() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, Slow { asked: 0 }), seconds(1));
        assert_eq!(Client::connect(address).await?.get("/").await?.body, "asked 2 times");

        let plain =
            tower::service_fn(|_| async { Ok::<_, Infallible>(Response::new("soup".to_owned())) });
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, plain), seconds(1));
        assert_eq!(Client::connect(address).await?.get("/").await?.body, "soup");
        Ok(())
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    run(async {
        // The first takes longest.
        let router = Router::new().route(
            "/{n}",
            get(|axum::extract::Path(n): axum::extract::Path<u64>| async move {
                sleep(seconds(10 - n)).await;
                n.to_string()
            }),
        );
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, router), seconds(1));
        let mut client = Client::connect(address).await?;
        let requests: String =
            (0..5).map(|n| format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
        client.send(requests).await?;
        for n in 0..5 {
            assert_eq!(client.answer().await?.body, n.to_string());
        }
        Ok(())
    });
}

#[test]
fn a_slow_handler_slows_no_other_connection() {
    run(async {
        let router = Router::new().route("/", get(|| async { "soup" })).route(
            "/slow",
            get(|| async {
                sleep(seconds(1000)).await;
                "stew"
            }),
        );
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, router), seconds(1));
        let mut slow = Client::connect(address).await?;
        slow.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        let before = headwaiter::time::now();
        assert_eq!(Client::connect(address).await?.get("/").await?.body, "soup");
        assert!(headwaiter::time::now() - before < seconds(1));
        // It may take longer than any of the limits, which are for clients.
        assert_eq!(slow.answer().await?.body, "stew");
        Ok(())
    });
}

#[test]
fn an_upgraded_connection_is_the_programs_and_outlives_the_limits() {
    run(async {
        let service = hyper::service::service_fn(|mut request: Request<Body>| async move {
            echo_upgraded(&mut request);
            switching_protocols("echo")
        });
        let (listener, address) = listen().await?;
        let server = Server::start(serve(listener, service).max_connections(1), seconds(5));
        let mut client = Client::connect(address).await?;
        // With the request comes the first word already.
        client
            .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nsoup")
            .await?;
        assert_eq!(client.answer().await?.status, 101);
        assert_eq!(client.take(4).await?, "soup");
        // Silent for longer than any request may be. And it takes no other's place.
        sleep(seconds(10_000)).await;
        assert_eq!(Client::connect(address).await?.get("/").await?.status, 101);
        server.close().await?;
        client.send("fish").await?;
        assert_eq!(client.take(4).await?, "fish");
        Ok(())
    });
}

#[test]
fn a_unix_socket_is_served() {
    run(async {
        let path = std::env::temp_dir().join(format!("headwaiter-serve-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let unnamed = |Extension(Peer(peer)): Extension<Peer<std::os::unix::net::SocketAddr>>| async move {
            peer.is_unnamed().to_string()
        };
        let listener = UnixListener::bind(&path)?;
        let server =
            Server::start(serve(listener, Router::new().route("/", get(unnamed))), seconds(1));
        let mut client = UnixStream::connect(&path).await?;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        assert!(answer.ends_with("true"), "{answer}");
        server.close().await?;
        std::fs::remove_file(&path)?;
        Ok(())
    });
}

#[test]
fn a_handler_that_panics_is_answered_with_500_and_costs_nothing_else() {
    run(async {
        let router = Router::new()
            .route("/", get(|| async { "soup" }))
            .route(
                "/now",
                get(|| async {
                    if true {
                        panic!("no soup")
                    }
                }),
            )
            .route(
                "/later",
                get(|| async {
                    yield_now().await;
                    if true {
                        panic!("no fish")
                    }
                }),
            );
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, router), seconds(1));
        let mut client = Client::connect(address).await?;
        let peer = client.stream.local_addr()?.to_string();
        for (path, message) in [("/now", "no soup"), ("/later", "no fish")] {
            let answer = client.get(path).await?;
            assert_eq!((answer.status, &*answer.body), (500, ""));
            assert_logged(&["ERROR headwaiter::http", &peer, "panicked", message]);
        }
        // The connection goes on.
        assert_eq!(client.get("/").await?.body, "soup");

        // A service of hyper may panic before there is a future.
        let service = hyper::service::service_fn(|_: Request<Body>| {
            if true {
                panic!("no cake");
            }
            async { Ok::<_, Infallible>(Response::new(String::new())) }
        });
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, service), seconds(1));
        assert_eq!(Client::connect(address).await?.get("/").await?.status, 500);
        assert_logged(&["ERROR headwaiter::http", "panicked", "no cake"]);
        Ok(())
    });
}

#[test]
fn a_service_that_fails_is_answered_with_500() {
    run(async {
        let service = hyper::service::service_fn(|_: Request<Body>| async {
            Err::<Response<String>, _>(std::io::Error::other("the oven is cold"))
        });
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, service), seconds(1));
        let mut client = Client::connect(address).await?;
        assert_eq!(client.get("/").await?.status, 500);
        assert_eq!(client.get("/").await?.status, 500);
        assert_logged(&["ERROR headwaiter::http", "the oven is cold"]);
        Ok(())
    });
}

#[test]
fn a_body_of_a_response_that_panics_costs_its_connection_alone() {
    run(async {
        let broken = || async {
            let mut parts = 0;
            axum::body::Body::new(http_body_util::StreamBody::new(futures_lite::stream::poll_fn(
                move |_| {
                    parts += 1;
                    assert!(parts < 3, "the pot is empty");
                    Poll::Ready(Some(Ok::<_, Infallible>(hyper::body::Frame::data(
                        bytes::Bytes::from("soup"),
                    ))))
                },
            )))
        };
        let router =
            Router::new().route("/", get(|| async { "soup" })).route("/broken", get(broken));
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, router), seconds(1));
        let mut other = Client::connect(address).await?;
        assert_eq!(other.get("/").await?.body, "soup");
        let mut client = Client::connect(address).await?;
        client.send("GET /broken HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        assert!(!client.rest().await.ends_with("0\r\n\r\n"), "it must not look whole");
        assert_logged(&["ERROR headwaiter::task", "\"http 127.0.0.1:", "the pot is empty"]);
        assert_eq!(other.get("/").await?.body, "soup");
        Ok(())
    });
}
