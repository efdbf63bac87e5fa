//! Commands for the connection and the server: greetings and queries that clients send first.

use std::process;

use super::{COMMANDS, Command, Context, Outcome, Refusal, Then};
use super::{find, number, shortened, unknown_subcommand, wrong_number};
use crate::glob;
use crate::resp::{Args, MAX_ARGUMENT, integer};

/// The version of Redis that these commands and errors follow. Clients ask for it.
const REDIS_VERSION: &str = "7.0.0";

pub(super) fn ping(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 2 {
        return Err(wrong_number("ping"));
    }
    let text = args.skip(1).iter().next();
    if context.session.is_subscribed() && !context.reply.resp3 {
        // In a stream of messages, it looks like a message.
        context.reply.array(2);
        context.reply.bulk(b"pong");
        context.reply.bulk(text.unwrap_or_default());
    } else {
        match text {
            Some(text) => context.reply.bulk(text),
            None => context.reply.simple("PONG"),
        }
    }
    Ok(Then::GoOn)
}

pub(super) fn echo(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    context.reply.bulk(&args[1]);
    Ok(Then::GoOn)
}

pub(super) fn quit(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    context.reply.ok();
    Ok(Then::Quit)
}

/// There is one database.
pub(super) fn select(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if number(&args[1])? != 0 {
        return Err(Refusal::new("ERR DB index is out of range"));
    }
    context.reply.ok();
    Ok(Then::GoOn)
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`
pub(super) fn hello(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let mut rest = args.skip(1).iter();
    let mut resp3 = context.reply.resp3;
    if let Some(version) = rest.next() {
        let version = integer(version);
        let version = version
            .ok_or(Refusal::new("ERR Protocol version is not an integer or out of range"))?;
        resp3 = match version {
            2 => false,
            3 => true,
            _ => return Err(Refusal::new("NOPROTO unsupported protocol version")),
        };
    }
    let mut name = None;
    while let Some(option) = rest.next() {
        match (option.to_ascii_uppercase().as_slice(), rest.next()) {
            (b"AUTH", Some(user)) if rest.next().is_some() => authenticate(user)?,
            (b"SETNAME", Some(new)) => name = Some(valid_name(new)?),
            _ => {
                return Err(Refusal(
                    [b"ERR Syntax error in HELLO option '", shortened(option), b"'"]
                        .concat()
                        .into(),
                ));
            }
        }
    }
    if let Some(name) = name {
        context.session.name = name.to_vec();
    }
    context.reply.resp3 = resp3;
    context.session.mailbox.resp3.set(resp3);

    let (reply, id) = (&mut context.reply, context.session.mailbox.id);
    reply.map(7);
    for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    for (key, value) in [("proto", if resp3 { 3 } else { 2 }), ("id", id as i64)] {
        reply.bulk(key.as_bytes());
        reply.integer(value);
    }
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(Then::GoOn)
}

/// `AUTH [user] password`
pub(super) fn auth(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    match args.len() {
        2 => {
            return Err(Refusal::new(concat!(
                "ERR AUTH <password> called without any password configured for the default user. ",
                "Are you sure your configuration is correct?"
            )));
        }
        3 => authenticate(&args[1])?,
        _ => return Err(super::syntax_error()),
    }
    context.reply.ok();
    Ok(Then::GoOn)
}

/// There are no passwords. As in Redis, the default user can then use any password.
fn authenticate(user: &[u8]) -> Result<(), Refusal> {
    match user {
        b"default" => Ok(()),
        _ => Err(Refusal::new("WRONGPASS invalid username-password pair or user is disabled.")),
    }
}

fn valid_name(name: &[u8]) -> Result<&[u8], Refusal> {
    match name.iter().all(u8::is_ascii_graphic) {
        true => Ok(name),
        false => Err(Refusal::new(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        )),
    }
}

/// `CLIENT ID | GETNAME | SETNAME name | SETINFO what value`
pub(super) fn client(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let reply = &mut context.reply;
    match (args[1].to_ascii_lowercase().as_slice(), args.len()) {
        (b"id", 2) => reply.integer(context.session.mailbox.id as i64),
        (b"getname", 2) if context.session.name.is_empty() => reply.null(),
        (b"getname", 2) => reply.bulk(&context.session.name),
        (b"setname", 3) => {
            context.session.name = valid_name(&args[2])?.to_vec();
            reply.ok();
        }
        // Libraries send their name and version.
        (b"setinfo", 4) => reply.ok(),
        (b"id", _) => return Err(wrong_number("client|id")),
        (b"getname", _) => return Err(wrong_number("client|getname")),
        (b"setname", _) => return Err(wrong_number("client|setname")),
        (b"setinfo", _) => return Err(wrong_number("client|setinfo")),
        _ => return Err(unknown_subcommand("client", &args[1])),
    }
    Ok(Then::GoOn)
}

/// `CONFIG GET pattern...`. redis-benchmark asks whether the server saves to disk.
pub(super) fn config(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if !args[1].eq_ignore_ascii_case(b"get") {
        return Err(unknown_subcommand("config", &args[1]));
    }
    if args.len() < 3 {
        return Err(wrong_number("config|get"));
    }
    let config = &context.server.config;
    let all = [
        ("appendonly", "no".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", config.max_clients.to_string()),
        ("maxmemory", config.max_memory.to_string()),
        ("proto-max-bulk-len", MAX_ARGUMENT.to_string()),
        ("save", String::new()),
        ("timeout", config.idle.as_secs().to_string()),
    ];
    let asked = |name: &str| {
        args.skip(2)
            .iter()
            .any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found: Vec<_> = all.iter().filter(|(name, _)| asked(name)).collect();
    context.reply.map(found.len());
    for (name, value) in found {
        context.reply.bulk(name.as_bytes());
        context.reply.bulk(value.as_bytes());
    }
    Ok(Then::GoOn)
}

/// `COMMAND [COUNT | DOCS name... | INFO name...]`. The documentation is empty.
pub(super) fn command(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let reply = &mut context.reply;
    if args.len() == 1 {
        reply.array(COMMANDS.len());
        COMMANDS.iter().for_each(|command| describe(context, command));
        return Ok(Then::GoOn);
    }
    match args[1].to_ascii_lowercase().as_slice() {
        b"count" if args.len() == 2 => reply.integer(COMMANDS.len() as i64),
        b"count" => return Err(wrong_number("command|count")),
        b"docs" => reply.map(0),
        b"info" => {
            reply.array(args.len() - 2);
            for name in args.skip(2).iter() {
                match find(name) {
                    Some(command) => describe(context, command),
                    None => context.reply.null(),
                }
            }
        }
        _ => return Err(unknown_subcommand("command", &args[1])),
    }
    Ok(Then::GoOn)
}

fn describe(context: &mut Context<'_>, command: &Command) {
    let reply = &mut context.reply;
    reply.array(6);
    reply.bulk(command.name.as_bytes());
    reply.integer(command.arity);
    reply.array(0); // Flags.
    let (first, last, step) = command.keys;
    for number in [first, last, step] {
        reply.integer(number);
    }
}

/// `INFO [section...]`
pub(super) fn info(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (server, db) = (context.server, &context.db);
    let (channels, patterns) = server.pubsub.borrow().len();
    let keyspace = match db.len() {
        0 => String::new(),
        keys => format!("db0:keys={keys},expires={},avg_ttl=0\r\n", db.expiring()),
    };
    let sections = [
        (
            "Server",
            format!(
                "redis_version:{REDIS_VERSION}\r\nkv_server_version:{}\r\nprocess_id:{}\r\nuptime_in_seconds:{}\r\n",
                env!("CARGO_PKG_VERSION"),
                process::id(),
                db.uptime().as_secs(),
            ),
        ),
        (
            "Clients",
            format!(
                "connected_clients:{}\r\nmaxclients:{}\r\n",
                server.mailboxes.borrow().len(),
                server.config.max_clients
            ),
        ),
        (
            "Memory",
            format!("used_memory:{}\r\nmaxmemory:{}\r\n", db.used(), server.config.max_memory),
        ),
        (
            "Stats",
            format!(
                "total_connections_received:{}\r\ntotal_commands_processed:{}\r\nexpired_keys:{}\r\n\
                 pubsub_channels:{channels}\r\npubsub_patterns:{patterns}\r\n",
                server.connections.get(),
                server.commands.get(),
                db.expired(),
            ),
        ),
        ("Keyspace", keyspace),
    ];
    let is_asked = |section: &str| {
        let is = |arg: &[u8]| {
            arg.eq_ignore_ascii_case(section.as_bytes())
                || [&b"all"[..], b"default", b"everything"]
                    .iter()
                    .any(|all| arg.eq_ignore_ascii_case(all))
        };
        args.len() == 1 || args.skip(1).iter().any(is)
    };
    let asked = sections.iter().filter(|(name, _)| is_asked(name));
    let text: Vec<_> = asked.map(|(name, lines)| format!("# {name}\r\n{lines}")).collect();
    context.reply.verbatim(&text.join("\r\n"));
    Ok(Then::GoOn)
}
