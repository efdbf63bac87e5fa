//! The standard streams, whatever they are: a terminal, a pipe, a socket, a file, a device, or closed. Each test runs
//! this very program again as a child, with the streams in question and a role: see `a_child_in_its_role`.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::future::{pending, poll_fn};
use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use crate::support::*;
use futures_lite::future::{or, zip};
use futures_lite::{AsyncWrite, AsyncWriteExt};
use headwaiter::io::{
    Async, PipeReader, PipeWriter, Stderr, Stdin, Stdout, copy, stderr, stdin, stdout,
};
use headwaiter::task::yield_now;
use headwaiter::time::sleep;
use headwaiter::{EventLoop, block_on, spawn};
use rustix::event::{EventfdFlags, eventfd};
use rustix::termios::{Action, OptionalActions, tcflow, tcgetattr, tcsetattr};

const MIB: usize = 1 << 20;

/// What a child reports to its test has lines of its own, among those of the test harness.
const MARK: &str = "::";

/// Where a child reports: its standard output, as it was at the start.
fn reports() -> &'static File {
    static REPORTS: OnceLock<File> = OnceLock::new();
    REPORTS.get_or_init(|| File::from(io::stdout().as_fd().try_clone_to_owned().unwrap()))
}

fn report(what: impl std::fmt::Display) {
    reports().write_all(format!("\n{MARK}{what}\n").as_bytes()).unwrap();
}

/// The standard output of this process becomes what it has as its standard error. (The test harness has the
/// first, and writes there; so it gets it back.)
fn with_the_error_as_output(run: impl FnOnce()) {
    report("begins");
    rustix::stdio::dup2_stdout(io::stderr()).unwrap();
    run();
    rustix::stdio::dup2_stdout(reports()).unwrap();
}

