use super::*;

fn seconds(number: f64) -> Duration {
    Duration::from_secs_f64(number)
}

/// A breaker and the time of its creation.
fn closed() -> (Breaker, Instant) {
    let start = Instant::now();
    (Breaker::new(start), start)
}

fn attempt(breaker: &Breaker, succeeded: bool, now: Instant) -> Option<Circuit> {
    let permit = breaker.admit(now).expect("admitted");
    breaker.record(permit, succeeded, now)
}

/// An open breaker and the time at which it opened.
fn open() -> (Breaker, Instant) {
    let (breaker, start) = closed();
    for _ in 1..MAX_CONSECUTIVE_FAILURES {
        assert_eq!(attempt(&breaker, false, start), None);
    }
    assert_eq!(attempt(&breaker, false, start), Some(Circuit::Open));
    (breaker, start)
}

#[test]
fn ten_consecutive_failures_open_it_however_far_apart() {
    let (breaker, start) = closed();
    for number in 1..10 {
        assert_eq!(attempt(&breaker, false, start + seconds(60.0) * number), None);
    }
    assert_eq!(attempt(&breaker, false, start + seconds(60.0) * 10), Some(Circuit::Open));
    assert_eq!(breaker.circuit(), Circuit::Open);
}

#[test]
fn a_success_resets_the_consecutive_failures() {
    let (breaker, start) = closed();
    for number in 0..100 {
        // More than half succeed, so only consecutive failures could open it.
        let now = start + seconds(60.0) * number;
        assert_eq!(attempt(&breaker, number % 10 == 0, now), None, "{number}");
    }
}

#[test]
fn half_of_at_least_twenty_attempts_within_ten_seconds_open_it() {
    let (breaker, start) = closed();
    for _ in 0..9 {
        assert_eq!(attempt(&breaker, false, start), None);
        assert_eq!(attempt(&breaker, true, start), None);
    }
    // More than half of nineteen.
    assert_eq!(attempt(&breaker, false, start), None);
    assert_eq!(attempt(&breaker, false, start + seconds(9.9)), Some(Circuit::Open));
}

#[test]
fn less_than_half_does_not_open_it() {
    let (breaker, start) = closed();
    for number in 0..1000 {
        let now = start + seconds(0.01) * number;
        // Two of five fail.
        assert_eq!(attempt(&breaker, number % 5 > 1, now), None, "{number}");
    }
}

#[test]
fn a_successful_probe_closes_it_and_clears_its_history() {
    let (breaker, opened) = open();
    let now = opened + seconds(1.0);
    assert_eq!(attempt(&breaker, true, now), Some(Circuit::Closed));
    assert_eq!(breaker.circuit(), Circuit::Closed);
    for _ in 1..MAX_CONSECUTIVE_FAILURES {
        assert_eq!(attempt(&breaker, false, now), None);
    }
    assert_eq!(attempt(&breaker, false, now), Some(Circuit::Open));
}

#[test]
fn an_inconclusive_probe_is_soon_followed_by_another() {
    let (breaker, opened) = open();
    assert!(breaker.admit(opened + seconds(0.99)).is_none());
    let probe = breaker.admit(opened + seconds(1.0)).unwrap();
    breaker.forget(probe, opened + seconds(1.1));
    assert!(breaker.admit(opened + seconds(1.14)).is_none());
    assert!(breaker.admit(opened + seconds(1.15)).is_some());
    assert!(breaker.admit(opened + seconds(2.14)).is_none(), "one a second again");
}

#[test]
fn attempts_from_before_a_transition_do_not_count() {
    let (breaker, start) = closed();
    let early = breaker.admit(start).expect("admitted");
    let late = breaker.admit(start).expect("admitted");
    for _ in 0..MAX_CONSECUTIVE_FAILURES {
        attempt(&breaker, false, start);
    }
    assert_eq!(breaker.record(early, true, start), None);
    assert_eq!(breaker.circuit(), Circuit::Open);
    let (first, second) = (breaker.admit(start + seconds(1.0)), breaker.admit(start + seconds(2.0)));
    assert_eq!(breaker.record(first.expect("a probe"), true, start + seconds(2.5)), Some(Circuit::Closed));
    assert_eq!(breaker.record(second.expect("another"), true, start + seconds(2.5)), None);
    assert_eq!(breaker.record(late, false, start + seconds(2.5)), None);
    assert_eq!(breaker.circuit(), Circuit::Closed);
}
