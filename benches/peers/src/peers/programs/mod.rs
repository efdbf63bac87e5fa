//! All programs. A peer that lacks what some of them need lists the others itself.

pub mod channels;
pub mod files;
pub mod http;
pub mod locks;
pub mod memory;
pub mod other_threads;
pub mod run;
pub mod servers;
pub mod sockets;
pub mod tasks;
pub mod timers;
pub mod watches;

pub const ALL: &[&[run::Program]] = &[
    tasks::PROGRAMS,
    timers::PROGRAMS,
    channels::PROGRAMS,
    locks::PROGRAMS,
    watches::PROGRAMS,
    other_threads::PROGRAMS,
    files::PROGRAMS,
    servers::PROGRAMS,
    http::PROGRAMS,
    memory::PROGRAMS,
];
