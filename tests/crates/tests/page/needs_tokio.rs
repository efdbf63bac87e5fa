//! What needs a tokio runtime: the panic that the page quotes, and `Compat`, which cures it.

use std::future::{Future, pending, ready};
use std::thread;
use std::time::Duration;

use crate::page_says;
use async_compat::{Compat, CompatExt};
use axum::Router;
use axum::routing::get;
use headwaiter::time::{now, timeout};
use headwaiter::{Clock, EventLoop, block_on, net, spawn};
use tower::{Service, ServiceExt};

const NO_REACTOR: &str =
    "there is no reactor running, must be called from the context of a Tokio 1.x runtime";
const PATIENCE: Duration = Duration::from_secs(20);

/// Fails instead of hanging.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it ends in time")
}

/// What a task that runs this future panics with.
async fn panic_of<T: 'static>(future: impl Future<Output = T> + 'static) -> String {
    let error = soon(spawn(future)).await.err().expect("it panics");
    match error.into_panic().downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().expect("a text").to_string(),
    }
}

/// The same future must panic as it is, with the text that the page quotes, and end well in `Compat`.
async fn assert_cured<T, F>(what: &str, make: impl Fn() -> F)
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    assert_eq!(panic_of(make()).await, NO_REACTOR, "{what}");
    soon(spawn(make().compat())).await.unwrap_or_else(|error| panic!("{what} in Compat: {error}"));
}

async fn echo(n: u32) -> Result<u32, tower::BoxError> {
    Ok(n)
}

async fn answer_of<S>(mut service: S) -> u32
where
    S: Service<u32, Response = u32, Error = tower::BoxError>,
{
    for n in 0..2 {
        service.ready().await.expect("ready").call(n).await.expect("an answer");
    }
    service.ready().await.expect("ready").call(7).await.expect("an answer")
}

async fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Answers each client with "soup", by hand: no crate that needs tokio takes part.
async fn soup_server() -> String {
    let listener = net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            spawn(async move {
                let mut request = [0; 4096];
                client.read(&mut request).await?;
                client.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nsoup").await
            });
        }
    });
    url
}

#[test]
fn what_needs_a_tokio_runtime_panics_with_the_text_of_the_page_and_runs_in_compat() {
    assert!(page_says(NO_REACTOR));
    block_on(async {
        let (short, second) = (Duration::from_millis(1), Duration::from_secs(1));
        assert_cured("sleep", move || async move { tokio::time::sleep(short).await }).await;
        assert_cured("timeout", move || async move {
            tokio::time::timeout(short, pending::<()>()).await
        })
        .await;
        assert_cured("interval", move || async move { tokio::time::interval(short).tick().await })
            .await;
        assert_cured("spawn", || async { tokio::spawn(ready(())).await.expect("no panic") }).await;
        assert_cured("spawn_blocking", || async {
            tokio::task::spawn_blocking(|| ()).await.expect("no panic");
        })
        .await;
        assert_cured("bind", || async {
            tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port")
        })
        .await;
        let builder = tower::ServiceBuilder::new;
        assert_cured("tower's timeout", move || async move {
            answer_of(builder().timeout(second).service_fn(echo)).await
        })
        .await;
        assert_cured("tower's rate limit", move || async move {
            answer_of(builder().rate_limit(1, short).service_fn(echo)).await
        })
        .await;
        assert_cured("tower's buffer", move || async move {
            answer_of(builder().buffer(4).service_fn(echo)).await
        })
        .await;
        let url = soup_server().await;
        assert_cured("reqwest", move || {
            let url = url.clone();
            async move {
                let client = reqwest::Client::builder().no_proxy().build().expect("a client");
                let soup = client
                    .get(url)
                    .timeout(PATIENCE)
                    .send()
                    .await
                    .expect("a response")
                    .text()
                    .await;
                assert_eq!(soup.expect("a body"), "soup");
            }
        })
        .await;
        assert_cured("axum::serve", || async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let router = Router::new().route("/", get(thread_name));
            let (closing, closed) = tokio::sync::oneshot::channel::<()>();
            let server = axum::serve(listener, router)
                .with_graceful_shutdown(async { closed.await.unwrap_or(()) });
            let guest = async {
                let mut client = net::TcpStream::connect(address).await.expect("a connection");
                client
                    .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    .await
                    .expect("sent");
                let mut answer = Vec::new();
                futures::AsyncReadExt::read_to_end(&mut client, &mut answer)
                    .await
                    .expect("an answer");
                assert!(answer.ends_with(b"\r\n\r\nasync-compat/tokio-1"));
                drop(closing);
            };
            let (served, ()) = futures::join!(server.into_future(), guest);
            served.expect("it ends well");
        })
        .await;
    });
}

