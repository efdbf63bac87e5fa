//! The client and a real Redis, on sockets in temporary folders.

use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use peers::{Folder, PATIENCE, Program, figure, need, run, run_well};

const CLIENT: &str = env!("CARGO_BIN_EXE_kv_client");

/// The output of the tour that is the same for all servers.
const TOUR: [&str; 9] = [
    "the server is Redis 7",
    "the soup is hot",
    "commands in one pipeline: 2 soups, 1 cake, together 3",
    "1000 requests one after another:",
    "1000 requests at once:",
    "the count is 2000",
    "published soup, received by 1",
    "received soup",
    "received cake",
];

struct Redis {
    path: PathBuf,
    folder: Folder,
    options: Vec<String>,
    program: Program,
}

impl Redis {
    /// Returns `None` if Redis is not installed.
    fn start(options: &[&str]) -> Option<Redis> {
        let (path, folder) = (peers::find("redis-server")?, Folder::new("kv-client"));
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        let program = Redis::run(&path, &folder, &options);
        Some(Redis { path, folder, options, program })
    }

    fn run(path: &PathBuf, folder: &Folder, options: &[String]) -> Program {
        let mut command = Command::new(path);
        command.args(["--port", "0", "--save", "", "--dir"]).arg(folder.path());
        command
            .arg("--unixsocket")
            .arg(folder.path().join("socket"))
            .args(options)
            .stdin(Stdio::null());
        let program = Program::start_command("redis-server", command);
        program.wait_for_line("ready to accept connections");
        program
    }

    fn kill(&mut self) {
        self.program.child.kill().unwrap();
        self.program.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.program = Redis::run(&self.path, &self.folder, &self.options);
    }

    fn signal(&self, name: &str) {
        run_well(Command::new("kill").args([name, &self.program.child.id().to_string()]), PATIENCE);
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("socket").display())
    }

    /// Runs redis-cli.
    fn say(&self, args: &[&str]) -> String {
        run_well(
            Command::new("redis-cli").arg("-s").arg(self.folder.path().join("socket")).args(args),
            PATIENCE,
        )
    }
}

/// Runs the client to its end. Returns its exit code, its output and its log.
fn client(args: &[&str]) -> (Option<i32>, String, String) {
    let output = run(
        Command::new(CLIENT).args(args).env_remove("RUST_LOG").env("RUST_BACKTRACE", "0"),
        PATIENCE,
    );
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn assert_tour(url: &str) -> Vec<String> {
    let (code, said, log) = client(&[url]);
    assert_eq!(code, Some(0), "{said}\n{log}");
    let said: Vec<_> = said.lines().map(String::from).collect();
    peers::tells(&said, &TOUR);
    said
}

fn count(program: &Program, text: &str) -> usize {
    program.said(|said| said.lines.iter().filter(|line| line.contains(text)).count())
}

/// Waits until it has printed this more than `before` times.
#[track_caller]
fn wait_for_another(program: &Program, text: &str, before: usize) {
    program.wait_for(text, |said| {
        said.lines.iter().filter(|line| line.contains(text)).count() > before
    });
}

/// Returns the number that the client has counted to.
fn counted(program: &Program) -> u64 {
    let last = |line: &&String| line.contains("counted to ");
    let line = program.said(|said| said.lines.iter().rev().find(last).cloned()).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn all_is_shown_over_a_unix_socket() {
    let Some(redis) = Redis::start(&[]) else { return };
    let said = assert_tour(&redis.url());
    assert!(
        said.iter().any(|line| line.contains("a request without an answer timed out after 1.")),
        "{said:#?}"
    );
    assert_eq!(redis.say(&["get", "kv_client:count"]), "2000\n");
    let left: u64 = redis.say(&["ttl", "kv_client:soup"]).trim().parse().unwrap();
    assert!((1..=60).contains(&left), "{left}");
    // After its end, none of its connections is left.
    let began = Instant::now();
    while !redis.say(&["info", "clients"]).contains("connected_clients:1\r\n") {
        assert!(began.elapsed() < PATIENCE);
    }
}

#[test]
fn all_is_shown_over_tcp() {
    let port = peers::free_port().to_string();
    let Some(_redis) = Redis::start(&["--port", &port, "--bind", "127.0.0.1"]) else { return };
    assert_tour(&format!("redis://localhost:{port}/0"));
}

/// The other example. It is built where this one is, by `cargo test --workspace` or
/// `cargo build -p kv_server`.
#[test]
fn all_is_shown_with_kv_server() {
    let path = PathBuf::from(CLIENT).with_file_name("kv_server");
    if !path.exists() {
        return peers::skip("kv_server is not built");
    }
    let mut command = Command::new(path);
    command.arg("127.0.0.1:0").stdin(Stdio::null()).env_remove("RUST_LOG");
    let server = Program::start_command("kv_server", command);
    let said = assert_tour(&format!("redis://{}", peers::address(&server, "listening on ")));
    assert!(
        said.iter().any(|line| line.contains("the server has no blocking commands")),
        "{said:#?}"
    );
}

#[test]
fn many_requests_at_once_take_less_time_than_one_after_another() {
    let Some(redis) = Redis::start(&[]) else { return };
    let said = assert_tour(&redis.url());
    let [one, all] =
        ["one after another:", "at once:"].map(|how| figure(&said, &["1000 requests", how]));
    assert!(all < one, "{all} ms at once, {one} ms one after another");
}

#[test]
fn a_server_that_is_killed_and_started_again_is_found_again() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    need!("redis-cli");
    let watch = peers::start(CLIENT, &[&redis.url(), "watch"]);
    watch.wait_for_line("counted to 1");
    assert_eq!(redis.say(&["publish", "kv_client:orders", "soup"]), "1\n");
    watch.wait_for_line("ordered: soup");

    redis.kill();
    watch.wait_for_line("lost the connection to ");
    // The pauses become longer.
    wait_for_another(&watch, "next try in ", 3);
    watch.wait_for_line("no connection in time");
    redis.start_again();
    wait_for_another(&watch, "connected to ", 1);
    let before = count(&watch, "counted to ");
    wait_for_another(&watch, "counted to ", before);
    // It has subscribed again.
    assert_eq!(redis.say(&["publish", "kv_client:orders", "cake"]), "1\n");
    watch.wait_for_line("ordered: cake");

    let pauses = watch.said(|said| {
        let millis = |line: &String| {
            line.split_once("next try in ")?.1.strip_suffix(" ms")?.parse::<u64>().ok()
        };
        said.lines.iter().filter_map(millis).collect::<Vec<_>>()
    });
    for (n, pause) in pauses.iter().enumerate() {
        let longest = 5000.min(100 << n.min(20));
        assert!((longest / 2..=longest).contains(pause), "{pauses:?}");
    }
    watch.interrupt();
    let (code, said) = watch.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("closed"), "{said}");
}

