//! How a spawned task inherits task-local values: `insert` asks [`is_asked`] at each spawn, and
//! [`wrap`]s the body of the task if the spawn happens inside a `scope_inherited`. The scopes that
//! are entered on a thread are in a list; nothing else knows of them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, ready};

use super::{LocalKey, Refused, Value};
use crate::state::{Body, JoinError, Stage};

thread_local! {
    /// How many inherited scopes are entered on this thread. Apart from the list, because each
    /// spawn reads it, and this needs no check whether the thread-local was dropped.
    static ASKED: Cell<usize> = const { Cell::new(0) };

    /// Their keys, the innermost last.
    static KEYS: RefCell<Vec<&'static dyn Inheritable>> = const { RefCell::new(Vec::new()) };
}

/// Whether an inherited scope is entered on this thread.
#[inline]
pub(crate) fn is_asked() -> bool {
    ASKED.get() > 0
}

/// A guard: while it lives, spawned tasks inherit the value of a key.
pub(super) struct Asked(PhantomData<*const ()>);

impl Asked {
    pub(super) fn new(key: &'static dyn Inheritable) -> Self {
        // It fails only while the thread ends, where nothing can be spawned.
        let _ = KEYS.try_with(|keys| keys.borrow_mut().push(key));
        ASKED.set(ASKED.get() + 1);
        Asked(PhantomData)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        ASKED.set(ASKED.get() - 1);
        // The guards of a thread are dropped in the opposite order of their creation.
        let _ = KEYS.try_with(|keys| keys.borrow_mut().pop());
    }
}

/// A key without the type of its value.
pub(super) trait Inheritable {
    /// Clones the current value, unless a plain scope has hidden the inherited one.
    fn inherit(&'static self) -> Option<Box<dyn Inherited>>;
}

impl<T> Inheritable for LocalKey<T> {
    fn inherit(&'static self) -> Option<Box<dyn Inherited>> {
        self.stored.with(|stored| {
            let current = stored.0.borrow();
            let Value { value, clone } = current.as_ref()?;
            let (value, clone) = ((*clone)?(value), *clone);
            let value = Some(Value { value, clone });
            Some(Box::new(InheritedValue { key: self, value, asked: None }) as _)
        })
    }
}

/// A value that a task has inherited, without its type.
pub(super) trait Inherited {
    /// Makes the value the current one of its key.
    fn enter(&mut self) -> Result<(), Refused>;

    /// Restores the value that was current before. A no-op if the scope was not entered.
    fn leave(&mut self);
}

struct InheritedValue<T: 'static> {
    key: &'static LocalKey<T>,
    /// While the scope is entered, the value that was current before.
    value: Option<Value<T>>,
    /// `Some` while the scope is entered.
    asked: Option<Asked>,
}

impl<T> Inherited for InheritedValue<T> {
    fn enter(&mut self) -> Result<(), Refused> {
        self.key.swap(&mut self.value)?;
        self.asked = Some(Asked::new(self.key));
        Ok(())
    }

    fn leave(&mut self) {
        if self.asked.take().is_some() {
            // Refused only while the thread ends.
            let _ = self.key.swap(&mut self.value);
        }
    }
}

/// Wraps the body of a task that is spawned inside inherited scopes.
#[cold]
pub(crate) fn wrap(body: Body) -> Body {
    let mut keys: Vec<&'static dyn Inheritable> = Vec::new();
    KEYS.with_borrow(|entered| {
        for key in entered {
            // Scopes of one key may be nested.
            if !keys.iter().any(|known| ptr::addr_eq(*known, *key)) {
                keys.push(*key);
            }
        }
    });
    // `KEYS` is not borrowed here, because this clones values of the user's.
    let values: Vec<_> = keys.into_iter().filter_map(Inheritable::inherit).collect();
    if values.is_empty() { body } else { Box::pin(Inheriting { values, body: Some(body) }) }
}

/// The body of a task with inherited values. All code of the task runs inside their scopes.
struct Inheriting {
    values: Vec<Box<dyn Inherited>>,
    /// `None` once it was taken.
    body: Option<Body>,
}

impl Stage for Inheriting {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(body) = &mut this.body {
            let entered = Entered::new(&mut this.values);
            if let Some(refused) = &entered.refused {
                refused.panic();
            }
            ready!(body.as_mut().poll(cx));
        }
        // The future is gone; only its output is left.
        this.values.clear();
        Poll::Ready(())
    }

    fn fail(self: Pin<&mut Self>, error: JoinError) {
        let this = self.get_mut();
        if let Some(body) = &mut this.body {
            let _entered = Entered::new(&mut this.values);
            body.as_mut().fail(error);
        }
        this.values.clear();
    }

    fn take(mut self: Pin<Box<Self>>, out: &mut dyn Any) {
        if let Some(body) = self.body.take() {
            body.take(out);
        }
    }

    fn error(&self) -> Option<&JoinError> {
        self.body.as_ref()?.error()
    }
}

impl Drop for Inheriting {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            let _entered = Entered::new(&mut self.values);
            drop(body);
        }
    }
}

/// A guard: while it lives, these values are the current ones of their keys, except those that were
/// refused.
struct Entered<'a> {
    values: &'a mut [Box<dyn Inherited>],
    /// A poll panics then. A task that is aborted inside `with` ends outside that scope instead.
    refused: Option<Refused>,
}

impl<'a> Entered<'a> {
    fn new(values: &'a mut [Box<dyn Inherited>]) -> Self {
        let mut refused = None;
        for value in &mut *values {
            refused = value.enter().err().or(refused);
        }
        Entered { values, refused }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        for value in self.values.iter_mut().rev() {
            value.leave();
        }
    }
}
