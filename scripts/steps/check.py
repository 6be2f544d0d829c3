"""scripts/check: whether the change that is being made holds, as far as minutes can show."""

import argparse
import sys

from changed import affected, changed_files, packages
from steps import command, main, step
from test import EXAMPLE, OPENAPI, PEER, WORKSPACE, python_tests, topology


def run(runner, arguments):
    files = changed_files(arguments.base)
    every = packages()
    names = {package["name"] for package in every} if arguments.all else affected(files, every)
    print(f"Changed files: {len(files)}. Affected packages: {', '.join(sorted(names)) or 'none'}.")
    runner.run(steps(files, names))


def steps(files, names):
    def changed(folder):
        return any(file.startswith(f"{folder}/") for file in files)

    outside = [command("cargo", "fmt", "--check", folder=folder) for folder in (EXAMPLE, PEER) if changed(folder)]
    chosen = [step("Formatting", command("cargo", "fmt", "--all", "--check"), *outside), topology()]
    if changed("scripts/steps") or changed("scripts/outside-tools"):
        chosen.append(step("Tests of the scripts", python_tests()))
    if names:
        # The whole workspace is selected, as in scripts/test, because with fewer packages cargo resolves other features
        # and compiles the dependencies once more. It checks again only what changed and what depends on it.
        chosen += [
            step("Lints", command("cargo", "clippy", *WORKSPACE, "--all-targets", "--", "-D", "warnings")),
            step("Tests on SQLite", command(sys.executable, "scripts/steps/sqlite_tests.py", *sorted(names))),
            step("Contract", command("scripts/setup/programs"), command(OPENAPI, "check")),
        ]
    return chosen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="scripts/check",
        description="Checks formatting, lints and contract, and runs the unit and SQLite tests of the packages that a "
        "change affects.",
    )
    parser.add_argument("base", nargs="?", default="HEAD", help="the revision that the change starts from (HEAD)")
    parser.add_argument("--all", action="store_true", help="test every package")
    parsed = parser.parse_args()
    sys.exit(main(lambda runner: run(runner, parsed)))
