"""What the scripts that resolve pairs with a library have in common."""

import json
import math
import sys


def plain(schema):
    """A schema without logical types: what lies beneath them is compared."""
    if isinstance(schema, list):
        return [plain(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: value for key, value in schema.items() if key not in ("logicalType", "precision", "scale")}
    for key in ("type", "items", "values"):
        if key in made:
            made[key] = plain(made[key])
    if "fields" in made:
        made["fields"] = [{**field, "type": plain(field["type"])} for field in made["fields"]]
    return made


def close(one, other):
    """Whether two floating numbers are one: Python has none of 32 bits, so what is read as a float keeps more digits."""
    return math.isclose(one, other, rel_tol=1e-6) or (math.isnan(one) and math.isnan(other))


def serve(answer):
    """Answers questions, a line of JSON each, until there are no more."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
