"""Shared code of the scripts that resolve pairs with a library."""

import json
import math
import sys


def plain(schema):
    """A schema without logical types: the underlying types are compared."""
    if isinstance(schema, list):
        return [plain(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: value for key, value in schema.items() if key not in ("logicalType", "precision", "scale")}
    for key in ("type", "items", "values"):
        if key in result:
            result[key] = plain(result[key])
    if "fields" in result:
        result["fields"] = [{**field, "type": plain(field["type"])} for field in result["fields"]]
    return result


def close(left, right):
    """Whether two floating-point numbers are equal. Python has no 32-bit floats, so a value that is
    read as a float has more digits."""
    return math.isclose(left, right, rel_tol=1e-6) or (math.isnan(left) and math.isnan(right))


def serve(respond):
    """Responds to each line of JSON with a line of JSON, until the input ends."""
    for line in sys.stdin:
        print(json.dumps(respond(json.loads(line))), flush=True)
