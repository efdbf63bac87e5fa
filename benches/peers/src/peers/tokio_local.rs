//! The programs on tokio's `LocalRuntime`, whose tasks need not be `Send`.

mod programs {
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
}

mod shared {
    pub mod tokio;
}

use programs::*;

fn main() {
    run::main(&[
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
    ]);
}

/// What the programs use.
mod rt {
    pub use super::shared::tokio::*;

    pub use tokio::task::spawn_local as spawn;

    pub fn block_on<F: Future>(future: F) -> F::Output {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build_local(Default::default()).expect("a runtime").block_on(future)
    }

    pub fn spawn_in<T: 'static>(set: &mut JoinSet<T>, future: impl Future<Output = T> + 'static) {
        set.spawn_local(future);
    }
}