/// Not a test, but what a child does; it depends on the environment.
#[test]
fn a_child_in_its_role() {
    let Ok(role) = std::env::var("HEADWAITER_ROLE") else { return };
    let mut event_loop = EventLoop::new().unwrap();
    match role.as_str() {
        "read all" => event_loop.block_on(async {
            let mut stdin = stdin();
            report(format_args!("{stdin:?}"));
            read_all(&mut stdin).await;
        }),
        "read four" => event_loop.block_on(async {
            let mut four = [0; 4];
            stdin().read_exact(&mut four).await.unwrap();
            report(String::from_utf8_lossy(&four));
        }),
        "read past the end" => event_loop.block_on(async {
            let mut stdin = stdin();
            report(format_args!("{stdin:?}"));
            for _ in 0..3 {
                let mut bytes = [0; 100];
                let n = stdin.read(&mut bytes).await.unwrap();
                report(format_args!("{:?}", String::from_utf8_lossy(&bytes[..n])));
            }
        }),
        "wait and end" => event_loop.block_on(async {
            let mut stdin = stdin();
            let mut byte = [0];
            assert!(poll_once(&mut stdin.read(&mut byte)).await.is_pending());
            let mut reading = Box::pin(async move { stdin.read(&mut [0]).await });
            assert!(poll_once(&mut reading).await.is_pending());
            sleep(ms(1)).await; // The loop goes on.
            report("waits");
            drop(spawn(reading));
        }),
        "read in two ways" => event_loop.block_on(async {
            let (mut first, mut second) = (stdin(), stdin());
            let mut bytes = ([0; 8], [0; 8]);
            let (one, two) =
                zip(first.read_exact(&mut bytes.0), second.read_exact(&mut bytes.1)).await;
            one.and(two).unwrap();
            let mut all = [bytes.0, bytes.1].concat();
            all.sort_unstable();
            report(String::from_utf8_lossy(&all));
        }),
        "give up a read" => event_loop.block_on(async {
            let mut bytes = [0; 8];
            for keep in [true, false] {
                let mut first = stdin();
                assert!(poll_once(&mut first.read(&mut bytes)).await.is_pending());
                report("gave up");
                if keep {
                    // With room for less than was asked for.
                    first.read_exact(&mut bytes[..3]).await.unwrap();
                    first.read_exact(&mut bytes[3..]).await.unwrap();
                } else {
                    drop(first);
                    stdin().read_exact(&mut bytes).await.unwrap();
                }
                report(u64::from_ne_bytes(bytes));
            }
        }),
        "give up to read exactly" => event_loop.block_on(async {
            let (mut stdin, mut bytes) = (stdin(), [0; 8]);
            while bytes[..3] != *b"sou" {
                assert!(poll_once(&mut stdin.read_exact(&mut bytes)).await.is_pending());
                sleep(ms(1)).await;
            }
            report("gave up");
            stdin.read_exact(&mut bytes[3..]).await.unwrap();
            report(String::from_utf8_lossy(&bytes));
        }),
        "close and read" => event_loop.block_on(async {
            close_standard_input();
            let mut stdin = stdin();
            report(format_args!("{stdin:?}"));
            for _ in 0..1000 {
                let error = stdin.read(&mut [0]).await.unwrap_err();
                assert!(
                    error.to_string().contains("read standard input: Bad file descriptor"),
                    "{error}"
                );
            }
            sleep(ms(1)).await;
            report("the loop goes on");
        }),
        "read one" => event_loop.block_on(async {
            report_result(stdin().read(&mut [0]).await.map(drop));
        }),
        "write" => with_the_error_as_output(|| {
            event_loop.block_on(async {
                let mut stdout = stdout();
                report(format_args!("{stdout:?}"));
                let result = stdout.write_all(b"soup\n").await;
                stdout.flush().await.unwrap();
                report_result(result);
                sleep(ms(1)).await;
                report("the loop goes on");
            });
        }),
        "write to the error" => event_loop.block_on(async {
            let bytes = [IoSlice::new(b""), IoSlice::new(b"soup\n")];
            let mut stderr = stderr();
            let n =
                poll_fn(|cx| Pin::new(&mut stderr).poll_write_vectored(cx, &bytes)).await.unwrap();
            assert_eq!(n, 5);
            stderr.close().await.unwrap();
            stderr.write_all(b"salad\n").await.unwrap();
        }),
        "write much" => with_the_error_as_output(|| {
            event_loop.block_on(async {
                let writing = spawn(async { stdout().write_all(&[b'x'; MIB]).await });
                for _ in 0..10 {
                    sleep(ms(1)).await;
                }
                assert!(!writing.is_finished());
                report("the loop goes on");
                report_result(writing.await.unwrap());
            });
        }),
        "write much and end" => with_the_error_as_output(|| {
            event_loop.block_on(async {
                let mut writing = Box::pin(async { stdout().write_all(&[b'x'; MIB]).await });
                for _ in 0..10 {
                    assert!(poll_once(&mut writing).await.is_pending());
                    sleep(ms(1)).await;
                }
                report("waits");
                drop(spawn(writing));
            });
        }),
        "write to a broken pipe" => with_the_error_as_output(|| {
            sigpipe::reset();
            event_loop.block_on(async { report_result(stdout().write_all(b"soup\n").await) });
        }),
        "give up a write" => with_the_error_as_output(|| {
            event_loop.block_on(give_up_a_write());
        }),
        "carry" => with_the_error_as_output(|| {
            let carried = event_loop.block_on(async { copy(&mut stdin(), &mut stdout()).await });
            report(carried.unwrap());
        }),
        "list files" => {
            let list = || {
                let listed =
                    Command::new("sh").args(["-c", "echo /proc/self/fd/*"]).output().unwrap();
                String::from_utf8(listed.stdout).unwrap()
            };
            event_loop.block_on(async {
                let before = (list(), open_files());
                let streams: Vec<_> = (0..10).map(|_| (stdin(), stdout(), stderr())).collect();
                assert_eq!(list(), before.0, "what a child has of ours");
                drop(streams);
                assert_eq!(open_files(), before.1);
            });
            report("as before");
        }
        role => panic!("no such role: {role:?}"),
    }
}

fn report_result(result: io::Result<()>) {
    match result {
        Ok(()) => report("written"),
        Err(error) => report(format_args!("{:?}: {error}", error.kind())),
    }
}

async fn read_all(stdin: &mut Stdin) {
    let mut bytes = [0; 1000];
    loop {
        match stdin.read(&mut bytes).await.unwrap() {
            0 => return report("end"),
            n => report(String::from_utf8_lossy(&bytes[..n])),
        }
    }
}

