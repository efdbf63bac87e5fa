//! From other threads to a loop: the table of living loops, each loop's inbox, and the public
//! [`Handle`]. Called by wakers, by handles that are used or dropped away from home, and by users.
//! Nothing here touches what belongs to the loop's own thread: it only leaves messages for it.

mod inbox;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use log::Level;
use pin_project_lite::pin_project;
use slab::Slab;

use self::inbox::Inbox;
use crate::core::{Core, contain, discard, log_panic};
use crate::observe;
use crate::observe::dump::{Dump, dump};
use crate::offload::blocked;
use crate::reactor::Direction;
use crate::slots::{Key, Layout, Slot};
use crate::task::{self, JoinError, Origin};

/// The part of a loop that other threads may use.
pub(crate) struct Shared {
    pub(crate) id: LoopId,
    /// The loop's own: it is not `Send`.
    thread: ThreadId,
    /// The task that is being polled: in the lower half its number, in the upper the place where it was spawned. 0:
    /// none. For who asks why the loop does not answer.
    pub(crate) polled: AtomicU64,
    /// For a watcher, where there is one: how many turns the loop has begun, and whether it sleeps, or is not being driven.
    pub(crate) turns: AtomicU64,
    pub(crate) sleeps: AtomicBool,
    /// How many [`Handle`]s there are: whoever has one may spawn what wakes a task.
    handles: AtomicUsize,
    inbox: Inbox,
    waker: mio::Waker,
    /// Deregisters the fd of a handle that is dropped on a foreign thread, before the fd is closed.
    pub(crate) registry: mio::Registry,
}

/// What one thread may ask of another's loop.
pub(crate) enum Message {
    /// A handle was dropped away from home.
    Release(Release),
    /// Abort this task.
    Abort(Slot),
    /// The [`RemoteHandle`] of this task was dropped before the task had ended.
    Unheld(Slot),
    /// Run this on the loop's thread.
    Run(Box<dyn FnOnce() + Send>),
}

/// What a dropped handle gives back to its loop.
#[derive(Debug)]
pub(crate) enum Release {
    Source(Slot),
    Waiter(Slot, Direction, u64),
    Timer(Slot),
    Join(Key),
    /// Of [`Waits`](crate::waits::Waits).
    Record(Slot),
}

impl Shared {
    /// Leaves a message and wakes the loop. A loop that is gone takes none, nor does the copy of one in a forked child, which nothing
    /// turns, and whose eventfd is its parent's: the message is dropped here, outside any lock.
    pub(crate) fn send(&self, message: Message) {
        if !is_of_this_process(self.id) {
            return drop(message);
        }
        match self.inbox.push(message) {
            Ok(notify) => self.notify(notify),
            Err(refused) => drop(refused),
        }
    }

    /// An offloaded job has ended, or will never begin; and this task is to look at it.
    pub(crate) fn job_ended(&self, task: Option<Slot>) {
        self.notify(self.inbox.push_job_end(task));
    }

    fn notify(&self, notify: bool) {
        if !notify {
            return;
        }
        if let Err(error) = insist(|| self.waker.wake()) {
            // What was sent is taken when the loop wakes for another reason, at the latest for the next message.
            self.inbox.not_notified();
            let line = format_args!("cannot wake the loop from another thread: {error}");
            observe::say(Level::Error, observe::LOOP, line);
        }
    }

    /// Takes no more messages, and gives the last ones back to be dropped.
    pub(crate) fn close(&self) -> inbox::Mail {
        self.inbox.close()
    }

    pub(crate) fn has_handles(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        find(self.id).is_none()
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.inbox.has_mail()
    }

    pub(crate) fn take(&self) -> inbox::Mail {
        self.inbox.take()
    }
}

/// Tries again what a signal handler interrupted, and some times what failed otherwise: a wake that is lost may be the last.
fn insist(mut wake: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    const TRIES: u32 = 10;
    let mut tries = 0;
    loop {
        match wake() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if tries < TRIES => {
                tries += 1;
                thread::yield_now();
            }
            result => return result,
        }
    }
}

/// All living loops of the process. The place of a loop here is the narrow id that wakers carry; it is
/// recycled. The wide id that handles carry is never reused.
static LOOPS: Mutex<Table> = Mutex::new(Table { loops: Slab::new(), born: 0 });

