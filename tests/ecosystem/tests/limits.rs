//! What ends the connections of clients that are silent, slow, greedy or wrong, and nothing else: on a virtual clock, so that ten minutes
//! of patience take a millisecond.

use std::convert::Infallible;
use std::io;
use std::task::Poll;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use ecosystem::{
    Client, Error, Server, assert_logged, assert_not_logged, assert_passed, counts, listen, run,
    seconds,
};
use headwaiter::compat::hyper::{Body, BodyTimeout, serve};
use headwaiter::net::TcpStream;
use headwaiter::time::{now, sleep};
use http_body_util::{BodyExt, LengthLimitError};
use hyper::body::Frame;
use hyper::{Request, Response};

fn soup() -> Router {
    Router::new()
        .route("/", get(|| async { "soup" }))
        .route("/echo", post(|body: String| async move { body }))
}

/// Silent ones, and those that stop in the middle of a header, of HTTP/1 and of HTTP/2.
#[test]
fn a_header_that_does_not_come_in_time_ends_the_connection() {
    run(async {
        for start in ["", "G", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: a\r\nx: "] {
            let (listener, address) = listen().await?;
            let _server =
                Server::start(serve(listener, soup()).header_timeout(seconds(600)), seconds(1));
            let mut client = Client::connect(address).await?;
            let peer = client.stream.local_addr()?.to_string();
            let since = now();
            client.send(start).await?;
            sleep(seconds(599)).await;
            let mut other = Client::connect(address).await?;
            assert_eq!(other.get("/").await?.body, "soup");
            assert_eq!(client.rest().await, "");
            assert_passed(since, seconds(600));
            if start.is_empty() {
                assert_logged(&["DEBUG headwaiter::http", &peer, "no request within 600s"]);
            } else {
                assert_logged(&["WARN headwaiter::http", &peer, "did not come within 600s"]);
            }
            assert_eq!(other.get("/").await?.body, "soup");
        }
        Ok(())
    });
}

#[test]
fn a_header_that_comes_one_byte_a_second_is_cut_off() {
    run(async {
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, soup()).header_timeout(seconds(30)), seconds(1));
        let (mut client, since) = (Client::connect(address).await?, now());
        for byte in "GET / HTTP/1.1\r\nhost: localhost.localdomain\r\n\r\n".bytes() {
            if client.send([byte]).await.is_err() {
                break;
            }
            sleep(seconds(1)).await;
        }
        assert_eq!(client.rest().await, "");
        assert!(now() - since < seconds(50));
        assert_logged(&["WARN headwaiter::http", "did not come within 30s"]);
        Ok(())
    });
}

#[test]
fn an_idle_connection_is_closed_after_the_header_timeout_and_a_busy_one_is_not() {
    run(async {
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, soup()).header_timeout(seconds(30)), seconds(1));
        let mut client = Client::connect(address).await?;
        for _ in 0..10 {
            assert_eq!(client.get("/").await?.body, "soup");
            sleep(seconds(29)).await;
        }
        assert_eq!(client.get("/").await?.body, "soup");
        let since = now();
        assert_eq!(client.rest().await, "");
        assert_passed(since, seconds(30));
        assert_not_logged("WARN headwaiter::http");
        // A second request that stops half-way, after one that was answered.
        let mut client = Client::connect(address).await?;
        assert_eq!(client.get("/").await?.body, "soup");
        sleep(seconds(20)).await;
        client.send("GET / HT").await?;
        let since = now();
        assert_eq!(client.rest().await, "");
        assert_passed(since, seconds(10));
        assert_logged(&["WARN headwaiter::http", "did not come within 30s"]);
        Ok(())
    });
}

#[test]
fn a_declared_body_that_is_too_large_is_refused_and_the_answer_arrives() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, soup()).max_body(1000), seconds(1));
        let mut client = Client::connect(address).await?;
        client
            .send(format!(
                "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{:1000}",
                ""
            ))
            .await?;
        assert_eq!(client.answer().await?.status, 200);
        client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n").await?;
        // It sends on, and reads the answer only then. The server takes it, and closes without a reset.
        for _ in 0..3 {
            client.send(vec![b'x'; 1_000_000]).await?;
            sleep(seconds(1)).await;
        }
        let answer = client.answer().await?;
        assert_eq!(answer.status, 413);
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
        client.must_end().await;
        assert_logged(&["WARN headwaiter::http", "a body of 10000000 bytes"]);
        Ok(())
    });
}

