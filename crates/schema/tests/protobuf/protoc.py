"""Compiles texts with protoc.

Standard input has one job per line, in JSON: files by name, of which m.proto is compiled. Standard
output has one answer per line: the error of protoc, or null, and the descriptor set with imports,
in hex. Each job runs in its own process, because protoc aborts on some invalid texts.
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
            error = errors.read().decode("utf-8", "replace").replace(folder + "/", "").strip()
        if status != 0:
            return {"why": error if os.WIFEXITED(status) else f"protoc aborts: {error}", "set": ""}
        with open(os.path.join(folder, "set"), "rb") as file:
            return {"why": None, "set": file.read().hex()}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
