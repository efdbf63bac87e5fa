//! The pool alone, in a loop of the test.

use std::future::Future;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt, join_all};
use headwaiter::task::yield_now;
use headwaiter::time::{sleep, timeout};
use peers::{PATIENCE, need};

use crate::error::Error;
use crate::pool::{Pool, Pooled};
use crate::server::Server;

const LIMIT: Duration = Duration::from_secs(10);

/// Runs a test with a pool of this many connections, with a time limit.
fn with_pool<F: Future<Output = ()>>(
    limit: u32,
    patience: Duration,
    test: impl FnOnce(Rc<Pool>) -> F,
) {
    let server = Server::shared();
    headwaiter::block_on(async {
        let pool = Pool::new(server.config(), limit, patience);
        timeout(PATIENCE, test(Rc::clone(&pool))).await.expect("the test ends");
        pool.close(LIMIT).await;
        assert!(matches!(pool.get().await, Err(Error::Closed)));
    });
}

async fn backend(connection: &mut Pooled) -> i32 {
    let sql = "select pg_backend_pid()";
    connection.run(LIMIT, async |client| client.query_one(sql, &[]).await).await.unwrap().get(0)
}

/// Returns the server's state of another connection, such as `idle` or `active`, or `None` if the
/// connection is gone.
async fn state(connection: &mut Pooled, backend: i32) -> Option<String> {
    let sql = "select state from pg_stat_activity where pid = $1";
    let row = connection
        .run(LIMIT, async |client| client.query_opt(sql, &[&backend]).await)
        .await
        .unwrap();
    row.map(|row| row.get(0))
}

#[test]
fn a_connection_is_used_again_and_there_are_no_more_than_the_limit() {
    need!("initdb");
    need!("postgres");
    with_pool(3, LIMIT, async |pool| {
        let ask = async |_| backend(&mut pool.get().await.unwrap()).await;
        let mut backends = join_all((0..50).map(ask)).await;
        backends.sort();
        backends.dedup();
        assert!((1..=3).contains(&backends.len()), "{backends:?}");
    });
}

#[test]
fn who_waits_too_long_for_a_connection_is_told() {
    need!("initdb");
    need!("postgres");
    with_pool(2, Duration::from_secs(1), async |pool| {
        let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];
        let refused = pool.get().await.err().unwrap();
        assert!(matches!(refused, Error::Busy { limit: 2, .. }), "{refused}");
        assert_eq!(refused.to_string(), "none of the 2 connections of the pool was free within 1s");
        drop(held);
        assert!(pool.get().await.is_ok());
    });
}

