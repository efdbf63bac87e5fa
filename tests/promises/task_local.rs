//! Task-local values: what tokio's documentation promises of them, and that spawned tasks inherit them where that was asked for.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::thread;

use crate::support::*;
use headwaiter::task::{Builder, JoinSet, TaskGroup, yield_now};
use headwaiter::{Interest, Next, on_ready, spawn, spawn_blocking, task_local};

task_local! {
    /// The table of a guest.
    pub static TABLE: u32;
    static GUEST: Rc<RefCell<Vec<&'static str>>>;
}

task_local!(static ALONE: String);

/// The table at each of its polls and at its drop.
struct Notes(Rc<RefCell<Vec<Option<u32>>>>);

impl Notes {
    fn note(&self) {
        self.0.borrow_mut().push(TABLE.try_get().ok());
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.note();
    }
}

async fn notes(notes: Notes, polls: usize) {
    for _ in 0..polls {
        notes.note();
        yield_now().await;
    }
}

#[test]
fn a_value_is_seen_inside_its_scope_and_nowhere_else() {
    in_every_order(|| async {
        assert!(TABLE.try_get().is_err());
        let seen = TABLE.scope(1, async {
            yield_now().await;
            (TABLE.get(), TABLE.with(|table| table + 1), TABLE.try_with(|table| table + 2))
        });
        assert_eq!(seen.await, (1, 2, Ok(3)));
        assert!(TABLE.try_get().is_err());
        assert_eq!(ALONE.sync_scope("Anna".into(), || ALONE.get()), "Anna");
    });
}

#[test]
fn outside_a_scope_there_is_an_error_or_a_panic_that_says_so() {
    let error = TABLE.try_with(|_| unreachable!("it is not called")).unwrap_err();
    assert_eq!(error, TABLE.try_get().unwrap_err());
    assert!(error.to_string().contains("outside a scope"), "{error}");
    let _: &dyn std::error::Error = &error;
    for said in [panic_text(|| _ = TABLE.get()), panic_text(|| TABLE.with(|_| ()))] {
        assert!(said.contains("was read outside a `scope` of its key"), "{said}");
    }
}

#[test]
fn scopes_of_two_tasks_are_apart_however_they_are_polled() {
    in_every_order(|| async {
        let tasks: Vec<_> = (0..10)
            .map(|table| {
                spawn(TABLE.scope(table, async move {
                    for _ in 0..5 {
                        assert_eq!(TABLE.get(), table);
                        yield_now().await;
                    }
                }))
            })
            .collect();
        for task in tasks {
            assert!(TABLE.try_get().is_err());
            task.await.unwrap();
        }
    });
}

#[test]
fn an_inner_scope_hides_the_outer_one_and_other_keys_stay() {
    in_every_order(|| async {
        let guests = Rc::new(RefCell::new(vec!["Anna"]));
        let inner = async {
            yield_now().await;
            GUEST.with(|guests| guests.borrow_mut().push("Ben"));
            TABLE.get()
        };
        let outer = async {
            let before = TABLE.get();
            let inner = TABLE.scope(2, inner).await;
            (before, inner, TABLE.sync_scope(3, || TABLE.get()), TABLE.get())
        };
        let seen = GUEST.scope(Rc::clone(&guests), TABLE.scope(1, outer)).await;
        assert_eq!(seen, (1, 2, 3, 1));
        assert_eq!(*guests.borrow(), ["Anna", "Ben"]);
    });
}

#[test]
fn a_spawned_task_sees_no_value_of_a_plain_scope() {
    in_every_order(|| async {
        let seen = TABLE.scope(1, async { spawn(async { TABLE.try_get() }).await.unwrap() });
        assert!(seen.await.is_err());
    });
}

