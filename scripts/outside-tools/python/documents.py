"""The documents as openapi-core reads them."""

import json
import sys

from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse


def read(paths):
    """The documents at these paths, by the name of their service."""
    return {path.rpartition("/")[2].removesuffix(".json"): json.load(open(path)) for path in paths}


class Validator:
    """Validates requests and responses of the service at a URL."""

    def __init__(self, document, url):
        self.openapi = OpenAPI.from_dict({**document, "servers": [{"url": url}]})

    def validate(self, response):
        """Raises AssertionError if the request or the response is invalid."""
        request = RequestsOpenAPIRequest(response.request)
        try:
            # An invalid request would prove nothing about its response.
            self.openapi.validate_request(request)
            self.openapi.validate_response(request, RequestsOpenAPIResponse(response))
        except Exception as error:
            answer = f"{response.request.method} {response.url} answered {response.status_code} {response.text}"
            raise AssertionError(f"{answer}: {error}") from error


DOCUMENTS = read(sys.argv[1:])
