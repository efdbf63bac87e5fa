//! The list of what is measured, with the ratios and figures to reach.

pub struct Workload {
    pub group: &'static str,
    pub name: String,
    pub run: Run,
    pub figures: Vec<Figure>,
}

/// How the figures come about.
pub enum Run {
    /// The peer's program prints them.
    Program(&'static str),
    /// The peer's program is a server, and the clients are ours.
    Echo {
        program: &'static str,
        connections: usize,
        size: usize,
        messages: usize,
    },
    Http {
        connections: usize,
    },
    Udp {
        at_once: usize,
    },
    Accept,
    Wakeups {
        connections: usize,
    },
}

pub struct Figure {
    pub title: String,
    pub unit: &'static str,
    pub goal: Goal,
    pub more_is_better: bool,
}

/// What is to be reached.
#[derive(Clone, Copy)]
pub enum Goal {
    /// So much of the best peer's.
    OfBest(f64),
    /// So much of that peer's.
    Of(&'static str, f64),
    /// No more than this.
    AtMost(f64),
}

/// No worse than the best peer.
const AHEAD: Goal = Goal::OfBest(1.0);

impl Workload {
    /// Whether this is its name or its group's.
    pub fn is(&self, name: &str) -> bool {
        self.group == name || self.name == name
    }
}

impl Run {
    /// The name that the peer's program knows it by.
    pub fn program(&self) -> &'static str {
        match self {
            Run::Program(program) | Run::Echo { program, .. } => program,
            Run::Http { .. } => "http",
            Run::Udp { .. } => "udp",
            Run::Accept | Run::Wakeups { .. } => "echo",
        }
    }

    pub fn connections(&self) -> usize {
        match *self {
            Run::Echo { connections, .. }
            | Run::Http { connections }
            | Run::Wakeups { connections } => connections,
            Run::Accept => 64,
            Run::Program(_) | Run::Udp { .. } => 1,
        }
    }

