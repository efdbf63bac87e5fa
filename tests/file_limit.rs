//! What a listener does when the process has no more file descriptors (tokio #3529). In a process of its
//! own, because the limit is the whole process's.
#![cfg(target_os = "linux")]

mod common;

use std::cell::Cell;
use std::fs::File;
use std::rc::Rc;
use std::time::Duration;

use common::*;
use futures_lite::StreamExt;
use headwaiter::net::{TcpListener, UnixListener};
use headwaiter::spawn;
use headwaiter::task::yield_now;
use headwaiter::time::{self, sleep, timeout};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Clients that come to a listener when there are no files left.
macro_rules! accept_holds_back {
    ($listener:expr, $connect:expr) => {{
        let listener = $listener;
        let clients: Vec<_> = (0..5).map(|_| $connect).collect();
        let files = use_up();

        // A bare loop that ignores the errors: it does not spin.
        let tries = Rc::new(Cell::new(0));
        let counted = Rc::clone(&tries);
        let accepting = spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => return (listener, stream),
                    Err(error) => assert_eq!(error.raw_os_error(), Some(24), "EMFILE"),
                }
                counted.set(counted.get() + 1);
            }
        });
        let start = time::now();
        sleep(ms(500)).await;
        let per_second = f64::from(tries.get()) / (time::now() - start).as_secs_f64();
        assert!((2.0..=100.0).contains(&per_second), "{per_second} tries a second");

        drop(files);
        let (listener, first) = timeout(Duration::from_secs(10), accepting).await.unwrap().unwrap();

        // The stream of connections logs it, and goes on.
        let files = use_up();
        let came = Rc::new(Cell::new(0));
        let counted = Rc::clone(&came);
        let serving = spawn(async move {
            let mut streams = Vec::new();
            let mut incoming = listener.incoming();
            while let Some(stream) = incoming.next().await {
                streams.push(stream.unwrap());
                counted.set(counted.get() + 1);
            }
        });
        sleep(ms(100)).await;
        assert_eq!(came.get(), 0);
        drop(files);
        while came.get() < 4 {
            sleep(ms(1)).await;
            yield_now().await;
        }
        serving.abort();
        drop(first);
        assert_eq!(clients.len(), 5);
    }};
}

#[test]
fn accept_holds_back_without_file_descriptors_and_recovers_when_there_are_some() {
    in_loop(|| async {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum }).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        accept_holds_back!(listener, std::net::TcpStream::connect(address).unwrap());
        let folder = Folder::new();
        let path = folder.path("door");
        let listener = UnixListener::bind(&path).unwrap();
        accept_holds_back!(listener, std::os::unix::net::UnixStream::connect(&path).unwrap());
    });
}

/// Opens files until there is no descriptor left.
fn use_up() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}
