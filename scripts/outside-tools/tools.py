"""The tools that scripts/strangers runs, by name."""

from collections.abc import Callable
from dataclasses import dataclass

import clients
import validators


@dataclass(frozen=True)
class Tool:
    """`check` says what the tool shows; `needs` are tools that scripts/setup/ensure finds or installs."""

    check: str
    needs: tuple
    run: Callable


PYTHON, NODE = ("python",), ("node",)
# openapi-generator is a Python package with a JAR.
GENERATOR = (*PYTHON, "java")
SCENARIO = "its clients run the scenario"

TOOLS = {
    "openapi-spec-validator": Tool("finds the documents valid", PYTHON, validators.spec_validator),
    "prance": Tool("resolves and validates the documents", PYTHON, validators.prance),
    "spectral": Tool("finds nothing in the documents by its rules spectral:oas", NODE, validators.spectral),
    "openapi-core": Tool("validates the requests and responses of the scenario", PYTHON, validators.openapi_core),
    "prism-proxy": Tool("validates the same as a proxy", (*NODE, *PYTHON), validators.prism_proxy),
    "prism-mock": Tool("mocks every operation as documented", (*NODE, *PYTHON), validators.prism_mock),
    "openapi-python-client": Tool(SCENARIO, PYTHON, clients.openapi_python_client),
    "orval": Tool(SCENARIO, NODE, clients.orval),
    "hey-api": Tool(SCENARIO, NODE, clients.hey_api),
    "openapi-generator-python": Tool(SCENARIO, GENERATOR, clients.generator_python),
    "openapi-generator-typescript": Tool(SCENARIO, (*GENERATOR, "node"), clients.generator_typescript),
    "openapi-generator-rust": Tool(SCENARIO, (*GENERATOR, "cc"), clients.generator_rust),
    "openapi-generator-go": Tool(SCENARIO, (*GENERATOR, "go"), clients.generator_go),
    "openapi-generator-java": Tool(SCENARIO, GENERATOR, clients.generator_java),
    "openapi-generator-php": Tool(SCENARIO, (*GENERATOR, "php", "php-mbstring", "guzzle"), clients.generator_php),
}

PACKAGES = """\
Packages come from PyPI, npm, crates.io and Debian, pinned but for Debian's. The Java client is compiled against the
libraries inside the JAR of openapi-generator, the PHP client runs on Debian's Guzzle, and the Go client needs only Go.
"""
