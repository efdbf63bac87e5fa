//! Crowds of tasks and sockets, ten times over: memory and file descriptors return to where they were.

use crate::support::*;
use headwaiter::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use headwaiter::task::yield_now;
use headwaiter::{EventLoop, spawn};

#[test]
fn memory_and_files_return_to_where_they_were_after_each_crowd() {
    in_own_process(|| {
        raise_file_limit();
        let mut event_loop = EventLoop::new().unwrap();
        let mut after_first = None;
        for _ in 0..10 {
            event_loop.block_on(async {
                let tasks: Vec<_> = (0..100_000).map(|_| spawn(yield_now())).collect();
                for task in tasks {
                    task.await.unwrap();
                }
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let mut crowd = Vec::new();
                for _ in 0..400 {
                    let client = TcpStream::connect(address).await.unwrap();
                    crowd.push((client, listener.accept().await.unwrap()));
                }
                drop(crowd);
                let folder = Folder::new();
                let path = folder.path("door");
                let listener = UnixListener::bind(&path).unwrap();
                let mut crowd = Vec::new();
                for _ in 0..200 {
                    let client = UnixStream::connect(&path).await.unwrap();
                    let datagrams = (
                        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
                        UnixDatagram::pair().unwrap(),
                    );
                    crowd.push((client, listener.accept().await.unwrap(), datagrams));
                }
            });
            let (files, resident) = (open_files(), resident_kib());
            let (files_first, resident_first) = *after_first.get_or_insert((files, resident));
            assert_eq!(files, files_first);
            // A sanitizer keeps what was freed for a while.
            let grown = cfg!(not(sanitized)) && resident > resident_first + 4096;
            assert!(!grown, "{resident} KiB after {resident_first} KiB");
        }
    });
}

/// The second figure of statm is pages: proc(5). They are 4 KiB nearly everywhere; elsewhere this is a
/// fraction of the truth, which the comparison bears.
fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}
