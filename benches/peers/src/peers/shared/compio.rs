//! What the programs use of compio, on either of its drivers. It has no channels and no locks.

use std::path::Path;

pub use super::yield_now::yield_now;
pub use compio::net::{TcpListener, UdpSocket, UnixListener};
pub use compio::runtime::spawn;
pub use compio::time::sleep;

use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::driver::ProactorBuilder;
use compio::io::{AsyncRead, AsyncReadAt, AsyncWriteExt};
use compio::net::{TcpStream, UnixStream};
use compio::runtime::{JoinHandle, RuntimeBuilder};
use cyper_core::HyperStream;

pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut proactor = ProactorBuilder::new();
    proactor.driver_type(crate::DRIVER);
    let runtime = RuntimeBuilder::new().with_proactor(proactor).build().expect("a runtime");
    assert_eq!(runtime.driver_type(), crate::DRIVER);
    runtime.block_on(future)
}

pub async fn join<T>(task: JoinHandle<T>) -> T {
    task.await.expect("no panic")
}

pub fn detach<T>(task: JoinHandle<T>) {
    task.detach();
}

pub fn spawn_blocking<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> {
    join(compio::runtime::spawn_blocking(job))
}

pub async fn read_in_pieces(path: &Path, piece: usize) -> usize {
    let file = compio::fs::File::open(path).await.expect("the file");
    let (mut buffer, mut total) = (vec![0; piece], 0);
    loop {
        let BufResult(n, back) = file.read_at(buffer, total as u64).await;
        buffer = back;
        match n.expect("its bytes") {
            0 => return total,
            n => total += n,
        }
    }
}

pub async fn read_whole(path: &Path) -> Vec<u8> {
    compio::fs::read(path).await.expect("the file")
}

pub async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.expect("a connection");
    stream.set_nodelay(true).expect("a connection");
    stream
}

pub async fn accept_unix(listener: &UnixListener) -> UnixStream {
    listener.accept().await.expect("a connection").0
}

pub async fn echo(mut stream: impl AsyncRead + AsyncWriteExt, size: usize) {
    let mut buffer = vec![0; size];
    loop {
        let BufResult(Ok(n @ 1..), filled) = stream.read(buffer).await else { return };
        let BufResult(Ok(()), filled) = stream.write_all(filled.slice(..n)).await else { return };
        buffer = filled.into_inner();
    }
}

pub use echo as echo_unix;

pub async fn echo_udp(socket: UdpSocket) {
    let mut buffer = vec![0; 2048];
    loop {
        let BufResult(Ok((n, from)), filled) = socket.recv_from(buffer).await else { return };
        let BufResult(sent, filled) = socket.send_to(filled.slice(..n), from).await;
        sent.expect("it is sent");
        buffer = filled.into_inner();
    }
}

pub fn hyper_io(stream: TcpStream) -> HyperStream<TcpStream> {
    HyperStream::new_plain(stream)
}