#[test]
fn a_future_is_dropped_inside_its_scope_and_the_value_after_it() {
    in_every_order(|| async {
        // Ready, dropped while it waits, and dropped before its first poll.
        for (polls, is_aborted) in [(1, false), (2, true), (0, true)] {
            let seen = Rc::new(RefCell::new(Vec::new()));
            let own = Notes(Rc::clone(&seen));
            let task = spawn(TABLE.scope(7, async move {
                let own = own;
                notes(Notes(Rc::clone(&own.0)), 1).await;
                if is_aborted {
                    pending::<()>().await;
                }
            }));
            for _ in 0..polls {
                yield_now().await;
            }
            if is_aborted {
                task.abort();
            }
            assert_eq!(task.await.is_err(), is_aborted);
            assert!(seen.borrow().iter().all(|seen| *seen == Some(7)), "{seen:?}");
            assert!(!seen.borrow().is_empty());
        }
        let value = Rc::new(RefCell::new(vec![]));
        GUEST.scope(Rc::clone(&value), async {}).await;
        assert_eq!(Rc::strong_count(&value), 1);
    });
}

#[headwaiter::test(within = "60s")]
async fn a_panic_inside_a_scope_ends_it() {
    let panicked = catch_unwind(|| TABLE.sync_scope(1, || panic!("on fire")));
    assert!(panicked.is_err() && TABLE.try_get().is_err());
    let _beside_others = beside_other_tests();
    for future in [TABLE.scope(1, panics()), TABLE.scope_inherited(1, panics())] {
        assert!(spawn(future).await.unwrap_err().is_panic());
        assert!(TABLE.try_get().is_err());
        // Nothing is inherited either.
        assert!(spawn(async { TABLE.try_get() }).await.unwrap().is_err());
    }
}

async fn panics() {
    yield_now().await;
    panic!("on fire");
}

#[headwaiter::test(within = "60s")]
async fn a_scope_inside_with_of_the_same_key_is_refused_and_of_another_key_is_not() {
    let _beside_others = beside_other_tests();
    TABLE
        .scope(1, async {
            let said = panic_text(|| TABLE.with(|_| TABLE.sync_scope(2, || ())));
            assert!(said.contains("inside `with` of the same key"), "{said}");
            let said = panic_text(|| {
                TABLE.with(|_| {
                    let mut scope = pin!(TABLE.scope(2, async {}));
                    let _ = scope.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                });
            });
            assert!(said.contains("inside `with` of the same key"), "{said}");
            let other = TABLE.with(|table| ALONE.sync_scope(table.to_string(), || ALONE.get()));
            assert_eq!((other, TABLE.get()), ("1".to_owned(), 1));
            assert_eq!(TABLE.with(|table| TABLE.get() + table), 2);
        })
        .await;
}

