#!/usr/bin/env python3
"""Runs the ```console blocks of an example's README.md in a new folder, in one shell.

    example.py FOLDER ADDRESS [PORT COMMAND...]

The output of a command has to equal the lines below it. A command whose output ends with ^C is
killed after it has printed these lines and COMMAND, which runs meanwhile, has succeeded.
localhost:7171 is replaced by the address of the server, and the port of localhost:8080 by PORT.
"""

import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The timeout for the next line of a command; some commands generate stubs.
PATIENCE_SECONDS = 120
DONE = "--- done with"
# Maven resets the terminal's colour even without a terminal.
COLOURS = re.compile("\x1b\\[[0-9;]*m")


def steps(readme):
    """Pairs of a command and the lines below it."""
    steps, inside = [], False
    for line in readme.splitlines():
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            steps.append((line[2:], []))
        elif inside:
            steps[-1][1].append(line)
    return steps


class Shell:
    def __init__(self, folder):
        self.errors = tempfile.TemporaryFile(mode="w+")
        # A standard input without data: some programs end when their input is closed.
        self.keyboard, self.typist = os.pipe()
        self.process = subprocess.Popen(
            ["bash"], cwd=folder, text=True, bufsize=1, pass_fds=[self.keyboard],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.lines.put(COLOURS.sub("", line.rstrip("\n")))
        self.lines.put(None)

    def say(self, command):
        self.process.stdin.write(command + "\n")

    def hear(self):
        try:
            return self.lines.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            return None

    def play(self, command, expected, meanwhile):
        """Runs a command. Returns its output, and how it ended."""
        printed = []
        if expected[-1:] == ["^C"]:
            self.say(f"( exec {command} ) <&{self.keyboard} & running=$!")
            while printed != expected[:-1]:
                line = self.hear()
                if line is None:
                    return printed, "it printed no more"
                printed.append(line)
                if printed != expected[: len(printed)]:
                    return printed, "it goes on"
            if meanwhile and subprocess.run(meanwhile).returncode != 0:
                return printed, "what was run meanwhile failed"
            self.say(f"kill $running; wait $running; echo '{DONE}' 0")
            printed.append("^C")
        else:
            self.say(f"{command}\necho '{DONE}' $?")
        while True:
            line = self.hear()
            if line is None:
                return printed, "it does not end"
            if line.startswith(DONE):
                return printed, line.removeprefix(DONE).strip()
            printed.append(line)


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: example.py FOLDER ADDRESS [PORT COMMAND...]")
    source, address = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    port, meanwhile = (sys.argv[3:4] or ["8080"])[0], sys.argv[4:]
    with tempfile.TemporaryDirectory() as fresh:
        folder = pathlib.Path(fresh) / "examples" / source.name
        # Build outputs in the example's folder are not copied.
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=source, check=True, capture_output=True, text=True,
        )
        for name in tracked.stdout.splitlines():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, folder / name)
        shutil.copytree(ROOT / "proto", pathlib.Path(fresh) / "proto")
        shell = Shell(folder)
        try:
            for command, expected in steps((folder / "README.md").read_text()):
                real = command.replace("localhost:7171", address)
                real = real.replace("localhost:8080", f"localhost:{port}")
                printed, ended = shell.play(real, expected, meanwhile)
                if printed != expected or ended != "0":
                    shell.errors.seek(0)
                    sys.exit(
                        f"{command}\nexpected:\n  " + "\n  ".join(expected) + "\nsaw:\n  "
                        + "\n  ".join(printed) + f"\nended: {ended}\n{shell.errors.read()}"
                    )
                print("ok:", command, flush=True)
        finally:
            shell.process.kill()


if __name__ == "__main__":
    main()
