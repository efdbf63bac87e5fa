//! Files and folders: what is promised of `fs`. Where it matters, on a file system that tells what it has in memory and
//! on one that does not (a tmpfs), whose files the pool reads.

use std::future::Future;
use std::io::{self, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;

use crate::support::*;
use headwaiter::fs::{self, File};
use headwaiter::task::yield_now;
use headwaiter::{EventLoop, block_on, spawn, spawn_blocking};

/// Where cargo lets tests write.
fn on_disk() -> Folder {
    Folder::on(env!("CARGO_TARGET_TMPDIR"))
}

/// One on each file system that there is.
fn folders() -> Vec<Folder> {
    let mut folders = vec![on_disk()];
    if Path::new("/dev/shm").is_dir() {
        folders.push(Folder::on("/dev/shm"));
    } else {
        println!("skipped: no tmpfs at /dev/shm");
    }
    folders
}

/// Bytes of which no two stretches are alike.
fn bytes(count: usize) -> Vec<u8> {
    (0..count as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

async fn read_to_end(file: &mut File, piece: usize) -> Vec<u8> {
    let (mut all, mut buf) = (Vec::new(), vec![0; piece]);
    while let n @ 1.. = file.read(&mut buf).await.unwrap() {
        all.extend_from_slice(&buf[..n]);
    }
    all
}

/// Polls a future once, as far as it then is, and drops it.
async fn begin<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

fn loop_with_threads(threads: usize) -> EventLoop {
    EventLoop::builder().blocking_threads(threads).build().unwrap()
}

/// Keeps the one thread of a loop's pool busy until the sender is dropped.
async fn hold_the_thread() -> mpsc::Sender<()> {
    let (begun, begins) = mpsc::channel();
    let (release, released) = mpsc::channel();
    drop(spawn_blocking(move || {
        begun.send(()).unwrap();
        let _ = released.recv();
    }));
    begins.recv().unwrap();
    release
}

#[track_caller]
fn assert_says(error: &io::Error, kind: io::ErrorKind, what: &str, path: &Path) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{what} {path:?}")), "{text}");
    assert!(std::error::Error::source(error.get_ref().unwrap()).is_some(), "{text}");
}

#[headwaiter::test(within = "60s")]
async fn the_functions_do_what_those_of_std_do() {
    let _beside_others = beside_other_tests();
    for folder in folders() {
        let (soup, bread) = (folder.path("soup"), folder.path("bread"));
        let contents = bytes(300_000);
        fs::write(&soup, &contents).await.unwrap();
        assert_eq!(std::fs::read(&soup).unwrap(), contents);
        assert_eq!(fs::read(&soup).await.unwrap(), contents);
        fs::write(&soup, "short").await.unwrap();
        assert_eq!(fs::read_to_string(&soup).await.unwrap(), "short");

        assert_eq!(fs::metadata(&soup).await.unwrap().len(), 5);
        assert_eq!(fs::copy(&soup, &bread).await.unwrap(), 5);
        assert_eq!(std::fs::read(&bread).unwrap(), b"short");
        fs::rename(&bread, folder.path("toast")).await.unwrap();
        assert!(!fs::try_exists(&bread).await.unwrap());
        assert!(fs::try_exists(folder.path("toast")).await.unwrap());
        fs::hard_link(&soup, &bread).await.unwrap();
        fs::remove_file(&soup).await.unwrap();
        assert_eq!(std::fs::read(&bread).unwrap(), b"short");

        let mut permissions = fs::metadata(&bread).await.unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&bread, permissions).await.unwrap();
        assert!(std::fs::metadata(&bread).unwrap().permissions().readonly());

        let deep = folder.path("a").join("b").join("c");
        fs::create_dir_all(&deep).await.unwrap();
        fs::create_dir(deep.join("d")).await.unwrap();
        fs::remove_dir(deep.join("d")).await.unwrap();
        assert!(fs::metadata(&deep).await.unwrap().is_dir());
        let dotted = deep.join("..").join(".");
        let canonical = fs::canonicalize(&dotted).await.unwrap();
        assert_eq!(canonical, std::fs::canonicalize(&dotted).unwrap());
        fs::remove_dir_all(folder.path("a")).await.unwrap();
        assert!(!folder.path("a").exists());
    }
}

#[cfg(unix)]
#[headwaiter::test(within = "60s")]
async fn links_are_followed_or_not_as_in_std() {
    let _beside_others = beside_other_tests();
    let folder = on_disk();
    let (file, link) = (folder.file("soup", "tomato"), folder.path("link"));
    fs::symlink(&file, &link).await.unwrap();
    assert_eq!(fs::read_link(&link).await.unwrap(), file);
    assert_eq!(fs::read(&link).await.unwrap(), b"tomato");
    assert!(fs::symlink_metadata(&link).await.unwrap().is_symlink());
    assert!(fs::metadata(&link).await.unwrap().is_file());
    fs::remove_file(&file).await.unwrap();
    assert!(!fs::try_exists(&link).await.unwrap(), "a broken link is nothing");
}

#[headwaiter::test(within = "60s")]
async fn an_error_says_what_was_tried_with_which_path_and_keeps_its_kind() {
    let _beside_others = beside_other_tests();
    let folder = on_disk();
    let (none, kind) = (folder.path("none"), io::ErrorKind::NotFound);
    assert_says(&fs::read(&none).await.unwrap_err(), kind, "read", &none);
    assert_says(&fs::read_to_string(&none).await.unwrap_err(), kind, "read", &none);
    assert_says(&fs::write(none.join("x"), "").await.unwrap_err(), kind, "write", &none.join("x"));
    assert_says(&fs::metadata(&none).await.unwrap_err(), kind, "look at", &none);
    assert_says(&fs::symlink_metadata(&none).await.unwrap_err(), kind, "look at", &none);
    assert_says(&fs::canonicalize(&none).await.unwrap_err(), kind, "look for", &none);
    assert_says(&fs::read_link(&none).await.unwrap_err(), kind, "read link", &none);
    assert_says(&fs::read_dir(&none).await.unwrap_err(), kind, "read folder", &none);
    assert_says(
        &fs::create_dir(none.join("x")).await.unwrap_err(),
        kind,
        "create folder",
        &none.join("x"),
    );
    assert_says(&fs::remove_file(&none).await.unwrap_err(), kind, "remove", &none);
    assert_says(&fs::remove_dir(&none).await.unwrap_err(), kind, "remove folder", &none);
    assert_says(&fs::remove_dir_all(&none).await.unwrap_err(), kind, "remove folder", &none);
    assert_says(&File::open(&none).await.unwrap_err(), kind, "open", &none);
    assert_says(&File::create(none.join("x")).await.unwrap_err(), kind, "open", &none.join("x"));
    for error in [
        fs::rename(&none, "/else").await.unwrap_err(),
        fs::copy(&none, "/else").await.map(drop).unwrap_err(),
        fs::hard_link(&none, "/else").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("{none:?}")) && text.contains("\"/else\""), "{text}");
    }

    let there = folder.file("there", [0xFF, 0xFE]);
    assert_says(
        &File::create_new(&there).await.unwrap_err(),
        io::ErrorKind::AlreadyExists,
        "open",
        &there,
    );
    let error = fs::read_to_string(&there).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().starts_with(&format!("read {there:?}: ")), "{error}");
    let error = fs::create_dir_all(there.join("x")).await.unwrap_err();
    assert_says(&error, io::ErrorKind::NotADirectory, "create folder", &there.join("x"));
}