#[test]
fn a_connection_that_broke_while_it_was_idle_is_not_handed_out_again() {
    need!("initdb");
    need!("postgres");
    with_pool(2, LIMIT, async |pool| {
        let (mut one, mut other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        let broken = backend(&mut one).await;
        drop(one);
        let sql = "select pg_terminate_backend($1, 5000)";
        other.run(LIMIT, async |client| client.execute(sql, &[&broken]).await).await.unwrap();
        let mut next = pool.get().await.unwrap();
        assert_ne!(backend(&mut next).await, broken);
    });
}

#[test]
fn a_connection_that_broke_in_use_is_not_handed_out_again() {
    need!("initdb");
    need!("postgres");
    with_pool(1, LIMIT, async |pool| {
        let mut connection = pool.get().await.unwrap();
        let broken = backend(&mut connection).await;
        let sql = "select pg_terminate_backend(pg_backend_pid())";
        let error =
            connection.run(LIMIT, async |client| client.execute(sql, &[]).await).await.unwrap_err();
        assert!(matches!(error, Error::Lost(_)), "{error}");
        assert!(
            error.to_string().contains("terminating connection due to administrator command"),
            "{error}"
        );
        drop(connection); // The program may not have read its end yet.
        assert_ne!(backend(&mut pool.get().await.unwrap()).await, broken);
    });
}

#[test]
fn a_waiter_that_is_dropped_keeps_no_permit() {
    need!("initdb");
    need!("postgres");
    with_pool(1, LIMIT, async |pool| {
        // While it connects.
        let mut connecting = Box::pin(pool.get());
        assert!((&mut connecting).now_or_never().is_none());
        drop(connecting);
        // While it waits for the permit, and after it has received the permit.
        let mut held = pool.get().await.unwrap();
        let first = backend(&mut held).await;
        let (mut one, mut other) = (Box::pin(pool.get()), Box::pin(pool.get()));
        assert!((&mut one).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        drop(one);
        drop(held);
        drop(other);
        assert_eq!(backend(&mut pool.get().await.unwrap()).await, first);
    });
}

#[test]
fn a_statement_that_is_dropped_is_cancelled_on_the_server_and_its_connection_used_again() {
    need!("initdb");
    need!("postgres");
    with_pool(2, LIMIT, async |pool| {
        let (mut one, mut other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        let dropped = backend(&mut one).await;
        {
            let sleeping =
                one.run(LIMIT, async |client| client.batch_execute("select pg_sleep(60)").await);
            let mut sleeping = Box::pin(sleeping);
            while state(&mut other, dropped).await.as_deref() != Some("active") {
                assert!((&mut sleeping).now_or_never().is_none());
                yield_now().await;
            }
        }
        let since = Instant::now();
        drop(one);
        // The other one is in use, so it must be this one.
        assert_eq!(backend(&mut pool.get().await.unwrap()).await, dropped);
        assert!(since.elapsed() < LIMIT, "it was not waited for");
        assert_eq!(state(&mut other, dropped).await.as_deref(), Some("idle"));
    });
}

#[test]
fn a_transaction_that_is_dropped_is_rolled_back_and_its_locks_are_free() {
    need!("initdb");
    need!("postgres");
    with_pool(2, LIMIT, async |pool| {
        let (mut one, mut other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        let sql = "create table menu (dish text primary key)";
        other.run(LIMIT, async |client| client.batch_execute(sql).await).await.unwrap();
        let limit = Duration::from_millis(200);
        let work = one.run(limit, async |client| {
            let transaction = client.transaction().await?;
            transaction.batch_execute("insert into menu values ('soup')").await?;
            transaction.batch_execute("select pg_sleep(60)").await?;
            transaction.commit().await
        });
        let error = work.await.unwrap_err();
        assert!(matches!(error, Error::TimedOut(within) if within == limit), "{error}");
        drop(one);
        // It must wait for the first transaction, which holds the key, and fails if that is
        // committed.
        let sql = "insert into menu values ('soup')";
        other.run(LIMIT, async |client| client.batch_execute(sql).await).await.unwrap();
        other
            .run(LIMIT, async |client| client.batch_execute("drop table menu").await)
            .await
            .unwrap();
    });
}

#[test]
fn a_connection_is_not_handed_out_in_a_transaction_that_was_dropped() {
    need!("initdb");
    need!("postgres");
    with_pool(1, LIMIT, async |pool| {
        let mut connection = pool.get().await.unwrap();
        let first = backend(&mut connection).await;
        // Simulates that the cancellation hits the rollback of tokio-postgres, as it does when the
        // server is slow. The server ignores a cancelled rollback.
        let work = connection.run(Duration::from_millis(100), async |client| {
            client.batch_execute("begin").await?;
            client.batch_execute("select pg_sleep(60)").await
        });
        assert!(matches!(work.await, Err(Error::TimedOut(_))));
        drop(connection);
        let mut connection = pool.get().await.unwrap();
        assert_eq!(backend(&mut connection).await, first);
        // An error of the closure itself, outside a transaction.
        let error =
            connection.run(LIMIT, async |client| client.batch_execute("savepoint one").await).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("SAVEPOINT can only be used in transaction blocks [25P01]"),
            "{error}"
        );
    });
}

#[test]
fn a_statement_that_fails_costs_no_connection() {
    need!("initdb");
    need!("postgres");
    with_pool(1, LIMIT, async |pool| {
        let mut connection = pool.get().await.unwrap();
        let first = backend(&mut connection).await;
        let work = connection.run(LIMIT, async |client| {
            let transaction = client.transaction().await?;
            transaction.batch_execute("select 1 / 0").await?;
            transaction.commit().await
        });
        let error = work.await.unwrap_err();
        assert!(matches!(error, Error::Statement(_)), "{error}");
        drop(connection);
        let mut connection = pool.get().await.unwrap();
        assert_eq!(backend(&mut connection).await, first);
    });
}

#[test]
fn a_connection_whose_server_hangs_is_discarded() {
    need!("initdb");
    need!("postgres");
    with_pool(2, LIMIT, async |pool| {
        let (mut one, mut other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        let hung = backend(&mut one).await;
        let stopped = Stopped::new(hung);
        let work = one
            .run(Duration::from_millis(50), async |client| client.batch_execute("select 1").await);
        let error = work.await.unwrap_err();
        assert!(matches!(error, Error::TimedOut(_)), "{error}");
        drop(one);
        let next = backend(&mut pool.get().await.unwrap()).await;
        assert_ne!(next, hung);
        // It is closed although the server has not answered: only the other one and the next one
        // exist.
        let dump = headwaiter::dump().to_string();
        assert_eq!(
            dump.lines().filter(|line| line.starts_with("TCP stream ")).count(),
            2,
            "{dump}"
        );
        drop(stopped);
        // The server has noticed it.
        while state(&mut other, hung).await.is_some() {
            sleep(Duration::from_millis(5)).await;
        }
    });
}

/// A process that is stopped until this is dropped.
struct Stopped(String);

impl Stopped {
    fn new(pid: i32) -> Stopped {
        let stopped = Stopped(pid.to_string());
        assert!(Command::new("kill").args(["-STOP", &stopped.0]).status().unwrap().success());
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-CONT", &self.0]).status();
    }
}
