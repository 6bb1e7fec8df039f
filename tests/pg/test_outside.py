"""Configuration that lies outside of the data directory, as on Debian, and what it includes."""

from seawalltest import checks, rebuild
from seawalltest.cluster import Cluster
from test_restore import debian, debian_start  # pylint: disable=unused-import


def only_in(copy):
    """Whether all settings come from files of the directory itself."""
    files = {path for (path,) in copy.sql("SELECT sourcefile FROM pg_file_settings WHERE sourcefile IS NOT NULL")}
    return files and all(path.startswith(f"{copy.data}/") for path in files)


def test_what_the_configuration_includes_is_in_the_backup_and_in_a_clone(made, debian, scratch):
    """Chains through folders, relative and absolute, and lists of names in pg_hba.conf. The originals are gone when the
    clone starts, so that it can only live on its own copies."""
    etc, more = debian.etc, scratch / "more place"
    more.mkdir()
    wall = made.seawall(debian)
    wall.sections["cluster main"]["connect"] = f"host={debian.sockets} port=5999 dbname=postgres"
    wall.write_config()
    wall.init()
    with open(etc / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"archive_mode = on\narchive_command = '{wall.archive_command()}'\nlisten_addresses = ''\n"
                   f"include '{more}/a.conf'\ninclude_if_exists 'none.conf'\n")
    (etc / "conf.d" / "work.conf").write_text("work_mem = '7MB'\ninclude 'deep/d.inc'\n")
    (etc / "conf.d" / "deep").mkdir()
    (etc / "conf.d" / "deep" / "d.inc").write_text("temp_buffers = '9MB'\nrecovery_target_action = 'pause'\n")
    (more / "a.conf").write_text("include 'b.conf'\n")
    (more / "b.conf").write_text("maintenance_work_mem = '33MB'\n")
    (etc / "pg_hba.conf").write_text("local all @who trust\n")
    (etc / "who").write_text("postgres nobody\n")
    # what initdb left in the directory is of no server, and longer than what is in use
    (debian.data / "postgresql.conf").write_text("# left over\n" * 4000 + "work_mem = '3MB'\n")
    debian_start(debian)
    assert debian.one("SHOW temp_buffers") == "9MB"
    # less than the primary has, which a hot standby does not start with
    (etc / "conf.d" / "less.conf").write_text("max_connections = 60\nmax_wal_senders = 4\n")
    wall.run("backup")
    backup = rebuild.last(wall.repository)
    names = ["conf.d/deep/d.inc", "conf.d/less.conf", "conf.d/work.conf", "pg_hba.conf", "pg_ident.conf", "postgresql.conf", "who"]
    assert sorted(backup.paths("outside")) == sorted([*(str(etc / name) for name in names), f"{more}/a.conf", f"{more}/b.conf"])
    assert f"outside of it   {etc}/postgresql.conf" in wall.run("show", backup.head["id"]).out
    shown = wall.run("show", "--files", backup.head["id"]).out
    assert all(f"{etc / name}\n" in shown for name in names), shown
    debian.wait_archived()
    debian.stop()
    etc.rename(etc.parent / f"{etc.name}.away")
    try:
        more.rename(scratch / "away")
        copy = made.add(Cluster(made.folder, 15, "copy"))
        wall.run("restore", "--pgdata", copy.data, "--start", "--port", "5998", "--option", "max_wal_senders=11",
                 "--option", f"unix_socket_directories={copy.sockets}")
        for setting, value in (("work_mem", "7MB"), ("temp_buffers", "9MB"), ("maintenance_work_mem", "33MB"),
                               ("max_wal_senders", "11"), ("max_connections", "100")):
            assert copy.one(f"SHOW {setting}") == value
        text = (copy.data / "postgresql.conf").read_text()
        assert "left over" not in text and "# by seawall restore: include_if_exists 'none.conf'" in text and f"include '{more}" not in text
        deep = copy.data / f"conf.outside{etc}/conf.d/deep/d.inc"
        assert "# by seawall restore: recovery_target_action" in deep.read_text()
        assert not copy.sql("SELECT * FROM pg_hba_file_rules WHERE error IS NOT NULL")
        assert only_in(copy)
    finally:
        (etc.parent / f"{etc.name}.away").rename(etc)


def test_a_clone_leads_to_no_file_of_its_original(made, scratch):
    """The configuration lies in the data directory and leads out of it; what cannot be read is said by the backup."""
    cluster = made.cluster()
    (scratch / "out.conf").write_text("work_mem = '5MB'\n")
    (cluster.data / "pg_hba.conf").rename(scratch / "my_hba.conf")
    (cluster.data / "pg_hba.conf").write_text("# left over\n" * 1000 + "host all all 0.0.0.0/0 trust\n")
    (cluster.data / "my_ident.conf").write_text("mine me postgres\n")
    (cluster.data / "in.conf").write_text("temp_buffers = '9MB'\ninclude 'seawall.own.conf'\n")
    (cluster.data / "seawall.own.conf").write_text("maintenance_work_mem = '11MB'\n")  # as ours, but it is not
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"include '{scratch}/out.conf'\ninclude 'in.conf'\ninclude_if_exists '{cluster.data}/in.conf'\n"
                   f"hba_file = '{scratch}/my_hba.conf'\nident_file = '{cluster.data}/my_ident.conf'\ndata_directory = '{cluster.data}'\n")
    wall = made.seawall(cluster)
    wall.init()
    wall.archive()
    cluster.start()
    with open(cluster.data / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"include '{scratch}/gone.conf'\n")
    said = wall.run("backup")
    assert f'"{scratch}/gone.conf" cannot be read' in said.err, said
    cluster.wait_archived()
    (scratch / "out.conf").rename(scratch / "moved.conf")
    (scratch / "my_hba.conf").write_text("")
    copy = made.add(Cluster(made.folder, 15, "copy"))
    wall.run("restore", "--pgdata", copy.data)
    assert "left over" not in (copy.data / "pg_hba.conf").read_text()
    checks.verify_directory(copy.data)
    copy.start().wait_primary()
    assert [copy.one(f"SHOW {name}") for name in ("work_mem", "temp_buffers", "maintenance_work_mem")] == ["5MB", "9MB", "11MB"]
    assert copy.one("SHOW hba_file") == str(copy.data / "pg_hba.conf")
    assert copy.one("SHOW ident_file") == str(copy.data / "my_ident.conf")
    assert copy.one("SHOW data_directory") == str(copy.data)
    text = (copy.data / "postgresql.conf").read_text()
    assert f"# by seawall restore: include '{scratch}/gone.conf'" in text
    assert f"include_if_exists '{copy.data}/in.conf'" in text
    assert only_in(copy)
