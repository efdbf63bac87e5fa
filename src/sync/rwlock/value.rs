//! [`Value`]: the value of a lock. Borrowed guards borrow it where it is. Owned guards cannot borrow
//! it, so it is in an [`Rc`]: those that read share it, and one that writes takes it along and puts
//! it back. The guards use it; that they exclude each other is left to the lock.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;

use super::RwLock;

pub(super) struct Value<T>(RefCell<Option<Rc<T>>>);

/// The value while an owned guard writes it. Dropping it puts the value back.
pub(super) struct Taken<T> {
    value: Rc<T>,
    lock: Rc<RwLock<T>>,
}

const IS_THERE: &str = "only a guard that writes takes the value, and it excludes other guards";
const IS_ALONE: &str = "a guard that writes excludes the guards that share the value";

impl<T> Value<T> {
    pub(super) fn new(value: T) -> Self {
        Value(RefCell::new(Some(Rc::new(value))))
    }

    pub(super) fn read(&self) -> Ref<'_, T> {
        Ref::map(self.0.borrow(), |value| &**value.as_ref().expect(IS_THERE))
    }

    pub(super) fn write(&self) -> RefMut<'_, T> {
        RefMut::map(self.0.borrow_mut(), |value| {
            Rc::get_mut(value.as_mut().expect(IS_THERE)).expect(IS_ALONE)
        })
    }

    pub(super) fn share(&self) -> Rc<T> {
        Rc::clone(self.0.borrow().as_ref().expect(IS_THERE))
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        Rc::get_mut(self.0.get_mut().as_mut().expect(IS_THERE)).expect(IS_ALONE)
    }

    pub(super) fn into_inner(self) -> T {
        // An owned guard, leaked or not, keeps the lock alive, so there is none.
        self.0.into_inner().and_then(Rc::into_inner).expect(IS_THERE)
    }
}

impl<T> Taken<T> {
    pub(super) fn from(lock: Rc<RwLock<T>>) -> Self {
        let value = lock.value.0.take().expect(IS_THERE);
        Taken { value, lock }
    }

    #[inline]
    pub(super) fn get(&self) -> &T {
        &self.value
    }

    #[inline]
    pub(super) fn get_mut(&mut self) -> &mut T {
        Rc::get_mut(&mut self.value).expect(IS_ALONE)
    }
}

impl<T> Drop for Taken<T> {
    fn drop(&mut self) {
        *self.lock.value.0.borrow_mut() = Some(Rc::clone(&self.value));
    }
}