#[headwaiter::test(within = "60s")]
async fn an_error_of_an_open_file_says_so_too() {
    let _beside_others = beside_other_tests();
    let folder = on_disk();
    let path = folder.file("soup", "tomato");
    let mut file = File::open(&path).await.unwrap();
    let error = file.write(b"x").await.unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("write {path:?}: ")),
        "not open for writing: {error}"
    );
    let error = file.read_exact(&mut [0; 10]).await.unwrap_err();
    assert_says(&error, io::ErrorKind::UnexpectedEof, "read", &path);
    assert!(error.to_string().contains("6 of 10 bytes"), "{error}");
    let error = file.seek(SeekFrom::Current(-100)).await.unwrap_err();
    assert_says(&error, io::ErrorKind::InvalidInput, "seek in", &path);
    let error = file.set_len(1).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("set the length of {path:?}: ")), "{error}");
    // Without a path, the error is that of the kernel.
    let mut file = File::from_std(std::fs::File::open(&path).unwrap()).unwrap();
    let error = file.write(b"x").await.unwrap_err();
    assert_eq!(error.raw_os_error(), headwaiter::io::os_error(&error));
    assert!(error.raw_os_error().is_some(), "{error}");
}

#[cfg(unix)]
#[headwaiter::test(within = "60s")]
async fn a_folder_is_opened_as_in_std_and_cannot_be_read() {
    let _beside_others = beside_other_tests();
    let folder = on_disk();
    let mut opened = File::open(&folder.0).await.unwrap();
    assert!(opened.metadata().await.unwrap().is_dir());
    let error = opened.read(&mut [0; 10]).await.unwrap_err();
    assert_says(&error, io::ErrorKind::IsADirectory, "read", &folder.0);
    let error = File::create(&folder.0).await.unwrap_err();
    assert_says(&error, io::ErrorKind::IsADirectory, "open", &folder.0);
    assert_says(
        &fs::read(&folder.0).await.unwrap_err(),
        io::ErrorKind::IsADirectory,
        "read",
        &folder.0,
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_without_permission_is_an_error_that_names_it() {
    use std::os::unix::fs::PermissionsExt;
    bounded(|| {
        let folder = on_disk();
        let path = folder.file("secret", "soup");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
        std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o755)).unwrap();
        let theirs = path.clone();
        // In a thread that is not root, and so are those of its loop's pool: Linux has users by thread.
        let unprivileged = thread::spawn(move || {
            if rustix::process::getuid().is_root() {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
            }
            block_on(async {
                if let Err(error) = fs::metadata(&theirs).await {
                    println!("skipped: only root gets to {theirs:?}: {error}");
                    return;
                }
                let kind = io::ErrorKind::PermissionDenied;
                assert_says(&fs::read(&theirs).await.unwrap_err(), kind, "read", &theirs);
                assert_says(&File::open(&theirs).await.unwrap_err(), kind, "open", &theirs);
                assert_says(&fs::remove_file(&theirs).await.unwrap_err(), kind, "remove", &theirs);
            });
        });
        unprivileged.join().unwrap();
    });
}

#[headwaiter::test(within = "60s")]
async fn a_file_is_read_in_pieces_of_any_size() {
    let _beside_others = beside_other_tests();
    for folder in folders() {
        let contents = bytes(1_000_003);
        let path = folder.file("large", &contents);
        for piece in [999, 4096, 70_000, 200_000, 3_000_000] {
            let mut file = File::open(&path).await.unwrap();
            assert_eq!(read_to_end(&mut file, piece).await, contents, "in pieces of {piece}");
            assert_eq!(file.read(&mut [0; 9]).await.unwrap(), 0, "the end stays");
        }
        let mut file = File::open(&path).await.unwrap();
        assert_eq!(file.read(&mut []).await.unwrap(), 0);
        let mut all = vec![0; contents.len()];
        file.read_exact(&mut all).await.unwrap();
        assert_eq!(all, contents);
    }
}

#[headwaiter::test(within = "60s")]
async fn opening_truncates_appends_and_creates_as_in_std() {
    let _beside_others = beside_other_tests();
    for folder in folders() {
        let path = folder.file("log", "old");
        let mut file = File::options().append(true).read(true).open(&path).await.unwrap();
        file.write_all(b" new").await.unwrap();
        // Another file appends too: each write goes to the end as it is then.
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b" theirs")
            .unwrap();
        file.seek(SeekFrom::Start(0)).await.unwrap();
        file.write_all(b" ours").await.unwrap();
        assert_eq!(file.seek(SeekFrom::Current(0)).await.unwrap(), 19);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old new theirs ours");
        let mut file = File::create(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        file.write_all(b"x").await.unwrap();
        let mut file = File::create_new(folder.path("fresh")).await.unwrap();
        file.write_all(b"both").await.unwrap();
        file.seek(SeekFrom::Start(0)).await.unwrap();
        assert_eq!(read_to_end(&mut file, 10).await, b"both", "also for reading");
        let mut over = File::options().write(true).open(&path).await.unwrap();
        over.write_all(b"yz").await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"yz");
    }
}

/// Unlike tokio: there, it has only reached a buffer.
#[headwaiter::test(within = "60s")]
async fn a_write_is_done_when_it_says_so() {
    let _beside_others = beside_other_tests();
    for folder in folders() {
        let contents = bytes(3_000_000);
        let path = folder.path("written");
        let mut file = File::create(&path).await.unwrap();
        let n = file.write(&contents).await.unwrap();
        assert_eq!(n, 1 << 20, "at most 1 MiB at a time");
        assert_eq!(std::fs::read(&path).unwrap(), contents[..n]);
        assert_eq!(file.write(&[]).await.unwrap(), 0);
        file.write_all(&contents[n..]).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), contents);
        file.sync_data().await.unwrap();
        file.sync_all().await.unwrap();
        file.set_len(10).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 10);
        // The position stays, so there is a hole now.
        file.write_all(b"!").await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 3_000_001);
        let mut permissions = file.metadata().await.unwrap().permissions();
        permissions.set_readonly(true);
        file.set_permissions(permissions).await.unwrap();
        assert!(std::fs::metadata(&path).unwrap().permissions().readonly());
    }
}

#[headwaiter::test(within = "60s")]
async fn what_was_read_ahead_is_dropped_by_a_write_and_by_a_seek() {
    let _beside_others = beside_other_tests();
    for folder in folders() {
        let mut expected = bytes(500_000);
        let path = folder.file("ahead", &expected);
        let mut file = File::options().read(true).write(true).open(&path).await.unwrap();
        let mut buf = vec![0; 1000];
        // Enough reads in a row that far more than these was read.
        for _ in 0..30 {
            file.read_exact(&mut buf).await.unwrap();
        }
        assert_eq!(file.seek(SeekFrom::Current(0)).await.unwrap(), 30_000);
        for _ in 0..30 {
            file.read_exact(&mut buf).await.unwrap();
        }
        file.write_all(b"written here").await.unwrap();
        expected[60_000..60_012].copy_from_slice(b"written here");
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        file.read_exact(&mut buf).await.unwrap();
        assert_eq!(buf, expected[60_012..61_012]);

        // What another handle has written is seen after a seek.
        let mut other = File::options().write(true).open(&path).await.unwrap();
        other.seek(SeekFrom::Start(62_000)).await.unwrap();
        other.write_all(b"by another").await.unwrap();
        expected[62_000..62_010].copy_from_slice(b"by another");
        file.seek(SeekFrom::Current(-1000)).await.unwrap();
        let mut rest = vec![0; 3000];
        file.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest, expected[60_012..63_012]);

        // And cutting the file cuts what was read ahead.
        file.set_len(63_500).await.unwrap();
        assert_eq!(read_to_end(&mut file, 10_000).await, expected[63_012..63_500]);
    }
}

