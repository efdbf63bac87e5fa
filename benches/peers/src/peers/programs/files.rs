//! Files that are in the page cache, read in pieces on a disk and on a tmpfs, and small files read whole.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::run::{Program, quick, scaled};
use crate::rt;

pub const PROGRAMS: &[Program] = &[
    ("read_4k", || in_pieces(&disk(), 4 << 10)),
    ("read_64k", || in_pieces(&disk(), 64 << 10)),
    ("read_1m", || in_pieces(&disk(), 1 << 20)),
    ("read_4k_tmpfs", || in_pieces(&tmpfs(), 4 << 10)),
    ("read_64k_tmpfs", || in_pieces(&tmpfs(), 64 << 10)),
    ("read_small", || small(&disk())),
    ("read_small_tmpfs", || small(&tmpfs())),
];

/// The folder that cargo builds in.
fn disk() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    program.parent().expect("its folder").to_path_buf()
}

fn tmpfs() -> PathBuf {
    PathBuf::from("/dev/shm")
}

/// A folder that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Scratch {
        let path = folder.join(format!("headwaiter-peers-{}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Microseconds a piece of a file of 64 MiB, in the faster of two readings.
fn in_pieces(folder: &Path, piece: usize) {
    let scratch = Scratch::new(folder);
    let path = scratch.0.join("file");
    let size = if quick() { 1 << 20 } else { 64 << 20 };
    fs::write(&path, vec![7; size]).expect("room for the file");
    rt::block_on(async {
        let mut best = f64::INFINITY;
        for _ in 0..2 {
            let start = Instant::now();
            assert_eq!(rt::read_in_pieces(&path, piece).await, size);
            best = best.min(start.elapsed().as_nanos() as f64 / 1e3 / (size / piece) as f64);
        }
        println!("{best:.3}");
    });
}

/// Microseconds a file: 1,000 files of 1,000 bytes, read whole, one after another.
fn small(folder: &Path) {
    let scratch = Scratch::new(folder);
    let paths: Vec<PathBuf> = (0..scaled(1_000)).map(|n| scratch.0.join(n.to_string())).collect();
    for path in &paths {
        fs::write(path, [7; 1_000]).expect("room for the file");
    }
    rt::block_on(async {
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let start = Instant::now();
            for path in &paths {
                assert_eq!(black_box(rt::read_whole(path).await).len(), 1_000);
            }
            best = best.min(start.elapsed().as_nanos() as f64 / 1e3 / paths.len() as f64);
        }
        println!("{best:.3}");
    });
}
