"""What goes on in a cluster besides rows: each function does one thing that archives and backups have stumbled over."""

import contextlib
import uuid

import psycopg2


def name(prefix):
    return f"{prefix}_{uuid.uuid4().hex[:8]}"


def ddl(_ledger, cursor, dice):
    table = name("ddl")
    cursor.execute(f"CREATE TABLE {table} AS SELECT g AS a, repeat('x', 50) AS b FROM generate_series(1, 500) g")
    cursor.execute(f"ALTER TABLE {table} ADD c int DEFAULT 7, ALTER a TYPE bigint")
    if dice.random() < 0.8:
        cursor.execute(f"DROP TABLE {table}")


def truncate(_ledger, cursor, dice):
    cursor.execute("CREATE TABLE IF NOT EXISTS emptied (a int PRIMARY KEY)")
    cursor.execute("INSERT INTO emptied SELECT generate_series(1, %s) ON CONFLICT DO NOTHING", (dice.randrange(5000),))
    cursor.execute(dice.choice(("TRUNCATE emptied", "DELETE FROM emptied WHERE a > 100", "VACUUM emptied")))


def vacuum_full(_ledger, cursor, _dice):
    cursor.execute("VACUUM FULL ledger_last")
    cursor.execute("VACUUM (FREEZE) ledger")


def indexes(_ledger, cursor, dice):
    index = name("ix")
    concurrently = dice.choice(("", "CONCURRENTLY"))
    with contextlib.suppress(psycopg2.errors.DeadlockDetected):
        cursor.execute(f"CREATE INDEX {concurrently} {index} ON ledger (length(filler), n)")
        cursor.execute("REINDEX INDEX ledger_writer")
    cursor.execute(f"DROP INDEX IF EXISTS {index}")


def database(ledger, cursor, dice):
    copy = name("db")
    strategy = dice.choice(("", "STRATEGY file_copy")) if ledger.cluster.major >= 15 else ""
    cursor.execute(f"CREATE DATABASE {copy} {strategy}")
    if dice.random() < 0.7:
        cursor.execute(f"DROP DATABASE {copy}")


def tablespace(ledger, cursor, dice):
    """Not for a restore beside the running cluster: it would share the tablespace's folder."""
    space = name("ts")
    folder = ledger.cluster.tablespaces / space
    folder.mkdir(parents=True, mode=0o700)
    cursor.execute(f"CREATE TABLESPACE {space} LOCATION '{folder}'")
    cursor.execute(f"CREATE TABLE {space}_t TABLESPACE {space} AS SELECT generate_series(1, 1000) AS a")
    if dice.random() < 0.5:
        cursor.execute(f"DROP TABLE {space}_t")
        cursor.execute(f"DROP TABLESPACE {space}")


def unlogged(_ledger, cursor, _dice):
    table = name("unlogged")
    cursor.execute(f"CREATE UNLOGGED TABLE {table} AS SELECT generate_series(1, 1000) AS a")
    cursor.execute(f"ALTER TABLE {table} SET LOGGED")
    cursor.execute(f"DROP TABLE {table}")


def big_rows(_ledger, cursor, dice):
    cursor.execute("CREATE TABLE IF NOT EXISTS big (a int, b text)")
    cursor.execute("INSERT INTO big SELECT %s, string_agg(md5(random()::text), '') FROM generate_series(1, 20000)",
                   (dice.randrange(100),))
    cursor.execute("DELETE FROM big WHERE a < 90")


def wal(_ledger, cursor, dice):
    cursor.execute(dice.choice(("SELECT pg_switch_wal()", "CHECKPOINT", "SELECT txid_current()",
                                "SELECT pg_create_restore_point('of a breaker')",
                                "SELECT pg_logical_emit_message(false, 'noise', repeat('y', 100000))")))


ORDINARY = (ddl, truncate, vacuum_full, indexes, database, unlogged, big_rows, wal)
ALL = (*ORDINARY, tablespace)