#[test]
fn the_end_moves_when_the_file_grows() {
    bounded(|| {
        loop_with_threads(1).block_on(async {
            for folder in folders() {
                let path = folder.file("growing", "one ");
                let mut growing = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
                let mut file = File::open(&path).await.unwrap();
                assert_eq!(read_to_end(&mut file, 100).await, b"one ");
                growing.write_all(b"two ").unwrap();
                assert_eq!(read_to_end(&mut file, 100).await, b"two ");
                // Also if a dropped read has seen it earlier.
                let _ = drop_read(&mut file, &mut [0; 100]).await;
                spawn_blocking(|| ()).await.unwrap();
                growing.write_all(b"three").unwrap();
                assert_eq!(read_to_end(&mut file, 100).await, b"three");
            }
        });
    });
}

/// Unlike tokio: there, the conversions cannot fail.
#[headwaiter::test(within = "60s")]
async fn a_file_goes_to_std_and_back_at_its_position() {
    let _beside_others = beside_other_tests();
    use std::io::{Read, Seek};
    for folder in folders() {
        let contents = bytes(400_000);
        let path = folder.file("shared", &contents);
        let mut file = File::open(&path).await.unwrap();
        let mut buf = vec![0; 1000];
        for _ in 0..30 {
            file.read_exact(&mut buf).await.unwrap();
        }
        // With one more read in flight, which was dropped.
        let moved = match begin(file.read(&mut buf)).await {
            Poll::Ready(n) => n.unwrap(),
            Poll::Pending => 0,
        };
        let mut std = file.into_std().await.unwrap();
        assert_eq!(std.stream_position().unwrap(), 30_000 + moved as u64);
        std.read_exact(&mut buf).unwrap();
        assert_eq!(buf, contents[30_000 + moved..31_000 + moved]);
        let mut file = File::from_std(std).unwrap();
        assert_eq!(read_to_end(&mut file, 1000).await, contents[31_000 + moved..]);
    }
}

#[cfg(target_os = "linux")]
#[headwaiter::test(within = "60s")]
async fn a_file_without_a_size_is_read_to_its_end() {
    let _beside_others = beside_other_tests();
    let version = std::fs::read("/proc/version").unwrap();
    assert_eq!(fs::read("/proc/version").await.unwrap(), version);
    let mut file = File::open("/proc/version").await.unwrap();
    assert_eq!(file.metadata().await.unwrap().len(), 0);
    for piece in [1, 7, 4096] {
        file.seek(SeekFrom::Start(0)).await.unwrap();
        assert_eq!(read_to_end(&mut file, piece).await, version);
    }
    // The kernel "watches" this one, which has nothing to do with reading it.
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap();
    let mut file = File::open("/proc/self/mountinfo").await.unwrap();
    assert_eq!(read_to_end(&mut file, 100).await, mounts);
}

