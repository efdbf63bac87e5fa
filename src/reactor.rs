//! The reactor: everything that the kernel watches for this loop. The slots are in
//! [`state::sources`](crate::state::sources); the operations on them are here. The turn calls
//! [`dispatch()`] with the kernel's events; futures call [`Registered::poll_io`]; users call
//! [`on_ready`].
//! Each source is registered once, edge-triggered and for both directions (some sockets for reading
//! first): see `docs/edge-triggered.md`.

mod dispatch;
mod registered;
mod wait;
mod priority;
mod register;
mod callback;
#[cfg(unix)]
mod fd;
#[cfg(unix)]
mod notice;
#[cfg(test)]
mod tests;

#[cfg(any(target_os = "linux", all(unix, feature = "signal")))]
pub(crate) use self::callback::relay;
pub use self::callback::{Registration, on_ready};
pub(crate) use self::dispatch::{dispatch, shuffled};
#[cfg(unix)]
pub(crate) use self::fd::FdSource;
#[cfg(all(unix, feature = "signal"))]
pub(crate) use self::notice::is_there;
#[cfg(unix)]
pub(crate) use self::notice::{Notice, give, give_from_afar};
pub(crate) use self::register::{drop_all, is_closing};
pub(crate) use self::registered::Registered;
pub(crate) use self::wait::Wait;
#[cfg(unix)]
pub(crate) use crate::state::ALL;
pub(crate) use crate::state::is_priority;
pub use crate::state::ready::{Direction, Ready};
pub use crate::state::sources::Next;
