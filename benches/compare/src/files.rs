//! Files: headwaiter and tokio beside std's blocking calls, in one run. Reading from the page cache, on a file system
//! that tells what it has in memory, and on one that does not.

use std::hint::black_box;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::io::AsyncReadExt as _;

/// Of the large file.
const SIZE: usize = 512 << 20;

/// An odd number, so that there is a median.
const ROUNDS: usize = 9;

pub fn print() -> io::Result<()> {
    println!(
        "\n{:36}{:>12}{:>13}{:>13}{:>10}{:>8}",
        "", "std", "headwaiter", "tokio", "to std", "goal"
    );
    // The folder that cargo builds in, and a tmpfs.
    let folders = [
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), 1.5, 1.2),
        ("/dev/shm".into(), 4.0, 4.0),
    ];
    for (folder, goal_of_4k, goal_of_64k) in folders {
        if !folder.is_dir() {
            println!("{folder:?} is not there: skipped");
            continue;
        }
        let path = folder.join(format!("headwaiter-compare-{}", std::process::id()));
        let remove = Remove(path);
        std::fs::write(&remove.0, vec![7; SIZE])?;
        black_box(std::fs::read(&remove.0)?);
        for (piece, name, goal) in [
            (4 << 10, "4 KiB", goal_of_4k),
            (64 << 10, "64 KiB", goal_of_64k),
            (1 << 20, "1 MiB", 4.0),
        ] {
            in_pieces(
                &remove.0,
                piece,
                &format!("512 MiB in {name} pieces, {}", folder_name(&folder)),
                goal,
            );
        }
        std::fs::write(&remove.0, [7; 1000])?;
        whole(&remove.0, &format!("fs::read of 1 kB, {}", folder_name(&folder)));
    }
    Ok(())
}

fn folder_name(folder: &Path) -> &str {
    if folder.starts_with("/dev/shm") { "tmpfs" } else { "disk" }
}

struct Remove(PathBuf);

impl Drop for Remove {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Reads with a buffer of so many bytes as are in the slice.
type Work<'a> = &'a mut dyn FnMut(&mut [u8]);

/// The medians of three contenders that take turns, in nanoseconds.
fn measure(rounds: usize, buf: &mut [u8], mut work: [Work<'_>; 3]) -> [f64; 3] {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (work, times) in work.iter_mut().zip(&mut times) {
            let start = Instant::now();
            work(buf);
            times.push(start.elapsed().as_nanos() as f64);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[rounds / 2]
    })
}

fn in_pieces(path: &Path, piece: usize, name: &str, goal: f64) {
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = super::tokio_runtime();
    // The same for all: where it lies in memory makes a difference.
    let mut buf = vec![0; piece];
    let times = measure(
        ROUNDS,
        &mut buf,
        [
            &mut |buf| {
                let mut file = std::fs::File::open(path).expect("the file");
                let mut total = 0;
                while let n @ 1.. = file.read(buf).expect("its bytes") {
                    total += n;
                }
                assert_eq!(total, SIZE);
            },
            &mut |buf| {
                event_loop.block_on(async {
                    let mut file = headwaiter::fs::File::open(path).await.expect("the file");
                    let mut total = 0;
                    while let n @ 1.. = file.read(buf).await.expect("its bytes") {
                        total += n;
                    }
                    assert_eq!(total, SIZE);
                });
            },
            &mut |buf| {
                tokio.block_on(async {
                    let mut file = tokio::fs::File::open(path).await.expect("the file");
                    let mut total = 0;
                    while let n @ 1.. = file.read(buf).await.expect("its bytes") {
                        total += n;
                    }
                    assert_eq!(total, SIZE);
                });
            },
        ],
    );
    print_row(name, times, 1e6, "ms", times[1] / times[0], goal);
}

fn whole(path: &Path, name: &str) {
    const TIMES: usize = 1000;
    let mut event_loop = headwaiter::EventLoop::new().expect("an event loop");
    let tokio = super::tokio_runtime();
    let times = measure(
        super::ROUNDS,
        &mut [],
        [
            &mut |_| {
                for _ in 0..TIMES {
                    black_box(std::fs::read(path).expect("the file"));
                }
            },
            &mut |_| {
                event_loop.block_on(async {
                    for _ in 0..TIMES {
                        black_box(headwaiter::fs::read(path).await.expect("the file"));
                    }
                });
            },
            &mut |_| {
                tokio.block_on(async {
                    for _ in 0..TIMES {
                        black_box(tokio::fs::read(path).await.expect("the file"));
                    }
                });
            },
        ],
    );
    // Here the goal is of tokio.
    print_row(name, times, 1e3 * TIMES as f64, "us", times[1] / times[2], 1.0);
}

fn print_row(name: &str, times: [f64; 3], unit: f64, unit_name: &str, ratio: f64, goal: f64) {
    let [std, ours, tokio] = times.map(|time| format!("{:.1} {unit_name}", time / unit));
    let mark = if ratio <= goal { "" } else { "  missed" };
    println!("{name:36}{std:>12}{ours:>13}{tokio:>13}{ratio:>9.2}x{goal:>7}x{mark}");
}
