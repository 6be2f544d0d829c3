"""Runs the scenario, and validates every request and response with openapi-core. Arguments: the documents."""

import scenario
from documents import DOCUMENTS, Validator
from plain import Plain, url

client = Plain(lambda service, response: validators[service].validate(response))
validators = {service: Validator(document, url(service)) for service, document in DOCUMENTS.items()}
scenario.run(client)
for service in DOCUMENTS:
    for path in ("/health", "/ready"):
        client.send(service, "GET", path)
