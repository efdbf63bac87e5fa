//! Connections that fail, and a server that stops and starts again.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, try_join_all};
use headwaiter::time::interval;
use log::warn;

use crate::error::Error;
use crate::pool::{Pool, Pooled};
use crate::{POOL, STATEMENT_TIMEOUT};

/// The second argument, new in PostgreSQL 14, is how many milliseconds to wait until the backend is
/// gone.
const TERMINATE: &str = "select pg_terminate_backend(pid, 1000) from unnest($1::int4[]) as pid";

/// Terminates all connections of the pool except one. One of them is executing a statement.
pub async fn show(pool: &Rc<Pool>) -> Result<(), Error> {
    let mut connections = try_join_all((0..POOL).map(|_| pool.get())).await?;
    let backends: Vec<i32> = try_join_all(connections.iter_mut().map(backend)).await?;
    // The first connection terminates the others. The second one is in use meanwhile, and the rest
    // is idle.
    connections.truncate(2);
    let [breaker, victim] = &mut connections[..] else { return Ok(()) };
    let broken = &backends[1..];
    let work = victim
        .run(STATEMENT_TIMEOUT, async |client| client.batch_execute("select pg_sleep(60)").await);
    let breaking =
        breaker.run(STATEMENT_TIMEOUT, async |client| client.execute(TERMINATE, &[&broken]).await);
    let (failed, terminated) = join(work, breaking).await;
    println!("{} of {POOL} connections were terminated", terminated?);
    if let Err(error) = failed {
        println!("the statement in flight failed: {error}");
    }
    drop(connections);

    // The pool does not hand out failed connections.
    let mut connections = try_join_all((0..POOL).map(|_| pool.get())).await?;
    let now: Vec<i32> = try_join_all(connections.iter_mut().map(backend)).await?;
    let kept = now.iter().filter(|backend| backends.contains(backend)).count();
    println!(
        "all {} connections of the pool answer again: {kept} as before, {} new",
        now.len(),
        now.len() - kept
    );
    Ok(())
}

async fn backend(connection: &mut Pooled) -> Result<i32, Error> {
    let sql = "select pg_backend_pid()";
    // `query_one` prepares a statement, and its drop closes that in the background. If the server
    // ends the connection before it has answered the close, its reason is mistaken for that answer
    // and lost.
    let row = connection
        .run(STATEMENT_TIMEOUT, async |client| client.query_typed_one(sql, &[]).await)
        .await?;
    Ok(row.get(0))
}

/// Queries twice a second, whatever happens to the server, until it is dropped.
pub async fn watch(pool: &Rc<Pool>) -> Result<(), Error> {
    println!("stop the server, and start it again; Ctrl-C ends this");
    let mut ticks = interval(Duration::from_millis(500));
    for number in 1.. {
        ticks.tick().await;
        match uptime(pool).await {
            Ok(uptime) => println!("query {number}: the server has been up for {uptime}"),
            Err(error) => warn!("query {number} failed: {error}"),
        }
    }
    Ok(())
}

async fn uptime(pool: &Rc<Pool>) -> Result<String, Error> {
    let sql = "select date_trunc('second', now() - pg_postmaster_start_time())::text";
    let mut connection = pool.get().await?;
    let row =
        connection.run(STATEMENT_TIMEOUT, async |client| client.query_one(sql, &[]).await).await?;
    Ok(row.get(0))
}
