//! The timeline, and what it draws: each drawing is parsed, as its readers will, and small ones are compared to the letter.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::support::drawings::{breakfast, svg, watched_by};
use crate::support::*;
use headwaiter::EventLoop;
use headwaiter::observe::{Observer, Step, Timeline};
use headwaiter::sync::{Mutex, mpsc};
use headwaiter::task::{self, CancelToken, JoinHandle, TaskGroup, yield_now};
use headwaiter::time::{self, sleep, timeout};
use serde_json::Value;

fn virtually(program: impl AsyncFnOnce()) -> Timeline {
    let (mut event_loop, timeline) = watched_by(&Timeline::new());
    event_loop.block_on(program());
    timeline
}

/// Also that it can be read at all.
fn json(timeline: &Timeline) -> Vec<Value> {
    let text = timeline.to_chrome_json();
    let trace: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let events = trace["traceEvents"].as_array().expect("a list of events").clone();
    // Of each row, where its last span has ended: they follow each other.
    let mut ends: HashMap<u64, f64> = HashMap::new();
    for event in &events {
        let (ph, number) = (event["ph"].as_str().unwrap(), |what: &str| event[what].as_f64());
        assert!(
            event["name"].is_string() && number("pid").is_some() && number("tid").is_some(),
            "{event}"
        );
        match ph {
            "X" => {
                let (start, took) = (number("ts").unwrap(), number("dur").unwrap());
                let end = ends.entry(event["tid"].as_u64().unwrap()).or_insert(0.0);
                assert!(took >= 0.0 && start > *end - 0.001, "{event} begins before {end}");
                *end = start + took;
            }
            "i" => assert!(number("ts").is_some() && event["s"] == "t", "{event}"),
            _ => assert_eq!(ph, "M", "{event}"),
        }
    }
    events
}

/// What the waits of a task were for.
fn waits_of(events: &[Value], task: &str) -> Vec<String> {
    let tid = events.iter().find(|event| event["args"]["name"] == task).expect(task)["tid"].clone();
    let waits = events.iter().filter(|event| event["tid"] == tid && event["cat"] == "waiting");
    waits.map(|event| without_place(event["args"]["says"].as_str().unwrap())).collect()
}

fn without_place(text: &str) -> String {
    let end = text.find(", at ").unwrap_or(text.len());
    let rest = text.find("; and").map_or("", |at| &text[at..]);
    format!("{}{rest}", &text[..end.min(text.find("; and").unwrap_or(end))])
}

#[test]
fn text_fits_its_columns_and_is_the_same_in_every_run() {
    bounded(|| {
        let timeline = breakfast();
        for columns in [0, 40, 41, 57, 80, 200, 1000] {
            let text = timeline.to_text(columns);
            assert!(
                text.lines().all(|line| line.chars().count() <= columns.max(40)),
                "{columns}:\n{text}"
            );
            assert_eq!(text, breakfast().to_text(columns));
        }
    });
}

