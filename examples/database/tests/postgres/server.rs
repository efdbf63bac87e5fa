//! A PostgreSQL in a temporary folder.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::{fs, thread};

use peers::{Folder, PATIENCE, Program, free_port, run_well};
use tokio_postgres::Config;

/// The user `nobody`: PostgreSQL does not run as root.
const NOBODY: u32 = 65534;

/// Tests that do not stop the server share one, which ends with the last of them.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

pub struct Server {
    postgres: PathBuf,
    folder: Folder,
    port: u16,
    program: Option<Program>,
}

impl Server {
    /// Starts a server with a superuser `kitchen` and the password `soup`, over TCP and over the
    /// Unix socket. PostgreSQL must be installed.
    pub fn start() -> Server {
        let [initdb, postgres] =
            ["initdb", "postgres"].map(|name| peers::find(name).expect("it is installed"));
        let folder = Folder::new("postgres");
        let path = folder.path();
        if is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::write(path.join("password"), "soup").unwrap();
        let mut command = command(&initdb, path);
        command.args([
            "--username=kitchen",
            "--auth=scram-sha-256",
            "--locale=C",
            "--encoding=UTF8",
            "--no-sync",
        ]);
        command.arg("--pwfile").arg(path.join("password")).arg("--pgdata").arg(path.join("data"));
        run_well(&mut command, PATIENCE);
        let mut server = Server { postgres, folder, port: free_port(), program: None };
        server.go_on();
        server
    }

    pub fn shared() -> Arc<Server> {
        // A test that failed to start a server does not affect the others.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Server::start());
        *shared = Arc::downgrade(&server);
        server
    }

    /// Starts it again.
    pub fn go_on(&mut self) {
        let path = self.folder.path();
        let mut command = command(&self.postgres, path);
        command
            .arg("-D")
            .arg(path.join("data"))
            .arg("-k")
            .arg(path)
            .args(["-p", &self.port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        let program = Program::start_command("postgres", command);
        program.wait_for_line("ready to accept connections");
        self.program = Some(program);
    }

    /// Stops the server immediately and without a checkpoint, like a crash. After five seconds it
    /// kills the remaining backends.
    pub fn crash(&mut self) {
        let Some(mut program) = self.program.take() else { return };
        let pid = program.child.id().to_string();
        let told = Command::new("kill").args(["-QUIT", &pid]).status();
        match told {
            Ok(status) if status.success() && !thread::panicking() => _ = program.end(),
            Ok(status) if status.success() => _ = program.child.wait(),
            _ => {} // Dropping the program kills it.
        }
    }

    pub fn tcp_url(&self) -> String {
        format!("postgres://kitchen:soup@127.0.0.1:{}/postgres", self.port)
    }

    pub fn unix_url(&self) -> String {
        format!(
            "postgresql://kitchen:soup@/postgres?host={}&port={}",
            self.folder.path().display(),
            self.port
        )
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn config(&self) -> Config {
        self.tcp_url().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash(); // Before the folder is removed.
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder); // PostgreSQL must be able to enter it.
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
