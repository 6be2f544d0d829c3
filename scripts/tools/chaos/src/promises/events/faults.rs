//! The faults of a run, chosen by its seed.

use std::time::Duration;

/// A side of the way of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Orders,
    Products,
}

/// What happens to the broker, or to the way there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is killed.
    Kill,
    /// It is stopped for a while, and keeps its connections.
    Freeze,
    /// Nothing goes through to it from the services of one side.
    BlackHole(Side),
    /// It is low on disk, and takes nothing that is published.
    Disk,
    /// It is low on memory, which is the same by another way.
    Memory,
    /// The queue is deleted while it is empty.
    DeleteQueue,
}

/// A fault, and the instance of a service that is killed meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) fault: Fault,
    /// For how long it lasts, if it can end by itself.
    pub(super) duration: Duration,
    /// Killed before the fault, and started again.
    pub(super) before: (Side, usize),
    /// Killed during the fault, or while the services recover from it, and started again.
    pub(super) during: Option<(Side, usize)>,
}

const ALL: [Fault; 7] = [
    Fault::Kill,
    Fault::Freeze,
    Fault::BlackHole(Side::Orders),
    Fault::BlackHole(Side::Products),
    Fault::Disk,
    Fault::Memory,
    Fault::DeleteQueue,
];

/// All faults in `rounds` random orders, dealt out to `hands`.
pub(super) fn deal(rounds: usize, longest: Duration, hands: usize, random: &mut fastrand::Rng) -> Vec<Vec<Step>> {
    let mut dealt = vec![Vec::new(); hands];
    for round in 0..rounds {
        let mut faults = ALL;
        random.shuffle(&mut faults);
        for (at, fault) in faults.into_iter().enumerate() {
            // More than the time limits of a client of the broker, of two seconds.
            let duration = random.u128(2500..longest.as_millis()) as u64;
            let before = victim(random);
            let during = random.bool().then(|| victim(random));
            let step = Step { fault, duration: Duration::from_millis(duration), before, during };
            dealt[(round + at) % hands].push(step);
        }
    }
    dealt
}

fn victim(random: &mut fastrand::Rng) -> (Side, usize) {
    (if random.bool() { Side::Orders } else { Side::Products }, random.usize(0..2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_happens_in_every_round() {
        let mut random = fastrand::Rng::with_seed(1);
        let dealt = deal(3, Duration::from_secs(4), 2, &mut random);
        assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), [11, 10]);
        for fault in ALL {
            let times = dealt.iter().flatten().filter(|step| step.fault == fault).count();
            assert_eq!(times, 3, "{fault:?}");
        }
    }
}