#[headwaiter::test(within = "60s")]
async fn the_value_can_be_taken_out_before_and_after_the_end() {
    let _beside_others = beside_other_tests();
    let mut ready = pin!(TABLE.scope(1, async { TABLE.get() }));
    assert_eq!(ready.as_mut().await, 1);
    assert_eq!((ready.as_mut().take_value(), ready.as_mut().take_value()), (Some(1), None));
    let said = panic_text(|| {
        let _ = ready.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    });
    assert!(said.contains("polled again after it was ready"), "{said}");

    let mut begun = pin!(TABLE.scope(1, async {
        yield_now().await;
        TABLE.try_get()
    }));
    assert!(begun.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(begun.as_mut().take_value(), Some(1));
    assert!(begun.await.is_err());
}

#[test]
fn a_scope_works_outside_any_event_loop_and_on_another_thread() {
    fn must_be_send<T: Send>(value: T) -> T {
        value
    }
    let scope = must_be_send(TABLE.scope(1, async { TABLE.get() }));
    let seen = thread::spawn(move || futures_lite::future::block_on(scope)).join().unwrap();
    assert_eq!(seen, 1);
}

/// Unlike tokio: there, no task inherits values.
#[test]
fn tasks_that_are_spawned_inside_an_inherited_scope_inherit_and_so_do_their_children() {
    in_every_order(|| async {
        let later = Cell::new(None);
        let scope = TABLE.scope_inherited(7, async {
            // However it is spawned.
            assert_eq!(spawn(async { TABLE.get() }).await.unwrap(), 7);
            let named = Builder::new().name("Anna").spawn(async { TABLE.get() });
            assert_eq!(named.await.unwrap(), 7);
            let mut set = JoinSet::new();
            set.spawn(async { TABLE.get() });
            assert_eq!(set.join_next().await.unwrap().unwrap(), 7);
            let group = TaskGroup::new();
            group.spawn(async { if TABLE.try_get() == Ok(7) { Ok(()) } else { Err("no table") } });
            group.join().await.unwrap();
            // A child that outlives the scope, and spawns then.
            later.set(Some(spawn(async {
                for _ in 0..5 {
                    yield_now().await;
                }
                let grandchild = spawn(async {
                    yield_now().await;
                    TABLE.get()
                });
                (TABLE.get(), grandchild.await.unwrap())
            })));
        });
        scope.await;
        let later = later.take().unwrap();
        assert!(TABLE.try_get().is_err());
        assert!(spawn(async { TABLE.try_get() }).await.unwrap().is_err());
        assert_eq!(later.await.unwrap(), (7, 7));
    });
}

#[test]
fn an_inherited_value_is_a_clone_of_its_own_and_is_dropped_with_the_future_of_the_task() {
    in_every_order(|| async {
        let guests = Rc::new(RefCell::new(vec![]));
        let scope = GUEST.scope_inherited(Rc::clone(&guests), async {
            let first = spawn(async {
                yield_now().await;
                GUEST.with(|guests| guests.borrow_mut().push("Anna"));
            });
            GUEST.with(|guests| assert_eq!(Rc::strong_count(guests), 3));
            let second = spawn(pending::<()>());
            yield_now().await;
            GUEST.with(|guests| assert_eq!(Rc::strong_count(guests), 4));
            second.abort();
            while !first.is_finished() {
                yield_now().await;
            }
            // Although neither was joined.
            GUEST.with(|guests| assert_eq!(Rc::strong_count(guests), 2));
            (first, second)
        });
        let (first, second) = scope.await;
        assert_eq!(Rc::strong_count(&guests), 1);
        first.await.unwrap();
        assert!(second.await.unwrap_err().is_cancelled());
        assert_eq!(*guests.borrow(), ["Anna"]);
    });
}

#[test]
fn the_innermost_scope_decides_what_is_inherited() {
    in_every_order(|| async {
        let seen = || async { spawn(async { TABLE.try_get().ok() }).await.unwrap() };
        let scopes = TABLE.scope_inherited(1, async {
            let inherited = TABLE.scope_inherited(2, seen()).await;
            let hidden = TABLE.scope(3, seen()).await;
            let again = TABLE.scope(3, TABLE.scope_inherited(4, seen())).await;
            (inherited, hidden, again, seen().await)
        });
        assert_eq!(scopes.await, (Some(2), None, Some(4), Some(1)));
        // In a child, its own scope comes first too.
        let child = TABLE.scope_inherited(1, async move {
            let child = spawn(async move {
                let own = TABLE.scope_inherited(2, seen()).await;
                let hidden = TABLE.scope(3, seen()).await;
                (own, hidden, seen().await)
            });
            child.await.unwrap()
        });
        assert_eq!(child.await, (Some(2), None, Some(1)));
    });
}

#[test]
fn several_keys_are_inherited_together() {
    in_every_order(|| async {
        let guests = Rc::new(RefCell::new(vec!["Anna"]));
        let both = async {
            spawn(async {
                yield_now().await;
                (TABLE.get(), ALONE.get(), GUEST.try_get().is_err())
            })
            .await
            .unwrap()
        };
        let both = ALONE.scope_inherited("Ben".into(), GUEST.scope(guests, both));
        assert_eq!(TABLE.scope_inherited(7, both).await, (7, "Ben".to_owned(), true));
    });
}

#[test]
fn a_task_is_dropped_and_fails_inside_its_inherited_scope() {
    in_every_order(|| async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let scope = TABLE.scope_inherited(7, async {
            let [one, two, three] = [(); 3].map(|()| Notes(Rc::clone(&seen)));
            let queued = spawn(notes(one, 1));
            queued.abort();
            let waiting = spawn(async move {
                let _held = two;
                pending::<()>().await;
            });
            let panics = spawn(async move {
                let _held = three;
                panic!("on fire");
            });
            yield_now().await;
            (waiting, panics)
        });
        let (waiting, panics) = scope.await;
        waiting.abort();
        let ended: Result<(), _> = panics.await;
        assert!(ended.unwrap_err().is_panic());
        assert_eq!(*seen.borrow(), [Some(7); 3]);
        assert!(TABLE.try_get().is_err());
    });
    // With its loop.
    bounded(|| {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let mut event_loop = virtual_loop();
        let own = Notes(Rc::clone(&seen));
        event_loop.block_on(TABLE.scope_inherited(7, async move {
            drop(spawn(async move {
                let _held = own;
                pending::<()>().await;
            }));
            yield_now().await;
        }));
        assert!(seen.borrow().is_empty());
        drop(event_loop);
        assert_eq!(*seen.borrow(), [Some(7)]);
    });
}

