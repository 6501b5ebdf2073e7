"""Checks verdicts with another validator. Reads one JSON object per line and prints contradictions."""

import json
import sys

from jsonschema import validators

contradicted = 0
for line in sys.stdin:
    # Regular expressions of Python lack Unicode properties.
    if r"\\p{" in line:
        continue
    case = json.loads(line)
    schemas = []
    for role in ("writer", "reader"):
        schema = case[role]
        validator = validators.validator_for(schema, default=validators.Draft202012Validator)
        schemas.append(validator(schema))
    writer, reader = schemas
    try:
        for payload in case["payloads"]:
            refuted = writer.is_valid(payload) and not reader.is_valid(payload)
            if refuted != case["refuted"] and (refuted or case["refuted"]):
                contradicted += 1
                print(json.dumps({"payload": payload, **case}))
    except RecursionError:
        pass
print(f"{contradicted} contradicted", file=sys.stderr)
