//! Bringing a service's schema up to date.

use std::borrow::Cow;

use anyhow::{Result, anyhow};
use sqlx::migrate::{Migrate, MigrateError, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

/// The migrations of one service, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// The service they belong to.
    pub service_name: &'static str,
    /// The steps, each from `migrations/<service>/`.
    pub steps: &'static [Migration],
}

/// One step of a schema. Once released it is never edited.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place in the order.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// The SQL, for both databases. A line that ends with `-- postgres` or `-- sqlite` is for that one alone.
    pub sql: &'static str,
}

/// The database whose dialect a migration is wanted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
}

impl Migrations {
    fn migrator(&self, dialect: Dialect) -> Migrator {
        let step = |step: &Migration| {
            let sql = AssertSqlSafe(in_dialect(step.sql, dialect)).into_sql_str();
            sqlx::migrate::Migration::new(step.version, Cow::Borrowed(step.name), MigrationType::Simple, sql, false)
        };
        let mut migrator = Migrator::with_migrations(self.steps.iter().map(step).collect());
        // A newer release may have gone on: its steps only add, or drop an index, so that this one runs beside it while it is
        // replaced.
        migrator.set_ignore_missing(true);
        migrator
    }

    /// `error` in one line that says what to look at.
    fn explain(&self, error: &MigrateError) -> anyhow::Error {
        let name = self.service_name;
        match error {
            MigrateError::VersionMismatch(_) => {
                anyhow!("it does not hold the schema of {name}, but of another service or of another release ({error})")
            }
            _ => anyhow!("its schema cannot be brought up to date: {error}"),
        }
    }
}

fn in_dialect(sql: &str, dialect: Dialect) -> String {
    let unwanted = match dialect {
        Dialect::Postgres => "-- sqlite",
        Dialect::Sqlite => "-- postgres",
    };
    let wanted = |line: &&str| !line.trim_end().ends_with(unwanted);
    sql.lines().filter(wanted).map(|line| format!("{line}\n")).collect()
}

/// Brings the schema that `connection` leads to up to date.
pub(super) async fn run<C: Migrate>(migrations: &Migrations, dialect: Dialect, connection: &mut C) -> Result<()> {
    // `Migrator::run` takes an `Acquire`, whose lifetimes keep the future from being `Send`.
    let result = migrations.migrator(dialect).run_direct(None, connection, false).await;
    result.map_err(|error| migrations.explain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_line_is_for_one_database_alone() {
        let sql = "CREATE TABLE t (\n  id BIGINT, -- postgres\n  id INTEGER, -- sqlite\n  name TEXT\n);\n";
        assert_eq!(in_dialect(sql, Dialect::Postgres), "CREATE TABLE t (\n  id BIGINT, -- postgres\n  name TEXT\n);\n");
        assert_eq!(in_dialect(sql, Dialect::Sqlite), "CREATE TABLE t (\n  id INTEGER, -- sqlite\n  name TEXT\n);\n");
    }
}
