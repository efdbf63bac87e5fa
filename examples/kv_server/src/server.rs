//! The state that all clients share. There is one thread, so nothing is locked: a `RefCell` is
//! borrowed between two `.await`s, never across one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::db::Db;
use crate::pubsub::{Mailbox, PubSub};

/// The maximum number of bytes per read.
const INPUT: usize = 64 << 10;

/// The settings from the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub address: String,
    /// The maximum number of connected clients.
    pub max_clients: usize,
    /// A client that is silent for this long is disconnected. Zero means never.
    pub idle: Duration,
    /// The maximum number of bytes of messages that may wait for a subscriber.
    pub mailbox: usize,
    /// The memory limit for keys and values. Zero means no limit.
    pub max_memory: usize,
    /// How long clients have to finish after Ctrl-C.
    pub grace: Duration,
}

pub struct Server {
    pub config: Config,
    pub db: RefCell<Db>,
    pub pubsub: RefCell<PubSub>,
    pub buffers: RefCell<Buffers>,
    /// The connected clients.
    pub mailboxes: RefCell<BTreeMap<u64, Rc<Mailbox>>>,
    /// Set after Ctrl-C.
    pub closing: Cell<bool>,
    /// The number of clients so far.
    pub connections: Cell<u64>,
    /// The number of commands so far.
    pub commands: Cell<u64>,
}

/// The buffers for reading and writing. A client uses them while its task runs. It has buffers of
/// its own only while it waits in the middle of a command or for its peer to read. So 10,000 idle
/// clients need no buffers.
pub struct Buffers {
    pub input: Box<[u8]>,
    pub output: Vec<u8>,
}

impl Server {
    pub fn new(config: Config) -> Server {
        Server {
            config,
            db: RefCell::new(Db::new()),
            pubsub: RefCell::default(),
            buffers: RefCell::new(Buffers { input: vec![0; INPUT].into(), output: Vec::new() }),
            mailboxes: RefCell::default(),
            closing: Cell::new(false),
            connections: Cell::new(0),
            commands: Cell::new(0),
        }
    }

    /// Asks all clients to end. Clients that wait for their next command end immediately.
    pub fn close(&self) {
        self.closing.set(true);
        self.mailboxes.borrow().values().for_each(|mailbox| mailbox.wake());
    }
}
