//! A program with an event loop of its own, on epoll(7), that runs headwaiter inside it. It watches
//! the loop's descriptor beside its own, waits at most until `next_deadline`, and calls `turn` when
//! the descriptor is readable or the deadline has passed. It needs no second thread, and it waits
//! in one place only.
//!
//! `cargo run --example embedded`: the host counts its own ticks while one headwaiter task echoes
//! to another.

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this example uses epoll and needs Linux");
}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    env_logger::init();
    host::run()
}

#[cfg(target_os = "linux")]
mod host {
    use std::io;
    use std::time::{Duration, Instant};

    use headwaiter::EventLoop;
    use headwaiter::net::{TcpListener, TcpStream};
    use headwaiter::time::sleep;
    use rustix::event::{Timespec, epoll};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    };

    const HOST: u64 = 0;
    const GUEST: u64 = 1;

    pub fn run() -> io::Result<()> {
        let mut guest = EventLoop::new()?;
        let task = guest.enter(|| headwaiter::spawn(conversation()));

        let ticker = ticker(Duration::from_millis(20))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &ticker, epoll::EventData::new_u64(HOST), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &guest, epoll::EventData::new_u64(GUEST), epoll::EventFlags::IN)?;

        let mut events = Vec::with_capacity(16);
        // The first turn polls the spawned task. Nothing else would announce that it is ready.
        let mut guests_turn = true;
        while !guest.enter(|| task.is_finished()) {
            if guests_turn {
                guest.turn(Some(Duration::ZERO))?;
            }
            let deadline = guest.next_deadline();
            let wait = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let wait =
                wait.map(|wait| Timespec::try_from(wait).expect("a deadline of this century"));
            events.clear();
            epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), wait.as_ref())?;
            guests_turn = deadline.is_some_and(|at| at <= Instant::now());
            for event in &events {
                match event.data.u64() {
                    HOST => {
                        let mut ticks = [0; 8];
                        rustix::io::read(&ticker, &mut ticks)?;
                        println!("host: tick");
                    }
                    _ => guests_turn = true,
                }
            }
        }
        guest.block_on(task)??;
        println!("host: the guest is done");
        Ok(())
    }

    /// Sends five messages to an echo server on the same loop, with a pause after each.
    async fn conversation() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, _) = listener.accept().await?;
        let echo =
            headwaiter::spawn(async move { futures_lite::io::copy(&server, &mut &server).await });
        for number in 1..=5 {
            client.write_all(&[number]).await?;
            let mut back = [0];
            client.read_exact(&mut back).await?;
            println!("guest: message {} came back", back[0]);
            sleep(Duration::from_millis(30)).await;
        }
        drop(client);
        let echoed = echo.await??;
        println!("guest: {echoed} bytes were echoed");
        Ok(())
    }

    /// The host's own source of events.
    fn ticker(every: Duration) -> io::Result<rustix::fd::OwnedFd> {
        let ticker = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let every = Timespec::try_from(every).expect("a short time");
        let times = Itimerspec { it_interval: every, it_value: every };
        timerfd_settime(&ticker, TimerfdTimerFlags::empty(), &times)?;
        Ok(ticker)
    }
}
