//! Child processes: how they end, what they write, and that nothing is left of them. The programs are those that any
//! Linux has.
#![cfg(target_os = "linux")]

use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::pin::pin;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::program::have;
use crate::support::*;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use headwaiter::net::TcpListener;
use headwaiter::process::{Child, Command};
use headwaiter::time::{now, sleep, timeout};
use headwaiter::{Clock, EventLoop, block_on, spawn};
use rustix::process::{Pid, Signal, getpid, kill_process};

/// A child that ends only when it is killed. It does not keep our output open, should a test fail.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000").stdout(Stdio::null()).stderr(Stdio::null());
    command
}

const PROGRAMS: &[&str] = &["sh", "true", "false", "sleep", "cat"];

#[track_caller]
fn with_children(test: impl FnOnce() + Send + 'static) {
    if have(PROGRAMS) {
        bounded(test);
    }
}

#[track_caller]
fn in_a_loop<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    with_children(|| block_on(test()));
}

/// The state of a child of this process in the kernel: `Z` is a zombie. `None`: it was reaped.
fn state_of(id: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may have anything in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let (state, parent) = (fields.next()?.chars().next()?, fields.next()?);
    // Otherwise another process has the number now.
    (parent == getpid().as_raw_nonzero().to_string()).then_some(state)
}

fn turn_until_reaped(event_loop: &mut EventLoop, id: u32) {
    while state_of(id).is_some() {
        event_loop.turn(Some(Duration::from_secs(1))).unwrap();
    }
}

async fn is_reaped(id: u32) {
    while state_of(id).is_some() {
        sleep(ms(1)).await;
    }
}

fn end(id: u32) {
    kill_process(Pid::from_raw(id as i32).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_program_may_be_called_by_another_name() {
    in_a_loop(|| async {
        let output = shell("echo $0").arg0("kitchen").output().await.unwrap();
        assert_eq!(output.stdout, b"kitchen\n");
    });
}

#[test]
fn exit_codes_and_signals_are_told() {
    in_a_loop(|| async {
        assert!(Command::new("true").status().await.unwrap().success());
        assert_eq!(Command::new("false").status().await.unwrap().code(), Some(1));
        assert_eq!(shell("exit 77").status().await.unwrap().code(), Some(77));
        let killed = shell("kill -KILL $$").status().await.unwrap();
        assert_eq!((killed.code(), killed.signal()), (None, Some(9)));

        let mut child = shell("exit 5").spawn().unwrap();
        let id = child.id().unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(5));
        assert_eq!(child.id(), None, "the number may be another's now");
        assert_eq!(state_of(id), None);
        // It is remembered.
        assert_eq!(child.wait().await.unwrap().code(), Some(5));
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(5));
        child.start_kill().unwrap();
        child.kill().await.unwrap();
    });
}

#[test]
fn a_command_is_run_as_it_was_told() {
    in_a_loop(|| async {
        let mut command = shell("echo \"$1|$2|$SOUP|$SALAD|${HOME-unset}\"; pwd; cat");
        command.arg("zero").args(["one", "two three"]).env("SOUP", "hot");
        command.envs([("SALAD", "green")]).env_remove("HOME").current_dir("/");
        let output = command.output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text, "one|two three|hot|green|unset\n/\n", "and there is nothing to read");

        let mut bare = Command::new("/bin/sh");
        bare.args(["-c", "echo ${SOUP-unset}"]).env("SOUP", "hot").env_clear();
        assert_eq!(bare.output().await.unwrap().stdout, b"unset\n");

        // All of std's is reachable.
        let mut std = std::process::Command::new("sh");
        std.args(["-c", "echo $0"]).stdin(Stdio::null());
        let mut command = Command::from(std);
        command.as_std_mut().arg0("soup");
        assert_eq!(command.as_std().get_program(), "sh");
        assert_eq!(command.output().await.unwrap().stdout, b"soup\n");
    });
}

