#!/usr/bin/env python3
"""Writes the descriptors that releases of a PyPI package carry, as one FileDescriptorSet a release.

    scripts/descriptors.py PACKAGE RELEASE[,RELEASE...] FOLDER

Generated code for Python has its descriptors inside as bytes: they are taken out of the text, and nothing of the package
is run. FOLDER gets PACKAGE-RELEASE.binpb. Needs pip.
"""

import ast
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

SERIALIZED = re.compile(r"""(?:AddSerializedFile\(|serialized_pb=)(b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*")""")


def length_delimited(content: bytes) -> bytes:
    """Field 1 with these bytes."""
    length, prefix = len(content), bytearray([0x0A])
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + content


def main(package: str, releases: str, folder: pathlib.Path) -> None:
    for release in releases.split(","):
        target = folder / f"{package}-{release}.binpb"
        if target.exists():
            continue
        with tempfile.TemporaryDirectory() as wheels:
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--only-binary", ":all:", "--dest", wheels, f"{package}=={release}"],
                check=True,
            )
            (wheel,) = pathlib.Path(wheels).glob("*.whl")
            with zipfile.ZipFile(wheel) as files:
                names = [name for name in sorted(files.namelist()) if name.endswith("_pb2.py")]
                texts = [files.read(name).decode() for name in names]
        found = [SERIALIZED.search(text) for text in texts]
        if not all(found) or not found:
            raise SystemExit(f"{package} {release}: a generated file has no descriptor where it was expected")
        # Whoever finds the file finds all of it.
        part = target.with_suffix(".part")
        part.write_bytes(b"".join(length_delimited(ast.literal_eval(match[1])) for match in found))
        part.rename(target)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]))
