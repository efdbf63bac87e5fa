//! What a child process inherits. In a process of its own: until a child has begun its program it has every descriptor
//! of its parent, and so a peer that is dropped in another test at that moment seems to live.
#![cfg(target_os = "linux")]

use std::os::fd::{AsFd, AsRawFd};

use crate::support::*;
use headwaiter::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener, UnixStream};

/// failures 20: what a child inherits.
#[test]
fn no_socket_leaks_into_a_child_process() {
    in_loop(|| async {
        let folder = Folder::new();
        let path = folder.path("door");
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let (one, other) = unix_pair().await.unwrap();
        let (datagram, another) = UnixDatagram::pair().unwrap();
        let bound = UnixDatagram::bind(folder.path("receiver")).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tcp_client, tcp_server) = tcp_pair().await.unwrap();
        let sockets = [
            listener.as_fd(),
            client.as_fd(),
            server.as_fd(),
            one.as_fd(),
            other.as_fd(),
            datagram.as_fd(),
            another.as_fd(),
            bound.as_fd(),
            udp.as_fd(),
            tcp.as_fd(),
            tcp_client.as_fd(),
            tcp_server.as_fd(),
        ];
        let list = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        assert!(list.contains("/proc/"), "{list}");
        for socket in sockets {
            let inode =
                std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
            let inode = inode.to_str().unwrap();
            assert!(inode.starts_with("socket:"), "{inode}");
            assert!(!list.contains(inode), "{inode} is in the child:\n{list}");
        }
    });
}
