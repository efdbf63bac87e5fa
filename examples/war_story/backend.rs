//! The backends: one process that answers each question, a line, after 20 ms.

use std::io;

use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::time::sleep;

use crate::BACKEND_DELAY;

/// The length of a question and of its answer.
pub const BYTES: usize = 16;

pub fn serve() -> io::Result<()> {
    headwaiter::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            // A connection that ends is no failure here.
            drop(headwaiter::spawn(async move { answer(stream).await.unwrap_or_default() }));
        }
    })
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut question = [0; BYTES];
    loop {
        stream.read_exact(&mut question).await?;
        sleep(BACKEND_DELAY).await;
        stream.write_all(&question).await?;
    }
}
