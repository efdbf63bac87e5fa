//! The load: many clients on one loop, each of which sends a request in each period.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use headwaiter::net::TcpStream;
use headwaiter::task::JoinSet;
use headwaiter::time::{now, sleep_until, timeout_at};

/// The length of a request and of its answer.
pub const BYTES: usize = 64;

/// How long the requests took, sorted, in microseconds. One that got no answer took `u64::MAX`.
pub struct Latencies(Vec<u64>);

pub fn load(server: &str, clients: &str, period: &str, periods: &str) -> io::Result<()> {
    crate::measure::allow_many_files();
    let server = server.parse().map_err(io::Error::other)?;
    let [clients, period, periods] = [clients, period, periods].map(str::parse::<u32>);
    let clients = clients.map_err(io::Error::other)?;
    let period = Duration::from_millis(period.map_err(io::Error::other)?.into());
    let periods = periods.map_err(io::Error::other)?;
    let latencies = headwaiter::block_on(async {
        let start = now() + Duration::from_millis(100);
        // The clients do not send all at the same time.
        let first = |client| start + period * client / clients;
        let clients: JoinSet<Vec<u64>> =
            (0..clients).map(|client| send(server, first(client), period, periods)).collect();
        clients.join_all().await.concat()
    });
    for latency in latencies {
        println!("{latency}");
    }
    Ok(())
}

/// One client. In the first period the server and the kernel warm up; it does not count.
async fn send(server: SocketAddr, first: Instant, period: Duration, periods: u32) -> Vec<u64> {
    let patience = period * 4 / 5;
    let mut latencies = Vec::new();
    for number in 0..=periods {
        let due = first + period * number;
        sleep_until(due).await;
        let took = match timeout_at(due + patience, request(server)).await {
            Ok(Ok(())) => (now() - due).as_micros() as u64,
            Ok(Err(_)) | Err(_) => u64::MAX,
        };
        if number > 0 {
            latencies.push(took);
        }
    }
    latencies
}

async fn request(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    // The close sends a reset, so that no closed connection occupies a port for a minute.
    #[cfg(target_os = "linux")]
    stream.set_zero_linger()?;
    let mut message = [b'x'; BYTES];
    stream.write_all(&message).await?;
    stream.read_exact(&mut message).await
}

impl Latencies {
    pub fn parse(lines: &str) -> io::Result<Self> {
        let numbers: Result<Vec<u64>, _> = lines.lines().map(str::parse).collect();
        let mut latencies = numbers.map_err(io::Error::other)?;
        latencies.sort_unstable();
        Ok(Latencies(latencies))
    }

    pub fn timeouts(&self) -> usize {
        self.0.iter().filter(|latency| **latency == u64::MAX).count()
    }

    /// The latency that this share of the requests did not exceed. `None` if that was a timeout.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let last = self.0.len().checked_sub(1)?;
        let latency = self.0[(last as f64 * share).round() as usize];
        (latency < u64::MAX).then(|| Duration::from_micros(latency))
    }
}
