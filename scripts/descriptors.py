#!/usr/bin/env python3
"""Writes the descriptors of releases of a PyPI package, as one FileDescriptorSet per release.

    scripts/descriptors.py PACKAGE RELEASE[,RELEASE...] FOLDER

Generated Python code contains its descriptors as bytes. They are extracted from the text; no code of
the package is run. Writes FOLDER/PACKAGE-RELEASE.binpb. Needs pip.
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
        matches = [SERIALIZED.search(text) for text in texts]
        if not all(matches) or not matches:
            raise SystemExit(f"{package} {release}: a generated file has no descriptor")
        # A file with the final name is complete.
        partial = target.with_suffix(".part")
        descriptors = (length_delimited(ast.literal_eval(match[1])) for match in matches)
        partial.write_bytes(b"".join(descriptors))
        partial.rename(target)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]))