struct Table {
    loops: Slab<Arc<Shared>>,
    born: u64,
}

fn table() -> MutexGuard<'static, Table> {
    LOOPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A loop's number, never reused. It is not zero, so that a [`Key`] that may be absent is two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoopId(NonZero<u64>);

impl LoopId {
    /// Its bits that fit in a waker.
    pub(crate) const fn narrow(self) -> u64 {
        self.0.get() % Layout::WAKER.homes()
    }
}

/// The process that opened the last loop, and the serial number of its first. fork(2) copies both, so in a forked child the process
/// is another until it opens a loop of its own, and then the loops of its ancestors have lower serials.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static FIRST: AtomicU64 = AtomicU64::new(0);

/// Whether a loop was made by this process. If not, this is a forked child, which shares with its parent what the kernel knows of the
/// loop: the poller with all that is registered there, the eventfd, and each socket. Takes no lock, which a thread of the parent may
/// have held. It is a system call.
pub(crate) fn is_of_this_process(id: LoopId) -> bool {
    let serial = id.0.get() / Layout::WAKER.homes();
    PROCESS.load(Ordering::Relaxed) == std::process::id() && serial >= FIRST.load(Ordering::Relaxed)
}

/// Enters a new loop in the table.
pub(crate) fn open(waker: mio::Waker, registry: mio::Registry) -> io::Result<Arc<Shared>> {
    let mut table = table();
    table.born += 1;
    let homes = Layout::WAKER.homes();
    let serial = table.born;
    let process = std::process::id();
    if PROCESS.load(Ordering::Relaxed) != process {
        // Both under the lock of the table, and before any handle of the new loop is there to ask.
        FIRST.store(serial, Ordering::Relaxed);
        PROCESS.store(process, Ordering::Relaxed);
    }
    let place = table.loops.vacant_entry();
    let narrow = place.key() as u64;
    if narrow >= homes {
        return Err(io::Error::other(format!(
            "{homes} event loops are alive in this process, and no more can be told apart: drop some first"
        )));
    }
    let id = NonZero::new(serial * homes + narrow).expect("the first serial is 1");
    let shared = Arc::new(Shared {
        id: LoopId(id),
        thread: thread::current().id(),
        polled: AtomicU64::new(0),
        turns: AtomicU64::new(0),
        sleeps: AtomicBool::new(true),
        handles: AtomicUsize::new(0),
        inbox: Inbox::new(),
        waker,
        registry,
    });
    place.insert(Arc::clone(&shared));
    Ok(shared)
}

/// Takes a dead loop out of the table. Its narrow id may be a new loop's from here on.
pub(crate) fn forget(shared: &Shared) {
    drop(table().loops.remove(shared.id.narrow() as usize));
}

/// The loop of a handle, if it is still alive.
pub(crate) fn find(id: LoopId) -> Option<Arc<Shared>> {
    table().loops.get(id.narrow() as usize).filter(|shared| shared.id == id).cloned()
}

/// Wakes a task of whatever loop has these bits now. A stranger gets at worst one spurious wake.
pub(crate) fn wake_narrow(narrow: u64, task: Slot) {
    let shared = table().loops.get(narrow as usize).cloned();
    if let Some(shared) = shared {
        shared.notify(shared.inbox.push_wake(task));
    }
}

/// A waker of whatever loop has these bits was cloned on another thread.
pub(crate) fn mark_foreign(narrow: u64, task: Slot) {
    let shared = table().loops.get(narrow as usize).cloned();
    if let Some(shared) = shared {
        shared.notify(shared.inbox.push_foreign(task));
    }
}

/// Sends what a handle gave back, when the handle is not dropped at home.
pub(crate) fn release(home: LoopId, what: Release) {
    if let Some(shared) = find(home) {
        shared.send(Message::Release(what));
    }
}

