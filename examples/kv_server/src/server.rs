//! What all clients share. There is one thread, so nothing here is locked: a `RefCell` is borrowed between two awaits, never across one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::db::Db;
use crate::pubsub::{Mailbox, PubSub};

/// How much is read at once.
const INPUT: usize = 64 << 10;

/// From the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub address: String,
    /// How many clients are served at the same time.
    pub max_clients: usize,
    /// A client that is silent for so long is dropped. Zero: never.
    pub idle: Duration,
    /// How many bytes of messages may wait for a subscriber that does not read them.
    pub mailbox: usize,
    /// How much memory keys and values may take. Zero: no limit.
    pub max_memory: usize,
    /// How long clients have to finish after Ctrl-C.
    pub grace: Duration,
}

pub struct Server {
    pub config: Config,
    pub db: RefCell<Db>,
    pub pubsub: RefCell<PubSub>,
    pub buffers: RefCell<Buffers>,
    /// Of the clients that are connected.
    pub mailboxes: RefCell<BTreeMap<u64, Rc<Mailbox>>>,
    /// Set after Ctrl-C.
    pub closing: Cell<bool>,
    /// How many clients there have been.
    pub connections: Cell<u64>,
    /// How many commands have been run.
    pub commands: Cell<u64>,
}

/// The buffers for reading and writing. A client uses them while its task runs, and has bytes of its own only while it waits in the middle
/// of a command, or for the other side to read. So 10,000 idle clients need no buffers at all.
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

    /// Asks all clients to end. Those that wait for their next command do so at once.
    pub fn close(&self) {
        self.closing.set(true);
        self.mailboxes.borrow().values().for_each(|mailbox| mailbox.wake());
    }
}
