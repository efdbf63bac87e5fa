//! Follows a file as it grows: prints its last lines and then everything that is appended, even if
//! the file is truncated or replaced by a new file of the same name. It waits with inotify, through
//! `Async`.
//!
//! `cargo run --example tail_f FILE`

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this example uses inotify and needs Linux");
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    env_logger::init();
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [path] = &args[..] else {
        eprintln!("usage: tail_f FILE");
        return 2.into();
    };
    let Err(error) = headwaiter::block_on(follow::follow(path.as_ref()));
    eprintln!("tail_f: {error}");
    1.into()
}

#[cfg(target_os = "linux")]
mod follow {
    use std::io::{self, ErrorKind, SeekFrom};
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use headwaiter::fs::File;
    use headwaiter::io::{Async, copy, stdout};
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

    /// Returns only if there is an error.
    pub async fn follow(path: &Path) -> io::Result<std::convert::Infallible> {
        let mut file = File::open(path).await?;
        let mut at = last_lines(&mut file).await?;
        // Watches the directory and not the file, because the file may be replaced by a new one.
        let folder = path.parent().filter(|folder| *folder != "").unwrap_or(Path::new("."));
        let watch = Async::new(init(CreateFlags::CLOEXEC)?)?;
        add_watch(&watch, folder, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        let mut stdout = stdout();
        loop {
            // Looks for a new file before it reads the old one to its end, so that it misses
            // nothing.
            let successor = successor(path, &file).await?;
            at += copy(&mut file, &mut stdout).await?;
            if let Some(successor) = successor {
                eprintln!("tail_f: {} is a new file", path.display());
                (file, at) = (successor, 0);
            } else if file.metadata().await?.len() < at {
                eprintln!("tail_f: {} was truncated", path.display());
                at = file.seek(SeekFrom::Start(0)).await?;
            } else {
                // Any change to any file in the directory: check again.
                let mut events = [0; 4096];
                watch.read_with(|fd| Ok(rustix::io::read(fd, &mut events)?)).await?;
            }
        }
    }

    /// Seeks to the start of the last ten lines, within the last 8 KiB.
    async fn last_lines(file: &mut File) -> io::Result<u64> {
        let start = file.metadata().await?.len().saturating_sub(8192);
        let start = file.seek(SeekFrom::Start(start)).await?;
        let mut bytes = Vec::new();
        copy(file, &mut bytes).await?;
        let newlines = bytes.iter().enumerate().rev().skip(1).filter(|(_, byte)| **byte == b'\n');
        let first = newlines.map(|(at, _)| at + 1).nth(9).unwrap_or(0);
        file.seek(SeekFrom::Start(start + first as u64)).await
    }

    /// Returns the new file if the name refers to another file now. For a moment, there may be no
    /// such file.
    async fn successor(path: &Path, file: &File) -> io::Result<Option<File>> {
        let named = match File::open(path).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            named => named?,
        };
        let (old, new) = (file.metadata().await?, named.metadata().await?);
        Ok(((old.dev(), old.ino()) != (new.dev(), new.ino())).then_some(named))
    }
}
