"""What schemathesis checks here beyond its own checks."""

import itertools
import json

import schemathesis

KEY = "Idempotency-Key"
LONGEST_KEY = 255
numbers = itertools.count()

# What is answered before any operation is reached. There, and only there, the contract has no `error_code`.
NO_OPERATION = {(400, "invalid path encoding"), (404, "Not Found"), (405, "Method Not Allowed")}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Makes each key one of its own, if it stays a valid key: to schemathesis two requests with one key are two resources,
    to the contract they are the same one, gone or not. What keys do is tested elsewhere (`tests/idempotency.rs`)."""
    key = (case.headers or {}).get(KEY)
    if isinstance(key, str) and key.strip() == key != "":
        unique = f"{key}{next(numbers)}"
        if len(unique) <= LONGEST_KEY:
            case.headers[KEY] = unique


@schemathesis.check
def documented_error_code(ctx, response, case):
    """An error has an `error_code` that the document lists for this operation and this status."""
    operation, status = case.operation.definition.raw, response.status_code
    if status < 400:
        return
    error = json.loads(response.content)
    code = error.get("error_code")
    if code is None and (status, error["message"]) in NO_OPERATION:
        return
    content = operation["responses"].get(str(status), {}).get("content", {})
    if code not in content.get("application/json", {}).get("examples", {}):
        raise AssertionError(f"{operation['operationId']} does not document {status} {code}")


@schemathesis.check
def refused_only_for_the_page_token(ctx, response, case):
    """In a list, valid data is refused for its `page_token` only: they are opaque, and the schema invents some."""
    is_list = "x-dropshot-pagination" in case.operation.definition.raw
    if is_list and case.meta.generation.mode.is_positive and response.status_code != 200:
        code = json.loads(response.content).get("error_code")
        if code != "invalid_page_token":
            raise AssertionError(f"Valid data was refused as {code}")
