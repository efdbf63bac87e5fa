//! Commands for keys and their values.

use super::{Context, Outcome, Refusal, Then, number, syntax_error, wrong_number};
use crate::db::{AddError, Millis};
use crate::glob;
use crate::resp::Args;

/// The maximum number of bytes of values in one reply. Otherwise one short MGET could ask for
/// terabytes by naming a large value a million times.
const MAX_REPLY: usize = 256 << 20;

pub(super) fn get(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    match context.db.get(&args[1]) {
        Some(value) => context.reply.bulk(value),
        None => context.reply.null(),
    }
    Ok(Then::GoOn)
}

/// `SET key value [NX | XX] [EX seconds | PX milliseconds]`
pub(super) fn set(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (mut only_if, mut lifetime) = (None, None);
    let mut options = args.skip(3).iter();
    while let Some(option) = options.next() {
        let unit = match option.to_ascii_uppercase().as_slice() {
            b"NX" if only_if != Some(true) => {
                only_if = Some(false);
                continue;
            }
            b"XX" if only_if != Some(false) => {
                only_if = Some(true);
                continue;
            }
            b"EX" => 1000,
            b"PX" => 1,
            _ => return Err(syntax_error()),
        };
        let time = options.next().ok_or_else(syntax_error)?;
        if lifetime.is_some_and(|(_, before)| before != unit) {
            return Err(syntax_error()); // Not both.
        }
        lifetime = Some((time, unit));
    }
    let deadline = match lifetime {
        Some((lifetime, unit)) => Some(deadline(context, lifetime, unit, "set")?),
        None => None,
    };
    if only_if.is_some_and(|there| there != context.db.contains(&args[1])) {
        context.reply.null();
    } else {
        context.db.set(&args[1], &args[2], deadline);
        context.reply.ok();
    }
    Ok(Then::GoOn)
}

/// Returns the deadline after this many units of `unit` milliseconds.
fn deadline(
    context: &Context<'_>,
    lifetime: &[u8],
    unit: i64,
    command: &str,
) -> Result<Millis, Refusal> {
    let lifetime = number(lifetime)?;
    let deadline =
        lifetime.checked_mul(unit).and_then(|millis| millis.checked_add(context.db.now()));
    // SET must not create a key that has expired already; EXPIRE may remove one immediately.
    let deadline = deadline.filter(|_| lifetime > 0 || command != "set");
    deadline.ok_or_else(|| Refusal::from(format!("ERR invalid expire time in '{command}' command")))
}

pub(super) fn del(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let removed = args.skip(1).iter().filter(|key| context.db.remove(key)).count();
    context.reply.integer(removed as i64);
    Ok(Then::GoOn)
}

pub(super) fn exists(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let there = args.skip(1).iter().filter(|key| context.db.contains(key)).count();
    context.reply.integer(there as i64);
    Ok(Then::GoOn)
}

pub(super) fn incr(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(context, &args[1], 1)
}

pub(super) fn decr(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(context, &args[1], -1)
}

pub(super) fn incrby(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(context, &args[1], number(&args[2])?)
}

pub(super) fn decrby(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let by = number(&args[2])?;
    add(context, &args[1], by.checked_neg().ok_or(Refusal::new("ERR decrement would overflow"))?)
}

fn add(context: &mut Context<'_>, key: &[u8], by: i64) -> Outcome {
    let sum = context.db.add(key, by).map_err(|error| match error {
        AddError::NotAnInteger => Refusal::new("ERR value is not an integer or out of range"),
        AddError::Overflow => Refusal::new("ERR increment or decrement would overflow"),
    })?;
    context.reply.integer(sum);
    Ok(Then::GoOn)
}

pub(super) fn expire(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    expire_in(context, args, 1000, "expire")
}

pub(super) fn pexpire(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    expire_in(context, args, 1, "pexpire")
}

fn expire_in(context: &mut Context<'_>, args: Args<'_>, unit: i64, command: &str) -> Outcome {
    if let Some(option) = args.skip(3).iter().next() {
        return Err(Refusal([b"ERR Unsupported option ", option].concat().into()));
    }
    let deadline = deadline(context, &args[2], unit, command)?;
    let there = context.db.expire(&args[1], deadline);
    context.reply.integer(there.into());
    Ok(Then::GoOn)
}

pub(super) fn ttl(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let left = time_left(context, &args[1]);
    context.reply.integer(if left < 0 { left } else { left.saturating_add(500) / 1000 });
    Ok(Then::GoOn)
}

pub(super) fn pttl(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let left = time_left(context, &args[1]);
    context.reply.integer(left);
    Ok(Then::GoOn)
}

/// Returns milliseconds, -1 if the key does not expire, or -2 if it does not exist.
fn time_left(context: &mut Context<'_>, key: &[u8]) -> i64 {
    match context.db.deadline(key) {
        Some(Some(deadline)) => deadline - context.db.now(),
        Some(None) => -1,
        None => -2,
    }
}

pub(super) fn mget(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let keys = args.skip(1);
    if keys.iter().map(|key| context.db.get(key).map_or(0, <[u8]>::len)).sum::<usize>() > MAX_REPLY
    {
        return Err(Refusal::from(format!(
            "ERR the values are larger than {MAX_REPLY} bytes: ask for fewer at once"
        )));
    }
    context.reply.array(keys.len());
    for key in keys.iter() {
        match context.db.get(key) {
            Some(value) => context.reply.bulk(value),
            None => context.reply.null(),
        }
    }
    Ok(Then::GoOn)
}

pub(super) fn mset(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(wrong_number("mset"));
    }
    let mut rest = args.skip(1).iter();
    while let (Some(key), Some(value)) = (rest.next(), rest.next()) {
        context.db.set(key, value, None);
    }
    context.reply.ok();
    Ok(Then::GoOn)
}

pub(super) fn keys(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let found: Vec<_> = context.db.keys().filter(|key| glob::matches(&args[1], key)).collect();
    context.reply.array(found.len());
    found.iter().for_each(|key| context.reply.bulk(key));
    Ok(Then::GoOn)
}

pub(super) fn dbsize(context: &mut Context<'_>, _: Args<'_>) -> Outcome {
    context.reply.integer(context.db.len() as i64);
    Ok(Then::GoOn)
}

/// `FLUSHDB [ASYNC | SYNC]`: always synchronous.
pub(super) fn flush(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let how = args.skip(1).iter().next();
    if args.len() > 2
        || how.is_some_and(|how| {
            !how.eq_ignore_ascii_case(b"sync") && !how.eq_ignore_ascii_case(b"async")
        })
    {
        return Err(syntax_error());
    }
    context.db.clear();
    context.reply.ok();
    Ok(Then::GoOn)
}
