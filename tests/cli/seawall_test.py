"""The program seawall: help, messages and exit statuses, compared with the files in expected/.

SEAWALL_EXPECT=write writes the files anew; look at the difference before it is committed.
"""

import json
import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAM = pathlib.Path(os.environ.get("SEAWALL_BIN", ROOT / "build/release")) / "seawall"
DEADLINE_S = 60
GOOD = """[server]
state = {0}/state
[repository local]
url = file://{0}/repository
[cluster main]
pgdata = {0}/data
"""


def seawall(*words, config=None, cwd=None, stdout=subprocess.PIPE):
    environment = {"PATH": "/usr/bin:/bin"}
    if config:
        environment["SEAWALL_CONFIG"] = str(config)
    done = subprocess.run([PROGRAM, *words], env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
    return done.returncode, done.stdout, done.stderr


def commands():
    """The commands, as `seawall --help` lists them."""
    text = seawall("--help")[1]
    return re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", text[text.index("Commands:"):], re.M)


def compare(name, text):
    path = HERE / "expected" / name
    if os.environ.get("SEAWALL_EXPECT") == "write":
        path.write_text(text)
    assert path.read_text() == text


@pytest.fixture(name="config")
def fixture_config(tmp_path):
    path = tmp_path / "seawall.conf"
    path.write_text(GOOD.format(tmp_path))
    (tmp_path / "data").mkdir()
    return path


def test_help_lists_the_commands():
    status, out, err = seawall("--help")
    assert (status, err) == (0, "")
    compare("help.txt", out)


@pytest.mark.parametrize("command", commands())
def test_a_command_explains_itself(command):
    status, out, err = seawall(*command.split(), "--help")
    assert (status, err) == (0, "")
    compare(f"help-{command.replace(' ', '-')}.txt", out)
    assert seawall("help", *command.split()) == (0, out, "")
    assert "\nExample:\n  " in out
    assert "\nExit status:\n" in out
    assert max(map(len, out.splitlines())) <= 140


def test_every_expected_help_has_its_command():
    files = {path.stem for path in (HERE / "expected").glob("help-*.txt")}
    assert files == {"help-" + command.replace(" ", "-") for command in commands()}


def test_the_version():
    assert re.fullmatch(r"seawall \d+\.\d+\.\d+\n", seawall("--version")[1])


def wrong_command_lines():
    yield from [(), ("bakcup",), ("--bakcup",), ("help", "bakcup"), ("help", "help", "help"), ("help", "--jsn"),
                ("help", "--help=yes"), ("help", "--config"), ("help", "--config="), ("help", "-h"), ("help", "-v"),
                ("help", "--json", "--json"), ("help", "--verbose", "--quiet"), ("--config", "/x"), ("doc", "x"),
                ("doc",), ("doc", "man", "x"), ("--config", "x"), ("serve", "now"), ("list", "a", "b"),
                ("cat",), ("show",), ("backup", "--lable", "x"), ("restore", "--to"), ("restore", "--then", "x"),
                ("wal",), ("wal", "psuh", "x"), ("wal", "push"), ("wal", "push", "a", "b"), ("wal", "push", "--x", "a"),
                ("wal", "fetch"), ("wal", "fetch", "a"), ("wal", "fetch", "--x"), ("wal", "list", "--x"), ("adopt", "--x"), ("verify", "--x"),
                ("adopt", "a", "b")]
    yield from [(name,) for name in ("expire", "drill", "standby", "extract", "promote", "failback")]
    yield from [("wal", "verify"), ("wal", "index")]


def test_wrong_command_lines():
    report = ""
    for words in wrong_command_lines():
        status, out, err = seawall(*words, config="/nonexistent/seawall.conf")
        assert out == ""
        assert status not in (0, 126, 127) and 0 < len(err.splitlines()) <= 3
        report += f"$ seawall {' '.join(words)}\n{err}exit {status}\n\n"
    compare("wrong-command-lines.txt", report)


def test_wrong_wal_commands_have_the_statuses_of_the_hook():
    for words in (["push"], ["push", "--x", "a"], ["push", "a"]):
        assert seawall("wal", *words, config="/nonexistent/x.conf")[0] == 1
    for words in (["fetch"], ["fetch", "a"], ["fetch", "--x", "a", "b"], ["fetch", "a", "b"], ["fetsch", "a", "b"]):
        assert seawall("wal", *words, config="/nonexistent/x.conf")[0] == 255


WRONG_FILES = {
    "unknown section": "[sever]\n",
    "unknown setting": "[server]\nmemorry = 96MB\n",
    "not in this version": "[cluster main]\nkeep = 14d any\n",
    "wrong unit": "[server]\nmemory = 96 megabytes\n",
    "out of range": "[server]\nworkers = 99\n",
    "given twice": "[server]\nlog = text\nlog = text\n",
    "section twice": "[cluster main]\n[cluster main]\n",
    "indented": "[server]\n  log = text\n",
    "no section": "log = text\n",
    "no cluster": "[repository local]\nurl = file:///srv/wal\n",
    "no repository": "[cluster main]\npgdata = /srv/pg\n",
    "repository in the state": "[server]\nstate = /srv/s\n[repository local]\nurl = file:///srv/s/r\n[cluster main]\n",
}


def test_wrong_configurations(tmp_path):
    path, report = tmp_path / "seawall.conf", ""
    for name, text in WRONG_FILES.items():
        path.write_text(text)
        status, out, err = seawall("list", config=path)
        assert (status, out) == (3, "")
        report += f"{name}:\n{err.replace(str(tmp_path), 'FOLDER')}\n"
    compare("wrong-configurations.txt", report)


def test_a_missing_configuration_is_an_error(tmp_path):
    for words in (["--config", tmp_path / "x.conf", "list"], ["list", "--config", tmp_path / "x.conf"],
                  ["list", f"--config={tmp_path}/x.conf"]):
        status, _, err = seawall(*words)
        assert status == 3
        assert f'"{tmp_path}/x.conf"' in err


def test_output_that_cannot_be_written_is_an_error():
    with open("/dev/full", "w", encoding="ascii") as full:
        status, _, err = seawall("--help", stdout=full)
    assert status == 4
    assert "could not write to standard output" in err


# --- the documents ---


def test_the_committed_documents_are_what_is_printed():
    for what, path in (("sample", "packaging/seawall.conf"), ("completion", "packaging/seawall.bash"),
                       ("commands-md", "doc/commands.md")):
        assert seawall("doc", what)[1] == (ROOT / path).read_text(), f"run `make doc` for {path}"
    for path in (ROOT / "doc/man").glob("*.1"):
        assert seawall("doc", "man", path.stem)[1] == path.read_text(), f"run `make doc` for {path}"


def test_all_pages_can_be_written_at_once(tmp_path):
    seawall("doc", "man", "all", tmp_path / "man")
    assert {path.name for path in (tmp_path / "man").iterdir()} == {path.name for path in (ROOT / "doc/man").glob("*.1")}


def test_every_command_has_a_page_and_every_page_a_command():
    pages = {path.stem for path in (ROOT / "doc/man").glob("*.1")}
    assert pages == {"seawall", "seawall-wal"} | {"seawall-" + name.replace(" ", "-") for name in commands()}


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "doc/man").glob("*.1")))
def test_a_page_is_good_roff(page):
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", ROOT / "doc/man" / page],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          env={"MANWIDTH": "100", "PATH": "/usr/bin:/bin"})
    assert (done.returncode, done.stderr) == (0, "")


