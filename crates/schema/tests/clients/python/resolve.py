"""Resolves pairs of schemas and their payloads with fastavro.

Answers lines of {"writer": schema, "reader": schema, "payloads": [hex], "converted": [hex or null]} with, for each
payload, what the library reads: "value" is the converted payload where that is read as the same value, else the value
itself; "error" is why it could not be read. Logical types are taken out first: what lies beneath is compared.
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


def same(one, other):
    """Whether two values are one, but for what defaults look like: it takes them from the schema as they are, bytes as
    text, whole numbers in place of floating ones, records without the names that branches have and without fields that
    have defaults of their own."""
    if isinstance(one, tuple) != isinstance(other, tuple):
        one, other = (it[1] if isinstance(it, tuple) else it for it in (one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and all(it in other and same(one[it], other[it]) for it in one)
    if isinstance(one, (list, tuple)):
        return isinstance(other, type(one)) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bytes) and isinstance(other, str):
        return one.decode("latin-1") == other
    if isinstance(one, str) and isinstance(other, bytes):
        return same(other, one)
    if isinstance(one, float) and isinstance(other, float):
        return close(one, other)
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def answer(question):
    try:
        writer, reader = (parse(plain(question[side])) for side in ("writer", "reader"))
    except Exception as refused:
        return {"refused": repr(refused)}
    answers = []
    for payload, converted in zip(question["payloads"], question["converted"]):
        try:
            value, rest = read(bytes.fromhex(payload), writer, reader)
            if rest:
                answers.append({"error": f"{len(rest)} bytes are left"})
                continue
        except (Exception, RecursionError) as thrown:
            answers.append({"error": repr(thrown)})
            continue
        if converted is None:
            answers.append({"value": repr(value)})
            continue
        try:
            ours, _ = read(bytes.fromhex(converted), reader, None)
        except Exception as thrown:
            answers.append({"value": f"what we converted is not read: {thrown!r}"})
            continue
        answers.append({"value": converted if same(value, ours) else f"{value!r}, not {ours!r}"})
    return {"read": answers}


serve(answer)
