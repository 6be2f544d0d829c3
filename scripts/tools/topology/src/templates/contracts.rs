// <generated>

use contract::document::Contract;

type Named = (&'static str, fn() -> Contract);

/// Each service with its contract.
#[rustfmt::skip] // one service a line, however short the list
pub(crate) const CONTRACTS: &[Named] = &[
<contracts>
];
