"""Runs the scenario through Prism's validating proxies, which answer a violation with 500 or name it in a header."""

import scenario
from plain import Plain


def inspect(service, response):
    violations = response.headers.get("sl-violations")
    if violations:
        raise AssertionError(f"{response.request.method} {response.request.path_url} of {service}: {violations}")
    if response.status_code == 500:
        raise AssertionError(f"{response.request.method} {response.request.path_url} of {service}: {response.text}")


scenario.run(Plain(inspect))
