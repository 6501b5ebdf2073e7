"""Checks verdicts with another validator: one JSON object a line, the contradictions come out."""

import json
import sys

from jsonschema import validators

contradicted = 0
for line in sys.stdin:
    # Python's expressions have no properties of Unicode.
    if r"\\p{" in line:
        continue
    case = json.loads(line)
    sides = []
    for side in ("writer", "reader"):
        schema = case[side]
        kind = validators.validator_for(schema, default=validators.Draft202012Validator)
        sides.append(kind(schema))
    writer, reader = sides
    try:
        for payload in case["payloads"]:
            refuted = writer.is_valid(payload) and not reader.is_valid(payload)
            if refuted != case["refuted"] and (refuted or case["refuted"]):
                contradicted += 1
                print(json.dumps({"payload": payload, **case}))
    except RecursionError:
        pass
print(f"{contradicted} contradicted", file=sys.stderr)
