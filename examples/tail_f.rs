//! Follows a file as it grows: prints its last lines and then what is appended, also after the file
//! was truncated, or replaced by a new one of its name. It waits with inotify, through `Async`.
//!
//! `cargo run --example tail_f FILE`

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this example waits with inotify, and needs Linux");
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

    /// Never ends but with an error.
    pub async fn follow(path: &Path) -> io::Result<std::convert::Infallible> {
        let mut file = File::open(path).await?;
        let mut at = last_lines(&mut file).await?;
        // The folder and not the file is watched, because a new file of the same name may come.
        let folder = path.parent().filter(|folder| *folder != "").unwrap_or(Path::new("."));
        let watch = Async::new(init(CreateFlags::CLOEXEC)?)?;
        add_watch(&watch, folder, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        let mut stdout = stdout();
        loop {
            // Looked for before the old one is read to its end, so that nothing of it is missed.
            let successor = successor(path, &file).await?;
            at += copy(&mut file, &mut stdout).await?;
            if let Some(successor) = successor {
                eprintln!("tail_f: {} is a new file", path.display());
                (file, at) = (successor, 0);
            } else if file.metadata().await?.len() < at {
                eprintln!("tail_f: {} was truncated", path.display());
                at = file.seek(SeekFrom::Start(0)).await?;
            } else {
                // Whatever happened, and to whichever file of the folder: the loop looks again.
                let mut events = [0; 4096];
                watch.read_with(|fd| Ok(rustix::io::read(fd, &mut events)?)).await?;
            }
        }
    }

    /// Goes to where the last ten lines begin, as far as they are in the last 8 KiB.
    async fn last_lines(file: &mut File) -> io::Result<u64> {
        let start = file.metadata().await?.len().saturating_sub(8192);
        let start = file.seek(SeekFrom::Start(start)).await?;
        let mut bytes = Vec::new();
        copy(file, &mut bytes).await?;
        let newlines = bytes.iter().enumerate().rev().skip(1).filter(|(_, byte)| **byte == b'\n');
        let first = newlines.map(|(at, _)| at + 1).nth(9).unwrap_or(0);
        file.seek(SeekFrom::Start(start + first as u64)).await
    }

    /// Another file of this name, if there is one now. There may be none at all for the moment.
    async fn successor(path: &Path, file: &File) -> io::Result<Option<File>> {
        let named = match File::open(path).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            named => named?,
        };
        let (old, new) = (file.metadata().await?, named.metadata().await?);
        Ok(((old.dev(), old.ino()) != (new.dev(), new.ino())).then_some(named))
    }
}
