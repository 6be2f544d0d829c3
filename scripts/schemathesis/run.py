"""Tests every service on both databases with schemathesis, each combination with new processes and new databases.

Needs the services in target/debug, a PostgreSQL cluster and a RabbitMQ broker; scripts/conformance provides them.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "testing"))
from service_process import ROOT, SERVICES, Service, create_database, create_vhost, needed_by, send, soon, with_callees

HERE = ROOT / "scripts/schemathesis"
OUTPUT = ROOT / "target/conformance"
# Fewer test cases of an operation mean that schemathesis skipped something.
MIN_CASES = 100
# A metric that counts a handled event.
HANDLED = re.compile(r"^event_handling_duration_seconds_count.* [1-9]", re.MULTILINE)


def main():
    # Turn SIGTERM into an exception, so that the services are stopped before the exit.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(f"{'service':<25}{'database':<12}{'cases':>6}{'failures':>10}{'seconds':>9}")
    pairs = [(service, database) for service in SERVICES for database in ("sqlite", "postgres")]
    failed = False
    # Each is a fuzzer, a service and a database: more at a time than processors let the database answer too late.
    with ThreadPoolExecutor(max(1, os.cpu_count() // 2)) as pool:
        for (service, database), (report, problems) in zip(pairs, pool.map(lambda pair: test_pair(*pair), pairs)):
            cases = report["test_cases"]
            print(
                f"{service:<25}{database:<12}{cases['generated']:>6}{cases['with_failures']:>10}"
                f"{report['running_time']:>9.1f}",
                flush=True,
            )
            if problems:
                failed = True
                print(problems)
    return failed


def test_pair(service, database):
    """Tests a service. Returns the report of schemathesis, and the problems as text (empty if there are none)."""
    output = OUTPUT / f"{service}-{database}"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    urls = {}
    # What such a service has, it has by the events of those that it calls.
    published = {event for name in needed_by(service) for event in SERVICES[name]["publishes"]}
    consumes = not published.isdisjoint(SERVICES[service]["consumes"])
    events_url = create_vhost(output.name) if consumes else ""
    with ExitStack() as stack:
        for name in with_callees(service):
            database_url = f"sqlite:{name}.db" if database == "sqlite" else create_database(f"{output.name}_{name}")
            running = Service(name, database_url, output, urls, log=output / f"{name}.log", events_url=events_url)
            stack.callback(running.stop)
            urls[name] = running.url
        for name in with_callees(service)[:-1]:
            create_examples(name, urls[name])
        if consumes and not soon(lambda: HANDLED.search(send(f"{urls[service]}/metrics")[1])):
            raise RuntimeError(f"{service} has handled no event")
        return run_schemathesis(service, urls[service], output)


def create_examples(service, url):
    """Creates the resources of the examples of a called service, so that its caller finds them."""
    for path, operations in json.loads(document_path(service).read_text())["paths"].items():
        if "post" in operations and "{" not in path:
            example = operations["post"]["requestBody"]["content"]["application/json"]["example"]
            status, text = send(url + path, example)
            if not 200 <= status < 300:
                raise RuntimeError(f"{path} of {service} answered {status}: {text}")


def number_of_operations(service):
    return sum(len(operations) for operations in json.loads(document_path(service).read_text())["paths"].values())


def document_path(service):
    return ROOT / f"openapi/{service}.json"


def run_schemathesis(service, url, output):
    report = output / "report.json"
    command = [Path(sys.executable).with_name("schemathesis"), "--no-color"]
    command += ["--config-file", HERE / "schemathesis.toml", "run", document_path(service), "--url", url]
    command += ["--report-json-path", report]
    settings = {"PYTHONHASHSEED": "0", "HYPOTHESIS_STORAGE_DIRECTORY": str(output / "hypothesis")}
    run = subprocess.run(command, env=os.environ | settings, cwd=HERE, capture_output=True, text=True)
    if not report.exists():
        raise RuntimeError(f"schemathesis wrote no report:\n{run.stdout}{run.stderr}")
    result = json.loads(report.read_text())
    problems = ""
    if run.returncode != 0:
        # `cargo run` starts the services at the addresses of the documents.
        problems = run.stdout.replace(url, json.loads(document_path(service).read_text())["servers"][1]["url"])
        problems += "To reproduce a failure, run its command against a fresh `cargo run`.\n"
    elif result["test_cases"]["generated"] < (least := MIN_CASES * number_of_operations(service)):
        problems = f"fewer than {least} cases"
    return result, problems


if __name__ == "__main__":
    sys.exit(main())
