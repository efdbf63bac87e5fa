//! A server that hangs, and the dump that shows why. No task has failed and nothing is logged, but
//! no guest is served. The loop cannot report this as a deadlock, because one of the two waits is
//! for a message, and any code might send that.
//!
//! `cargo run --example debug_a_hang` shows the hang, how to read its dump, and the server without
//! the mistake.

use std::{io, rc::Rc, time::Duration};

use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::sync::{Mutex, mpsc, oneshot};
use headwaiter::task::{Builder, TaskGroup};
use headwaiter::time::timeout;

/// How many bowls of soup are left.
type Stock = Rc<Mutex<u32>>;
/// Receives the dish.
type Order = oneshot::Sender<[u8; 4]>;

fn main() -> io::Result<()> {
    env_logger::init();
    println!("A guest orders soup from a server with a mistake:");
    headwaiter::block_on(order_from_server(false))?;
    println!("\nA guest orders soup from the server without the mistake:");
    headwaiter::block_on(order_from_server(true))
}

async fn order_from_server(careful: bool) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (server, stock) = (TaskGroup::<io::Error>::new(), Rc::new(Mutex::named("stock", 10)));
    let (orders, received) = mpsc::channel(8);
    Builder::new().name("kitchen").spawn_in(&server, cook(received, stock.clone()));
    Builder::new().name("waiter").spawn_in(&server, serve(listener, orders, stock, careful));
    let (mut guest, mut dish) = (TcpStream::connect(address).await?, [0; 4]);
    guest.write_all(b"soup").await?;
    match timeout(Duration::from_secs(1), guest.read_exact(&mut dish)).await {
        Ok(read) => println!("  served: {}", read.map(|()| String::from_utf8_lossy(&dish))?),
        Err(_) => explain(&headwaiter::dump().to_string()),
    }
    Ok(()) // Dropping the group ends its tasks.
}

async fn serve(
    tcp: TcpListener,
    orders: mpsc::Sender<Order>,
    stock: Stock,
    careful: bool,
) -> io::Result<()> {
    loop {
        let (mut guest, mut order) = (tcp.accept().await?.0, [0; 4]);
        guest.read_exact(&mut order).await?;
        let bowls = stock.lock().await;
        if *bowls == 0 {
            continue; // The connection is closed.
        }
        if careful {
            drop(bowls);
        }
        let (reply, dish) = oneshot::channel();
        let _ = orders.send(reply).await; // If the kitchen has ended, awaiting `dish` fails.
        guest.write_all(&dish.await.map_err(io::Error::other)?).await?;
    }
}

async fn cook(mut orders: mpsc::Receiver<Order>, stock: Stock) -> io::Result<()> {
    while let Some(reply) = orders.recv().await {
        *stock.lock().await -= 1;
        let _ = reply.send(*b"soup"); // The guest may have left.
    }
    Ok(())
}

/// Prints the dump and explains its important lines.
fn explain(dump: &str) {
    println!(
        "  no answer for 1 s, and no task has failed or ended. `dump()` shows what the tasks wait for:\n"
    );
    dump.lines().for_each(|line| println!("    {line}"));
    let dump = dump.replace(",\n        ", ", "); // Long lines are wrapped.
    let find = |what| dump.lines().find(|line| line.contains(what)).unwrap_or_default().trim();
    let (lock, reply) = (find("waits for the lock"), find("waits for the value"));
    println!(
        "\nhow to read it: sources are sockets, with their readiness; jobs are calls on threads; polls is"
    );
    println!(
        "  how often a task ran. Look for a task that waits for neither a socket nor a timer."
    );
    let [kitchen, waiter] = [lock, reply].map(|wait| wait.replace(", at ", ",\n     at "));
    println!("  1. The kitchen {kitchen}.");
    println!("  2. So the kitchen waits for the waiter. The waiter {waiter}.");
    println!(
        "  3. The dump does not say which task sends that value, but the source does: the next line passes"
    );
    println!("     the sender to the kitchen. So each waits for the other.");
    let at = |line: &str, word| {
        line.split(", ").find_map(|part| Some(part.split_once(word)?.1.to_owned()))
    };
    let (taken, made) =
        (at(lock, "since ").unwrap_or_default(), at(reply, "at ").unwrap_or_default());
    println!("what went wrong: the lock taken at {taken} is still held when the waiter");
    println!("  awaits the channel created at {made}, and the kitchen needs that lock to send.");
    println!("what to do: `drop` the guard before that `.await`.");
}
