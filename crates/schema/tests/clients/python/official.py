"""Resolves pairs of schemas and their payloads with Avro's own library.

Answers lines of {"writer": schema, "reader": schema, "payloads": [hex], "converted": [hex or null]} with what is read of
each payload: "value" is the converted payload where that is read as the same value, else the value itself; "error" is why
it could not be read. "repairs" names what the library's reader lacks, of all that the payload needed.

The reader is the library's. Where it is known not to do what the specification asks of a reader, and Java's does, a
method is overridden, and says so each time that it is needed.
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


def aliases(of, space=""):
    """The aliases of a type as full names; those of a field as they are."""
    found = of.props.get("aliases") or []
    return [it if "." in it or not space else f"{space}.{it}" for it in found]


class Reader(avro.io.DatumReader):
    """The library's, with unions that say their branch."""

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
        how = self.repaired(writer, reader)
        if how is None:
            raise SchemaResolutionException("Schemas do not match.", writer, reader)
        self.repairs.add(how)
        if writer.type in TEXTS:
            return decoder.read_utf8() if reader.type == "string" else decoder.read_bytes()
        return getattr(self, f"read_{writer.type}")(writer, reader, decoder)

    def branch(self, writer, union):
        """The same type where there is one, as all libraries but this one have it; else the first that takes it."""
        same = [it for it in union.schemas if name(it) == name(writer)]
        same = same or [it for it in union.schemas if self.repaired(writer, it) == "an alias of a type"]
        takes = [it for it in union.schemas if it.match(writer)]
        repaired = [it for it in union.schemas if self.repaired(writer, it)]
        if same:
            if takes and same[0] is not takes[0]:
                self.repairs.add("a branch of the very type, behind one that takes it")
            return same[0]
        found = [it for it in union.schemas if it in takes or it in repaired]
        if not found:
            raise SchemaResolutionException("Schemas do not match.", writer, union)
        return found[0]

    def repaired(self, writer, reader):
        """What would have to be repaired for a type to take another one; None where the specification has it so."""
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
                renamed.update({it: field for it in aliases(field) if it in written})
        if not renamed:
            return super().read_record(writer, reader, decoder)
        self.repairs.add("an alias of a field")
        record = {}
        for field in writer.fields:
            into = renamed.get(field.name) or reader.fields_dict.get(field.name)
            if into is None:
                self.skip_data(field.type, decoder)
            else:
                record[into.name] = self.read_data(field.type, into.type, decoder)
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
            self.repairs.add("a whole number as the default of a floating one")
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
                given = value[field.name] if field.name in value else field.default
                record[field.name] = self._read_default_value(field.type, given)
            return record
        return super()._read_default_value(schema, value)


class Plain(avro.io.DatumReader):
    """Reads what was written with the very schema; unions say the branch that was written."""

    def read_union(self, writer, reader, decoder):
        branch = writer.schemas[decoder.read_long()]
        return name(branch), self.read_data(branch, branch, decoder)


def decoder(data):
    return avro.io.BinaryDecoder(io.BytesIO(data))


def whole(reader, data):
    """A value, and that nothing is left behind it."""
    source = decoder(data)
    value = reader.read(source)
    left = len(data) - source.reader.tell()
    if left:
        raise ValueError(f"{left} bytes are left")
    return value


def same(one, other):
    if isinstance(one, (float, int)) and isinstance(other, float) and not isinstance(one, bool):
        return close(float(one), other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[it], other[it]) for it in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def parse(schema):
    return avro.schema.parse(json.dumps(plain(schema)))


def answer(question):
    try:
        writer, reader = (parse(question[side]) for side in ("writer", "reader"))
    except Exception as refused:
        return {"refused": repr(refused)}
    answers = []
    for payload, converted in zip(question["payloads"], question["converted"]):
        resolving = Reader(writer, reader)
        try:
            value = whole(resolving, bytes.fromhex(payload))
        except (Exception, RecursionError) as thrown:
            answers.append({"error": str(thrown).partition("\n")[0]})
            continue
        result = repr(value)
        if converted is not None:
            try:
                ours = whole(Plain(reader, reader), bytes.fromhex(converted))
                result = converted if same(value, ours) else f"{value!r}, not {ours!r}"
            except Exception as thrown:
                result = f"what we converted is not read: {thrown!r}"
        answers.append({"value": result, "repairs": sorted(resolving.repairs)})
    return {"read": answers}


serve(answer)
