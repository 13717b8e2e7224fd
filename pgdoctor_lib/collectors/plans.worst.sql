-- source: pg_stat_statements (postgresql.org/docs/current/pgstatstatements.html)
-- scope: database
-- when: pg >= 16
-- rows: many, 3 by total_exec_time of those that may have a plan
-- needs: pg_stat_statements, pg_monitor
-- variables: pgss_schema (where the extension is)
-- about: What `plans` are asked for. Texts are not masked: they go to the agent and back to the server, and nowhere else.
--
-- | `queryid`, `query` | the statement, its text cut at 10,001 characters |
WITH number AS MATERIALIZED (
    SELECT queryid, dbid, sum(total_exec_time) AS total
      FROM :"pgss_schema".pg_stat_statements(false)
     WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND queryid IS NOT NULL
     GROUP BY queryid, dbid
     ORDER BY total DESC, queryid
     LIMIT 50
)
SELECT n.queryid::text, min(left(t.query, 10001) COLLATE "C") AS query
  FROM number n
  JOIN :"pgss_schema".pg_stat_statements(true) t ON t.queryid = n.queryid AND t.dbid = n.dbid
 WHERE t.query ~* '^[\s(]*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)\y'
   AND t.query !~ '^SELECT /[*] pgdoctor'
 GROUP BY n.queryid, n.total
 ORDER BY n.total DESC, n.queryid
 LIMIT 3
