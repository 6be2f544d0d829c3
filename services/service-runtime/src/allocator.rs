//! The allocator of a service's process.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// A request makes some hundred allocations; glibc's allocator takes a sixth of its time for them.
// A test of this crate links it a second time, by service-testing.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, in milliseconds, by its place in the header of mimalloc 3.
const PURGE_DELAY: mi_option_t = 15;

const AT_ONCE: c_long = 0;

/// Has memory that becomes free given back to the system at once, unless `MIMALLOC_PURGE_DELAY` says otherwise. In the second
/// that mimalloc would wait, what one thread has freed gathers beside what another takes anew.
///
/// To be called before there are other threads.
#[allow(unsafe_code, reason = "nothing safe but the environment reaches an option of mimalloc")]
pub(crate) fn give_back_at_once() {
    // SAFETY: mimalloc checks the option's number and stores a value, which nobody reads meanwhile.
    unsafe { mi_option_set_default(PURGE_DELAY, AT_ONCE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code, reason = "as above")]
    fn it_is_the_delay_that_is_set() {
        // SAFETY: it reads a value.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000, "what no other option is by default");
        give_back_at_once();
        assert_eq!(delay(), AT_ONCE);
    }
}
