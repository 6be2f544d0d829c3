//! The settings of this service alone.

/// How long orders wait.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Settings {
    /// How many seconds an order may wait to be paid before it is cancelled.
    #[arg(long, env = "PAYMENT_TIMEOUT_S", value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) payment_timeout_s: u32,
}
