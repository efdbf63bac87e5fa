//! [`debug_struct!`] and [`error_message!`], which the modules of the public types use instead of
//! `impl` blocks that would all be alike.

/// Implements `Debug` as a struct with the given fields. A final `..` says that there are others.
///
/// `debug_struct!(impl[T] for Sender<T> as "Sender", |this| closed: this.is_closed(), ..);`
macro_rules! debug_struct {
    (impl[$($bounds:tt)*] for $owner:ty as $name:literal, |$this:ident| $($field:ident: $value:expr,)* ..) => {
        $crate::fmt::debug_struct!(
            @impl[$($bounds)*] $owner, $name, $this, finish_non_exhaustive, $($field: $value,)*
        );
    };
    (impl[$($bounds:tt)*] for $owner:ty as $name:literal, |$this:ident| $($field:ident: $value:expr),+) => {
        $crate::fmt::debug_struct!(
            @impl[$($bounds)*] $owner, $name, $this, finish, $($field: $value,)*
        );
    };
    (@impl[$($bounds:tt)*] $owner:ty, $name:literal, $this:ident, $finish:ident, $($field:ident: $value:expr,)*) => {
        impl<$($bounds)*> ::std::fmt::Debug for $owner {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let $this = self;
                f.debug_struct($name)$(.field(stringify!($field), &$value))*.$finish()
            }
        }
    };
}
pub(crate) use debug_struct;

/// Implements `Display` and `Error` for an error whose message is a text, or one text for each
/// variant.
///
/// `error_message!(impl[T] for SendError<T>, "the channel is closed");`
macro_rules! error_message {
    (impl[$($bounds:tt)*] for $owner:ty, $message:literal) => {
        $crate::fmt::error_message!(impl[$($bounds)*] for $owner, |_this| $message);
    };
    (impl[$($bounds:tt)*] for $owner:ty, |$this:ident| $message:expr) => {
        impl<$($bounds)*> ::std::fmt::Display for $owner {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let $this = self;
                f.write_str($message)
            }
        }

        impl<$($bounds)*> ::std::error::Error for $owner {}
    };
}
pub(crate) use error_message;