def options_of(command):
    out = seawall(*command.split(), "--help")[1]
    return set(re.findall(r"^  --([a-z-]+)", out[out.index("\nOptions:\n"):], re.M))


@pytest.mark.parametrize("command", commands())
def test_every_documented_option_exists_and_the_other_way_round(command):
    page = (ROOT / "doc/man" / f"seawall-{command.replace(' ', '-')}.1").read_text().replace("\\-", "-")
    listed = options_of(command)
    assert listed >= {"config", "json", "verbose", "quiet", "help"}
    assert set(re.findall(r"^\.B --([a-z-]+)", page, re.M)) == listed
    completion = (ROOT / "packaging/seawall.bash").read_text()
    line = re.search(rf"^\t'{command}'\) options='(.*)' ;;$", completion, re.M)
    assert {word[2:] for word in line[1].split()} == listed
    for option in listed:
        value = "/nonexistent/y" if option == "config" else "--no-such-option"  # `init` would write that file
        text = seawall(*command.split(), f"--{option}", value, config="/nonexistent/x")[2]
        assert f'"--{option}" is unknown' not in text
    # What the text mentions is there.
    words = seawall(*command.split(), "--help")[1]
    for option in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", words):
        assert option in listed, f"--{option}"


def test_completion_is_good_bash():
    subprocess.run(["bash", "-n", ROOT / "packaging/seawall.bash"], check=True)


