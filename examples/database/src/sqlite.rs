//! SQLite, whose calls block: each piece of work is a job of the blocking pool, and the loop
//! continues meanwhile.

use std::cell::Cell;
use std::error::Error as AnyError;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use headwaiter::sync::Mutex;
use headwaiter::task::JoinError;
use headwaiter::time::{interval, timeout};
use rusqlite::{Connection, InterruptHandle};

/// A database in a file. One job at a time has the connection. Other jobs wait on the loop and
/// occupy no thread.
pub struct Sqlite {
    path: PathBuf,
    /// `None` before the first job, after a job that panicked, and after one whose future was
    /// dropped.
    connection: Mutex<Option<Connection>>,
}

#[derive(Debug)]
pub enum Error {
    Sqlite(rusqlite::Error),
    Job(JoinError),
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Sqlite(error) => error.fmt(f),
            Error::Job(error) => error.fmt(f),
        }
    }
}

impl AnyError for Error {}

/// Dropping this interrupts the statement that runs on the connection.
struct Interrupt(InterruptHandle);

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.interrupt(); // A no-op if no statement runs.
    }
}

impl Sqlite {
    pub fn new(path: PathBuf) -> Sqlite {
        Sqlite { path, connection: Mutex::new(None) }
    }

    /// Runs `work` on a thread of the blocking pool. If this future is dropped, the statement is
    /// interrupted.
    pub async fn run<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let mut slot = self.connection.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => {
                let path = self.path.clone();
                let opening = headwaiter::spawn_blocking(move || open(&path));
                opening.await.map_err(Error::Job)?.map_err(Error::Sqlite)?
            }
        };
        let _interrupt = Interrupt(connection.get_interrupt_handle());
        let job = headwaiter::spawn_blocking(move || {
            let result = work(&mut connection);
            (connection, result)
        });
        let (connection, result) = job.await.map_err(Error::Job)?;
        *slot = Some(connection);
        result.map_err(Error::Sqlite)
    }

    /// Closing a connection blocks too: the last one writes the journal back.
    pub async fn close(self) -> Result<(), Error> {
        let connection = self.connection.into_inner();
        headwaiter::spawn_blocking(move || drop(connection)).await.map_err(Error::Job)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?; // While another connection writes.
    connection.pragma_update(None, "journal_mode", "wal")?;
    Ok(connection)
}

/// Counts to the parameter: a long-running statement.
const COUNT: &str =
    "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < ?1)
    select count(*) from numbers";

pub async fn show() -> Result<(), Error> {
    let file = TemporaryFile(
        env::temp_dir().join(format!("headwaiter-database-{}.sqlite", process::id())),
    );
    let sqlite = Sqlite::new(file.0.clone());
    let dishes = sqlite.run(|connection| {
        let transaction = connection.transaction()?;
        transaction.execute_batch("create table orders (id integer primary key, dish text)")?;
        for dish in ["soup", "fish", "cake"] {
            transaction.execute("insert into orders (dish) values (?1)", [dish])?;
        }
        transaction.commit()?;
        connection.query_row("select group_concat(dish, ', ') from orders", [], |row| {
            row.get::<_, String>(0)
        })
    });
    println!("the orders are {}", dishes.await?);

    // A long statement, while a task of the loop ticks.
    let seen = Rc::new(Cell::new((0, Duration::ZERO)));
    let ticking = headwaiter::spawn(tick(Rc::clone(&seen)));
    let start = Instant::now();
    let counted = sqlite
        .run(|connection| connection.query_row(COUNT, [1_000_000], |row| row.get::<_, i64>(0)));
    let counted = counted.await?;
    ticking.abort();
    let (count, gap) = seen.get();
    println!(
        "SQLite counted to {counted} in {:.0?}, and the loop went on: {count} ticks, at most {gap:.0?} apart",
        start.elapsed()
    );

    // Three ways to fail. The database is usable after each.
    let failed = sqlite
        .run(|connection| connection.execute("insert into no_such_table values (1)", []))
        .await;
    report("a wrong statement", failed, &sqlite).await?;
    let failed = sqlite.run(|_| -> rusqlite::Result<()> { panic!("the soup is hot") }).await;
    report("a panic in a job", failed, &sqlite).await?;
    let endless = sqlite
        .run(|connection| connection.query_row(COUNT, [i64::MAX], |row| row.get::<_, i64>(0)));
    let limit = Duration::from_millis(100);
    match timeout(limit, endless).await {
        Ok(result) => report("an endless statement", result, &sqlite).await?,
        Err(_) => {
            report(
                "an endless statement",
                Err::<(), _>(format!("interrupted after {limit:?}")),
                &sqlite,
            )
            .await?;
        }
    }
    sqlite.close().await
}

/// A database. Dropping it removes all its files, also after Ctrl-C.
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = self.0.clone().into_os_string();
            name.push(suffix);
            let _ = fs::remove_file(name); // SQLite removes the last two when it closes the database.
        }
    }
}

/// Counts the ticks, and records the longest time between two of them.
async fn tick(seen: Rc<Cell<(u32, Duration)>>) {
    let mut ticks = interval(Duration::from_millis(10));
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let (count, gap) = seen.get();
        seen.set((count + 1, gap.max(last.elapsed())));
        last = Instant::now();
    }
}

async fn report<T>(
    what: &str,
    result: Result<T, impl Display>,
    sqlite: &Sqlite,
) -> Result<(), Error> {
    let told = result.map_or_else(|error| error.to_string(), |_| "no error".to_owned());
    let left = sqlite.run(|connection| {
        connection.query_row("select count(*) from orders", [], |row| row.get(0))
    });
    let left: i64 = left.await?;
    println!("{what}: {told}; afterwards there are {left} orders");
    Ok(())
}
