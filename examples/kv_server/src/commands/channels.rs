//! PUBLISH, SUBSCRIBE and related commands.

use std::rc::Rc;

use super::{Context, Outcome, Then};
use crate::pubsub::Kind;
use crate::resp::Args;

pub(super) fn publish(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let receivers = context.server.pubsub.borrow().publish(&args[1], &args[2]);
    // The client itself may be a subscriber (version 3). It receives the message before the reply.
    context.session.mailbox.empty_into(context.reply.bytes);
    context.reply.integer(receivers as i64);
    Ok(Then::GoOn)
}

pub(super) fn subscribe(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    subscribe_to(context, args, Kind::Channel, "subscribe")
}

pub(super) fn psubscribe(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    subscribe_to(context, args, Kind::Pattern, "psubscribe")
}

pub(super) fn unsubscribe(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    unsubscribe_from(context, args, Kind::Channel, "unsubscribe")
}

pub(super) fn punsubscribe(context: &mut Context<'_>, args: Args<'_>) -> Outcome {
    unsubscribe_from(context, args, Kind::Pattern, "punsubscribe")
}

/// Confirms each channel with a separate message.
fn subscribe_to(context: &mut Context<'_>, args: Args<'_>, kind: Kind, what: &str) -> Outcome {
    for name in args.skip(1).iter() {
        if !context.session.subscriptions(kind).contains(name) {
            let name: Rc<[u8]> = name.into();
            context.session.subscriptions(kind).insert(Rc::clone(&name));
            context.server.pubsub.borrow_mut().subscribe(kind, name, &context.session.mailbox);
        }
        confirm(context, what, Some(name));
    }
    Ok(Then::GoOn)
}

/// Without names, unsubscribes from all.
fn unsubscribe_from(context: &mut Context<'_>, args: Args<'_>, kind: Kind, what: &str) -> Outcome {
    let names: Vec<Rc<[u8]>> = match args.len() {
        1 => context.session.subscriptions(kind).iter().cloned().collect(),
        _ => args.skip(1).iter().map(Rc::from).collect(),
    };
    for name in &names {
        context.session.subscriptions(kind).remove(name);
        context.server.pubsub.borrow_mut().unsubscribe(kind, name, context.session.mailbox.id);
        confirm(context, what, Some(name));
    }
    if names.is_empty() {
        confirm(context, what, None);
    }
    Ok(Then::GoOn)
}

fn confirm(context: &mut Context<'_>, what: &str, name: Option<&[u8]>) {
    let count = context.session.subscription_count();
    let reply = &mut context.reply;
    reply.push(3);
    reply.bulk(what.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}
