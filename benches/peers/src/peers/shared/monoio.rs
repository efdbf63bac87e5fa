//! What the programs use of monoio, on either of its drivers, with the channels of local-sync, which its README names.

pub use super::yield_now::yield_now;
pub use local_sync::mpsc::bounded::channel;
pub use local_sync::oneshot::channel as oneshot;
pub use monoio::net::udp::UdpSocket;
pub use monoio::net::{TcpListener, UnixListener};
pub use monoio::spawn;
pub use monoio::time::sleep;

use local_sync::mpsc::bounded::{Rx, Tx};
use monoio::RuntimeBuilder;
use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpStream, UnixStream};
use monoio::task::JoinHandle;

pub fn block_on<F: Future>(future: F) -> F::Output {
    let builder = RuntimeBuilder::<crate::Driver>::new();
    builder.enable_timer().build().expect("a runtime").block_on(future)
}

pub async fn join<T>(task: JoinHandle<T>) -> T {
    task.await
}

pub fn detach<T>(task: JoinHandle<T>) {
    drop(task);
}

pub async fn send<T>(sender: &Tx<T>, message: T) {
    assert!(sender.send(message).await.is_ok());
}

pub async fn receive<T>(receiver: &mut Rx<T>) -> Option<T> {
    receiver.recv().await
}

pub async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.expect("a connection");
    stream.set_nodelay(true).expect("a connection");
    stream
}

pub async fn accept_unix(listener: &UnixListener) -> UnixStream {
    listener.accept().await.expect("a connection").0
}

pub async fn echo(mut stream: impl AsyncReadRent + AsyncWriteRentExt, size: usize) {
    let mut buffer = vec![0; size];
    loop {
        let (Ok(n @ 1..), filled) = stream.read(buffer).await else { return };
        let (Ok(_), filled) = stream.write_all(filled.slice(..n)).await else { return };
        buffer = filled.into_inner();
    }
}

pub use echo as echo_unix;

pub async fn echo_udp(socket: UdpSocket) {
    let mut buffer = vec![0; 2048];
    loop {
        let (Ok((n, from)), filled) = socket.recv_from(buffer).await else { return };
        let (sent, filled) = socket.send_to(filled.slice(..n), from).await;
        sent.expect("it is sent");
        buffer = filled.into_inner();
    }
}
