//! The futures of [`RwLock`], one for each kind of guard.

use std::task::{Context, Poll, ready};
use std::{pin::Pin, rc::Rc};

use super::raw::Access;
use super::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use crate::fmt::debug_struct;
use crate::sync::wait_list::ListWait;

/// Defines a future that waits for a lock and then makes a guard.
macro_rules! lock_future {
    (
        $(#[$attributes:meta])*
        $name:ident[$($generics:tt)*] as $text:literal, $lock:ty => $guard:ty,
        Access::$access:ident, owned: $is_owned:literal, |$this:ident, $key:ident| $make:expr
    ) => {
        $(#[$attributes])*
        #[must_use = "futures do nothing unless awaited"]
        pub struct $name<$($generics)*> {
            lock: $lock,
            wait: ListWait,
        }

        impl<$($generics)*> $name<$($generics)*> {
            pub(super) fn new(lock: $lock, wait: ListWait) -> Self {
                $name { lock, wait }
            }
        }

        impl<$($generics)*> Future for $name<$($generics)*> {
            type Output = $guard;

            #[inline]
            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                let $this = &mut *self;
                let (access, wait) = (Access::$access, &mut $this.wait);
                let $key = ready!($this.lock.raw.poll_lock(access, wait, cx, $is_owned));
                Poll::Ready($make)
            }
        }

        impl<$($generics)*> Drop for $name<$($generics)*> {
            #[inline]
            fn drop(&mut self) {
                if self.wait.has_place() {
                    self.lock.raw.leave(&mut self.wait);
                }
            }
        }

        debug_struct!(impl[$($generics)*] for $name<$($generics)*> as $text, |this| wait: this.wait, ..);
    };
}

lock_future! {
    /// The future of [`RwLock::read`].
    LockRead['a, T] as "LockRead", &'a RwLock<T> => RwLockReadGuard<'a, T>,
    Access::Read, owned: false, |this, key| RwLockReadGuard::new(this.lock, key)
}

lock_future! {
    /// The future of [`RwLock::write`].
    LockWrite['a, T] as "LockWrite", &'a RwLock<T> => RwLockWriteGuard<'a, T>,
    Access::Write, owned: false, |this, key| RwLockWriteGuard::new(this.lock, key)
}

lock_future! {
    /// The future of [`RwLock::read_owned`].
    LockReadOwned[T] as "LockReadOwned", Rc<RwLock<T>> => OwnedRwLockReadGuard<T>,
    Access::Read, owned: true, |this, key| OwnedRwLockReadGuard::new(Rc::clone(&this.lock), key)
}

lock_future! {
    /// The future of [`RwLock::write_owned`].
    LockWriteOwned[T] as "LockWriteOwned", Rc<RwLock<T>> => OwnedRwLockWriteGuard<T>,
    Access::Write, owned: true, |this, key| OwnedRwLockWriteGuard::new(Rc::clone(&this.lock), key)
}
