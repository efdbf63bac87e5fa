//! The program that `docs/from-tokio.md` ports, as it was.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A client that sends nothing for so long is disconnected.
const IDLE: Duration = Duration::from_secs(600);

/// Sends each line of a client to all clients, until Ctrl-C.
#[tokio::main(flavor = "current_thread")]
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
            interrupted = tokio::signal::ctrl_c() => return interrupted,
        }
    }
}

async fn serve(mut stream: TcpStream, lines: broadcast::Sender<String>) -> io::Result<()> {
    let mut received = lines.subscribe();
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader).lines();
    loop {
        tokio::select! {
            line = timeout(IDLE, reader.next_line()) => match line?? {
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
