"""scripts/test: everything that must hold before a change lands."""

import shutil
import subprocess
import sys

from services import ROOT, SERVICES
from steps import TARGET, NotRun, check_tools, command, main, step

PROGRAMS = TARGET / "debug"
OPENAPI = PROGRAMS / "openapi"
WITH_POSTGRES = PROGRAMS / "with-postgres"
WITH_RABBITMQ = PROGRAMS / "with-rabbitmq"
# The logs of the services in all tests: `openapi coverage` reads in them what the contract was seen to do.
LOGS = ROOT / "target/logs-of-tests"
CONFORMANCE = ROOT / "target/conformance"
EXAMPLE = "clients/example"
PEER = "scripts/tools/bench/peer"
WORKSPACE = ("--locked", "--workspace", "--all-features")
# The profile of the workspace for the projects outside it: half of their dependencies are then built already.
OUTSIDE = (
    "--locked", "--target-dir", TARGET,
    "--config", 'profile.dev.debug="line-tables-only"', "--config", 'profile.dev.package."*".debug=false',
)
# The fault tests test the release build, but in CI without its slowest part, optimising across crates.
QUICK_RELEASE = {"CARGO_PROFILE_RELEASE_LTO": "false", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"}

NODE, PYTHON = ("node",), ("python",)
OPTIONAL_TOOLS = ("chromium", "faketime", "haproxy", "node", "prometheus", "python")


def run(runner):
    runner.run([
        step("Tools", command("scripts/setup/ensure", *tools(runner.ci))),
        step("Formatting", command("cargo", "fmt", "--all", "--check"),
             command("cargo", "fmt", "--check", folder=EXAMPLE), command("cargo", "fmt", "--check", folder=PEER)),
        topology(),
    ])
    runner.run(
        [
            step("Lints", command("cargo", "clippy", *WORKSPACE, "--all-targets", "--", "-D", "warnings")),
            step("Build", command("cargo", "test", *WORKSPACE, "--no-run"), command("scripts/setup/programs")),
            step("Documentation", command("cargo", "doc", *WORKSPACE, "--no-deps", "--quiet",
                                          RUSTDOCFLAGS="-D warnings")),
        ],
        [
            step("Tests of the scripts", python_tests()),
            step("Style of the documents", command("scripts/lint-openapi"), tools=NODE),
            step("Dependencies", command("scripts/check-dependencies")),
        ],
    )
    clear_logs()
    runner.run([
        step("Contract", command(OPENAPI, "check")),
        step("Tests", command(WITH_POSTGRES, WITH_RABBITMQ, "cargo", "test", *WORKSPACE, KEEP_LOGS_IN=str(LOGS))),
    ])
    # These wait more than they compute.
    runner.run(
        [
            step("Conformance", command("scripts/conformance"), tools=PYTHON),
            step("TypeScript client", command("scripts/test-typescript"), tools=NODE),
            step("Kubernetes", command("scripts/test-kubernetes"), tools=(*NODE, *PYTHON, "linux-x86-64")),
        ],
        [
            step("Docs portal", command("scripts/test-portal"), tools=(*NODE, "chromium")),
            step("Notifications", command("scripts/test-notifications"), tools=(*PYTHON, "openssl")),
            step("Payments", command("scripts/test-payments"), tools=PYTHON),
            step("Backup and restore", command("scripts/test-backup"), tools=PYTHON),
            step("Proxy in front", command("scripts/test-proxy"), tools=(*PYTHON, "curl", "openssl", "haproxy")),
            step("Metrics, dashboard and alerts", command("scripts/test-observability"), tools=(*PYTHON, "prometheus")),
        ],
    )
    runner.run([
        step("Coverage of the contract", coverage),
        step("New service", command("scripts/test-new-service")),
        step("Projects outside the workspace",
             command("cargo", "clippy", *OUTSIDE, "--all-targets", "--", "-D", "warnings", folder=EXAMPLE),
             command("cargo", "test", *OUTSIDE, folder=EXAMPLE),
             command("cargo", "clippy", *OUTSIDE, "--", "-D", "warnings", folder=PEER)),
        # Not even CI insists: where it runs in a container itself there is no Docker engine.
        step("Containers", command("scripts/test-compose")),
        # A machine that builds and tests does not measure times reliably.
        # Without 14, which is not kept yet for orders that a request confirms while their payment has no outcome.
        step("Promises under faults", command("scripts/chaos", "--shared-machine", *map(str, (*range(1, 14), 15, 16)),
                                              **QUICK_RELEASE),
             only_in_ci="a machine for itself (scripts/chaos)"),
        step("Change of the contract", contract_change),
    ])


def tools(ci):
    """What to install before anything runs: the tools of all steps in CI, elsewhere those that can be installed."""
    optional = (tool for tool in OPTIONAL_TOOLS if ci or can_install(tool))
    return ["cc", "curl", "openssl", "postgresql", "rabbitmq", *optional]


def can_install(tool):
    try:
        check_tools([tool])
    except NotRun:
        return False
    return True


def topology():
    """The check of what is generated from services/platform.toml."""
    return step("Topology", command("cargo", "topology", "check"))


def python_tests():
    return command(sys.executable, "-m", "unittest", "discover", "--quiet", "--start-directory", "scripts/steps/tests",
                   PYTHONPATH="scripts/steps")


def clear_logs():
    for old in (LOGS, *conformance_logs()):
        shutil.rmtree(old, ignore_errors=True)
    LOGS.mkdir(parents=True)


def conformance_logs():
    return [folder for name in SERVICES for folder in sorted(CONFORMANCE.glob(f"{name}-*"))]


def coverage():
    return command(OPENAPI, "coverage", LOGS, *conformance_logs())


def contract_change():
    """Compares with what is published; what is published itself, with the commit before."""
    head = revision("rev-parse", "HEAD")
    base = revision("merge-base", "HEAD", "origin/main")
    if base in (None, head):
        base = revision("rev-parse", "--verify", "--quiet", "HEAD^")
    if base is None:
        raise NotRun("there is no earlier revision to compare with.")
    return command(OPENAPI, "diff", base)


def revision(*arguments):
    git = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return git.stdout.strip() if git.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main(run))
