//! Fetches several pages concurrently, from servers in the same process. All fetches form one task
//! group. In the first run all succeed. In the second run one server closes its connection early,
//! which ends the other fetches immediately.
//!
//! `cargo run --example task_group`. With `RUST_LOG=headwaiter=debug` the loop also logs the tasks.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{io, net::SocketAddr};

use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task::{Builder, TaskGroup};
use headwaiter::time::sleep;

const SERVERS: usize = 8;

fn main() -> io::Result<()> {
    env_logger::init();
    headwaiter::block_on(async {
        println!("1. eight fetches in a TaskGroup, each from a server of its own. All succeed:");
        let start = Instant::now();
        let pages = fetch_all(None).await?.len();
        println!(
            "  `join` returns when all have ended, after {} ms: {pages} pages",
            start.elapsed().as_millis()
        );
        println!(
            "\n2. the same, but server 5 closes early, and servers 6 and 7 would take an hour:"
        );
        let start = Instant::now();
        let error = fetch_all(Some(5)).await.expect_err("one fetch fails");
        println!(
            "  `join` returns the first failure after {} ms: {error}",
            start.elapsed().as_millis()
        );
        println!(
            "what the group did for you: the first failure ended the fetches that were still running."
        );
        println!(
            "  The program does not wait an hour, no task is left behind, and the error is returned."
        );
        Ok(())
    })
}

/// Fetches one page from each server. Fails if one of them fails.
async fn fetch_all(broken: Option<usize>) -> io::Result<Vec<String>> {
    // The group is dropped at the end of this function, and ends the servers.
    let servers = TaskGroup::<io::Error>::new();
    let pages = Rc::new(RefCell::new(Vec::new()));
    let fetches = TaskGroup::<io::Error>::new();
    for n in 0..SERVERS {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        servers.spawn(serve(listener, n, broken));
        let pages = Rc::clone(&pages);
        Builder::new().name(format!("fetch {n}")).spawn_in(&fetches, async move {
            let mut end = PrintOnDrop(n, "was cancelled".to_owned());
            let page = fetch(address).await;
            end.1 = page
                .as_ref()
                .map_or_else(|error| format!("failed: {error}"), |page| format!("has {page:?}"));
            let page =
                page.map_err(|error| io::Error::new(error.kind(), format!("server {n}: {error}")))?;
            pages.borrow_mut().push(page);
            Ok(())
        });
    }
    fetches.join().await?;
    Ok(pages.take())
}

async fn fetch(address: SocketAddr) -> io::Result<String> {
    let (mut stream, mut page) = (TcpStream::connect(address).await?, [0; 6]);
    stream.read_exact(&mut page).await?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Takes longer the higher its number is. The broken server closes in the middle of its page; those
/// above it take an hour.
async fn serve(listener: TcpListener, n: usize, broken: Option<usize>) -> io::Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let needs_an_hour = broken.is_some_and(|broken| n > broken);
    sleep(Duration::from_millis(if needs_an_hour { 3_600_000 } else { 20 * n as u64 })).await;
    let page = format!("page {n}");
    stream.write_all(&page.as_bytes()[..if broken == Some(n) { 3 } else { 6 }]).await
}

/// Prints its text when it is dropped. A task drops its variables however it ends.
struct PrintOnDrop(usize, String);

impl Drop for PrintOnDrop {
    fn drop(&mut self) {
        println!("  fetch {} {}", self.0, self.1);
    }
}
