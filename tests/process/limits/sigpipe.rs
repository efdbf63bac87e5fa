//! Writing to a connection or a pipe that is gone is an error, also where SIGPIPE would end the process.

use std::io::{self, IoSlice};
use std::pin::Pin;

use crate::support::*;
use futures_lite::AsyncWrite;
use headwaiter::block_on;

with_both_streams! {
    fn with_sigpipe_at_its_default_a_write_to_a_dead_connection_is_an_error(pair) {
        in_own_process(|| {
            sigpipe::reset();
            block_on(async {
            for vectored in [false, true] {
                let (mut client, server) = pair().await.unwrap();
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
        });
    }
}

#[test]
fn with_sigpipe_at_its_default_a_write_to_a_dead_pipe_is_an_error_where_the_kernel_can_do_that() {
    in_own_process(|| {
        use rustix::io::{ReadWriteFlags, pwritev2};
        let null = std::fs::File::create("/dev/null").unwrap();
        let nosignal = ReadWriteFlags::from_bits_retain(0x100);
        if pwritev2(&null, &[IoSlice::new(b"soup")], 0, nosignal).is_err() {
            return println!("Linux before 6.18: the signal cannot be left out");
        }
        sigpipe::reset();
        block_on(async {
            let (reader, mut writer) = headwaiter::io::pipe().unwrap();
            drop(reader);
            let error = writer.write(b"soup").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            let bytes = [IoSlice::new(b"soup"), IoSlice::new(b"salad")];
            let written =
                std::future::poll_fn(|cx| Pin::new(&mut &writer).poll_write_vectored(cx, &bytes))
                    .await;
            assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(writer.try_write(b"soup").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        });
    });
}
