//! Children whose end is not reported in the usual way: SIGCHLD is ignored, the kernel gives no pidfds, a debugger holds the
//! dead child. Each test has a process of its own, because a signal's disposition is the whole process's.
#![allow(unsafe_code)]

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::support::*;
use headwaiter::process::Command;
use headwaiter::{EventLoop, block_on};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(code: i32) -> !;
    fn signal(number: i32, disposition: usize) -> usize;
    fn prctl(option: i32, ...) -> i32;
    fn ptrace(request: i32, ...) -> i64;
}

const SIGCHLD: i32 = 17;
#[cfg(feature = "signal")]
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
const ECHILD: i32 = 10;

/// What this process does at SIGCHLD, from now on.
fn dispose(disposition: usize) {
    // SAFETY: neither of the two dispositions is a handler.
    unsafe { signal(SIGCHLD, disposition) };
}

fn has_pidfds() -> bool {
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    pidfd_open(getpid(), PidfdFlags::empty()).is_ok()
}

/// As in some sandboxes: pidfd_open(2) fails on this thread from now on.
#[cfg(feature = "signal")]
fn refuse_pidfds() {
    #[repr(C)]
    struct Instruction(u16, u8, u8, u32);
    #[repr(C)]
    struct Program(u16, *const Instruction);
    const NO_NEW_PRIVILEGES: i32 = 38;
    const SECCOMP: i32 = 22;
    let instructions = [
        Instruction(0x20, 0, 0, 0),   // Load the number of the system call.
        Instruction(0x15, 0, 1, 434), // Unless it is pidfd_open's, skip one.
        Instruction(0x06, 0, 0, 0x0005_0000 | 38), // Fail with ENOSYS.
        Instruction(0x06, 0, 0, 0x7fff_0000), // Allow.
    ];
    let program = Program(4, instructions.as_ptr());
    // SAFETY: the filter outlives both calls, and the kernel copies it.
    unsafe {
        prctl(NO_NEW_PRIVILEGES, 1_u64, 0_u64, 0_u64, 0_u64);
        prctl(SECCOMP, 2_u64, &raw const program);
    }
}

#[test]
fn where_sigchld_is_ignored_the_status_is_echild_as_std_says() {
    in_own_process(|| {
        if !has_pidfds() {
            return println!("skipped: without pidfds the loop listens for SIGCHLD");
        }
        dispose(SIG_IGN);
        let expected = std::process::Command::new("true").status().unwrap_err().raw_os_error();
        assert_eq!(expected, Some(ECHILD));
        block_on(async {
            // One that has ended before it is watched, most of the times, and one that has not.
            for script in ["true", "sleep 0.01"] {
                for _ in 0..20 {
                    let mut child = shell(script).spawn().unwrap();
                    assert_eq!(child.wait().await.unwrap_err().raw_os_error(), expected);
                    assert_eq!(child.try_wait().unwrap_err().raw_os_error(), expected);
                    assert_eq!(child.id(), None);
                    child.start_kill().unwrap();
                }
            }
            assert_eq!(Command::new("true").status().await.unwrap_err().raw_os_error(), expected);
            // What the child has written is not lost with its status.
            for grace in [None, Some(ms(1))] {
                let output = shell("echo soup; echo salad >&2").output();
                let mut output = if let Some(grace) = grace { output.grace(grace) } else { output };
                assert_eq!((&mut output).await.unwrap_err().raw_os_error(), expected);
                assert_eq!(output.take_read(), (b"soup\n".to_vec(), b"salad\n".to_vec()));
            }
        });
        // SAFETY: it only asks.
        let disposition = unsafe { signal(SIGCHLD, SIG_IGN) };
        assert_eq!(disposition, SIG_IGN, "the loop has changed the disposition");
    });
}

