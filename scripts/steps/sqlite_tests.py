"""Builds the tests of the workspace and runs those of some packages, without PostgreSQL and RabbitMQ:
sqlite_tests.py PACKAGE…

Leaves out tests with `postgres` or `rabbitmq` in their name (`on_both_databases!` calls one of each pair `on_postgres`,
`on_both_carriers!` `on_rabbitmq`) or in the name of their file, and files that start a cluster or run builds of their
own, which take minutes.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from changed import packages
from services import ROOT
from test import WORKSPACE

SERVERS = ("postgres", "rabbitmq")
LEFT_OUT = re.compile(r'\bCluster::start|"CARGO_TARGET_DIR"')
COUNTS = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; \d+ ignored; \d+ measured; (\d+) filtered", re.M)


@dataclass(frozen=True)
class TestProgram:
    """A program that cargo made of the tests of a file, or of the unit tests of a crate."""

    package: str
    kind: str
    source: Path
    executable: str
    folder: Path

    @property
    def name(self):
        return f"{self.package}: {self.source.relative_to(self.folder)}"

    def left_out(self):
        in_name = any(server in self.source.stem for server in SERVERS)
        return self.kind == "test" and (in_name or LEFT_OUT.search(self.source.read_text()) is not None)


def build():
    """Builds all tests. Gives cargo's messages, one a line; ends the program if they do not compile."""
    arguments = ["cargo", "test", *WORKSPACE, "--no-run", "--message-format=json-render-diagnostics"]
    cargo = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if cargo.returncode != 0:
        sys.exit(cargo.returncode)
    return cargo.stdout.splitlines()


def test_programs(messages, names):
    """The test programs that `messages` report, of those packages whose names are the values of `names` by manifest."""
    programs = []
    for message in map(json.loads, messages):
        if message["reason"] != "compiler-artifact" or not message["profile"]["test"] or not message["executable"]:
            continue
        manifest, target = message["manifest_path"], message["target"]
        if manifest in names:
            programs.append(TestProgram(names[manifest], target["kind"][0], Path(target["src_path"]),
                                        message["executable"], Path(manifest).parent))
    return programs


def run(program):
    """Runs a test program as cargo does: in the folder of its package."""
    environment = os.environ | {"TEST_DATABASES": "sqlite", "CARGO_MANIFEST_DIR": str(program.folder)}
    skip = [argument for server in SERVERS for argument in ("--skip", server)]
    return subprocess.run([program.executable, "--quiet", *skip], cwd=program.folder, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")


def main(wanted):
    names = {package["manifest_path"]: package["name"] for package in packages() if package["name"] in wanted}
    programs = test_programs(build(), names)
    left_out = [program for program in programs if program.left_out()]
    passed = skipped = 0
    failures = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chosen = [program for program in programs if program not in left_out]
        for program, ended in zip(chosen, pool.map(run, chosen)):
            for counts in COUNTS.finditer(ended.stdout):
                passed += int(counts[1])
                skipped += int(counts[3])
            if ended.returncode != 0:
                failures.append(program.name)
                print(f"{program.name}\n{ended.stdout.rstrip()}", flush=True)
    print(f"{passed} tests passed in {len(chosen)} programs. NOT RUN: {skipped} tests on PostgreSQL and RabbitMQ"
          + "".join(f"; {program.name}" for program in left_out))
    if failures:
        print(f"Failed: {'; '.join(failures)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
