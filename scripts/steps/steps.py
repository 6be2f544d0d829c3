"""Runs the steps of a test, some of them concurrently, and prints how long each took."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from services import ROOT

TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
# A command ends with this code if it cannot run here; it has printed why.
CANNOT_RUN = 77
# How long a command may take to stop before a harder signal follows.
SECONDS_TO_STOP = 20


@dataclass(frozen=True)
class Command:
    """A command line, run in a folder of the repository, with variables added to the environment."""

    arguments: tuple
    folder: str = "."
    environment: tuple = ()


def command(*arguments, folder=".", **environment):
    return Command(tuple(str(argument) for argument in arguments), folder, tuple(environment.items()))


@dataclass(frozen=True)
class Step:
    """Commands, run one after the other until one fails. A callable makes its command when its turn comes.

    `tools` are those that scripts/setup/ensure must find or be able to install. Outside CI, a step with `only_in_ci` is
    left out for this reason.
    """

    name: str
    commands: tuple
    tools: tuple = ()
    only_in_ci: str = ""


def step(name, *commands, tools=(), only_in_ci=""):
    return Step(name, commands, tuple(tools), only_in_ci)


class NotRun(Exception):
    """The step cannot run here; the text says why."""


class Failed(Exception):
    """A step failed; the text names it."""


class Stopped(Exception):
    """A step was stopped because another one failed."""


class Runner:
    """Runs steps and collects their times. In CI a step may not be left out because a tool is missing."""

    def __init__(self, ci=None, out=None):
        self.ci = os.environ.get("CI") == "true" if ci is None else ci
        self.out = out or sys.stdout
        self.times = []
        self.not_run = []
        self.started = time.monotonic()
        self._lock = threading.Lock()
        self._processes = set()
        self._stopping = False

    def run(self, *sequences):
        """Runs the steps of each sequence in order, and the sequences concurrently.

        A single sequence prints as it goes; of several, each prints a step when it has ended. When a step fails, stops the
        others and raises Failed.
        """
        with ThreadPoolExecutor(len(sequences)) as pool:
            runs = [pool.submit(self._run_sequence, sequence, len(sequences) > 1) for sequence in sequences]
            try:
                done, _ = wait(runs, return_when=FIRST_EXCEPTION)
                failed = [run.exception() for run in done if run.exception() is not None]
                if failed:
                    raise failed[0]
            finally:
                self._stop()
        self._stopping = False

    def _run_sequence(self, steps, buffered):
        for one in steps:
            if self._stopping:
                raise Stopped
            started = time.monotonic()
            if buffered:
                with tempfile.TemporaryFile("w+", errors="replace") as output:
                    try:
                        self._run_step(one, output)
                    except Failed:
                        self._print_whole(one, output, time.monotonic() - started)
                        raise
                    self._print_whole(one, output, time.monotonic() - started)
            else:
                self._print(heading(one.name))
                self._run_step(one, self.out)
            with self._lock:
                self.times.append((one.name, time.monotonic() - started))

    def _run_step(self, one, output):
        try:
            if one.only_in_ci and not self.ci:
                raise NotRun(f"it needs {one.only_in_ci}. CI runs it.")
            if not self.ci:
                check_tools(one.tools)
            for made in one.commands:
                self._run_command(one, made() if callable(made) else made, output)
        except NotRun as reason:
            print(f"NOT RUN: {reason}", file=output, flush=True)
            self.not_run.append(one.name)

    def _run_command(self, one, made, output):
        with self._lock:
            if self._stopping:
                raise Stopped
            try:
                # A process group of its own: stopping it stops what the command started.
                process = subprocess.Popen(
                    made.arguments, cwd=ROOT / made.folder, env=os.environ | dict(made.environment), process_group=0,
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                )
            except OSError as error:
                raise Failed(f"{one.name}: {made.arguments[0]} cannot be started: {error}") from None
            self._processes.add(process)
        code = process.wait()
        with self._lock:
            self._processes.discard(process)
            if self._stopping:
                raise Stopped
        if code == CANNOT_RUN:
            raise NotRun("see above.")
        if code != 0:
            raise Failed(f"{one.name}: {' '.join(made.arguments)} ended with {code}")

    def _stop(self):
        with self._lock:
            self._stopping = True
            processes = list(self._processes)
        # SIGINT first: on it, with-postgres, with-rabbitmq and the tests remove what they started.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            for process in processes:
                if process.poll() is None:
                    os.killpg(process.pid, number)
            end = time.monotonic() + SECONDS_TO_STOP
            while any(process.poll() is None for process in processes) and time.monotonic() < end:
                time.sleep(0.05)

    def _print(self, text):
        with self._lock:
            print(text, file=self.out, flush=True)

    def _print_whole(self, one, output, seconds):
        output.seek(0)
        self._print(f"{heading(one.name)} ({seconds:.0f} s)\n{output.read().rstrip()}")

    def report(self, failure=None):
        """Prints the table and the result. Returns the exit code."""
        width = max((len(name) for name, _ in self.times), default=0)
        lines = [f"{name:<{width}} {'not run' if name in self.not_run else f'{seconds:.1f} s':>10}"
                 for name, seconds in self.times]
        lines.append(f"{'Total':<{width}} {f'{time.monotonic() - self.started:.1f} s':>10}")
        self._print("\n" + "\n".join(lines) + "\n")
        if failure is not None:
            self._print(f"FAILED: {failure}")
            return 1
        self._print(f"Passed. NOT RUN: {'; '.join(self.not_run)}" if self.not_run else "Passed")
        return 0


def heading(name):
    return f"\n\033[1m== {name}\033[0m"


def check_tools(tools):
    """Raises NotRun, which names the missing ones, unless all of `tools` are installed or can be."""
    if tools:
        ensure = subprocess.run([ROOT / "scripts/setup/ensure", "--dry-run", *tools], capture_output=True, text=True)
        if ensure.returncode != 0:
            raise NotRun("; ".join(ensure.stderr.strip().splitlines()) + ". CI runs it.")


def main(run):
    """Calls `run` with a Runner, prints the report, and returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    runner = Runner()
    try:
        run(runner)
    except Failed as failure:
        return runner.report(failure)
    except KeyboardInterrupt:
        return runner.report("interrupted")
    return runner.report()


def interrupt(number, frame):
    raise KeyboardInterrupt
