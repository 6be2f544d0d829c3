"""scripts/backup and scripts/restore: the database of one service into a file, and back.

A program of its own, so that it also runs in a container that has nothing else of this repository.
"""

import argparse
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

SQLITE_HEADER = b"SQLite format 3\0"
POSTGRES_HEADER = b"PGDMP"
EXPECTED = "expected sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE"
# Parameters of a URL that only the services know by these names, with those of PostgreSQL's programs.
RENAMED = {"ssl-mode": "sslmode", "ssl-root-cert": "sslrootcert", "ssl-ca": "sslrootcert", "ssl-cert": "sslcert",
           "ssl-key": "sslkey"}
# Debian keeps the programs of each version here. The newest ones work with every older server.
DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")
RELATIONS = """
    SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'
"""


class Failure(Exception):
    """Why there is no backup, or nothing was restored."""


class SqliteDatabase:
    header = SQLITE_HEADER

    def __init__(self, path):
        self.path = Path(path)

    def back_up(self, file):
        # `VACUUM INTO` reads one snapshot. SQLite's backup API would start again with each write of the service.
        with opened(self.path, "rw") as connection:
            connection.execute("VACUUM INTO ?", (str(file),))
        check_sqlite(file)

    def restore(self, file):
        # A write-ahead log of another database would be applied to the restored one.
        for path in (self.path, beside(self.path, "-wal"), beside(self.path, "-shm")):
            if path.exists():
                raise Failure(f"{path} exists: move it away, or restore to another path")
        with complete(self.path) as partial:
            shutil.copyfile(file, partial)
            check_sqlite(partial)


class PostgresDatabase:
    header = POSTGRES_HEADER

    def __init__(self, url):
        url, _, query = url.partition("?")
        scheme, user, password, rest = re.fullmatch(r"(\w+://)(?:([^:@/]*)(?::([^@/]*))?@)?(.*)", url).groups()
        parameters, password_parameter = libpq_parameters(query)
        self.url = f"{scheme}{user}@{rest}" if user else f"{scheme}{rest}"
        if parameters:
            self.url += "?" + urlencode(parameters, safe="/", quote_via=quote)
        # Everybody on the machine can read the arguments of a program, but not its environment.
        password = password_parameter or unquote(password or "")
        self.environment = os.environ | ({"PGPASSWORD": password} if password else {})

    def back_up(self, file):
        self.run("pg_dump", "--format=custom", "--file", file, "--dbname", self.url)
        self.run("pg_restore", "--list", file)

    def restore(self, file):
        if self.run("psql", "-XAtc", RELATIONS, "--dbname", self.url).strip() != "0":
            raise Failure("the database is not empty: restore into a new one")
        # The role that restores becomes the owner, whatever the roles of the other server are called.
        self.run("pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges",
                 "--dbname", self.url, file)

    def run(self, name, *arguments):
        command = [program(name), *map(str, arguments)]
        try:
            ended = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, text=True, errors="replace")
        except OSError as error:
            raise Failure(f"cannot run {name}, a client program of PostgreSQL: {error.strerror}")
        if ended.returncode != 0:
            raise Failure(" ".join(ended.stderr.split()) or f"{name} failed")
        return ended.stdout


def database(url):
    """The database at a DATABASE_URL."""
    if url.startswith("sqlite:"):
        path = url[len("sqlite:"):]
        path = path[2:] if path.startswith("//") else path
        if path:
            return SqliteDatabase(path)
    elif re.match(r"postgres(ql)?://", url):
        return PostgresDatabase(url)
    raise argparse.ArgumentTypeError(EXPECTED)


def libpq_parameters(query):
    """The parameters of a service's `DATABASE_URL` as PostgreSQL's programs understand them, and the password."""
    parameters, password = [], None
    for name, value in parse_qsl(query, keep_blank_values=True):
        name = RENAMED.get(name, name)
        if name == "password":
            password = value
        elif name == "sslmode":
            parameters.append((name, value.lower()))
        # Those left out do not matter to a backup: how many statements a service prepares, and its sessions' settings.
        elif name != "statement-cache-capacity" and not name.startswith("options["):
            parameters.append((name, value))
    return parameters, password


def program(name):
    found = sorted(DEBIAN_PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return str(found[-1]) if found else name


def beside(path, suffix):
    return path.with_name(path.name + suffix)


@contextmanager
def opened(path, mode):
    """A connection to an existing file. It waits as long as another process locks the file."""
    address = f"file:{quote(str(path))}?mode={mode}"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=60)) as connection:
        yield connection


def check_sqlite(file):
    with opened(file, "ro") as connection:
        found = [row for row, in connection.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"]:
        raise Failure(f"the copy is damaged: {found[0]}")


@contextmanager
def complete(path):
    """A path to write to, whose file gets the name `path` at the end; removed if that is not reached."""
    partial = beside(path, ".partial")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        for written in (partial, partial.parent):
            sync(written)
        os.rename(partial, path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync(path):
    """Waits until a file, or the names in a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def back_up(source, file):
    if file.exists():
        raise Failure(f"{file} exists already")
    with complete(file) as partial:
        source.back_up(partial)


def restore(file, target):
    with open(file, "rb") as opened_file:
        header = opened_file.read(len(SQLITE_HEADER))
    if not header.startswith(target.header):
        kind = "SQLite" if target.header == SQLITE_HEADER else "PostgreSQL"
        raise Failure(f"{file} is no backup of a database on {kind}")
    target.restore(file)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    url = {"type": database, "metavar": "DATABASE_URL"}
    file = {"type": Path, "metavar": "FILE"}
    command = commands.add_parser("backup", prog="scripts/backup")
    command.add_argument("source", **url)
    command.add_argument("file", **file)
    command.set_defaults(run=lambda given: back_up(given.source, given.file))
    command = commands.add_parser("restore", prog="scripts/restore")
    command.add_argument("file", **file)
    command.add_argument("target", **url)
    command.set_defaults(run=lambda given: restore(given.file, given.target))
    given = parser.parse_args(arguments)
    # What is written is readable only by its owner: it holds personal data.
    os.umask(0o077)
    try:
        given.run(given)
    except (Failure, OSError, sqlite3.Error) as error:
        print(f"scripts/{given.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
