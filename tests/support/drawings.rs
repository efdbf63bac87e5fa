//! Timelines to draw.

use headwaiter::observe::Timeline;
use headwaiter::task;
use headwaiter::time::sleep;
use headwaiter::{Clock, Deadlock, EventLoop};

use super::ms;

/// What the README shows. Its places stand in `docs/breakfast.svg`.
pub fn breakfast() -> Timeline {
    let timeline = Timeline::new();
    let (mut event_loop, _) = watched_by(&timeline);
    event_loop.block_on(async {
        let dishes = [("coffee", 50), ("eggs", 40), ("bacon", 60), ("toast", 30), ("juice", 20)];
        let cook = |(dish, millis)| task::Builder::new().name(dish).spawn(sleep(ms(millis)));
        for dish in dishes.map(cook) {
            dish.await.unwrap();
        }
    });
    timeline
}

/// A virtual loop that tells a timeline.
pub fn watched_by(timeline: &Timeline) -> (EventLoop, Timeline) {
    let builder = EventLoop::builder().clock(Clock::Virtual).deadlock(Deadlock::Fail);
    (builder.observer(timeline.clone()).build().unwrap(), timeline.clone())
}

/// All texts of the drawing. Also that it can be read at all.
pub fn svg(timeline: &Timeline) -> Vec<String> {
    let text = timeline.to_svg();
    let document =
        roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let root = document.root_element();
    assert!(root.has_tag_name(("http://www.w3.org/2000/svg", "svg")));
    let known = ["svg", "title", "style", "rect", "text", "line"];
    let pixels = |node: &roxmltree::Node<'_, '_>, name| {
        node.attribute(name).map_or(0.0, |pixels| pixels.parse::<f64>().unwrap())
    };
    let height = pixels(&root, "height");
    for node in root.descendants().filter(roxmltree::Node::is_element) {
        assert!(known.contains(&node.tag_name().name()), "{node:?}");
        assert!(pixels(&node, "x") + pixels(&node, "width") <= 960.0, "{node:?}");
        assert!(pixels(&node, "y") + pixels(&node, "height") <= height, "{node:?}");
    }
    root.descendants()
        .filter(|node| {
            node.has_tag_name(("http://www.w3.org/2000/svg", "title"))
                || node.tag_name().name() == "text"
        })
        .filter_map(|node| node.text().map(str::to_owned))
        .collect()
}
