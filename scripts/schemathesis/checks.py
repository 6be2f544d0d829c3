"""Checks and hooks that extend schemathesis."""

import itertools
import json
import re
import unicodedata

import schemathesis

KEY = "Idempotency-Key"
MAX_KEY_LENGTH = 255
CONDITIONS = ("If-Match", "If-None-Match")
ENTITY_TAGS = re.compile(r'[*]|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*')
numbers = itertools.count()

# The error codes of requests that reach no operation; no operation lists them.
NO_OPERATION = {(400, "invalid_path"), (404, "not_found"), (405, "method_not_allowed")}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Makes each idempotency key unique if it stays valid: schemathesis expects two requests to create two resources,
    but a repeated key creates only one. `tests/idempotency.rs` tests the keys. Makes valid bodies hold what the document
    can say only in words: a name has a visible character and no control characters, a list of items has each product
    once, a list of channels has each once and `sms` only with a phone number, an order has one of its two forms, and a
    search has a word."""
    is_valid = case.meta and case.meta.generation.mode.is_positive
    if is_valid and isinstance(case.body, dict):
        case.body = {name: text_of(value) if isinstance(value, str) else value for name, value in case.body.items()}
        if isinstance(items := case.body.get("items"), list):
            case.body["items"] = list({item["product_id"]: item for item in items}.values())
        if isinstance(channels := case.body.get("channels"), list):
            case.body["channels"] = [one for one in dict.fromkeys(channels) if one != "sms" or "phone" in case.body]
        if case.operation.definition.raw["operationId"] == "order_create":
            case.body = in_one_form(case.body)
    search = (case.query or {}).get("search")
    if is_valid and isinstance(search, str):
        search = text_of(search)
        case.query["search"] = search if any(character.isalnum() for character in search) else "x"
    for name in CONDITIONS:
        condition = (case.headers or {}).get(name)
        if is_valid and condition is not None and not ENTITY_TAGS.fullmatch(condition):
            # Its values of the least length ignore the pattern.
            case.headers[name] = '"1"'
    key = (case.headers or {}).get(KEY)
    if isinstance(key, str) and key.strip() == key != "":
        unique = f"{key}{next(numbers)}"
        if len(unique) <= MAX_KEY_LENGTH:
            case.headers[KEY] = unique


def in_one_form(order):
    """`order` with either `items`, or `product_id` and `quantity`."""
    if "items" in order:
        return {name: value for name, value in order.items() if name not in ("product_id", "quantity")}
    return {"product_id": 1, "quantity": 1} | order


def text_of(value):
    """`value` as text: without control characters, and with a visible one."""
    text = "".join(character for character in value if unicodedata.category(character) != "Cc")
    # The invisible letters of Unicode, Hangul fillers, come later.
    visible = (character < "\u1100" and unicodedata.category(character)[0] in "LNPS" for character in text)
    return text if any(visible) else "x"


@schemathesis.check
def documented_error_code(ctx, response, case):
    """Every error has an `error_code` that the document lists for this operation and status."""
    operation, status = case.operation.definition.raw, response.status_code
    if status < 400:
        return
    code = json.loads(response.content).get("error_code")
    if (status, code) in NO_OPERATION:
        return
    content = operation["responses"].get(str(status), {}).get("content", {})
    if code not in content.get("application/json", {}).get("examples", {}):
        raise AssertionError(f"{operation['operationId']} does not document {status} {code}")


@schemathesis.check
def refused_only_for_page_token(ctx, response, case):
    """A list refuses valid data only for its `page_token`: tokens are opaque, and schemathesis invents some."""
    is_list = "x-dropshot-pagination" in case.operation.definition.raw
    if is_list and case.meta.generation.mode.is_positive and response.status_code != 200:
        code = json.loads(response.content).get("error_code")
        if code != "invalid_page_token":
            raise AssertionError(f"Valid data was refused as {code}")
