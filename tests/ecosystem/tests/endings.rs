//! How a server ends, and what connections leave behind.

use std::future::IntoFuture;

use axum::Router;
use axum::routing::get;
use ecosystem::{
    Client, Error, Server, assert_logged, assert_not_logged, assert_passed, counts, listen, run,
    seconds,
};
use headwaiter::compat::hyper::{Body, serve};
use headwaiter::net::TcpStream;
use headwaiter::task::yield_now;
use headwaiter::time::{now, sleep};
use hyper::{Request, Response};

fn kitchen() -> Router {
    let slow = |seconds_: u64| {
        move || async move {
            sleep(seconds(seconds_)).await;
            "stew"
        }
    };
    Router::new()
        .route("/", get(|| async { "soup" }))
        .route("/5", get(slow(5)))
        .route("/50", get(slow(50)))
}

#[test]
fn a_graceful_end_closes_what_is_idle_and_lets_what_is_in_flight_finish() {
    run(async {
        let (listener, address) = listen().await?;
        let server = Server::start(serve(listener, kitchen()), seconds(10));
        let (mut idle, mut silent) =
            (Client::connect(address).await?, Client::connect(address).await?);
        let (mut busy, mut last) =
            (Client::connect(address).await?, Client::connect(address).await?);
        assert_eq!(idle.get("/").await?.body, "soup");
        busy.send("GET /5 HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        sleep(seconds(1)).await;
        let since = now();
        // Sent just before the end: it is answered.
        last.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        server.closing.cancel();
        assert_eq!(idle.rest().await, "");
        assert_eq!(silent.rest().await, "");
        assert!(last.rest().await.ends_with("soup"));
        assert_passed(since, seconds(0));
        assert!(TcpStream::connect(address).await.is_err(), "it listens no more");
        let answer = busy.answer().await?;
        assert_eq!(answer.body, "stew");
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
        assert_passed(since, seconds(4));
        server.close().await?;
        assert_passed(since, seconds(4));
        assert_logged(&["INFO headwaiter::http", "closing"]);
        assert_not_logged("cut off");
        Ok(())
    });
}

#[test]
fn a_handshake_that_hangs_does_not_hold_the_end_up() {
    run(async {
        let (listener, address) = listen().await?;
        let hang = |_: TcpStream| std::future::pending::<std::io::Result<TcpStream>>();
        let server = Server::start(serve(listener, kitchen()).handshake(hang), seconds(10));
        let mut client = Client::connect(address).await?;
        sleep(seconds(1)).await;
        let since = now();
        server.close().await?;
        assert_eq!(client.rest().await, "");
        assert_passed(since, seconds(0));
        Ok(())
    });
}

#[test]
fn what_is_not_done_after_the_grace_is_cut_off() {
    run(async {
        let (listener, address) = listen().await?;
        let before = counts();
        let server = Server::start(serve(listener, kitchen()), seconds(10));
        let mut clients = [Client::connect(address).await?, Client::connect(address).await?];
        for client in &mut clients {
            client.send("GET /50 HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        }
        sleep(seconds(1)).await;
        let since = now();
        server.close().await?;
        assert_passed(since, seconds(10));
        for client in &mut clients {
            assert_eq!(client.rest().await, "");
        }
        assert_logged(&["INFO headwaiter::http", "2 connections", "cut off"]);
        drop(clients);
        // The listener has gone, too.
        assert_eq!((&*before, &*counts()), ("1 task, 1 source", "1 task, 0 sources"));
        Ok(())
    });
}

#[test]
fn a_server_that_is_dropped_ends_at_once() {
    run(async {
        let (listener, address) = listen().await?;
        let server = headwaiter::spawn(serve(listener, kitchen()).into_future());
        let mut client = Client::connect(address).await?;
        client.send("GET /50 HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        sleep(seconds(1)).await;
        server.abort();
        drop(server);
        assert_eq!(counts(), "1 task, 1 source");
        let since = now();
        assert_eq!(client.rest().await, "");
        assert_passed(since, seconds(0));
        Ok(())
    });
}

#[test]
fn a_handler_whose_client_has_gone_is_dropped() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, kitchen()), seconds(10));
        let before = counts();
        let mut client = Client::connect(address).await?;
        client.send("GET /50 HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        sleep(seconds(1)).await;
        client.close().await?;
        assert_eq!(counts(), before);
        Ok(())
    });
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    run(async {
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, kitchen()).header_timeout(seconds(5)), seconds(10));
        yield_now().await;
        let before = counts();
        for round in 0..10 {
            let mut clients = Vec::new();
            for n in 0..100 {
                let mut client = Client::connect(address).await?;
                match (round + n) % 4 {
                    0 => drop(client.get("/").await?),
                    1 => client.send("GET /50 HTTP/1.1\r\nhost: a\r\n\r\n").await?,
                    2 => client.send("GET /").await?,
                    _ => {}
                }
                clients.push(client);
            }
            // Some rounds wait until the server closes them.
            sleep(seconds(round)).await;
        }
        sleep(seconds(6)).await;
        assert_eq!(counts(), before);
        Ok(())
    });
}

#[test]
fn the_body_of_a_request_may_outlive_its_response() {
    run(async {
        let (told, tells) = headwaiter::sync::oneshot::channel();
        let told = std::cell::Cell::new(Some(told));
        let service = hyper::service::service_fn(move |request: Request<Body>| {
            let told = told.take();
            async move {
                headwaiter::spawn(async move {
                    let body = http_body_util::BodyExt::collect(request.into_body()).await;
                    let length = body.map(|body| body.to_bytes().len());
                    let _ =
                        told.expect("one request").send(length.map_err(|error| error.to_string()));
                });
                Ok::<_, Error>(Response::new(String::new()))
            }
        });
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, service).header_timeout(seconds(5)), seconds(10));
        let mut client = Client::connect(address).await?;
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n").await?;
        assert_eq!(client.answer().await?.status, 200);
        for _ in 0..10 {
            sleep(seconds(4)).await;
            client.send("x").await?;
        }
        assert_eq!(tells.await?, Ok(10));
        Ok(())
    });
}