/// Reaches a loop from any thread: see [`Handle::spawn`].
///
/// A handle does not keep its loop alive, only two file descriptors of it. What is spawned on a loop that is gone ends at once
/// with [`JoinError::is_cancelled`].
pub struct Handle {
    shared: Arc<Shared>,
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Handle::new(Arc::clone(&self.shared))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let before = self.shared.handles.fetch_sub(1, Ordering::Release);
        if before == 1
            && thread::current().id() != self.shared.thread
            && is_of_this_process(self.shared.id)
        {
            // What sleeps may find now that nobody can wake it.
            self.shared.notify(true);
        }
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Handle { shared }
    }

    /// The handle of the loop that runs on this thread.
    ///
    /// # Panics
    ///
    /// Outside any event loop. Such a place is a job of [`spawn_blocking`](crate::spawn_blocking), whose own page shows how a handle is
    /// taken along.
    #[track_caller]
    pub fn current() -> Self {
        Handle::new(Core::expect("`Handle::current`", |core| Arc::clone(&core.shared)))
    }

    /// Runs `make` on the loop's thread and spawns the future that it returns there. Only the
    /// closure travels, so the future need not be `Send`.
    ///
    /// The result comes back through the [`RemoteHandle`]. Dropping that handle detaches the task.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// let event_loop = headwaiter::EventLoop::new()?;
    /// let handle = event_loop.handle();
    /// let plain_thread = std::thread::spawn(move || {
    ///     let six = handle.spawn(|| async {
    ///         let not_send = Rc::new(6);
    ///         headwaiter::task::yield_now().await;
    ///         *not_send
    ///     });
    ///     six.wait().unwrap()
    /// });
    /// let mut event_loop = event_loop;
    /// while !plain_thread.is_finished() {
    ///     event_loop.turn(Some(std::time::Duration::from_millis(1)))?;
    /// }
    /// assert_eq!(plain_thread.join().unwrap(), 6);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<M, F>(&self, make: M) -> RemoteHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let place = Location::caller();
        let packet = Arc::new(Packet {
            home: Arc::clone(&self.shared),
            state: Mutex::new(PacketState {
                result: None,
                waker: None,
                taken: false,
                task: None,
                abort: false,
                held: true,
            }),
            arrived: Condvar::new(),
        });
        let job = Job { make, sender: Sender { packet: Arc::clone(&packet), place } };
        self.shared.send(Message::Run(Box::new(move || job.run())));
        RemoteHandle { packet }
    }
}

/// For so long [`Handle::dump`] waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

impl Handle {
    /// What the loop has, and who waits for what: as [`dump`], from another thread. It blocks this thread until the loop
    /// answers. If it does not within a second, the dump says which task is being polled, and where that was
    /// spawned: the one that blocks it.
    ///
    /// ```
    /// let mut event_loop = headwaiter::EventLoop::new()?;
    /// let handle = event_loop.handle();
    /// let asked = std::thread::spawn(move || handle.dump().to_string());
    /// while !asked.is_finished() {
    ///     event_loop.turn(Some(std::time::Duration::from_millis(1)))?;
    /// }
    /// assert!(asked.join().unwrap().contains("0 tasks"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// On the thread of the loop, which would wait for itself: use [`dump`] there.
    #[track_caller]
    pub fn dump(&self) -> Dump {
        assert!(
            self.shared.thread != thread::current().id(),
            "headwaiter: `Handle::dump` was called on the thread of the loop it asks: call `headwaiter::dump` inside the loop instead"
        );
        let (give, take) = mpsc::channel();
        self.shared.send(Message::Run(Box::new(move || {
            let _ = give.send(dump()); // Nobody may wait for it any more.
        })));
        match take.recv_timeout(PATIENCE) {
            Ok(dump) => dump,
            Err(RecvTimeoutError::Disconnected) => Dump::of("the event loop is gone".to_owned()),
            Err(RecvTimeoutError::Timeout) => Dump::of(self.why_busy()),
        }
    }