/// An eventfd is written eight bytes at a time, a number to add; and takes no more than fit.
async fn give_up_a_write() {
    let mut stdout = stdout();
    let almost_full = (u64::MAX - 1).to_ne_bytes();
    stdout.write_all(&almost_full).await.unwrap();
    let one = 1_u64.to_ne_bytes();
    assert!(poll_once(&mut stdout.write_all(&one)).await.is_pending());
    report("gave up");
    // It is written still, and then what is written next; each once.
    let two = 2_u64.to_ne_bytes();
    assert_eq!(stdout.write(&two).await.unwrap(), 8);
    report("written");
    // As a trait has it: polled again with the same bytes it is the same write.
    let writes = async |stdout: &mut Stdout, bytes: [u8; 8]| {
        poll_fn(|cx| Pin::new(&mut *stdout).poll_write(cx, &bytes)).await.unwrap()
    };
    assert_eq!(writes(&mut stdout, 3_u64.to_ne_bytes()).await, 8);
    assert_eq!(writes(&mut stdout, 4_u64.to_ne_bytes()).await, 8);
    // A write that is invalid and is dropped: the next write returns its error, and the one after that works.
    assert!(poll_once(&mut stdout.write(&[0; 3])).await.is_pending());
    let error = stdout.write(&one).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(stdout.write(&one).await.unwrap(), 8);
    // A handle that is dropped while its write is in flight.
    let mut other = headwaiter::io::stdout();
    assert!(poll_once(&mut other.write_all(&5_u64.to_ne_bytes())).await.is_pending());
    drop(other);
    assert_eq!(stdout.write(&[]).await.unwrap(), 0);
    report("done");
}

/// What safe code cannot do, and a program in which the standard input is closed has done.
#[allow(unsafe_code)]
fn close_standard_input() {
    use std::os::fd::FromRawFd;
    // SAFETY: nothing in this child uses the descriptor except `stdin`, which is to find out that it is closed.
    drop(unsafe { OwnedFd::from_raw_fd(0) });
}

/// A child in a role.
struct Role {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Role {
    fn start(role: &str, stdin: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Role {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "stdio::a_child_in_its_role", "--nocapture", "--test-threads=1"]);
        command.env("HEADWAITER_ROLE", role).stdin(stdin).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Role { child, said }
    }

    /// A child whose output stream is this.
    fn writer(role: &str, output: impl Into<Stdio>) -> Role {
        let mut role = Role::start(role, Stdio::null(), output);
        assert_eq!(role.says(), "begins");
        role
    }

    /// The next that it reports.
    #[track_caller]
    fn says(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(
                self.said.read_line(&mut line).unwrap() > 0,
                "the child has ended: {:?}",
                self.child.wait()
            );
            if let Some(said) = line.strip_prefix(MARK) {
                return said.trim_end_matches('\n').to_owned();
            }
        }
    }

    #[track_caller]
    fn ends_well(&mut self) {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {rest}");
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended by itself.
        let _ = self.child.wait();
    }
}

#[test]
fn a_pipe_as_standard_input_is_watched_and_its_mode_is_left_alone() {
    bounded(|| {
        let (reader, mut writer) = io::pipe().unwrap();
        let ours = reader.try_clone().unwrap();
        let mut child = Role::start("read all", reader, Stdio::inherit());
        assert_eq!(child.says(), "standard input (watched)");
        assert!(!is_nonblocking(&ours));
        writer.write_all(b"soup").unwrap();
        assert_eq!(child.says(), "soup");
        writer.write_all(b"salad").unwrap();
        assert_eq!(child.says(), "salad");
        drop(writer);
        assert_eq!(child.says(), "end");
        child.ends_well();
        assert!(!is_nonblocking(&ours));
    });
}

#[test]
fn a_socket_as_standard_input_is_watched_and_its_mode_is_left_alone() {
    bounded(|| {
        let (theirs, mut ours) = UnixStream::pair().unwrap();
        let duplicate = theirs.try_clone().unwrap();
        let mut child = Role::start("read all", OwnedFd::from(theirs), Stdio::inherit());
        assert_eq!(child.says(), "standard input (watched)");
        ours.write_all(b"soup").unwrap();
        assert_eq!(child.says(), "soup");
        assert!(!is_nonblocking(&duplicate));
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(child.says(), "end");
        child.ends_well();
        assert!(!is_nonblocking(&duplicate));
    });
}

