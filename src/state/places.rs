//! Numbers for places in the source code, such as the place where a task was spawned. A number is
//! half as long as a reference, and another thread can read it from one atomic word. Each call of
//! `spawn` in the program's text has one number, so the table stays small. The task table and the
//! diagnostics call this file. It never removes a place.

use std::cell::Cell;
use std::panic::Location;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// The number of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaceId(u32);

type Place = &'static Location<'static>;

/// All places that have a number. The number is the index.
static PLACES: Mutex<Vec<Place>> = Mutex::new(Vec::new());

const CACHE_SIZE: usize = 64;

thread_local! {
    /// The places that this thread has used recently, by their address, so that [`PlaceId::of`]
    /// rarely locks the table.
    static RECENT: [Cell<Option<(Place, PlaceId)>>; CACHE_SIZE] = const { [const { Cell::new(None) }; CACHE_SIZE] };
}

impl PlaceId {
    /// Returns the number of a place. Assigns the next number if the place has none.
    #[inline]
    pub(crate) fn of(place: Place) -> Self {
        // A `Location` is at least three words long, and locations are adjacent in memory. Dividing
        // by the word size lets neighbours use different entries of the cache.
        let address = ptr::from_ref(place).addr();
        RECENT.with(|recent| {
            let cached = &recent[(address / 8) % CACHE_SIZE];
            match cached.get() {
                Some((seen, id)) if ptr::eq(seen, place) => id,
                _ => {
                    let id = PlaceId::look_up(place);
                    cached.set(Some((place, id)));
                    id
                }
            }
        })
    }

    /// Looks the place up in the table of the process.
    #[cold]
    fn look_up(place: Place) -> Self {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        // Compared by value, because the compiler may emit several copies of one location.
        let number = places.iter().position(|known| *known == place).unwrap_or_else(|| {
            places.push(place);
            places.len() - 1
        });
        PlaceId(number as u32)
    }

    /// Returns the place with this number.
    pub(crate) fn location(self) -> Place {
        PLACES.lock().unwrap_or_else(PoisonError::into_inner)[self.0 as usize]
    }

    /// Returns the number as it is stored in an atomic word.
    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    /// The inverse of [`to_bits`](Self::to_bits).
    pub(crate) const fn from_bits(bits: u32) -> Self {
        PlaceId(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_number_on_all_threads_and_is_found_by_it() {
        let here = Location::caller();
        let there = Location::caller();
        let (first, second) = (PlaceId::of(here), PlaceId::of(there));
        assert_ne!(first, second);
        let elsewhere =
            std::thread::spawn(move || (PlaceId::of(here), PlaceId::of(there))).join().unwrap();
        assert_eq!((first, second), elsewhere);
        assert_eq!((first.location(), second.location()), (here, there));
        assert_eq!(PlaceId::from_bits(first.to_bits()), first);
    }
}
