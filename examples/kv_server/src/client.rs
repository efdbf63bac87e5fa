//! One client: reads its commands, runs them, and sends the replies. Commands that arrive together
//! run together, and their replies are sent together (pipelining).

use std::future::{Future, poll_fn};
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll, ready};
use std::time::Duration;
use std::{fmt, io, mem};

use futures_lite::AsyncRead;
use futures_lite::future::or;
use headwaiter::net::TcpStream;
use headwaiter::task::yield_now;
use headwaiter::time::timeout;

use crate::commands::{Context, Session, Then, execute};
use crate::pubsub::Mailbox;
use crate::reply::Reply;
use crate::resp::{Parser, ProtocolError};
use crate::server::{Buffers, Server};

/// When replies reach this size, they are sent before more commands run. This limits the memory for
/// a client that asks for many large values.
const HIGH_WATER: usize = 256 << 10;

/// How long a client that violated the protocol has to read the error.
const LINGER: Duration = Duration::from_secs(1);

pub struct Client {
    stream: TcpStream,
    server: Rc<Server>,
    session: Session,
    parser: Parser,
    /// Received bytes that were not run yet: the start of a command, or commands that wait until
    /// earlier replies are sent.
    pending: Vec<u8>,
    /// Whether `pending` may contain a complete command.
    has_more: bool,
    /// Replies and messages that the socket did not accept immediately, and how many of their bytes
    /// it has accepted since.
    unsent: Vec<u8>,
    sent: usize,
    /// Set if the connection must be closed after all replies are sent.
    end: Option<End>,
}

/// Why a connection is closed.
#[derive(Debug)]
pub enum End {
    /// The client has sent QUIT or EOF.
    Left,
    /// Ctrl-C was pressed.
    Closing,
    Silent(Duration),
    SlowReader(usize),
    Protocol(ProtocolError),
    Lost(io::Error),
}

impl Client {
    pub fn new(stream: TcpStream, id: u64, server: Rc<Server>) -> Client {
        let mailbox = Rc::new(Mailbox::new(id, server.config.mailbox));
        server.mailboxes.borrow_mut().insert(id, Rc::clone(&mailbox));
        Client {
            stream,
            server,
            session: Session::new(mailbox),
            parser: Parser::default(),
            pending: Vec::new(),
            has_more: false,
            unsent: Vec::new(),
            sent: 0,
            end: None,
        }
    }

    /// Serves the client until its connection ends.
    pub async fn serve(mut self) -> End {
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        if let End::Protocol(_) = end {
            let _ = timeout(LINGER, self.linger()).await;
        }
        end
    }

    async fn turn(&mut self) -> Result<(), End> {
        // Sends replies before it reads more: the server does not read from a client that does not
        // read its replies.
        self.send_rest().await?;
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        if self.has_more {
            yield_now().await; // The client sends a lot. Lets other clients run.
            return self.answer(&mut self.server.clone().buffers.borrow_mut(), 0);
        }
        if self.server.closing.get() && self.pending.is_empty() {
            return Err(End::Closing);
        }
        // A subscriber only listens, so it may be silent for ever.
        let limit =
            if self.session.is_subscribed() { Duration::ZERO } else { self.server.config.idle };
        let mailbox = Rc::clone(&self.session.mailbox);
        let mail = async {
            mailbox.changed().await;
            Ok(true)
        };
        let has_mail = within(limit, or(poll_fn(|cx| self.poll_read(cx)), mail)).await?;
        if has_mail {
            self.answer(&mut self.server.clone().buffers.borrow_mut(), 0)
        } else {
            Ok(())
        }
    }

