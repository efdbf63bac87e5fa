//! Files beside std's blocking calls: 512 MiB read from the page cache in pieces, on a file system that tells what it has in
//! memory and on one that does not (a tmpfs), and small files whole.
//!
//! `cargo bench -p benches --bench files [NAME]`. `benches/peers` measures the same beside other runtimes, in turns.

use std::hint::black_box;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use headwaiter::EventLoop;
use headwaiter::fs::{self, File};

/// Of the large file.
const SIZE: usize = 512 << 20;

criterion_group! {
    name = benches;
    config = ::benches::criterion();
    targets = in_pieces, whole
}
criterion_main!(benches);

/// A file on each kind of file system, removed at the end.
struct Scratch(&'static str, PathBuf);

impl Scratch {
    fn all(pieces: usize) -> Vec<Scratch> {
        let folders = [("disk", env!("CARGO_TARGET_TMPDIR")), ("tmpfs", "/dev/shm")];
        let there = folders.into_iter().filter(|(_, folder)| Path::new(folder).is_dir());
        there.map(|(name, folder)| Scratch::new(name, folder, pieces)).collect()
    }

    /// Of so many times 1,000 bytes. Written, it is in the page cache.
    fn new(name: &'static str, folder: &str, pieces: usize) -> Scratch {
        let path = Path::new(folder).join(format!("headwaiter-bench-{}", std::process::id()));
        let mut file = std::fs::File::create(&path).expect("a file to read");
        for _ in 0..pieces {
            file.write_all(&[7; 1000]).expect("room for it");
        }
        Scratch(name, path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.1);
    }
}

fn in_pieces(c: &mut Criterion) {
    for Scratch(kind, path) in &Scratch::all(SIZE / 1000) {
        for (size, name) in [(4 << 10, "4k"), (64 << 10, "64k"), (1 << 20, "1m")] {
            let mut group = c.benchmark_group(format!("read_512_mib_{kind}_{name}"));
            group.throughput(Throughput::Bytes(SIZE as u64)).sample_size(10);
            let mut buf = vec![0; size];
            group.bench_function("std", |bencher| {
                bencher.iter(|| {
                    let mut file = std::fs::File::open(path).unwrap();
                    while file.read(&mut buf).unwrap() > 0 {}
                });
            });
            let mut event_loop = EventLoop::new().expect("a loop");
            group.bench_function("headwaiter", |bencher| {
                bencher.iter(|| {
                    event_loop.block_on(async {
                        let mut file = File::open(path).await.unwrap();
                        while file.read(&mut buf).await.unwrap() > 0 {}
                    });
                });
            });
        }
    }
}

fn whole(c: &mut Criterion) {
    for Scratch(kind, path) in &Scratch::all(1) {
        let mut group = c.benchmark_group(format!("read_1_kb_{kind}"));
        group.bench_function("std", |bencher| {
            bencher.iter(|| black_box(std::fs::read(path).unwrap()));
        });
        let mut event_loop = EventLoop::new().expect("a loop");
        group.bench_function("headwaiter", |bencher| {
            bencher.iter_custom(|times| {
                let start = std::time::Instant::now();
                event_loop.block_on(async {
                    for _ in 0..times {
                        black_box(fs::read(path).await.unwrap());
                    }
                });
                start.elapsed()
            });
        });
    }
}
