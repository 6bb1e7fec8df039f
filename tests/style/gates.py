#!/usr/bin/python3
"""The style gates: rules about the source that a program can check.

    tests/style/gates.py [--root DIR] [--bin DIR] [GATE...]

Each gate is a function that yields one sentence for each fault. The output is TAP, one test for each
gate; the exit status is 1 when a gate found something. gates_test.py shows each gate a bad tree.
"""

import argparse
import ast
import json
import pathlib
import re
import subprocess
import sys
import tempfile

FUNCTION_LINES_MAX = 60
FUNCTION_LINES_NEVER = 100
FILE_LINES_MAX = 800
FILE_LINES_NEVER = 1500
PARAMETERS_MAX = 5
COLUMNS_MAX = 100
README_LINES_MAX = 100
TAB_COLUMNS = 8

FOLDERS = ("src", "include", "contrib", "sql", "tests", "packaging")
CODE = (".c", ".h", ".py", ".sh", ".sql")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


class Tree:
    """The files of a source tree, by path relative to its root."""

    def __init__(self, root, programs=None):
        self.root = pathlib.Path(root)
        self.programs = pathlib.Path(programs) if programs else None

    def files(self, *suffixes, folders=FOLDERS):
        for folder in folders:
            for path in sorted((self.root / folder).rglob("*")):
                if path.is_file() and path.suffix in suffixes and "__pycache__" not in path.parts:
                    yield path.relative_to(self.root)

    def lines(self, path):
        return (self.root / path).read_text(errors="replace").splitlines()

    def table(self, name):
        """A list below tests/style: words of each line that is not empty and not a comment."""
        path = self.root / "tests/style" / name
        if not path.exists():
            return []
        return [line.split() for line in self.lines(path) if line.strip() and not line.startswith("#")]

    def allowed(self, name):
        """Exceptions: (path, what) -> reason."""
        return {(row[0], row[1]): " ".join(row[2:]) for row in self.table(name)}


def stale(tree, name, used):
    """An exception must have a reason and must still be needed (a file not there yet may keep its line)."""
    for (path, what), reason in tree.allowed(name).items():
        if not reason:
            yield f"tests/style/{name}: {path} {what} gives no reason"
        elif (path, what) not in used and (tree.root / path).exists():
            yield f"tests/style/{name}: {path} {what} is no longer needed"


def layers(tree):
    """A folder includes only itself and the layers before it; an outside header has one owner."""
    rows = tree.table("layers.txt")
    rank = {row[0]: place for place, row in enumerate(rows) if row[0] != "libc"}
    owners = [(prefix, row[0]) for row in rows for prefix in row[1:]]
    for path in tree.files(".c", ".h", folders=("src", "include")):
        here = path.parts[1]
        if here not in rank:
            yield f"{path}: layers.txt has no layer {here}"
            continue
        for number, line in enumerate(tree.lines(path), 1):
            found = INCLUDE.match(line)
            if found:
                fault = include_fault(tree, path, found[1], found[2], rank, owners)
                if fault:
                    yield f"{path}:{number}: {fault}"


def include_fault(tree, path, quote, name, rank, owners):
    here = path.parts[1]
    if quote == "<":
        named_by = [owner for prefix, owner in owners if name.startswith(prefix)]
        if not named_by:
            return f"<{name}> is in no line of layers.txt"
        if "libc" not in named_by and here not in named_by:
            return f"only {named_by[0]} may use <{name}>"
        return None
    if ".." in name.split("/"):
        return f'no ../ in includes ("{name}")'
    folder = name.split("/")[0]
    if "/" not in name:
        return None if (tree.root / path.parent / name).exists() else f'"{name}" is not beside this file'
    if folder not in rank:
        return f'"{name}" is in no layer'
    return f"{here} may not use {folder}" if rank[folder] > rank[here] else None


def c_functions(tree):
    """(path, line, name, lines, parameters) of each C function, as universal-ctags sees them."""
    paths = [str(path) for path in tree.files(".c", ".h")]
    if not paths:
        return
    tags = subprocess.run(
        ["ctags", "--languages=C", "--map-C=+.h", "--kinds-C=f", "--fields=+neS", "--output-format=json", "-f", "-",
         "-L", "-"],
        cwd=tree.root, input="\n".join(paths), stdout=subprocess.PIPE, check=True, text=True)
    for row in map(json.loads, tags.stdout.splitlines()):
        if "end" in row:
            yield (row["path"], row["line"], row["name"], row["end"] - row["line"] + 1,
                   parameter_count(row.get("signature", "()")))


