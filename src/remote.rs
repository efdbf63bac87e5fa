//! From other threads to a loop: [`Handle`], and the [`RemoteHandle`] of a task that was spawned with it.
//! They only leave messages in the loop's [inbox](crate::state::inbox).

mod handle;
mod remote_handle;
mod spawned;

pub use self::handle::Handle;
#[cfg(feature = "macros")]
pub(crate) use self::handle::{ANSWER_TIMEOUT, why_busy};
pub use self::remote_handle::RemoteHandle;
