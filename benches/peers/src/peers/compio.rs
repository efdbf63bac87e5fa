//! The programs on compio with its driver that polls, on epoll.

mod programs {
    pub mod files;
    pub mod http;
    pub mod memory;
    pub mod other_threads;
    pub mod run;
    pub mod servers;
    pub mod sockets;
    pub mod tasks;
    pub mod timers;
}

mod shared {
    pub mod compio;
    pub mod yield_now;
}

use programs::*;
use shared::compio as rt;

/// Which of compio's drivers.
const DRIVER: compio::driver::DriverType = compio::driver::DriverType::Poll;

fn main() {
    run::main(&[
        tasks::PROGRAMS,
        timers::PROGRAMS,
        other_threads::PROGRAMS,
        files::PROGRAMS,
        servers::PROGRAMS,
        http::PROGRAMS,
        memory::PROGRAMS,
    ]);
}
