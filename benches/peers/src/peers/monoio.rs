//! The programs on monoio with its driver on epoll, `LegacyDriver`, without files: it reads them by blocking
//! calls on the thread of the loop.

mod programs {
    pub mod channels;
    pub mod memory;
    pub mod run;
    pub mod servers;
    pub mod sockets;
    pub mod tasks;
    pub mod timers;
}

mod shared {
    pub mod monoio;
    pub mod yield_now;
}

use programs::*;
use shared::monoio as rt;

/// Which of monoio's drivers.
type Driver = monoio::LegacyDriver;

fn main() {
    run::main(&[
        tasks::PROGRAMS,
        timers::PROGRAMS,
        channels::PROGRAMS,
        servers::PROGRAMS,
        memory::PROGRAMS,
    ]);
}
