//! One message over TCP and back, on one thread: short enough to read each step of the loop.
//!
//! `RUST_LOG=headwaiter=trace cargo run --example echo_once`; `docs/trace.md` explains the output.

use std::io;

use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task;

fn main() -> io::Result<()> {
    // Without timestamps, so that all runs log the same lines.
    env_logger::builder().format_timestamp(None).init();
    headwaiter::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;

        let server = task::Builder::new().name("server").spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut order = [0; 4];
            stream.read_exact(&mut order).await?;
            stream.write_all(&order).await
        });

        let mut client = TcpStream::connect(address).await?;
        client.write_all(b"soup").await?;
        let mut served = [0; 4];
        client.read_exact(&mut served).await?;
        println!("served: {}", String::from_utf8_lossy(&served));
        server.await.expect("the server did not panic")
    })
}
