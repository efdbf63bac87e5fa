//! What the programs use of tokio, on either of its runtimes of one thread.

use std::path::Path;

pub use std::sync::Arc as Shared;
pub use tokio::net::{TcpListener, UdpSocket, UnixListener};
pub use tokio::sync::mpsc::channel;
pub use tokio::sync::oneshot::channel as oneshot;
pub use tokio::sync::{Barrier, Mutex, RwLock, broadcast, watch};
pub use tokio::task::{JoinSet, yield_now};
pub use tokio::time::sleep;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::task::JoinHandle;

pub async fn join<T>(task: JoinHandle<T>) -> T {
    task.await.expect("no panic")
}

pub fn detach<T>(task: JoinHandle<T>) {
    drop(task);
}

pub async fn send<T>(sender: &Sender<T>, message: T) {
    assert!(sender.send(message).await.is_ok());
}

pub async fn receive<T>(receiver: &mut Receiver<T>) -> Option<T> {
    receiver.recv().await
}

pub fn spawn_blocking<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> {
    join(tokio::task::spawn_blocking(job))
}

pub async fn read_in_pieces(path: &Path, piece: usize) -> usize {
    let mut file = tokio::fs::File::open(path).await.expect("the file");
    let (mut buffer, mut total) = (vec![0; piece], 0);
    while let n @ 1.. = file.read(&mut buffer).await.expect("its bytes") {
        total += n;
    }
    total
}

pub async fn read_whole(path: &Path) -> Vec<u8> {
    tokio::fs::read(path).await.expect("the file")
}

pub async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.expect("a connection");
    stream.set_nodelay(true).expect("a connection");
    stream
}

pub async fn accept_unix(listener: &UnixListener) -> UnixStream {
    listener.accept().await.expect("a connection").0
}

pub async fn echo(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, size: usize) {
    let mut buffer = vec![0; size];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
}

pub use echo as echo_unix;

pub async fn echo_udp(socket: UdpSocket) {
    let mut buffer = vec![0; 2048];
    while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
        socket.send_to(&buffer[..n], from).await.expect("it is sent");
    }
}

pub fn hyper_io(stream: TcpStream) -> TokioIo<TcpStream> {
    TokioIo::new(stream)
}
