//! An `io::Error` that says what it is about. Made wherever an operation has an address, a path or a command to name;
//! it never changes the kind, and keeps the kernel's own error as its `source`.

use std::{error, fmt, io};

/// `about("open", "\"soup\"", error)` reads `open "soup": No such file or directory (os error 2)`.
pub(crate) fn about(doing: &'static str, what: impl fmt::Display, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), About { doing, what: what.to_string().into(), error })
}

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
        let source = error.get_ref().and_then(Error::source).and_then(|s| s.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(2));
    }
}
