-- The role that PGDoctor connects as: it may read statistics, nothing else. PostgreSQL 12 to 18.
--
--     psql -d postgres -f create-role.sql
--
-- once a server, as a superuser or as the administrator of a managed service. It may be run again: what
-- it sets is set anew, a password stays. Then give the role a password with psql's \password, which
-- sends it hashed, or let it in without one (peer, cert) in pg_hba.conf:
--
--     \password pgdoctor

BEGIN;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgdoctor') THEN
        CREATE ROLE pgdoctor;
    ELSIF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgdoctor'
                   AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)) THEN
        RAISE EXCEPTION 'the role pgdoctor exists and may do more than read statistics'
              USING HINT = 'Take SUPERUSER, CREATEDB, CREATEROLE, REPLICATION and BYPASSRLS from it, or drop it.';
    END IF;
END
$$;

-- One session for each database that is watched at an interval of up to 60 s, which is kept; ten more for the others,
-- and some to cancel a statement that hangs.
ALTER ROLE pgdoctor LOGIN INHERIT CONNECTION LIMIT 120;
COMMENT ON ROLE pgdoctor IS 'PGDoctor, monitoring: reads statistics';

-- All statistics views, all settings, all query texts (pg_read_all_stats, pg_read_all_settings, pg_stat_scan_tables).
GRANT pg_monitor TO pgdoctor;

-- PGDoctor sets narrower limits in each of its transactions; these hold for whoever else uses the role.
ALTER ROLE pgdoctor SET default_transaction_read_only = on;
ALTER ROLE pgdoctor SET statement_timeout = '60s';
ALTER ROLE pgdoctor SET lock_timeout = '1s';
ALTER ROLE pgdoctor SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE pgdoctor SET search_path = pg_catalog;

COMMIT;

-- The statistics of queries, the best part of a snapshot, need an extension, in one database of the
-- server (PGDoctor finds it wherever it is), and a restart:
--
--     ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';   -- added to what is there already
--     CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
--
-- If you like, the rules of pg_hba.conf, for the check security-auth; in each database that is watched:
--
--     GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO pgdoctor;