#[test]
fn a_terminal_as_standard_input_is_watched_and_read_on_after_its_end() {
    bounded(|| {
        let (master, slave) = terminal();
        let ours = slave.try_clone().unwrap();
        let mut child = Role::start("read past the end", slave, Stdio::inherit());
        assert_eq!(child.says(), "standard input (watched)");
        let mut master = File::from(master);
        master.write_all(b"soup\n").unwrap();
        assert_eq!(child.says(), r#""soup\n""#);
        assert!(!is_nonblocking(&ours));
        master.write_all(b"\x04").unwrap();
        assert_eq!(child.says(), r#""""#);
        master.write_all(b"salad\n").unwrap();
        assert_eq!(child.says(), r#""salad\n""#);
        child.ends_well();
        assert!(!is_nonblocking(&ours));
    });
}

#[test]
fn the_other_side_of_a_terminal_is_not_opened_anew() {
    bounded(|| {
        // Opening /dev/ptmx again would be another terminal.
        let (master, slave) = terminal();
        let mut mode = tcgetattr(&slave).unwrap();
        mode.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &mode).unwrap();
        let mut child = Role::start("read all", master, Stdio::inherit());
        assert_eq!(child.says(), "standard input (by a thread)");
        let mut slave = File::from(slave);
        slave.write_all(b"soup").unwrap();
        assert_eq!(child.says(), "soup");
        drop(child); // It waits for more.
    });
}

#[test]
fn a_file_as_standard_input_is_read_where_others_have_left_off_and_no_further_than_asked() {
    bounded(|| {
        let folder = Folder::new();
        let menu = folder.path("menu");
        std::fs::write(&menu, "soup salad bread").unwrap();
        let mut ours = File::open(&menu).unwrap();
        ours.seek_relative(5).unwrap();
        let mut child = Role::start("read four", ours.try_clone().unwrap(), Stdio::inherit());
        assert_eq!(child.says(), "sala");
        child.ends_well();
        assert_eq!(ours.stream_position().unwrap(), 9);
        let mut child = Role::start("read all", ours.try_clone().unwrap(), Stdio::inherit());
        assert_eq!(child.says(), "standard input (by a thread)");
        assert_eq!(child.says(), "d bread");
        assert_eq!(child.says(), "end");
        child.ends_well();
    });
}

#[test]
fn standard_input_from_dev_null_or_closed_at_the_start_is_at_its_end() {
    bounded(|| {
        let mut child = Role::start("read all", Stdio::null(), Stdio::inherit());
        assert_eq!(child.says(), "standard input (by a thread)");
        assert_eq!(child.says(), "end");
        child.ends_well();

        let mut command = Command::new("sh");
        let script =
            r#"exec "$0" --exact stdio::a_child_in_its_role --nocapture --test-threads=1 <&-"#;
        command.args(["-c", script]).arg(std::env::current_exe().unwrap());
        let output = command.env("HEADWAITER_ROLE", "read all").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("\n::end\n"), "{said}");
        assert!(output.status.success());
    });
}

#[test]
fn standard_input_that_was_closed_is_an_error_that_says_so() {
    bounded(|| {
        let mut child = Role::start("close and read", Stdio::null(), Stdio::inherit());
        assert_eq!(child.says(), "standard input (closed)");
        assert_eq!(child.says(), "the loop goes on");
        child.ends_well();
    });
}

#[test]
fn the_wrong_end_of_a_pipe_is_an_error_and_not_opened_as_the_right_one() {
    bounded(|| {
        let (reader, writer) = io::pipe().unwrap();
        let mut child = Role::start("read one", OwnedFd::from(writer), Stdio::inherit());
        assert!(child.says().contains("read standard input: Bad file descriptor"));
        let mut child = Role::writer("write", OwnedFd::from(reader));
        assert_eq!(child.says(), "standard output (by a thread)");
        assert!(child.says().contains("write to standard output: Bad file descriptor"));
    });
}

#[test]
fn a_read_that_waits_does_not_keep_the_process_from_exiting() {
    bounded(|| {
        let (reader, _writer) = io::pipe().unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        let (_master, slave) = terminal();
        let by_thread = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let kinds = [OwnedFd::from(reader), OwnedFd::from(socket), slave, by_thread];
        for input in kinds {
            let mut child = Role::start("wait and end", input, Stdio::inherit());
            assert_eq!(child.says(), "waits");
            child.ends_well();
        }
    });
}

#[test]
fn of_several_handles_each_byte_goes_to_one() {
    bounded(|| {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut child = Role::start("read in two ways", reader, Stdio::inherit());
        writer.write_all(b"0123456789abcdef").unwrap();
        assert_eq!(child.says(), "0123456789abcdef");
        child.ends_well();
        let folder = Folder::new();
        let menu = folder.path("menu");
        std::fs::write(&menu, "0123456789abcdef").unwrap();
        let mut child =
            Role::start("read in two ways", File::open(&menu).unwrap(), Stdio::inherit());
        assert_eq!(child.says(), "0123456789abcdef");
        child.ends_well();
    });
}

#[test]
fn a_read_that_was_given_up_loses_nothing() {
    bounded(|| {
        // An eventfd cannot be opened again, so a thread reads it, all eight bytes at once, even if it is in
        // non-blocking mode.
        for flags in [EventfdFlags::CLOEXEC, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK] {
            let input = eventfd(0, flags).unwrap();
            let ours = input.try_clone().unwrap();
            let mut child = Role::start("give up a read", input, Stdio::inherit());
            for number in [5_u64, 6] {
                assert_eq!(child.says(), "gave up");
                rustix::io::write(&ours, &number.to_ne_bytes()).unwrap();
                assert_eq!(child.says(), number.to_string());
            }
            child.ends_well();
        }
        let (reader, mut writer) = io::pipe().unwrap();
        let mut child = Role::start("give up a read", reader, Stdio::inherit());
        for number in [7_u64, 8] {
            assert_eq!(child.says(), "gave up");
            writer.write_all(&number.to_ne_bytes()).unwrap();
            assert_eq!(child.says(), number.to_string());
        }
        child.ends_well();
    });
}

#[test]
fn what_was_read_of_an_exact_read_that_was_given_up_is_in_its_buffer() {
    bounded(|| {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"sou").unwrap();
        let mut child = Role::start("give up to read exactly", reader, Stdio::inherit());
        assert_eq!(child.says(), "gave up");
        writer.write_all(b"p now").unwrap();
        assert_eq!(child.says(), "soup now");
        child.ends_well();
    });
}

