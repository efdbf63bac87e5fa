//! A transaction that is cancelled halfway leaves nothing behind, and its connection can be used
//! again.

use std::rc::Rc;
use std::time::{Duration, Instant};

use headwaiter::task::CancelToken;
use headwaiter::time::{sleep, timeout};
use tokio_postgres::Config;

use crate::error::Error;
use crate::pool::Pool;
use crate::{GET_TIMEOUT, GRACE, STATEMENT_TIMEOUT};

const TABLE: &str = "headwaiter_orders";
/// Far longer than the program runs.
const LONG: Duration = Duration::from_secs(60);

pub async fn show(config: &Config, pool: &Rc<Pool>) -> Result<(), Error> {
    run(pool, &format!("create table if not exists {TABLE} (dish text)")).await?;
    // With only one connection, the next `get` returns the one whose transaction was cancelled.
    let one = Pool::new(config.clone(), 1, GET_TIMEOUT);
    let shown = cancel_in_three_ways(&one, pool).await;
    one.close(GRACE).await;
    run(pool, &format!("drop table {TABLE}")).await?;
    shown
}

async fn cancel_in_three_ways(one: &Rc<Pool>, others: &Rc<Pool>) -> Result<(), Error> {
    let backend = backend_of(one).await?;

    // Dropped by a timeout, between two statements.
    let _ = timeout(Duration::from_millis(100), order(one, "soup", Then::Wait)).await;
    let backend = report("timed out between two statements", backend, one, others).await?;

    // Dropped by a token, while a statement is in flight.
    let closing = CancelToken::new();
    let close = closing.clone();
    headwaiter::spawn(async move {
        sleep(Duration::from_millis(100)).await;
        close.cancel();
    });
    let sql = format!("select pg_sleep({})", LONG.as_secs());
    let _ = closing.run(order(one, "fish", Then::Run(&sql))).await;
    let backend = report("cancelled in a statement", backend, one, others).await?;

    // Dropped by `?`.
    if let Err(error) = order(one, "cake", Then::Run("select 1 / 0")).await {
        println!("the server: {error}");
    }
    report("failed in a statement", backend, one, others).await?;
    Ok(())
}

/// What happens between an order and its commit.
enum Then<'a> {
    Wait,
    Run(&'a str),
}

async fn order(pool: &Rc<Pool>, dish: &str, then: Then<'_>) -> Result<(), Error> {
    let mut connection = pool.get().await?;
    let work = connection.run(STATEMENT_TIMEOUT, async |client| {
        let transaction = client.transaction().await?;
        transaction.execute(&format!("insert into {TABLE} values ($1)"), &[&dish]).await?;
        match then {
            Then::Wait => sleep(LONG).await,
            Then::Run(sql) => transaction.batch_execute(sql).await?,
        }
        transaction.commit().await
    });
    work.await
}

/// Returns the backend of the only connection. It differs if the pool had to replace the
/// connection.
async fn report(what: &str, before: i32, one: &Rc<Pool>, others: &Rc<Pool>) -> Result<i32, Error> {
    let since = Instant::now();
    let backend = backend_of(one).await?;
    let waited = since.elapsed();
    let mut other = others.get().await?;
    let sql = format!("select count(*) from {TABLE}");
    let row =
        other.run(STATEMENT_TIMEOUT, async |client| client.query_one(&sql, &[]).await).await?;
    let left: i64 = row.get(0);
    let then = if backend == before { "used again" } else { "replaced" };
    println!("{what}: {left} orders are left; backend {before} is {then} after {waited:.1?}");
    Ok(backend)
}

async fn backend_of(pool: &Rc<Pool>) -> Result<i32, Error> {
    let mut connection = pool.get().await?;
    let sql = "select pg_backend_pid()";
    let row =
        connection.run(STATEMENT_TIMEOUT, async |client| client.query_one(sql, &[]).await).await?;
    Ok(row.get(0))
}

async fn run(pool: &Rc<Pool>, sql: &str) -> Result<(), Error> {
    let mut connection = pool.get().await?;
    connection.run(STATEMENT_TIMEOUT, async |client| client.batch_execute(sql).await).await
}
