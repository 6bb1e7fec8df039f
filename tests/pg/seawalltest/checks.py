"""PostgreSQL's own judgement of a data directory or a running cluster."""

import subprocess

from .cluster import DEBIAN_BIN

# pg_amcheck needs verify_heapam, which PostgreSQL 13 does not have.
INDEXES = """
SELECT count(bt_index_check(c.oid, true)) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND i.indisvalid AND i.indisready AND c.relpersistence = 'p'
"""


def amcheck(cluster):
    """Every table and index of every database; amcheck must be installed (Ledger.prepare does it)."""
    databases = [name for (name,) in cluster.sql("SELECT datname FROM pg_database WHERE datallowconn")]
    if cluster.major < 14:
        for name in databases:
            if cluster.one("SELECT true FROM pg_extension WHERE extname = 'amcheck'", dbname=name):
                cluster.sql(INDEXES, dbname=name)
        return
    run = subprocess.run([DEBIAN_BIN / "pg_amcheck", "--all", "--heapallindexed", "-h", cluster.sockets,
                          "-p", cluster.port()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         check=False, cwd="/")
    assert run.returncode == 0, f"pg_amcheck:\n{run.stdout}"


def verify_directory(folder):
    """pg_verifybackup of a directory that was not started yet; WAL is not looked at."""
    run = subprocess.run([DEBIAN_BIN / "pg_verifybackup", "-n", folder], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False, cwd="/")
    assert run.returncode == 0, f"pg_verifybackup:\n{run.stdout}"