#[test]
fn output_takes_in_more_than_the_pipes_hold_from_both_streams() {
    in_a_loop(|| async {
        let big = "soup".repeat(25_000);
        // Errors first: reading the standard output to its end before the errors would hang.
        let mut command =
            shell("printf %s \"$BIG\" \"$BIG\" \"$BIG\" >&2; printf %s \"$BIG\" \"$BIG\"; exit 3");
        let output = command.env("BIG", &big).output().await.unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert!(output.stderr == big.repeat(3).into_bytes());
        assert!(output.stdout == big.repeat(2).into_bytes());
        // And in turns, each waiting for the other.
        let script =
            "for i in 1 2 3 4 5 6 7 8; do printf %s \"$BIG\"; printf %s \"$BIG\" >&2; done";
        let output = shell(script).env("BIG", &big).output().await.unwrap();
        assert!(output.stdout == big.repeat(8).into_bytes());
        assert!(output.stderr == big.repeat(8).into_bytes());
    });
}

#[test]
fn a_child_need_not_read_what_it_is_given() {
    in_a_loop(|| async {
        let output = shell("echo done").stdin(Stdio::piped()).output().await.unwrap();
        assert_eq!(output.stdout, b"done\n");

        let mut child =
            Command::new("true").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let too_much = vec![0; 1 << 20];
        let (written, output) =
            future::zip(stdin.write_all(&too_much), child.wait_with_output()).await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(output.unwrap().status.success());
    });
}

#[test]
fn the_ends_of_the_pipes_are_streams() {
    in_a_loop(|| async {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        assert!(child.stderr.is_none());
        for order in [&b"soup"[..], b"salad"] {
            stdin.write_all(order).await.unwrap();
            let mut served = vec![0; order.len()];
            stdout.read_exact(&mut served).await.unwrap();
            assert_eq!(served, order);
        }
        let sent: Vec<u8> = (0..1 << 20).map(|n: u32| (n / 7) as u8).collect();
        let mut came = Vec::new();
        let sending = async {
            AsyncWriteExt::write_all(&mut stdin, &sent).await.unwrap();
            drop(stdin);
        };
        future::zip(sending, stdout.read_to_end(&mut came)).await.1.unwrap();
        assert!(came == sent);
        assert!(child.wait().await.unwrap().success());

        // `wait` closes the stdin that is still there.
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(child.wait().await.unwrap().success());
        assert!(child.stdin.is_none());
    });
}

/// Unlike tokio: there, the pipe stays in non-blocking mode.
#[test]
fn a_pipe_may_go_from_one_child_to_another() {
    in_a_loop(|| async {
        let mut first = shell("echo soup").stdout(Stdio::piped()).spawn().unwrap();
        let pipe = first.stdout.take().unwrap().into_std().unwrap();
        let second = Command::new("cat").stdin(pipe).output().await.unwrap();
        assert_eq!(second.stdout, b"soup\n");
        assert!(first.wait().await.unwrap().success());
    });
}

#[test]
fn a_child_is_killed_and_reaped() {
    in_a_loop(|| async {
        let mut child = sleeper().spawn().unwrap();
        let id = child.id().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.kill().await.unwrap();
        assert_eq!(state_of(id), None);
        assert_eq!(child.wait().await.unwrap().signal(), Some(9));

        // Dropped half-way, it has killed nonetheless; not polled, it has not.
        let mut child = sleeper().spawn().unwrap();
        drop(child.kill());
        assert!(child.try_wait().unwrap().is_none());
        {
            let mut kill = pin!(child.kill());
            assert!(poll_once(&mut kill).await.is_pending());
        }
        assert_eq!(child.wait().await.unwrap().signal(), Some(9));
    });
}

#[test]
fn a_wait_that_is_dropped_half_way_loses_nothing() {
    in_a_loop(|| async {
        let mut child = shell("read line; exit $line").stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for _ in 0..10 {
            assert!(poll_once(&mut child.wait()).await.is_pending());
        }
        stdin.write_all(b"42\n").await.unwrap();
        let id = child.id().unwrap();
        is_reaped(id).await;
        assert_eq!(child.wait().await.unwrap().code(), Some(42));
    });
}

