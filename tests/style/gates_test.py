"""Each style gate is shown a small good tree, then the same tree with one fault, and must find exactly that."""

import os
import pathlib
import shutil

import pytest

import gates

HERE = pathlib.Path(__file__).resolve().parent
GOOD = '#include <stdio.h>\n\n#include "base/err.h"\n#include "base/poison.h"\n\nint net_open(int port)\n{\n\treturn port;\n}\n'


CAUSES = "".join(f"| D{number} | it broke | later: a feature |\n" for number in range(1, 55)).replace(
    "D9 | it broke | later: a feature", "D9 | it broke | open")


def function(lines, parameters="void"):
    return f"int long_one({parameters})\n{{\n" + "\t;\n" * (lines - 4) + "\treturn 0;\n}\n"


@pytest.fixture(name="tree")
def fixture_tree(tmp_path):
    for name, text in {
            "src/net/http.c": GOOD,
            "src/net/README.md": "# net\n\nIt is.\n\nIt promises.\n\nRead http.c first.\n",
            "include/base/err.h": "int err_code(void);\n",
            "include/base/poison.h": "#pragma GCC poison strcpy\n",
            "include/store/store.h": "int store_put(void);\n",
            "tests/README.md": CAUSES,
            "tests/unit/net/http_test.c": "int main(void)\n{\n\treturn 0;\n}\n"}.items():
        write(tmp_path, name, text)
    (tmp_path / "tests/style").mkdir()
    shutil.copy(HERE / "layers.txt", tmp_path / "tests/style")
    shutil.copy(HERE.parents[1] / ".clang-format", tmp_path)
    return gates.Tree(tmp_path, tmp_path / "bin")


def write(root, name, text):
    path = pathlib.Path(root) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("gate", gates.GATES)
def test_a_good_tree_passes(tree, gate):
    assert not list(gates.GATES[gate](tree))


def with_include(line):
    return GOOD.replace("#include <stdio.h>", line)


@pytest.mark.parametrize("gate, name, text, fault", [
    ("layers", "src/net/http.c", with_include('#include "store/store.h"'), "src/net/http.c:1: net may not use store"),
    ("layers", "src/net/http.c", with_include("#include <libpq-fe.h>"),
     "src/net/http.c:1: only pg may use <libpq-fe.h>"),
    ("layers", "include/net/http.h", '#include "job/push.h"\n', "include/net/http.h:1: net may not use job"),
    ("layers", "src/net/http.c", with_include('#include "../base/x.h"'),
     'src/net/http.c:1: no ../ in includes ("../base/x.h")'),
    ("layers", "src/net/http.c", with_include("#include <gtk.h>"),
     "src/net/http.c:1: <gtk.h> is in no line of layers.txt"),
    ("layers", "src/net/http.c", with_include('#include "http_private.h"'),
     'src/net/http.c:1: "http_private.h" is not beside this file'),
    ("layers", "src/util/x.c", "\n", "src/util/x.c: layers.txt has no layer util"),
    ("layers", "src/hook/client.c", '#include "loop/op.h"\n', "src/hook/client.c:1: hook may not use loop"),
    ("sizes", "src/net/http.c", function(61),
     "src/net/http.c:1: long_one() has 61 lines, limit 60 (split it; or, up to 100, list it in sizes.allow with a "
     "reason)"),
    ("sizes", "src/net/http.c", function(9, "int a, int b, int c, void (*d)(int, int), int e, int f"),
     "src/net/http.c:1: long_one() has 6 parameters, limit 5 (or list it)"),
    ("sizes", "src/net/http.c", "int x;\n" * 801, "src/net/http.c: has 801 lines, limit 800"),
    ("sizes", "src/net/http.c", "int x; /*" + "x" * 100 + " */\n", "src/net/http.c:1: 112 columns, limit 100"),
    ("sizes", "tests/x.py", "def long_one():\n" + "    pass\n" * 60,
     "tests/x.py:1: long_one() has 61 lines, limit 60 (split it; or, up to 100, list it in sizes.allow with a reason)"),
    ("sizes", "tests/style/sizes.allow", "src/net/http.c net_open it is long\n",
     "tests/style/sizes.allow: src/net/http.c net_open is no longer needed"),
    ("words", "src/net/http.c", GOOD.replace('#include "base/poison.h"\n', ""),
     'src/net/http.c: the last include must be "base/poison.h"'),
    ("words", "src/net/http.c", GOOD + '#include "base/err.h"\n',
     'src/net/http.c: the last include must be "base/poison.h"'),
    ("words", "tests/unit/net/http_test.c", "int main(void)\n{\n\tusl" "eep(10);\n}\n",
     "tests/unit/net/http_test.c:3: sleep: wait for a condition with a deadline"),
    ("words", "tests/pg/x.py", "time.sle" "ep(1)\n", "tests/pg/x.py:1: sleep: wait for a condition with a deadline"),
    ("words", "tests/cli/x.sh", "  sle" "ep 1\n", "tests/cli/x.sh:1: sleep: wait for a condition with a deadline"),
    ("words", "src/net/http.c", GOOD + "/* TO" "DO: more */\n",
     "src/net/http.c:10: leftover: do it, or leave it out"),
    ("format", "src/net/http.c", GOOD.replace("\treturn port", "    return  port"),
     "src/net/http.c:7: run `make format`"),
    ("readmes", "src/pg/wal.c", "int x;\n", "src/pg: has no README.md that says what the folder is"),
    ("readmes", "src/net/README.md", "long\n" * 101, "src/net/README.md: has 101 lines, a screen has 100"),
    ("causes", "tests/README.md", CAUSES.replace("| D54 |", "| D55 |"),
     "tests/README.md: the table must have D1 to D54 in this order"),
    ("causes", "tests/README.md", CAUSES.replace("later: a feature", "soon", 1),
     "tests/README.md: D1: names no test and gives no reason"),
    ("causes", "tests/README.md", CAUSES.replace("later: a feature", "`test_d1_is_gone`", 1),
     "tests/README.md: D1: there is no test test_d1_is_gone"),
    ("causes", "tests/x_test.py", "def test_d9_a_file_vanishes():\n    pass\n",
     "tests/README.md: D9 is open, but there is `test_d9_a_file_vanishes`"),
    ("causes", "tests/README.md", CAUSES.replace("later: a feature", "`main`", 1),
     "tests/README.md: D1: main does not carry the number"),
    ("documents", "src/cli/doc.c", "int x;\n", "the program seawall is not built (give its folder with --bin)"),
])
def test_one_fault_is_found(tree, gate, name, text, fault):
    write(tree.root, name, text)
    assert list(gates.GATES[gate](tree)) == [fault]


