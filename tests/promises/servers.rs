//! A server outlives any of its clients: groups whose tasks fail alone, the recipe of `docs/shutdown.md`, and the servers of
//! `examples/`, whose own accept loops run here. They have no code that panics; but they log, and a logger may panic.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::logged::{
    has_panicked, lines, logged_without_stalls as logged, panic_at, so_far,
};
use crate::support::*;
use futures_lite::future::or;
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task::{self, CancelToken, GroupClosed, TaskGroup, yield_now};
use headwaiter::time::{sleep, timeout};
use headwaiter::{EventLoop, on_ready};
use log::LevelFilter;

#[allow(dead_code)]
#[path = "../../examples/echo_blocking.rs"]
mod echo_blocking;
#[allow(dead_code)]
#[path = "../../examples/echo_callbacks.rs"]
mod echo_callbacks;
#[allow(dead_code)]
#[path = "../../examples/echo_futures.rs"]
mod echo_futures;
#[allow(dead_code)]
#[path = "../../examples/echo_server.rs"]
mod echo_server;
#[allow(dead_code)]
#[path = "../../examples/one_loop_per_core.rs"]
mod one_loop_per_core;
#[allow(dead_code)]
#[path = "../../examples/proxy.rs"]
mod proxy;

#[track_caller]
fn logged_in_loop<F: Future<Output = ()>>(
    test: impl FnOnce() -> F + Send + 'static,
) -> Vec<String> {
    logged(LevelFilter::Warn, || EventLoop::new().expect("a loop").block_on(test()))
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a drop that panics");
    }
}

async fn holds<T, E>(held: T) -> Result<(), E> {
    let _held = held;
    sleep(Duration::MAX).await;
    Ok(())
}

#[test]
fn each_task_of_an_isolated_group_fails_alone_and_is_logged_with_name_and_place_and_counted() {
    let said = logged_in_loop(|| async {
        let group = TaskGroup::isolated();
        let (done, is_done) = headwaiter::sync::oneshot::channel();
        group.spawn(async move {
            is_done.await.map_err(|_| "nothing came")?;
            Ok(())
        });
        let named = |name: &str| task::Builder::new().name(name);
        named("waiter").spawn_in(&group, async { Err("no\nsoup") });
        named("cook").spawn_in(&group, async {
            burns("the\noven");
            Ok(())
        });
        yield_now().await;
        assert_eq!((group.len(), group.failed()), (1, 2));
        // The group is open still.
        group.spawner().spawn(async { Ok(()) });
        yield_now().await;
        assert_eq!((group.len(), group.failed()), (1, 2));
        let spawner = group.spawner();
        let mut join = group.join();
        assert_eq!(join.failed(), 2);
        let failing = async {
            spawner.try_spawn(async { Err("no bread") }).unwrap();
            yield_now().await;
            done.send(()).unwrap();
            pending().await
        };
        assert_eq!(or(&mut join, failing).await, Ok(()));
        assert_eq!(join.failed(), 3);
        assert_eq!(headwaiter::stats().unseen_failures, 0, "each was seen");
    });
    let [waiter, cook, unnamed] = &said[..] else { panic!("{said:#?}") };
    assert!(waiter.contains("\"waiter\" (spawned at tests/promises/servers.rs:"), "{waiter}");
    assert!(waiter.ends_with(r") failed: no\nsoup"), "{waiter}");
    assert!(cook.contains("\"cook\" (spawned at tests/promises/servers.rs:"), "{cook}");
    assert!(cook.ends_with(r") panicked: the\noven is on fire"), "{cook}");
    assert!(
        unnamed.contains(" (spawned at tests/promises/servers.rs:")
            && unnamed.ends_with(" failed: no bread"),
        "{unnamed}"
    );
}

