//! The old server: a pool of threads that take the accepted connections from a queue, and block.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::{BACKENDS, backend, client};

/// A thread needs little stack here, and a thousand of them would need much.
const STACK: usize = 64 * 1024;

pub fn serve(backend: &str, threads: &str, at_once: bool) -> io::Result<()> {
    crate::measure::allow_many_files();
    let (backend, threads) = (
        backend.parse::<SocketAddr>().map_err(io::Error::other)?,
        threads.parse::<usize>().map_err(io::Error::other)?,
    );
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // All threads wait for the next connection here; one of them gets it.
    let (accepted, queue) = mpsc::channel::<TcpStream>();
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..threads {
        let queue = Arc::clone(&queue);
        let mut backends = Backends::connect(backend, at_once)?;
        thread::Builder::new().stack_size(STACK).spawn(move || {
            loop {
                let next = queue.lock().expect("no thread panics with the lock").recv();
                let Ok(stream) = next else { return };
                if let Err(error) = handle(stream, &mut backends) {
                    log::info!("a request failed: {error}");
                }
            }
        })?;
    }
    println!("{}", listener.local_addr()?);
    loop {
        match listener.accept() {
            Ok((stream, _)) => accepted.send(stream).map_err(io::Error::other)?,
            // Usually the limit of open files: too many connections are in the queue.
            Err(error) => {
                log::info!("cannot accept: {error}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn handle(mut stream: TcpStream, backends: &mut Backends) -> io::Result<()> {
    let mut request = [0; client::BYTES];
    stream.read_exact(&mut request)?;
    backends.ask()?;
    stream.write_all(&request)
}

/// What a thread asks the backends with.
enum Backends {
    /// Its own connections, one after another.
    InTurn(Vec<TcpStream>),
    /// A helper thread for each backend: a question to each, an answer from each.
    AtOnce(Vec<(mpsc::Sender<()>, mpsc::Receiver<io::Result<()>>)>),
}

impl Backends {
    fn connect(address: SocketAddr, at_once: bool) -> io::Result<Self> {
        let connect = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let streams = (0..BACKENDS).map(|_| connect()).collect::<io::Result<Vec<_>>>()?;
        if !at_once {
            return Ok(Backends::InTurn(streams));
        }
        let helper = |mut stream| {
            let (ask, asked) = mpsc::channel();
            let (answer, answered) = mpsc::channel();
            thread::Builder::new().stack_size(STACK).spawn(move || {
                while asked.recv().is_ok() && answer.send(ask_one(&mut stream)).is_ok() {}
            })?;
            Ok((ask, answered))
        };
        streams.into_iter().map(helper).collect::<io::Result<_>>().map(Backends::AtOnce)
    }

    fn ask(&mut self) -> io::Result<()> {
        match self {
            Backends::InTurn(streams) => streams.iter_mut().try_for_each(ask_one),
            Backends::AtOnce(helpers) => {
                for (ask, _) in &mut *helpers {
                    ask.send(()).map_err(io::Error::other)?;
                }
                helpers
                    .iter()
                    .try_for_each(|(_, answer)| answer.recv().map_err(io::Error::other)?)
            }
        }
    }
}

fn ask_one(stream: &mut TcpStream) -> io::Result<()> {
    let mut answer = [b'?'; backend::BYTES];
    stream.write_all(&answer)?;
    stream.read_exact(&mut answer)
}