#[test]
fn what_is_written_to_a_pipe_a_socket_and_a_terminal_comes_out() {
    bounded(|| {
        let (reader, writer) = io::pipe().unwrap();
        let (socket, peer) = UnixStream::pair().unwrap();
        let (master, slave) = terminal();
        let kinds = [
            (OwnedFd::from(writer), OwnedFd::from(reader), "soup\n"),
            (OwnedFd::from(socket), OwnedFd::from(peer), "soup\n"),
            (slave, master, "soup\r\n"),
        ];
        for (theirs, ours, expected) in kinds {
            let duplicate = theirs.try_clone().unwrap();
            let mut child = Role::writer("write", theirs);
            assert_eq!(child.says(), "standard output (watched)");
            assert_eq!(child.says(), "written");
            assert!(!is_nonblocking(&duplicate));
            let mut came = vec![0; expected.len()];
            File::from(ours).read_exact(&mut came).unwrap();
            assert_eq!(String::from_utf8_lossy(&came), expected);
            child.ends_well();
            assert!(!is_nonblocking(&duplicate));
        }
    });
}

#[test]
fn what_is_written_to_a_file_stands_where_others_have_left_off_and_is_appended() {
    bounded(|| {
        for append in [false, true] {
            let folder = Folder::new();
            let menu = folder.path("menu");
            std::fs::write(&menu, "menu:\nnothing\nno thing").unwrap();
            let mut ours = File::options().write(true).append(append).open(&menu).unwrap();
            ours.seek_relative(6).unwrap();
            let mut child = Role::writer("write", ours.try_clone().unwrap());
            assert_eq!(child.says(), "standard output (by a thread)");
            assert_eq!(child.says(), "written");
            // When it is said to be written, it is.
            let expected =
                if append { "menu:\nnothing\nno thingsoup\n" } else { "menu:\nsoup\nng\nno thing" };
            assert_eq!(std::fs::read_to_string(&menu).unwrap(), expected);
            child.ends_well();
            ours.write_all(b"salad").unwrap();
            let expected = if append {
                "menu:\nnothing\nno thingsoup\nsalad"
            } else {
                "menu:\nsoup\nsalad thing"
            };
            assert_eq!(std::fs::read_to_string(&menu).unwrap(), expected);
        }
    });
}

