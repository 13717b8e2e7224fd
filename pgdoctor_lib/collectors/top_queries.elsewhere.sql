-- source: pg_database
-- scope: server
-- rows: many, 10 by name, the one that usually has the extension first
-- needs: nothing
SELECT datname,
       (SELECT oid FROM pg_database WHERE datname = current_database())::bigint AS dbid
  FROM pg_database
 WHERE datallowconn
   AND datname <> current_database()
   AND has_database_privilege(oid, 'CONNECT')
 ORDER BY datname <> 'postgres', datistemplate, datname
 LIMIT 10
