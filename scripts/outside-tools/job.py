"""What a tool works with: a folder of its own, a log, commands, and the running services."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "testing"))
from service_process import ROOT, SERVICES, Service, soon, variable

HERE = Path(__file__).resolve().parent
OUTPUT = ROOT / "target/strangers"
NODE_MODULES = HERE / "node_modules"


class NotRun(Exception):
    """The tool cannot run here; the text says why."""


class Failed(Exception):
    """The tool found a fault, or did not work; the text says what."""


class Platform:
    """The services of the contract, and the programs that tools share. Each is started or installed on first use."""

    def __init__(self):
        self.stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stack.close()

    @cached_property
    def urls(self):
        """The URL of each running service by its name. All start with empty databases."""
        setup("programs")
        folder = new_folder("services")
        urls = {}
        for name in SERVICES:
            try:
                running = Service(name, f"sqlite:{name}.db", folder, urls, log=folder / f"{name}.log")
            except (OSError, RuntimeError) as error:
                raise Failed(str(error)) from None
            self.stack.callback(running.stop)
            urls[name] = running.url
        return urls

    @cached_property
    def venv(self):
        return Path(setup("venv", "scripts/outside-tools/requirements.txt").strip())

    @cached_property
    def node_modules(self):
        setup("npm", "scripts/outside-tools")
        return NODE_MODULES


class Job:
    """One run of a tool. Raises NotRun if the machine lacks what it needs."""

    def __init__(self, name, needs, platform):
        ensure = subprocess.run([ROOT / "scripts/setup/ensure", *needs], capture_output=True, text=True)
        if ensure.returncode != 0:
            raise NotRun(last_line(ensure.stderr))
        self.platform = platform
        self.folder = new_folder(name)
        self.log = OUTPUT / f"{name}.log"
        self.log.write_text("")

    def run(self, *command, **environment):
        """Runs a command in the tool's folder. Raises Failed unless it ends with 0."""
        with self.log.open("a") as log:
            print("$", *command, file=log, flush=True)
            code = self.start(command, log, environment).wait()
        if code != 0:
            program = next(Path(part).name for part in command if not str(part).endswith("python"))
            raise Failed(f"{program} ended with {code}: {last_line(self.log.read_text())} ({shown(self.log)})")

    @contextmanager
    def serving(self, announcement, *command):
        """Runs a server while the caller uses it, from the moment when it has printed `announcement`. Yields the word
        after that."""
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".log", delete=False) as log:
            process = self.start(command, log)
        pattern = re.compile(re.escape(announcement) + r"(\S+)\s")
        try:
            soon(lambda: process.poll() is not None or pattern.search(Path(log.name).read_text()))
            found = pattern.search(Path(log.name).read_text())
            if found is None:
                raise Failed(f"{Path(command[0]).name} did not start ({shown(log.name)})")
            yield found[1]
        finally:
            process.terminate()
            process.wait()

    def start(self, command, log, environment=None):
        try:
            return subprocess.Popen(
                [str(part) for part in command], cwd=self.folder, env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise Failed(f"{command[0]} cannot be started: {error}") from None

    def scenario(self, *command, urls=None, **options):
        """Runs a program that executes the scenario against the services at `urls`, by default the running ones."""
        urls = urls or self.platform.urls
        self.run(*command, **{variable(name, "URL"): url for name, url in urls.items()}, **options)

    def copy(self, language):
        """Copies the files of a language into the tool's folder."""
        shutil.copytree(HERE / language, self.folder, dirs_exist_ok=True)


def documents():
    """The document of each service by the service's name."""
    return {name: ROOT / f"openapi/{name}.json" for name in SERVICES}


def shown(path):
    """A path as the messages name it."""
    return os.path.relpath(path, ROOT)


def new_folder(name):
    folder = OUTPUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def setup(program, *arguments):
    """Runs a program of scripts/setup, and returns what it printed."""
    run = subprocess.run([ROOT / "scripts/setup" / program, *arguments], capture_output=True, text=True)
    if run.returncode != 0:
        raise Failed(f"scripts/setup/{program} ended with {run.returncode}: {last_line(run.stderr)}")
    return run.stdout


def last_line(text):
    """The last line that is not empty; most tools end with what went wrong."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
