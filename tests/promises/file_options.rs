//! Files to std and back without waiting, the size of their buffers, and directories with options.

use std::io::{Read as _, SeekFrom};
use std::sync::mpsc;

use crate::support::*;
use headwaiter::fs::{DirBuilder, File};
use headwaiter::{EventLoop, spawn_blocking};

#[headwaiter::test(within = "60s")]
async fn an_idle_file_becomes_one_of_std_at_once_at_its_position() {
    async fn becomes(folder: Folder) {
        let mut file = File::open(folder.file("menu", "soup and bread")).await.unwrap();
        file.read_exact(&mut [0; 5]).await.unwrap();
        let mut std = file.try_into_std().unwrap();
        let mut rest = String::new();
        std.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "and bread");

        let mut file = File::from_std(std).unwrap();
        file.seek(SeekFrom::Start(0)).await.unwrap();
        file.read_exact(&mut [0; 3]).await.unwrap();
        file.read_exact(&mut [0; 6]).await.unwrap();
        let mut rest = String::new();
        file.try_into_std().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "bread");
    }
    let _beside_others = beside_other_tests();
    becomes(Folder::new()).await;
    // On tmpfs the pool reads, and reads ahead: that is given back.
    if cfg!(target_os = "linux") {
        becomes(Folder::on("/dev/shm")).await;
    }
}

#[test]
fn a_file_whose_operation_is_in_flight_is_returned_and_nothing_is_lost() {
    bounded(|| {
        let mut event_loop = EventLoop::builder().blocking_threads(1).build().unwrap();
        event_loop.block_on(async {
            let folder = Folder::new();
            let path = folder.path("menu");
            let mut file = File::create(&path).await.unwrap();
            // The only thread of the pool is busy, so the write stays in the queue.
            let (release, gate) = mpsc::channel();
            let busy = spawn_blocking(move || gate.recv().unwrap());
            assert!(poll_once(&mut file.write(b"soup")).await.is_pending());
            let file = file.try_into_std().expect_err("a write is in flight");
            release.send(()).unwrap();
            busy.await.unwrap();
            file.into_std().await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"soup");

            let file = File::open(&path).await.unwrap();
            let metadata = file.metadata();
            let file = file.try_into_std().expect_err("it may still be asked for its metadata");
            assert_eq!(metadata.await.unwrap().len(), 4);
            file.try_into_std().unwrap();
        });
    });
}

#[headwaiter::test(within = "60s")]
async fn one_call_moves_no_more_than_the_size_that_was_set() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let path = folder.path("menu");
    let mut file = File::options().read(true).write(true).create(true).open(&path).await.unwrap();
    assert_eq!(file.max_buf_size(), 1024 * 1024);
    let order = vec![b'x'; 100];
    assert_eq!(file.write(&order).await.unwrap(), 100);
    file.set_max_buf_size(7);
    assert_eq!(file.max_buf_size(), 7);
    assert_eq!(file.write(&order).await.unwrap(), 7);
    file.write_all(&order).await.unwrap();
    assert_eq!(file.metadata().await.unwrap().len(), 207);
    #[cfg(unix)]
    assert_eq!(file.write_at(&order, 0).await.unwrap(), 7);

    // What the kernel has in memory is read at once, without a buffer. Files in /proc are not, and the pool reads ahead.
    #[cfg(target_os = "linux")]
    {
        let mut file = File::open("/proc/self/maps").await.unwrap();
        file.set_max_buf_size(16);
        for _ in 0..4 {
            let n = file.read(&mut [0; 100]).await.unwrap();
            assert!((1..=16).contains(&n), "{n}");
        }
    }
    assert!(panic_text(|| file.set_max_buf_size(0)).contains("set_max_buf_size(0)"));
    file.set_max_buf_size(usize::MAX);
    file.write_all(&order).await.unwrap();
}

#[headwaiter::test(within = "60s")]
async fn a_directory_is_created_with_its_parents_and_its_permissions() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let pantry = folder.path("kitchen/pantry");
    let error = DirBuilder::new().create(&pantry).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("pantry"), "{error}");
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(&pantry).await.unwrap();
    builder.create(&pantry).await.expect("it exists, which is no error");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&pantry).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    builder.recursive(false);
    let error = builder.create(&pantry).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
}
