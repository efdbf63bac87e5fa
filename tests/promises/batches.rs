//! The ready queue and its batches, against a model. Random tasks wake, spawn, abort, join and drop each other, yield, end and panic,
//! also in their drops. The model follows each step as it happens, and so knows which tasks may be polled next.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::support::bounded;
use crate::support::random::Random;
use crate::support::wakers::Foreign;
use headwaiter::observe::{Observer, Step};
use headwaiter::task::JoinHandle;
use headwaiter::{Clock, EventLoop, spawn, stats};

#[derive(Default)]
struct Task {
    queued: bool,
    finished: bool,
    gone: bool,
    running: bool,
    aborted: bool,
    detached: bool,
    joiner: Joiner,
    polls: u64,
    is_main: bool,
    futures: i32,
    outputs: i32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Joiner {
    #[default]
    Nobody,
    Task(usize),
    Foreign,
}

#[derive(Default)]
struct Model {
    tasks: Vec<Task>,
    /// The rest of the batch, and the tasks that are queued after it. Both may have tasks that have ended since.
    batch: VecDeque<usize>,
    next: VecDeque<usize>,
    polls: u64,
    wakes: u64,
    spawned: u64,
    foreign_wakes: usize,
    never_waited: u64,
    /// How many have not finished.
    alive: usize,
    /// The tasks that `check` looks at. A task that has ended, with nothing left of it, is removed.
    left: Vec<usize>,
    /// Polled, and not yet known to have been settled; with whether it ends.
    unsettled: Option<(usize, bool)>,
}

impl Model {
    fn push(&mut self, id: usize) {
        self.tasks[id].queued = true;
        self.next.push_back(id);
    }

    fn wake(&mut self, id: usize) {
        if !self.tasks[id].queued && !self.tasks[id].finished && !self.tasks[id].gone {
            self.wakes += 1;
            self.push(id);
        }
    }

    fn spawn(&mut self) -> usize {
        self.tasks.push(Task { futures: 1, ..Task::default() });
        self.spawned += 1;
        self.alive += 1;
        self.left.push(self.tasks.len() - 1);
        self.push(self.tasks.len() - 1);
        self.tasks.len() - 1
    }

    fn finish(&mut self, id: usize) {
        let task = &mut self.tasks[id];
        assert!(!task.finished && !task.gone, "{id} ends twice");
        task.queued = false;
        task.running = false;
        task.finished = true;
        self.alive -= 1;
        self.never_waited += u64::from(task.polls == 1);
        if task.detached {
            task.gone = true;
            return;
        }
        match std::mem::take(&mut task.joiner) {
            Joiner::Nobody => {}
            Joiner::Task(joiner) => self.wake(joiner),
            Joiner::Foreign => self.foreign_wakes += 1,
        }
    }

    fn settle(&mut self) {
        if let Some((id, ends)) = self.unsettled.take() {
            if ends || self.tasks[id].aborted {
                self.finish(id);
            }
            self.tasks[id].running = false;
        }
    }