#[test]
fn an_isolated_group_logs_a_panic_in_a_drop_too_and_counts_each_task_once() {
    let said = logged_in_loop(|| async {
        let group = TaskGroup::isolated();
        group.spawn(async {
            let bomb = Bomb;
            yield_now().await;
            drop(bomb);
            Ok(())
        });
        // Its future is dropped when it has returned its error.
        let (bomb, mut result) = (Bomb, Some(Err("no soup")));
        group.spawn(std::future::poll_fn(move |_| {
            let _held = &bomb;
            std::task::Poll::Ready(result.take().unwrap())
        }));
        group.spawn(holds(Bomb));
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!((group.len(), group.failed()), (1, 2));
        group.cancel();
        assert_eq!((group.len(), group.failed()), (0, 3));
        assert_eq!(group.join().await, Ok(()));
    });
    assert_eq!(
        said.iter().filter(|line| line.ends_with(") panicked: a drop that panics")).count(),
        3,
        "{said:#?}"
    );
    assert_eq!(
        said.iter().filter(|line| line.ends_with(") failed: no soup")).count(),
        1,
        "{said:#?}"
    );
    assert_eq!(said.len(), 4, "{said:#?}");
}

#[test]
fn a_closed_group_logs_the_first_spawn_into_it_and_try_spawn_tells_its_caller() {
    let said = logged_in_loop(|| async {
        let cancelled = TaskGroup::<Infallible>::isolated();
        cancelled.cancel();
        let spawner = cancelled.spawner();
        assert_eq!(cancelled.try_spawn(holds(())), Err(GroupClosed));
        assert_eq!(spawner.try_spawn(holds(())), Err(GroupClosed));
        assert_eq!(task::Builder::new().try_spawn_in(&cancelled, holds(())), Err(GroupClosed));
        assert_eq!(so_far(), 0, "each caller was told");
        cancelled.spawn(holds(()));
        spawner.spawn(holds(()));
        task::Builder::new().spawn_in(&cancelled, holds(()));
        assert_eq!(so_far(), 1);
        drop(cancelled);
        spawner.spawn(holds(()));

        // Each group is reported once, with its reason.
        let failed = TaskGroup::new();
        failed.spawn(async { Err("no soup") });
        yield_now().await;
        failed.spawn(holds(()));
        assert_eq!(failed.try_spawn(holds(())), Err(GroupClosed));
        assert_eq!(io::Error::from(GroupClosed).kind(), io::ErrorKind::Other);
        assert_eq!(failed.join().await, Err("no soup"));
    });
    let [cancelled, failed] = &said[..] else { panic!("{said:#?}") };
    assert!(cancelled.contains("closed `TaskGroup` at tests/promises/servers.rs:"), "{cancelled}");
    assert!(cancelled.contains("it was cancelled, joined or dropped"), "{cancelled}");
    assert!(failed.contains("a child has failed") && failed.contains("`try_spawn`"), "{failed}");
}

#[test]
fn try_spawn_on_a_dying_loop_says_that_the_group_is_closed_and_spawn_logs_nothing() {
    let said = logged(LevelFilter::Warn, || {
        let (tell, told) = std::sync::mpsc::channel();
        let mut event_loop = EventLoop::new().unwrap();
        event_loop.enter(|| {
            let group = TaskGroup::<Infallible>::isolated();
            let on_drop = OnDrop(move || {
                group.spawn(holds(()));
                tell.send(group.try_spawn(holds(()))).unwrap();
            });
            headwaiter::spawn(holds::<_, Infallible>(on_drop));
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        assert_eq!(told.recv(), Ok(Err(GroupClosed)));
    });
    assert_eq!(said, [""; 0]);
}

/// A server to which clients connect.
struct Connections(SocketAddr);

impl Connections {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.0).await.unwrap()
    }
}

async fn echoes(client: &mut TcpStream, message: &[u8]) {
    let mut back = vec![0; message.len()];
    client.write_all(message).await.unwrap();
    client.read_exact(&mut back).await.unwrap();
    assert_eq!(back, message);
}

