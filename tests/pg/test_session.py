"""Connections to real servers: the role of sql/setup.sql is enough on every version, no setting of it changes what a
query means, and a connection that cannot be had is an error with its reason, soon."""

import pathlib
import socket
import subprocess
import time

import pytest
from seawalltest.cluster import DEBIAN_BIN

SETUP = pathlib.Path(__file__).resolve().parents[2] / "sql/setup.sql"
OPEN_S = 10  # SESSION_OPEN_MS
HOSTILE = {"statement_timeout": "'500ms'", "lock_timeout": "'1ms'", "idle_in_transaction_session_timeout": "'1ms'",
           "search_path": "evil", "DateStyle": "'German, DMY'", "IntervalStyle": "'sql_standard'",
           "client_encoding": "'LATIN1'", "default_transaction_read_only": "on", "bytea_output": "'escape'",
           "standard_conforming_strings": "off", "TimeZone": "'Asia/Kolkata'", "client_min_messages": "'debug5'",
           "extra_float_digits": "-15", "default_transaction_isolation": "'serializable'"}
EVIL = """
CREATE SCHEMA evil;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil'; END $$;
CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil'; END $$;
CREATE FUNCTION evil.pg_switch_wal() RETURNS pg_lsn LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil'; END $$;
CREATE VIEW evil.pg_settings AS SELECT 'evil' AS name, 'evil' AS setting;
CREATE VIEW evil.pg_tablespace AS SELECT 1::oid AS oid, 'evil' AS spcname;
CREATE VIEW evil.pg_database AS SELECT 1::oid AS oid, 'evil' AS datname;
"""


def run_setup(cluster, role="seawall"):
    """sql/setup.sql as its first lines say."""
    return subprocess.run([DEBIAN_BIN / "psql", "-X", "-d", cluster.dsn(), "-v", f"role={role}", "-f", SETUP], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")


def wall_with_role(made, cluster, connect):
    cluster.start()
    wall = made.seawall(cluster)
    wall.sections["cluster main"]["connect"] = connect
    wall.write_config()
    wall.init()
    wall.archive()
    return wall


def dsn_of(cluster, role="seawall"):
    return f"host={cluster.sockets} dbname=postgres user={role}"


@pytest.mark.parametrize("major", [13, 14, 15, 16, 17, 18])
def test_the_role_of_setup_sql_is_enough_for_everything(made, major):
    cluster = made.cluster(major, segment_mb=1)
    wall = wall_with_role(made, cluster, dsn_of(cluster))
    for _ in range(2):  # once more is fine
        result = run_setup(cluster)
        assert "local" in result.stdout and not result.stderr
    assert cluster.one("SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = 'seawall'") is False
    wall.serve()
    wall.run("check")
    wall.run("backup")
    wall.run("status")


def test_no_setting_of_the_role_changes_what_a_query_means(made):
    cluster = made.cluster(segment_mb=1)
    wall = wall_with_role(made, cluster, dsn_of(cluster, '"sea wall"').replace('"', "'"))
    run_setup(cluster, "sea wall")
    cluster.sql(EVIL)
    cluster.sql('GRANT ALL ON SCHEMA evil TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC')
    for name, value in {**HOSTILE, "idle_session_timeout": "'1ms'"}.items():
        cluster.sql(f'ALTER ROLE "sea wall" SET {name} = {value}')
    wall.run("check")
    wall.run("backup")


@pytest.fixture(name="wall")
def fixture_wall(made):
    cluster = made.cluster(segment_mb=1)
    wall = wall_with_role(made, cluster, cluster.dsn())
    run_setup(cluster)
    return wall


def refused(wall, words, **settings):
    """A backup with other connection settings; a connection that was not made is soon an error."""
    wall.sections["cluster main"]["connect"] = " ".join(f"{key}={value}" for key, value in settings.items())
    wall.write_config()
    begun = time.monotonic()
    result = wall.run("backup", status=None)
    assert result.status in (4, 6), result
    for word in words:
        assert word in result.err, result
    return time.monotonic() - begun


def test_a_connection_that_cannot_be_had_says_why(wall):
    cluster = wall.cluster
    socket_folder = {"host": cluster.sockets, "dbname": "postgres"}
    refused(wall, ["nobody"], **socket_folder, user="nobody")
    refused(wall, ['database "gone"'], host=cluster.sockets, dbname="gone", user="seawall")
    refused(wall, ["nowhere"], host="/nowhere", user="seawall")
    cluster.sql("ALTER ROLE seawall CONNECTION LIMIT 0")
    refused(wall, ["too many connections"], **socket_folder, user="seawall")
    cluster.sql("ALTER ROLE seawall CONNECTION LIMIT -1 PASSWORD 'right'")
    hba = cluster.data / "pg_hba.conf"
    hba.write_text("local all seawall scram-sha-256\n" + hba.read_text())
    cluster.sql("SELECT pg_reload_conf()")
    refused(wall, ["password"], **socket_folder, user="seawall", password="wrong")
    refused(wall, ["password"], **socket_folder, user="seawall")


def test_a_server_that_never_answers_is_given_up(wall):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        took = refused(wall, ["127.0.0.1"], host="127.0.0.1", port=port, user="seawall")
        assert OPEN_S / 2 < took < OPEN_S + 10
        assert refused(wall, ["127.0.0.1"], host="127.0.0.1", port=port, user="seawall", connect_timeout=2) < OPEN_S / 2 + 3
    assert refused(wall, ["127.0.0.1"], host="127.0.0.1", port=port, user="seawall") < OPEN_S / 2


def test_a_server_that_is_starting_is_told_and_not_waited_for(wall):
    cluster = wall.cluster
    cluster.stop("immediate")
    (cluster.data / "recovery.signal").touch()
    cluster.configure(restore_command="tail -f /dev/null", hot_standby="off")
    cluster.start(until=("starting", "standby"))
    refused(wall, ["PostgreSQL"], host=cluster.sockets, dbname="postgres", user="seawall")
