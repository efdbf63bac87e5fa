//! The commands: their table, and the checks before a command runs. The functions that run them are
//! in the modules below.

mod channels;
mod connection;
mod keys;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::db::Db;
use crate::pubsub::{Kind, Mailbox, PubSub};
use crate::reply::Reply;
use crate::resp::{Args, integer};
use crate::server::Server;

/// The arguments and the state that a command works on.
pub struct Context<'a> {
    pub server: &'a Server,
    pub db: &'a mut Db,
    pub session: &'a mut Session,
    pub reply: Reply<'a>,
}

/// The data of a client besides its connection.
pub struct Session {
    pub mailbox: Rc<Mailbox>,
    name: Vec<u8>,
    channels: BTreeSet<Rc<[u8]>>,
    patterns: BTreeSet<Rc<[u8]>>,
}

/// What to do after a command.
#[derive(PartialEq)]
pub enum Then {
    GoOn,
    Quit,
}

/// Why a command is not run. The text begins with the kind of the error, in capitals.
struct Refusal(Cow<'static, [u8]>);

type Outcome = Result<Then, Refusal>;

struct Command {
    name: &'static str,
    /// The number of arguments, including the name. If negative, the minimum.
    arity: i64,
    /// Which arguments are keys: the first, the last (-1 for the last argument), and the distance
    /// between two.
    keys: (i64, i64, i64),
    /// Whether it may allocate memory, and is refused at the memory limit.
    grows: bool,
    run: fn(&mut Context<'_>, Args<'_>) -> Outcome,
}

const fn command(
    name: &'static str,
    arity: i64,
    keys: (i64, i64, i64),
    run: fn(&mut Context<'_>, Args<'_>) -> Outcome,
) -> Command {
    Command { name, arity, keys, grows: false, run }
}

impl Command {
    const fn growing(self) -> Command {
        Command { grows: true, ..self }
    }
}

const NONE: (i64, i64, i64) = (0, 0, 0);
const ONE: (i64, i64, i64) = (1, 1, 1);
const ALL: (i64, i64, i64) = (1, -1, 1);

/// Searched from the start, so the most frequent commands come first.
static COMMANDS: [Command; 33] = [
    command("get", 2, ONE, keys::get),
    command("set", -3, ONE, keys::set).growing(),
    command("del", -2, ALL, keys::del),
    command("exists", -2, ALL, keys::exists),
    command("incr", 2, ONE, keys::incr).growing(),
    command("decr", 2, ONE, keys::decr).growing(),
    command("incrby", 3, ONE, keys::incrby).growing(),
    command("decrby", 3, ONE, keys::decrby).growing(),
    command("expire", -3, ONE, keys::expire),
    command("pexpire", -3, ONE, keys::pexpire),
    command("ttl", 2, ONE, keys::ttl),
    command("pttl", 2, ONE, keys::pttl),
    command("mget", -2, ALL, keys::mget),
    command("mset", -3, (1, -1, 2), keys::mset).growing(),
    command("keys", 2, NONE, keys::keys),
    command("dbsize", 1, NONE, keys::dbsize),
    command("flushdb", -1, NONE, keys::flush),
    command("flushall", -1, NONE, keys::flush),
    command("publish", 3, NONE, channels::publish),
    command("subscribe", -2, NONE, channels::subscribe),
    command("unsubscribe", -1, NONE, channels::unsubscribe),
    command("psubscribe", -2, NONE, channels::psubscribe),
    command("punsubscribe", -1, NONE, channels::punsubscribe),
    command("ping", -1, NONE, connection::ping),
    command("echo", 2, NONE, connection::echo),
    command("select", 2, NONE, connection::select),
    command("hello", -1, NONE, connection::hello),
    command("auth", -2, NONE, connection::auth),
    command("client", -2, NONE, connection::client),
    command("config", -2, NONE, connection::config),
    command("command", -1, NONE, connection::command),
    command("info", -1, NONE, connection::info),
    command("quit", -1, NONE, connection::quit),
];

/// Runs a command, and writes its reply.
pub fn execute(context: &mut Context<'_>, args: Args<'_>) -> Then {
    let commands = &context.server.commands;
    commands.set(commands.get() + 1);
    check(context, args).and_then(|command| (command.run)(context, args)).unwrap_or_else(
        |Refusal(text)| {
            context.reply.error(&text);
            Then::GoOn
        },
    )
}

fn check(context: &Context<'_>, args: Args<'_>) -> Result<&'static Command, Refusal> {
    let Some(command) = find(&args[0]) else { return Err(unknown(args)) };
    let count = args.len() as i64;
    let fits = if command.arity < 0 { count >= -command.arity } else { count == command.arity };
    if !fits {
        return Err(wrong_number(command.name));
    }
    let max_memory = context.server.config.max_memory;
    if command.grows && max_memory != 0 && context.db.used() > max_memory {
        return Err(Refusal::new("OOM command not allowed when used memory > 'maxmemory'."));
    }
    // In version 2, a subscriber could not distinguish messages from replies.
    if context.session.is_subscribed()
        && !context.reply.resp3
        && !matches!(
            command.name,
            "ping" | "quit" | "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe"
        )
    {
        return Err(Refusal::from(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            command.name
        )));
    }
    Ok(command)
}

fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

fn unknown(args: Args<'_>) -> Refusal {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(shortened(&args[0]));
    text.extend_from_slice(b"', with args beginning with: ");
    let beginning = text.len();
    for arg in args.iter().skip(1) {
        let room = 128_usize.saturating_sub(text.len() - beginning);
        if room == 0 {
            break;
        }
        let arg = shortened(arg);
        text.extend_from_slice(&[b"'", &arg[..arg.len().min(room)], b"' "].concat());
    }
    Refusal(text.into())
}

/// The part of a name that an error quotes. A NUL ends it, as in all errors of Redis.
fn shortened(text: &[u8]) -> &[u8] {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    &text[..text.len().min(128)]
}

fn wrong_number(of: &str) -> Refusal {
    Refusal::from(format!("ERR wrong number of arguments for '{of}' command"))
}

fn unknown_subcommand(command: &str, name: &[u8]) -> Refusal {
    let help = format!("'. Try {} HELP.", command.to_ascii_uppercase());
    Refusal([b"ERR unknown subcommand '", shortened(name), help.as_bytes()].concat().into())
}

fn number(arg: &[u8]) -> Result<i64, Refusal> {
    integer(arg).ok_or(Refusal::new("ERR value is not an integer or out of range"))
}

fn syntax_error() -> Refusal {
    Refusal::new("ERR syntax error")
}

impl Refusal {
    fn new(text: &'static str) -> Refusal {
        Refusal(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Refusal {
        Refusal(Cow::Owned(text.into_bytes()))
    }
}

impl Session {
    pub fn new(mailbox: Rc<Mailbox>) -> Session {
        Session { mailbox, name: Vec::new(), channels: BTreeSet::new(), patterns: BTreeSet::new() }
    }

    fn subscriptions(&mut self, kind: Kind) -> &mut BTreeSet<Rc<[u8]>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    fn subscription_count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    pub fn is_subscribed(&self) -> bool {
        self.subscription_count() > 0
    }

    pub fn unsubscribe_from_all(&mut self, pubsub: &mut PubSub) {
        for kind in [Kind::Channel, Kind::Pattern] {
            for name in std::mem::take(self.subscriptions(kind)) {
                pubsub.unsubscribe(kind, &name, self.mailbox.id);
            }
        }
    }
}
