//! What the command prints.

use super::result::{Cell, Row, WorkloadResult, number};

/// A block for each figure of a workload.
pub fn print(result: &WorkloadResult) {
    let name = &result.workload.name;
    if let Some(why) = &result.skipped {
        println!("\n{name}: skipped, {why}");
        return;
    }
    for row in result.rows() {
        print_row(name, &row);
    }
}

fn print_row(name: &str, row: &Row<'_>) {
    println!("\n{name}: {}, {}", row.figure.title, row.figure.unit);
    for (peer, cell) in &row.cells {
        match cell {
            Ok(summary) => {
                let spread =
                    format!("{} .. {}", number(summary.quartiles.0), number(summary.quartiles.1));
                let verdict = if peer.name == "headwaiter" { verdict(row) } else { String::new() };
                let line = format!(
                    "  {:16}{:>10}   {spread:23}{verdict}",
                    peer.title,
                    number(summary.median)
                );
                println!("{}", line.trim_end());
            }
            Err(Cell::Failed(error)) => println!("  {:16}{:>10}   {error}", peer.title, "failed"),
            Err(_) => println!("  {:16}{:>10}", peer.title, "-"),
        }
    }
}

fn verdict(row: &Row<'_>) -> String {
    let mut words = Vec::new();
    if let Some((peer, best)) = row.best()
        && let Some(ratio) = row.ratio(best)
    {
        words.push(format!("{ratio:.2}x of {}", peer.title));
    }
    if let Some((goal, reached)) = row.goal() {
        words.push(format!("goal {goal} {}", if reached { "reached" } else { "missed" }));
    }
    if row.is_noisy() {
        words.push("noisy".to_owned());
    }
    words.join(", ")
}

/// The rows that are not as they should be.
pub fn print_summary(results: &[WorkloadResult], load: &str) {
    println!("\nload average before: {load}");
    for result in results {
        for row in result.rows() {
            let missed = row.goal().is_some_and(|(_, reached)| !reached);
            if missed || row.is_behind() {
                println!("{}: {}: {}", result.workload.name, row.figure.title, verdict(&row));
            }
        }
    }
}