#[test]
#[cfg(feature = "signal")]
fn a_wait_without_pidfds_ends_though_sigchld_comes_to_be_ignored() {
    in_own_process(|| {
        refuse_pidfds();
        if has_pidfds() {
            return println!("skipped: this system allows no filter of system calls");
        }
        for clock in [headwaiter::Clock::Real, headwaiter::Clock::Virtual] {
            let mut event_loop = EventLoop::builder().clock(clock).build().unwrap();
            dispose(SIG_DFL);
            event_loop.block_on(async {
                // The first listener of the process installs the handler, which stays for good, as far as signal-hook knows.
                let status = shell("exit 3").status().await.unwrap();
                assert_eq!(status.code(), Some(3));
                let mut before =
                    shell("read line").stdin(std::process::Stdio::piped()).spawn().unwrap();
                dispose(SIG_IGN);
                let error = before.wait().await.unwrap_err();
                assert_eq!(error.raw_os_error(), Some(ECHILD));
                let mut after = shell("sleep 0.01").spawn().unwrap();
                assert_eq!(after.wait().await.unwrap_err().raw_os_error(), Some(ECHILD));
            });
            let dump = event_loop.enter(|| headwaiter::dump().to_string());
            assert!(dump.contains("0 tasks") && !dump.contains("timer of a child"), "{dump}");
        }
    });
}

/// Unlike tokio: there, it keeps the loop turning.
#[test]
fn a_dead_child_that_a_debugger_holds_does_not_keep_the_loop_turning() {
    in_own_process(|| {
        const SEIZE: i32 = 0x4206;
        const PTRACER: i32 = 0x5961_6d61;
        let (mut event_loop, mut child, id) = {
            let mut event_loop = EventLoop::new().unwrap();
            let mut sleeper = Command::new("sleep");
            sleeper.arg("1000");
            // SAFETY: prctl(2) is a system call and nothing else. Where Yama has no say it fails, which does not matter.
            unsafe {
                std::os::unix::process::CommandExt::pre_exec(sleeper.as_std_mut(), || {
                    prctl(PTRACER, u64::MAX, 0_u64, 0_u64, 0_u64);
                    Ok(())
                })
            };
            let child = event_loop.enter(|| sleeper.spawn().unwrap());
            let id = Pid::from_raw(child.id().unwrap() as i32).unwrap();
            (event_loop, child, id)
        };
        let (mut said, mut says) = std::io::pipe().unwrap();
        let (lets_go, let_go) = std::io::pipe().unwrap();
        // SAFETY: the child makes system calls only, until it ends here.
        let debugger = unsafe { fork() };
        if debugger == 0 {
            drop(let_go);
            // SAFETY: as above. It never looks at what it has seized, and ends when it is told, or when the test ends.
            unsafe {
                let seized = ptrace(SEIZE, id.as_raw_nonzero().get(), 0_u64, 0_u64) == 0;
                let _ = std::io::Write::write(&mut says, &[u8::from(seized)]);
                let _ = std::io::Read::read(&mut &lets_go, &mut [0]);
                _exit(0)
            }
        }
        drop(says);
        let mut seized = [0];
        std::io::Read::read_exact(&mut said, &mut seized).unwrap();
        if seized == [0] {
            child.start_kill().unwrap();
            return println!("skipped: this system allows no ptrace");
        }
        kill_process(id, Signal::KILL).unwrap();
        // The kernel reports its end, but it cannot be reaped.
        assert!(event_loop.turn(Some(Duration::from_secs(20))).unwrap().events > 0);
        assert!(child.try_wait().unwrap().is_none());
        let (start, mut turns) = (Instant::now(), 0);
        while start.elapsed() < ms(500) {
            event_loop.turn(Some(ms(500))).unwrap();
            turns += 1;
        }
        assert!(turns <= 10, "{turns} turns in half a second");
        drop(let_go);
        let status = event_loop.block_on(async { child.wait().await.unwrap() });
        assert_eq!(status.signal(), Some(9));
        waitpid(Pid::from_raw(debugger), WaitOptions::empty()).unwrap();
    });
}
