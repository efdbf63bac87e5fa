//! The peers, and how they are built: each alone, with the feature of its name.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::child;

/// How a peer waits for the kernel, which says what it is compared with.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Ours,
    /// A runtime on readiness, as ours: the best of these is what ours is compared with.
    Readiness,
    /// Printed beside them: it has no tasks, or the kernel does more of the work.
    Floor,
}

pub struct Peer {
    /// Of its feature and its program.
    pub name: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    /// Its crate, whose version is printed.
    pub package: Option<&'static str>,
}

pub const PEERS: &[Peer] = &[
    peer("headwaiter", "headwaiter", Kind::Ours, Some("headwaiter")),
    peer("tokio", "tokio", Kind::Readiness, Some("tokio")),
    peer("tokio_local", "tokio local", Kind::Readiness, Some("tokio")),
    peer("smol", "smol", Kind::Readiness, Some("smol")),
    peer("monoio", "monoio epoll", Kind::Readiness, Some("monoio")),
    peer("compio", "compio polling", Kind::Readiness, Some("compio")),
    peer("raw_mio", "raw mio", Kind::Floor, Some("mio")),
    peer("raw_epoll", "raw epoll", Kind::Floor, None),
    peer("threads", "threads", Kind::Floor, None),
    peer("monoio_uring", "monoio io_uring", Kind::Floor, Some("monoio")),
    peer("compio_uring", "compio io_uring", Kind::Floor, Some("compio")),
];

const fn peer(
    name: &'static str,
    title: &'static str,
    kind: Kind,
    package: Option<&'static str>,
) -> Peer {
    Peer { name, title, kind, package }
}

/// A peer's program and the workloads it has, or why there is none.
pub struct Built {
    pub peer: &'static Peer,
    pub program: PathBuf,
    pub workloads: Result<Vec<String>, String>,
}

/// Builds those that are named, or all.
pub fn build(names: &[String]) -> Vec<Built> {
    let here = std::env::current_exe().expect("the path of this program");
    let target = here.ancestors().nth(2).expect("cargo's folder").to_path_buf();
    let wanted =
        PEERS.iter().filter(|peer| names.is_empty() || names.iter().any(|n| n == peer.name));
    wanted.map(|peer| build_one(peer, &target)).collect()
}

fn build_one(peer: &'static Peer, target: &Path) -> Built {
    eprintln!("building {}", peer.name);
    let program = target.join("release").join(peer.name);
    let workloads = cargo(peer.name, target).and_then(|()| {
        let list = child::output(&program, &["list"], Duration::from_secs(10))?;
        Ok(list.lines().map(str::to_owned).collect())
    });
    if let Err(error) = &workloads {
        eprintln!("{}: {error}", peer.name);
    }
    Built { peer, program, workloads }
}

fn cargo(name: &str, target: &Path) -> Result<(), String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or("cargo".to_owned()));
    cargo.args(["build", "--release", "--quiet", "--locked", "--features", name, "--bin", name]);
    cargo.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(target);
    let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let first = errors.lines().find(|line| line.starts_with("error"));
    Err(format!("does not build: {}", first.unwrap_or("cargo says nothing")))
}
