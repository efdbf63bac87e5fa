//! The errors of connections and statements, sorted by what a program can do about them.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio_postgres::error::Severity;

#[derive(Debug)]
pub enum Error {
    /// The server does not run, or does not accept connections now. Another attempt may succeed.
    Unreachable(String),
    /// The server has refused the connection, for instance because of a wrong password. Another
    /// attempt would fail too.
    Refused(String),
    /// The connection failed. It is unknown whether the server has executed the statement in
    /// flight.
    Lost(String),
    /// A statement failed. The connection is usable.
    Statement(tokio_postgres::Error),
    /// The statement took longer than this, and was cancelled.
    TimedOut(Duration),
    /// All connections of the pool were in use or being opened.
    Busy { limit: u32, waited: Duration },
    /// The pool is closed.
    Closed,
}

impl Error {
    /// Converts an error of `connect`, which names the address.
    pub fn opening(error: io::Error) -> Error {
        let question = match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                " (is PostgreSQL running there?)"
            }
            _ => "",
        };
        Error::Unreachable(format!("cannot {error}{question}"))
    }

    /// Converts an error of the login.
    pub fn connecting(
        target: &impl fmt::Display,
        user: &str,
        error: &tokio_postgres::Error,
    ) -> Error {
        let told = format!("cannot connect to {target} as {user:?}: {}", in_full(error));
        let may_pass = match error.code() {
            // Classes of SQLSTATE: connection exception, insufficient resources, and operator
            // intervention, which includes a server that is starting up.
            Some(code) => ["08", "53", "57"].iter().any(|class| code.code().starts_with(class)),
            None => {
                error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>())
            }
        };
        if may_pass { Error::Unreachable(told) } else { Error::Refused(told) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable(told) | Error::Refused(told) => f.write_str(told),
            Error::Lost(told) => write!(f, "the connection is lost: {told}"),
            Error::Statement(error) => f.write_str(&in_full(error)),
            Error::TimedOut(limit) => write!(f, "no answer within {limit:?}"),
            Error::Busy { limit, waited } => {
                write!(f, "none of the {limit} connections of the pool was free within {waited:?}")
            }
            Error::Closed => f.write_str("the pool is closed"),
        }
    }
}

impl std::error::Error for Error {}

/// Whether the connection ends with this error.
pub fn is_fatal(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(error) => matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)),
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>()),
    }
}

/// Formats an error with its sources, because the `Display` of tokio-postgres's errors is "db
/// error" for everything that the server reports.
pub fn in_full(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let hint = error.hint().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
        return format!(
            "{}: {}{hint} [{}]",
            error.severity(),
            error.message(),
            error.code().code()
        );
    }
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told = format!("{told}: {error}");
        source = error.source();
    }
    told
}
