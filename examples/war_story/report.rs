//! The table, the verdict and the picture.

use std::fmt::Write;
use std::time::Duration;

use crate::Server;
use crate::client::Latencies;
use crate::measure::Usage;

/// One server under one load.
pub struct Row {
    pub server: Server,
    pub clients: usize,
    /// How many requests the server got.
    pub requests: usize,
    pub latencies: Latencies,
    pub usage: Usage,
}

impl Row {
    /// The server's CPU time for each request, in microseconds.
    fn cpu(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }

    fn switches(&self) -> f64 {
        self.usage.switches as f64 / self.requests.max(1) as f64
    }
}

fn millis(latency: Option<Duration>) -> String {
    latency.map_or("timeout".to_owned(), |latency| format!("{:.1}", latency.as_secs_f64() * 1e3))
}

pub fn print_head() {
    println!(
        "{:>8} {:24}{:>9}{:>9}{:>9}{:>10}{:>9}{:>9}{:>10}{:>9}",
        "clients",
        "server",
        "p50",
        "p99",
        "p99.9",
        "timeouts",
        "CPU",
        "threads",
        "switches",
        "memory"
    );
    println!(
        "{:33}{:>9}{:>9}{:>9}{:>10}{:>9}{:>9}{:>10}{:>9}",
        "", "ms", "ms", "ms", "", "us/req", "", "/req", "MiB"
    );
}

pub fn print(row: &Row) {
    let Row { latencies, usage, .. } = row;
    println!(
        "{:>8} {:24}{:>9}{:>9}{:>9}{:>10}{:>9.0}{:>9}{:>10.1}{:>9.1}",
        row.clients,
        row.server.name(),
        millis(latencies.quantile(0.5)),
        millis(latencies.quantile(0.99)),
        millis(latencies.quantile(0.999)),
        latencies.timeouts(),
        row.cpu(),
        usage.threads,
        row.switches(),
        usage.memory as f64 / f64::from(1 << 20),
    );
}

/// Compares the new server with the best old one under each load.
pub fn print_verdict(rows: &[Row], period: Duration) {
    println!();
    for new in rows.iter().filter(|row| row.server == Server::EventLoop) {
        let olds = rows
            .iter()
            .filter(|row| row.clients == new.clients && matches!(row.server, Server::Threads(_)));
        // The best pool is the one with the fewest timeouts, and of those the one with the lowest p99.
        let Some(old) = olds.min_by_key(|row| {
            (row.latencies.timeouts(), row.latencies.quantile(0.99).unwrap_or(Duration::MAX))
        }) else {
            continue;
        };
        let load = new.clients as f64 / period.as_secs_f64();
        let change = |new: f64, old: f64| (new / old.max(f64::MIN_POSITIVE) - 1.0) * 100.0;
        let times = |share| match (new.latencies.quantile(share), old.latencies.quantile(share)) {
            (Some(new), Some(old)) => {
                format!("{:.1}x shorter", old.as_secs_f64() / new.as_secs_f64())
            }
            (Some(_), None) => "no more a timeout".to_owned(),
            _ => "a timeout".to_owned(),
        };
        println!(
            "{} clients ({load:.0} requests a second), headwaiter against the best pool ({}): CPU a request {:+.0} %, p50 {}, p99 {}, memory {:+.0} %",
            new.clients,
            old.server.name(),
            change(new.cpu(), old.cpu()),
            times(0.5),
            times(0.99),
            change(new.usage.memory as f64, old.usage.memory as f64),
        );
    }
}

/// A bar for each row: the p99 latency, and the CPU time a request, as SVG for light and dark pages.
pub fn picture(rows: &[Row]) -> String {
    const LINE: usize = 20;
    const NAMES: usize = 230;
    const BARS: usize = 200;
    let longest = rows.iter().filter_map(|row| row.latencies.quantile(0.99)).max();
    let longest = longest.unwrap_or(Duration::from_secs(1)).as_secs_f64();
    let most = rows.iter().map(Row::cpu).fold(1.0, f64::max);
    let height = LINE * (rows.len() + 2);
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-family="sans-serif" font-size="12">
<title>Latency and CPU time a request, of the old server and the new one</title>
<style>text {{ fill: #1f2328 }} .old {{ fill: #8c959f }} .new {{ fill: #0969da }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .old {{ fill: #6e7681 }} .new {{ fill: #58a6ff }} }}</style>
<text x="{NAMES}" y="15">p99 latency, ms</text><text x="{}" y="15">server CPU a request, us</text>
"##,
        NAMES + BARS + 70,
    );
    for (index, row) in rows.iter().enumerate() {
        let y = LINE * (index + 2) - 8;
        let class = if row.server == Server::EventLoop { "new" } else { "old" };
        let latency = row.latencies.quantile(0.99);
        let bars = [
            (NAMES, latency.map_or(1.0, |p99| p99.as_secs_f64() / longest), millis(latency)),
            (NAMES + BARS + 70, row.cpu() / most, format!("{:.0}", row.cpu())),
        ];
        let _ = writeln!(
            svg,
            r#"<text x="0" y="{}">{} clients, {}</text>"#,
            y + 11,
            row.clients,
            row.server.name()
        );
        for (x, share, text) in bars {
            let width = (share * BARS as f64).max(1.0);
            let _ = writeln!(
                svg,
                r#"<rect class="{class}" x="{x}" y="{y}" width="{width:.0}" height="14"/><text x="{:.0}" y="{}">{text}</text>"#,
                x as f64 + width + 4.0,
                y + 11,
            );
        }
    }
    svg + "</svg>\n"
}
