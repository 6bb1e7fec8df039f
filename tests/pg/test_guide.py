"""The examples of doc/guide.md, run as they stand there (paths are replaced)."""

import configparser
import pathlib
import re
import subprocess
import textwrap

from seawalltest import process

GUIDE = (pathlib.Path(__file__).resolve().parents[2] / "doc/guide.md").read_text()


def at_home(text, wall):
    """An example with this test's paths."""
    return (text.replace("/var/lib/seawall/state/seawall.sock", str(wall.socket))
            .replace("/var/lib/postgresql/15/main", str(wall.cluster.data)))


def example(pattern):
    found = re.search(pattern, GUIDE, re.S | re.M)
    assert found, "the guide has lost this example"
    return found.group(1)


def test_curl_as_the_hooks(made, scratch):
    cluster = made.cluster(segment_mb=1).start()
    wall = made.seawall(cluster)
    wall.init()
    wall.serve()
    cluster.configure(archive_command=at_home(example(r"archive_command = '(curl .*?)'$"), wall))
    cluster.sql("CREATE TABLE t AS SELECT n FROM generate_series(1, 20000) n")
    segment = wall.wait_archived()
    assert list(wall.repository.glob(f"main/*/wal/00000001/*/{segment}"))

    lines = example(r"(    #!/bin/sh\n.*?    done\n)").splitlines()
    script = scratch / "fetch-with-curl"
    script.write_text(at_home("\n".join(line[4:] for line in lines) + "\n", wall))
    script.chmod(0o755)
    process.own(script)

    def fetch(name):
        return subprocess.run([script, name, "pg_wal/RECOVERYXLOG"], cwd=cluster.data, check=False, timeout=60,
                              **process.OWNER).returncode

    assert fetch(segment) == 0
    assert (cluster.data / "pg_wal/RECOVERYXLOG").stat().st_size == 1 << 20
    assert fetch("0000000100000000000000F0") == 1
    assert fetch("postgresql.conf") == 255
    wall.kill()
    assert fetch(segment) == 255


def test_the_lines_for_postgresql_conf_are_those_that_init_prints(made):
    cluster = made.cluster()
    wall = made.seawall(cluster)
    said = wall.init().out
    for line in example(r"^(    archive_mode = on\n    archive_command = '[^']*'\n)").splitlines():
        name = line.split("=")[0].strip()
        assert f"{name} = " in said


def test_every_command_of_the_guide_is_one_of_the_program(made):
    cluster = made.cluster()
    wall = made.seawall(cluster)
    options = {}
    for line in re.findall(r"^    (?:\S+ \S+ \* \* \*   )?seawall (.*)$", GUIDE, re.M):
        words = re.split(r"\s+(?![^']*'[^']*$)", line)
        command = " ".join(words[:2 if words[0] in ("wal", "key") else 1])
        if command not in options:
            options[command] = wall.run(*command.split(), "--help").out
        for option in re.findall(r"--[a-z-]+", line):
            assert option in options[command], f"seawall {line}"


def test_a_second_repository(made):
    cluster = made.cluster(segment_mb=1).start()
    wall = made.seawall(cluster)
    wall.init()
    wall.archive()
    wall.wait_archived(cluster.switch_wal())
    wall.run("backup")
    config = configparser.ConfigParser()
    config.read_string(textwrap.dedent(example(r"^(    \[repository cloud\]\n.*?    ack = any\n)")))
    config["repository cloud"]["url"] = f"file://{wall.folder}/other"
    for section in config.sections():
        wall.sections.setdefault(section, {}).update(config[section])
    wall.write_config()
    wall.init()
    wall.run(*example(r"^    seawall (copy --from .*?)$").split())
    assert list((wall.folder / "other").glob("main/*/backup/*"))
