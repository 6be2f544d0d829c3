"""scripts/strangers: runs each tool of TOOLS, and prints one line for each: passed, failed or not run."""

import argparse
import signal
import sys
import time

from job import OUTPUT, ROOT, Failed, Job, NotRun, Platform
from tools import PACKAGES, TOOLS


def main(arguments, tools=TOOLS):
    chosen = parse(arguments, tools)
    if chosen is None:
        return 0
    # Turn SIGTERM into an exception, so that what was started is stopped before the exit.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    width = max(len(name) for name in chosen)
    counts = {"passed": 0, "FAILED": 0, "NOT RUN": 0}
    with Platform() as platform:
        for name in chosen:
            started = time.monotonic()
            result, reason = attempt(tools[name], name, platform)
            counts[result] += 1
            seconds = time.monotonic() - started
            print(f"{name:<{width}}  {result:<7}  {seconds:6.1f} s  {reason}".rstrip(), flush=True)
    print("\n" + ", ".join(f"{result.lower()}: {count}" for result, count in counts.items() if count))
    return 1 if counts["FAILED"] else 0


def parse(arguments, tools):
    """The names of the tools to run; None if there is nothing to run."""
    parser = argparse.ArgumentParser(
        prog="scripts/strangers",
        description="Tries other teams' tools on the documents in openapi/ and on the running services.",
        epilog="\n".join(help_lines(tools)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a tool; all if there is none")
    parser.add_argument("--list", action="store_true", help="print the names of the tools")
    parsed = parser.parse_args(arguments)
    for name in parsed.names:
        if name not in tools:
            parser.error(f"there is no tool {name}; --list names them")
    if parsed.list:
        print("\n".join(tools))
        return None
    return parsed.names or list(tools)


def help_lines(tools):
    width = max(len(name) for name in tools)
    yield "tools:"
    for name, tool in tools.items():
        yield f"  {name:<{width}}  {tool.check} (needs {', '.join(tool.needs)})"
    yield f"\n{PACKAGES}"
    yield f"The output of each tool is in {OUTPUT.relative_to(ROOT)}/NAME.log."
    yield "Exit code: 0 if no tool failed, 1 if one did, 2 if the arguments are wrong."


def attempt(tool, name, platform):
    """The result of a tool, and the reason unless it passed."""
    try:
        tool.run(Job(name, tool.needs, platform))
    except NotRun as reason:
        return "NOT RUN", str(reason)
    except Failed as reason:
        return "FAILED", str(reason)
    return "passed", ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