    fn why_busy(&self) -> String {
        match task::published(self.shared.polled.load(Ordering::Relaxed)) {
            Some(task) => {
                format!("the event loop has not answered for {PATIENCE:?}: it polls {task}")
            }
            None => format!(
                "the event loop has not answered for {PATIENCE:?}, and polls no task: nobody turns it, or a callback blocks it"
            ),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("loop", &self.shared.id.0).finish()
    }
}

/// The result of [`Handle::spawn`], wherever you are: await it on any loop (or any other executor), or
/// [`wait`](Self::wait) for it on a thread that runs none.
///
/// Dropping it detaches the task; if that panics, it is logged. Awaiting it is cancel-safe: the result stays until
/// it is taken. Polling it again after that panics.
pub struct RemoteHandle<T> {
    packet: Arc<Packet<T>>,
}

struct Packet<T> {
    home: Arc<Shared>,
    state: Mutex<PacketState<T>>,
    arrived: Condvar,
}

struct PacketState<T> {
    result: Option<Result<T, JoinError>>,
    waker: Option<Waker>,
    taken: bool,
    /// Known once the loop has made the task.
    task: Option<Slot>,
    /// Asked for before the loop had made the task.
    abort: bool,
    /// The [`RemoteHandle`] exists, so the task may be aborted: see [`Tasks::hold`](task::Tasks::hold).
    held: bool,
}

impl<T> Packet<T> {
    fn state(&self) -> MutexGuard<'_, PacketState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Packet<T> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = &state.result {
            error.log_unseen();
        }
    }
}

impl<T> RemoteHandle<T> {
    /// Blocks this thread until the task has ended.
    ///
    /// In a job of [`spawn_blocking`](crate::spawn_blocking), for a task of the same loop, it occupies a thread that the task
    /// may need, for a file, a host name or a job of its own. If all threads of the pool wait like that, and their tasks for
    /// jobs that are queued, they wait for ever; that is logged at `warn` after a second or two, with the places of the waits
    /// and of the jobs. `.await` the task in another task instead, or give the loop more
    /// [threads](crate::Builder::blocking_threads).
    ///
    /// # Errors
    ///
    /// [`JoinError`], if the task panicked, was aborted, or its loop was dropped.
    ///
    /// # Panics
    ///
    /// On a thread that runs an event loop, or that owns the one it waits for: it would stand still. `.await` the
    /// handle there.
    #[track_caller]
    pub fn wait(self) -> Result<T, JoinError> {
        assert!(
            !Core::is_running(),
            "headwaiter: `RemoteHandle::wait` was called inside an event loop, which would block it: `.await` the handle instead"
        );
        assert!(
            self.packet.home.thread != thread::current().id()
                || self.is_finished()
                || self.packet.home.is_closed(),
            "headwaiter: `RemoteHandle::wait` was called on the thread of the loop that it waits for, which would stand still: turn the loop, or `block_on` the handle"
        );
        // From here on nothing can abort it.
        self.let_go();
        // In a job of the loop that it waits for: if all threads do that, it may wait for ever.
        let blocked = blocked::begin(&self.packet.home, Location::caller());
        let mut state = self.packet.state();
        loop {
            if let Some(result) = state.take() {
                return result;
            }
            let arrived = &self.packet.arrived;
            state = match &blocked {
                None => arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(blocked) => {
                    let waited = arrived.wait_timeout(state, blocked::PATIENCE);
                    let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() {
                        let task = state.task;
                        drop(state);
                        blocked.look(task);
                        self.packet.state()
                    } else {
                        state
                    }
                }
            };
        }
    }

    /// Asks the loop to drop the task. The future is gone before [`JoinError::is_cancelled`] is reported.
    pub fn abort(&self) {
        let task = {
            let mut state = self.packet.state();
            let is_first = !mem::replace(&mut state.abort, true);
            state.task.filter(|_| is_first)
        };
        if let Some(task) = task {
            self.packet.home.send(Message::Abort(task));
        }
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        let state = self.packet.state();
        state.taken || state.result.is_some()
    }
}

impl<T> RemoteHandle<T> {
    /// Nothing can abort the task any more: its loop looks anew whether it is stuck.
    fn let_go(&self) {
        let unheld = {
            let mut state = self.packet.state();
            let was_held = mem::replace(&mut state.held, false);
            state.task.filter(|_| was_held && !state.taken && state.result.is_none())
        };
        if let Some(task) = unheld {
            self.packet.home.send(Message::Unheld(task));
        }
    }
}