#[test]
fn a_client_that_sends_on_for_ever_after_it_was_refused_is_cut_off() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, soup()).max_body(1000), seconds(1));
        let before = counts();
        let mut client = Client::connect(address).await?;
        client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n").await?;
        assert_eq!(client.answer().await?.status, 413);
        let since = now();
        while client.send("x").await.is_ok() {
            sleep(seconds(1)).await;
        }
        assert!(now() - since <= seconds(10), "{:?}", now() - since);
        drop(client);
        assert_eq!(counts(), before);
        Ok(())
    });
}

#[test]
fn a_body_of_unknown_length_that_is_too_large_fails_and_axum_answers_413() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, soup()).max_body(1000), seconds(1));
        let mut client = Client::connect(address).await?;
        client
            .send("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n")
            .await?;
        client.send(format!("{:1000}\r\n1\r\nx\r\n", "")).await?;
        assert_eq!(client.answer().await?.status, 413);
        assert_eq!(client.rest().await, "");

        let read = hyper::service::service_fn(|request: Request<Body>| async {
            let error = request.into_body().collect().await.unwrap_err();
            Ok::<_, Infallible>(Response::new(error.is::<LengthLimitError>().to_string()))
        });
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, read).max_body(0), seconds(1));
        let mut client = Client::connect(address).await?;
        client
            .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
            .await?;
        assert_eq!(client.answer().await?.body, "true");
        Ok(())
    });
}

#[test]
fn a_body_that_comes_one_byte_a_second_fails_and_one_that_comes_fast_enough_does_not() {
    run(async {
        let read = hyper::service::service_fn(|request: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(match request.into_body().collect().await {
                Ok(body) => body.to_bytes().len().to_string(),
                Err(error) => format!("{}: {error}", error.is::<BodyTimeout>()),
            }))
        });
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, read).body_timeout(seconds(20), 100), seconds(1));
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n";
        let (mut client, since) = (Client::connect(address).await?, now());
        client.send(head).await?;
        while client.send("x").await.is_ok() && now() - since < seconds(20) {
            sleep(seconds(1)).await;
        }
        let answer = client.answer().await?;
        assert!(
            answer.body.starts_with("true: the request's body takes longer than 20s"),
            "{}",
            answer.body
        );
        assert_passed(since, seconds(20));
        // What comes at the rate may go on for as long as it likes.
        let (mut client, since) = (Client::connect(address).await?, now());
        client.send(head).await?;
        for _ in 0..10 {
            client.send([b'x'; 500]).await?;
            sleep(seconds(5)).await;
        }
        assert_eq!(client.answer().await?.body, "5000");
        assert!(now() - since >= seconds(50));
        Ok(())
    });
}

#[test]
fn the_time_of_a_reader_does_not_count_as_the_clients() {
    run(async {
        let read = hyper::service::service_fn(|request: Request<Body>| async {
            let (mut body, mut read) = (request.into_body(), 0);
            while let Some(frame) = body.frame().await {
                read += frame?.into_data().map_or(0, |data| data.len());
                sleep(seconds(100)).await;
            }
            Ok::<_, Error>(Response::new(read.to_string()))
        });
        let (listener, address) = listen().await?;
        let _server =
            Server::start(serve(listener, read).body_timeout(seconds(20), 1_000_000), seconds(1));
        let mut client = Client::connect(address).await?;
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n").await?;
        client.send(vec![b'x'; 300_000]).await?;
        assert_eq!(client.answer().await?.body, "300000");
        Ok(())
    });
}

/// Reads nothing; the server has more to send than the kernel takes.
#[test]
fn a_client_that_does_not_take_its_response_is_cut_off() {
    run(async {
        let endless = || async {
            let part = Bytes::from(vec![b'x'; 100_000]);
            let parts = futures_lite::stream::poll_fn(move |_| {
                Poll::Ready(Some(Ok::<_, Infallible>(Frame::data(part.clone()))))
            });
            axum::body::Body::new(http_body_util::StreamBody::new(parts))
        };
        // Of one piece, which is with hyper at once, and of many.
        let router = Router::new()
            .route("/whole", get(|| async { vec![b'x'; 50_000_000] }))
            .route("/endless", get(endless));
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, router).write_timeout(seconds(60)), seconds(1));
        for path in ["/whole", "/endless"] {
            let (mut client, since) = (Client::connect(address).await?, now());
            client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await?;
            let is_served = || headwaiter::dump().to_string().contains("http 127.0.0.1");
            sleep(seconds(1)).await;
            while is_served() {
                assert!(now() - since < seconds(200));
                sleep(seconds(5)).await;
            }
            assert!((60..=125).contains(&(now() - since).as_secs()), "{:?}", now() - since);
            assert_logged(&[
                "WARN headwaiter::http",
                "the peer took nothing of a response for 60s",
            ]);
        }
        Ok(())
    });
}

