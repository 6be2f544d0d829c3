//! The address of a service's database.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::postgres_url;

/// The value of `DATABASE_URL`. `Display` and `Debug` leave out the password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// `sqlite:PATH`, the path absolute or relative to the working directory.
    Sqlite(PathBuf),
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with some of libpq's URL parameters, such as `sslmode`.
    Postgres(Box<PgConnectOptions>),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE";
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(':') || path.contains('?') {
                return Err(format!("{expected}; SQLite takes the path of a file and no parameters"));
            }
            return Ok(Self::Sqlite(path.into()));
        }
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        match rest {
            Some(rest) => Ok(Self::Postgres(Box::new(postgres_url::parse(text, rest)?))),
            None => Err(expected.to_owned()),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(options) => {
                let (user, host, port) = (options.get_username(), options.get_host(), options.get_port());
                let database = options.get_database().unwrap_or(user);
                match postgres_url::socket_directory(options) {
                    Some(directory) => write!(f, "postgres://{user}@/{database}?host={}", directory.display()),
                    None if host.contains(':') => write!(f, "postgres://{user}@[{host}]:{port}/{database}"),
                    None => write!(f, "postgres://{user}@{host}:{port}/{database}"),
                }
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::DatabaseUrl;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://app:secret@host/orders", "postgres://app@host:5432/orders"),
            ("postgresql://app:secret@[::1]:5433/orders", "postgres://app@[::1]:5433/orders"),
            ("postgres:///orders?user=app&host=/run/postgresql", "postgres://app@/orders?host=/run/postgresql"),
        ] {
            assert_eq!(url.parse::<DatabaseUrl>().unwrap().to_string(), shown);
        }
    }
}
