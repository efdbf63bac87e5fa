//! The pool of threads: what is promised of `spawn_blocking` and of what waits for its threads.

mod common;

use std::io;
use std::sync::mpsc;
use std::thread;

use common::*;
use headwaiter::net::{TcpListener, TcpStream, lookup_host};
use headwaiter::{block_on, spawn_blocking, try_spawn_blocking};

#[test]
fn a_job_runs_on_another_thread_and_its_output_comes_back() {
    in_loop(|| async {
        let here = thread::current().id();
        let (there, name) = spawn_blocking(|| {
            let current = thread::current();
            (current.id(), current.name().map(str::to_owned))
        })
        .await
        .unwrap();
        assert_ne!(here, there);
        assert_eq!(name.as_deref(), Some("headwaiter-blocking"));
    });
}

#[test]
fn a_panic_in_a_job_is_its_join_error() {
    in_loop(|| async {
        let error = spawn_blocking(|| panic!("on {}", std::hint::black_box("fire"))).await.unwrap_err();
        assert!(error.is_panic());
        let text = error.to_string();
        assert!(text.contains("on fire") && text.contains("tests/offload.rs"), "{text}");
        assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "on fire");
    });
}

/// A job that runs until it is told to end.
fn held() -> (impl FnOnce() -> u32 + Send, mpsc::Receiver<()>, mpsc::Sender<u32>) {
    let (begun, begins) = mpsc::channel();
    let (end, ends) = mpsc::channel();
    let job = move || {
        begun.send(()).unwrap();
        ends.recv().unwrap_or(0)
    };
    (job, begins, end)
}

#[test]
fn the_virtual_clock_stands_still_while_a_job_is_under_way() {
    in_virtual_time(|| async {
        let (job, begins, end) = held();
        let job = spawn_blocking(job);
        let start = headwaiter::time::now();
        let nap = headwaiter::spawn(headwaiter::time::sleep(ms(1000)));
        let ender = thread::spawn(move || {
            begins.recv().unwrap();
            end.send(5).unwrap();
        });
        assert_eq!(job.await.unwrap(), 5);
        assert_eq!(headwaiter::time::now(), start);
        nap.await.unwrap();
        assert_eq!(headwaiter::time::now() - start, ms(1000));
        ender.join().unwrap();
    });
}

#[test]
fn dropping_the_loop_does_not_wait_for_a_job() {
    bounded(|| {
        let (job, begins, end) = held();
        block_on(async move {
            drop(spawn_blocking(job));
            begins.recv().unwrap();
        });
        end.send(5).unwrap();
        block_on(async { assert_eq!(try_spawn_blocking(|| 5).map_err(|_| ()).unwrap().await.unwrap(), 5) });
    });
}

#[test]
fn listeners_and_streams_take_host_names() {
    in_loop(|| async {
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.ip().is_loopback());
        let client = TcpStream::connect(("localhost", address.port())).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());

        // A name's addresses are tried in turn, and the error tells name and address.
        drop(listener);
        let refused = TcpStream::connect(("localhost", address.port())).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let text = refused.to_string();
        assert!(text.contains(&format!("localhost:{} (", address.port())), "{text}");
    });
}

#[test]
fn a_host_is_looked_up_with_all_its_addresses() {
    in_loop(|| async {
        let named: Vec<_> = lookup_host("localhost:80").await.unwrap().collect();
        assert!(!named.is_empty());
        assert!(named.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{named:?}");
        let numbers = lookup_host("127.0.0.1:80").await.unwrap();
        assert_eq!(numbers.len(), 1);
        assert_eq!(numbers.collect::<Vec<_>>(), ["127.0.0.1:80".parse().unwrap()]);
        let none: &[std::net::SocketAddr] = &[];
        assert_eq!(lookup_host(none).await.unwrap().len(), 0);
    });
}

#[test]
fn a_name_that_does_not_resolve_is_an_error_that_names_it() {
    in_loop(|| async {
        let errors = [
            lookup_host("no-such-host.invalid:80").await.map(|_| ()).unwrap_err(),
            TcpStream::connect("no-such-host.invalid:80").await.unwrap_err(),
            TcpListener::bind(("no-such-host.invalid", 80)).await.map(|_| ()).unwrap_err(),
        ];
        for (error, doing) in errors.iter().zip(["look up", "connect to", "bind to"]) {
            let text = error.to_string();
            assert!(text.starts_with(&format!("{doing} no-such-host.invalid:80: ")), "{text}");
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
        }
        // The loop goes on, and what is no address does not get as far as the resolver.
        let no_port = TcpStream::connect("localhost").await.unwrap_err();
        assert_eq!(no_port.kind(), io::ErrorKind::InvalidInput);
        let nul = TcpStream::connect("local\0host:80").await.unwrap_err();
        assert!(nul.to_string().contains("connect to local\0host:80"), "{nul}");
    });
}
