-- setup.sql: the role that Seawall connects as, with the least rights that a backup needs.
-- PostgreSQL 13 to 18. Run it as a superuser, in the database that `connect` names; once more is fine:
--
--     sudo -u postgres psql -X -d postgres -f setup.sql
--     … -v role=NAME     another role than "seawall"
--
-- Who may use this role can read the whole cluster, password hashes included: treat it like the superuser.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?role}
\else
\set role seawall
\endif

SET client_min_messages = warning;
BEGIN;
SELECT format('CREATE ROLE %I LOGIN REPLICATION', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'role') \gexec
SELECT format('ALTER ROLE %I LOGIN REPLICATION', :'role') \gexec

-- data_directory, config_file, hba_file and ident_file are for superusers and this role
GRANT pg_read_all_settings TO :"role";

SELECT current_setting('server_version_num')::int >= 150000 AS is_15 \gset
\if :is_15
GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean) TO :"role";
GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_stop(boolean) TO :"role";
GRANT pg_checkpoint TO :"role";
\else
GRANT EXECUTE ON FUNCTION pg_catalog.pg_start_backup(text, boolean, boolean) TO :"role";
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stop_backup(boolean, boolean) TO :"role";
\endif
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO :"role";
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO :"role";
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO :"role";
GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO :"role";
GRANT EXECUTE ON FUNCTION pg_catalog.pg_create_restore_point(text) TO :"role";
GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) TO :"role";
COMMIT;

SELECT current_database() AS database, current_setting('hba_file') AS hba_file,
       current_setting('ident_file') AS ident_file \gset
\echo 'The role' :"role" 'is ready in database' :"database"'.'
\echo
\echo 'Seawall runs as the owner of the data directory (usually postgres). So that this user may be'
\echo 'that role over the local socket without a password, put at the end of'
\echo '   ' :ident_file
\echo
\echo '    seawall  postgres ' :role
\echo
\echo 'and before the other "local" lines of'
\echo '   ' :hba_file
\echo
\echo '    local ' :database ' ' :role ' peer map=seawall'
\echo
\echo 'then run: SELECT pg_reload_conf();'
\echo 'and in the configuration of Seawall, under [cluster NAME]:'
\echo
\echo '    connect = user=':role 'dbname=':database
