//! Reading the URL of a PostgreSQL database, strictly: sqlx ignores parameters and variables that it does not know or
//! understand, and would for instance connect without the encryption that a misspelt parameter asks for.

use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;

const EXPECTED: &str = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE";
const ENCODE: &str = "special characters of a name or password must be percent-encoded (`@` is %40, `:` %3A, `/` %2F, \
                      `?` %3F, `#` %23, `%` %25); PGPASSWORD takes a password as it is";

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
/// The parameters, beside `options[NAME]`.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];
/// The variables that name a file.
const SSL_FILES: [&str; 3] = ["PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY"];
/// Other variables of libpq that ask for more security than sqlx gives.
const UNSUPPORTED: [&str; 3] = ["PGCHANNELBINDING", "PGREQUIREAUTH", "PGREQUIRESSL"];

/// Reads `text`, whose part after the scheme is `rest`, and libpq's variables.
///
/// # Errors
///
/// What is wrong, without any part that may belong to a password.
pub(super) fn parse(text: &str, rest: &str) -> Result<PgConnectOptions, String> {
    check(rest)?;
    let variables =
        std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    for (name, value) in variables {
        check_variable(&name, &value)?;
    }
    let options: PgConnectOptions = text.parse().map_err(|_| {
        format!("{EXPECTED}; the parameters port and statement-cache-capacity are numbers, hostaddr is an IP address")
    })?;
    if options.get_host().is_empty() || options.get_username().is_empty() || options.get_database() == Some("") {
        return Err(
            "PGHOST, PGHOSTADDR, PGUSER and PGDATABASE must not be empty if the URL does not replace them".into()
        );
    }
    // sqlx would look up the address with its brackets as a name.
    let address = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    Ok(match address {
        Some(address) => options.host(&address),
        None => options,
    })
}

/// The directory of the socket that `options` connect to; `None` if they connect to a host.
pub(super) fn socket_directory(options: &PgConnectOptions) -> Option<PathBuf> {
    let host = options.get_host();
    options.get_socket().cloned().or_else(|| host.starts_with('/').then(|| PathBuf::from(host)))
}

/// Checks what `Url` and sqlx accept: parts of a password that is not encoded, and unknown parameters.
fn check(rest: &str) -> Result<(), String> {
    if rest.contains('#') {
        return Err(format!("`#` ends a URL: {ENCODE}"));
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    check_port(authority)?;
    if path.strip_prefix('/').unwrap_or(path).contains(['/', '@']) {
        return Err(format!("the name of the database contains `/` or `@`: {ENCODE}"));
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        check_parameter(name, value, query.contains('@'))?;
    }
    Ok(())
}

fn check_port(authority: &str) -> Result<(), String> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = match host.rsplit_once(']') {
        Some((_, after)) => after.strip_prefix(':'),
        None => host.rsplit_once(':').map(|(_, port)| port),
    };
    match port {
        Some(port) if !port.parse().is_ok_and(|port: u16| port > 0) => {
            Err(format!("the port is not a number from 1 to 65535: {EXPECTED}; {ENCODE}"))
        }
        _ => Ok(()),
    }
}

fn check_parameter(name: &str, value: &str, may_be_password: bool) -> Result<(), String> {
    let name = name.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]");
    match name.as_str() {
        "sslmode" | "ssl-mode" => check_ssl_mode(&name, value),
        known if PARAMETERS.contains(&known) => Ok(()),
        option if option.starts_with("options[") && option.ends_with(']') => Ok(()),
        _ if may_be_password => Err(format!("the text after `?` is not a list of parameters: {ENCODE}")),
        unknown => {
            Err(format!("the parameter {unknown} is not supported; {} are, and options[NAME]", PARAMETERS.join(", ")))
        }
    }
}

