"""Tools that read the documents, or look at requests and responses."""

from contextlib import ExitStack

from job import HERE, documents


def spec_validator(job):
    job.run(job.platform.venv / "bin/openapi-spec-validator", *documents().values())


def prance(job):
    for document in documents().values():
        job.run(job.platform.venv / "bin/prance", "validate", "--backend=openapi-spec-validator", document)


def spectral(job):
    ruleset = HERE / "spectral.yaml"
    # A hint is the mildest finding.
    options = ("--ruleset", ruleset, "--fail-severity", "hint")
    job.run(job.platform.node_modules / ".bin/spectral", "lint", *options, *documents().values())


def openapi_core(job):
    job.scenario(job.platform.venv / "bin/python", HERE / "python/openapi_core_check.py", *documents().values())


def prism_proxy(job):
    with ExitStack() as stack:
        # With --errors it answers a violation with an error instead of only logging it.
        proxies = {
            name: stack.enter_context(prism(job, "proxy", "--errors", document, job.platform.urls[name]))
            for name, document in documents().items()
        }
        job.scenario(job.platform.venv / "bin/python", HERE / "python/prism_proxy.py", urls=proxies)


def prism_mock(job):
    with ExitStack() as stack:
        mocks = {
            name: stack.enter_context(prism(job, "mock", "--errors", document))
            for name, document in documents().items()
        }
        job.scenario(
            job.platform.venv / "bin/python", HERE / "python/prism_mock.py", *documents().values(), urls=mocks
        )


def prism(job, command, *arguments):
    """Runs Prism on a port that the system chooses. Gives its URL."""
    program = job.platform.node_modules / ".bin/prism"
    return job.serving("Prism is listening on ", program, command, "--port", "0", *arguments)
