//! What blocking threads cost: a thread where the others have a task, and std's locks, channels and files.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;
use std::pin::pin;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

mod programs {
    pub mod files;
    pub mod run;
    pub mod sockets;
}

use programs::{files, run, sockets};

fn main() {
    run::main(&[
        &[
            ("spawn_join_one", spawn_join_one),
            ("late", late),
            ("channel", channel),
            ("mutex", mutex),
            ("barrier", barrier),
            ("echo", echo),
            ("unix", unix),
            ("udp", udp),
        ],
        files::PROGRAMS,
    ]);
}

/// As the others measure, without a future that waits.
fn measure(count: u32, mut batch: impl FnMut(u32)) {
    rt::block_on(run::measure(count, async |count| batch(count)));
}

fn spawn_join_one() {
    measure(500, |count| {
        for n in 0..count {
            black_box(thread::spawn(move || n).join().expect("no panic"));
        }
    });
}

fn late() {
    const SLEEP: Duration = Duration::from_micros(300);
    let sample = |_| {
        let start = Instant::now();
        thread::sleep(SLEEP);
        start.elapsed() - SLEEP
    };
    let mut late: Vec<_> = (0..run::scaled(500)).map(sample).collect();
    late.sort();
    let percentile = |percent: usize| late[late.len() * percent / 100].as_nanos() as f64 / 1e3;
    println!("{:.1} {:.1}", percentile(50), percentile(99));
}

fn channel() {
    measure(2_000, |count| {
        let (there, here): (SyncSender<u32>, Receiver<u32>) = std::sync::mpsc::sync_channel(1);
        let (back, again) = std::sync::mpsc::sync_channel(1);
        let echo = thread::spawn(move || here.iter().try_for_each(|n| back.send(n)));
        for n in 0..count {
            there.send(n).expect("the other lives");
            assert_eq!(again.recv(), Ok(n));
        }
        drop(there);
        echo.join().expect("no panic").expect("each was received");
    });
}

fn mutex() {
    let mutex = Mutex::new(0);
    measure(100_000, |count| {
        for _ in 0..count {
            *black_box(&mutex).lock().expect("no panic") += 1;
        }
    });
}

fn barrier() {
    const THREADS: u32 = 8;
    measure(THREADS * 200, |count| {
        let barrier = Barrier::new(THREADS as usize);
        let wait = || {
            for _ in 0..count / THREADS {
                barrier.wait();
            }
        };
        thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(wait))));
    });
}

fn echo() {
    let listener = sockets::tcp();
    listener.set_nonblocking(false).expect("a listener that blocks");
    for stream in listener.incoming().map(|stream| stream.expect("a connection")) {
        stream.set_nodelay(true).expect("a connection");
        small_thread(move || give_back(stream));
    }
}

fn unix() {
    let listener = sockets::unix();
    listener.set_nonblocking(false).expect("a listener that blocks");
    for stream in listener.incoming().map(|stream| stream.expect("a connection")) {
        small_thread(move || give_back(stream));
    }
}

/// With as little stack as serves, so that there may be thousands.
fn small_thread(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(32 << 10).spawn(work).expect("a thread");
}

fn give_back(mut stream: impl Read + Write) {
    let mut buffer = vec![0; run::size()];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
}

fn udp() {
    let socket = sockets::udp();
    socket.set_nonblocking(false).expect("a socket that blocks");
    let mut buffer = vec![0; 2048];
    while let Ok((n, from)) = socket.recv_from(&mut buffer) {
        socket.send_to(&buffer[..n], from).expect("it is sent");
    }
}

/// What the programs use of a runtime, where nothing ever waits but the thread.
mod rt {
    use super::*;

    pub fn block_on<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => unreachable!("the thread waits, not the future"),
        }
    }

    pub async fn read_in_pieces(path: &Path, piece: usize) -> usize {
        let mut file = File::open(path).expect("the file");
        let (mut buffer, mut total) = (vec![0; piece], 0);
        while let n @ 1.. = file.read(&mut buffer).expect("its bytes") {
            total += n;
        }
        total
    }

    pub async fn read_whole(path: &Path) -> Vec<u8> {
        std::fs::read(path).expect("the file")
    }
}
