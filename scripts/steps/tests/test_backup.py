import io
import sqlite3
import tempfile
import threading
import unittest
from contextlib import closing, redirect_stderr, suppress
from pathlib import Path

from backup import PostgresDatabase, main


class Files(unittest.TestCase):
    """Backups of a SQLite file. scripts/test-backup tests both databases under load."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        # A name in which a URL needs escapes.
        self.database = self.folder / "a b?#%.db"
        self.backup = self.folder / "backup"
        connection = self.connect(self.database)
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE items (id INTEGER)")
        connection.execute("INSERT INTO items VALUES (7)")
        connection.commit()

    def connect(self, path):
        connection = sqlite3.connect(path)
        self.addCleanup(connection.close)
        return connection

    def items(self, path):
        return [row for row, in self.connect(path).execute("SELECT id FROM items")]

    def run_command(self, *arguments):
        with redirect_stderr(io.StringIO()) as errors:
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as exit:
                code = exit.code
        return code, errors.getvalue()

    def back_up(self):
        self.assertEqual(self.run_command("backup", f"sqlite:{self.database}", self.backup), (0, ""))

    def test_an_open_transaction_is_not_in_the_backup_and_does_not_delay_it(self):
        writer = self.connect(self.database)
        writer.execute("INSERT INTO items VALUES (8)")
        self.back_up()
        writer.commit()
        restored = self.folder / "restored.db"
        self.assertEqual(self.run_command("restore", self.backup, f"sqlite://{restored}"), (0, ""))
        self.assertEqual((self.items(restored), self.items(self.database)), ([7], [7, 8]))
        self.assertEqual([self.backup.stat().st_mode & 0o77, restored.stat().st_mode & 0o77], [0, 0])

    def test_a_backup_does_not_begin_again_with_a_write(self):
        # More than SQLite keeps in memory: the copy is written in several parts.
        numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)"
        self.connect(self.database).execute(f"CREATE TABLE ballast AS {numbers} SELECT randomblob(1000000) FROM n")
        ended = threading.Event()
        writer = threading.Thread(target=self.write_during_backup, args=[ended])
        writer.start()
        self.back_up()
        ended.set()
        writer.join()
        self.assertEqual((self.items(self.backup), self.items(self.database)), ([7], [7, 8]))

    def write_during_backup(self, ended):
        """Inserts an item once a part of the backup is written."""
        partial = self.folder / "backup.partial"
        while not ended.is_set():
            with suppress(FileNotFoundError):
                if partial.stat().st_size:
                    break
        with closing(sqlite3.connect(self.database, timeout=60)) as connection:
            connection.execute("INSERT INTO items VALUES (8)")
            connection.commit()

    def test_nothing_is_overwritten(self):
        self.back_up()
        before = self.backup.read_bytes()
        code, errors = self.run_command("backup", f"sqlite:{self.database}", self.backup)
        self.assertEqual((code, self.backup.read_bytes()), (1, before))
        self.assertIn("exists already", errors)
        code, errors = self.run_command("restore", self.backup, f"sqlite:{self.database}")
        self.assertEqual((code, self.items(self.database)), (1, [7]))
        self.assertIn("exists", errors)
        # A log that is left of another file would be applied to the restored one.
        (self.folder / "new.db-wal").touch()
        self.assertEqual(self.run_command("restore", self.backup, f"sqlite:{self.folder}/new.db")[0], 1)
        self.assertFalse((self.folder / "new.db").exists())

    def test_a_damaged_backup_is_not_restored(self):
        connection = self.connect(self.database)
        connection.executemany("INSERT INTO items VALUES (?)", ((number,) for number in range(10_000)))
        connection.commit()
        self.back_up()
        content = bytearray(self.backup.read_bytes())
        content[8192:12288] = b"x" * 4096
        self.backup.write_bytes(content)
        code, errors = self.run_command("restore", self.backup, f"sqlite:{self.folder}/new.db")
        self.assertEqual(code, 1)
        self.assertIn("damaged", errors)
        self.assertEqual(sorted(self.folder.glob("new*")), [])

    def test_a_wrong_source_leaves_no_file(self):
        for source in ("missing.db", "text.db"):
            (self.folder / "text.db").write_text("no database, but a text")
            code, errors = self.run_command("backup", f"sqlite:{self.folder}/{source}", self.backup)
            self.assertEqual((code, errors.count("\n")), (1, 1), errors)
            self.assertFalse(self.backup.exists() or (self.folder / "missing.db").exists())

    def test_a_file_of_another_kind_is_not_restored(self):
        (self.folder / "dump").write_bytes(b"PGDMP")
        self.assertEqual(self.run_command("restore", self.folder / "dump", f"sqlite:{self.folder}/new.db")[0], 1)
        self.back_up()
        code, errors = self.run_command("restore", self.backup, "postgres://127.0.0.1:1/orders")
        self.assertEqual(code, 1)
        self.assertIn("no backup of a database on PostgreSQL", errors)

    def test_other_urls_are_refused_with_what_is_expected(self):
        for url in ("mysql://a/b", "sqlite:", "data/users.db"):
            code, errors = self.run_command("backup", url, self.backup)
            self.assertEqual(code, 2)
            self.assertIn("expected sqlite:PATH or postgres://", errors)


class Urls(unittest.TestCase):
    def test_the_password_is_in_the_environment_alone(self):
        database = PostgresDatabase("postgres://app:p%40ss@[::1]:5432/orders?sslmode=require")
        self.assertEqual(database.url, "postgres://app@[::1]:5432/orders?sslmode=require")
        self.assertEqual(database.environment["PGPASSWORD"], "p@ss")
        self.assertEqual(PostgresDatabase("postgresql:///x?host=/run").url, "postgresql:///x?host=/run")

    def parameters(self, given):
        return PostgresDatabase(f"postgres://app@db/orders?{given}").url.partition("?")[2]

    def test_parameters_of_the_services_are_left_out(self):
        for left_out in ("options[statement_timeout]=0", "options%5Bstatement_timeout%5D=0",
                         "statement-cache-capacity=10"):
            self.assertEqual(self.parameters(f"{left_out}&sslmode=require"), "sslmode=require")
        self.assertEqual(PostgresDatabase("postgres://db/orders?options[a]=0").url, "postgres://db/orders")

    def test_names_of_the_services_are_replaced_by_those_of_libpq(self):
        self.assertEqual(self.parameters("ssl-mode=verify-ca&ssl-ca=/a b&ssl-cert=/c&ssl-key=/k"),
                         "sslmode=verify-ca&sslrootcert=/a%20b&sslcert=/c&sslkey=/k")
        self.assertEqual(self.parameters("ssl-root-cert=/a"), "sslrootcert=/a")

    def test_the_mode_of_encryption_is_in_lower_case(self):
        self.assertEqual(self.parameters("sslmode=Verify-Full"), "sslmode=verify-full")

    def test_a_password_among_the_parameters_is_in_the_environment_alone(self):
        database = PostgresDatabase("postgres://app:old@db/orders?host=/run&password=p%40+s")
        self.assertEqual(database.url, "postgres://app@db/orders?host=/run")
        self.assertEqual(database.environment["PGPASSWORD"], "p@ s")

    def test_other_parameters_keep_their_values(self):
        self.assertEqual(self.parameters("options=-c%20a%3Db&application_name="),
                         "options=-c%20a%3Db&application_name=")


if __name__ == "__main__":
    unittest.main()
