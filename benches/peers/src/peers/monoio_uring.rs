//! The programs on monoio with its driver on io_uring.

mod programs {
    pub mod channels;
    pub mod files;
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
type Driver = monoio::IoUringDriver;

fn main() {
    run::main(&[
        tasks::PROGRAMS,
        timers::PROGRAMS,
        channels::PROGRAMS,
        files::PROGRAMS,
        servers::PROGRAMS,
        memory::PROGRAMS,
    ]);
}