    /// The task that is polled must be in the batch, and the first of it unless the loop shuffles.
    fn begin(&mut self, id: usize, in_order: bool, one_batch: bool) {
        self.settle();
        let tasks = &self.tasks;
        self.batch.retain(|id| tasks[*id].queued);
        if self.batch.is_empty() && !one_batch {
            self.batch = std::mem::take(&mut self.next);
            self.batch.retain(|id| tasks[*id].queued);
        }
        let place = self.batch.iter().position(|queued| *queued == id);
        let place = place.unwrap_or_else(|| panic!("{id} is not of the batch {:?}", self.batch));
        assert!(place == 0 || !in_order, "{id} is before its turn in {:?}", self.batch);
        self.batch.remove(place);
        let task = &mut self.tasks[id];
        task.queued = false;
        task.running = true;
        task.polls += 1;
        self.polls += 1;
    }
}

/// The tasks as they are, and the model of them.
struct World {
    random: Random,
    model: RefCell<Model>,
    wakers: RefCell<Vec<Option<Waker>>>,
    handles: RefCell<Vec<Option<JoinHandle<Output>>>>,
    /// How deep in user code this is.
    depth: Cell<u32>,
    in_order: bool,
    /// In a turn that is driven by hand there is one batch.
    one_batch: Cell<bool>,
    /// The loop is being dropped: tasks do nothing any more.
    quiet: Cell<bool>,
    foreign: Arc<Foreign>,
    /// How many tasks live at once.
    most: usize,
}

/// The future of the task with this number.
struct Polled(usize, Rc<World>);

/// The output of that future.
struct Output(usize, Rc<World>);

impl Drop for Output {
    fn drop(&mut self) {
        let world = Rc::clone(&self.1);
        world.settle();
        world.model.borrow_mut().tasks[self.0].outputs -= 1;
        world.user(|| world.act_seldom(None));
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        let world = Rc::clone(&self.1);
        {
            let mut model = world.model.borrow_mut();
            model.tasks[self.0].futures -= 1;
            assert_eq!(model.tasks[self.0].futures, 0);
        }
        world.user(|| world.act_seldom(None));
    }
}

impl Future for Polled {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let world = Rc::clone(&self.1);
        world.model.borrow_mut().begin(self.0, world.in_order, world.one_batch.get());
        world.wakers.borrow_mut()[self.0].get_or_insert_with(|| cx.waker().clone());
        let mut end = 0;
        world.user(|| {
            for _ in 0..world.below(4) {
                world.act(Some((self.0, cx)));
            }
            end = world.below(12);
        });
        world.model.borrow_mut().unsettled = Some((self.0, end < 2));
        match end {
            0 => {
                world.model.borrow_mut().tasks[self.0].outputs += 1;
                Poll::Ready(Output(self.0, Rc::clone(&world)))
            }
            1 => resume_unwind(Box::new("on purpose")),
            _ => Poll::Pending,
        }
    }
}

impl World {
    fn new(seed: u64, in_order: bool, most: usize) -> Rc<World> {
        Rc::new(World {
            random: Random::new(seed),
            model: RefCell::default(),
            wakers: RefCell::default(),
            handles: RefCell::default(),
            depth: Cell::new(0),
            in_order,
            one_batch: Cell::new(true),
            quiet: Cell::new(false),
            foreign: Foreign::new(),
            most,
        })
    }

    fn below(&self, bound: usize) -> usize {
        self.random.below(bound)
    }

    /// Runs what a user's code does.
    fn user(&self, run: impl FnOnce()) {
        self.depth.set(self.depth.get() + 1);
        run();
        self.depth.set(self.depth.get() - 1);
    }

    /// Where the loop calls user code anew, the task that was polled is settled.
    fn settle(&self) {
        if self.depth.get() == 0 {
            self.model.borrow_mut().settle();
        }
    }

    fn spawn(self: &Rc<Self>) {
        let id = self.model.borrow_mut().spawn();
        self.wakers.borrow_mut().push(None);
        let handle = spawn(Polled(id, Rc::clone(self)));
        self.handles.borrow_mut().push(Some(handle));
    }

