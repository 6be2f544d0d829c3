// <generated>

use contract::document::Contract;

/// Each service with its contract.
pub(crate) const CONTRACTS: &[(&str, fn() -> Contract)] = &[
<contracts>
];
