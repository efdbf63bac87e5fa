//! The same statements one after another, concurrently over one connection, and concurrently over
//! the pool.

use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config};

use crate::connect::connect;
use crate::error::Error;
use crate::pool::Pool;
use crate::{POOL, STATEMENT_TIMEOUT};

/// The number of statements of each kind.
const N: i32 = 32;

/// A cheap statement, and one that takes 20 ms on the server.
const CHEAP: &str = "select $1::int4";
const SLOW: &str = "select $1::int4 from pg_sleep(0.02)";

pub async fn show(config: &Config, pool: &Rc<Pool>) -> Result<(), Error> {
    // Opens the connections of the pool, which must not be timed.
    pooled(pool, SLOW).await?;
    println!("{:28}{:>20}{:>20}", format!("{N} statements each"), "a parameter", "20 ms of work");
    let (cheap, slow) =
        (one_after_another(config, CHEAP).await?, one_after_another(config, SLOW).await?);
    row("one after another", cheap, slow);
    let (cheap, slow) = (pipelined(config, CHEAP).await?, pipelined(config, SLOW).await?);
    row("at once, one connection", cheap, slow);
    let (cheap, slow) = (pooled(pool, CHEAP).await?, pooled(pool, SLOW).await?);
    row(format_args!("at once, {POOL} connections"), cheap, slow);
    println!(
        "Pipelining on one connection saves round trips only: the server runs its statements in turn."
    );
    Ok(())
}

fn row(name: impl Display, cheap: Duration, slow: Duration) {
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    println!("{:28}{:>20}{:>20}", name.to_string(), ms(cheap), ms(slow));
}

/// Takes one round trip, because the statement is not prepared first. (Prepare statements that run
/// often.)
async fn ask(client: &Client, sql: &str, number: i32) -> Result<i32, tokio_postgres::Error> {
    Ok(client.query_typed_one(sql, &[(&number, Type::INT4)]).await?.get(0))
}

async fn one_after_another(config: &Config, sql: &str) -> Result<Duration, Error> {
    let session = connect(config, None).await?;
    let start = Instant::now();
    for number in 0..N {
        let answer =
            ask(&session.client, sql, number).await.map_err(|error| session.explain(error))?;
        assert_eq!(answer, number);
    }
    let time = start.elapsed();
    session.close().await;
    Ok(time)
}

/// All statements are sent before the first answer arrives.
async fn pipelined(config: &Config, sql: &str) -> Result<Duration, Error> {
    let session = connect(config, None).await?;
    let start = Instant::now();
    let answers = try_join_all((0..N).map(|number| ask(&session.client, sql, number)));
    assert!(answers.await.map_err(|error| session.explain(error))?.into_iter().eq(0..N));
    let time = start.elapsed();
    session.close().await;
    Ok(time)
}

async fn pooled(pool: &Rc<Pool>, sql: &str) -> Result<Duration, Error> {
    let start = Instant::now();
    let answers = (0..N).map(async |number| {
        let mut connection = pool.get().await?;
        connection.run(STATEMENT_TIMEOUT, async |client| ask(client, sql, number).await).await
    });
    assert!(try_join_all(answers).await?.into_iter().eq(0..N));
    Ok(start.elapsed())
}
