//! A bar chart of a group, as an SVG that follows the reader's choice of light or dark.

use super::peers::Kind;
use super::result::{Row, Summary, WorkloadResult, number};

/// Ours stands out by lightness too, not only by its hue.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.ground{fill:#fff}
.ours{fill:#0072b2}.peer{fill:#9aa4b0}.floor{fill:none;stroke:#6e7781}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}
.ours{fill:#56b4e9}.peer{fill:#5b6672}.floor{stroke:#8b949e}}";

const WIDTH: usize = 760;
const BAR_FROM: usize = 150;
const BAR_LONGEST: usize = 390;
const BAR_STEP: usize = 17;

/// Of the rows in which less is better, so that the shortest bar is always the best.
pub fn of_group(group: &str, results: &[&WorkloadResult]) -> String {
    let rows = results.iter().flat_map(|result| result.rows());
    let (mut body, mut y) = (String::new(), 24);
    for row in rows.filter(|row| !row.figure.more_is_better) {
        body += &of_row(&row, &mut y);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" role=\"img\">\n\
         <title>{group}: medians, shorter is better</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{y}\"/>\n{body}</svg>\n"
    )
}

/// A title, and for each peer a bar, its median and the quartiles. A bar of more than four times the median of the row is cut, so
/// that the others can be told apart.
fn of_row(row: &Row<'_>, y: &mut usize) -> String {
    let figures = row.cells.iter().filter_map(|(peer, cell)| Some((*peer, *cell.as_ref().ok()?)));
    let figures: Vec<_> = figures.collect();
    let mut sorted: Vec<f64> = figures.iter().map(|(_, summary)| summary.median).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(&largest) = sorted.last() else { return String::new() };
    let end = largest.min(4.0 * sorted[sorted.len() / 2]).max(f64::MIN_POSITIVE);
    let title = row.figure.title.replace('`', "");
    let mut text =
        format!("<text class=\"title\" x=\"12\" y=\"{y}\">{title}, {}</text>\n", row.figure.unit);
    for (peer, Summary { median, quartiles: (low, high), .. }) in figures {
        *y += BAR_STEP;
        let class = match peer.kind {
            Kind::Ours => "ours",
            Kind::Readiness => "peer",
            Kind::Floor => "floor",
        };
        let width = (median / end).min(1.0) * BAR_LONGEST as f64;
        let cut = if median > end { ", cut" } else { "" };
        text += &format!(
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{BAR_FROM}\" y=\"{}\" width=\"{width:.1}\" height=\"11\"/>\
             <text x=\"{:.1}\" y=\"{y}\">{} ({}–{}){cut}</text>\n",
            BAR_FROM - 8,
            peer.title,
            *y - 10,
            BAR_FROM as f64 + width + 6.0,
            number(median),
            number(low),
            number(high),
        );
    }
    *y += 32;
    text
}
