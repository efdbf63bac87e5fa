//! Child processes: [`Command`] starts them, [`Child`] waits for them, and their ends of pipes are
//! streams.
//!
//! What a child that was made by a bare fork(2) may do with the loop of its parent is described at
//! [`EventLoop`](crate::EventLoop#fork2).
//!
//! # Errors
//!
//! Errors of a command name the program and keep the kind. [`io::os_error`](crate::io::os_error)
//! returns the number of such an error (`ENOENT`, ...), for which
//! [`raw_os_error`](std::io::Error::raw_os_error) returns `None`. Errors of `Child::wait` and of
//! the child's streams are the kernel's own.

// In the order in which to read them. Files of this folder import each other directly, never
// through here.
mod command;
mod child;
mod output;
mod reap;

pub use self::child::{Child, ChildStderr, ChildStdin, ChildStdout, Kill, WaitForExit};
pub use self::command::{Command, Status};
pub use self::output::WaitWithOutput;
