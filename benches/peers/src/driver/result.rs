//! What was measured, and what it says: medians, spreads, ratios, goals.

use super::peers::{Kind, Peer};
use super::workloads::{Figure, Goal, Workload};

pub enum Cell {
    /// The peer does not have what the workload needs.
    Missing,
    Failed(String),
    /// Of each round, the figures of the workload.
    Figures(Vec<Vec<f64>>),
}

pub struct WorkloadResult {
    pub workload: Workload,
    pub cells: Vec<(&'static Peer, Cell)>,
    /// Why it was not run at all.
    pub skipped: Option<String>,
}

/// The median of the rounds, and the quartiles around it.
#[derive(Clone, Copy)]
pub struct Summary {
    pub median: f64,
    pub quartiles: (f64, f64),
    rounds: usize,
}

impl Summary {
    fn of(mut values: Vec<f64>) -> Summary {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * (values.len() - 1) as f64;
            let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Summary { median: at(0.5), quartiles: (at(0.25), at(0.75)), rounds: values.len() }
    }

    /// Whether the quartiles are too far apart, or the rounds too few, for the median to say much.
    fn is_noisy(&self) -> bool {
        self.rounds < 3 || self.quartiles.1 - self.quartiles.0 > 0.15 * self.median
    }
}

/// One figure of a workload on all peers.
pub struct Row<'a> {
    pub figure: &'a Figure,
    pub cells: Vec<(&'static Peer, Result<Summary, &'a Cell>)>,
}

impl WorkloadResult {
    pub fn failed(&self) -> bool {
        self.cells.iter().any(|(_, cell)| matches!(cell, Cell::Failed(_)))
    }

    pub fn rows(&self) -> Vec<Row<'_>> {
        let row = |(n, figure)| Row { figure, cells: self.summaries(n) };
        self.workload.figures.iter().enumerate().map(row).collect()
    }

    fn summaries(&self, figure: usize) -> Vec<(&'static Peer, Result<Summary, &Cell>)> {
        self.cells.iter().map(|(peer, cell)| (*peer, cell.summary(figure).ok_or(cell))).collect()
    }
}

impl Cell {
    fn summary(&self, figure: usize) -> Option<Summary> {
        let Cell::Figures(rounds) = self else { return None };
        let values = rounds.iter().map(|round| round.get(figure).copied());
        values.collect::<Option<Vec<f64>>>().map(Summary::of)
    }
}

impl Row<'_> {
    pub fn of(&self, name: &str) -> Option<Summary> {
        self.cells.iter().find(|(peer, _)| peer.name == name)?.1.as_ref().ok().copied()
    }

    pub fn ours(&self) -> Option<Summary> {
        self.of("headwaiter")
    }

    /// The best of the other runtimes on readiness.
    pub fn best(&self) -> Option<(&'static Peer, Summary)> {
        let peers = self.cells.iter().filter(|(peer, _)| peer.kind == Kind::Readiness);
        let figures = peers.filter_map(|(peer, cell)| Some((*peer, *cell.as_ref().ok()?)));
        figures.min_by(|(_, a), (_, b)| {
            let order = a.median.total_cmp(&b.median);
            if self.figure.more_is_better { order.reverse() } else { order }
        })
    }

    /// Ours to another's: below 1 ours is better, whichever way the figure counts.
    pub fn ratio(&self, other: Summary) -> Option<f64> {
        let (ours, other) = (self.ours()?.median, other.median);
        let (a, b) = if self.figure.more_is_better { (other, ours) } else { (ours, other) };
        if a == b { Some(1.0) } else { Some(a / b) }
    }

    /// Whether ours is as good as it is to be, and what that is. `None`: there is nothing to compare with.
    pub fn goal(&self) -> Option<(String, bool)> {
        let (text, reached) = match self.figure.goal {
            Goal::OfBest(goal) => (format!("{goal}x"), self.ratio(self.best()?.1)? <= goal),
            Goal::Of(name, goal) => {
                (format!("{goal}x of {name}"), self.ratio(self.of(name)?)? <= goal)
            }
            Goal::AtMost(goal) => (format!("{goal}"), self.ours()?.median <= goal),
        };
        Some((text, reached))
    }

    /// No row of ours is to be worse than the best peer's, whatever its goal.
    pub fn is_behind(&self) -> bool {
        self.best().and_then(|(_, best)| self.ratio(best)).is_some_and(|ratio| ratio > 1.0)
    }

    pub fn is_noisy(&self) -> bool {
        let both = [self.ours(), self.best().map(|(_, best)| best)];
        both.into_iter().flatten().any(|summary| summary.is_noisy())
    }
}

/// With three digits, or as many as there are before the point.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
            groups.collect::<Vec<_>>().join(",").replace("-,", "-")
        }
    }
}
