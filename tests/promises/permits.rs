//! What the permits of `headwaiter::sync::Semaphore` promise when they are merged, split and forgotten, a test for each.

use std::rc::Rc;

use crate::support::*;
use crate::sync::{is_pending, let_others_run, ready};
use headwaiter::spawn;
use headwaiter::sync::{Semaphore, TryAcquireError};

#[test]
fn merged_permits_are_released_together() {
    in_every_order(|| async {
        let ovens = Rc::new(Semaphore::new(3));
        let mut all = Rc::clone(&ovens).acquire_owned().await.unwrap();
        all.merge(Rc::clone(&ovens).acquire_many_owned(2).await.unwrap());
        assert_eq!((all.num_permits(), ovens.available_permits()), (3, 0));
        let waits = spawn({
            let ovens = Rc::clone(&ovens);
            async move { ovens.acquire_many(3).await.unwrap().num_permits() }
        });
        let_others_run().await;
        drop(all);
        assert_eq!(waits.await.unwrap(), 3);
        assert_eq!(ovens.available_permits(), 3);
    });
}

#[test]
fn split_permits_are_released_apart() {
    let ovens = Semaphore::new(3);
    let mut taken = ovens.try_acquire_many(3).unwrap();
    let two = taken.split(2).unwrap();
    assert_eq!((taken.num_permits(), two.num_permits()), (1, 2));
    assert!(taken.split(2).is_none());
    assert_eq!(taken.num_permits(), 1, "it is left as it was");
    drop(two);
    assert_eq!(ovens.available_permits(), 2);
    let none = taken.split(0).unwrap();
    assert_eq!(none.num_permits(), 0);
    drop(none);
    let last = taken.split(1).unwrap();
    assert_eq!(taken.num_permits(), 0);
    drop(taken);
    assert_eq!(ovens.available_permits(), 2);
    last.forget();
    assert_eq!(ovens.available_permits(), 2, "a part that is forgotten does not come back");
}

#[test]
fn permits_of_two_semaphores_are_not_merged_and_none_is_lost() {
    let (ovens, tables) = (Rc::new(Semaphore::new(2)), Rc::new(Semaphore::new(2)));
    let mut oven = Rc::clone(&ovens).try_acquire_owned().unwrap();
    let table = Rc::clone(&tables).try_acquire_owned().unwrap();
    assert!(Rc::ptr_eq(oven.semaphore(), &ovens) && Rc::ptr_eq(table.semaphore(), &tables));
    let text = panic_text(|| oven.merge(table));
    assert!(text.contains("of two semaphores"), "{text}");
    assert_eq!((ovens.available_permits(), tables.available_permits()), (1, 2));
    drop(oven);
    assert_eq!(ovens.available_permits(), 2);

    let mut borrowed = ovens.try_acquire().unwrap();
    assert!(std::ptr::eq(borrowed.semaphore(), &*ovens));
    assert!(panic_text(|| borrowed.merge(tables.try_acquire().unwrap())).contains("keep them"));
}

#[headwaiter::test(within = "60s")]
async fn try_acquire_many_owned_takes_all_or_none() {
    let _beside_others = beside_other_tests();
    let ovens = Rc::new(Semaphore::new(3));
    let two = Rc::clone(&ovens).try_acquire_many_owned(2).unwrap();
    let error = Rc::clone(&ovens).try_acquire_many_owned(2).unwrap_err();
    assert_eq!((error, ovens.available_permits()), (TryAcquireError::NoPermits, 1));
    let mut waits = ovens.acquire_many(2);
    assert!(is_pending(&mut waits).await);
    let error = Rc::clone(&ovens).try_acquire_many_owned(1).unwrap_err();
    assert_eq!(error, TryAcquireError::NoPermits, "the one that is free is kept for the waiter");
    drop(two);
    drop(ready(poll_once(&mut waits).await).unwrap());
    ovens.close();
    let error = Rc::clone(&ovens).try_acquire_many_owned(1).unwrap_err();
    assert_eq!(error, TryAcquireError::Closed);
}

#[headwaiter::test(within = "60s")]
async fn forget_permits_takes_those_that_are_free_and_says_how_many() {
    let _beside_others = beside_other_tests();
    let ovens = Semaphore::new(5);
    assert_eq!(ovens.forget_permits(0), 0);
    assert_eq!((ovens.forget_permits(2), ovens.available_permits()), (2, 3));
    let taken = ovens.acquire_many(2).await.unwrap();
    assert_eq!((ovens.forget_permits(usize::MAX), ovens.available_permits()), (1, 0));
    assert_eq!(ovens.forget_permits(1), 0);
    drop(taken);
    assert_eq!(ovens.available_permits(), 2);

    // What is free while a task waits is kept for it.
    let taken = ovens.acquire().await.unwrap();
    let mut waits = ovens.acquire_many(2);
    assert!(is_pending(&mut waits).await);
    assert_eq!(ovens.forget_permits(1), 0);
    drop(taken);
    assert_eq!(ready(poll_once(&mut waits).await).unwrap().num_permits(), 2);
    ovens.close();
    assert_eq!((ovens.forget_permits(9), ovens.available_permits()), (2, 0));
}

#[test]
fn a_semaphore_may_have_max_permits_and_no_more() {
    let ovens = Semaphore::new(Semaphore::MAX_PERMITS);
    assert!(panic_text(|| ovens.add_permits(1)).contains("`Semaphore::MAX_PERMITS`"));
    assert_eq!(ovens.forget_permits(1), 1);
    ovens.add_permits(1);
    assert_eq!(ovens.available_permits(), Semaphore::MAX_PERMITS);
    let text = panic_text(|| drop(Semaphore::new(Semaphore::MAX_PERMITS + 1)));
    assert!(text.contains("use that for \"no limit\""), "{text}");
}
