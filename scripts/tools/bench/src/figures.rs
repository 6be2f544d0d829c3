//! What several rounds gave, as one figure.

use std::fmt;

use serde::Serialize;

/// The median of some values, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None`: there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, max } = *self;
        f.pad(&if min == max { short(median) } else { format!("{} ({} to {})", short(median), short(min), short(max)) })
    }
}

/// `value` with about three digits, and all of those before the point.
pub(crate) fn short(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_lies_between_the_two_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 20.0]), Some(Spread { median: 3.0, min: 1.0, max: 20.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_figure_is_written_with_what_it_is_worth() {
        assert_eq!(Spread::of([12_345.67, 9.876, 98.76]).unwrap().to_string(), "98.8 (9.88 to 12346)");
        assert_eq!(Spread::of([0.0]).unwrap().to_string(), "0");
    }
}
