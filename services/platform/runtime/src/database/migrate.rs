//! Schema migrations, run when a service opens its database.

use std::borrow::Cow;

use anyhow::{Result, anyhow};
use sqlx::migrate::{Migrate, MigrateError, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

/// The migrations of one service.
#[derive(Clone, Copy, Debug)]
pub struct Migrations<'a> {
    /// The service they belong to.
    pub service_name: &'static str,
    /// The steps. They run by ascending version, whatever their order here.
    pub steps: &'a [Migration],
}

/// One step of a schema. Its version and SQL never change after a release: databases record a checksum of the SQL.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Unique among the steps of the service.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// The SQL for both databases. A line that ends with `-- postgres` or `-- sqlite` is for that one only.
    pub sql: &'static str,
}

/// Which lines of a migration apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
}

impl Migration {
    /// The step in a file of this name, four digits, `_` and words, without `.sql`; for [`migrations!`](crate::migrations).
    ///
    /// # Panics
    ///
    /// The name does not start with four digits: when a constant is made of it, at compile time.
    pub const fn new(file_name: &'static str, sql: &'static str) -> Self {
        let digits = file_name.as_bytes();
        let (mut version, mut index) = (0, 0);
        while index < 4 {
            assert!(digits[index].is_ascii_digit(), "a migration's file name starts with four digits");
            version = version * 10 + (digits[index] - b'0') as i64;
            index += 1;
        }
        assert!(digits[4] == b'_', "the version in a migration's file name is followed by an underscore");
        let (_, name) = file_name.split_at(5);
        Self { version, name, sql }
    }
}

impl Migrations<'_> {
    fn migrator(&self, dialect: Dialect) -> Migrator {
        let step = |step: &Migration| {
            let sql = AssertSqlSafe(in_dialect(step.sql, dialect)).into_sql_str();
            sqlx::migrate::Migration::new(
                step.version,
                Cow::Owned(step.name.replace('_', " ")),
                MigrationType::Simple,
                sql,
                false,
            )
        };
        let mut migrator = Migrator::with_migrations(self.steps.iter().map(step).collect());
        // The database may have steps of a newer release. They only add, or drop an index, so that this release still
        // works during a rolling upgrade.
        migrator.set_ignore_missing(true);
        migrator
    }

    /// `error` as one line that names the likely cause.
    fn explain(&self, error: &MigrateError) -> anyhow::Error {
        let name = self.service_name;
        match error {
            MigrateError::VersionMismatch(_) => {
                anyhow!("it does not hold the schema of {name}, but that of another service or release ({error})")
            }
            _ => anyhow!("its schema cannot be brought up to date: {error}"),
        }
    }
}

/// `sql` without the lines for the other database.
fn in_dialect(sql: &str, dialect: Dialect) -> String {
    let marker = match dialect {
        Dialect::Postgres => "-- sqlite",
        Dialect::Sqlite => "-- postgres",
    };
    let applies = |line: &&str| !line.trim_end().ends_with(marker);
    sql.lines().filter(applies).map(|line| format!("{line}\n")).collect()
}

/// Runs the migrations that the database of `connection` lacks.
pub(super) async fn run<C: Migrate>(migrations: &Migrations<'_>, dialect: Dialect, connection: &mut C) -> Result<()> {
    // Not `Migrator::run`: it takes an `Acquire`, whose lifetimes make the future not `Send`.
    let result = migrations.migrator(dialect).run_direct(None, connection, false).await;
    result.map_err(|error| migrations.explain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_the_version_and_name_of_its_file() {
        let step = Migration::new("0012_create_some_items", "");
        assert_eq!((step.version, step.name), (12, "create_some_items"));
    }

    #[test]
    fn a_marked_line_is_for_one_database_only() {
        let sql = "CREATE TABLE t (\n  id BIGINT, -- postgres\n  id INTEGER, -- sqlite\n  name TEXT\n);\n";
        assert_eq!(in_dialect(sql, Dialect::Postgres), "CREATE TABLE t (\n  id BIGINT, -- postgres\n  name TEXT\n);\n");
        assert_eq!(in_dialect(sql, Dialect::Sqlite), "CREATE TABLE t (\n  id INTEGER, -- sqlite\n  name TEXT\n);\n");
    }
}