def parameter_count(signature):
    """Parameters of "(int a, void (*f)(int, int))": the commas outside inner brackets, plus one."""
    depth, count, inner = 0, 1, signature.strip()[1:-1].strip()
    if inner in ("", "void"):
        return 0
    for letter in inner:
        depth += (letter == "(") - (letter == ")")
        count += letter == "," and depth == 0
    return count


def python_functions(tree):
    for path in tree.files(".py"):
        for node in ast.walk(ast.parse((tree.root / path).read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield str(path), node.lineno, node.name, node.end_lineno - node.lineno + 1, 0


def sizes(tree):
    """Functions, files, parameters and columns keep to their limits."""
    allowed, used = tree.allowed("sizes.allow"), set()
    for path, line, name, length, parameters in [*c_functions(tree), *python_functions(tree)]:
        if length > FUNCTION_LINES_MAX:
            used.add((path, name))
            if length > FUNCTION_LINES_NEVER or (path, name) not in allowed:
                yield (f"{path}:{line}: {name}() has {length} lines, limit {FUNCTION_LINES_MAX} (split it; or, up to "
                       f"{FUNCTION_LINES_NEVER}, list it in sizes.allow with a reason)")
        if parameters > PARAMETERS_MAX:
            used.add((path, name))
            if (path, name) not in allowed:
                yield f"{path}:{line}: {name}() has {parameters} parameters, limit {PARAMETERS_MAX} (or list it)"
    for path in map(str, tree.files(*CODE)):
        lines = tree.lines(path)
        if len(lines) > FILE_LINES_MAX:
            used.add((path, "file"))
            if len(lines) > FILE_LINES_NEVER or (path, "file") not in allowed:
                yield f"{path}: has {len(lines)} lines, limit {FILE_LINES_MAX}"
        yield from wide_lines(path, lines)
    yield from stale(tree, "sizes.allow", used)


def wide_lines(path, lines):
    limit = COLUMNS_MAX if path.endswith((".c", ".h")) else COLUMNS_MAX + 40
    for number, line in enumerate(lines, 1):
        width = len(line.expandtabs(TAB_COLUMNS))
        if width > limit and '"' not in line:
            yield f"{path}:{number}: {width} columns, limit {limit}"


TEST_FOLDERS = tuple(f"tests/{kind}" for kind in ("unit", "store", "fault", "fuzz", "cli", "pg", "versions", "tools",
                                                  "services"))
BANNED = (
    # word, where, in which files, what to do instead
    # (a benchmark may wait between two measurements)
    ("sleep", re.compile(r"(?<!\w)(?:u|nano)?sleep\s*\(|^\s*sleep\s+[\d.]"), TEST_FOLDERS,
     "wait for a condition with a deadline"),
    ("leftover", re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b"), FOLDERS, "do it, or leave it out"),
)


def words(tree):
    """Dangerous words do not compile, and tests do not sleep."""
    allowed, used = tree.allowed("words.allow"), set()
    for path in map(str, tree.files(".c", folders=("src",))):
        includes = [found[2] for found in map(INCLUDE.match, tree.lines(path)) if found]
        if includes[-1:] != ["base/poison.h"]:
            used.add((path, "poison"))
            if (path, "poison") not in allowed:
                yield f'{path}: the last include must be "base/poison.h"'
    for word, pattern, folders, advice in BANNED:
        for path in map(str, tree.files(*CODE, folders=folders)):
            hits = [number for number, line in enumerate(tree.lines(path), 1) if pattern.search(line)]
            if hits:
                used.add((path, word))
                if (path, word) not in allowed:
                    yield from (f"{path}:{number}: {word}: {advice}" for number in hits)
    yield from stale(tree, "words.allow", used)


def formatting(tree):
    """clang-format 14 has nothing to change."""
    paths = [str(path) for path in tree.files(".c", ".h")]
    if not paths:
        return
    result = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *paths], cwd=tree.root,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, text=True)
    faults = {line.split(":")[0]: line.split(":")[1] for line in reversed(result.stderr.splitlines())
              if ": error: " in line}
    yield from (f"{path}:{line}: run `make format`" for path, line in sorted(faults.items()))
    if result.returncode and not faults:
        yield f"clang-format-14: {result.stderr.strip()}"


def readmes(tree):
    """Each folder of src explains itself on one screen."""
    for folder in sorted((tree.root / "src").glob("*/")):
        if not any(folder.glob("*.c")):
            continue
        readme = folder / "README.md"
        lines = readme.read_text().splitlines() if readme.exists() else []
        if len(lines) < 5:
            yield f"src/{folder.name}: has no README.md that says what the folder is"
        elif len(lines) > README_LINES_MAX:
            yield f"src/{folder.name}/README.md: has {len(lines)} lines, a screen has {README_LINES_MAX}"


DOCUMENTS = {"packaging/seawall.conf": "sample", "packaging/seawall.bash": "completion", "doc/commands.md": "commands-md"}


def documents(tree):
    """What `seawall doc` prints is what is committed."""
    if not (tree.root / "src/cli/doc.c").exists():
        return
    program = tree.programs / "seawall" if tree.programs else None
    if not program or not program.exists():
        yield "the program seawall is not built (give its folder with --bin)"
        return
    with tempfile.TemporaryDirectory() as folder:
        command = ["man", "all", folder]
        printed = subprocess.run([program, "doc", *command], stdin=subprocess.DEVNULL, check=False)
        if printed.returncode:
            yield f"seawall doc man all: exit status {printed.returncode}"
        there, wanted = tree.root / "doc/man", pathlib.Path(folder)
        for name in sorted({path.name for path in [*there.glob("*"), *wanted.glob("*")]}):
            if not (wanted / name).exists():
                yield f"doc/man/{name}: is no page of `seawall doc man all`"
            else:
                yield from document_fault(tree, f"doc/man/{name}", (wanted / name).read_bytes())
    for name, word in DOCUMENTS.items():
        printed = subprocess.run([program, "doc", word], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
        if printed.returncode:
            yield f"seawall doc {word}: exit status {printed.returncode}"
        else:
            yield from document_fault(tree, name, printed.stdout)


def document_fault(tree, name, printed):
    path = tree.root / name
    if not path.exists() or path.read_bytes() != printed:
        yield f"{name}: differs from what the tables say (run `make doc`)"


CAUSES = 54


def causes(tree):
    """Each root cause has a test with its number, or says where it belongs (the table in tests/README.md)."""
    if not (tree.root / "tests/README.md").exists():
        yield "tests/README.md: is not there"
        return
    rows = [line.strip("| ").split(" | ") for line in tree.lines("tests/README.md") if re.match(r"\| D\d+ \|", line)]
    if [row[0] for row in rows] != [f"D{number}" for number in range(1, CAUSES + 1)]:
        yield f"tests/README.md: the table must have D1 to D{CAUSES} in this order"
    text = "\n".join((tree.root / path).read_text(errors="replace") for path in tree.files(".c", ".py", folders=("tests",))
                     if path.parts[1] != "style")
    for number, _, here in (row for row in rows if len(row) == 3):
        tests = re.findall(r"`(\w+)`", here)
        numbered = re.compile(rf"(?:^|_)d0*{number[1:]}(?:_|$)")
        if here == "open":
            yield from (f"tests/README.md: {number} is open, but there is `{test}`"
                        for test in sorted(set(re.findall(r"\b(\w+_\w+)\(", text))) if numbered.search(test))
        for test in tests:
            if not numbered.search(test):
                yield f"tests/README.md: {number}: {test} does not carry the number"
            if not re.search(rf"\b{test}\(", text):
                yield f"tests/README.md: {number}: there is no test {test}"
        if not tests and not re.match(r"open$|later: \w|cannot happen: \w", here):
            yield f"tests/README.md: {number}: names no test and gives no reason"


GATES = {"layers": layers, "sizes": sizes, "words": words, "format": formatting, "readmes": readmes,
         "documents": documents, "causes": causes}


def main():
    here = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=here)
    parser.add_argument("--bin", help="folder of the built programs")
    parser.add_argument("gate", nargs="*", help=", ".join(GATES))
    options = parser.parse_args()
    tree, failed = Tree(options.root, options.bin), False
    names = options.gate or list(GATES)
    print(f"1..{len(names)}")
    for number, name in enumerate(names, 1):
        faults = list(GATES[name](tree))
        failed = failed or bool(faults)
        print(f"{'not ok' if faults else 'ok'} {number} - {name}: {GATES[name].__doc__}")
        for fault in faults:
            print(f"# {fault}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
