//! The macro [`task_local!`](crate::task_local). It has a file of its own because it names what
//! `task` exports, while nothing names it.

/// Declares keys of task-local values: statics of the type
/// [`LocalKey<T>`](crate::task::LocalKey), without an initial value.
///
/// ```
/// headwaiter::task_local! {
///     /// The guest that this task serves.
///     pub static GUEST: String;
///     static TABLE: u32;
/// }
///
/// async fn bill() -> String {
///     format!("{} at table {}", GUEST.get(), TABLE.get())
/// }
///
/// headwaiter::block_on(async {
///     let bill = GUEST.scope("Anna".to_owned(), TABLE.scope(7, bill()));
///     assert_eq!(headwaiter::spawn(bill).await.unwrap(), "Anna at table 7");
///     assert!(GUEST.try_get().is_err()); // Outside the scope.
/// });
/// ```
#[macro_export]
macro_rules! task_local {
    ($($(#[$attribute:meta])* $vis:vis static $name:ident: $type:ty);* $(;)?) => {$(
        $(#[$attribute])*
        $vis static $name: $crate::task::LocalKey<$type> = {
            ::std::thread_local! {
                static STORED: $crate::task::__Stored<$type> =
                    const { $crate::task::__Stored::new() };
            }
            $crate::task::LocalKey::__new(STORED)
        };
    )*};
}
