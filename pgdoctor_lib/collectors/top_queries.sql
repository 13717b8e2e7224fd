-- source: pg_stat_statements (postgresql.org/docs/current/pgstatstatements.html)
-- scope: database
-- rows: many, as many as asked for by total_exec_time_ms
-- needs: pg_stat_statements, pg_monitor
-- variables: pgss_schema (where the extension is), dbid (pg_database.oid, or 0 for this one), limit, texts (true or false)
--
-- psql -v pgss_schema=public -v dbid=0 -v limit=20 -v texts=true -f top_queries.sql
-- Constants in utility statements are not normalised: literals are masked as in activity.sql, for passwords' sake.
WITH statement AS MATERIALIZED (
    SELECT queryid,
           min(query COLLATE "C") AS query,
           sum(calls)::bigint AS calls,
           sum(total_exec_time) AS total_exec_time_ms,                                    -- [pg_stat_statements >= 1.8]
-- [pg_stat_statements < 1.8]           sum(total_time) AS total_exec_time_ms,
           sum(rows)::bigint AS rows
      FROM :"pgss_schema".pg_stat_statements(:'texts')
     WHERE dbid = CASE WHEN :'dbid'::oid <> 0 THEN :'dbid'::oid
                       ELSE (SELECT oid FROM pg_database WHERE datname = current_database()) END
       AND queryid IS NOT NULL
       AND (query IS NULL OR query NOT LIKE '/* pgdoctor%')
     GROUP BY queryid
     ORDER BY total_exec_time_ms DESC, queryid
     LIMIT :'limit'::int
)
SELECT queryid::text AS fingerprint,
       (SELECT string_agg(coalesce(token[1], '''***'''), '') FROM regexp_matches(left(query, 10000),
               E'([-][-][^\\n]*|/[*](?:[^*]|[*]+[^*/])*[*]+/|"[^"]*"?|[[:alpha:]_][[:alnum:]_$]*|[^\'$"[:alpha:]_/-]+|[-/$])|\'[^\']*\'?|\'[^\']*\\\\\'.*|[$](?:[^$0-9[:space:]][^$[:space:]]*)?[$].*', 'g') AS token) AS normalized_query,
       calls,
       round(total_exec_time_ms::numeric, 3) AS total_exec_time_ms,
       round((total_exec_time_ms / greatest(calls, 1))::numeric, 3) AS mean_exec_time_ms,
       rows
  FROM statement
 ORDER BY statement.total_exec_time_ms DESC, queryid
