//! What can go wrong with a connection, told so that the program, and its reader, knows what to do.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio_postgres::error::Severity;

#[derive(Debug)]
pub enum Error {
    /// There is no server, or it takes no connections now. Another try may succeed.
    Unreachable(String),
    /// The server does not let us in, for instance because of a wrong password. Another try fails too.
    Refused(String),
    /// The connection broke. Whether the server has done what was asked of it last is not known.
    Lost(String),
    /// The server has answered a statement with an error, and the connection is fine.
    Statement(tokio_postgres::Error),
    /// There was no answer in time. The statement was cancelled.
    TimedOut(Duration),
    /// All connections of the pool were in use for so long.
    Busy { limit: u32, waited: Duration },
    /// The pool is closed.
    Closed,
}

impl Error {
    /// Why there is no stream to the server. The error names the address.
    pub fn opening(error: io::Error) -> Error {
        let question = match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => " (is PostgreSQL running there?)",
            _ => "",
        };
        Error::Unreachable(format!("cannot {error}{question}"))
    }

    /// Why the server does not take the connection.
    pub fn connecting(target: &impl fmt::Display, user: &str, error: &tokio_postgres::Error) -> Error {
        let told = format!("cannot connect to {target} as {user:?}: {}", in_full(error));
        let may_pass = match error.code() {
            // Classes of SQLSTATE: connection exceptions, no resources left, and the intervention of an operator, such
            // as a server that is starting up.
            Some(code) => ["08", "53", "57"].iter().any(|class| code.code().starts_with(class)),
            None => error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>()),
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
            Error::Busy { limit: 1, waited } => {
                write!(f, "the only connection of the pool was in use for {waited:?}")
            }
            Error::Busy { limit, waited } => {
                write!(f, "all {limit} connections of the pool were in use for {waited:?}")
            }
            Error::Closed => f.write_str("the pool is closed"),
        }
    }
}

impl std::error::Error for Error {}

/// Whether the server has closed the connection with this error.
pub fn is_fatal(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(error) => matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic)),
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>()),
    }
}

/// The `Display` of tokio-postgres's errors says "db error", and leaves the rest to the source.
pub fn in_full(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let hint = error.hint().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
        return format!("{}: {}{hint} [{}]", error.severity(), error.message(), error.code().code());
    }
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told = format!("{told}: {error}");
        source = error.source();
    }
    told
}