#[test]
fn a_request_that_is_not_answered_in_time_costs_only_itself() {
    let Some(redis) = Redis::start(&[]) else { return };
    let watch = peers::start(CLIENT, &[&redis.url(), "watch"]);
    watch.wait_for_line("counted to 1");
    redis.signal("-STOP");
    watch.wait_for_line("no answer in time");
    let (before, lines) = (counted(&watch), count(&watch, "counted to "));
    redis.signal("-CONT");
    wait_for_another(&watch, "counted to ", lines);
    // The server has counted, but the client did not wait. The late answer is not mistaken for the
    // answer to the next request.
    assert!(counted(&watch) >= before + 2, "{} after {before}", counted(&watch));
    assert_eq!(count(&watch, "lost the connection"), 0);
    watch.interrupt();
    assert_eq!(watch.end().0, Some(0));
}

#[test]
fn a_connection_over_which_nothing_is_answered_is_given_up() {
    let Some(redis) = Redis::start(&[]) else { return };
    let watch = peers::start(CLIENT, &[&redis.url(), "watch"]);
    watch.wait_for_line("counted to 1");
    redis.signal("-STOP");
    watch.wait_for_line("lost the connection to ");
    watch.wait_for_line("no request was answered for 3s");
    // The kernel still completes connections for the server, but the server does not answer the
    // greeting.
    watch.wait_for_line("no answer in time; next try in ");
    let before = count(&watch, "counted to ");
    redis.signal("-CONT");
    wait_for_another(&watch, "counted to ", before);
    watch.interrupt();
    assert_eq!(watch.end().0, Some(0));
}

#[test]
fn a_password_that_is_wrong_or_missing_is_named_and_never_shown() {
    let Some(redis) = Redis::start(&["--requirepass", "open sesame"]) else { return };
    let url = redis.url();
    let (code, _, log) = client(&[&url]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("the server wants a password, and none was given (NOAUTH)"), "{log}");
    assert!(log.contains("?pass=PASSWORD"), "{log}");

    let (code, _, log) = client(&[&format!("{url}?pass=friend")]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("does not take the user or the password (WRONGPASS)"), "{log}");
    assert!(!log.contains("friend"), "{log}");

    assert_tour(&format!("{url}?pass=open%20sesame"));
}

#[test]
fn without_a_server_it_says_how_to_start_one() {
    let (code, said, log) = client(&[]);
    assert_eq!((code, said.as_str()), (Some(2), ""), "{log}");
    assert!(log.contains("no URL is given") && log.contains("cargo run -p kv_server"), "{log}");

    let port = peers::free_port();
    let (code, _, log) = client(&[&format!("redis://127.0.0.1:{port}")]);
    assert_eq!(code, Some(1), "{log}");
    for part in [
        &format!("connect to 127.0.0.1:{port}: ")[..],
        "refused",
        "`cargo run -p kv_server` starts a server",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }

    let (code, _, log) = client(&["redis+unix:///no/such/socket"]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("/no/such/socket") && log.contains("No such file"), "{log}");
}

#[test]
fn a_mistake_in_the_command_line_is_named_without_the_url() {
    for (args, part) in [
        (&["http://user:secret@localhost"][..], "the URL cannot be used"),
        (&["rediss://user:secret@localhost"], "TLS"),
        (&["redis://user:secret@localhost", "tour", "0"], "REQUESTS is a number"),
        (&["redis://user:secret@localhost", "dance"], "what is \"dance\"?"),
    ] {
        let (code, _, log) = client(args);
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains(part) && !log.contains("secret"), "{log}");
    }
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, _, log) = client(&[&format!("redis://{}", silent.local_addr().unwrap())]);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("no answer in time"), "{log}");
    // It has tried.
    let mut greeting = [0; 16];
    silent.accept().unwrap().0.read_exact(&mut greeting).unwrap();
    assert!(greeting.starts_with(b"*2\r\n$5\r\nHELLO\r\n"), "{}", greeting.escape_ascii());
}

#[test]
fn ctrl_c_ends_it_also_while_it_connects() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let client =
        peers::start(CLIENT, &[&format!("redis://{}", silent.local_addr().unwrap()), "watch"]);
    let (mut connection, _) = silent.accept().unwrap();
    connection.read_exact(&mut [0; 16]).unwrap(); // It waits for the answer to its greeting.
    client.interrupt();
    assert_eq!(client.end().0, Some(0));
}
