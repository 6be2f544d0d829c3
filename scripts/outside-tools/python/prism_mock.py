"""Sends the example request of every operation to Prism's mocks, and validates the answers with openapi-core.
Arguments: the documents."""

import os

import requests
from documents import DOCUMENTS, Validator

METHODS = ("get", "post", "put", "patch", "delete")


def main():
    for service, document in DOCUMENTS.items():
        url = os.environ[f"{service.replace('-', '_').upper()}_URL"]
        validator = Validator(document, url)
        for path, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    check(document, url, path, method, item[method], validator)


def check(document, url, path, method, operation, validator):
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(example(document, parameter)))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    response = requests.request(method, url + path, json=body, timeout=60)
    documented = [int(status) for status in operation["responses"] if status.startswith("2")]
    if response.status_code not in documented:
        raise AssertionError(f"{operation['operationId']}: mocked {response.status_code} {response.text}")
    validator.validate(response)


def example(document, parameter):
    """The example of a parameter, or that of its schema."""
    reference = parameter["schema"].get("$ref")
    schema = document["components"]["schemas"][reference.rpartition("/")[2]] if reference else parameter["schema"]
    return parameter.get("example", schema.get("example"))


main()