/// The address that the server of this thread has logged.
async fn listening() -> Connections {
    loop {
        let line =
            lines().iter().find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()));
        if let Some(line) = line {
            let address = line.split(',').next().unwrap();
            return Connections(address.parse().unwrap());
        }
        yield_now().await;
    }
}

/// The code that serves one client panics when it logs that this client was lost. The other clients, and new ones, are still served.
async fn one_client_panics(server: Connections) {
    let mut before = server.connect().await;
    echoes(&mut before, b"before").await;
    let mut lost = server.connect().await;
    echoes(&mut lost, b"it is served").await;
    panic_at(" failed: ");
    // So the kernel resets the connection: socket(7).
    socket2::SockRef::from(&lost).set_linger(Some(Duration::ZERO)).unwrap();
    drop(lost);
    while !has_panicked() {
        yield_now().await;
    }
    echoes(&mut before, b"the others are served on").await;
    echoes(&mut server.connect().await, b"and so are later ones").await;
}

/// Returns the log lines about the panic.
#[track_caller]
fn panic_in_one_client_of<F>(server: impl FnOnce() -> F + Send + 'static) -> Vec<String>
where
    F: Future<Output = io::Result<()>>,
{
    let said = logged(LevelFilter::Info, move || {
        EventLoop::new().unwrap().block_on(async {
            let clients = async { one_client_panics(listening().await).await };
            or(clients, async { panic!("the server has ended: {:?}", server().await) }).await;
        });
    });
    said.into_iter().filter(|line| line.contains("the log is on fire")).collect()
}

#[track_caller]
fn assert_one_line_with(said: &[String], parts: &[&str]) {
    assert!(
        said.len() == 1 && parts.iter().all(|part| said[0].contains(part)),
        "{parts:?}: {said:#?}"
    );
}

/// A panic ends only its own thread. Nothing ends this server: its thread is left running.
#[test]
fn echo_blocking_serves_on_after_a_panic_in_one_client() {
    let server = || async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        log::info!("listening on {}", listener.local_addr()?);
        std::thread::spawn(move || echo_blocking::serve(&listener));
        sleep(Duration::MAX).await;
        Ok(())
    };
    assert_eq!(panic_in_one_client_of(server), [""; 0]);
}

#[test]
fn echo_server_serves_on_after_a_panic_in_one_client() {
    let said = panic_in_one_client_of(|| echo_server::serve("127.0.0.1:0", ms(0)));
    assert_one_line_with(&said, &["\"client 127.0.0.1:", "examples/echo_server.rs:", "panicked: "]);
}

#[test]
fn echo_futures_serves_on_after_a_panic_in_one_client() {
    let server = || async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        log::info!("listening on {}", listener.local_addr()?);
        echo_futures::Serve { incoming: listener.incoming(), clients: TaskGroup::isolated() }.await
    };
    assert_one_line_with(
        &panic_in_one_client_of(server),
        &["examples/echo_futures.rs:", "panicked: "],
    );
}

#[test]
fn echo_callbacks_serves_on_after_a_panic_in_one_client() {
    let server = || async {
        let listener = mio::net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
        log::info!("listening on {}", listener.local_addr()?);
        let accepting =
            on_ready(listener, headwaiter::Interest::READABLE, echo_callbacks::accept_all)?;
        sleep(Duration::MAX).await;
        drop(accepting);
        Ok(())
    };
    assert_one_line_with(
        &panic_in_one_client_of(server),
        &["examples/echo_callbacks.rs:", "panicked and is removed: "],
    );
}

#[test]
fn proxy_serves_on_after_a_panic_in_one_client() {
    let server = || async {
        let target = TcpListener::bind("127.0.0.1:0").await?;
        let address = target.local_addr()?.to_string();
        headwaiter::spawn(echo_all(target));
        proxy::serve("127.0.0.1:0", address.into()).await
    };
    assert_one_line_with(
        &panic_in_one_client_of(server),
        &["\"client 127.0.0.1:", "examples/proxy.rs:"],
    );
}

