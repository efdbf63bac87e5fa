//! Runs several shell commands concurrently and prints their output as it arrives, each line with
//! the number of its command.
//!
//! `cargo run --example run_commands ["COMMAND" ...]`. The exit code is not 0 if a command failed.

use std::io;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_lite::io::{AsyncBufReadExt, AsyncRead, BufReader};
use futures_lite::{StreamExt, future};
use headwaiter::process::Command;

const DEMO: [&str; 3] = [
    "for n in 3 2 1; do echo $n; sleep 0.2; done; echo lift-off",
    "sleep 0.3; echo soup; sleep 0.3; echo salad",
    "echo 'the oven is on' >&2; sleep 0.5; echo 'the bread is ready'",
];

fn main() -> ExitCode {
    env_logger::init();
    let mut commands: Vec<String> = std::env::args().skip(1).collect();
    if commands.is_empty() {
        commands = DEMO.map(str::to_owned).to_vec();
    }
    headwaiter::block_on(run_all(commands))
}

async fn run_all(commands: Vec<String>) -> ExitCode {
    let start = Instant::now();
    let running: Vec<_> = commands
        .iter()
        .enumerate()
        .map(|(n, command)| {
            println!("[{n}] runs: {command}");
            headwaiter::spawn(run(format!("[{n}]"), command.clone()))
        })
        .collect();
    let (mut sum, mut code) = (Duration::ZERO, ExitCode::SUCCESS);
    for (n, command) in running.into_iter().enumerate() {
        match command.await.map_err(io::Error::other).and_then(|result| result) {
            Ok((status, took)) => {
                println!("[{n}] ended with {status} after {took:.2?}");
                sum += took;
                if !status.success() {
                    code = ExitCode::FAILURE;
                }
            }
            Err(error) => {
                println!("[{n}] failed: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    println!("all in {:.2?}; one after another they would have taken {sum:.2?}", start.elapsed());
    code
}

/// Returns the exit status of the command and how long it took.
async fn run(name: String, command: String) -> io::Result<(ExitStatus, Duration)> {
    let start = Instant::now();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.kill_on_drop(true).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    future::try_zip(print_lines(&name, stdout), print_lines(&name, stderr)).await?;
    Ok((child.wait().await?, start.elapsed()))
}

async fn print_lines(name: &str, stream: Option<impl AsyncRead + Unpin>) -> io::Result<()> {
    let Some(stream) = stream else { return Ok(()) };
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Some(line) = lines.next().await {
        println!("{name} {}", String::from_utf8_lossy(&line?));
    }
    Ok(())
}
