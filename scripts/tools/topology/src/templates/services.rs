// <generated>

/// Every service, each after the services that it calls.
#[rustfmt::skip] // one service a line, however short the list
pub(crate) const SERVICES: &[service_runtime::Service] = &[
<services>
];