    /// Reads, and runs the commands that have arrived, all in one poll, so that no other client
    /// uses the buffers in between.
    fn poll_read(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<bool, End>> {
        let server = Rc::clone(&self.server);
        let mut buffers = server.buffers.borrow_mut();
        let received = ready!(Pin::new(&mut &self.stream).poll_read(cx, &mut buffers.input))?;
        if received == 0 {
            return Poll::Ready(Err(End::Left));
        }
        Poll::Ready(self.answer(&mut buffers, received).map(|()| false))
    }

    /// Runs all complete commands, and sends the replies and waiting messages as far as the socket
    /// accepts them.
    fn answer(&mut self, buffers: &mut Buffers, received: usize) -> Result<(), End> {
        let Buffers { input, output } = buffers;
        // The buffer is not empty if the previous client failed while its replies were sent.
        output.clear();
        if self.session.mailbox.has_overflowed() {
            return Err(End::SlowReader(self.server.config.mailbox));
        }
        self.session.mailbox.empty_into(output);
        if self.pending.is_empty() {
            let done = self.run(&input[..received], output);
            self.pending.extend_from_slice(&input[done..received]);
        } else {
            let mut pending = mem::take(&mut self.pending);
            pending.extend_from_slice(&input[..received]);
            let done = self.run(&pending, output);
            pending.drain(..done);
            if !pending.is_empty() {
                self.pending = pending;
            }
        }
        self.has_more |= received == input.len();
        self.send(output)
    }

    /// Runs commands, and returns how many bytes they were.
    fn run(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        let (server, mut done) = (&*self.server, 0);
        let reply = Reply { resp3: self.session.mailbox.resp3.get(), bytes: output };
        let db = &mut server.db.borrow_mut();
        let mut context = Context { server, db, session: &mut self.session, reply };
        self.has_more = false;
        while done < input.len() && self.end.is_none() {
            if context.reply.bytes.len() > HIGH_WATER {
                self.has_more = true;
                break;
            }
            match self.parser.parse(&input[done..]) {
                Ok(Some(length)) => {
                    let args = self.parser.args(&input[done..]);
                    if args.len() > 0 && execute(&mut context, args) == Then::Quit {
                        self.end = Some(End::Left);
                    }
                    done += length;
                }
                Ok(None) => break,
                Err(error) => {
                    context.reply.error(&[b"ERR Protocol error: ", &*error.0].concat());
                    self.end = Some(End::Protocol(error));
                }
            }
        }
        done
    }

    /// Sends what the socket accepts immediately, usually everything. The rest stays in `unsent`,
    /// together with the buffer.
    fn send(&mut self, output: &mut Vec<u8>) -> Result<(), End> {
        if output.is_empty() {
            return Ok(());
        }
        let sent = match self.stream.try_write(output) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error.into()),
        };
        if sent < output.len() {
            (self.unsent, self.sent) = (mem::take(output), sent);
        }
        output.clear();
        output.shrink_to(4 * HIGH_WATER);
        Ok(())
    }

    /// Sends what the socket did not accept immediately.
    async fn send_rest(&mut self) -> Result<(), End> {
        let Client { stream, server, session, unsent, sent, .. } = self;
        while *sent < unsent.len() {
            let write = async { Ok(stream.write(&unsent[*sent..]).await?) };
            let write = or(write, overflow(&session.mailbox, server.config.mailbox));
            *sent += within(server.config.idle, write).await?;
        }
        (*unsent, *sent) = (Vec::new(), 0);
        Ok(())
    }

    /// Waits until the client closes its side. If a socket is closed while there are bytes to read,
    /// the kernel discards what was not delivered yet, and the client would never learn what was
    /// wrong.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        while self.stream.read(&mut [0; 4096]).await? > 0 {}
        Ok(())
    }
}

/// Removes the client from all shared data.
impl Drop for Client {
    fn drop(&mut self) {
        self.session.unsubscribe_from_all(&mut self.server.pubsub.borrow_mut());
        self.server.mailboxes.borrow_mut().remove(&self.session.mailbox.id);
    }
}

/// Waits until the mailbox has overflowed.
async fn overflow<T>(mailbox: &Mailbox, limit: usize) -> Result<T, End> {
    while !mailbox.has_overflowed() {
        mailbox.changed().await;
    }
    Err(End::SlowReader(limit))
}

/// A `limit` of zero means no limit.
async fn within<T>(
    limit: Duration,
    future: impl Future<Output = Result<T, End>>,
) -> Result<T, End> {
    if limit.is_zero() {
        return future.await;
    }
    timeout(limit, future).await.unwrap_or(Err(End::Silent(limit)))
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Lost(error)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Left => f.write_str("left"),
            End::Closing => f.write_str("was idle when the server closed"),
            End::Silent(time) => {
                write!(f, "was dropped: it has sent and read nothing for {time:?}")
            }
            End::SlowReader(limit) => {
                write!(
                    f,
                    "was dropped: it does not read, and more than {limit} bytes of messages wait for it"
                )
            }
            End::Protocol(ProtocolError(what)) => {
                write!(f, "was dropped: what it sent is not RESP: {}", what.escape_ascii())
            }
            End::Lost(error) => write!(f, "failed: {error}"),
        }
    }
}
