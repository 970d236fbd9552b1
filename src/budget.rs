//! What a batch of records holds of the memory budget, and where it goes back to.
//!
//! Bytes from a socket reserve memory for the records that will be made of them, and those may
//! leave in several batches. Each takes its share of that one reservation, a [`Pool`]. Whoever
//! makes them waits for shares of the same pool only: they are ahead of it and come back without
//! it, while the rest of the budget may be held by what waits behind it, which would never.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

/// Memory that is reserved for the records made of one batch of wire bytes.
#[derive(Debug)]
pub struct Pool {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` once the last share was taken: from then on everything goes back to the budget.
    free: Option<OwnedSemaphorePermit>,
    /// Shares that did not come back yet.
    n_out: usize,
}

/// What one batch of records holds, until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, it is given back"]
pub struct Share {
    held: Option<OwnedSemaphorePermit>,
    from: Arc<Pool>,
}

impl Pool {
    #[must_use]
    pub fn new(reserved: OwnedSemaphorePermit) -> Arc<Self> {
        let state = State { free: Some(reserved), n_out: 0 };
        Arc::new(Self { state: Mutex::new(state), returned: Condvar::new() })
    }

    /// A share of so many bytes. Waits for earlier ones to come back where there is not enough;
    /// alone, it gets what there is, because nothing more is to come. Blocks the thread.
    pub fn take(self: &Arc<Self>, n_bytes: usize) -> Share {
        let mut state = self.state();
        state.top_up(n_bytes);
        let short = |state: &mut State| state.n_out > 0 && state.n_free() < n_bytes;
        let waited = self.returned.wait_while(state, short);
        self.share(&mut waited.unwrap_or_else(PoisonError::into_inner), n_bytes)
    }

    /// The last share, which waits for nothing; what nobody needs is given back.
    pub fn take_last(self: &Arc<Self>, n_bytes: usize) -> Share {
        let mut state = self.state();
        state.top_up(n_bytes);
        let share = self.share(&mut state, n_bytes);
        state.free = None;
        share
    }

    fn share(self: &Arc<Self>, state: &mut State, n_bytes: usize) -> Share {
        let n_bytes = n_bytes.min(state.n_free());
        state.n_out += 1;
        let held = state.free.as_mut().and_then(|free| free.split(n_bytes));
        Share { held, from: Arc::clone(self) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Permits are moved in one step, whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn n_free(&self) -> usize {
        self.free.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Takes what is missing off the budget, if it is there and nobody waits for it.
    fn top_up(&mut self, n_bytes: usize) {
        let Ok(missing) = u32::try_from(n_bytes.saturating_sub(self.n_free())) else { return };
        let Some(free) = self.free.as_mut().filter(|_| missing > 0) else { return };
        if let Ok(more) = Arc::clone(free.semaphore()).try_acquire_many_owned(missing) {
            free.merge(more);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.from.state();
        state.n_out -= 1;
        if let (Some(free), Some(held)) = (&mut state.free, self.held.take()) {
            free.merge(held);
        }
        self.from.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;

    fn pool(budget: &Arc<Semaphore>, n_bytes: u32) -> Arc<Pool> {
        Pool::new(Arc::clone(budget).try_acquire_many_owned(n_bytes).unwrap())
    }

    #[test]
    fn shares_of_one_pool_go_back_to_it_and_to_the_budget_after_the_last() {
        let budget = Arc::new(Semaphore::new(100));
        let pool = pool(&budget, 60);
        let first = pool.take(40);
        assert_eq!(budget.available_permits(), 40);
        let second = pool.take(50);
        assert_eq!(budget.available_permits(), 10, "30 were missing, and there");
        drop(first);
        assert_eq!(budget.available_permits(), 10, "the pool keeps what comes back");
        let last = pool.take_last(15);
        assert_eq!(budget.available_permits(), 35);
        drop((second, last));
        assert_eq!(budget.available_permits(), 100);
    }

    #[test]
    fn a_share_waits_for_those_before_it_and_for_nobody_else() {
        let budget = Arc::new(Semaphore::new(100));
        let (pool, behind) = (pool(&budget, 40), pool(&budget, 60));
        let first = pool.take(30);
        let (taking, taken) = (Arc::clone(&pool), Arc::new(Mutex::new(None)));
        let taker = {
            let taken = Arc::clone(&taken);
            std::thread::spawn(move || *taken.lock().unwrap() = Some(taking.take(30)))
        };
        std::thread::sleep(Duration::from_millis(50));
        assert!(taken.lock().unwrap().is_none(), "10 of 30 are there");
        drop(first);
        taker.join().unwrap();
        assert!(taken.lock().unwrap().is_some());
        drop(behind);
    }

    #[test]
    fn one_that_is_larger_than_the_pool_goes_alone() {
        let budget = Arc::new(Semaphore::new(50));
        let pool = pool(&budget, 50);
        let giant = pool.take(1000);
        assert_eq!(giant.held.as_ref().unwrap().num_permits(), 50);
        drop(giant);
        drop(pool.take_last(1000));
        assert_eq!(budget.available_permits(), 50);
    }
}
