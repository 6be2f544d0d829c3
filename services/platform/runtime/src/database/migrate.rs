//! Schema migrations, run when a service opens its database.

use std::borrow::Cow;

use anyhow::{Result, anyhow};
use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, MigrationType};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::start_wait::StartWait;

/// The table of the steps that a database has. sqlx made it for the first release.
const TABLE: &str = "_sqlx_migrations";

/// What the start waits for when it takes long.
const LOCK: &str = "the advisory lock of migrations: another process holds it, or the connection is dead";
const MIGRATIONS_TABLE: &str = "the table _sqlx_migrations: another session has locked it, or the connection is dead";

/// Error codes of PostgreSQL: `insufficient_privilege`; `invalid_schema_name`, for a role that may not use any schema.
const MISSING_RIGHT: [&str; 2] = ["42501", "3F000"];

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
    /// The steps by ascending version.
    fn in_order(&self, dialect: Dialect) -> Vec<sqlx::migrate::Migration> {
        let step = |step: &Migration| {
            let sql = AssertSqlSafe(in_dialect(step.sql, dialect)).into_sql_str();
            let name = Cow::Owned(step.name.replace('_', " "));
            sqlx::migrate::Migration::new(step.version, name, MigrationType::Simple, sql, false)
        };
        let mut steps: Vec<_> = self.steps.iter().map(step).collect();
        steps.sort_by_key(|step| step.version);
        steps
    }

    /// `error` as one line that names the likely cause.
    fn explain(&self, error: &MigrateError) -> anyhow::Error {
        let name = self.service_name;
        match error {
            MigrateError::VersionMismatch(_) => {
                anyhow!("it does not hold the schema of {name}, but that of another service or release ({error})")
            }
            MigrateError::Execute(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| MISSING_RIGHT.contains(&&*code)) =>
            {
                anyhow!(
                    "its schema cannot be brought up to date: {}; the role needs the rights of the database's owner, or at \
                     least USAGE and CREATE on the schema public",
                    error.message()
                )
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

/// Runs the migrations that the database of `connection` lacks. They may take as long as they need; everything else ends
/// by the limit of `wait`.
///
/// Not sqlx's `Migrator`, whose waits for locks have no limit and are not logged.
pub(super) async fn run<C: Migrate + Send>(
    migrations: &Migrations<'_>,
    dialect: Dialect,
    connection: &mut C,
    wait: &StartWait,
) -> Result<()> {
    let explain = |error| migrations.explain(&error);
    wait.limited(LOCK, async { connection.lock().await.map_err(explain) }).await?;
    let applied = wait.limited(MIGRATIONS_TABLE, async { applied(connection).await.map_err(explain) }).await?;
    // The database may have steps of a newer release. They only add, or drop an index, so that this release still works
    // during a rolling upgrade.
    for step in migrations.in_order(dialect) {
        match applied.iter().find(|applied| applied.version == step.version) {
            Some(applied) if applied.checksum != step.checksum => {
                return Err(explain(MigrateError::VersionMismatch(step.version)));
            }
            Some(_) => {}
            None => {
                let what = format!("migration {} ({})", step.version, step.description);
                wait.logged(&what, connection.apply(TABLE, &step)).await.map_err(explain)?;
            }
        }
    }
    wait.limited(LOCK, async { connection.unlock().await.map_err(explain) }).await
}

/// The steps that the database has already.
async fn applied<C: Migrate>(connection: &mut C) -> Result<Vec<AppliedMigration>, MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    match connection.dirty_version(TABLE).await? {
        Some(version) => Err(MigrateError::Dirty(version)),
        None => connection.list_applied_migrations(TABLE).await,
    }
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
