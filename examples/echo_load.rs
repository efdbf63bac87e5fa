//! Many echo clients on one loop: each sends messages and checks that every byte comes back.
//!
//! `cargo run --release --example echo_load [ADDRESS [CONNECTIONS [MESSAGES [BYTES]]]]`. The exit
//! code is not 0 if a client failed or a byte was wrong.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use headwaiter::net::TcpStream;
use headwaiter::task::JoinHandle;
use headwaiter::time::timeout;
use indicatif::{ProgressBar, ProgressStyle};

/// A client fails if the server takes longer than this to answer a message.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Load {
    address: String,
    connections: usize,
    messages: usize,
    bytes: usize,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let load = match load(std::env::args().skip(1)) {
        Ok(load) => load,
        Err(error) => {
            eprintln!("{error}\nusage: echo_load [ADDRESS [CONNECTIONS [MESSAGES [BYTES]]]]");
            return ExitCode::from(2);
        }
    };
    headwaiter::block_on(run(load))
}

fn load(mut args: impl Iterator<Item = String>) -> Result<Load, String> {
    let address = args.next().unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let mut number = |name: &str, default: usize| match args.next().map(|text| (text.parse(), text))
    {
        None => Ok(default),
        Some((Ok(number @ 1..), _)) => Ok(number),
        Some((_, text)) => {
            Err(format!("{name} must be a whole number of at least 1, and {text:?} is not"))
        }
    };
    let load = Load {
        connections: number("CONNECTIONS", 100)?,
        messages: number("MESSAGES", 100)?,
        bytes: number("BYTES", 64)?,
        address,
    };
    match args.next() {
        None => Ok(load),
        Some(extra) => Err(format!("{extra:?} is one argument too many")),
    }
}

async fn run(load: Load) -> ExitCode {
    let bar = ProgressBar::new((load.connections * load.messages) as u64);
    let style = ProgressStyle::with_template(
        "{bar:40} {human_pos}/{human_len} messages, {per_sec}, {elapsed}",
    );
    bar.set_style(style.expect("the template is right"));
    let start = Instant::now();
    let clients: Vec<JoinHandle<io::Result<Vec<Duration>>>> = (0..load.connections)
        .map(|n| headwaiter::spawn(client(n, load.clone(), bar.clone())))
        .collect();
    let (mut times, mut lost) = (Vec::new(), 0);
    for (n, client) in clients.into_iter().enumerate() {
        match client.await.map_err(io::Error::other).and_then(|result| result) {
            Ok(of_client) => times.extend(of_client),
            Err(error) => {
                lost += 1;
                bar.suspend(|| eprintln!("client {n}: {error}"));
            }
        }
    }
    let elapsed = start.elapsed();
    bar.finish();
    times.sort_unstable();
    println!(
        "{} connections, {} of {} messages of {} bytes came back in {elapsed:.2?}",
        load.connections,
        times.len(),
        load.connections * load.messages,
        load.bytes
    );
    if let Some(last) = times.len().checked_sub(1) {
        let at = |share: f64| times[(last as f64 * share) as usize];
        let rate = times.len() as f64 / elapsed.as_secs_f64();
        println!(
            "{rate:.0} messages/s; p50 {:.0?}, p99 {:.0?}, p99.9 {:.0?}",
            at(0.5),
            at(0.99),
            at(0.999)
        );
    }
    match lost {
        0 => ExitCode::SUCCESS,
        lost => {
            println!("{lost} clients failed or received a wrong byte");
            ExitCode::FAILURE
        }
    }
}

/// Returns the round-trip time of each message.
async fn client(n: usize, load: Load, bar: ProgressBar) -> io::Result<Vec<Duration>> {
    let mut stream = timeout(PATIENCE, TcpStream::connect(&load.address)).await??;
    stream.set_nodelay(true)?;
    let (mut message, mut back) = (vec![0; load.bytes], vec![0; load.bytes]);
    let mut times = Vec::with_capacity(load.messages);
    for round in 0..load.messages {
        // All messages differ, so that a message that reaches the wrong client is detected.
        message
            .iter_mut()
            .enumerate()
            .for_each(|(at, byte)| *byte = (n * 31 + round * 7 + at) as u8);
        let start = Instant::now();
        timeout(PATIENCE, exchange(&mut stream, &message, &mut back)).await??;
        times.push(start.elapsed());
        if back != message {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("message {round} came back wrong"),
            ));
        }
        bar.inc(1);
    }
    Ok(times)
}

/// Writes and reads concurrently: otherwise a message that is larger than all buffers would wait
/// for ever.
async fn exchange(stream: &mut TcpStream, message: &[u8], back: &mut [u8]) -> io::Result<()> {
    use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
    let (mut read, mut write): (&TcpStream, &TcpStream) = (stream, stream);
    future::try_zip(write.write_all(message), read.read_exact(back)).await?;
    Ok(())
}