#[test]
#[cfg(unix)]
fn one_loop_per_core_serves_on_after_a_panic_in_one_client() {
    let server = || async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        log::info!("listening on {}", listener.local_addr()?);
        one_loop_per_core::serve(listener).await
    };
    assert_one_line_with(
        &panic_in_one_client_of(server),
        &["examples/one_loop_per_core.rs:", "panicked: "],
    );
}

/// The target of the proxy.
async fn echo_all(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        headwaiter::spawn(async move { futures_lite::io::copy(&stream, &mut &stream).await });
    }
}

/// As `docs/shutdown.md` shows them, to the letter: see [`the_page_shows_the_server_that_is_tested_here`].
async fn serve(listener: TcpListener, closing: CancelToken, grace: Duration) -> usize {
    let clients = TaskGroup::isolated();

    // 1. Accepts until the token is cancelled. The future owns the listener, so the listener is closed with it.
    let _ = closing.run(accept(listener, &clients, &closing)).await;

    // 2. Connected clients have the grace period to finish.
    let mut finishing = clients.join();
    let in_time = timeout(grace, &mut finishing).await;

    // 3. Dropping `finishing` drops the group, and the group drops every remaining client before it returns.
    if in_time.is_ok() { 0 } else { finishing.len() }
}

/// Each client is a task of its own. If one fails or panics, the group logs that; the other clients are not affected.
async fn accept(listener: TcpListener, clients: &TaskGroup<io::Error>, closing: &CancelToken) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if clients.try_spawn(wait_on(stream, closing.clone())).is_err() {
            return; // The group is closed, so no further client can be served.
        }
    }
}

/// As the page's, but for an order that makes it panic.
async fn wait_on(mut stream: TcpStream, closing: CancelToken) -> io::Result<()> {
    let mut order = [0];
    while let Ok(read) = closing.run(stream.read(&mut order)).await {
        if read? == 0 {
            break;
        }
        assert_ne!(order[0], b'!', "the soup is out");
        stream.write_all(b"your soup\n").await?;
    }
    Ok(())
}

#[test]
fn the_page_shows_the_server_that_is_tested_here() {
    let (here, page) = (include_str!("servers.rs"), include_str!("../../docs/shutdown.md"));
    let from = here.find("async fn serve(").unwrap();
    let to = from + here[from..].find("/// As the page's, but").unwrap();
    assert!(
        page.contains(&here[from..to]),
        "docs/shutdown.md has another server than this:\n{}",
        &here[from..to]
    );
}

#[test]
fn the_server_of_the_shutdown_page_loses_a_client_that_panics_and_serves_the_others_to_the_end() {
    async fn is_served(guest: &mut TcpStream) {
        let mut soup = [0; 10];
        guest.write_all(b"1").await.unwrap();
        guest.read_exact(&mut soup).await.unwrap();
        assert_eq!(&soup, b"your soup\n");
    }
    let said = logged_in_loop(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Connections(listener.local_addr().unwrap());
        let closing = CancelToken::new();
        let serving =
            headwaiter::spawn(serve(listener, closing.clone(), Duration::from_secs(3600)));
        let mut innocent = server.connect().await;
        is_served(&mut innocent).await;
        let mut guilty = server.connect().await;
        guilty.write_all(b"!").await.unwrap();
        assert!(matches!(guilty.read(&mut [0]).await, Ok(0) | Err(_)), "its connection has ended");
        is_served(&mut innocent).await;
        for _ in 0..3 {
            is_served(&mut server.connect().await).await;
        }
        assert!(!serving.is_finished());
        closing.cancel();
        assert_eq!(serving.await.unwrap(), 0, "cut off");
    });
    let [line] = &said[..] else { panic!("{said:#?}") };
    assert!(
        line.contains("(spawned at tests/promises/servers.rs:") && line.contains("the soup is out"),
        "{line}"
    );
    assert!(!line.contains('\n'), "{line}");
}