def complete(*words):
    script = ('source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _seawall; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, ROOT / "packaging/seawall.bash", "seawall", *words],
                          capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_completion_knows_commands_and_options():
    first = {name.split()[0] for name in commands()}
    assert set(complete("")) == first | {"--help", "--version"}
    assert complete("hel") == ["help"]
    assert complete("help", "--ver") == ["--verbose"]
    for name in commands():
        if name.startswith("wal "):
            assert name.split()[1] in complete("wal", "")


def test_the_sample_configuration_is_accepted(tmp_path):
    text = (ROOT / "packaging/seawall.conf").read_text()
    path = tmp_path / "seawall.conf"
    path.write_text(text)
    assert seawall("list", config=path)[0] != 3
    # Every example in it is allowed, too, but that there is one key only. (Of a cluster that is not there nobody asks the store.)
    text = re.sub(r"^#(key_passphrase_file|key_command|sse|ca_file|credentials_file) = ", r"# \1 = ", text, flags=re.M)
    text = re.sub(r"^#(?=\w+ = )", "", text, flags=re.M).replace("/var/lib/postgresql/15/main", str(tmp_path))
    text = text.replace("/etc/seawall/", f"{tmp_path}/")
    text = re.sub("^url = .*", "url = s3://bucket/prefix\nsse = aws:kms", text, flags=re.M)
    for secret in ("key", "s3.secret"):
        (tmp_path / secret).write_text("x" * 40 + "\n")
        (tmp_path / secret).chmod(0o600)
    path.write_text(text)
    status, _, err = seawall("list", "elsewhere", config=path)
    assert status == 2 and "elsewhere" in err, err


def test_json_is_json(config):
    """What a command says with --json can be read, also when there is nothing to say."""
    for command in set(commands()) - {"serve", "help"}:
        status, out, _ = seawall(*command.split(), "--json", config=config)
        if status == 0:
            assert json.loads(out)["version"] == 1


def command_lines():
    """The lines of the documents that somebody is to type: (file, words)."""
    for path in (ROOT / "README.md", *sorted((ROOT / "doc").glob("*.md"))):
        for line in path.read_text().splitlines():
            found = re.match(r"^(?:    |\$ )\s*(?:sudo (?:-u \w+ )?)?seawall +((?!-)[a-z].*)$", line)
            if found and path.name != "commands.md":
                yield path.name, found[1].split("  ")[0]


@pytest.mark.parametrize("name, line", sorted(set(command_lines())))
def test_what_documents_tell_to_type_exists(name, line):
    words = re.sub(r"'[^']*'|\"[^\"]*\"", "X", re.sub(r"[#|>].*", "", line)).split()
    command = " ".join(words[:2]) if words[0] in ("wal", "key") else words[0]
    assert command in commands(), f"{name}: {line}"
    for option in re.findall(r"(?<!\S)--([a-z-]+)", " ".join(words)):
        assert option in options_of(command), f"{name}: {line}"
