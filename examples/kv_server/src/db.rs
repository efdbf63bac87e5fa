//! The keys, their values and expiry times. This module does not know clients or the protocol.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time: milliseconds since 1970.
pub type Millis = i64;

/// The overhead of a key besides its bytes and those of its value: an estimate, for the memory
/// limit.
const OVERHEAD: usize = 96;

pub struct Db {
    /// Keys come from clients, so clients must not be able to predict collisions of the hasher.
    /// That of std fulfils this.
    entries: HashMap<Rc<[u8]>, Entry>,
    /// The keys that expire, the next one first.
    deadlines: BTreeSet<(Millis, Rc<[u8]>)>,
    began: Instant,
    /// The wall-clock time at that moment. It is read only once: if the clock were set back, no key
    /// would expire for a while.
    began_at: Millis,
    /// An estimate of the memory of all keys and values.
    used: usize,
    /// How many keys have expired so far.
    expired: u64,
}

struct Entry {
    value: Box<[u8]>,
    /// The expiry time, if there is one.
    deadline: Option<Millis>,
}

#[derive(Debug, PartialEq)]
pub enum AddError {
    NotAnInteger,
    Overflow,
}

impl Db {
    pub fn new() -> Db {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Db {
            entries: HashMap::new(),
            deadlines: BTreeSet::new(),
            began: headwaiter::time::now(),
            began_at: since_1970.as_millis() as Millis,
            used: 0,
            expired: 0,
        }
    }

    pub fn now(&self) -> Millis {
        self.began_at + self.uptime().as_millis() as Millis
    }

    pub fn get(&mut self, key: &[u8]) -> Option<&[u8]> {
        self.remove_if_expired(key);
        self.entries.get(key).map(|entry| &*entry.value)
    }

    pub fn contains(&mut self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Sets a key, which expires at the deadline. Without a deadline it never expires, even if it
    /// had one before.
    pub fn set(&mut self, key: &[u8], value: &[u8], deadline: Option<Millis>) {
        match self.entries.get_mut(key) {
            Some(entry) if entry.deadline.is_none() && deadline.is_none() => {
                // The usual case: an existing key gets another value.
                self.used = self.used - entry.value.len() + value.len();
                if entry.value.len() == value.len() {
                    entry.value.copy_from_slice(value); // Without a new allocation.
                } else {
                    entry.value = value.into();
                }
            }
            _ => {
                self.remove(key);
                let key: Rc<[u8]> = key.into();
                self.used += key.len() + value.len() + OVERHEAD;
                if let Some(deadline) = deadline {
                    self.deadlines.insert((deadline, Rc::clone(&key)));
                }
                self.entries.insert(key, Entry { value: value.into(), deadline });
            }
        }
    }

    /// Whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return false };
        self.used -= key.len() + entry.value.len() + OVERHEAD;
        let is_live = entry.deadline.is_none_or(|deadline| deadline > self.now());
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        self.expired += u64::from(!is_live);
        is_live
    }

    /// Adds to a value that is a number. A missing key counts as 0. The expiry time does not
    /// change.
    pub fn add(&mut self, key: &[u8], number: i64) -> Result<i64, AddError> {
        let before = match self.get(key) {
            Some(value) => crate::resp::integer(value).ok_or(AddError::NotAnInteger)?,
            None => 0,
        };
        let sum = before.checked_add(number).ok_or(AddError::Overflow)?;
        let mut digits = Vec::new();
        crate::reply::decimal(sum, &mut digits);
        match self.entries.get_mut(key) {
            Some(entry) => {
                self.used = self.used - entry.value.len() + digits.len();
                entry.value = digits.into();
            }
            None => self.set(key, &digits, None),
        }
        Ok(sum)
    }

    /// Returns when a key expires, if it does, or `None` if there is no such key.
    pub fn deadline(&mut self, key: &[u8]) -> Option<Option<Millis>> {
        self.remove_if_expired(key);
        self.entries.get(key).map(|entry| entry.deadline)
    }

    /// Makes a key expire at the deadline, or immediately if that has passed. Returns whether the
    /// key existed.
    pub fn expire(&mut self, key: &[u8], deadline: Millis) -> bool {
        self.remove_if_expired(key);
        if deadline <= self.now() {
            return self.remove(key);
        }
        let Some((key, _)) = self.entries.get_key_value(key) else { return false };
        let key = Rc::clone(key);
        let before = self.entries.get_mut(&key).and_then(|entry| entry.deadline.replace(deadline));
        if let Some(before) = before {
            self.deadlines.remove(&(before, Rc::clone(&key)));
        }
        self.deadlines.insert((deadline, key))
    }

    /// Removes the key if it has expired, even if the periodic sweep has not reached it yet. Costs
    /// nothing if no key has an expiry time.
    fn remove_if_expired(&mut self, key: &[u8]) {
        if !self.deadlines.is_empty()
            && let Some(Entry { deadline: Some(deadline), .. }) = self.entries.get(key)
            && *deadline <= self.now()
        {
            self.remove(key);
        }
    }

