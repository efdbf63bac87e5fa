//! One order over TCP, there and back, in one thread: small enough that each step of the loop can
//! be read.
//!
//! `RUST_LOG=headwaiter=trace cargo run --example echo_once`; `docs/trace.md` walks through what
//! that says.

use std::io;

use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task;

fn main() -> io::Result<()> {
    // Without times, so that each run says the same.
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