def test_an_exception_with_a_reason_counts_up_to_the_hard_limit(tree):
    write(tree.root, "tests/style/sizes.allow", "src/net/http.c long_one one table\n")
    write(tree.root, "src/net/http.c", function(100, "int a, int b, int c, int d, int e, int f"))
    assert not list(gates.sizes(tree))
    write(tree.root, "src/net/http.c", function(101))
    assert "has 101 lines" in list(gates.sizes(tree))[0]


def test_an_exception_without_a_reason_is_refused(tree):
    write(tree.root, "tests/style/words.allow", "src/net/http.c poison\n")
    assert list(gates.words(tree))[0].endswith("gives no reason")


def test_a_document_that_differs_from_the_table_is_found(tree):
    program = tree.programs / "seawall"
    write(tree.root, "bin/seawall", "#!/bin/sh\nif [ $2 = man ]; then echo page >$4/seawall.1; else echo doc of $2; fi\n")
    os.chmod(program, 0o755)
    for name, text in {"src/cli/doc.c": "int x;\n", "doc/man/seawall.1": "page\n", "doc/commands.md": "doc of commands-md\n",
                       "packaging/seawall.conf": "doc of sample\n",
                       "packaging/seawall.bash": "doc of completion\n"}.items():
        write(tree.root, name, text)
    assert not list(gates.documents(tree))
    write(tree.root, "doc/man/seawall-old.1", "page\n")
    write(tree.root, "doc/man/seawall.1", "another page\n")
    (tree.root / "packaging/seawall.conf").unlink()
    assert list(gates.documents(tree)) == [
        "doc/man/seawall-old.1: is no page of `seawall doc man all`",
        "doc/man/seawall.1: differs from what the tables say (run `make doc`)",
        "packaging/seawall.conf: differs from what the tables say (run `make doc`)"]
    program.write_text("#!/bin/sh\nexit 3\n")
    assert "seawall doc man all: exit status 3" in list(gates.documents(tree))
