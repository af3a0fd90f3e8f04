//! A small fixed pool of writers: an open account belongs to one of them, which runs its transactions in order.
//!
//! What queued up while a commit was under way is the next commit: an idle account waits for one sync, a busy one
//! shares it. A writer keeps a bounded number of files open; the least recently used one is closed, and opened again
//! when its account has work.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::{Check, File};
use super::lock::Held;
use super::{Durability, Figures, Registry, SqliteAccounts, lease};
use crate::error::{Result, StoreError};
use crate::place::AccountId;
use crate::rows::Rows;
use crate::store::{Access, Done, Engine, Job, Outcome};

/// Transactions in one commit at most.
const GROUP: usize = 128;
/// Files that all writers together keep open, unless said otherwise.
const OPEN_FILES: usize = 256;

/// The writers of a process.
pub struct Writers {
    place: Place,
    next: AtomicUsize,
}

enum Place {
    Threads(Vec<Sender<Task>>),
    Inline(Mutex<Writer>),
}

enum Task {
    /// A file opened elsewhere belongs to the writer now.
    Adopt(u64, File),
    /// An account has work.
    Work(Arc<Account>),
}

impl std::fmt::Debug for Writers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Threads(threads) => write!(f, "Writers({} threads)", threads.len()),
            Place::Inline(_) => f.write_str("Writers(inline)"),
        }
    }
}

impl Writers {
    /// `count` threads (1 to 16) that together keep at most `open_files` files open. They end when the last account
    /// and this pool are gone.
    ///
    /// # Errors
    /// [`StoreError::Io`] if a thread can't be started.
    pub fn threads(count: usize, open_files: usize) -> Result<Self> {
        let count = count.clamp(1, 16);
        let each = (open_files / count).max(1);
        let start = |number: usize| {
            let (tasks, inbox) = channel();
            let name = format!("store-{number}");
            let run = move || run(&inbox, Writer::new(each));
            let started = std::thread::Builder::new().name(name).spawn(run);
            started.map(|_| tasks).map_err(|e| StoreError::io("starting a writer", e))
        };
        let threads = (0..count).map(start).collect::<Result<_>>()?;
        Ok(Self { place: Place::Threads(threads), next: AtomicUsize::new(0) })
    }

    /// Two threads and 256 open files.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn new() -> Result<Self> {
        Self::threads(2, OPEN_FILES)
    }

    /// No threads: a transaction runs where it is asked for. For virtual runs, whose clock would jump while a thread
    /// works.
    #[must_use]
    pub fn inline() -> Self {
        Self { place: Place::Inline(Mutex::new(Writer::new(OPEN_FILES))), next: AtomicUsize::new(0) }
    }

    pub(super) fn adopt(&self, account: &Account, file: File) {
        self.hand_over(account.writer, Task::Adopt(account.number, file));
    }

    fn pick(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn hand_over(&self, writer: usize, task: Task) {
        match &self.place {
            Place::Threads(threads) => {
                let Some(thread) = threads.get(writer % threads.len().max(1)) else { return };
                if thread.send(task).is_err() {
                    tracing::error!("a store writer is gone");
                }
            }
            Place::Inline(writer) => {
                let again = writer.lock().unwrap_or_else(PoisonError::into_inner).task(task);
                if let Some(again) = again {
                    self.hand_over(0, again);
                }
            }
        }
    }
}

fn run(inbox: &Receiver<Task>, mut writer: Writer) {
    let mut again = VecDeque::new();
    loop {
        // An account with more work than one group goes behind those that wait.
        let task = match again.pop_front() {
            None => inbox.recv().ok(),
            Some(task) => match inbox.try_recv() {
                Ok(first) => {
                    again.push_back(task);
                    Some(first)
                }
                Err(_) => Some(task),
            },
        };
        let Some(task) = task else { return };
        again.extend(writer.task(task));
    }
}

enum Item {
    Job(Job),
    Close(Done),
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// The writer knows that there is work.
    announced: bool,
    closed: bool,
}

/// One open account, as its handle and its writer see it.
pub(super) struct Account {
    number: u64,
    id: AccountId,
    folder: PathBuf,
    durability: Durability,
    writer: usize,
    writers: Arc<Writers>,
    registry: Arc<Registry>,
    figures: Arc<Figures>,
    queue: Mutex<Queue>,
    lock: Mutex<Option<Held>>,
    /// The data folder stays ours while one of its accounts is open.
    _folder_lock: Arc<Held>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Account {
    pub(super) fn new(
        accounts: &SqliteAccounts,
        id: AccountId,
        folder: PathBuf,
        lock: Option<Held>,
    ) -> Arc<Self> {
        Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            id,
            folder,
            durability: accounts.options.durability,
            writer: accounts.writers.pick(),
            writers: Arc::clone(&accounts.writers),
            registry: Arc::clone(&accounts.registry),
            figures: Arc::clone(&accounts.figures),
            queue: Mutex::default(),
            lock: Mutex::new(lock),
            _folder_lock: Arc::clone(&accounts.folder),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.registry.leave(&self.id);
    }
}

/// The handle's side of an open account; the last one closes it.
pub(super) struct Handle(pub(super) Arc<Account>);

impl Handle {
    fn push(&self, item: Item) {
        let mut queue = self.0.queue();
        queue.items.push_back(item);
        let announce = !std::mem::replace(&mut queue.announced, true);
        drop(queue);
        if announce {
            self.0.writers.hand_over(self.0.writer, Task::Work(Arc::clone(&self.0)));
        }
    }
}

impl Engine for Handle {
    fn submit(&self, job: Job) {
        if self.0.queue().closed {
            return (job.done)(Err(StoreError::Closed));
        }
        self.push(Item::Job(job));
    }