#[test]
fn a_full_disk_is_an_error_of_the_write_and_dev_null_takes_all() {
    bounded(|| {
        let mut child = Role::writer("write", File::create("/dev/full").unwrap());
        assert_eq!(child.says(), "standard output (by a thread)");
        let said = child.says();
        assert!(
            said.starts_with("StorageFull: write to standard output: No space left on device"),
            "{said}"
        );
        assert_eq!(child.says(), "the loop goes on");
        child.ends_well();
        let mut child = Role::writer("write", Stdio::null());
        assert_eq!(child.says(), "standard output (by a thread)");
        assert_eq!(child.says(), "written");
        child.ends_well();
    });
}

#[test]
fn standard_error_is_written_too() {
    bounded(|| {
        let (mut reader, writer) = io::pipe().unwrap();
        Role::start("write to the error", Stdio::null(), writer).ends_well();
        let mut came = String::new();
        reader.read_to_string(&mut came).unwrap();
        assert_eq!(came, "soup\nsalad\n");
    });
}

#[test]
fn a_reader_that_is_slow_or_goes_holds_up_the_write_and_not_the_loop() {
    bounded(|| {
        let pipe = || io::pipe().map(|(r, w)| (OwnedFd::from(r), OwnedFd::from(w))).unwrap();
        let socket =
            || UnixStream::pair().map(|(a, b)| (OwnedFd::from(a), OwnedFd::from(b))).unwrap();
        for (reader, writer) in [pipe(), socket()] {
            let mut child = Role::writer("write much", writer);
            assert_eq!(child.says(), "the loop goes on");
            let mut came = vec![0; MIB];
            File::from(reader).read_exact(&mut came).unwrap();
            assert!(came.iter().all(|byte| *byte == b'x'));
            assert_eq!(child.says(), "written");
            child.ends_well();
        }
        for (reader, writer) in [pipe(), socket()] {
            let mut child = Role::writer("write much", writer);
            assert_eq!(child.says(), "the loop goes on");
            drop(reader);
            let said = child.says();
            assert!(said.starts_with("BrokenPipe: write to standard output: "), "{said}");
            child.ends_well();
        }
    });
}

#[test]
fn a_terminal_that_was_stopped_holds_up_the_write_and_not_the_loop() {
    bounded(|| {
        let (master, slave) = terminal();
        // As Ctrl-S does.
        tcflow(&slave, Action::OOff).unwrap();
        let mut child = Role::writer("write much", slave.try_clone().unwrap());
        assert_eq!(child.says(), "the loop goes on");
        tcflow(&slave, Action::OOn).unwrap();
        let mut came = vec![0; MIB];
        File::from(master).read_exact(&mut came).unwrap();
        assert!(came.iter().all(|byte| *byte == b'x'));
        assert_eq!(child.says(), "written");
        child.ends_well();
    });
}

#[test]
fn a_write_that_waits_does_not_keep_the_process_from_exiting() {
    bounded(|| {
        let (_reader, writer) = io::pipe().unwrap();
        let (_peer, socket) = UnixStream::pair().unwrap();
        let (_master, slave) = terminal();
        tcflow(&slave, Action::OOff).unwrap();
        // This one is written by a thread.
        let (master, raw) = terminal();
        let mut mode = tcgetattr(&raw).unwrap();
        mode.make_raw();
        tcsetattr(&raw, OptionalActions::Now, &mode).unwrap();
        for output in [OwnedFd::from(writer), OwnedFd::from(socket), slave, master] {
            let mut child = Role::writer("write much and end", output);
            assert_eq!(child.says(), "waits");
            child.ends_well();
        }
    });
}

