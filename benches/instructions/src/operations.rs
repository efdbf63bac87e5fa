//! The operations whose costs are counted.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use headwaiter::net::TcpListener;
use headwaiter::sync::{Mutex, mpsc};
use headwaiter::task::yield_now;
use headwaiter::time::sleep;
use headwaiter::{Clock, EventLoop, block_on, spawn};

pub const OPERATIONS: [&str; 6] = ["echo", "spawn", "yield", "timer", "channel", "lock"];

/// How often a round does the operation.
pub const PER_ROUND: u32 = 1000;

pub fn run(operation: &str, rounds: u32, clock: Clock) {
    let count = rounds * PER_ROUND;
    match operation {
        "echo" => echo(rounds, clock),
        "spawn" => block_on(spawn_and_join(count)),
        "yield" => block_on(yields(count)),
        "timer" => block_on(timers(count)),
        "channel" => block_on(round_trips(count)),
        "lock" => block_on(locks(count)),
        _ => {
            crate::fail(&format!("no operation {operation:?}: there are {}", OPERATIONS.join(", ")))
        }
    }
}

/// A task that ends at once, and its output.
async fn spawn_and_join(count: u32) {
    for n in 0..count {
        black_box(spawn(async move { n }).await.unwrap());
    }
}

async fn yields(count: u32) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// A sleep that is armed and cancelled.
async fn timers(count: u32) {
    for n in 0..count {
        let mut sleep = pin!(sleep(Duration::from_millis(u64::from(n % 60_000 + 1))));
        poll_fn(|cx| {
            assert!(sleep.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
}

/// Two tasks, each of which waits for the other's message.
async fn round_trips(count: u32) {
    let (there, mut here) = mpsc::channel(1);
    let (back, mut again) = mpsc::channel(1);
    let echo = spawn(async move {
        while let Some(message) = here.recv().await {
            back.send(message).await.unwrap();
        }
    });
    let caller = spawn(async move {
        for n in 0..count {
            there.send(n).await.unwrap();
            assert_eq!(again.recv().await, Some(n));
        }
    });
    caller.await.unwrap();
    echo.await.unwrap();
}

async fn locks(count: u32) {
    let mutex = Mutex::new(0);
    for _ in 0..count {
        *black_box(&mutex).lock().await += 1;
    }
}

const CONNECTIONS: usize = 100;
const MESSAGE: [u8; 64] = [b'x'; 64];

/// A server for 100 connections, whose client is another process. The client sends a message on each, says so, and
/// reads the echoes. Only then the server makes turns, so that each finds all connections ready, as in a server that is
/// never idle, and the counts are the same in each run.
fn echo(rounds: u32, clock: Clock) {
    let waves = rounds * PER_ROUND / CONNECTIONS as u32;
    let mut event_loop = EventLoop::builder().clock(clock).build().unwrap();
    let echoed = Rc::new(Cell::new(0));
    let own = std::env::current_exe().unwrap();
    let mut client = event_loop.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut command = Command::new(own);
        command.args(["client", &address, &waves.to_string()]).stdout(Stdio::piped());
        let client = command.spawn().unwrap();
        for _ in 0..CONNECTIONS {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let echoed = Rc::clone(&echoed);
            drop(spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                    stream.write_all(&bytes[..n]).await.unwrap();
                    echoed.set(echoed.get() + 1);
                }
            }));
        }
        client
    });
    let mut sent = client.stdout.take().unwrap();
    for wave in 1..=waves {
        sent.read_exact(&mut [0]).unwrap();
        while echoed.get() < wave as usize * CONNECTIONS {
            event_loop.turn(None).unwrap();
        }
    }
    assert!(client.wait().unwrap().success());
}

pub fn client(address: &str, waves: u32) {
    let streams: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            stream
        })
        .collect();
    for _ in 0..waves {
        for mut stream in &streams {
            stream.write_all(&MESSAGE).unwrap();
        }
        let mut says = std::io::stdout();
        says.write_all(b".").and_then(|()| says.flush()).unwrap();
        for mut stream in &streams {
            let mut back = [0; MESSAGE.len()];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, MESSAGE, "the server gave other bytes back");
        }
    }
}
