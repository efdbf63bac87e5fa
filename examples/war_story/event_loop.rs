//! The new server: one thread, a task for each request, the backends at once.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_lite::future::try_zip;
use headwaiter::net::{TcpListener, TcpStream};

use crate::{backend, client};

/// Connections to the backends that no request uses.
struct Backends {
    address: SocketAddr,
    idle: RefCell<Vec<TcpStream>>,
}

pub fn serve(backend: &str) -> io::Result<()> {
    crate::measure::allow_many_files();
    let address = backend.parse().map_err(io::Error::other)?;
    headwaiter::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let backends = Rc::new(Backends { address, idle: RefCell::default() });
        loop {
            let (stream, _) = listener.accept().await?;
            let backends = Rc::clone(&backends);
            drop(headwaiter::spawn(async move {
                if let Err(error) = handle(stream, &backends).await {
                    log::info!("a request failed: {error}");
                }
            }));
        }
    })
}

async fn handle(mut stream: TcpStream, backends: &Backends) -> io::Result<()> {
    let mut request = [0; client::BYTES];
    stream.read_exact(&mut request).await?;
    try_zip(backends.ask(), try_zip(backends.ask(), backends.ask())).await?;
    stream.write_all(&request).await
}

impl Backends {
    async fn ask(&self) -> io::Result<()> {
        let idle = self.idle.borrow_mut().pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let mut answer = [b'?'; backend::BYTES];
        stream.write_all(&answer).await?;
        stream.read_exact(&mut answer).await?;
        self.idle.borrow_mut().push(stream);
        Ok(())
    }
}
