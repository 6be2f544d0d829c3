//! The services of the command line. `generated/services.rs` lists them with [`services!`].

/// A service and the options that set its base URL.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// The option for its base URL.
    pub(crate) option: &'static str,
    /// The environment variable for its base URL.
    pub(crate) variable: &'static str,
    pub(crate) default_url: &'static str,
}

/// Defines `SERVICES` and `Operation`, an operation of one of them. A line is: variant, module of the commands, crate of the
/// client, then the fields of [`Service`].
macro_rules! services {
    ($($variant:ident $module:ident $client:ident $name:literal $option:literal $variable:literal $url:literal,)*) => {
        /// Every service.
        pub(crate) const SERVICES: &[$crate::service::Service] = &[
            $($crate::service::Service { name: $name, option: $option, variable: $variable, default_url: $url },)*
        ];

        /// An operation of one of the services.
        #[derive(Clone, Copy)]
        #[allow(clippy::enum_variant_names, reason = "a variant is named after its service")]
        pub(crate) enum Operation {
            $($variant($module::CliCommand),)*
        }

        impl Operation {
            /// Every operation of every service.
            pub(crate) fn all() -> impl Iterator<Item = Self> {
                std::iter::empty()$(.chain($module::CliCommand::iter().map(Self::$variant)))*
            }

            /// The name of the operation's service.
            pub(crate) fn service(self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// The command's position in the tree.
            pub(crate) fn entry(self) -> $crate::entry::Entry {
                match self {
                    $(Self::$variant(command) => command.entry(),)*
                }
            }

            /// The command as progenitor defines it.
            pub(crate) fn definition(self) -> clap::Command {
                match self {
                    $(Self::$variant(command) => {
                        $module::Cli::<&$crate::output::Printer<'_>>::get_command(command)
                    })*
                }
            }

            /// Calls the operation of the service at `url` and prints its answer.
            pub(crate) async fn execute(
                self,
                url: &str,
                http: reqwest::Client,
                printer: &$crate::output::Printer<'_>,
                matches: &clap::ArgMatches,
            ) -> anyhow::Result<()> {
                match self {
                    $(Self::$variant(command) => {
                        let client = $client::Client::new_with_client(url, http, client_policy::Policy::none());
                        $module::Cli::new(client, printer).execute(command, matches).await
                    })*
                }
            }
        }

        // progenitor generates a trait for each service.
        $(impl $module::CliConfig for &$crate::output::Printer<'_> {
            fn success_item<T: serde::Serialize>(&self, value: &progenitor_client::ResponseValue<T>) {
                self.item(&**value);
            }

            fn success_no_item(&self, _: &progenitor_client::ResponseValue<()>) {}

            fn error<T: serde::Serialize>(&self, error: &progenitor_client::Error<T>) {
                $crate::output::Printer::error(self, error);
            }

            fn list_start<T>(&self) {}

            fn list_item<T: serde::Serialize>(&self, value: &T) {
                self.item(value);
            }

            fn list_end_success<T>(&self) {}

            fn list_end_error<T: serde::Serialize>(&self, error: &progenitor_client::Error<T>) {
                $crate::output::Printer::error(self, error);
            }
        })*
    };
}

pub(crate) use services;