    /// Of a message and of the server's buffer.
    pub fn size(&self) -> usize {
        if let Run::Echo { size, .. } = self { *size } else { 64 }
    }
}

pub fn all() -> Vec<Workload> {
    let mut all = vec![
        one("tasks", "spawn_join_one", "spawn and join, one at a time", "ns", Goal::OfBest(0.35)),
        one("tasks", "spawn_join_1000", "spawn and join, 1,000 at a time", "ns", AHEAD),
        one("tasks", "yield_one", "yield, one task", "ns", Goal::OfBest(0.85)),
        one("tasks", "yield_1000", "yield, 1,000 tasks", "ns", Goal::OfBest(0.85)),
        one("tasks", "join_set", "a task of a JoinSet of 1,000", "ns", Goal::OfBest(0.4)),
        one("tasks", "start_up", "start-up, a `block_on` of nothing", "ns", AHEAD),
        one("timers", "timer_0", "timer armed and cancelled", "ns", Goal::OfBest(0.6)),
        one("timers", "timer_100k", "the same, 100,000 others pending", "ns", Goal::OfBest(0.6)),
        one("timers", "fire_200k", "200,000 tasks sleep once, CPU", "ms", AHEAD),
        workload(
            "timers",
            "late",
            Run::Program("late"),
            vec![
                figure("sleep of 300 us is late by, median", "us", AHEAD),
                figure("sleep of 300 us is late by, 99th percentile", "us", AHEAD),
            ],
        ),
        one("sync", "channel", "channel round trip, two tasks", "ns", Goal::OfBest(0.2)),
        one("sync", "channel_main", "channel round trip, main and a task", "ns", Goal::OfBest(0.2)),
        one("sync", "channel_stream", "channel of 100, a message", "ns", Goal::OfBest(0.5)),
        one("sync", "oneshot", "oneshot from a spawned task", "ns", Goal::OfBest(0.2)),
        one("sync", "mutex", "lock and unlock, uncontended", "ns", Goal::OfBest(0.6)),
        one("sync", "mutex_contended", "lock and unlock, 100 tasks", "ns", Goal::OfBest(0.5)),
        one("sync", "rwlock", "RwLock read and write, uncontended", "ns", Goal::OfBest(0.35)),
        one("sync", "rwlock_contended", "RwLock, 10 tasks", "ns", Goal::OfBest(0.35)),
        one("sync", "barrier", "barrier, 8 tasks", "ns", Goal::OfBest(0.35)),
        one("sync", "watch", "watch round trip, two tasks", "ns", Goal::OfBest(0.35)),
        one("sync", "broadcast", "broadcast round trip, two tasks", "ns", Goal::OfBest(0.35)),
        one("sync", "broadcast_64", "broadcast of 64 to 10 receivers", "ns", Goal::OfBest(0.35)),
        one("threads", "wake", "wake from another thread, again and again", "ns", AHEAD),
        one("threads", "wake_round_trip", "round trip to another thread", "ns", AHEAD),
        one("threads", "offload_one", "empty job offloaded, alone", "ns", Goal::OfBest(0.85)),
        one("threads", "offload_100", "empty job offloaded, 100 at once", "ns", Goal::OfBest(0.85)),
        one("files", "read_4k", "read of 4 KiB, disk", "us", Goal::Of("threads", 1.5)),
        one("files", "read_64k", "read of 64 KiB, disk", "us", Goal::Of("threads", 1.2)),
        one("files", "read_1m", "read of 1 MiB, disk", "us", AHEAD),
        one("files", "read_4k_tmpfs", "read of 4 KiB, tmpfs", "us", Goal::Of("threads", 4.0)),
        one("files", "read_64k_tmpfs", "read of 64 KiB, tmpfs", "us", Goal::Of("threads", 4.0)),
        one("files", "read_small", "`fs::read` of 1 kB, disk", "us", AHEAD),
        one("files", "read_small_tmpfs", "`fs::read` of 1 kB, tmpfs", "us", AHEAD),
    ];
    for (size, name, messages) in [(64, "64", 40_000), (16 << 10, "16k", 20_000)] {
        for connections in [1, 100, 1_000, 8_000] {
            // A single one waits for the other side most of the time.
            let messages = if connections == 1 { 10_000 } else { messages };
            let goal = if size == 64 && (100..=1_000).contains(&connections) {
                Goal::Of("raw_mio", 1.03)
            } else {
                AHEAD
            };
            let run = Run::Echo { program: "echo", connections, size, messages };
            let title = format!("echo of {size} bytes, {}", connections_title(connections));
            all.push(server("echo", &format!("echo_{connections}_{name}"), &title, run, goal));
        }
    }
    all.push(server(
        "sockets",
        "accept",
        "connection accepted, one echo, closed",
        Run::Accept,
        AHEAD,
    ));
    for at_once in [1, 100] {
        let title = format!("UDP echo, {at_once} at a time");
        let goal = Goal::Of("raw_mio", 1.1);
        all.push(server("sockets", &format!("udp_{at_once}"), &title, Run::Udp { at_once }, goal));
    }
    for connections in [1, 100] {
        let messages = if connections == 1 { 10_000 } else { 40_000 };
        let run = Run::Echo { program: "unix", connections, size: 64, messages };
        let title = format!("Unix stream echo, {}", connections_title(connections));
        let goal = Goal::Of("raw_mio", 1.1);
        all.push(server("sockets", &format!("unix_{connections}"), &title, run, goal));
    }
    let http = Run::Http { connections: 100 };
    all.push(server("sockets", "http", "HTTP/1.1 by hyper, 100 connections", http, AHEAD));
    all.extend([
        one("idle", "idle_task", "idle task, beyond its future", "bytes", Goal::AtMost(150.0)),
        one(
            "idle",
            "sleeping_task",
            "sleeping task, beyond its future",
            "bytes",
            Goal::AtMost(150.0),
        ),
        one(
            "idle",
            "idle_connection",
            "idle connection, task and all",
            "bytes",
            Goal::AtMost(330.0),
        ),
        one("idle", "idle_connection_4k", "the same with a buffer of 4 KiB", "bytes", AHEAD),
        workload(
            "idle",
            "wakeups",
            Run::Wakeups { connections: 1_000 },
            vec![figure("wakeups in a second, 1,000 idle connections", "times", Goal::AtMost(0.0))],
        ),
    ]);
    all
}

fn connections_title(connections: usize) -> String {
    let plural = if connections == 1 { "" } else { "s" };
    format!("{connections} connection{plural}")
}

fn workload(group: &'static str, name: &str, run: Run, figures: Vec<Figure>) -> Workload {
    Workload { group, name: name.to_owned(), run, figures }
}

fn figure(title: &str, unit: &'static str, goal: Goal) -> Figure {
    Figure { title: title.to_owned(), unit, goal, more_is_better: false }
}

/// A workload whose program prints one figure.
fn one(
    group: &'static str,
    name: &'static str,
    title: &str,
    unit: &'static str,
    goal: Goal,
) -> Workload {
    workload(group, name, Run::Program(name), vec![figure(title, unit, goal)])
}

fn server(group: &'static str, name: &str, title: &str, run: Run, goal: Goal) -> Workload {
    let rate =
        Figure { title: format!("{title}, rate"), unit: "/s", goal: AHEAD, more_is_better: true };
    let cpu = figure(&format!("{title}, server's CPU"), "us", goal);
    workload(group, name, run, vec![cpu, rate])
}