#[test]
fn a_client_that_takes_its_response_slowly_is_served_to_the_end() {
    run(async {
        let router = Router::new().route("/", get(|| async { vec![b'x'; 20_000_000] }));
        let (listener, address) = listen().await?;
        let server = serve(listener, router).write_timeout(seconds(60)).header_timeout(seconds(5));
        let _server = Server::start(server, seconds(1));
        let (mut client, since) = (TcpStream::connect(address).await?, now());
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        let (mut received, mut bytes) = (0, vec![0; 1_000_000]);
        while received < 20_000_000 {
            received += client.read(&mut bytes).await?;
            sleep(seconds(10)).await;
        }
        assert!(now() - since >= seconds(200));
        Ok(())
    });
}

#[test]
fn what_is_no_http_is_answered_with_400_and_logged_and_others_are_served() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, soup()), seconds(1));
        let mut other = Client::connect(address).await?;
        for wrong in [
            "soup please\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
        ] {
            let mut client = Client::connect(address).await?;
            client.send(wrong).await?;
            assert_eq!(client.answer().await?.status, 400);
            assert_eq!(client.rest().await, "");
            let peer = client.stream.local_addr()?.to_string();
            client.close().await?;
            assert_logged(&["WARN headwaiter::http", &peer, "invalid"]);
            assert_eq!(other.get("/").await?.body, "soup");
        }
        Ok(())
    });
}

#[test]
fn a_header_that_is_too_large_is_answered_with_431() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, soup()), seconds(1));
        let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(70_000));
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
        for large in [long, many] {
            let mut client = Client::connect(address).await?;
            client.send(large).await?;
            assert_eq!(client.answer().await?.status, 431);
            assert_eq!(client.rest().await, "");
            let peer = client.stream.local_addr()?.to_string();
            client.close().await?;
            assert_logged(&["WARN headwaiter::http", &peer, "too large"]);
        }
        // Just within.
        let most = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(60_000));
        let mut client = Client::connect(address).await?;
        client.send(most).await?;
        assert_eq!(client.answer().await?.body, "soup");
        Ok(())
    });
}

#[test]
fn more_connections_than_allowed_wait_until_one_has_ended() {
    run(async {
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, soup()).max_connections(2), seconds(1));
        let mut clients = [Client::connect(address).await?, Client::connect(address).await?];
        for client in &mut clients {
            assert_eq!(client.get("/").await?.body, "soup");
        }
        let mut third = Client::connect(address).await?;
        third.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        let since = now();
        sleep(seconds(10)).await;
        let [first, _second] = clients;
        drop(first);
        assert_eq!(third.answer().await?.body, "soup");
        assert_passed(since, seconds(10));
        Ok(())
    });
}

#[test]
fn a_handshake_that_fails_or_hangs_costs_its_connection_alone() {
    run(async {
        let (listener, address) = listen().await?;
        let ask = |mut stream: TcpStream| async move {
            let mut word = [0; 4];
            stream.read_exact(&mut word).await?;
            if &word == b"soup" { Ok(stream) } else { Err(io::Error::other("the wrong word")) }
        };
        let server = serve(listener, soup()).handshake(ask).header_timeout(seconds(30));
        let _server = Server::start(server, seconds(1));
        let (mut silent, since) = (Client::connect(address).await?, now());
        let mut wrong = Client::connect(address).await?;
        wrong.send("stew").await?;
        assert_eq!(wrong.rest().await, "");
        assert_logged(&["WARN headwaiter::http", "the handshake failed: the wrong word"]);
        let mut right = Client::connect(address).await?;
        right.send("soup").await?;
        assert_eq!(right.get("/").await?.body, "soup");
        assert_eq!(silent.rest().await, "");
        assert_passed(since, seconds(30));
        assert_logged(&["WARN headwaiter::http", "no handshake within 30s"]);
        // One that takes its time has less for its header.
        let (mut slow, since) = (Client::connect(address).await?, now());
        sleep(seconds(20)).await;
        slow.send("soupGET / HT").await?;
        assert_eq!(slow.rest().await, "");
        assert_passed(since, seconds(30));
        Ok(())
    });
}
