//! The program that `docs/from-tokio.md` ports, on headwaiter.

use std::io;
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::io::{AsyncBufReadExt, BufReader};
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::sync::broadcast::{self, error::RecvError};
use headwaiter::task::JoinSet;
use headwaiter::time::timeout;

/// A client that sends nothing for so long is disconnected.
const IDLE: Duration = Duration::from_secs(600);

/// Sends each line of a client to all clients, until Ctrl-C.
#[headwaiter::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    let (lines, _) = broadcast::channel(64);
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                clients.spawn(serve(stream, lines.clone()));
            }
            Some(ended) = clients.join_next() => {
                if let Err(error) = ended? {
                    eprintln!("a client failed: {error}");
                }
            }
            interrupted = headwaiter::signal::ctrl_c() => return interrupted,
        }
    }
}

async fn serve(mut stream: TcpStream, lines: broadcast::Sender<String>) -> io::Result<()> {
    let mut received = lines.subscribe();
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader).lines();
    loop {
        tokio::select! {
            line = timeout(IDLE, reader.next()) => match line?.transpose()? {
                Some(line) => drop(lines.send(line)),
                None => return Ok(()),
            },
            line = received.recv() => {
                let line = match line {
                    Ok(line) => line,
                    Err(RecvError::Lagged(count)) => format!("({count} lines are left out)"),
                    Err(RecvError::Closed) => return Ok(()),
                };
                writer.write_all(format!("{line}\n").as_bytes()).await?;
            }
        }
    }
}
