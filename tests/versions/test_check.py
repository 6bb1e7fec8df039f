"""`seawall check` on every version: all steps, also with the least rights that sql/setup.sql gives."""

import json
import pathlib
import subprocess
from seawalltest.scenario import archiving

SETUP = pathlib.Path(__file__).resolve().parents[2] / "sql/setup.sql"


def test_every_step_is_good(made, major):
    cluster, wall = archiving(made, major, serve=False)
    wall.serve()
    for connect in (cluster.dsn(), cluster.dsn() + " user=seawall"):
        if "user=seawall" in connect:
            subprocess.run(["psql", "-X", "-q", "-d", cluster.dsn(), "-f", SETUP], check=True,
                           stdout=subprocess.DEVNULL)
        wall.sections["cluster main"]["connect"] = connect
        wall.write_config()
        steps = json.loads(wall.run("check", "--json").out)["steps"]
        bad = [step for step in steps if step["outcome"] != "ok" and step["step"] != "disk"]
        assert not bad, bad
