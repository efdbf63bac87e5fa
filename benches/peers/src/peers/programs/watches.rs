//! What only headwaiter and tokio have: watch and broadcast channels, and a set of tasks.

use std::hint::black_box;

use super::run::{Program, measure};
use crate::rt::{self, JoinSet};

pub const PROGRAMS: &[Program] = &[
    ("watch", watch),
    ("broadcast", broadcast),
    ("broadcast_64", broadcast_batches),
    ("join_set", join_set),
];

/// Two tasks, each of which waits for the other's change.
fn watch() {
    rt::block_on(measure(20_000, async |count| {
        let (there, mut here) = rt::watch::channel(0);
        let (back, mut again) = rt::watch::channel(0);
        let echo = rt::spawn(async move {
            while here.changed().await.is_ok() {
                let n = *here.borrow_and_update();
                back.send_replace(n);
            }
        });
        let caller = rt::spawn(async move {
            for n in 1..=count {
                there.send_replace(n);
                again.changed().await.unwrap();
                assert_eq!(*again.borrow_and_update(), n);
            }
        });
        rt::join(caller).await;
        rt::join(echo).await;
    }));
}

/// Two tasks, each of which waits for the other's message.
fn broadcast() {
    rt::block_on(measure(20_000, async |count| {
        let (there, mut here) = rt::broadcast::channel(16);
        let (back, mut again) = rt::broadcast::channel(16);
        let echo = rt::spawn(async move {
            while let Ok(message) = here.recv().await {
                back.send(message).unwrap();
            }
        });
        let caller = rt::spawn(async move {
            for n in 0..count {
                there.send(n).unwrap();
                assert_eq!(again.recv().await, Ok(n));
            }
        });
        rt::join(caller).await;
        rt::join(echo).await;
    }));
}

/// One task sends a batch, ten receivers take it. An operation is one message at one receiver.
fn broadcast_batches() {
    const RECEIVERS: u32 = 10;
    const BATCH: u32 = 64;
    rt::block_on(measure(RECEIVERS * BATCH * 100, async |count| {
        let (sender, _) = rt::broadcast::channel(BATCH as usize);
        let receive = |_| {
            let mut receiver = sender.subscribe();
            rt::spawn(async move {
                for n in 0..count / RECEIVERS {
                    assert_eq!(receiver.recv().await, Ok(n));
                }
            })
        };
        let receivers: Vec<_> = (0..RECEIVERS).map(receive).collect();
        for n in 0..count / RECEIVERS {
            if n % BATCH == 0 {
                rt::yield_now().await;
                while !sender.is_empty() {
                    rt::yield_now().await;
                }
            }
            sender.send(n).unwrap();
        }
        for receiver in receivers {
            rt::join(receiver).await;
        }
    }));
}

/// A thousand tasks spawned into a set, and joined as they end. An operation is one task.
fn join_set() {
    const AT_ONCE: u32 = 1_000;
    rt::block_on(measure(10_000, async |count| {
        for _ in 0..count.div_ceil(AT_ONCE) {
            let mut tasks = JoinSet::new();
            for n in 0..AT_ONCE {
                rt::spawn_in(&mut tasks, async move { n });
            }
            while let Some(n) = tasks.join_next().await {
                black_box(n.unwrap());
            }
        }
    }));
}
