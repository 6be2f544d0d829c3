// <generated>

use contract::document::Contract;

/// Each service with its contract.
#[rustfmt::skip] // one service a line, however short the list
pub(crate) const CONTRACTS: &[(&str, fn() -> Contract)] = &[
<contracts>
];