#[test]
fn with_sigpipe_at_its_default_a_reader_that_is_gone_is_an_error_where_the_kernel_can_do_that() {
    bounded(|| {
        use rustix::io::{ReadWriteFlags, pwritev2};
        let null = File::create("/dev/null").unwrap();
        let nosignal = ReadWriteFlags::from_bits_retain(0x100);
        let silent = pwritev2(&null, &[IoSlice::new(b"soup")], 0, nosignal).is_ok();
        let (_, socket) = UnixStream::pair().unwrap();
        let (_, pipe) = io::pipe().unwrap();
        let kinds = [(OwnedFd::from(socket), true), (OwnedFd::from(pipe), silent)];
        for (output, can) in kinds {
            if can {
                let mut child = Role::writer("write to a broken pipe", output);
                let said = child.says();
                assert!(said.starts_with("BrokenPipe: write to standard output: "), "{said}");
                child.ends_well();
            }
        }
    });
}

#[test]
fn a_write_that_was_given_up_is_written_once_and_its_error_is_heard() {
    bounded(|| {
        for flags in [EventfdFlags::CLOEXEC, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK] {
            let output = eventfd(0, flags).unwrap();
            let ours = output.try_clone().unwrap();
            let number = || {
                let mut bytes = [0; 8];
                rustix::io::read(&ours, &mut bytes).unwrap();
                u64::from_ne_bytes(bytes)
            };
            let mut child = Role::writer("give up a write", output);
            assert_eq!(child.says(), "gave up");
            let mut sum = number() - (u64::MAX - 1);
            assert_eq!(child.says(), "written");
            assert_eq!(child.says(), "done");
            child.ends_well();
            // The dropped 1, then 2, 3, 4, 1, and the 5 that may have been dropped before it began.
            sum += number();
            assert!(sum == 11 || sum == 16, "{sum}");
        }
    });
}

#[test]
fn everything_is_carried_from_input_to_output() {
    bounded(|| {
        let (reader, mut to_child) = io::pipe().unwrap();
        let (mut from_child, writer) = io::pipe().unwrap();
        let mut child = Role::start("carry", reader, writer);
        let bytes: Vec<u8> = (0..3 * MIB).map(|n| (n % 251) as u8).collect();
        let sent = bytes.clone();
        let sending = std::thread::spawn(move || to_child.write_all(&sent).unwrap());
        let mut came = vec![0; bytes.len()];
        from_child.read_exact(&mut came).unwrap();
        sending.join().unwrap();
        assert!(came == bytes);
        assert_eq!((child.says(), child.says()), ("begins".to_owned(), bytes.len().to_string()));
        child.ends_well();

        // From a file to a file: by a thread each.
        let folder = Folder::new();
        let (from, to) = (folder.path("from"), folder.path("to"));
        std::fs::write(&from, &bytes).unwrap();
        let mut child =
            Role::start("carry", File::open(&from).unwrap(), File::create(&to).unwrap());
        assert_eq!((child.says(), child.says()), ("begins".to_owned(), bytes.len().to_string()));
        child.ends_well();
        assert!(std::fs::read(&to).unwrap() == bytes);
    });
}

#[test]
fn handles_leave_nothing_to_children_and_nothing_behind() {
    bounded(|| {
        let (reader, _writer) = io::pipe().unwrap();
        let folder = Folder::new();
        let menu = folder.path("menu");
        let mut child = Role::start("list files", reader, File::create(&menu).unwrap());
        assert_eq!(child.says(), "as before");
        child.ends_well();
    });
}

#[test]
fn handles_may_be_moved_to_other_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<(Stdin, Stdout, Stderr)>();
    is_send_and_sync::<(PipeReader, PipeWriter, Async<OwnedFd>)>();
    fn is_send<T: Send>(_: &T) {}
    is_send(&copy(&mut &b""[..], &mut Vec::new()));
}

#[test]
fn outside_any_loop_a_standard_stream_says_so() {
    bounded(|| {
        let text = panic_text(|| drop(stdin()));
        assert!(text.contains("standard input was used outside any event loop"), "{text}");
        let text = panic_text(|| drop(stdout()));
        assert!(text.contains("standard output was used outside any event loop"), "{text}");
        // A handle outlives its loop.
        let (reader, writer) = block_on(async { (stdin(), stderr()) });
        drop((reader, writer));
        block_on(async {
            let first = or(async { yield_now().await }, pending());
            first.await;
        });
    });
}
