//! The credentials of the peer of a Unix stream. In a file of its own: a child that is about to be started shares the descriptors of
//! this process for a moment, so that a socket which another test has closed would not be closed yet.
#![cfg(target_os = "linux")]

use crate::support::*;
use headwaiter::net::{UnixListener, UnixStream};

#[test]
fn the_credentials_of_the_peer_are_those_of_its_process() {
    in_every_order(|| async {
        use rustix::process::{getegid, geteuid};
        let folder = Folder::new();
        let (one, other) = UnixStream::pair().unwrap();
        let listener = UnixListener::bind(folder.path("door")).unwrap();
        let client = UnixStream::connect(folder.path("door")).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        for stream in [one, other, client, server] {
            let cred = stream.peer_cred().unwrap();
            assert_eq!((cred.uid(), cred.gid()), (geteuid().as_raw(), getegid().as_raw()));
            assert_eq!(cred.pid(), Some(std::process::id() as i32));
        }
    });
}

/// The kernel's answer is the number 0. (It needs unshare(1) and the right to use it.)
/// Unlike tokio: there, its number is `Some(0)`.
#[test]
fn a_peer_in_another_pid_namespace_has_a_user_and_no_number() {
    const DOOR: &str = "HEADWAITER_DOOR";
    const TEST: &str = "peer_cred::a_peer_in_another_pid_namespace_has_a_user_and_no_number";
    const UNSHARE: [&str; 5] = ["--kill-child", "--user", "--map-root-user", "--pid", "--fork"];
    if let Some(door) = std::env::var_os(DOOR) {
        // In the namespace, where the listener's process does not exist.
        return in_loop(move || async move {
            let stream = UnixStream::connect(std::path::PathBuf::from(door)).await.unwrap();
            let cred = stream.peer_cred().unwrap();
            // In the user namespace, its creator is root.
            assert_eq!((cred.pid(), cred.uid()), (None, 0));
        });
    }
    let may = std::process::Command::new("unshare").args(UNSHARE).arg("true").output();
    if !may.is_ok_and(|output| output.status.success()) {
        return println!("skipped: this machine does not let a test unshare its PID namespace");
    }
    in_loop(|| async {
        let folder = Folder::new();
        let door = folder.path("door");
        let listener = UnixListener::bind(&door).unwrap();
        let mut command = headwaiter::process::Command::new("unshare");
        command.args(UNSHARE).arg(std::env::current_exe().unwrap());
        command.args(["--exact", TEST, "--nocapture"]).env(DOOR, &door);
        let output = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        // Seen from outside, the process in the namespace has a number.
        let (server, _) = listener.accept().await.unwrap();
        assert!(server.peer_cred().unwrap().pid().unwrap() > 1);
    });
}
