-- source: pg_database
-- scope: server
-- rows: many, 10 by name, the one that usually has the extension first
-- needs: nothing
--
-- Template databases are left alone: a session in one makes CREATE DATABASE fail.
SELECT /* pgdoctor:top_queries */
       datname
  FROM pg_database
 WHERE datallowconn
   AND NOT datistemplate
   AND datname <> current_database()
   AND has_database_privilege(oid, 'CONNECT')
 ORDER BY datname <> 'postgres', datname
 LIMIT 10