    fn act_seldom(self: &Rc<Self>, who: Option<(usize, &mut Context<'_>)>) {
        if self.depth.get() < 4 && self.below(3) == 0 {
            self.act(who);
        }
    }

    fn act(self: &Rc<Self>, who: Option<(usize, &mut Context<'_>)>) {
        let count = self.wakers.borrow().len();
        if self.quiet.get() || count == 0 {
            return;
        }
        // Mostly the youngest: the others have ended long ago.
        let id = count - 1 - self.below(count.min(2 * self.most));
        let me = who.as_ref().map(|(me, _)| *me);
        match self.below(14) {
            0 | 1 => {
                let alive = self.model.borrow().alive;
                if alive < self.most {
                    self.spawn();
                }
            }
            2 => self.wake(me.unwrap_or(id)),
            3..=7 => self.wake(id),
            8 => self.abort(id),
            9 => self.drop_handle(me.filter(|_| self.below(3) == 0).unwrap_or(id)),
            10 => {
                if let Some(me) = me {
                    self.abort(me);
                }
            }
            _ => {
                if let Some((me, cx)) = who {
                    self.join(id, me, cx);
                }
            }
        }
    }

    fn wake(&self, id: usize) {
        let waker = self.wakers.borrow()[id].clone();
        if let Some(waker) = waker {
            self.model.borrow_mut().wake(id);
            waker.wake();
        }
    }

    fn abort(&self, id: usize) {
        let Some(handle) = self.handles.borrow_mut()[id].take() else { return };
        let ends = {
            let mut model = self.model.borrow_mut();
            let task = &mut model.tasks[id];
            let ends = !task.finished && !task.running && !task.aborted && task.futures > 0;
            task.aborted |= !task.finished;
            ends
        };
        self.user(|| handle.abort());
        if ends {
            self.model.borrow_mut().finish(id);
        }
        self.handles.borrow_mut()[id] = Some(handle);
    }

    fn drop_handle(&self, id: usize) {
        let Some(handle) = self.handles.borrow_mut()[id].take() else { return };
        {
            let mut model = self.model.borrow_mut();
            let task = &mut model.tasks[id];
            task.detached = true;
            task.joiner = Joiner::Nobody;
            task.gone |= task.finished;
        }
        self.user(|| drop(handle));
    }

    fn join(self: &Rc<Self>, id: usize, me: usize, cx: &mut Context<'_>) {
        let Some(mut handle) = self.handles.borrow_mut()[id].take() else { return };
        let foreign = Waker::from(Arc::clone(&self.foreign));
        let (joiner, mut cx) = match self.below(3) {
            0 => (Joiner::Foreign, Context::from_waker(&foreign)),
            _ => (Joiner::Task(me), Context::from_waker(cx.waker())),
        };
        let polled = Pin::new(&mut handle).poll(&mut cx);
        let finished = {
            let mut model = self.model.borrow_mut();
            let task = &mut model.tasks[id];
            if task.finished {
                task.gone = true;
            } else {
                task.joiner = joiner;
            }
            task.finished
        };
        assert_eq!(polled.is_ready(), finished, "{id}");
        if finished {
            self.user(|| drop((handle, polled)));
        } else {
            self.handles.borrow_mut()[id] = Some(handle);
        }
    }

    /// After a turn: the whole batch has run, and the figures are right.
    fn check(&self, stats: headwaiter::observe::Stats) {
        self.settle();
        let mut model = self.model.borrow_mut();
        let Model { tasks, batch, left, .. } = &mut *model;
        batch.retain(|id| tasks[*id].queued);
        assert!(batch.is_empty(), "{batch:?} were not polled");
        for &id in &*left {
            let task = &tasks[id];
            assert_eq!(task.futures, i32::from(!task.finished && !task.is_main), "future of {id}");
            assert!(
                task.outputs == 0 || (task.outputs == 1 && task.finished && !task.gone),
                "output of {id}"
            );
        }
        // The next turns need not look at those that are over. `end` looks at all again.
        left.retain(|id| {
            let task = &tasks[*id];
            !task.gone || (task.futures, task.outputs) != (0, 0) || task.joiner == Joiner::Foreign
        });
        assert_eq!(
            (stats.polls, stats.wakes, stats.spawned),
            (model.polls, model.wakes, model.spawned)
        );
        assert_eq!(stats.never_waited, model.never_waited);
        assert_eq!(self.foreign.wakes(), model.foreign_wakes);
        // One here, and one for each that is left with a task.
        let foreign = |id: &&usize| model.tasks[**id].joiner == Joiner::Foreign;
        let left = model.left.iter().filter(foreign).count();
        assert_eq!(Arc::strong_count(&self.foreign), 1 + left);
    }

    /// The tasks that are ready now are the batch.
    fn begin_turn(&self) {
        let mut model = self.model.borrow_mut();
        let Model { tasks, batch, next, .. } = &mut *model;
        batch.retain(|id| tasks[*id].queued);
        if batch.is_empty() {
            *batch = std::mem::take(next);
        }
    }
}

struct Ignores;

impl Observer for Ignores {
    fn step(&mut self, _: &Step<'_>) {}
}

const SEEDS: u64 = 60;

/// In order or shuffled, with an observer or without, for few tasks or many. Under a virtual clock no batch is cut because it takes
/// long.
fn loop_of(seed: u64) -> (EventLoop, Rc<World>) {
    let in_order = seed.is_multiple_of(2);
    let mut builder = EventLoop::builder().clock(Clock::Virtual);
    if !in_order {
        builder = builder.shuffle(seed);
    }
    if seed % 6 >= 4 {
        builder = builder.observer(Ignores);
    }
    let most = if seed.is_multiple_of(5) { 300 } else { 8 };
    (builder.build().unwrap(), World::new(seed, in_order, most))
}

#[test]
fn turn_by_turn_random_tasks_are_polled_as_the_model_says() {
    bounded(|| {
        for seed in 0..SEEDS {
            print!(" {seed}"); // Shown if it fails.
            let (mut event_loop, world) = loop_of(seed);
            for turn in 0..120 {
                event_loop.enter(|| {
                    world.user(|| {
                        if turn % 8 == 0 {
                            (0..world.below(world.most)).for_each(|_| world.spawn());
                        }
                        (0..world.below(3)).for_each(|_| world.act(None));
                    });
                });
                world.begin_turn();
                let before = world.model.borrow().polls;
                let polls = event_loop.turn(Some(Duration::ZERO)).unwrap().polls;
                world.check(event_loop.enter(stats));
                assert_eq!(polls as u64, world.model.borrow().polls - before);
            }
            end(event_loop, &world);
        }
    });
}

/// Drops the loop with the tasks that are left.
fn end(event_loop: EventLoop, world: &Rc<World>) {
    world.quiet.set(true);
    world.user(|| drop(event_loop));
    let handles = world.handles.take();
    drop(handles);
    world.wakers.take();
    for (id, task) in world.model.borrow().tasks.iter().enumerate() {
        assert_eq!((task.futures, task.outputs), (0, 0), "{id}");
    }
    assert_eq!(Arc::strong_count(&world.foreign), 1);
    assert_eq!(Rc::strong_count(world), 1);
}

/// A main future that takes part, ends or panics after some polls, and is followed by another.
struct Main {
    id: usize,
    world: Rc<World>,
    left: usize,
}

impl Future for Main {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let world = Rc::clone(&self.world);
        world.model.borrow_mut().begin(self.id, world.in_order, false);
        world.wakers.borrow_mut()[self.id].get_or_insert_with(|| cx.waker().clone());
        world.user(|| {
            for _ in 0..world.below(4) {
                world.act(Some((self.id, cx)));
            }
            world.wake(self.id);
        });
        world.model.borrow_mut().unsettled = Some((self.id, false));
        if self.left == 0 {
            let mut model = world.model.borrow_mut();
            model.settle();
            model.tasks[self.id].queued = false;
            model.tasks[self.id].finished = true;
            model.tasks[self.id].gone = true;
            model.alive -= 1;
            drop(model);
            if world.below(2) == 0 {
                resume_unwind(Box::new("main"));
            }
            return Poll::Ready(());
        }
        self.left -= 1;
        Poll::Pending
    }
}

#[test]
fn after_each_end_of_a_main_future_random_tasks_go_on_as_the_model_says() {
    bounded(|| {
        for seed in 0..SEEDS {
            print!(" {seed}"); // Shown if it fails.
            let (mut event_loop, world) = loop_of(seed);
            world.one_batch.set(false);
            for _ in 0..20 {
                event_loop.enter(|| {
                    world.user(|| (0..world.below(world.most)).for_each(|_| world.spawn()));
                });
                let id = world.model.borrow_mut().spawn();
                {
                    let mut model = world.model.borrow_mut();
                    model.tasks[id].futures = 0;
                    model.tasks[id].is_main = true;
                }
                world.wakers.borrow_mut().push(None);
                world.handles.borrow_mut().push(None);
                let main = Main { id, world: Rc::clone(&world), left: world.below(30) };
                let depth = world.depth.get();
                let _ = catch_unwind(AssertUnwindSafe(|| event_loop.block_on(main)));
                world.depth.set(depth);
                world.settle();
                let stats = event_loop.enter(stats);
                let model = world.model.borrow();
                assert_eq!((stats.polls, stats.wakes), (model.polls, model.wakes));
                assert_eq!(stats.spawned, model.spawned);
            }
            end(event_loop, &world);
        }
    });
}
