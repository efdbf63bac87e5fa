//! hyper-util's client on `Connector` and `UnixConnector`, with `serve` at the other end.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use bytes::Bytes;
use ecosystem::{Error, Server, assert_passed, listen, run, seconds};
use headwaiter::compat::hyper::{Connector, Executor, Io, Peer, Timer, serve};
use headwaiter::net::{TcpStream, UnixListener};
use headwaiter::time::{now, sleep};
use http_body_util::{BodyExt, Empty};
use hyper::{Response, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, Connection};
use tower::{Service, ServiceExt};

fn client<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> Client<C, Empty<Bytes>> {
    let mut client = Client::builder(Executor);
    client.pool_timer(Timer).timer(Timer).pool_idle_timeout(seconds(60)).build(connector)
}

async fn text<C>(client: &Client<C, Empty<Bytes>>, uri: impl ToString) -> Result<String, Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let response = client.get(uri.to_string().parse()?).await?;
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?)
}

/// An error with all its sources.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn who_are_you() -> Router {
    let port =
        |Extension(Peer(peer)): Extension<Peer<SocketAddr>>| async move { peer.port().to_string() };
    Router::new().route("/", get(port))
}

#[test]
fn a_client_keeps_its_connection_and_uses_it_again_until_it_has_been_idle_for_long() {
    run(async {
        let (listener, address) = listen().await?;
        let server = serve(listener, who_are_you()).header_timeout(seconds(1000));
        let _server = Server::start(server, seconds(1));
        let client = client(Connector::new());
        let uri = format!("http://{address}/");
        let first = text(&client, &uri).await?;
        for _ in 0..3 {
            assert_eq!(text(&client, &uri).await?, first);
            sleep(seconds(30)).await;
        }
        sleep(seconds(100)).await;
        assert_ne!(text(&client, &uri).await?, first);
        Ok(())
    });
}

#[test]
fn a_server_that_has_closed_an_idle_connection_is_connected_to_again() {
    run(async {
        let (listener, address) = listen().await?;
        let server = serve(listener, who_are_you()).header_timeout(seconds(5));
        let _server = Server::start(server, seconds(1));
        let client = client(Connector::new());
        let uri = format!("http://localhost:{}/", address.port());
        let first = text(&client, &uri).await?;
        sleep(seconds(6)).await;
        assert_ne!(text(&client, &uri).await?, first);
        Ok(())
    });
}

#[test]
fn http2_is_spoken_with_a_server_that_is_known_to_and_where_a_connector_says_so() {
    run(async {
        let version = |request: hyper::Request<_>| async move {
            Ok::<_, Infallible>(Response::new(format!("{:?}", request.version())))
        };
        let (listener, address) = listen().await?;
        let _server = Server::start(serve(listener, tower::service_fn(version)), seconds(1));
        let uri = format!("http://{address}/");
        let known = Client::builder(Executor).timer(Timer).http2_only(true).build(Connector::new());
        assert_eq!(text(&known, &uri).await?, format!("{:?}", Version::HTTP_2));
        // As a connector with TLS does that has been told by ALPN.
        let negotiated =
            Connector::new().map_response(|io: Io<TcpStream>| io.negotiated_http2(true));
        assert_eq!(text(&client(negotiated), &uri).await?, format!("{:?}", Version::HTTP_2));
        assert_eq!(text(&client(Connector::new()), &uri).await?, format!("{:?}", Version::HTTP_11));
        Ok(())
    });
}

#[test]
fn what_connects_to_nothing_says_to_what() {
    run(async {
        let (listener, address) = listen().await?;
        drop(listener);
        let error =
            text(&client(Connector::new()), format!("http://{address}/")).await.unwrap_err();
        let chain = chain(&*error);
        assert!(chain.contains(&address.to_string()) && chain.contains("refused"), "{chain}");
        Ok(())
    });
}

#[test]
fn a_host_that_does_not_answer_costs_the_connect_timeout() {
    run(async {
        // Its queue is full, so that the kernel leaves a further SYN unanswered.
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        let since = loop {
            let since = now();
            let connecting = headwaiter::time::timeout(seconds(5), TcpStream::connect(address));
            match connecting.await {
                Ok(stream) => waiting.push(stream?),
                Err(_) => break since,
            }
        };
        assert_passed(since, seconds(5));
        let since = now();
        let connector = Connector::new().connect_timeout(seconds(20));
        let error = text(&client(connector), format!("http://{address}/")).await.unwrap_err();
        assert_passed(since, seconds(20));
        let chain = chain(&*error);
        assert!(chain.contains(&format!("connect to {address}: no answer within 20s")), "{chain}");
        Ok(())
    });
}

#[test]
fn an_address_that_is_not_http_is_refused_with_what_to_do() {
    run(async {
        for (uri, why) in [
            ("https://localhost/", "this connector has no TLS: wrap it"),
            ("ftp://localhost/", "speaks http only"),
            ("/soup", "it needs a scheme and a host"),
        ] {
            let error = Connector::new().call(Uri::try_from(uri)?).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            assert!(
                error.to_string().starts_with(uri) && error.to_string().contains(why),
                "{error}"
            );
            assert!(error.source().is_none());
        }
        // For a connector that is wrapped in TLS.
        let (listener, address) = listen().await?;
        let uri = Uri::try_from(format!("https://{address}/"))?;
        let io = Connector::new().enforce_http(false).nodelay(false).call(uri).await?;
        assert_eq!(io.get_ref().peer_addr()?, address);
        assert!(!io.get_ref().nodelay()?);
        assert!(!io.connected().is_negotiated_h2());
        drop(listener);
        Ok(())
    });
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    run(async {
        let Ok(listener) = headwaiter::net::TcpListener::bind("[::1]:0").await else {
            return Ok(()); // A machine without IPv6.
        };
        let address = listener.local_addr()?;
        let _server = Server::start(serve(listener, who_are_you()), seconds(1));
        assert!(
            text(&client(Connector::new()), format!("http://{address}/"))
                .await?
                .parse::<u16>()
                .is_ok()
        );
        Ok(())
    });
}

#[test]
fn a_unix_socket_is_connected_to_whatever_the_host() {
    run(async {
        let path =
            std::env::temp_dir().join(format!("headwaiter-connector-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let router = Router::new().route("/", get(|| async { "soup" }));
        let server = Server::start(serve(listener, router), seconds(1));
        let client = client(Connector::unix(&path));
        assert_eq!(text(&client, "http://kitchen/").await?, "soup");
        assert_eq!(text(&client, "http://kitchen/").await?, "soup");
        server.close().await?;
        std::fs::remove_file(&path)?;
        sleep(seconds(1)).await;
        let error = text(&client, "http://kitchen/").await.unwrap_err();
        assert!(chain(&*error).contains(path.to_str().unwrap_or("?")), "{}", chain(&*error));
        Ok(())
    });
}
