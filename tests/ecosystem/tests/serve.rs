use axum::Router;
use axum::routing::get;
use headwaiter::compat::hyper::{Body, serve};
use headwaiter::net::{TcpListener, TcpStream};
use hyper::{Request, Response};
use std::future::IntoFuture;
use std::io;

#[test]
fn routers_and_services_of_tower_and_of_hyper_are_served() {
    headwaiter::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/", get(|| async { "soup" }));
        headwaiter::spawn(serve(listener, router).into_future());
        let mut client = TcpStream::connect(address).await?;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        futures_lite::AsyncReadExt::read_to_string(&mut client, &mut answer).await?;
        assert!(answer.ends_with("soup"), "{answer}");

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let tower = tower::service_fn(|_: Request<Body>| async {
            Ok::<_, io::Error>(Response::new("soup".to_owned()))
        });
        drop(serve(listener, tower).into_future());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let of_hyper = hyper::service::service_fn(|_: Request<Body>| async {
            Ok::<_, io::Error>(Response::new("soup".to_owned()))
        });
        drop(serve(listener, of_hyper).into_future());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