#[test]
fn an_endpoint_of_quinn_that_is_not_given_a_runtime_finds_none() {
    block_on(async {
        let error = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).expect_err("no runtime");
        assert_eq!(error.to_string(), "no async runtime found");
        assert!(page_says("no async runtime found"));
    });
}

#[test]
fn a_task_spawned_inside_compat_is_not_inside_it() {
    block_on(Compat::new(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let nap = async { tokio::time::sleep(Duration::from_millis(1)).await };
        assert_eq!(panic_of(nap).await, NO_REACTOR);
    }));
}

/// A sleep looks for its runtime when it is made, not when it is awaited.
#[test]
fn a_future_of_tokio_must_also_be_made_inside_compat() {
    block_on(async {
        let made_outside = async { tokio::time::sleep(Duration::from_millis(1)).compat().await };
        assert_eq!(panic_of(made_outside).await, NO_REACTOR);
    });
}

/// What tokio spawns there runs on its own thread, where our loop is not; what is awaited stays here.
#[test]
fn what_tokio_spawns_inside_compat_runs_on_the_thread_of_async_compat() {
    block_on(Compat::new(async {
        let home = thread::current().id();
        let there = tokio::spawn(async { thread::current().name().map(str::to_owned) }).await;
        assert_eq!(there.expect("no panic").as_deref(), Some("async-compat/tokio-1"));
        assert_eq!(thread::current().id(), home);
        let misplaced =
            tokio::spawn(async { headwaiter::time::sleep(Duration::from_millis(1)).await }).await;
        let payload = misplaced.expect_err("it panics").into_panic();
        let text = payload.downcast::<String>().expect("a text");
        let quoted = "headwaiter: a timer was used outside any event loop";
        assert!(text.starts_with(quoted) && page_says(quoted), "{text}");
    }));
}

#[test]
fn all_futures_in_compat_share_one_thread() {
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
        let names =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("async-compat")).count()
    };
    block_on(async {
        let naps = (0..100)
            .map(|_| spawn(async { tokio::time::sleep(Duration::from_millis(5)).await }.compat()));
        let naps: Vec<_> = naps.collect();
        for nap in naps {
            nap.await.expect("no panic");
        }
        assert_eq!(threads(), 1);
    });
}

/// So a WebSocket of axum, which tokio's task would drive, fails in `Compat` as well.
#[test]
fn what_tokio_spawns_cannot_use_a_stream_of_this_loop() {
    block_on(Compat::new(async {
        let listener = net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut stream = net::TcpStream::connect(address).await.expect("a connection");
        let misplaced = tokio::spawn(async move { stream.write_all(b"soup").await });
        let payload = soon(misplaced).await.expect_err("it panics").into_panic();
        let text = payload.downcast::<String>().expect("a text");
        let quoted = "headwaiter: TCP stream was used outside any event loop";
        assert!(text.starts_with(quoted) && page_says(quoted), "{text}");
    }));
}

/// The clock jumps to our own timer: tokio's real one is not known to the loop.
#[test]
fn a_virtual_clock_does_not_wait_for_tokios_timers() {
    EventLoop::builder().clock(Clock::Virtual).build().expect("a loop").block_on(async {
        let start = now();
        let nap = async { tokio::time::sleep(PATIENCE).await }.compat();
        assert!(timeout(Duration::from_secs(3600), nap).await.is_err());
        assert_eq!(now() - start, Duration::from_secs(3600));
    });
}
