"""Decodes payloads of one schema with another schema, using Google's own Protobuf.

Standard input has one job per line, in JSON: the two schemas, as descriptor sets or as texts that
protoc compiles, and payloads in hex. Standard output has one answer per line, with the first lost
or rejected value.
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
    """protoc rejects a text."""


# The jobs of a pair are consecutive.
@functools.lru_cache(maxsize=16)
def compiled(texts):
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts:
            pathlib.Path(folder, name).write_text(text)
        out = pathlib.Path(folder, "set")
        well_known = pathlib.Path(protoc.__file__).parent / "_proto"
        output = ["--include_imports", f"--descriptor_set_out={out}"]
        arguments = [f"-I{folder}", f"-I{well_known}", *output]
        if protoc.main(["protoc", *arguments, "main.proto"]) != 0:
            raise NotCompiled
        return out.read_bytes()


def message_class(schema):
    pool = descriptor_pool.DescriptorPool()
    if "texts" in schema:
        descriptors = compiled(tuple(schema["texts"].items()))
    else:
        descriptors = bytes.fromhex(schema["descriptors"])
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(schema["name"]))


def is_map(field):
    return field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type.GetOptions().map_entry


def values(message, field):
    """The values of a field as a list; map entries as pairs in key order."""
    value = getattr(message, field.name)
    if is_map(field):
        return [(1, key, value[key]) for key in sorted(value)]
    if field.is_repeated:
        return list(value)
    if field.type in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_GROUP):
        return [value] if message.HasField(field.name) else []
    return [value]


def entry(message):
    """Converts a value to a map entry, if the other schema has a map."""
    if not isinstance(message, Message):
        return (1, message, None)
    fields = message.DESCRIPTOR.fields_by_number
    part = lambda number: getattr(message, fields[number].name) if number in fields else None
    return (1, part(1), part(2))


def differs(before, after):
    if isinstance(before, tuple) or isinstance(after, tuple):
        before = before if isinstance(before, tuple) else entry(before)
        after = after if isinstance(after, tuple) else entry(after)
        return differs(before[1], after[1]) or differs(before[2], after[2])
    if isinstance(before, Message) and isinstance(after, Message):
        return difference(before, after)
    if isinstance(before, Message) or isinstance(after, Message):
        return "a message and a value"
    as_bytes = lambda value: value.encode() if isinstance(value, str) else value
    before, after = as_bytes(before), as_bytes(after)
    kinds = (bytes, float)
    differs_in_type = any(isinstance(before, kind) != isinstance(after, kind) for kind in kinds)
    if differs_in_type or before != after:
        return f"{before!r} became {after!r}"
    return None


def is_zero(value):
    return not isinstance(value, (Message, tuple)) and not value


def difference(written, read):
    for number, field in written.DESCRIPTOR.fields_by_number.items():
        other = read.DESCRIPTOR.fields_by_number.get(number)
        if other is None:
            continue
        before, after = values(written, field), values(read, other)
        if is_map(field) != is_map(other):
            pair = lambda item: item if isinstance(item, tuple) else entry(item)
            pairs = lambda items: sorted(map(pair, items), key=lambda pair: str(pair[1]))
            before, after = pairs(before), pairs(after)
        # An absent singular field has its default; an absent list is empty.
        both = before + after
        if len(before) != len(after) and len(both) == 1 and is_zero(both[0]):
            continue
        if len(before) != len(after):
            return f"{field.full_name}: {len(before)} values became {len(after)}"
        for before_value, after_value in zip(before, after):
            why = differs(before_value, after_value)
            if why:
                return f"{field.full_name}: {why}"
    return None


def check_converted(job, writer, reader):
    """Compares converted payloads and their JSON with the original payloads."""
    for written, converted, text in job.get("converted", []):
        try:
            written = writer.FromString(bytes.fromhex(written))
            read = reader.FromString(bytes.fromhex(converted))
            why = difference(written, read)
            if not why and len(UnknownFieldSet(read)):
                why = "unknown fields"
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
                read = json_format.Parse(text, reader(), ignore_unknown_fields=True)
                why = difference(written, read)
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