/// Unlike tokio: there, every read goes to the pool.
#[cfg(target_os = "linux")]
#[test]
fn what_is_not_in_memory_is_read_by_the_pool() {
    bounded(|| {
        loop_with_threads(1).block_on(async {
            let contents = bytes(1_000_000);
            let folder = on_disk();
            let path = folder.file("cold", &contents);
            let mut file = File::open(&path).await.unwrap();
            file.sync_all().await.unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            let mut buf = [0; 10_000];
            match drop_read(&mut file, &mut buf).await {
                None => {}
                Some(n) => {
                    println!("skipped: the system keeps it in memory");
                    assert_eq!(buf[..n], contents[..n]);
                    file.seek(SeekFrom::Start(0)).await.unwrap();
                }
            }
            assert_eq!(read_to_end(&mut file, 10_000).await, contents);
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn hundreds_of_files_are_read_at_once() {
    let _beside_others = beside_other_tests();
    for folder in folders() {
        let longest = bytes(300 * 97);
        let contents = |n: usize| &longest[..n * 97];
        for n in 0..300 {
            folder.file(&n.to_string(), contents(n));
        }
        let whole: Vec<_> =
            (0..300).map(|n| spawn(fs::read(folder.path(&n.to_string())))).collect();
        let pieces: Vec<_> = (0..300)
            .map(|n| {
                let path = folder.path(&n.to_string());
                spawn(async move { read_to_end(&mut File::open(path).await.unwrap(), 1000).await })
            })
            .collect();
        for (n, (whole, pieces)) in whole.into_iter().zip(pieces).enumerate() {
            assert_eq!(whole.await.unwrap().unwrap(), contents(n));
            assert_eq!(pieces.await.unwrap(), contents(n));
        }
    }
}

#[headwaiter::test(within = "60s")]
async fn who_reads_a_large_file_lets_others_run() {
    let _beside_others = beside_other_tests();
    for folder in folders() {
        let path = folder.file("large", vec![7; 32 << 20]);
        for piece in [4096, 1 << 20] {
            let read = std::rc::Rc::new(std::cell::Cell::new(0));
            let (counted, path) = (read.clone(), path.clone());
            let reader = spawn(async move {
                let mut file = File::open(path).await.unwrap();
                let mut buf = vec![0; piece];
                while let n @ 1.. = file.read(&mut buf).await.unwrap() {
                    counted.set(counted.get() + n);
                }
            });
            let mut before = 0;
            while !reader.is_finished() {
                yield_now().await;
                let now = read.get();
                assert!(now - before <= 2 << 20, "{} bytes between two turns", now - before);
                before = now;
            }
            assert_eq!(read.get(), 32 << 20);
        }
    }
}

/// Drops a read as soon as it waits, before the pool has done anything of it.
async fn drop_read(file: &mut File, buf: &mut [u8]) -> Option<usize> {
    let _release = hold_the_thread().await;
    match begin(file.read(buf)).await {
        Poll::Ready(n) => Some(n.unwrap()),
        Poll::Pending => None,
    }
}

#[test]
fn a_dropped_read_has_read_nothing() {
    bounded(|| {
        loop_with_threads(1).block_on(async {
            for (is_tmpfs, folder) in folders().into_iter().enumerate() {
                let contents = bytes(300_000);
                let path = folder.file("kept", &contents);
                let mut file = File::options().read(true).write(true).open(&path).await.unwrap();
                let (mut all, mut dropped) = (Vec::new(), 0);
                loop {
                    // The same bytes come again, in a larger or smaller piece.
                    let (mut buf, mut other) = (vec![0; 3000], vec![0; 1 + all.len() % 5000]);
                    match drop_read(&mut file, &mut buf).await {
                        Some(n) => all.extend_from_slice(&buf[..n]),
                        None => dropped += 1,
                    }
                    match file.read(&mut other).await.unwrap() {
                        0 => break,
                        n => all.extend_from_slice(&other[..n]),
                    }
                }
                assert_eq!(all, contents);
                assert!(dropped > 0 || is_tmpfs == 0, "a tmpfs has nothing at once");

                // And the position is where it was, for a write and for a seek.
                let mut buf = [0; 3000];
                file.seek(SeekFrom::Start(100)).await.unwrap();
                let at = 100 + drop_read(&mut file, &mut buf).await.unwrap_or(0);
                file.write_all(b"here").await.unwrap();
                assert_eq!(&std::fs::read(&path).unwrap()[at..at + 4], b"here");
                let moved = drop_read(&mut file, &mut buf).await.unwrap_or(0);
                assert_eq!(file.seek(SeekFrom::Current(0)).await.unwrap(), (at + 4 + moved) as u64);
            }
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn a_dropped_write_is_waited_for_and_the_order_stays() {
    let _beside_others = beside_other_tests();
    for folder in folders() {
        let path = folder.path("dropped");
        let mut file =
            File::options().read(true).write(true).create(true).open(&path).await.unwrap();
        let _ = begin(file.write(b"first ")).await;
        file.write_all(b"second ").await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first second ");
        // Word for word the same is still another write.
        let _ = begin(file.write(b"same ")).await;
        file.write_all(b"same ").await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"first second same same ");
        let _ = begin(file.write_all(b"third")).await;
        assert_eq!(file.seek(SeekFrom::Start(6)).await.unwrap(), 6);
        assert_eq!(read_to_end(&mut file, 100).await, b"second same same third");
        let _ = begin(file.set_len(5)).await;
        let _ = begin(file.sync_all()).await;
        let mut std = file.into_std().await.unwrap();
        assert_eq!(std.metadata().unwrap().len(), 5);
        std.write_all(b"x").unwrap();
        assert_eq!(std.metadata().unwrap().len(), 29, "at the position of the last read");
    }
}

#[cfg(target_os = "linux")]
#[headwaiter::test(within = "60s")]
async fn a_dropped_write_that_fails_is_told_by_the_next_operation_once() {
    let _beside_others = beside_other_tests();
    let full = Path::new("/dev/full");
    let kind = io::ErrorKind::StorageFull;
    let mut file = File::options().read(true).write(true).open(full).await.unwrap();
    assert_says(&file.write(b"soup").await.unwrap_err(), kind, "write", full);
    while begin(file.write(b"soup")).await.is_ready() {}
    let mut buf = [7; 4];
    assert_says(&file.read(&mut buf).await.unwrap_err(), kind, "write", full);
    assert_eq!(file.read(&mut buf).await.unwrap(), 4, "it was told");
    assert_eq!(buf, [0; 4]);
    while begin(file.write(b"soup")).await.is_ready() {}
    assert_says(&file.seek(SeekFrom::Start(0)).await.unwrap_err(), kind, "write", full);
    assert_eq!(file.seek(SeekFrom::Start(0)).await.unwrap(), 0);
    while begin(file.write(b"soup")).await.is_ready() {}
    assert_says(&file.sync_all().await.unwrap_err(), kind, "write", full);
    while begin(file.write(b"soup")).await.is_ready() {}
    use futures_lite::AsyncWriteExt;
    assert_says(&AsyncWriteExt::flush(&mut file).await.unwrap_err(), kind, "write", full);
    AsyncWriteExt::flush(&mut file).await.unwrap();
    while begin(file.write(b"soup")).await.is_ready() {}
    assert_says(&AsyncWriteExt::close(&mut file).await.unwrap_err(), kind, "write", full);
    while begin(file.write(b"soup")).await.is_ready() {}
    assert_says(&file.into_std().await.unwrap_err(), kind, "write", full);
}

#[test]
fn a_function_that_is_dropped_before_a_thread_began_with_it_does_nothing() {
    bounded(|| {
        loop_with_threads(1).block_on(async {
            let folder = on_disk();
            let (file, new) = (folder.file("file", "soup"), folder.path("new"));
            std::fs::create_dir(folder.path("folder")).unwrap();
            let mut read_only = std::fs::metadata(&file).unwrap().permissions();
            read_only.set_readonly(true);

            let release = hold_the_thread().await;
            assert!(begin(fs::read(&file)).await.is_pending());
            assert!(begin(fs::read_to_string(&file)).await.is_pending());
            assert!(begin(fs::write(&file, "bread")).await.is_pending());
            assert!(begin(fs::write(&new, "bread")).await.is_pending());
            assert!(begin(fs::metadata(&file)).await.is_pending());
            assert!(begin(fs::symlink_metadata(&file)).await.is_pending());
            assert!(begin(fs::try_exists(&file)).await.is_pending());
            assert!(begin(fs::canonicalize(&file)).await.is_pending());
            assert!(begin(fs::read_link(&file)).await.is_pending());
            assert!(begin(fs::read_dir(&folder.0)).await.is_pending());
            assert!(begin(fs::create_dir(&new)).await.is_pending());
            assert!(begin(fs::create_dir_all(new.join("x"))).await.is_pending());
            assert!(begin(fs::remove_file(&file)).await.is_pending());
            assert!(begin(fs::remove_dir(folder.path("folder"))).await.is_pending());
            assert!(begin(fs::remove_dir_all(folder.path("folder"))).await.is_pending());
            assert!(begin(fs::rename(&file, &new)).await.is_pending());
            assert!(begin(fs::copy(&file, &new)).await.is_pending());
            assert!(begin(fs::hard_link(&file, &new)).await.is_pending());
            #[cfg(unix)]
            assert!(begin(fs::symlink(&file, &new)).await.is_pending());
            assert!(begin(fs::set_permissions(&file, read_only)).await.is_pending());
            assert!(begin(File::open(&file)).await.is_pending());
            assert!(begin(File::create(&file)).await.is_pending());
            assert!(begin(File::create_new(&new)).await.is_pending());
            drop(release);

            // Whatever was still queued would be done before this.
            spawn_blocking(|| ()).await.unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), b"soup");
            assert!(!std::fs::metadata(&file).unwrap().permissions().readonly());
            assert!(folder.path("folder").is_dir() && !new.exists());
        });
    });
}

#[cfg(target_os = "linux")]
#[headwaiter::test(within = "60s")]
async fn a_function_that_is_dropped_after_a_thread_began_with_it_is_done_to_the_end() {
    let _beside_others = beside_other_tests();
    let folder = on_disk();
    let fifo = make_fifo(&folder);
    let mut reader = File::open(&fifo).await.unwrap();
    // More than a pipe holds.
    let contents = bytes(300_000);
    let mut writing = fs::write(&fifo, &contents);
    assert!(poll_once(&mut writing).await.is_pending());
    let mut first = [0];
    reader.read_exact(&mut first).await.unwrap();
    drop(writing);
    assert_eq!(read_to_end(&mut reader, 5000).await, contents[1..]);
}

#[test]
fn a_file_may_be_dropped_anywhere_with_an_operation_under_way() {
    bounded(|| {
        let folder = on_disk();
        let path = folder.file("dropped", bytes(100_000));
        let mut event_loop = loop_with_threads(1);
        event_loop.block_on(async {
            for elsewhere in [false, true] {
                let mut file = File::options().read(true).write(true).open(&path).await.unwrap();
                let release = hold_the_thread().await;
                assert!(begin(file.write(b"never written")).await.is_pending());
                if elsewhere {
                    thread::spawn(move || drop(file)).join().unwrap();
                } else {
                    drop(file);
                }
                drop(release);
                spawn_blocking(|| ()).await.unwrap();
                assert_eq!(
                    std::fs::read(&path).unwrap(),
                    bytes(100_000),
                    "no thread had begun with it"
                );
                #[cfg(target_os = "linux")]
                assert!(!is_open(&path));
            }
        });
    });
}

/// Whether this process has it open.
#[cfg(target_os = "linux")]
fn is_open(path: &Path) -> bool {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).any(|target| target == path)
}

#[test]
fn a_file_outlives_its_loop_with_an_operation_under_way() {
    bounded(|| {
        for folder in folders() {
            let path = folder.file("outlives", bytes(100_000));
            let mut event_loop = loop_with_threads(1);
            let mut file = event_loop.block_on(async {
                let mut file = File::options().read(true).write(true).open(&path).await.unwrap();
                let release = hold_the_thread().await;
                assert!(begin(file.write(b"given up")).await.is_pending());
                thread::spawn(move || drop(release)); // At any time.
                file
            });
            drop(event_loop);
            block_on(async {
                // Either the write was done, or the next operation returns its error.
                let begin = if let Err(error) = file.seek(SeekFrom::Start(0)).await {
                    assert!(error.to_string().starts_with(&format!("write {path:?}: ")), "{error}");
                    assert_eq!(file.seek(SeekFrom::Start(0)).await.unwrap(), 0);
                    bytes(8)
                } else {
                    b"given up".to_vec()
                };
                let all = read_to_end(&mut file, 1000).await;
                assert_eq!(all[..8], begin);
                assert_eq!(all[8..], bytes(100_000)[8..]);
            });
        }
    });
}

#[headwaiter::test(clock = "virtual", within = "60s")]
async fn files_work_under_a_virtual_clock_which_waits_for_them() {
    let _beside_others = beside_other_tests();
    let folder = on_disk();
    let path = folder.path("timeless");
    let start = headwaiter::time::now();
    let limit = headwaiter::time::timeout(ms(1), async {
        fs::write(&path, bytes(10_000)).await.unwrap();
        let mut file = File::open(&path).await.unwrap();
        read_to_end(&mut file, 100).await
    });
    assert_eq!(limit.await.unwrap(), bytes(10_000));
    assert_eq!(headwaiter::time::now(), start);
}

#[test]
fn outside_a_loop_a_panic_says_what_to_do() {
    bounded(|| {
        let folder = on_disk();
        let path = folder.file("soup", "tomato");
        let mut file = block_on(File::open(&path)).unwrap();
        for text in [
            panic_text(|| drop(futures_lite::future::block_on(fs::read(&path)))),
            panic_text(|| drop(futures_lite::future::block_on(file.read(&mut [0])))),
            panic_text(|| drop(futures_lite::future::block_on(file.seek(SeekFrom::Start(0))))),
        ] {
            assert!(text.contains("outside any event loop"), "{text}");
        }
        assert_eq!(block_on(read_to_end(&mut file, 10)), b"tomato");
    });
}

/// Unlike tokio: there, streams implement traits of its own.
#[headwaiter::test(within = "60s")]
async fn the_traits_of_futures_io_read_write_and_seek() {
    let _beside_others = beside_other_tests();
    use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
    for folder in folders() {
        let contents = bytes(2_500_000);
        let from = folder.file("from", &contents);
        let (mut from, to) = (File::open(&from).await.unwrap(), folder.path("to"));
        let mut to = File::options().read(true).write(true).create(true).open(&to).await.unwrap();
        assert_eq!(futures_lite::io::copy(&mut from, &mut to).await.unwrap(), 2_500_000);
        to.flush().await.unwrap();
        AsyncSeekExt::seek(&mut to, SeekFrom::End(-2_500_000)).await.unwrap();
        let mut all = Vec::new();
        AsyncReadExt::read_to_end(&mut to, &mut all).await.unwrap();
        assert_eq!(all, contents);

        // A write that is polled again is the same; one with other bytes is another.
        AsyncSeekExt::seek(&mut to, SeekFrom::Start(0)).await.unwrap();
        let _ = begin(AsyncWriteExt::write(&mut to, b"left behind ")).await;
        AsyncWriteExt::write_all(&mut to, b"and another").await.unwrap();
        AsyncSeekExt::seek(&mut to, SeekFrom::Start(0)).await.unwrap();
        let mut both = [0; 23];
        AsyncReadExt::read_exact(&mut to, &mut both).await.unwrap();
        assert_eq!(&both, b"left behind and another");
        to.close().await.unwrap();
    }
}

#[test]
fn vectored_reads_and_writes_of_a_file_use_all_slices() {
    for folder in folders() {
        in_loop(|| async move {
            use futures_lite::{AsyncReadExt, AsyncWriteExt};
            use std::io::{IoSlice, IoSliceMut};
            let path = folder.path("courses");
            let mut file = File::create(&path).await.unwrap();
            let head = [IoSlice::new(b""), IoSlice::new(b"head"), IoSlice::new(b"body")];
            assert_eq!(file.write_vectored(&head).await.unwrap(), 8);
            let many = vec![IoSlice::new(b"x"); 3000];
            assert_eq!(file.write_vectored(&many).await.unwrap(), 1024);
            let large = bytes(1 << 20);
            let too_much = [IoSlice::new(b"y"), IoSlice::new(&large), IoSlice::new(b"z")];
            assert_eq!(file.write_vectored(&too_much).await.unwrap(), 1 << 20);
            let written = std::fs::read(&path).unwrap();
            assert!(written.starts_with(b"headbodyxx") && written[8 + 1024] == b'y');
            assert_eq!(written.len(), 8 + 1024 + (1 << 20));

            let mut file = File::open(&path).await.unwrap();
            let (mut a, mut b, mut c) = ([0; 2], [0; 5], [0; 1]);
            let mut room = [
                IoSliceMut::new(&mut a),
                IoSliceMut::new(&mut []),
                IoSliceMut::new(&mut b),
                IoSliceMut::new(&mut c),
            ];
            assert_eq!(file.read_vectored(&mut room).await.unwrap(), 8);
            assert_eq!((&a, &b, &c), (b"he", b"adbod", b"y"));
            // What does not fit in the first call of the loop's own thread, however it is cut.
            let mut rest = Vec::new();
            loop {
                let (mut one, mut other) = (vec![0; 100_000], vec![0; 300_000]);
                let mut room = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
                let n = file.read_vectored(&mut room).await.unwrap();
                one.extend_from_slice(&other);
                rest.extend_from_slice(&one[..n]);
                if n == 0 {
                    break;
                }
            }
            assert_eq!(rest, written[8..]);
        });
    }
}

/// Unlike tokio: there, such operations run concurrently.
#[test]
fn a_file_that_several_share_is_changed_by_one_after_the_other() {
    for folder in folders() {
        in_loop(|| async move {
            let path = folder.file("shared", "soup and bread");
            let file = File::options().read(true).write(true).open(&path).await.unwrap();
            let file = std::sync::Arc::new(file);
            let tasks: Vec<_> = (0..50_u64)
                .map(|n| {
                    let file = std::sync::Arc::clone(&file);
                    spawn(async move {
                        if n % 3 == 0 {
                            // Dropped while it runs or while it is queued: the others continue.
                            drop(begin(file.set_len(100 + n)).await);
                            return;
                        }
                        file.set_len(1000 + n).await.unwrap();
                        file.sync_all().await.unwrap();
                        file.sync_data().await.unwrap();
                        let permissions = file.metadata().await.unwrap().permissions();
                        file.set_permissions(permissions).await.unwrap();
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            file.set_len(4).await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"soup");
        });
    }
}

#[cfg(unix)]
#[test]
fn a_file_is_read_and_written_at_an_offset_whatever_its_position_is() {
    for folder in folders() {
        in_loop(|| async move {
            let path = folder.path("offsets");
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)
                .await
                .unwrap();
            assert_eq!(file.write_at(b"bread", 5).await.unwrap(), 5);
            assert_eq!(file.write_at(b"soup ", 0).await.unwrap(), 5);
            let (mut one, mut other) = ([0; 4], [0; 10]);
            // Two at a time.
            let both =
                futures_lite::future::zip(file.read_at(&mut one, 0), file.read_at(&mut other, 5))
                    .await;
            assert_eq!((both.0.unwrap(), both.1.unwrap()), (4, 5));
            assert_eq!((&one, &other[..5]), (b"soup", &b"bread"[..]));
            assert_eq!(file.read_at(&mut one, 10).await.unwrap(), 0, "the end");
            assert_eq!(file.read_at(&mut [], 0).await.unwrap(), 0);
            assert_eq!(file.write_at(&[], 0).await.unwrap(), 0);
            // The position stays.
            let mut file = file;
            assert_eq!(read_to_end(&mut file, 3).await, b"soup bread");
            // A read at an offset sees a write that was dropped and is still in flight.
            let _ = begin(file.write(b" and more")).await;
            assert_eq!(file.read_at(&mut other, 11).await.unwrap(), 8);
            assert_eq!(&other[..8], b"and more");
            let _ = begin(file.write_at(b"S", 0)).await;
            assert_eq!(file.read_at(&mut one, 0).await.unwrap(), 4);
            assert!(matches!(&one, b"Soup" | b"soup"), "done or not");
            let error = file.read_at(&mut one, u64::MAX).await.unwrap_err();
            assert_says(&error, io::ErrorKind::InvalidInput, "read", &path);
            let large = bytes(300_000);
            let mut done = 0;
            while done < large.len() {
                done += file.write_at(&large[done..], done as u64).await.unwrap();
            }
            let mut room = vec![0; large.len()];
            let mut filled = 0;
            while filled < room.len() {
                filled += file.read_at(&mut room[filled..], filled as u64).await.unwrap();
            }
            assert!(room == large);
        });
    }
}

#[test]
fn a_clone_of_a_file_shares_its_position() {
    for folder in folders() {
        in_loop(|| async move {
            let path = folder.file("cloned", bytes(100_000));
            let mut file = File::open(&path).await.unwrap();
            let mut piece = [0; 100];
            // Where it reads ahead, the clone does not begin after that.
            for _ in 0..3 {
                file.read_exact(&mut piece).await.unwrap();
            }
            let mut clone = file.try_clone().await.unwrap();
            assert_eq!(clone.seek(SeekFrom::Current(0)).await.unwrap(), 300);
            clone.read_exact(&mut piece).await.unwrap();
            assert_eq!(piece, bytes(400)[300..]);
            drop(clone);
            let std = std::fs::File::open(&path).unwrap();
            let mut file = File::from(std);
            assert_eq!(read_to_end(&mut file, 10_000).await, bytes(100_000));
        });
    }
}

/// A folder on a file system that takes O_DIRECT, which those in memory do not, with the flag for `custom_flags`. `None`: neither
/// the folder for temporary files nor cargo's is on one.
#[cfg(target_os = "linux")]
async fn direct_folder() -> Option<(Folder, i32)> {
    let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
    for folder in [on_disk(), Folder::on(std::env::temp_dir())] {
        let path = folder.file("probe", "soup");
        if File::options().read(true).custom_flags(direct).open(&path).await.is_ok() {
            return Some((folder, direct));
        }
    }
    println!("skipped: no file system with O_DIRECT");
    None
}

/// The user's memory is not aligned, and need not be.
#[cfg(target_os = "linux")]
#[headwaiter::test(within = "60s")]
async fn a_direct_file_is_read_and_written_in_whole_blocks_from_any_memory() {
    let _beside_others = beside_other_tests();
    let Some((folder, direct)) = direct_folder().await else { return };
    let path = folder.path("direct");
    let mut options = File::options();
    options.read(true).write(true).create(true).custom_flags(direct);
    let mut file = options.open(&path).await.unwrap();
    let content: Vec<u8> = (0..3 * 4096 + 1).map(|n| (n % 251) as u8).collect();
    let (odd, whole) = (&content[1..], 3 * 4096);
    file.write_all(&odd[..4096]).await.unwrap();
    let slices = [io::IoSlice::new(&odd[4096..5000]), io::IoSlice::new(&odd[5000..8192])];
    futures_lite::AsyncWriteExt::write_vectored(&mut file, &slices).await.unwrap();
    assert_eq!(file.write_at(&odd[8192..], 8192).await.unwrap(), 4096);
    assert_eq!(std::fs::read(&path).unwrap(), odd);

    let mut memory = vec![0; whole + 1];
    file.seek(SeekFrom::Start(0)).await.unwrap();
    file.read_exact(&mut memory[1..]).await.unwrap();
    assert_eq!(&memory[1..], odd);
    memory.fill(0);
    assert_eq!(file.read_at(&mut memory[1..8193], 4096).await.unwrap(), 8192);
    assert_eq!(&memory[1..8193], &odd[4096..]);
    assert_eq!(file.read(&mut memory[1..4097]).await.unwrap(), 0, "the end");
    // A read that is dropped has read nothing: the next operation is where it would have been.
    file.seek(SeekFrom::Start(4096)).await.unwrap();
    assert!(poll_once(&mut file.read(&mut memory[1..4097])).await.is_pending());
    file.write_all(&[7; 4096]).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap()[4096..8192], [7; 4096]);
    file.write_at(&odd[4096..8192], 4096).await.unwrap();
    // Taken over from std, it is the same.
    let std = file.into_std().await.unwrap();
    let mut taken = File::from_std(std).unwrap();
    taken.seek(SeekFrom::Start(4096)).await.unwrap();
    assert_eq!(taken.read(&mut memory[1..4097]).await.unwrap(), 4096);
    assert_eq!(&memory[1..4097], &odd[4096..8192]);
}

#[cfg(target_os = "linux")]
#[headwaiter::test(within = "60s")]
async fn an_odd_transfer_of_a_direct_file_says_why_it_fails() {
    let _beside_others = beside_other_tests();
    let Some((folder, direct)) = direct_folder().await else { return };
    let mut options = File::options();
    options.read(true).write(true).create(true).custom_flags(direct);
    let path = folder.path("direct");
    let mut file = options.open(&path).await.unwrap();
    // As of std, which has no aligned memory either. Some file systems take any number of bytes.
    let takes_odd = file.write(b"odd").await;
    if let Err(error) = takes_odd {
        assert_eq!(headwaiter::io::os_error(&error), Some(22), "EINVAL: {error}");
        let text = error.to_string();
        assert!(
            text.contains("O_DIRECT") && text.contains("multiples of the block size"),
            "{text}"
        );
        let error = file.write_at(&[0; 4096], 7).await.unwrap_err();
        assert!(error.to_string().contains("O_DIRECT"), "{error}");
        let error = file.set_len(u64::MAX).await.unwrap_err();
        assert!(!error.to_string().contains("O_DIRECT"), "it moves no bytes: {error}");
        file.write_all(&[7; 4096]).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [7; 4096], "the next operation works");
    }
}

/// A path that removes its file when it is dropped, as those of temporary files do. It need not be `Send`.
struct Temporary(std::rc::Rc<PathBuf>);

impl AsRef<Path> for Temporary {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&*self.0);
    }
}

#[test]
fn a_path_that_owns_its_file_lives_as_long_as_the_operation() {
    bounded(|| {
        loop_with_threads(1).block_on(async {
            let folder = on_disk();
            let temporary = |name: &str| Temporary(folder.file(name, "soup").into());
            assert!(File::open(temporary("a")).await.is_ok());
            assert!(File::options().write(true).open(temporary("b")).await.is_ok());
            assert_eq!(fs::read(temporary("c")).await.unwrap(), b"soup");
            assert_eq!(fs::read_to_string(temporary("d")).await.unwrap(), "soup");
            assert_eq!(fs::metadata(temporary("e")).await.unwrap().len(), 4);
            assert!(fs::try_exists(temporary("f")).await.unwrap());
            assert_eq!(fs::copy(temporary("g"), folder.path("h")).await.unwrap(), 4);
            fs::rename(temporary("i"), folder.path("j")).await.unwrap();
            fs::set_permissions(
                temporary("k"),
                std::fs::metadata(&folder.0).unwrap().permissions(),
            )
            .await
            .unwrap();
            for name in ["a", "b", "c", "d", "e", "f", "g", "i", "k"] {
                assert!(!folder.path(name).exists(), "{name} went with the operation");
            }
            // A job that waits for a thread has not begun.
            let thread = hold_the_thread().await;
            let mut waiting = Box::pin(fs::read(temporary("l")));
            assert!(begin(waiting.as_mut()).await.is_pending());
            assert!(folder.path("l").exists());
            drop(thread);
            assert_eq!(waiting.await.unwrap(), b"soup");
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn a_folder_is_listed_as_by_std() {
    let _beside_others = beside_other_tests();
    use futures_lite::StreamExt;
    let folder = on_disk();
    let mut expected: Vec<_> = (0..600).map(|n| format!("file {n}")).collect();
    for name in &expected {
        folder.file(name, name);
    }
    std::fs::create_dir(folder.path("folder")).unwrap();
    expected.push("folder".to_owned());
    expected.sort();

    let mut entries = fs::read_dir(&folder.0).await.unwrap();
    let mut names = Vec::new();
    loop {
        // A dropped one loses nothing.
        if let Poll::Ready(Ok(Some(entry))) = begin(entries.next_entry()).await {
            names.push(entry.file_name().into_string().unwrap());
        }
        let Some(entry) = entries.next_entry().await.unwrap() else { break };
        assert_eq!(entry.path(), folder.0.join(entry.file_name()));
        let is_dir = entry.file_name() == "folder";
        assert_eq!(entry.file_type().await.unwrap().is_dir(), is_dir);
        let metadata = entry.metadata().await.unwrap();
        assert_eq!(entry.ino(), std::os::unix::fs::MetadataExt::ino(&metadata));
        assert!(
            metadata.is_dir() == is_dir
                && (is_dir || metadata.len() as usize == entry.file_name().len())
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    assert!(entries.next_entry().await.unwrap().is_none(), "the end stays");
    names.sort();
    assert_eq!(names, expected);

    let streamed = fs::read_dir(&folder.0).await.unwrap();
    let mut streamed: Vec<_> =
        streamed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect().await;
    streamed.sort();
    assert_eq!(streamed, expected);

    let mut entries = fs::read_dir(&folder.0).await.unwrap();
    let gone = entries.next_entry().await.unwrap().unwrap();
    fs::remove_dir_all(&folder.0).await.unwrap();
    let error = gone.metadata().await.unwrap_err();
    assert_says(&error, io::ErrorKind::NotFound, "look at", &gone.path());
}

#[cfg(target_os = "linux")]
fn make_fifo(folder: &Folder) -> PathBuf {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let path = folder.path("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    path
}

#[cfg(target_os = "linux")]
#[test]
fn a_fifo_is_watched_and_waits_for_its_first_writer() {
    bounded(|| {
        // If a thread waited with it, nothing else would be done.
        loop_with_threads(1).block_on(async {
            let folder = on_disk();
            let path = make_fifo(&folder);
            let error = File::options().write(true).open(&path).await.unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("open {path:?}: ")),
                "nothing reads: {error}"
            );

            let mut reader = File::open(&path).await.unwrap();
            let mut buf = [0; 100];
            assert!(begin(reader.read(&mut buf)).await.is_pending());
            let reading = spawn(async move {
                let n = reader.read(&mut buf).await.unwrap();
                (reader, buf[..n].to_vec())
            });
            let mut writer = File::options().write(true).open(&path).await.unwrap();
            for _ in 0..10 {
                fs::metadata(&path).await.unwrap();
                assert!(!reading.is_finished(), "there is a writer, but nothing was written");
            }
            writer.write_all(b"soup").await.unwrap();
            let (mut reader, read) = reading.await.unwrap();
            assert_eq!(read, b"soup");
            assert!(begin(reader.read(&mut buf)).await.is_pending());
            writer.write_all(b"bread").await.unwrap();
            drop(writer);
            assert_eq!(read_to_end(&mut reader, 2).await, b"bread", "and the end");
            drop(reader);

            // A writer that comes and goes before the first read.
            let mut reader = File::open(&path).await.unwrap();
            std::fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .write_all(b"gone")
                .unwrap();
            assert_eq!(read_to_end(&mut reader, 100).await, b"gone");

            // What there is no room for waits; without a reader it is an error.
            let mut writer = File::options().write(true).open(&path).await.unwrap();
            let large = bytes(1 << 20);
            assert!(begin(writer.write_all(&large)).await.is_pending(), "a pipe holds 64 KiB");
            let error = reader.seek(SeekFrom::Start(0)).await.unwrap_err();
            assert_says(&error, io::ErrorKind::NotSeekable, "seek in", &path);
            drop(reader);
            let error = writer.write(b"x").await.unwrap_err();
            assert_says(&error, io::ErrorKind::BrokenPipe, "write", &path);
        });
    });
}

#[cfg(target_os = "linux")]
#[headwaiter::test(within = "60s")]
async fn a_megabyte_goes_through_a_fifo() {
    let _beside_others = beside_other_tests();
    let folder = on_disk();
    let path = make_fifo(&folder);
    let mut reader = File::open(&path).await.unwrap();
    let mut writer = File::options().write(true).open(&path).await.unwrap();
    let writing = spawn(async move { writer.write_all(&bytes(1 << 20)).await.unwrap() });
    assert_eq!(read_to_end(&mut reader, 5000).await, bytes(1 << 20));
    writing.await.unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_watched() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    bounded(|| {
        loop_with_threads(1).block_on(async {
            let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&master).unwrap();
            unlockpt(&master).unwrap();
            let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
            let mut terminal = File::options().read(true).write(true).open(&path).await.unwrap();
            let mut buf = [0; 100];
            assert!(begin(terminal.read(&mut buf)).await.is_pending());
            fs::metadata(&path).await.unwrap();
            rustix::io::write(&master, b"soup\nbread\n").unwrap();
            // One line a read, so that a short one does not mean that there is no more.
            assert_eq!(terminal.read(&mut buf).await.unwrap(), 5);
            assert_eq!(terminal.read(&mut buf).await.unwrap(), 6);
            terminal.write_all(b"served").await.unwrap();
            drop(master);
        });
    });
}

#[cfg(target_os = "linux")]
#[headwaiter::test(within = "60s")]
async fn devices_that_are_always_ready_are_read_and_written_by_the_pool() {
    let _beside_others = beside_other_tests();
    let mut buf = [7; 1000];
    let mut null = File::options().read(true).write(true).open("/dev/null").await.unwrap();
    assert_eq!(null.read(&mut buf).await.unwrap(), 0);
    null.write_all(&buf).await.unwrap();
    let mut zero = File::open("/dev/zero").await.unwrap();
    zero.read_exact(&mut buf).await.unwrap();
    assert_eq!(buf, [0; 1000]);
    let mut random = File::open("/dev/urandom").await.unwrap();
    random.read_exact(&mut buf).await.unwrap();
    assert_ne!(buf, [0; 1000]);
    // Closed thousands of times, they leave nothing behind: as many may be open at once.
    for _ in 0..2000 {
        File::open("/dev/null").await.unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    alone(|| block_on(a_full_disk())); // It starts child processes.
}

#[cfg(target_os = "linux")]
async fn a_full_disk() {
    let folder = on_disk();
    let mount = |arguments: &[&str]| {
        let status = std::process::Command::new("mount").args(arguments).arg(&folder.0).output();
        status.is_ok_and(|output| output.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=64k", "headwaiter"]) {
        println!("skipped: no small tmpfs can be mounted");
        return;
    }
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let _unmount = Unmount(folder.0.clone());
    let path = folder.path("large");
    let mut file = File::create(&path).await.unwrap();
    let error = file.write_all(&bytes(100_000)).await.unwrap_err();
    assert_says(&error, io::ErrorKind::StorageFull, "write", &path);
    let fitted = std::fs::read(&path).unwrap();
    assert!(fitted.len() >= 32_768 && fitted == bytes(100_000)[..fitted.len()], "{}", fitted.len());
    // With room again, the same file works.
    file.set_len(1000).await.unwrap();
    file.seek(SeekFrom::End(0)).await.unwrap();
    file.write_all(b"more").await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap().len(), 1004);
    let error = fs::write(folder.path("other"), bytes(100_000)).await.unwrap_err();
    assert_says(&error, io::ErrorKind::StorageFull, "write", &folder.path("other"));
}

mod model {
    //! Random operations, on a `File` and on one of std.
    use super::*;
    use crate::support::random::Random;
    use std::io::{Read, Seek};

    #[derive(Clone, Debug)]
    enum Step {
        Read(usize),
        DroppedRead(usize),
        Write(Vec<u8>),
        DroppedWrite(Vec<u8>),
        Seek(SeekFrom),
        DroppedSeek(SeekFrom),
        SetLen(u64),
        ThroughStd,
    }

    fn step(random: &Random) -> Step {
        let seek = || match random.below(3) {
            0 => SeekFrom::Start(random.below(60_000)),
            1 => SeekFrom::Current(random.below(40_000_i64) - 20_000),
            _ => SeekFrom::End(random.below(61_000_i64) - 60_000),
        };
        let contents = || vec![random.next() as u8; random.below(9000)];
        match random.below(17) {
            0..=5 => Step::Read(random.below(9000)),
            6 | 7 => Step::DroppedRead(1 + random.below(8999)),
            8..=10 => Step::Write(contents()),
            11 => Step::DroppedWrite(contents()),
            12 | 13 => Step::Seek(seek()),
            14 => Step::DroppedSeek(seek()),
            15 => Step::SetLen(random.below(50_000)),
            _ => Step::ThroughStd,
        }
    }

    async fn run(folder: &Folder, append: bool, steps: Vec<Step>) {
        let [ours, theirs] = ["ours", "theirs"].map(|name| folder.file(name, bytes(40_000)));
        let mut file =
            File::options().read(true).write(true).append(append).open(&ours).await.unwrap();
        let mut model = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .append(append)
            .open(&theirs)
            .unwrap();
        for step in steps {
            match step {
                Step::Read(count) => {
                    let (mut buf, mut same) = (vec![0; count], vec![0; count]);
                    let n = file.read(&mut buf).await.unwrap();
                    same.truncate(n);
                    if n > 0 {
                        model.read_exact(&mut same).unwrap();
                    } else if count > 0 {
                        assert_eq!(model.read(&mut [0]).unwrap(), 0, "the end");
                    }
                    assert_eq!(buf[..n], same);
                }
                Step::DroppedRead(count) => {
                    if let Poll::Ready(n) = begin(file.read(&mut vec![0; count])).await {
                        model.seek_relative(n.unwrap() as i64).unwrap();
                    }
                }
                Step::Write(contents) => {
                    file.write_all(&contents).await.unwrap();
                    model.write_all(&contents).unwrap();
                }
                // One that is dropped while it waits for another has not begun.
                Step::DroppedWrite(contents) => {
                    futures_lite::AsyncWriteExt::flush(&mut file).await.unwrap();
                    let _ = begin(file.write(&contents)).await;
                    model.write_all(&contents).unwrap();
                }
                Step::Seek(to) => {
                    let (a, b) = (file.seek(to).await, model.seek(to));
                    assert_eq!(a.map_err(|error| error.kind()), b.map_err(|error| error.kind()));
                }
                Step::DroppedSeek(to) => {
                    futures_lite::AsyncWriteExt::flush(&mut file).await.unwrap();
                    let _ = begin(file.seek(to)).await;
                    if model.seek(to).is_err() {
                        // If it was still in flight, its error is returned here.
                        let _ = file.seek(SeekFrom::Current(0)).await;
                    }
                }
                Step::SetLen(size) => {
                    file.set_len(size).await.unwrap();
                    model.set_len(size).unwrap();
                }
                Step::ThroughStd => {
                    let mut std = file.into_std().await.unwrap();
                    assert_eq!(std.stream_position().unwrap(), model.stream_position().unwrap());
                    file = File::from_std(std).unwrap();
                }
            }
        }
        drop(file.into_std().await.unwrap());
        assert!(
            std::fs::read(&ours).unwrap() == std::fs::read(&theirs).unwrap(),
            "the contents differ"
        );
    }

    #[test]
    fn a_file_agrees_with_one_of_std_whatever_is_done_with_it() {
        bounded(|| {
            let folders = folders();
            let mut event_loop = EventLoop::new().unwrap();
            for seed in 0..100 {
                println!("seed {seed}"); // Shown if it fails.
                let random = Random::new(seed);
                let (append, count) = (random.below(2) == 1, random.below(40));
                let steps: Vec<Step> = (0..count).map(|_| step(&random)).collect();
                for folder in &folders {
                    event_loop.block_on(run(folder, append, steps.clone()));
                }
            }
        });
    }
}
