//! Places in the source, by number: where tasks were spawned. A number is half as long as a reference, and another
//! thread can be told it in one atomic word. There is one for each call of `spawn` in the program's text, so the table
//! stays small. Used by the tasks, and by whoever says where one is from.

use std::cell::Cell;
use std::panic::Location;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// The number of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaceId(u32);

type Place = &'static Location<'static>;

/// All places that have a number, in their order.
static PLACES: Mutex<Vec<Place>> = Mutex::new(Vec::new());

const CACHED: usize = 64;

thread_local! {
    /// The places this thread has seen lately, by their address, so that [`PlaceId::of`] seldom looks into the table.
    static LATELY: [Cell<Option<(Place, PlaceId)>>; CACHED] = const { [const { Cell::new(None) }; CACHED] };
}

impl PlaceId {
    #[inline]
    pub(crate) fn of(place: Place) -> Self {
        // Locations are three words or more long, and lie one behind the other.
        let address = ptr::from_ref(place).addr();
        LATELY.with(|lately| {
            let cached = &lately[(address / 8) % CACHED];
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

    #[cold]
    fn look_up(place: Place) -> Self {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        // By value: the compiler may have several copies of one place.
        let number = places.iter().position(|known| *known == place).unwrap_or_else(|| {
            places.push(place);
            places.len() - 1
        });
        PlaceId(number as u32)
    }

    pub(crate) fn location(self) -> Place {
        PLACES.lock().unwrap_or_else(PoisonError::into_inner)[self.0 as usize]
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    /// From [`to_bits`](Self::to_bits).
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
