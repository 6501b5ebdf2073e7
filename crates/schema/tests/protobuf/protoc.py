"""Asks protoc which texts it accepts.

One job per line of standard input, in JSON: files by their names, of which m.proto is compiled. One answer per line of
standard output: what protoc says against it, or null, and the descriptors that it makes, with imports, in hex. Each job has a process of its own, for protoc aborts on some texts
that it should refuse.
"""

import json
import os
import sys
import tempfile
from importlib import resources

from grpc_tools import protoc

STANDARD = str(resources.files("grpc_tools") / "_proto")


def compile_in_child(folder, errors):
    os.dup2(errors, 2)
    out = f"--descriptor_set_out={folder}/set"
    arguments = ["protoc", f"-I{folder}", f"-I{STANDARD}", out, "--include_imports", "m.proto"]
    os._exit(0 if protoc.main(arguments) == 0 else 1)


def answer(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
        with open(os.path.join(folder, "errors"), "w+b") as errors:
            child = os.fork()
            if child == 0:
                compile_in_child(folder, errors.fileno())
            _, status = os.waitpid(child, 0)
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").replace(folder + "/", "").strip()
        if status != 0:
            return {"why": said if os.WIFEXITED(status) else f"protoc aborts: {said}", "set": ""}
        with open(os.path.join(folder, "set"), "rb") as file:
            return {"why": None, "set": file.read().hex()}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
