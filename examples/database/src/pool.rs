//! A pool: at most `limit` connections, opened when they are needed and kept for the next task that
//! needs one.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use headwaiter::sync::{OwnedSemaphorePermit, Semaphore};
use headwaiter::time::timeout;
use tokio_postgres::{Client, Config};

use crate::connect::{Session, connect_again};
use crate::error::Error;

pub struct Pool {
    config: Config,
    limit: u32,
    /// How long a task waits for a connection.
    patience: Duration,
    /// One permit for each possible connection.
    permits: Rc<Semaphore>,
    idle: RefCell<Vec<Session>>,
    /// Why the last attempt to connect failed.
    failure: RefCell<Option<String>>,
}

impl Pool {
    pub fn new(config: Config, limit: u32, patience: Duration) -> Rc<Pool> {
        let permits = Rc::new(Semaphore::new(limit as usize));
        let (idle, failure) = Default::default();
        Rc::new(Pool { config, limit, patience, permits, idle, failure })
    }

    /// Waits for a connection, first come, first served. Retries while the server is unreachable.
    /// Cancel-safe: a dropped future keeps no permit and no connection.
    pub async fn get(self: &Rc<Self>) -> Result<Pooled, Error> {
        let waited = self.patience;
        let taken = timeout(waited, self.take()).await;
        taken.unwrap_or_else(|_| match &*self.failure.borrow() {
            Some(why) => {
                Err(Error::Unreachable(format!("no connection within {waited:?}, at last: {why}")))
            }
            None => Err(Error::Busy { limit: self.limit, waited }),
        })
    }

    async fn take(self: &Rc<Self>) -> Result<Pooled, Error> {
        let permit = Rc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
        let session = match self.pop_idle() {
            Some(session) => session,
            None => connect_again(&self.config, &self.failure).await?,
        };
        Ok(Pooled { pool: Rc::clone(self), held: Some((session, permit)), is_clean: true })
    }

    fn pop_idle(&self) -> Option<Session> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|session| !session.is_broken());
        idle.pop()
    }

    fn keep(&self, session: Session) {
        if !self.permits.is_closed() {
            self.idle.borrow_mut().push(session);
        }
    }

    /// Waits until no connection is in use, at most for `grace`, and closes the idle ones.
    pub async fn close(&self, grace: Duration) {
        let _ = timeout(grace, self.permits.acquire_many(self.limit)).await;
        self.permits.close();
        join_all(self.idle.take().into_iter().map(Session::close)).await;
    }
}

/// A connection of a pool. Dropping it returns it to the pool.
pub struct Pooled {
    pool: Rc<Pool>,
    held: Option<(Session, OwnedSemaphorePermit)>,
    /// False while work is in flight, and after work was dropped halfway.
    is_clean: bool,
}

impl Pooled {
    /// Runs `work` with a time limit. If it takes longer, or this future is dropped, the statement
    /// in flight is cancelled on the server before another task gets the connection. (`work` itself
    /// must neither drop the future of a statement nor leave a transaction open that it began
    /// without `Client::transaction`.)
    pub async fn run<T, W>(&mut self, limit: Duration, work: W) -> Result<T, Error>
    where
        W: AsyncFnOnce(&mut Client) -> Result<T, tokio_postgres::Error>,
    {
        let (session, _) = self.held.as_mut().expect("it is held until the drop");
        self.is_clean = false;
        let result =
            timeout(limit, work(&mut session.client)).await.map_err(|_| Error::TimedOut(limit))?;
        let result = result.map_err(|error| session.explain(error));
        self.is_clean = !matches!(result, Err(Error::Lost(_)));
        result
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some((session, permit)) = self.held.take() else { return };
        let pool = Rc::clone(&self.pool);
        if self.is_clean {
            return pool.keep(session); // Must happen before the next task gets the permit.
        }
        headwaiter::spawn(async move {
            if let Some(session) = session.settle().await {
                pool.keep(session);
            }
            drop(permit);
        });
    }
}