impl<T> Drop for RemoteHandle<T> {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl<T> PacketState<T> {
    #[track_caller]
    fn take(&mut self) -> Option<Result<T, JoinError>> {
        assert!(
            !self.taken,
            "headwaiter: a `RemoteHandle` was polled again after it had given its result"
        );
        let result = self.result.take();
        self.taken = result.is_some();
        result
    }
}

impl<T> Future for RemoteHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned outside the lock, and the old one dropped outside it: both may run foreign code.
        let waker = cx.waker().clone();
        let mut state = self.packet.state();
        // Only a result that is there costs budget.
        if state.result.is_some() && Core::with(Core::spend) == Some(false) {
            drop(state);
            waker.wake();
            return Poll::Pending;
        }
        match state.take() {
            Some(result) => Poll::Ready(result),
            None => {
                let old = state.waker.replace(waker);
                drop(state);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").field("finished", &self.is_finished()).finish()
    }
}

/// What travels to the loop. The closure is declared, and so dropped, before the sender that reports
/// the end, also when the job never runs.
struct Job<M, T> {
    make: M,
    sender: Sender<T>,
}

impl<M, T> Job<M, T> {
    fn run<F>(self)
    where
        M: FnOnce() -> F,
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        if self.sender.packet.state().abort {
            return;
        }
        let Job { make, sender } = self;
        let place = sender.place;
        let packet = Arc::clone(&sender.packet);
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(future) => {
                let task = task::spawn_at(Deliver { future: Some(future), sender }, None, place);
                let aborted = {
                    let mut state = packet.state();
                    state.task = task.slot();
                    if let Some(slot) = state.task.filter(|_| state.held) {
                        Core::with(|core| core.tasks.hold(slot, true));
                    }
                    state.abort
                };
                // While the future was being made.
                if aborted {
                    task.abort();
                }
            }
            Err(payload) => sender.send(Err(sender.panicked(payload))),
        }
    }
}

/// Puts the result into the packet; if it is dropped before it has one, the task was.
struct Sender<T> {
    packet: Arc<Packet<T>>,
    place: &'static Location<'static>,
}

impl<T> Sender<T> {
    fn panicked(&self, payload: Box<dyn Any + Send>) -> JoinError {
        JoinError::panicked(Some(Origin::unnamed(self.place)), payload)
    }

    fn send(&self, result: Result<T, JoinError>) {
        let waker = {
            let mut state = self.packet.state();
            if state.taken || state.result.is_some() {
                return;
            }
            state.result = Some(result);
            state.waker.take()
        };
        self.packet.arrived.notify_all();
        if let Some(waker) = waker {
            contain("a foreign waker", || waker.wake());
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.send(Err(JoinError::cancelled(Some(Origin::unnamed(self.place)))));
    }
}

pin_project! {
    /// A future on its loop whose result is awaited elsewhere.
    struct Deliver<F: Future> {
        // `None` once it is over: dropped before its end is reported.
        #[pin]
        future: Option<F>,
        sender: Sender<F::Output>,
    }

    impl<F: Future> PinnedDrop for Deliver<F> {
        /// Aborted: the future is dropped before the sender reports that. If its drop panics, that is what is reported.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
                this.sender.send(Err(this.sender.panicked(payload)));
            }
        }
    }
}

impl<F: Future> Future for Deliver<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let mut result = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(this.sender.panicked(payload)),
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
            match result {
                Ok(_) => discard(mem::replace(&mut result, Err(this.sender.panicked(payload)))),
                // The first panic is the one that is reported.
                Err(_) => log_panic("the drop of a task's future", payload),
            }
        }
        this.sender.send(result);
        Poll::Ready(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// What each try comes to, as an OS error number (0: success), and how many tries there were.
    fn insist_on(results: &[i32]) -> (io::Result<()>, usize) {
        let mut tries = 0;
        let result = insist(|| {
            let error = results.get(tries).copied().unwrap_or_default();
            tries += 1;
            if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
        });
        (result, tries)
    }

    #[test]
    #[cfg(unix)]
    fn a_wake_that_fails_is_tried_again_but_not_for_ever() {
        const EINTR: i32 = 4;
        const EIO: i32 = 5;
        assert!(matches!(insist_on(&[0]), (Ok(()), 1)));
        assert!(matches!(insist_on(&[EINTR; 100]), (Ok(()), 101)));
        assert!(matches!(insist_on(&[EIO, EINTR, EIO]), (Ok(()), 4)));
        let (failed, tries) = insist_on(&[EIO; 100]);
        assert_eq!((failed.unwrap_err().raw_os_error(), tries), (Some(EIO), 11));
    }
}