fn check_ssl_mode(name: &str, value: &str) -> Result<(), String> {
    if SSL_MODES.contains(&value.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(format!("{name} is \"{value}\": expected one of {}", SSL_MODES.join(", ")))
}

/// Checks one variable of the environment. An empty one counts as unset, but sqlx opens a file without a name.
fn check_variable(name: &str, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return if SSL_FILES.contains(&name) { Err(format!("the variable {name} is empty: unset it")) } else { Ok(()) };
    }
    let expected = match name {
        "PGSSLMODE" => return check_ssl_mode(name, value),
        "PGPORT" if !value.parse().is_ok_and(|port: u16| port > 0) => "a number from 1 to 65535",
        "PGHOSTADDR" if value.parse::<std::net::IpAddr>().is_err() => "an IP address",
        file if SSL_FILES.contains(&file) => return Ok(()),
        other if other.starts_with("PGSSL") || UNSUPPORTED.contains(&other) => {
            return Err(format!("the variable {other} is not supported; PGSSLMODE, {} are", SSL_FILES.join(", ")));
        }
        _ => return Ok(()),
    };
    Err(format!("the variable {name} is \"{value}\": expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<PgConnectOptions, String> {
        parse(url, url.strip_prefix("postgres://").unwrap())
    }

    #[test]
    fn an_unknown_parameter_or_value_is_named() {
        for (query, expected) in [
            ("ssl_mode=verify-full", "the parameter ssl_mode is not supported; sslmode, "),
            ("SSLMode=require", "the parameter SSLMode is not supported"),
            ("channel_binding=require", "the parameter channel_binding is not supported"),
            ("options[x=1", "the parameter options[x is not supported"),
            ("sslmode=verify_full", "sslmode is \"verify_full\": expected one of disable, "),
            ("sslmode", "sslmode is \"\": expected one of disable, "),
            ("port=x", "the parameters port and"),
            ("hostaddr=localhost", "hostaddr is an IP address"),
        ] {
            let error = parsed(&format!("postgres://app@host/orders?{query}")).unwrap_err();
            assert!(error.contains(expected), "{query}: {error}");
        }
    }

    #[test]
    fn every_supported_parameter_is_accepted() {
        for query in [
            "sslmode=Verify-Full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem&application_name=x",
            "ssl-mode=disable&ssl-root-cert=/ca.pem&ssl-ca=/ca.pem&ssl-cert=/c.pem&ssl-key=/k.pem",
            "host=/run/postgresql&port=5433&user=me@server&password=p&dbname=d&statement-cache-capacity=1",
            "hostaddr=::1&options=-c%20x%3Dy&options[statement_timeout]=0&options%5Block_timeout%5D=0",
        ] {
            parsed(&format!("postgres://host/orders?{query}")).unwrap();
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_explained_and_kept() {
        for url in [
            "app:se#cret@host/db",
            "app:12#cret@host/db",
            "app:se/cret@host/db",
            "app:12/cret@host/db",
            "app:se?cret@host/db",
            "app:12?cret@host/db",
            "app:12?cret=1@host/db",
            "app:s@e/cret@host/db",
            "app:s@e?cret@host/db",
            "app:cret/db",
        ] {
            let error = parsed(&format!("postgres://{url}")).unwrap_err();
            assert!(error.contains("must be percent-encoded") && error.contains("PGPASSWORD"), "{url}: {error}");
            assert!(!error.contains("cret"), "{url}: {error}");
        }
        parsed("postgres://app:%23%2F%3F%40@host/db").unwrap();
    }

    #[test]
    fn an_ipv6_address_is_the_host_without_its_brackets() {
        for (url, port) in [("postgres://app:pw@[::1]:5433/orders", 5433), ("postgres://[::1]/orders", 5432)] {
            let options = parsed(url).unwrap();
            assert_eq!((options.get_host(), options.get_port()), ("::1", port), "{url}");
        }
    }

    #[test]
    fn a_variable_that_would_be_ignored_is_named() {
        for (name, value, expected) in [
            ("PGSSLMODE", "verify_full", "PGSSLMODE is \"verify_full\": expected one of disable, "),
            ("PGSSL_MODE", "verify-full", "the variable PGSSL_MODE is not supported; PGSSLMODE, "),
            ("PGSSLCRL", "/crl.pem", "the variable PGSSLCRL is not supported"),
            ("PGCHANNELBINDING", "require", "the variable PGCHANNELBINDING is not supported"),
            ("PGPORT", "0", "the variable PGPORT is \"0\": expected a number from 1 to 65535"),
            ("PGHOSTADDR", "localhost", "the variable PGHOSTADDR is \"localhost\": expected an IP address"),
        ] {
            let error = check_variable(name, value).unwrap_err();
            assert!(error.starts_with(expected), "{name}: {error}");
        }
        for (name, value) in [
            ("PGSSLMODE", "require"),
            ("PGSSLROOTCERT", "/ca.pem"),
            ("PGPORT", "5433"),
            ("PGHOSTADDR", "::1"),
            ("PGDATA", "x"),
            ("PGPASSWORD", "#"),
        ] {
            assert_eq!(check_variable(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn an_empty_variable_is_ignored_unless_it_names_a_file() {
        for name in ["PGSSLMODE", "PGSSL_MODE", "PGSSLCRL", "PGCHANNELBINDING", "PGPORT", "PGHOSTADDR", "PGPASSWORD"] {
            assert_eq!(check_variable(name, ""), Ok(()), "{name}");
        }
        for name in SSL_FILES {
            assert_eq!(check_variable(name, "").unwrap_err(), format!("the variable {name} is empty: unset it"));
        }
    }
}