#[test]
fn a_trace_is_what_perfetto_reads() {
    bounded(|| {
        let timeline = virtually(async || {
            task::Builder::new().name("eggs").spawn(sleep(ms(20))).await.unwrap();
        });
        let trace = timeline.to_chrome_json();
        let place = trace
            .find("tests/promises/timeline.rs:")
            .map(|at| trace[at..].split('"').next().unwrap());
        assert!(place.is_some());
        let events: Vec<_> = trace
            .lines()
            .skip(1)
            .map(|line| line.split(r#","args":{"says""#).next().unwrap())
            .collect();
        let expected = [
            r#"{"ph":"M","pid":1,"tid":1,"name":"process_name","args":{"name":"headwaiter"}},"#,
            r#"{"ph":"M","pid":1,"tid":1,"name":"thread_name","args":{"name":"loop"}},"#,
            r#"{"ph":"M","pid":1,"tid":1,"name":"thread_sort_index","args":{"sort_index":0}},"#,
            r#"{"ph":"M","pid":1,"tid":2,"name":"thread_name","args":{"name":"1 main"}},"#,
            r#"{"ph":"M","pid":1,"tid":2,"name":"thread_sort_index","args":{"sort_index":1}},"#,
            r#"{"ph":"M","pid":1,"tid":3,"name":"thread_name","args":{"name":"2 eggs"}},"#,
            r#"{"ph":"M","pid":1,"tid":3,"name":"thread_sort_index","args":{"sort_index":2}},"#,
            r#"{"ph":"X","pid":1,"tid":1,"ts":0,"dur":0,"cat":"running","name":"running""#,
            r#"{"ph":"X","pid":1,"tid":1,"ts":0,"dur":20000,"cat":"waiting","name":"waiting for a timer""#,
            r#"{"ph":"X","pid":1,"tid":1,"ts":20000,"dur":0,"cat":"running","name":"running""#,
            r#"{"ph":"X","pid":1,"tid":2,"ts":0,"dur":0,"cat":"running","name":"running""#,
            r#"{"ph":"X","pid":1,"tid":2,"ts":0,"dur":20000,"cat":"waiting","name":"waiting for other tasks or threads""#,
            r#"{"ph":"X","pid":1,"tid":2,"ts":20000,"dur":0,"cat":"running","name":"running""#,
            r#"{"ph":"X","pid":1,"tid":3,"ts":0,"dur":0,"cat":"running","name":"running""#,
            r#"{"ph":"X","pid":1,"tid":3,"ts":0,"dur":20000,"cat":"waiting","name":"waiting for a timer""#,
            r#"{"ph":"X","pid":1,"tid":3,"ts":20000,"dur":0,"cat":"running","name":"running""#,
            "]}",
        ];
        assert_eq!(events, expected, "{trace}");
        let waits = json(&timeline);
        assert_eq!(waits_of(&waits, "1 main"), ["waits for the end of task 2"]);
        assert_eq!(waits_of(&waits, "2 eggs"), ["waits for timer 1"]);
        assert_eq!(waits_of(&waits, "loop"), ["waits for its next timer: the virtual clock jumps"]);
    });
}

#[test]
fn a_wait_says_for_what() {
    bounded(|| {
        let timeline = Timeline::new();
        EventLoop::builder().observer(timeline.clone()).build().unwrap().block_on(async {
            let named = |name: &str| task::Builder::new().name(name);
            let (mut client, mut server) = tcp_pair().await.unwrap();
            let reader = named("reader").spawn(async move {
                timeout(ms(60_000), server.read_exact(&mut [0; 4])).await.unwrap().unwrap();
            });
            let (sender, mut receiver) = mpsc::channel(1);
            let eater = named("eater").spawn(async move { receiver.recv().await });
            let door = Rc::new(Mutex::new(()));
            let held = door.lock().await;
            let same = door.clone();
            let knocker = named("knocker").spawn(async move { drop(same.lock().await) });
            let both = named("both").spawn(async {
                // The timer of the second sleep is not reported again when the first is over.
                futures_lite::future::zip(sleep(ms(1)), sleep(ms(2))).await;
            });
            let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
            let keeps = kept.clone();
            let silent = named("silent").spawn(async move {
                timeout(ms(60_000), yield_now()).await.unwrap();
                // That timer is gone.
                let mut polls = 0;
                poll_fn(move |cx| {
                    polls += 1;
                    *keeps.borrow_mut() = Some(cx.waker().clone());
                    if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            });
            let (end, ends) = std::sync::mpsc::channel();
            let job = headwaiter::spawn_blocking(move || ends.recv().unwrap());
            yield_now().await;
            yield_now().await; // Now all of them wait.
            kept.take().unwrap().wake();
            end.send(()).unwrap();
            client.write_all(b"soup").await.unwrap();
            sender.send(1).await.unwrap();
            drop(held);
            reader.await.unwrap();
            silent.await.unwrap();
            knocker.await.unwrap();
            both.await.unwrap();
            job.await.unwrap();
            assert_eq!(eater.await.unwrap(), Some(1));
        });
        let events = json(&timeline);
        let task = |name: &str| {
            let names = events.iter().filter_map(|event| event["args"]["name"].as_str());
            waits_of(&events, names.clone().find(|known| known.ends_with(name)).expect(name))
        };
        assert!(task(" reader")[0].starts_with("waits until TCP stream "), "{:?}", task(" reader"));
        assert!(task(" reader")[0].ends_with("can read; and for 1 more"), "{:?}", task(" reader"));
        assert_eq!(task(" silent"), ["waits: it was not told for what"]);
        assert_eq!(task(" eater"), ["waits for a message"]);
        assert_eq!(task(" knocker"), ["waits for a mutex"]);
        let both = task(" both");
        assert!(
            both[0].starts_with("waits for timer ") && both[0].ends_with("; and for 1 more"),
            "{both:?}"
        );
        // Or on a loaded machine both are due at once.
        assert!(
            both.len() == 1
                || (both[1].starts_with("waits for timer ") && !both[1].contains("more")),
            "{both:?}"
        );
        let says: Vec<_> =
            events.iter().filter_map(|event| event["args"]["says"].as_str()).collect();
        assert!(
            says.iter().any(|says| says
                .starts_with("waits for an offloaded job, at tests/promises/timeline.rs:")),
            "{says:#?}"
        );
        assert!(says.contains(&"are under way"));
        svg(&timeline);
    });
}

#[test]
fn a_wait_for_a_group_or_a_token_says_so() {
    bounded(|| {
        let timeline = virtually(async || {
            let token = CancelToken::new();
            let (listened, ran) = (token.clone(), token.clone());
            let listens = task::Builder::new()
                .name("listens")
                .spawn(async move { listened.cancelled().await });
            let runs = task::Builder::new()
                .name("runs")
                .spawn(async move { ran.run(sleep(ms(60_000))).await });
            let group = TaskGroup::<&str>::new();
            group.spawn(async {
                sleep(ms(10)).await;
                Ok(())
            });
            group.join().await.unwrap();
            token.cancel();
            listens.await.unwrap();
            assert!(runs.await.unwrap().is_err());
        });
        let events = json(&timeline);
        assert_eq!(waits_of(&events, "1 main"), ["waits for the end of a group"]);
        assert_eq!(waits_of(&events, "2 listens"), ["waits for the cancellation of a token"]);
        assert_eq!(waits_of(&events, "3 runs"), ["waits for timer 1; and for 1 more"]);
    });
}

/// A name, and what all drawings show.
#[test]
fn names_may_be_anything() {
    bounded(|| {
        let names = [
            ("say \"cheese\" \\ <b>&amp;</b> ]]>", r#"say \"cheese\" \\ <b>&amp;</b> ]]>"#),
            ("\u{1b}[2J\r\n\t\0\u{7f}", r"\u{1b}[2J\r\n\t\0\u{7f}"),
            ("œufs 🍳 卵", "œufs 🍳 卵"),
            ("\u{202e}\u{85}\u{ffff}\u{2028}", r"\u{202e}\u{85}\u{ffff}\u{2028}"),
            ("", ""),
        ];
        let timeline = virtually(async || {
            for (name, _) in names {
                task::Builder::new().name(name).spawn(sleep(ms(1))).await.unwrap();
            }
        });
        let (events, texts, text) = (json(&timeline), svg(&timeline), timeline.to_text(120));
        for ((_, shown), number) in names.into_iter().zip(2..) {
            let shown = format!("{number} {shown}");
            assert!(events.iter().any(|event| event["args"]["name"] == *shown), "{shown}");
            let cut: String = shown.chars().take(27).collect();
            assert!(texts.iter().any(|text| text.starts_with(&cut)), "{shown:?} in {texts:#?}");
            assert!(
                text.lines().any(|line| line.starts_with(shown.trim_end())),
                "{shown:?} in {text}"
            );
        }
        assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");
    });
}

#[test]
fn a_name_as_long_as_a_book_leaves_room_for_the_drawing() {
    bounded(|| {
        let timeline = virtually(async || {
            task::Builder::new().name("卵".repeat(10_000)).spawn(sleep(ms(1))).await.unwrap();
        });
        let text = timeline.to_text(60);
        // Each of these characters is two columns wide.
        assert!(
            text.lines().any(|line| line == format!("2 {}… ▌{}▌", "卵".repeat(8), "░".repeat(38))),
            "{text}"
        );
        svg(&timeline);
    });
}

#[test]
fn a_drawing_has_as_many_columns_as_can_be() {
    bounded(|| {
        let timeline = virtually(async || sleep(ms(5)).await);
        let widest = |columns| {
            let text = timeline.to_text(columns);
            text.lines().map(|line| line.chars().count()).max().unwrap()
        };
        assert_eq!([0, 1000, usize::MAX].map(widest), [40, 1000, 10_000]);
    });
}

#[test]
fn an_empty_timeline_says_what_to_do() {
    bounded(|| {
        let timeline = Timeline::default();
        let expected = "\
an empty timeline
nothing was recorded: give the timeline
to
`EventLoop::builder().observer(timeline.clone())`,
and run that loop
";
        assert_eq!(timeline.to_text(0), expected);
        assert!(svg(&timeline).iter().any(|text| text.starts_with("nothing was recorded: give ")));
        assert_eq!(json(&timeline).len(), 1);
        // One step, and no time at all.
        let (mut event_loop, timeline) = watched_by(&timeline);
        event_loop.block_on(async {});
        assert_eq!(
            timeline.to_text(40),
            "\
1 task in 0 ms; one column is 0 ms
       0 ms
       ┬────────────────────────────────
loop   ▌
1 main ▌
▌ running briefly
"
        );
        svg(&timeline);
        json(&timeline);
    });
}

#[test]
fn a_full_ring_says_what_it_lost_and_does_not_grow() {
    bounded(|| {
        let timeline = Timeline::with_capacity(100);
        let (mut event_loop, _) = watched_by(&timeline);
        event_loop.block_on(async {
            let waits =
                task::Builder::new().name("waits all the time").spawn(std::future::pending::<()>());
            for n in 0..1000 {
                let brief = task::Builder::new().name(format!("brief {n}")).spawn(sleep(ms(1)));
                if n % 2 == 0 { brief.await.unwrap() } else { brief.abort() }
            }
            waits.abort();
        });
        let debug = format!("{timeline:?}");
        assert!(debug.contains("spans: 100,") && rows_of(&timeline) <= 104, "{debug}");
        let text = timeline.to_text(100);
        assert!(
            text.contains("brief 999")
                && !text.contains("brief 0 ")
                && text.contains("waits all the time"),
            "{text}"
        );
        let says = |text: &str| {
            text.contains("the first ")
                && text.contains(" spans are not shown: this timeline keeps the last 100")
        };
        assert!(says(&text) && svg(&timeline).iter().any(|text| says(text)), "{text}");
        assert!(says(&timeline.to_chrome_json()));
        // What is drawn begins where the last that was lost has ended: there are no holes that look like absence.
        let first = json(&timeline)
            .iter()
            .filter_map(|event| event["ts"].as_f64())
            .fold(f64::MAX, f64::min);
        assert!(first > 400_000.0, "{first}");
    });
}

#[test]
fn a_ring_of_one_keeps_the_last() {
    bounded(|| {
        let timeline = Timeline::with_capacity(1);
        let (mut event_loop, _) = watched_by(&timeline);
        event_loop.block_on(async {
            for _ in 0..10 {
                headwaiter::spawn(sleep(ms(1))).await.unwrap();
            }
        });
        let text = timeline.to_text(80);
        assert!(text.ends_with("spans are not shown: this timeline keeps the last 1\n"), "{text}");
        svg(&timeline);
        json(&timeline);
    });
}

#[test]
fn a_ring_without_room_is_refused() {
    let said = panic_text(|| drop(Timeline::with_capacity(0)));
    assert!(
        said.contains("give it room for one span at least, or use `Timeline::new()`"),
        "{said}"
    );
}

#[test]
fn the_end_of_a_task_is_shown() {
    bounded(|| {
        let timeline = virtually(async || {
            let named = |name: &str| task::Builder::new().name(name);
            let burns = named("burns").spawn(async {
                sleep(ms(20)).await;
                panic!("on fire");
            });
            let given_up = named("given up").spawn(sleep(ms(60)));
            let unborn = named("unborn").spawn(sleep(ms(60)));
            unborn.abort();
            assert!(burns.await.is_err());
            sleep(ms(10)).await;
            given_up.abort();
            sleep(ms(10)).await;
        });
        let expected = "\
4 tasks in 40 ms; one column is 1 ms
           0 ms      10 ms     20 ms     30 ms
           ┬─────────┬─────────┬─────────┬─────────
loop       ▌░░░░░░░░░░░░░░░░░░░▌░░░░░░░░░▌░░░░░░░░▌
1 main     ▌░░░░░░░░░░░░░░░░░░░▌░░░░░░░░░▌░░░░░░░░▌
2 burns    ▌░░░░░░░░░░░░░░░░░░░!
3 given up ▌░░░░░░░░░░░░░░░░░░░░░░░░░░░░░x
4 unborn   x
▌ running briefly   ░ waiting   ! panicked
x aborted
";
        assert_eq!(timeline.to_text(51), expected);
        let ends: Vec<_> = json(&timeline).into_iter().filter(|event| event["ph"] == "i").collect();
        let ends: Vec<_> = ends
            .iter()
            .map(|event| (event["name"].as_str().unwrap(), event["ts"].as_f64().unwrap()))
            .collect();
        assert_eq!(ends, [("panicked", 20_000.0), ("aborted", 30_000.0), ("aborted", 0.0)]);
        let texts = svg(&timeline);
        for end in [
            "2 burns panicked",
            "3 given up was aborted",
            "4 unborn was aborted",
            "panicked or aborted",
        ] {
            assert!(texts.iter().any(|text| text.starts_with(end)), "{end}: {texts:#?}");
        }
    });
}

#[test]
fn a_task_that_ends_a_deadlock_was_aborted() {
    bounded(|| {
        let timeline = virtually(async || {
            let (a, b) = (Rc::new(Mutex::new(())), Rc::new(Mutex::new(())));
            let lock = |first: &Rc<Mutex<()>>, second: &Rc<Mutex<()>>| {
                let (first, second) = (first.clone(), second.clone());
                headwaiter::spawn(async move {
                    let _first = first.lock().await;
                    yield_now().await;
                    drop(second.lock().await);
                })
            };
            let (one, other) = (lock(&a, &b), lock(&b, &a));
            assert!(one.await.is_err() != other.await.is_err());
        });
        assert_eq!(json(&timeline).iter().filter(|event| event["name"] == "aborted").count(), 1);
    });
}

#[test]
fn a_panic_of_the_main_future_is_its_end() {
    bounded(|| {
        let (mut event_loop, timeline) = watched_by(&Timeline::new());
        panic_text(|| event_loop.block_on(async { panic!("no more eggs") }));
        event_loop.block_on(async { sleep(ms(10)).await });
        let text = timeline.to_text(60);
        assert!(text.lines().any(|line| line == "1 main !"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("2 main ▌░░")), "{text}");
    });
}

#[test]
fn between_two_runs_the_loop_is_not_there() {
    bounded(|| {
        let timeline = Timeline::new();
        let mut event_loop = EventLoop::builder().observer(timeline.clone()).build().unwrap();
        let pause = || {
            let start = Instant::now();
            while start.elapsed() < ms(50) {}
        };
        event_loop.block_on(yield_now());
        pause();
        event_loop.block_on(yield_now());
        pause();
        event_loop.enter(|| drop(headwaiter::spawn(async {})));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        pause();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        let events = json(&timeline);
        let spans = events.iter().filter(|event| event["tid"] == 1 && event["ph"] == "X");
        let works: f64 = spans.map(|event| event["dur"].as_f64().unwrap()).sum();
        let end = events.iter().filter_map(|event| event["ts"].as_f64()).fold(0.0, f64::max);
        assert!(end >= 150_000.0 && works <= end - 150_000.0 + 1.0, "{works} of {end}");
    });
}

/// Aborts these tasks before each turn. What an observer does is not reported to other observers.
struct Aborts(Rc<RefCell<Vec<JoinHandle<()>>>>);

impl Observer for Aborts {
    fn step(&mut self, step: &Step<'_>) {
        if let Step::Turn { .. } = step {
            self.0.borrow_mut().drain(..).for_each(|task| task.abort());
        }
    }
}

#[test]
fn tasks_whose_end_is_not_told_are_not_kept_for_ever() {
    bounded(|| {
        let (timeline, tasks) = (Timeline::with_capacity(10), Rc::default());
        let builder =
            EventLoop::builder().observer(timeline.clone()).observer(Aborts(Rc::clone(&tasks)));
        builder.build().unwrap().block_on(async {
            for _ in 0..10_000 {
                tasks.borrow_mut().push(headwaiter::spawn(sleep(ms(60_000))));
                yield_now().await;
            }
        });
        assert!(!json(&timeline).iter().any(|event| event["name"] == "aborted"));
        assert!(rows_of(&timeline) < 2000, "{timeline:?}");
    });
}

/// How many are kept.
fn rows_of(timeline: &Timeline) -> usize {
    let debug = format!("{timeline:?}");
    let rows = debug.split("rows: ").nth(1).unwrap();
    rows.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn it_can_be_drawn_while_the_loop_runs() {
    bounded(|| {
        let (mut event_loop, timeline) = watched_by(&Timeline::new());
        event_loop.block_on(async {
            drop(task::Builder::new().name("oven").spawn(sleep(ms(60_000))));
            sleep(ms(10)).await;
            time::advance(ms(5)).await;
            let text = timeline.to_text(60);
            assert!(text.starts_with("2 tasks in 15 ms;"), "{text}");
            assert!(
                text.lines().any(|line| line.starts_with("2 oven ▌░░") && line.ends_with('░')),
                "{text}"
            );
            svg(&timeline);
            assert_eq!(waits_of(&json(&timeline), "2 oven"), ["waits for timer 2"]);
        });
    });
}

#[test]
fn many_rows_are_counted() {
    bounded(|| {
        let timeline = virtually(async || {
            let tasks: Vec<_> = (0..200).map(|_| headwaiter::spawn(sleep(ms(1)))).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        let note = "and 102 more rows, which are not drawn";
        let text = timeline.to_text(80);
        assert!(text.lines().count() < 110 && text.ends_with(&format!("{note}\n")), "{text}");
        assert!(svg(&timeline).iter().any(|text| text == note));
        let names = json(&timeline).iter().filter(|event| event["name"] == "thread_name").count();
        assert_eq!(names, 202);
    });
}

#[test]
fn many_short_spans_are_few_bars() {
    bounded(|| {
        let timeline = virtually(async || {
            for _ in 0..10_000 {
                sleep(ms(1)).await;
            }
        });
        let drawn = timeline.to_svg();
        assert!(drawn.len() < 2_000_000, "{}", drawn.len());
        let polls = svg(&timeline)
            .iter()
            .filter_map(|text| text.split_once(" times 1 main is polled")?.0.parse::<u64>().ok())
            .sum::<u64>();
        assert!(polls > 9_000, "{polls}");
    });
}

#[test]
fn the_steps_of_another_loop_are_not_mixed_in() {
    bounded(|| {
        let (mut first, timeline) = watched_by(&Timeline::new());
        let (mut second, _) = watched_by(&timeline);
        first.block_on(async { sleep(ms(10)).await });
        second.block_on(async { sleep(ms(1000)).await });
        let text = timeline.to_text(80);
        assert!(text.starts_with("1 task in 10 ms;"), "{text}");
        assert!(
            text.ends_with(
                "steps of another event loop are not shown: give each its own timeline\n"
            ),
            "{text}"
        );
    });
}

#[test]
fn a_job_that_nobody_wants_is_not_under_way_for_ever() {
    bounded(|| {
        let timeline = virtually(async || {
            for _ in 0..2 {
                let job = headwaiter::spawn_blocking(|| ());
                job.abort();
                headwaiter::spawn_blocking(|| ()).await.unwrap();
            }
            sleep(ms(10)).await;
        });
        let events = json(&timeline);
        let longest = events
            .iter()
            .filter(|event| event["cat"] == "jobs")
            .map(|event| event["dur"].as_f64().unwrap());
        let longest: Vec<_> = longest.collect();
        assert!(longest.len() >= 2 && longest.iter().all(|micros| *micros == 0.0), "{longest:?}");
    });
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    bounded(|| {
        let folder = Folder::new();
        let (timeline, path) = (breakfast(), folder.path("no/such/folder.svg"));
        let error = timeline.write_svg(&path).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        let said = error.to_string();
        assert!(said.starts_with(&format!("write the SVG of a timeline to {path:?}: ")), "{said}");
        let said = timeline.write_chrome_json(folder.path(".")).unwrap_err().to_string();
        assert!(said.starts_with("write the trace of a timeline to \""), "{said}");
        timeline.write_svg(folder.path("a.svg")).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path("a.svg")).unwrap(), timeline.to_svg());
    });
}
