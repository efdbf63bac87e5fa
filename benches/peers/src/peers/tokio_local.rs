//! The programs on tokio's `LocalRuntime`, whose tasks need not be `Send`.

mod programs;

mod shared {
    pub mod tokio;
}

fn main() {
    programs::run::main(programs::ALL);
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
