//! A signal each millisecond, whose handler does nothing for the loop: each interrupts its wait (EINTR). No operation
//! returns that error, and no timer is early because of it. Run on the main thread, because that is where the kernel
//! delivers what is sent to the process.

#[cfg(target_os = "linux")]
#[path = "../support/mod.rs"]
mod support;

fn main() {
    #[cfg(target_os = "linux")]
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use crate::support::{ms, tcp_pair};
    use headwaiter::process::Command;
    use headwaiter::time::{self, sleep, timeout};
    use headwaiter::{EventLoop, block_on, spawn};
    use rustix::process::{Signal, getpid, kill_process};

    pub fn main() {
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&came))
            .expect("a handler");
        let stop = Arc::new(AtomicBool::new(false));
        let sender = thread::spawn({
            let stop = Arc::clone(&stop);
            move || interrupt(&stop)
        });
        waits_are_interrupted_and_no_timer_is_early();
        no_operation_says_that_it_was_interrupted();
        no_child_is_lost();
        assert!(came.load(Ordering::Relaxed));
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap();
    }

    fn interrupt(stop: &AtomicBool) {
        // For a minute at most: what is not done by then hangs.
        for _ in 0..60_000 {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            kill_process(getpid(), Signal::USR1).unwrap();
            thread::sleep(ms(1));
        }
        eprintln!("the test hangs");
        std::process::exit(1);
    }

    fn waits_are_interrupted_and_no_timer_is_early() {
        let mut event_loop = EventLoop::new().unwrap();
        let mut interrupted = 0;
        while interrupted < 200 {
            let deadline = Instant::now() + ms(20);
            let nap = event_loop.enter(|| spawn(time::sleep_until(deadline)));
            while !event_loop.enter(|| nap.is_finished()) {
                let turn = event_loop.turn(None).expect("no error for an interrupted wait");
                // Nothing but its timer could end this wait.
                interrupted += usize::from(turn.events == 0 && turn.timers == 0 && turn.polls == 0);
            }
            assert!(Instant::now() >= deadline, "early");
        }
    }

    fn no_operation_says_that_it_was_interrupted() {
        block_on(async {
            let start = Instant::now();
            while start.elapsed() < ms(200) {
                let (mut client, mut server) = tcp_pair().await.unwrap();
                let echo = spawn(async move {
                    let mut bytes = [0; 4096];
                    for _ in 0..20 {
                        server.read_exact(&mut bytes).await.unwrap();
                        sleep(Duration::from_micros(300)).await;
                        server.write_all(&bytes).await.unwrap();
                    }
                });
                for _ in 0..20 {
                    let mut bytes = [0; 4096];
                    client.write_all(&bytes).await.unwrap();
                    timeout(Duration::from_secs(30), client.read_exact(&mut bytes))
                        .await
                        .unwrap()
                        .unwrap();
                }
                echo.await.unwrap();
            }
        });
    }

    fn no_child_is_lost() {
        block_on(async {
            for n in 0..50 {
                let output =
                    Command::new("sh").args(["-c", &format!("echo {n}; exit {n}")]).output();
                let output = timeout(Duration::from_secs(30), output).await.unwrap().unwrap();
                assert_eq!(output.status.code(), Some(n));
                assert_eq!(output.stdout, format!("{n}\n").into_bytes());
            }
        });
    }
}