    fn close(&self, done: Done) {
        if std::mem::replace(&mut self.0.queue().closed, true) {
            return done(Ok(()));
        }
        self.0.registry.closing(&self.0.id);
        self.push(Item::Close(done));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close(Box::new(|result| {
            if let Err(error) = result {
                tracing::error!(%error, "a store did not close cleanly");
            }
        }));
    }
}

struct Open {
    file: File,
    used: u64,
}

/// A writer: the open files of its accounts.
struct Writer {
    open: HashMap<u64, Open>,
    most: usize,
    uses: u64,
}

impl Writer {
    fn new(most: usize) -> Self {
        Self { open: HashMap::new(), most, uses: 0 }
    }

    /// Does a task; returns what is left of it.
    fn task(&mut self, task: Task) -> Option<Task> {
        match task {
            Task::Adopt(number, file) => {
                self.keep(number, file);
                None
            }
            Task::Work(account) => self.work(account),
        }
    }

    fn keep(&mut self, number: u64, file: File) {
        if self.open.len() >= self.most
            && let Some(oldest) =
                self.open.iter().min_by_key(|(_, open)| open.used).map(|(number, _)| *number)
            && let Some(open) = self.open.remove(&oldest)
            && let Err(error) = open.file.close()
        {
            tracing::error!(%error, "a store did not close cleanly");
        }
        self.uses += 1;
        self.open.insert(number, Open { file, used: self.uses });
    }

    fn file(&mut self, account: &Account) -> Result<&File> {
        if !self.open.contains_key(&account.number) {
            let file = File::open(&account.folder, &account.id, account.durability, Check::Marks)?;
            account.figures.opens.fetch_add(1, Ordering::Relaxed);
            self.keep(account.number, file);
        }
        self.uses += 1;
        let open = self.open.get_mut(&account.number).ok_or(StoreError::Closed)?;
        open.used = self.uses;
        Ok(&open.file)
    }

    fn work(&mut self, account: Arc<Account>) -> Option<Task> {
        let (jobs, close) = take_group(&account);
        if !jobs.is_empty() {
            match self.file(&account) {
                Ok(file) => {
                    group(file, jobs, &account.figures);
                    file.tidy();
                }
                Err(error) => jobs.into_iter().for_each(|job| (job.done)(Err(error.clone()))),
            }
        }
        if let Some(done) = close {
            let result = self.file(&account).and_then(lease::release);
            let closed = self.open.remove(&account.number).map_or(Ok(()), |open| open.file.close());
            account.give_back();
            done(result.and(closed));
            return None;
        }
        let mut queue = account.queue();
        queue.announced = !queue.items.is_empty();
        let more = queue.announced;
        drop(queue);
        more.then_some(Task::Work(account))
    }
}

/// The next transactions of an account, and its close if that is what follows them.
fn take_group(account: &Account) -> (Vec<Job>, Option<Done>) {
    let mut queue = account.queue();
    let mut jobs = Vec::new();
    while jobs.len() < GROUP {
        match queue.items.pop_front() {
            Some(Item::Job(job)) => jobs.push(job),
            Some(Item::Close(done)) => return (jobs, Some(done)),
            None => break,
        }
    }
    (jobs, None)
}

/// Runs a group: reads on what is durable, then all writes in one commit.
fn group(file: &File, jobs: Vec<Job>, figures: &Figures) {
    let (reads, writes): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.access == Access::Read);
    for job in reads {
        let result = file.begin_reading().and_then(|()| attempt(file, job.work).map(drop));
        file.abandon();
        (job.done)(result);
    }
    if writes.is_empty() {
        return;
    }
    let mut waiting = Vec::with_capacity(writes.len());
    let result = write_all(file, writes, &mut waiting, figures);
    for (done, own) in waiting {
        done(own.and_then(|()| result.clone()));
    }
}

fn write_all(
    file: &File,
    jobs: Vec<Job>,
    waiting: &mut Vec<(Done, Result<()>)>,
    figures: &Figures,
) -> Result<()> {
    let mut broken = file.begin().err();
    let mut kept = 0;
    for job in jobs {
        if let Some(error) = &broken {
            waiting.push((job.done, Err(error.clone())));
            continue;
        }
        let own = match nested(file, job.work) {
            Ok(outcome) => {
                kept += u64::from(outcome == Outcome::Keep);
                Ok(())
            }
            Err(StoreError::Panicked) => Err(StoreError::Panicked),
            // A savepoint that can't be ended means that the whole transaction is gone.
            Err(error) => {
                broken = Some(error.clone());
                Err(error)
            }
        };
        waiting.push((job.done, own));
    }
    if broken.is_some() || kept == 0 {
        file.abandon();
        return broken.map_or(Ok(()), Err);
    }
    file.commit()?;
    figures.commits.fetch_add(1, Ordering::Relaxed);
    figures.transactions.fetch_add(kept, Ordering::Relaxed);
    Ok(())
}

/// Runs one transaction in a savepoint of its own.
fn nested(file: &File, work: crate::store::Work) -> Result<Outcome> {
    file.mark_job()?;
    match attempt(file, work) {
        Ok(Outcome::Keep) => file.keep_job().map(|()| Outcome::Keep),
        Ok(Outcome::Undo) => file.undo_job().map(|()| Outcome::Undo),
        Err(error) => file.undo_job().and(Err(error)),
    }
}

fn attempt(file: &File, work: crate::store::Work) -> Result<Outcome> {
    let run = std::panic::AssertUnwindSafe(|| work(file as &dyn Rows));
    std::panic::catch_unwind(run).map_err(|_| StoreError::Panicked)
}
