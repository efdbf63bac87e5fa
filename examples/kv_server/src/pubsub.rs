//! Channels and their subscribers, and the mailboxes in which messages wait until the client's task
//! sends them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use headwaiter::sync::Notify;

use crate::glob;
use crate::reply::Reply;

/// A client's mailbox: other tasks put messages into it and wake the client's task.
pub struct Mailbox {
    pub id: u64,
    /// Which version of the protocol the client speaks.
    pub resp3: Cell<bool>,
    bytes: RefCell<Vec<u8>>,
    /// If more bytes than this are waiting, the client does not read, and is disconnected.
    limit: usize,
    overflowed: Cell<bool>,
    changed: Notify,
}

impl Mailbox {
    pub fn new(id: u64, limit: usize) -> Mailbox {
        Mailbox {
            id,
            resp3: Cell::new(false),
            bytes: RefCell::default(),
            limit,
            overflowed: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// Adds a message, encoded for version 2.
    fn put(&self, message: &[u8]) {
        let mut bytes = self.bytes.borrow_mut();
        if self.overflowed.get() {
            return;
        }
        if bytes.len() + message.len() > self.limit {
            self.overflowed.set(true);
            *bytes = Vec::new();
        } else {
            // In version 3 a message has another first byte than an array.
            bytes.push(if self.resp3.get() { b'>' } else { b'*' });
            bytes.extend_from_slice(&message[1..]);
        }
        self.wake();
    }

    /// Moves all messages to the output.
    pub fn empty_into(&self, output: &mut Vec<u8>) {
        let mut bytes = self.bytes.borrow_mut();
        output.extend_from_slice(&bytes);
        bytes.clear();
        bytes.shrink_to(4096); // Most mailboxes are empty most of the time.
    }

    /// Set when the limit was exceeded.
    pub fn has_overflowed(&self) -> bool {
        self.overflowed.get()
    }

    /// Wakes the client's task.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits for [`wake`](Self::wake) or a message. A wake between two calls is not lost.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

type Subscribers = BTreeMap<u64, Rc<Mailbox>>;

/// All subscriptions: to channels, or to all channels whose name matches a pattern.
#[derive(Default)]
pub struct PubSub {
    channels: HashMap<Rc<[u8]>, Subscribers>,
    patterns: HashMap<Rc<[u8]>, Subscribers>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Channel,
    Pattern,
}

impl PubSub {
    fn of(&mut self, kind: Kind) -> &mut HashMap<Rc<[u8]>, Subscribers> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }

    pub fn subscribe(&mut self, kind: Kind, name: Rc<[u8]>, mailbox: &Rc<Mailbox>) {
        self.of(kind).entry(name).or_default().insert(mailbox.id, Rc::clone(mailbox));
    }

    /// A channel without subscribers leaves nothing behind.
    pub fn unsubscribe(&mut self, kind: Kind, name: &[u8], id: u64) {
        let subscriptions = self.of(kind);
        if let Some(subscribers) = subscriptions.get_mut(name) {
            subscribers.remove(&id);
            if subscribers.is_empty() {
                subscriptions.remove(name);
            }
        }
    }

    /// Adds a message to the mailboxes of all subscribers. Returns how many times: a client that is
    /// subscribed to the channel and to a matching pattern counts twice.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let (mut receivers, mut encoded) = (0, Vec::new());
        let mut deliver = |parts: &[&[u8]], subscribers: &Subscribers| {
            encoded.clear();
            let mut reply = Reply { bytes: &mut encoded, resp3: false };
            reply.push(parts.len());
            parts.iter().for_each(|part| reply.bulk(part));
            subscribers.values().for_each(|mailbox| mailbox.put(&encoded));
            receivers += subscribers.len();
        };
        if let Some(subscribers) = self.channels.get(channel) {
            deliver(&[b"message", channel, message], subscribers);
        }
        for (pattern, subscribers) in &self.patterns {
            if glob::matches(pattern, channel) {
                deliver(&[b"pmessage", pattern, channel, message], subscribers);
            }
        }
        receivers
    }

    /// The number of channels and patterns.
    pub fn len(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(id: u64) -> Rc<Mailbox> {
        Rc::new(Mailbox::new(id, 100))
    }

    fn mail(mailbox: &Mailbox) -> String {
        let mut bytes = Vec::new();
        mailbox.empty_into(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_message_goes_to_the_channel_and_to_the_patterns_that_match_it() {
        let (mut pubsub, anna, ben) = (PubSub::default(), mailbox(1), mailbox(2));
        pubsub.subscribe(Kind::Channel, b"soup".as_slice().into(), &anna);
        pubsub.subscribe(Kind::Pattern, b"s*".as_slice().into(), &ben);
        ben.resp3.set(true);
        assert_eq!(pubsub.publish(b"soup", b"hot"), 2);
        assert_eq!(pubsub.publish(b"salad", b"cold"), 1);
        assert_eq!(pubsub.publish(b"cake", b"sweet"), 0);
        assert_eq!(mail(&anna), "*3\r\n$7\r\nmessage\r\n$4\r\nsoup\r\n$3\r\nhot\r\n");
        let to_ben = mail(&ben);
        assert!(
            to_ben.starts_with(
                ">4\r\n$8\r\npmessage\r\n$2\r\ns*\r\n$4\r\nsoup\r\n$3\r\nhot\r\n>4\r\n"
            ),
            "{to_ben}"
        );

        pubsub.unsubscribe(Kind::Channel, b"soup", anna.id);
        pubsub.unsubscribe(Kind::Pattern, b"s*", ben.id);
        assert_eq!((pubsub.publish(b"soup", b"hot"), pubsub.len()), (0, (0, 0)));
    }

    #[test]
    fn a_mailbox_that_is_not_emptied_holds_no_more_than_it_may() {
        let (mut pubsub, anna) = (PubSub::default(), mailbox(1));
        pubsub.subscribe(Kind::Channel, b"soup".as_slice().into(), &anna);
        pubsub.publish(b"soup", &[b'x'; 50]);
        assert!(!anna.has_overflowed());
        pubsub.publish(b"soup", &[b'x'; 50]);
        pubsub.publish(b"soup", b"x");
        assert!(anna.has_overflowed());
        assert_eq!(mail(&anna), "");
    }
}
