//! The programs on tokio's current_thread runtime.

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

    pub use tokio::spawn;

    pub fn block_on<F: Future>(future: F) -> F::Output {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().expect("a runtime").block_on(future)
    }

    pub fn spawn_in<T: Send + 'static>(
        set: &mut JoinSet<T>,
        future: impl Future<Output = T> + Send + 'static,
    ) {
        set.spawn(future);
    }
}
