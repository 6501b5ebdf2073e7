"""Resolves pairs of schemas and their payloads with Avro's own library.

Each request is a line of {"writer": schema, "reader": schema, "payloads": [hex], "converted":
[hex or null]}. The response has an entry for each payload: "value" is the converted payload if the
library reads the same value from it, else the value itself; "error" is the reason if the library
rejects the payload; "repairs" names the missing features of the library that the payload needed.

The reader is the library's. Methods that are known to violate the specification, unlike those of
Java, are overridden, and each use of an override is recorded.
"""

import io
import json

import avro.io
import avro.schema
from avro.errors import SchemaResolutionException
from plain import close, plain, serve

NAMED = ("record", "enum", "fixed")
TEXTS = ("bytes", "string")


def name(schema):
    return schema.fullname if schema.type in NAMED else schema.type


def short(schema):
    return schema.fullname.rpartition(".")[2]


def aliases(schema, namespace=""):
    """The aliases of a type as full names, or those of a field as they are."""
    names = schema.props.get("aliases") or []
    return [alias if "." in alias or not namespace else f"{namespace}.{alias}" for alias in names]


class Reader(avro.io.DatumReader):
    """The library's reader, with the branch name in values of unions."""

    def __init__(self, writer, reader):
        super().__init__(writer, reader)
        self.repairs = set()

    def read_data(self, writer, reader, decoder):
        if writer.type == "union" and reader.type != "union":
            self.repairs.add("a writer's union read as one of its branches")
            return self.read_union(writer, reader, decoder)
        if reader.type == "union" and writer.type != "union":
            branch = self.branch(writer, reader)
            return name(branch), self.read_data(writer, branch, decoder)
        if reader.match(writer):
            return super().read_data(writer, reader, decoder)
        repair = self.repair(writer, reader)
        if repair is None:
            raise SchemaResolutionException("Schemas do not match.", writer, reader)
        self.repairs.add(repair)
        if writer.type in TEXTS:
            return decoder.read_utf8() if reader.type == "string" else decoder.read_bytes()
        return getattr(self, f"read_{writer.type}")(writer, reader, decoder)

    def branch(self, writer, union):
        """The branch of the same type, as in other libraries, else the first that accepts it."""
        branches = union.schemas
        same = [branch for branch in branches if name(branch) == name(writer)]
        same = same or [branch for branch in branches if self.repair(writer, branch) == "an alias of a type"]
        accepting = [branch for branch in branches if branch.match(writer)]
        repaired = [branch for branch in branches if self.repair(writer, branch)]
        if same:
            if accepting and same[0] is not accepting[0]:
                self.repairs.add("a branch of the same type after one that accepts it")
            return same[0]
        matching = [branch for branch in branches if branch in accepting or branch in repaired]
        if not matching:
            raise SchemaResolutionException("Schemas do not match.", writer, union)
        return matching[0]

    def repair(self, writer, reader):
        """The missing feature that a match needs, or None if the specification rejects it."""
        if writer.type != reader.type:
            both = writer.type in TEXTS and reader.type in TEXTS
            return "a promotion between bytes and string" if both else None
        if writer.type in ("array", "map"):
            return "items of another type"
        if writer.type in NAMED:
            if writer.type == "fixed" and writer.size != reader.size:
                return None
            if writer.fullname in aliases(reader, reader.namespace):
                return "an alias of a type"
            if short(writer) == short(reader):
                return "a name in another namespace"
        return None

    def read_enum(self, writer, reader, decoder):
        symbol = writer.symbols[decoder.read_int()]
        if symbol in reader.symbols:
            return symbol
        default = reader.props.get("default")
        if default is None:
            raise SchemaResolutionException(f"Symbol {symbol} not present", writer, reader)
        self.repairs.add("a default of the reader's enum")
        return default

    def read_record(self, writer, reader, decoder):
        written = writer.fields_dict
        renamed = {}
        for field in reader.fields:
            if field.name not in written:
                renamed.update({alias: field for alias in aliases(field) if alias in written})
        if not renamed:
            return super().read_record(writer, reader, decoder)
        self.repairs.add("an alias of a field")
        record = {}
        for field in writer.fields:
            target = renamed.get(field.name) or reader.fields_dict.get(field.name)
            if target is None:
                self.skip_data(field.type, decoder)
            else:
                record[target.name] = self.read_data(field.type, target.type, decoder)
        for field in reader.fields:
            if field.name not in record:
                if not field.has_default:
                    raise SchemaResolutionException(f"No default value for field {field.name}", writer, reader)
                record[field.name] = self._read_default_value(field.type, field.default)
        return record

    def _read_default_value(self, schema, value):
        if schema.type == "union":
            for branch in schema.schemas:
                try:
                    return name(branch), self._read_default_value(branch, value)
                except Exception:
                    self.repairs.add("a default of a later branch")
        if schema.type in ("float", "double") and type(value) is int:
            self.repairs.add("an integer default of a floating-point type")
            return float(value)
        if schema.type in ("bytes", "fixed") and isinstance(value, str):
            if not value.isascii():
                self.repairs.add("a default of bytes beyond ASCII")
            if schema.type == "fixed" and len(value) != schema.size:
                raise ValueError(value)
            return value.encode("latin-1")
        if schema.type == "enum" and value not in schema.symbols:
            raise ValueError(value)
        if schema.type == "boolean" and not isinstance(value, bool):
            raise ValueError(value)
        if schema.type in ("int", "long") and isinstance(value, bool):
            raise ValueError(value)
        if schema.type == "array" and not isinstance(value, list):
            raise ValueError(value)
        if schema.type == "record":
            if not isinstance(value, dict):
                raise ValueError(value)
            record = {}
            for field in schema.fields:
                default = value[field.name] if field.name in value else field.default
                record[field.name] = self._read_default_value(field.type, default)
            return record
        return super()._read_default_value(schema, value)


class Plain(avro.io.DatumReader):
    """Reads payloads of one schema, with the branch name in values of unions."""

    def read_union(self, writer, reader, decoder):
        branch = writer.schemas[decoder.read_long()]
        return name(branch), self.read_data(branch, branch, decoder)


def decoder(data):
    return avro.io.BinaryDecoder(io.BytesIO(data))


def read_all(reader, data):
    """Reads a value, and checks that no bytes remain."""
    source = decoder(data)
    value = reader.read(source)
    remaining = len(data) - source.reader.tell()
    if remaining:
        raise ValueError(f"{remaining} bytes remain")
    return value


def same(left, right):
    if isinstance(left, (float, int)) and isinstance(right, float) and not isinstance(left, bool):
        return close(float(left), right)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def parse(schema):
    return avro.schema.parse(json.dumps(plain(schema)))


def respond(request):
    try:
        writer, reader = (parse(request[side]) for side in ("writer", "reader"))
    except Exception as error:
        return {"refused": repr(error)}
    results = []
    for payload, converted in zip(request["payloads"], request["converted"]):
        resolving = Reader(writer, reader)
        try:
            value = read_all(resolving, bytes.fromhex(payload))
        except (Exception, RecursionError) as error:
            results.append({"error": str(error).partition("\n")[0]})
            continue
        result = repr(value)
        if converted is not None:
            try:
                ours = read_all(Plain(reader, reader), bytes.fromhex(converted))
                result = converted if same(value, ours) else f"{value!r}, not {ours!r}"
            except Exception as error:
                result = f"the converted payload is rejected: {error!r}"
        results.append({"value": result, "repairs": sorted(resolving.repairs)})
    return {"read": results}


serve(respond)
