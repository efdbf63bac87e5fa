//! Writes the figures into `performance.md`, between two markers, and the charts beside it.

use std::fs;
use std::io;
use std::path::Path;

use super::arguments::Arguments;
use super::peers::{Kind, PEERS, Peer};
use super::result::{Cell, Row, WorkloadResult, number};
use super::{chart, machine};

const BEGIN: &str = "<!-- measured -->\n";
const END: &str = "<!-- end of measured -->\n";

pub fn write(
    folder: &Path,
    results: &[WorkloadResult],
    arguments: &Arguments,
    load: &str,
) -> io::Result<()> {
    let page = folder.join("performance.md");
    let old = fs::read_to_string(&page)?;
    let (before, rest) = old.split_once(BEGIN).ok_or_else(|| no_marker(BEGIN))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| no_marker(END))?;
    let charts = folder.join("performance");
    fs::create_dir_all(&charts)?;
    let mut text = format!(
        "{}- Command: `cargo run --release --manifest-path benches/peers/Cargo.toml -- {}`, {} rounds\n",
        machine::description(load),
        arguments.line,
        arguments.rounds
    );
    for group in groups(results) {
        let of_group: Vec<_> =
            results.iter().filter(|result| result.workload.group == group).collect();
        text += &format!(
            "\n### {group}\n\n![{group}](performance/{group}.svg)\n\n{}",
            tables(&of_group)
        );
        fs::write(charts.join(format!("{group}.svg")), chart::of_group(group, &of_group))?;
    }
    fs::write(page, format!("{before}{BEGIN}{text}{END}{after}"))
}

fn no_marker(marker: &str) -> io::Error {
    io::Error::other(format!("performance.md has no line {:?}", marker.trim_end()))
}

fn groups(results: &[WorkloadResult]) -> Vec<&'static str> {
    let mut groups: Vec<_> = results.iter().map(|result| result.workload.group).collect();
    groups.dedup();
    groups
}

/// The runtimes that are compared, and below them the floors.
fn tables(results: &[&WorkloadResult]) -> String {
    let rows: Vec<_> = results.iter().flat_map(|result| result.rows()).collect();
    let mut text = table(&rows, |kind| kind != Kind::Floor, true);
    let floors = table(&rows, |kind| kind == Kind::Floor, false);
    if !floors.is_empty() {
        text += &format!("\nFloors:\n\n{floors}");
    }
    for result in results {
        if let Some(why) = &result.skipped {
            text += &format!("\n{} was skipped: it {why}.\n", result.workload.name);
        }
        for (peer, cell) in &result.cells {
            if let Cell::Failed(error) = cell {
                text +=
                    &format!("\n{} failed on {}: `{error}`\n", result.workload.name, peer.title);
            }
        }
    }
    text
}

/// Leaves out the peers that have nothing in it, and the rows that have nothing of these peers.
fn table(rows: &[Row<'_>], wanted: fn(Kind) -> bool, compared: bool) -> String {
    let has = |row: &Row<'_>, peer: &Peer| {
        row.cells
            .iter()
            .any(|(other, cell)| other.name == peer.name && !matches!(cell, Err(Cell::Missing)))
    };
    let peers = PEERS.iter().filter(|peer| wanted(peer.kind));
    let peers: Vec<_> = peers.filter(|peer| rows.iter().any(|row| has(row, peer))).collect();
    let rows: Vec<_> = rows.iter().filter(|row| peers.iter().any(|peer| has(row, peer))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let titles: Vec<_> = peers.iter().map(|peer| peer.title).collect();
    let (more, line) = if compared { (" | ours / best | goal", "|--:|---") } else { ("", "") };
    let mut text =
        format!("| | {}{more} |\n|---{}{line}|\n", titles.join(" | "), "|--:".repeat(titles.len()));
    for row in rows {
        let cells: Vec<_> = peers.iter().map(|peer| cell(row, peer)).collect();
        text += &format!("| {}, {} | {} ", row.figure.title, row.figure.unit, cells.join(" | "));
        if compared {
            text += &comparison(row);
        }
        text += "|\n";
    }
    text
}

fn cell(row: &Row<'_>, peer: &Peer) -> String {
    match row.cells.iter().find(|(other, _)| other.name == peer.name) {
        Some((_, Ok(summary))) => {
            let (low, high) = summary.quartiles;
            format!("{} ({}–{})", number(summary.median), number(low), number(high))
        }
        Some((_, Err(Cell::Failed(_)))) => "failed".to_owned(),
        _ => "-".to_owned(),
    }
}

fn comparison(row: &Row<'_>) -> String {
    let ratio = row.best().and_then(|(_, best)| row.ratio(best));
    let mark = if row.is_behind() { "**" } else { "" };
    let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{mark}{ratio:.2}x{mark}"));
    let noisy = if row.is_noisy() { ", noisy" } else { "" };
    let goal = row.goal().map_or("-".to_owned(), |(goal, reached)| {
        if reached { goal } else { format!("{goal}, **missed**") }
    });
    format!("| {ratio}{noisy} | {goal} ")
}
