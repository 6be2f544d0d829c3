"""Tries both services on both databases with schemathesis, each pair with new processes on new databases.

Needs the services in target/debug and a PostgreSQL cluster: scripts/conformance provides both.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "scripts/schemathesis"
OUTPUT = ROOT / "target/conformance"
CLUSTER = os.environ["TEST_POSTGRES_SOCKET_DIRECTORY"]
# Fewer would mean that schemathesis left something out.
LEAST_CASES = 500


def main():
    # What ends us must end the services too: it becomes an exception, and they are stopped on its way out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(f"{'service':<15}{'database':<12}{'cases':>6}{'failures':>10}{'seconds':>9}")
    failed = False
    for service in ("user-service", "order-service"):
        for database in ("sqlite", "postgres"):
            report, problems = try_pair(service, database)
            cases = report["test_cases"]
            print(
                f"{service:<15}{database:<12}{cases['generated']:>6}{cases['with_failures']:>10}"
                f"{report['running_time']:>9.1f}",
                flush=True,
            )
            if problems:
                failed = True
                print(problems)
    return failed


def try_pair(service, database):
    """schemathesis' report, and what it found as text (empty if nothing)."""
    output = OUTPUT / f"{service}-{database}"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    with ExitStack() as stack:
        url = stack.enter_context(running("user-service", database, output))
        if service == "order-service":
            create_user(url)
            url = stack.enter_context(running(service, database, output, USER_SERVICE_URL=url))
        return schemathesis(service, url, output)


@contextmanager
def running(program, database, output, **settings):
    """The URL of a service, which runs until the end of the block. Its log stays in `output`."""
    if database == "sqlite":
        database_url = f"sqlite:{program}.db"
    else:
        name = f"{output.name}_{program}"
        subprocess.run(["psql", "-qh", CLUSTER, "-U", "postgres", "-c", f'CREATE DATABASE "{name}"'], check=True)
        database_url = f"postgres:///{name}?host={CLUSTER}&user=postgres"
    settings |= {"DATABASE_URL": database_url, "LISTEN_ADDRESS": "127.0.0.1:0", "LOG_LEVEL": "info"}
    binary = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / program
    with open(output / f"{program}.log", "w") as log, ThreadPoolExecutor(1) as reader:
        process = subprocess.Popen(binary, env=os.environ | settings, cwd=output, stdout=subprocess.PIPE, text=True)
        try:
            url = serving_url(process.stdout, log)
            # Somebody must read on: a service stops at a full pipe.
            reader.submit(log.writelines, process.stdout)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def serving_url(lines, log):
    for line in lines:
        log.write(line)
        if (record := json.loads(line))["message"] == "serving":
            return record["url"]
    raise RuntimeError(f"the service did not start; see {log.name}")


def create_user(url):
    body = json.dumps({"email": "user@example.com", "name": "John Doe"}).encode()
    request = urllib.request.Request(f"{url}/api/v1/users", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()


def schemathesis(service, url, output):
    document = ROOT / f"openapi/{service}.json"
    report = output / "report.json"
    command = [Path(sys.executable).with_name("schemathesis"), "--no-color"]
    command += ["--config-file", HERE / "schemathesis.toml", "run", document, "--url", url]
    command += ["--report-json-path", report]
    settings = {"PYTHONHASHSEED": "0", "HYPOTHESIS_STORAGE_DIRECTORY": str(output / "hypothesis")}
    run = subprocess.run(command, env=os.environ | settings, cwd=HERE, capture_output=True, text=True)
    if not report.exists():
        raise RuntimeError(f"schemathesis made no report:\n{run.stdout}{run.stderr}")
    result = json.loads(report.read_text())
    problems = ""
    if run.returncode != 0:
        # `cargo run` starts the services at the addresses of the documents.
        problems = run.stdout.replace(url, json.loads(document.read_text())["servers"][0]["url"])
        problems += "The commands that reproduce a failure are for a fresh `cargo run`.\n"
    elif result["test_cases"]["generated"] < LEAST_CASES:
        problems = f"fewer than {LEAST_CASES} cases"
    return result, problems


if __name__ == "__main__":
    sys.exit(main())
