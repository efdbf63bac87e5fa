//! The programs on smol: its `LocalExecutor` on async-io, with async-channel and async-lock, which it exports, and oneshots of
//! futures-channel.

mod programs {
    pub mod channels;
    pub mod files;
    pub mod http;
    pub mod locks;
    pub mod memory;
    pub mod other_threads;
    pub mod run;
    pub mod servers;
    pub mod sockets;
    pub mod tasks;
    pub mod timers;
}

use programs::*;

fn main() {
    run::main(&[
        tasks::PROGRAMS,
        timers::PROGRAMS,
        channels::PROGRAMS,
        locks::PROGRAMS,
        other_threads::PROGRAMS,
        files::PROGRAMS,
        servers::PROGRAMS,
        http::PROGRAMS,
        memory::PROGRAMS,
    ]);
}

/// What the programs use.
mod rt {
    use std::cell::OnceCell;
    use std::io;
    use std::path::Path;
    use std::time::Duration;

    pub use futures_channel::oneshot::channel as oneshot;
    pub use smol::channel::bounded as channel;
    pub use smol::future::yield_now;
    pub use smol::lock::{Barrier, Mutex, RwLock};
    pub use std::sync::Arc as Shared;

    use smol::channel::{Receiver, Sender};
    use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use smol::net::TcpStream;
    use smol::net::unix::UnixStream;
    use smol::{Async, LocalExecutor, Task, Timer};
    use smol_hyper::rt::FuturesIo;

    thread_local! {
        static EXECUTOR: OnceCell<&'static LocalExecutor<'static>> = const { OnceCell::new() };
    }

    fn executor() -> &'static LocalExecutor<'static> {
        EXECUTOR.with(|executor| *executor.get_or_init(|| Box::leak(Box::default())))
    }

    pub fn block_on<T>(future: impl Future<Output = T>) -> T {
        smol::block_on(executor().run(future))
    }

    pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
        executor().spawn(future)
    }

    pub async fn join<T>(task: Task<T>) -> T {
        task.await
    }

    pub fn detach<T>(task: Task<T>) {
        task.detach();
    }

    pub fn sleep(duration: Duration) -> Timer {
        Timer::after(duration)
    }

    pub async fn send<T>(sender: &Sender<T>, message: T) {
        assert!(sender.send(message).await.is_ok());
    }

    pub async fn receive<T>(receiver: &mut Receiver<T>) -> Option<T> {
        receiver.recv().await.ok()
    }

    pub fn spawn_blocking<T: Send + 'static>(
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> {
        smol::unblock(job)
    }

    pub async fn read_in_pieces(path: &Path, piece: usize) -> usize {
        let mut file = smol::fs::File::open(path).await.expect("the file");
        let (mut buffer, mut total) = (vec![0; piece], 0);
        while let n @ 1.. = file.read(&mut buffer).await.expect("its bytes") {
            total += n;
        }
        total
    }

    pub async fn read_whole(path: &Path) -> Vec<u8> {
        smol::fs::read(path).await.expect("the file")
    }

    /// Makes a socket of std one of smol, by the name that the others have for it.
    macro_rules! from_std {
        ($name:ident, $std:ty, $smol:ty) => {
            pub struct $name($smol);

            impl $name {
                pub fn from_std(socket: $std) -> io::Result<$name> {
                    Ok($name(Async::new(socket)?.into()))
                }
            }
        };
    }
    from_std!(TcpListener, std::net::TcpListener, smol::net::TcpListener);
    from_std!(UdpSocket, std::net::UdpSocket, smol::net::UdpSocket);
    from_std!(UnixListener, std::os::unix::net::UnixListener, smol::net::unix::UnixListener);

    pub async fn accept(listener: &TcpListener) -> TcpStream {
        let (stream, _) = listener.0.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        stream
    }

    pub async fn accept_unix(listener: &UnixListener) -> UnixStream {
        listener.0.accept().await.expect("a connection").0
    }

    pub async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, size: usize) {
        let mut buffer = vec![0; size];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..n]).await.is_err() {
                break;
            }
        }
    }

    pub use echo as echo_unix;

    pub async fn echo_udp(UdpSocket(socket): UdpSocket) {
        let mut buffer = vec![0; 2048];
        while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..n], from).await.expect("it is sent");
        }
    }

    pub fn hyper_io(stream: TcpStream) -> FuturesIo<TcpStream> {
        FuturesIo::new(stream)
    }
}
