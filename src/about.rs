//! [`about`]: an `io::Error` that names the address, the path or the command that it is about.
//! Operations that have one of these call it. [`os_error`] finds the number of the OS error in such
//! an error.
//!
//! It never changes the kind, and keeps the kernel's own error as its `source`.

use std::{error, fmt, io};

/// Adds to an error which operation failed, and on what: `about("open", "\"soup\"", error)` reads
/// `open "soup": No such file or directory (os error 2)`.
pub(crate) fn about(doing: &'static str, what: impl fmt::Display, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), About { doing, what: what.to_string().into(), error })
}

/// Returns the number of the OS error (`errno`, for instance `ENOENT`) in an error, also in one
/// that names a path, an address or a command.
///
/// Such an error of this crate wraps the kernel's own, so [`io::Error::raw_os_error`] returns
/// `None` for it, as for each error made by [`io::Error::new`]. This function looks through any
/// number of such layers, and through [`io::Error::other`]. `None` means that the error does not
/// come from the operating system, such as `UnexpectedEof`.
///
/// If an error lists several, such as that of a connection that was tried with several addresses,
/// the number is that of the last one.
///
/// ```
/// # #[cfg(unix)] {
/// headwaiter::block_on(async {
///     let error = headwaiter::fs::read("no such file").await.unwrap_err();
///     assert_eq!(error.raw_os_error(), None);
///     assert_eq!(headwaiter::io::os_error(&error), Some(2), "ENOENT");
/// });
/// # }
/// ```
#[must_use]
pub fn os_error(error: &io::Error) -> Option<i32> {
    if let Some(number) = error.raw_os_error() {
        return Some(number);
    }
    // Not `source`: for an `io::Error` that is the source of the error inside, so it would skip one
    // layer.
    let mut inner: &(dyn error::Error + 'static) = error.get_ref()?;
    loop {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return os_error(error);
        }
        inner = inner.source()?;
    }
}

/// The layer that [`about`] adds.
#[derive(Debug)]
struct About {
    doing: &'static str,
    what: Box<str>,
    error: io::Error,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.doing, self.what, self.error)
    }
}

impl error::Error for About {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    #[test]
    fn an_error_keeps_its_kind_and_its_source_and_says_what_it_is_about() {
        let error = about("open", "\"soup\"", io::Error::from_raw_os_error(2));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("open \"soup\": "), "{error}");
        let source =
            error.get_ref().and_then(Error::source).and_then(|s| s.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(2));
    }

    #[test]
    fn the_number_of_the_os_is_found_however_deep_it_is() {
        let plain = || io::Error::from_raw_os_error(2);
        assert_eq!(os_error(&plain()), Some(2));
        let ours = || about("open", "\"soup\"", plain());
        assert_eq!(ours().raw_os_error(), None);
        assert_eq!(os_error(&ours()), Some(2));
        assert_eq!(os_error(&about("serve", "table 3", ours())), Some(2));
        assert_eq!(os_error(&io::Error::other(ours())), Some(2));
        assert_eq!(os_error(&io::Error::other(io::Error::other(plain()))), Some(2));
        assert_eq!(os_error(&about("read", "soup", io::ErrorKind::UnexpectedEof.into())), None);
        assert_eq!(os_error(&io::Error::other("no soup")), None);
        assert_eq!(os_error(&io::ErrorKind::NotFound.into()), None);
    }
}
