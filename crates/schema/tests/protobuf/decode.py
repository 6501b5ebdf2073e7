"""Decodes payloads with Google's own Protobuf, written with one schema and read with another.

One job per line of standard input, in JSON: the two schemas, as descriptor sets or as texts that protoc compiles, and
payloads in hex. What was lost or refused goes to standard output, one line each.
"""

import functools
import json
import pathlib
import sys
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet


class NotCompiled(Exception):
    """protoc refuses a text."""


# The jobs of a pair come one behind the other.
@functools.lru_cache(maxsize=16)
def compiled(texts):
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts:
            pathlib.Path(folder, name).write_text(text)
        out = pathlib.Path(folder, "set")
        well_known = pathlib.Path(protoc.__file__).parent / "_proto"
        arguments = [f"-I{folder}", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={out}"]
        if protoc.main(["protoc", *arguments, "main.proto"]) != 0:
            raise NotCompiled
        return out.read_bytes()


def message_class(schema):
    pool = descriptor_pool.DescriptorPool()
    descriptors = compiled(tuple(schema["texts"].items())) if "texts" in schema else bytes.fromhex(schema["descriptors"])
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(schema["name"]))


def is_map(field):
    return field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type.GetOptions().map_entry


def values(message, field):
    """A field as a list; entries of a map as pairs in the order of their keys."""
    value = getattr(message, field.name)
    if is_map(field):
        return [(1, key, value[key]) for key in sorted(value)]
    if field.is_repeated:
        return list(value)
    if field.type in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_GROUP):
        return [value] if message.HasField(field.name) else []
    return [value]


def entry(message):
    """What stands where another schema has an entry of a map."""
    if not isinstance(message, Message):
        return (1, message, None)
    fields = message.DESCRIPTOR.fields_by_number
    part = lambda number: getattr(message, fields[number].name) if number in fields else None
    return (1, part(1), part(2))


def differs(was, now):
    if isinstance(was, tuple) or isinstance(now, tuple):
        was = was if isinstance(was, tuple) else entry(was)
        now = now if isinstance(now, tuple) else entry(now)
        return differs(was[1], now[1]) or differs(was[2], now[2])
    if isinstance(was, Message) and isinstance(now, Message):
        return difference(was, now)
    if isinstance(was, Message) or isinstance(now, Message):
        return "a message and a value"
    as_bytes = lambda value: value.encode() if isinstance(value, str) else value
    was, now = as_bytes(was), as_bytes(now)
    if isinstance(was, bytes) != isinstance(now, bytes) or isinstance(was, float) != isinstance(now, float) or was != now:
        return f"{was!r} became {now!r}"
    return None


def is_nothing(value):
    return not isinstance(value, (Message, tuple)) and not value


def difference(written, read):
    for number, field in written.DESCRIPTOR.fields_by_number.items():
        other = read.DESCRIPTOR.fields_by_number.get(number)
        if other is None:
            continue
        was, now = values(written, field), values(read, other)
        if is_map(field) != is_map(other):
            pairs = lambda items: sorted((it if isinstance(it, tuple) else entry(it) for it in items), key=lambda it: str(it[1]))
            was, now = pairs(was), pairs(now)
        # A singular field that is absent has its default; a list has nothing.
        if len(was) != len(now) and len(was) + len(now) == 1 and is_nothing((was + now)[0]):
            continue
        if len(was) != len(now):
            return f"{field.full_name}: {len(was)} values became {len(now)}"
        for one, another in zip(was, now):
            why = differs(one, another)
            if why:
                return f"{field.full_name}: {why}"
    return None


def check_converted(job, writer, reader):
    """Payloads as they were written, as they were converted, and as JSON."""
    for written, converted, text in job.get("converted", []):
        try:
            written = writer.FromString(bytes.fromhex(written))
            read = reader.FromString(bytes.fromhex(converted))
            why = difference(written, read)
            if not why and len(UnknownFieldSet(read)):
                why = "fields that are not known"
            if not why and json_format.Parse(text, reader()) != read:
                why = f"{text} is another payload"
        except (DecodeError, json_format.ParseError, ValueError) as error:
            why = str(error)
        if why:
            return why
    return None


def check(job, writer, reader):
    for payload in job["payloads"]:
        payload = bytes.fromhex(payload)
        written = writer.FromString(payload)
        try:
            why = difference(written, reader.FromString(payload))
            if not why and job["json"]:
                text = json_format.MessageToJson(written, indent=None)
                why = difference(written, json_format.Parse(text, reader(), ignore_unknown_fields=True))
        except (DecodeError, json_format.ParseError, ValueError) as error:
            why = str(error)
        if why:
            return why
    return None


for line in sys.stdin:
    job = json.loads(line)
    answer = {"name": job["name"]}
    try:
        writer, reader = message_class(job["written"]), message_class(job["read"])
        answer["why"] = check(job, writer, reader) or check_converted(job, writer, reader)
    except NotCompiled:
        answer["skipped"] = True
    print(json.dumps(answer))
