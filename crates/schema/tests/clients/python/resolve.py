"""Resolves pairs of schemas and their payloads with fastavro.

Each request is a line of {"writer": schema, "reader": schema, "payloads": [hex], "converted":
[hex or null]}. The response has an entry for each payload: "value" is the converted payload if the
library reads the same value from it, else the value itself; "error" is the reason if the library
rejects the payload. Logical types are removed: the underlying types are compared.
"""

import copy
import io

import fastavro
from plain import close, plain, serve


def parse(schema):
    return fastavro.parse_schema(copy.deepcopy(schema))


def read(data, writer, reader):
    rest = io.BytesIO(data)
    value = fastavro.schemaless_reader(rest, writer, reader, return_record_name=True)
    return value, rest.read()


def same(left, right):
    """Whether two values are equal, except for the form of defaults. The library copies defaults from
    the schema: bytes as text, integers in place of floating-point numbers, and records without the
    names of union branches and without fields that have defaults."""
    if isinstance(left, tuple) != isinstance(right, tuple):
        left, right = (value[1] if isinstance(value, tuple) else value for value in (left, right))
    if isinstance(left, dict):
        return isinstance(right, dict) and all(key in right and same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return isinstance(right, type(left)) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bytes) and isinstance(right, str):
        return left.decode("latin-1") == right
    if isinstance(left, str) and isinstance(right, bytes):
        return same(right, left)
    if isinstance(left, float) and isinstance(right, float):
        return close(left, right)
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def respond(request):
    try:
        writer, reader = (parse(plain(request[side])) for side in ("writer", "reader"))
    except Exception as error:
        return {"refused": repr(error)}
    results = []
    for payload, converted in zip(request["payloads"], request["converted"]):
        try:
            value, rest = read(bytes.fromhex(payload), writer, reader)
            if rest:
                results.append({"error": f"{len(rest)} bytes remain"})
                continue
        except (Exception, RecursionError) as error:
            results.append({"error": repr(error)})
            continue
        if converted is None:
            results.append({"value": repr(value)})
            continue
        try:
            ours, _ = read(bytes.fromhex(converted), reader, None)
        except Exception as error:
            results.append({"value": f"the converted payload is rejected: {error!r}"})
            continue
        results.append({"value": converted if same(value, ours) else f"{value!r}, not {ours!r}"})
    return {"read": results}


serve(respond)
