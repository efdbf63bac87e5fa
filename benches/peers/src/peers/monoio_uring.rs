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

/// What the programs use.
mod rt {
    use std::path::Path;

    pub use super::shared::monoio::*;

    pub async fn read_in_pieces(path: &Path, piece: usize) -> usize {
        let file = monoio::fs::File::open(path).await.expect("the file");
        let (mut buffer, mut total) = (vec![0; piece], 0);
        loop {
            let (n, back) = file.read_at(buffer, total as u64).await;
            buffer = back;
            match n.expect("its bytes") {
                0 => return total,
                n => total += n,
            }
        }
    }

    pub async fn read_whole(path: &Path) -> Vec<u8> {
        monoio::fs::read(path).await.expect("the file")
    }
}
