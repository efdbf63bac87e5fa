//! Pipes as tokio's `net::unix::pipe` has them: FIFOs that are opened by path, files that are checked, vectored tries.

use std::fs::OpenOptions as StdOptions;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::path::PathBuf;

use crate::support::*;
use headwaiter::io::{PipeReader, PipeWriter, os_error, pipe};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::Errno;

fn fifo(folder: &Folder) -> PathBuf {
    let path = folder.path("orders");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    path
}

#[headwaiter::test(within = "60s")]
async fn the_ends_of_a_fifo_are_opened_by_its_path_without_waiting() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let path = fifo(&folder);
    // No reader yet: fifo(7).
    let error = pipe::OpenOptions::new().open_sender(&path).unwrap_err();
    assert_eq!(os_error(&error), Some(Errno::NXIO.raw_os_error()));
    assert!(error.to_string().contains("orders"), "{error}");

    let mut kitchen = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let mut order = [0; 8];
    let mut reading = kitchen.read(&mut order);
    assert!(poll_once(&mut reading).await.is_pending(), "it waits for the first writer");
    let mut guest = pipe::OpenOptions::new().open_sender(&path).unwrap();
    guest.write_all(b"soup").await.unwrap();
    assert_eq!(reading.await.unwrap(), 4);
    drop(guest);
    assert_eq!(kitchen.read(&mut order).await.unwrap(), 0, "its last writer is gone");
    assert!(is_nonblocking(&kitchen));
}

#[headwaiter::test(within = "60s")]
async fn a_fifo_that_is_open_for_both_never_ends_and_needs_no_reader() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let path = fifo(&folder);
    let mut guest = pipe::OpenOptions::new().read_write(true).open_sender(&path).unwrap();
    guest.write_all(b"soup").await.unwrap();
    let mut kitchen = pipe::OpenOptions::new().read_write(true).open_receiver(&path).unwrap();
    let mut order = [0; 8];
    assert_eq!(kitchen.read(&mut order).await.unwrap(), 4);
    drop(guest);
    let mut reading = kitchen.read(&mut order);
    assert!(poll_once(&mut reading).await.is_pending(), "it waits for the next writer");
    pipe::OpenOptions::new().open_sender(&path).unwrap().write_all(b"bread").await.unwrap();
    assert_eq!(reading.await.unwrap(), 5);
}

#[headwaiter::test(within = "60s")]
async fn what_is_not_a_fifo_or_not_that_end_of_one_is_refused() {
    let _beside_others = beside_other_tests();
    let folder = Folder::new();
    let (file, path) = (folder.file("menu", "soup"), fifo(&folder));
    for read_write in [false, true] {
        let mut options = pipe::OpenOptions::new();
        options.read_write(read_write);
        let error = options.open_receiver(&file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.to_string().contains("menu") && error.to_string().contains("FIFO"),
            "{error}"
        );
        assert_eq!(options.open_sender(&file).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"soup");
    let missing = pipe::OpenOptions::new().open_receiver(folder.path("no such")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    // Left unchecked, the kernel does not watch a regular file. Its mode stays as it was.
    let error = pipe::OpenOptions::new().unchecked(true).open_receiver(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let regular = StdOptions::new().read(true).write(true).open(&file).unwrap();
    let error = PipeReader::from_file_unchecked(regular.try_clone().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let error = PipeWriter::from_file_unchecked(regular.try_clone().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!is_nonblocking(&regular));

    let reading = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let open = |read: bool| StdOptions::new().read(read).write(!read).open(&path).unwrap();
    let both = || StdOptions::new().read(true).write(true).open(&path).unwrap();
    let _writing = open(false);
    let error = PipeReader::from_file(open(false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(PipeWriter::from_file(open(true)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let regular = std::fs::File::open(&file).unwrap();
    assert_eq!(PipeReader::from_file(regular).unwrap_err().kind(), ErrorKind::InvalidInput);
    drop(reading);

    // Those that fit work, whatever their mode was.
    let mut kitchen = PipeReader::from_file(open(true)).unwrap();
    let mut guest = PipeWriter::from_file(open(false)).unwrap();
    guest.write_all(b"soup").await.unwrap();
    kitchen.read_exact(&mut [0; 4]).await.unwrap();
    let (mut kitchen, mut guest) =
        (PipeReader::from_file(both()).unwrap(), PipeWriter::from_file_unchecked(both()).unwrap());
    guest.write_all(b"soup").await.unwrap();
    kitchen.read_exact(&mut [0; 4]).await.unwrap();
}

#[headwaiter::test(within = "60s")]
async fn a_pipe_is_tried_from_and_into_several_buffers() {
    let _beside_others = beside_other_tests();
    let (reader, writer) = pipe().unwrap();
    let (mut first, mut rest) = ([0; 1], [0; 8]);
    assert!(would_block(reader.try_read_vectored(&mut [IoSliceMut::new(&mut first)])));
    assert_eq!(reader.try_read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
    assert_eq!(writer.try_write_vectored(&[]).unwrap(), 0);
    let parts = [IoSlice::new(b""), IoSlice::new(b"so"), IoSlice::new(b"up")];
    assert_eq!(writer.try_write_vectored(&parts).unwrap(), 4);
    reader.readable().await.unwrap();
    let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut rest)];
    assert_eq!(reader.try_read_vectored(&mut bufs).unwrap(), 4);
    assert_eq!((&first, &rest[..3]), (b"s", &b"oup"[..]));
    // A short one says that the pipe is empty; a full pipe would block.
    assert!(poll_once(&mut reader.readable()).await.is_pending());
    let more = vec![0; 100_000];
    while writer.try_write_vectored(&[IoSlice::new(&more), IoSlice::new(&more)]).is_ok() {}
    assert!(would_block(writer.try_write_vectored(&[IoSlice::new(b"soup")])));
    assert!(poll_once(&mut writer.writable()).await.is_pending());
    drop(writer);
    while reader.try_read_vectored(&mut [IoSliceMut::new(&mut [0; 65536])]).unwrap() > 0 {}
}