#[test]
fn a_dropped_child_runs_on_and_is_reaped() {
    with_children(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let child = event_loop.enter(|| sleeper().spawn().unwrap());
        let id = child.id().unwrap();
        drop(child);
        for _ in 0..10 {
            event_loop.turn(Some(ms(1))).unwrap();
        }
        assert!(!matches!(state_of(id), None | Some('Z')), "it runs");
        end(id);
        turn_until_reaped(&mut event_loop, id);

        // Dropped on another thread, which runs no loop.
        let child = event_loop.enter(|| sleeper().spawn().unwrap());
        let id = child.id().unwrap();
        thread::spawn(move || drop(child)).join().unwrap();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        end(id);
        turn_until_reaped(&mut event_loop, id);

        // Dropped as a zombie.
        let child = event_loop.enter(|| Command::new("true").spawn().unwrap());
        let id = child.id().unwrap();
        while state_of(id) != Some('Z') {
            thread::yield_now();
        }
        drop(child);
        turn_until_reaped(&mut event_loop, id);
    });
}

#[test]
fn kill_on_drop_kills_wherever_the_child_is_dropped() {
    with_children(|| {
        let mut event_loop = EventLoop::new().unwrap();
        let start = || {
            let child = sleeper().kill_on_drop(true).spawn().unwrap();
            let id = child.id().unwrap();
            (child, id)
        };
        let (child, id) = event_loop.enter(start);
        event_loop.enter(|| drop(child));
        turn_until_reaped(&mut event_loop, id);

        let (child, id) = event_loop.enter(start);
        thread::spawn(move || drop(child)).join().unwrap();
        turn_until_reaped(&mut event_loop, id);

        // By the drop of the task, of `status` and of `output`.
        let (child, id) = event_loop.enter(start);
        let task = event_loop.enter(|| spawn(async move { child.wait_with_output().await }));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        event_loop.enter(|| task.abort());
        turn_until_reaped(&mut event_loop, id);
        let script = "echo $$; exec sleep 1000";
        event_loop.block_on(async {
            let (mut reader, writer) = headwaiter::io::pipe().unwrap();
            let writer = writer.into_std().unwrap();
            let status =
                shell(script).stdout(writer).stderr(Stdio::null()).kill_on_drop(true).status();
            let mut line = [0; 20];
            let n = reader.read(&mut line).await.unwrap();
            let id = std::str::from_utf8(&line[..n]).unwrap().trim().parse().unwrap();
            drop(status);
            is_reaped(id).await;
        });

        // With the loop.
        let (child, id) = event_loop.enter(start);
        drop(event_loop.enter(|| {
            spawn(Holding(child, |_: &mut std::task::Context<'_>| std::task::Poll::Pending))
        }));
        drop(event_loop);
        block_on(async {
            while state_of(id).is_some() {
                Command::new("true").status().await.unwrap();
            }
        });
    });
}

#[test]
fn an_output_that_is_dropped_half_way_leaves_a_child_that_is_reaped() {
    in_a_loop(|| async {
        let mut child =
            shell("while :; do echo soup; done").stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read(&mut [0; 100]).await.unwrap();
        let id = child.id().unwrap();
        let mut output = pin!(child.wait_with_output());
        assert!(poll_once(&mut output).await.is_pending());
        output.set(shell("exit 0").output());
        // Nothing reads its output, so SIGPIPE ends it.
        is_reaped(id).await;
        assert!(output.await.unwrap().status.success());
    });
}

#[test]
fn a_pipe_given_to_a_command_ends_when_the_command_is_dropped_too() {
    in_a_loop(|| async {
        let (mut reader, writer) = headwaiter::io::pipe().unwrap();
        let mut command = shell("echo soup");
        command.stdout(writer.into_std().unwrap());
        assert!(command.status().await.unwrap().success());
        let mut said = [0; 10];
        assert_eq!(reader.read(&mut said).await.unwrap(), 5);
        assert!(
            poll_once(&mut reader.read(&mut said)).await.is_pending(),
            "the child has ended, the command is there"
        );
        drop(command);
        assert_eq!(reader.read(&mut said).await.unwrap(), 0);
    });
}

/// A shell that ends, and leaves a process behind that holds its output: the number of that process is the last line.
const LEAVES_A_SLEEPER: &str =
    "for n in 1 2 3 4 5 6 7 8; do echo $n; done; echo oops >&2; sleep 1000 & echo $!; exit 7";

/// Unlike tokio: there, a timeout around the wait loses what was read.
#[test]
fn an_output_that_a_grandchild_holds_is_cut_after_the_grace_with_all_that_came_and_the_status() {
    with_children(|| {
        for event_loop in [EventLoop::new().unwrap(), virtual_loop()] {
            let mut event_loop = event_loop;
            event_loop.block_on(async {
                for grace in [Duration::ZERO, ms(20), Duration::MAX] {
                    let output = shell(LEAVES_A_SLEEPER).output();
                    let mut output =
                        if grace == Duration::MAX { output } else { output.grace(grace) };
                    if grace == Duration::MAX {
                        // Without a grace period it waits for the grandchild. Then a grace period is set.
                        assert!(
                            future::or(
                                async {
                                    drop((&mut output).await);
                                    false
                                },
                                async {
                                    sleep(ms(50)).await;
                                    true
                                }
                            )
                            .await
                        );
                        output = output.grace(ms(1));
                    }
                    let output = output.await.unwrap();
                    assert_eq!(output.status.code(), Some(7));
                    assert_eq!(output.stderr, b"oops\n");
                    let said = String::from_utf8(output.stdout).unwrap();
                    let sleeper = said
                        .strip_prefix("1\n2\n3\n4\n5\n6\n7\n8\n")
                        .expect("all that it has written");
                    kill_process(
                        Pid::from_raw(sleeper.trim().parse().unwrap()).unwrap(),
                        Signal::KILL,
                    )
                    .unwrap();
                }
                // Nothing is waited for if the pipes are closed.
                let output = shell("echo soup").output().grace(Duration::MAX).await.unwrap();
                assert_eq!(output.stdout, b"soup\n");
            });
        }
    });
}

#[test]
fn an_output_that_is_killed_half_way_loses_neither_what_came_nor_the_status() {
    in_a_loop(|| async {
        // The child reports that it has written, through its standard input.
        let (mut reader, writer) = headwaiter::io::pipe().unwrap();
        let mut command = shell("echo soup; sleep 1000 & echo $!; echo written >&0; wait");
        let mut output = command.stdin(writer.into_std().unwrap()).output().grace(ms(1));
        let mut line = [0; 20];
        let written = future::zip(reader.read(&mut line), poll_once(&mut output)).await;
        assert!(written.0.unwrap() == 8 && written.1.is_pending());
        assert!(poll_once(&mut output).await.is_pending());
        output.start_kill().unwrap();
        let killed = output.await.unwrap();
        assert_eq!(killed.status.signal(), Some(9));
        let said = String::from_utf8(killed.stdout).unwrap();
        let sleeper = said.strip_prefix("soup\n").expect("all that it has written");
        kill_process(Pid::from_raw(sleeper.trim().parse().unwrap()).unwrap(), Signal::KILL)
            .unwrap();

        // What came can also be taken without the rest.
        let (mut reader, writer) = headwaiter::io::pipe().unwrap();
        let mut command = shell("echo soup; echo salad >&2; echo written >&0; exec sleep 1000");
        let mut output = command.stdin(writer.into_std().unwrap()).kill_on_drop(true).output();
        assert_eq!(reader.read(&mut line).await.unwrap(), 8);
        assert!(poll_once(&mut output).await.is_pending());
        assert_eq!(output.take_read(), (b"soup\n".to_vec(), b"salad\n".to_vec()));
    });
}

#[test]
fn the_standard_input_of_a_child_that_has_closed_it_is_told_to_be_closed() {
    in_a_loop(|| async {
        let mut child = shell("read line; exec <&-; exec sleep 1000")
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        assert!(poll_once(&mut stdin.closed()).await.is_pending());
        stdin.write_all(b"enough\n").await.unwrap();
        stdin.closed().await.unwrap();
        assert_eq!(stdin.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_thousand_children_in_a_row_leave_no_zombie_and_no_file() {
    if !have(PROGRAMS) {
        return;
    }
    alone(|| {
        block_on(async {
            Command::new("true").output().await.unwrap();
            let before = open_files();
            let mut ids = Vec::new();
            for n in 0..1000 {
                let mut child = Command::new("true")
                    .stdout(Stdio::piped())
                    .stdin(Stdio::piped())
                    .spawn()
                    .unwrap();
                ids.push(child.id().unwrap());
                // Waited for, dropped, and read.
                match n % 3 {
                    0 => assert!(child.wait().await.unwrap().success()),
                    1 => drop(child),
                    _ => assert!(child.wait_with_output().await.unwrap().status.success()),
                }
            }
            for id in ids {
                is_reaped(id).await;
            }
            // The last of them may have been reaped a moment before their pidfds are closed.
            timeout(Duration::from_secs(10), async {
                while open_files() > before {
                    sleep(ms(1)).await;
                }
            })
            .await
            .expect("as many files as before");
        });
    });
}

#[test]
fn children_of_several_loops_run_at_the_same_time() {
    with_children(|| {
        let loops: Vec<_> = (0..3)
            .map(|_| {
                thread::spawn(|| {
                    block_on(async {
                        let children: Vec<_> = (0..30)
                            .map(|n| (n, shell(&format!("echo {n}; exit {n}")).output()))
                            .collect();
                        for (n, child) in children {
                            let output = child.await.unwrap();
                            assert_eq!(output.status.code(), Some(n));
                            assert_eq!(output.stdout, format!("{n}\n").into_bytes());
                        }
                    });
                })
            })
            .collect();
        for each in loops {
            each.join().unwrap();
        }
    });
}

#[test]
fn a_command_that_cannot_be_started_is_an_error_that_names_it() {
    in_a_loop(|| async {
        let error = Command::new("no-such-cmd").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().starts_with("spawn \"no-such-cmd\": No such file"), "{error}");
        let error = Command::new("no-such-cmd").status().await.unwrap_err();
        assert!(error.to_string().contains("\"no-such-cmd\""), "{error}");
        let error = Command::new("no-such-cmd").output().await.unwrap_err();
        assert!(error.to_string().contains("\"no-such-cmd\""), "{error}");
        let error = Command::new("/dev/null").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().starts_with("spawn \"/dev/null\": "), "{error}");
        let error = Command::new("true").current_dir("/no/such/folder").spawn().unwrap_err();
        assert!(
            error.to_string().starts_with("spawn \"true\" in \"/no/such/folder\": "),
            "{error}"
        );
        let error = Command::new("nul\0byte").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(Command::new("true").status().await.unwrap().success(), "the loop goes on");
    });
}

/// What a child that does nothing has open, and what it does with signals.
fn look_at(id: u32) -> (Vec<String>, String) {
    let files = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let mut files: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let signals =
        status.lines().filter(|line| line.starts_with("Sig") && !line.starts_with("SigQ"));
    (files, signals.collect::<Vec<_>>().join("\n"))
}

#[test]
fn children_inherit_neither_files_nor_signal_handlers() {
    if !have(PROGRAMS) {
        return;
    }
    // Descriptors that were open before this test do not count.
    let mut child = std::process::Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    io::Write::write_all(child.stdin.as_mut().unwrap(), b"!").unwrap();
    io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let expected = look_at(child.id());
    drop(child.stdin.take());
    child.wait().unwrap();
    in_a_loop(|| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pipe = headwaiter::io::pipe().unwrap();
        let other = sleeper()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        #[cfg(feature = "signal")]
        let _signals = {
            use headwaiter::signal::unix::{SignalKind, signal};
            [SignalKind::terminate(), SignalKind::user_defined1(), SignalKind::pipe()]
                .map(|s| signal(s).unwrap())
        };
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Files are closed a moment after the system call that started it: once it answers they are.
        child.stdin.as_mut().unwrap().write_all(b"!").await.unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).await.unwrap();
        assert_eq!(look_at(child.id().unwrap()), expected);
        assert!(expected.1.contains("SigBlk:\t0000000000000000"), "{}", expected.1);
        drop((listener, pipe, other));
    });
}

/// Unlike tokio: there, a paused clock jumps.
#[test]
fn the_virtual_clock_stands_still_while_a_child_is_under_way() {
    with_children(|| {
        virtual_loop().block_on(async {
            let start = now();
            let mut child = Command::new("sleep").arg("0.05").spawn().unwrap();
            let status = timeout(Duration::from_secs(3600), child.wait()).await.unwrap().unwrap();
            assert!(status.success());
            let output =
                timeout(ms(1), shell("sleep 0.05; echo soup").output()).await.unwrap().unwrap();
            assert_eq!(output.stdout, b"soup\n");
            assert_eq!(now(), start);
            // A child that is no longer awaited does not hold the clock.
            let child = sleeper().spawn().unwrap();
            let id = child.id().unwrap();
            drop(child);
            sleep(Duration::from_secs(3600)).await;
            assert_eq!(now() - start, Duration::from_secs(3600));
            end(id);
            // The loop asks the kernel each time, with a grace period.
            is_reaped(id).await;
        });
    });
}

/// Its loop waits for its end too, to reap it, but no task does.
#[test]
fn a_child_that_nobody_waits_for_costs_the_virtual_clock_no_grace() {
    with_children(|| {
        let grace = Duration::from_secs(40);
        let mut event_loop =
            EventLoop::builder().clock(Clock::Virtual).io_grace(grace).build().unwrap();
        let start = Instant::now();
        let id = event_loop.block_on(async {
            let child = sleeper().spawn().unwrap();
            let id = child.id().unwrap();
            drop(child);
            sleep(Duration::from_secs(3600)).await;
            id
        });
        assert!(start.elapsed() < grace);
        end(id);
        turn_until_reaped(&mut event_loop, id);
    });
}

#[test]
fn a_child_can_be_looked_at_and_killed_without_its_loop() {
    with_children(|| {
        let mut child = block_on(async { sleeper().spawn().unwrap() });
        let id = child.id().unwrap();
        thread::spawn(move || {
            assert!(child.try_wait().unwrap().is_none());
            child.start_kill().unwrap();
            while child.try_wait().unwrap().is_none() {
                thread::yield_now();
            }
            assert_eq!(child.try_wait().unwrap().unwrap().signal(), Some(9));
        })
        .join()
        .unwrap();
        assert_eq!(state_of(id), None);
    });
}

#[test]
fn mistakes_are_named_with_the_way_out() {
    with_children(|| {
        let outside = panic_text(|| drop(Command::new("true").spawn()));
        assert!(outside.contains("outside any event loop"), "{outside}");
        let outside = panic_text(|| drop(Command::new("true").status()));
        assert!(outside.contains("outside any event loop"), "{outside}");
        let mut child = block_on(async { Command::new("true").spawn().unwrap() });
        let elsewhere = panic_text(move || drop(block_on(child.wait())));
        assert!(elsewhere.contains("another event loop"), "{elsewhere}");
        let again = panic_text(|| {
            block_on(async {
                let mut status = Command::new("true").status();
                (&mut status).await.unwrap();
                drop((&mut status).await);
            });
        });
        assert!(again.contains("polled again"), "{again}");
        let dying = EventLoop::new().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let task = dying.handle().spawn(move || {
            let last = OnDrop(move || tell.send(Command::new("true").spawn().map(drop)).unwrap());
            Holding(last, |_: &mut std::task::Context<'_>| std::task::Poll::Pending)
        });
        let mut dying = dying;
        dying.turn(Some(Duration::ZERO)).unwrap();
        drop((dying, task));
        let refused: io::Result<()> = told.recv().unwrap();
        assert!(refused.is_err(), "a loop that is dropped starts nothing");
    });
}

#[test]
fn handles_of_children_go_from_thread_to_thread() {
    fn check<T: Send + Sync>() {}
    check::<Child>();
    check::<Command>();
}
