//! The programs on headwaiter.

mod programs;

fn main() {
    programs::run::main(programs::ALL);
}

/// What the programs use.
mod rt {
    pub use std::rc::Rc as Shared;

    use std::path::Path;

    pub use headwaiter::compat::hyper::Io as HyperIo;
    pub use headwaiter::net::{TcpListener, UdpSocket, UnixListener};
    pub use headwaiter::sync::mpsc::channel;
    pub use headwaiter::sync::oneshot::channel as oneshot;
    pub use headwaiter::sync::{Barrier, Mutex, RwLock, broadcast, watch};
    pub use headwaiter::task::{JoinSet, yield_now};
    pub use headwaiter::time::sleep;
    pub use headwaiter::{block_on, spawn};

    use headwaiter::net::{TcpStream, UnixStream};
    use headwaiter::sync::mpsc::{Receiver, Sender};
    use headwaiter::task::JoinHandle;

    pub async fn join<T: 'static>(task: JoinHandle<T>) -> T {
        task.await.expect("no panic")
    }

    pub fn detach<T>(task: JoinHandle<T>) {
        drop(task);
    }

    pub fn spawn_in<T: 'static>(set: &mut JoinSet<T>, future: impl Future<Output = T> + 'static) {
        set.spawn(future);
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
        join(headwaiter::spawn_blocking(job))
    }

    pub async fn read_in_pieces(path: &Path, piece: usize) -> usize {
        let mut file = headwaiter::fs::File::open(path).await.expect("the file");
        let (mut buffer, mut total) = (vec![0; piece], 0);
        while let n @ 1.. = file.read(&mut buffer).await.expect("its bytes") {
            total += n;
        }
        total
    }

    pub async fn read_whole(path: &Path) -> Vec<u8> {
        headwaiter::fs::read(path).await.expect("the file")
    }

    pub async fn accept(listener: &TcpListener) -> TcpStream {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        stream
    }

    pub async fn accept_unix(listener: &UnixListener) -> UnixStream {
        listener.accept().await.expect("a connection").0
    }

    macro_rules! echo {
        ($name:ident, $stream:ty) => {
            pub async fn $name(mut stream: $stream, size: usize) {
                let mut buffer = vec![0; size];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            }
        };
    }
    echo!(echo, TcpStream);
    echo!(echo_unix, UnixStream);

    pub async fn echo_udp(socket: UdpSocket) {
        let mut buffer = vec![0; 2048];
        while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..n], from).await.expect("it is sent");
        }
    }

    pub fn hyper_io(stream: TcpStream) -> HyperIo<TcpStream> {
        HyperIo::new(stream)
    }
}