    /// Removes expired keys, at most `limit`. Returns how many. A timer calls it, so that expired
    /// keys are removed even if they are never read.
    pub fn sweep(&mut self, limit: usize) -> usize {
        let now = self.now();
        for count in 0..limit {
            match self.deadlines.first() {
                Some((deadline, key)) if *deadline <= now => {
                    let key = Rc::clone(key);
                    self.remove(&key);
                }
                _ => return count,
            }
        }
        limit
    }

    /// Returns all keys that have not expired, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let now = self.now();
        let is_live = move |entry: &Entry| entry.deadline.is_none_or(|deadline| deadline > now);
        self.entries.iter().filter(move |(_, entry)| is_live(entry)).map(|(key, _)| &**key)
    }

    /// The number of keys, including expired ones that were not removed yet.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of keys with an expiry time.
    pub fn expiring(&self) -> usize {
        self.deadlines.len()
    }

    pub fn expired(&self) -> u64 {
        self.expired
    }

    pub fn used(&self) -> usize {
        self.used
    }

    pub fn uptime(&self) -> Duration {
        headwaiter::time::now() - self.began
    }

    pub fn clear(&mut self) {
        self.entries = HashMap::new();
        self.deadlines = BTreeSet::new();
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwaiter::time::advance;
    use headwaiter::{Clock, EventLoop};

    /// Creates a database with a clock that advances only on request.
    fn run(test: impl AsyncFnOnce(Db)) {
        let mut event_loop = EventLoop::builder().clock(Clock::Virtual).build().unwrap();
        event_loop.block_on(async { test(Db::new()).await });
    }

    fn within(db: &Db, millis: Millis) -> Option<Millis> {
        Some(db.now() + millis)
    }

    async fn pass(millis: u64) {
        advance(Duration::from_millis(millis)).await;
    }

    #[test]
    fn a_key_is_gone_when_its_time_has_come_and_not_before() {
        run(async |mut db| {
            db.set(b"soup", b"hot", within(&db, 100));
            db.set(b"cake", b"sweet", None);
            pass(99).await;
            assert_eq!(db.get(b"soup"), Some(&b"hot"[..]));
            assert_eq!(db.deadline(b"soup"), Some(within(&db, 1)));
            pass(1).await;
            assert_eq!(db.keys().collect::<Vec<_>>(), [b"cake"]);
            assert_eq!(db.get(b"soup"), None);
            assert_eq!((db.len(), db.expiring(), db.expired()), (1, 0, 1));
            assert_eq!(db.deadline(b"cake"), Some(None));
            assert_eq!(db.deadline(b"soup"), None);
        });
    }

    #[test]
    fn a_deadline_that_was_replaced_does_not_count_any_more() {
        run(async |mut db| {
            db.set(b"soup", b"hot", within(&db, 100));
            assert!(db.expire(b"soup", db.now() + 300));
            db.set(b"cake", b"sweet", within(&db, 100));
            db.set(b"cake", b"sour", None);
            pass(200).await;
            assert_eq!(db.sweep(10), 0);
            assert!(db.contains(b"soup") && db.contains(b"cake"));
            assert_eq!(db.add(b"count", 1), Ok(1));
            assert!(db.expire(b"count", db.now() + 50));
            assert_eq!(db.add(b"count", 41), Ok(42), "adding keeps the deadline");
            pass(100).await;
            assert_eq!(db.sweep(10), 2);
            assert_eq!((db.len(), db.expiring(), db.expired()), (1, 0, 2));
            assert!(!db.expire(b"soup", db.now() + 1000));
        });
    }

    #[test]
    fn a_sweep_removes_no_more_than_it_may() {
        run(async |mut db| {
            for n in 0..25_u8 {
                db.set(&[n], b"x", within(&db, 10 + i64::from(n % 3)));
            }
            pass(20).await;
            assert_eq!([db.sweep(10), db.sweep(10), db.sweep(10), db.sweep(10)], [10, 10, 5, 0]);
            assert_eq!((db.len(), db.expiring()), (0, 0));
        });
    }

    #[test]
    fn numbers_are_added_unless_they_are_none() {
        run(async |mut db| {
            assert_eq!(db.add(b"n", -5), Ok(-5));
            assert_eq!(db.get(b"n"), Some(&b"-5"[..]));
            db.set(b"n", b"9223372036854775806", None);
            assert_eq!(db.add(b"n", 1), Ok(i64::MAX));
            assert_eq!(db.add(b"n", 1), Err(AddError::Overflow));
            db.set(b"n", b"five", None);
            assert_eq!(db.add(b"n", 1), Err(AddError::NotAnInteger));
            assert_eq!(db.get(b"n"), Some(&b"five"[..]));
        });
    }

    #[test]
    fn what_is_used_comes_back_to_zero() {
        run(async |mut db| {
            for round in 0..3 {
                db.set(b"soup", &[b'x'; 1000][..1000 - round], None);
                db.set(b"cake", b"sweet", within(&db, 1000));
                db.set(b"cake", b"very sweet", within(&db, 50));
                db.add(b"count", i64::MAX).unwrap();
                db.add(b"count", i64::MIN).unwrap();
                assert!(db.used() > 1000);
                pass(50).await;
                assert_eq!(db.sweep(10), 1);
                assert!(db.remove(b"soup") && db.remove(b"count") && !db.remove(b"cake"));
                assert_eq!(db.used(), 0);
            }
        });
    }
}