/// There the scope of the task cannot be entered, so its future is dropped outside of that.
#[test]
fn a_task_that_is_aborted_inside_with_ends_all_the_same() {
    in_every_order(|| async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let held = Notes(Rc::clone(&seen));
        let guest = Rc::new(RefCell::new(vec!["Anna"]));
        let scope = TABLE.scope_inherited(7, async {
            let task = spawn(async move {
                let _held = held;
                let _at_the_drop = OnDrop(|| assert_eq!(GUEST.get().borrow()[..], ["Anna"]));
                pending::<()>().await;
            });
            yield_now().await;
            TABLE.with(|_| task.abort());
            assert_eq!(seen.borrow().len(), 1);
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(TABLE.get(), 7);
        });
        GUEST.scope_inherited(guest, scope).await;
    });
}

#[headwaiter::test(within = "60s")]
async fn a_job_and_a_callback_inherit_nothing() {
    let _beside_others = beside_other_tests();
    let seen = TABLE.scope_inherited(7, async {
        let job = spawn_blocking(|| TABLE.try_get().ok()).await.unwrap();
        let callback = Rc::new(Cell::new(Some(0)));
        let (reader, mut writer) = mio_pair();
        let _registration = on_ready(reader, Interest::READABLE, {
            let callback = Rc::clone(&callback);
            move |_, _| {
                callback.set(TABLE.try_get().ok());
                Next::Remove
            }
        })
        .unwrap();
        std::io::Write::write_all(&mut writer, b"soup").unwrap();
        while callback.get() == Some(0) {
            headwaiter::time::sleep(ms(1)).await;
        }
        (job, callback.get())
    });
    let seen = seen.await;
    assert_eq!(seen, (None, None));
}

#[headwaiter::test(within = "60s")]
async fn a_clone_that_panics_fails_the_spawn_and_nothing_else() {
    struct Fragile;
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            panic!("it broke");
        }
    }
    task_local! {
        static PLATE: Fragile;
    }
    let _beside_others = beside_other_tests();
    let drops = Rc::new(Cell::new(0));
    let count = Rc::clone(&drops);
    PLATE
        .scope_inherited(Fragile, async move {
            let held = OnDrop(move || count.set(count.get() + 1));
            let spawned = catch_unwind(AssertUnwindSafe(|| {
                drop(spawn(async move { drop(held) }));
            }));
            assert!(spawned.is_err());
            PLATE.with(|_| ());
        })
        .await;
    assert_eq!(drops.get(), 1);
    assert!(spawn(async {}).await.is_ok());
}
