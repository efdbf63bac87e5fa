//! Reads all files of a directory tree, many concurrently, with a progress bar. Prints the number
//! of files and bytes, and a checksum over their names and contents.
//!
//! `cargo run --release --example read_files [--plain] [FOLDER [AT_ONCE]]`. With `--plain` it reads
//! one file after another with std; the result must be the same. Files that cannot be read are
//! listed, and then the exit code is not 0.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use headwaiter::fs;
use indicatif::ProgressBar;

/// For each file, its size and the checksum of its contents.
type Tree = Vec<(PathBuf, io::Result<(usize, u64)>)>;

fn main() -> ExitCode {
    env_logger::init();
    let (plain, args): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|arg| arg == "--plain");
    let folder = PathBuf::from(args.first().map_or(".", String::as_str));
    let Ok(at_once @ 1..) = args.get(1).map_or(Ok(64), |text| text.parse()) else {
        eprintln!("usage: read_files [--plain] [FOLDER [AT_ONCE]]");
        return ExitCode::from(2);
    };
    let start = Instant::now();
    let mut tree = if plain.is_empty() {
        headwaiter::block_on(read_tree(folder, at_once))
    } else {
        read_tree_plainly(folder)
    };
    let elapsed = start.elapsed();
    tree.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (mut files, mut bytes, mut sum, mut failed) = (0, 0, EMPTY, 0);
    for (path, contents) in tree {
        match contents {
            Ok((size, of_contents)) => {
                (files, bytes) = (files + 1, bytes + size);
                sum = checksum(sum, path.as_os_str().as_encoded_bytes());
                sum = checksum(sum, &of_contents.to_be_bytes());
            }
            Err(error) => {
                failed += 1;
                eprintln!("{}: {error}", path.display());
            }
        }
    }
    println!("{files} files, {bytes} bytes, checksum {sum:016x}; {failed} could not be read");
    println!("in {elapsed:.2?}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn read_tree(folder: PathBuf, at_once: usize) -> Tree {
    let (mut tree, mut files, mut folders) = (Vec::new(), Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        if let Err(error) = list(&folder, &mut files, &mut folders).await {
            tree.push((folder, Err(error)));
        }
    }
    let bar = ProgressBar::new(files.len() as u64);
    // Each of these tasks takes the next file from a shared list until the list is empty.
    let (files, done) = (Rc::new(RefCell::new(files.into_iter())), Rc::new(RefCell::new(tree)));
    let readers = (0..at_once).map(|_| {
        let (files, done, bar) = (files.clone(), done.clone(), bar.clone());
        let next = move || files.borrow_mut().next();
        headwaiter::spawn(async move {
            while let Some(path) = next() {
                let contents = fs::read(&path).await.map(|contents| sum_up(&contents));
                done.borrow_mut().push((path, contents));
                bar.inc(1);
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.expect("no reader panics");
    }
    bar.finish();
    done.take()
}

async fn list(
    folder: &Path,
    files: &mut Vec<PathBuf>,
    folders: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let mut entries = fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        match entry.file_type().await? {
            kind if kind.is_dir() => folders.push(entry.path()),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {} // Does not follow links, and does not open FIFOs, which could wait for ever.
        }
    }
    Ok(())
}

fn read_tree_plainly(path: PathBuf) -> Tree {
    let all = |kind: std::fs::FileType| -> io::Result<Tree> {
        if kind.is_file() {
            return Ok(vec![(
                path.clone(),
                std::fs::read(&path).map(|contents| sum_up(&contents)),
            )]);
        } else if !kind.is_dir() {
            return Ok(Vec::new());
        }
        let trees = std::fs::read_dir(&path)?.map(|entry| Ok(read_tree_plainly(entry?.path())));
        Ok(trees.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
    };
    let kind = path.symlink_metadata().map(|metadata| metadata.file_type());
    kind.and_then(all).unwrap_or_else(|error| vec![(path, Err(error))])
}

fn sum_up(contents: &[u8]) -> (usize, u64) {
    (contents.len(), checksum(EMPTY, contents))
}

const EMPTY: u64 = 0xCBF2_9CE4_8422_2325;

/// FNV-1a: simple, and it detects bytes in the wrong order.
fn checksum(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}
