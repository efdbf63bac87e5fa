//! Starting children when the process has few file descriptors left, or none.

use std::fs::File;
use std::process::Stdio;

use crate::support::*;
use headwaiter::block_on;
use headwaiter::process::Command;
use rustix::process::{Resource, Rlimit, getpid, getrlimit, setrlimit};

#[test]
fn however_few_files_are_left_a_child_is_started_or_an_error_says_why_and_no_zombie_stays() {
    in_own_process(|| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum }).unwrap();
        block_on(async {
            let (mut started, mut refused) = (0, 0);
            for left in 0..20 {
                let mut files: Vec<_> =
                    std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
                files.truncate(files.len() - left);
                let mut command = Command::new("cat");
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                match command.spawn() {
                    Ok(mut child) => {
                        started += 1;
                        assert!(child.wait().await.unwrap().success());
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(error.to_string().contains("\"cat\""), "{error}");
                        assert!(error.to_string().contains("Too many open files"), "{error}");
                    }
                }
                drop(files);
            }
            assert!(started > 0 && refused > 0, "{started} started, {refused} refused");
            // A child that was started and could not be watched was killed. It is reaped when the next child is started.
            while !children().is_empty() {
                assert!(Command::new("true").status().await.unwrap().success());
            }
        });
    });
}

/// All children that the kernel knows of, zombies too.
fn children() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let stats =
        processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    let own = getpid().as_raw_nonzero().to_string();
    let is_ours = |stat: &String| {
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        parent == Some(&own)
    };
    stats.filter(is_ours).collect()
}
