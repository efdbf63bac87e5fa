//! Writing to a connection that is gone is an error, also where SIGPIPE would end the process. In a process
//! of its own, because a signal's disposition is the whole process's.
#![cfg(target_os = "linux")]

mod common;

use std::io::{self, IoSlice};
use std::pin::Pin;

use common::*;
use futures_lite::AsyncWrite;

#[test]
fn with_sigpipe_at_its_default_a_write_to_a_dead_connection_is_an_error() {
    sigpipe::reset();
    in_loop(|| async {
        for vectored in [false, true] {
            let (mut client, server) = tcp_pair().await.unwrap();
            drop(server);
            let error = loop {
                let written = if vectored {
                    let bytes = [IoSlice::new(b"soup"), IoSlice::new(b"salad")];
                    std::future::poll_fn(|cx| Pin::new(&mut &client).poll_write_vectored(cx, &bytes)).await
                } else {
                    client.write(b"soup").await
                };
                if let Err(error) = written {
                    break error;
                }
            };
            assert!(
                matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
                "{error}"
            );
        }
    });
}
