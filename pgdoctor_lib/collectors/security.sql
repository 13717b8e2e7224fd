-- source: pg_hba_file_rules, pg_authid, pg_roles (postgresql.org/docs/current/view-pg-hba-file-rules.html)
-- scope: server
-- cadence: hourly
-- rows: one
-- needs: a superuser, else nothing is told of pg_hba.conf and of passwords; for pg_hba.conf EXECUTE on pg_hba_file_rules() will do
-- about: Who is let in, and how: superusers, roles whose password is an MD5 hash, and the rules of pg_hba.conf that ask for nothing. One row. Hashes are not read, options of rules neither: these may hold secrets. The rules are those of the file as it is now, reloaded or not.
--
-- | `superuser_count`, `superusers` | superusers that may log in, beside the one that the cluster was made with; the names of the first 20 |
-- | `md5_password_count`, `md5_password_roles` | roles whose password is kept as an MD5 hash; the names of the first 20. `null` where PGDoctor's role may not read pg_authid |
-- | `hba_rule_count` | rules in pg_hba.conf; this and what follows is `null` where the role may not call pg_hba_file_rules() |
-- | `hba_error_count`, `hba_errors` | lines that do not parse; the first 20: `file_name` (16+), `line_number`, and the error without what it quotes |
-- | `hba_trust_count`, `hba_trust` | rules `trust` for other machines than the server's own, without a certificate asked for; the first 20: `file_name` (16+), `line_number`, `type`, `database`, `user_name`, `address`, `netmask` |
--
-- Why what may be refused is called from a statement within: see archiver.sql. What comes out of it goes through XML as
-- hexadecimal digits, so that no name is taken for a tag. An error without effect (hostssl while ssl is off) stands
-- beside the rule, which is then void.
WITH inner_query AS MATERIALIZED (
    SELECT CASE WHEN has_function_privilege('pg_hba_file_rules()', 'EXECUTE')
                THEN query_to_xml($query$
                     WITH rule AS MATERIALIZED (
                         SELECT r.*,
                                auth_method IS NULL AS is_wrong,
                                auth_method = 'trust'
                                AND error IS NULL
                                AND r.type <> 'local'
                                AND NOT (lower(address) IN ('samehost', 'localhost')
                                         OR address LIKE '127.%' AND netmask LIKE '255.%'
                                         OR address = '::1' AND netmask = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')
                                AND NOT EXISTS (SELECT FROM unnest(options) o WHERE o LIKE 'clientcert=verify%' OR o = 'clientcert=1')
                                AS is_open
                           FROM pg_hba_file_rules() r
                     )
                     SELECT count(auth_method) AS rules,
                            count(*) FILTER (WHERE is_wrong) AS errors,
                            count(*) FILTER (WHERE is_open) AS open,
                            (SELECT encode(convert_to(json_agg(e)::text, getdatabaseencoding()), 'hex')
                               FROM (SELECT to_jsonb(rule) ->> 'file_name' AS file_name, line_number, trim(substring(error FROM '^[^":]*')) AS error
                                       FROM rule WHERE is_wrong LIMIT 20) e) AS wrong_lines,
                            (SELECT encode(convert_to(json_agg(e)::text, getdatabaseencoding()), 'hex')
                               FROM (SELECT to_jsonb(rule) ->> 'file_name' AS file_name, line_number, type, database, user_name, address, netmask
                                       FROM rule WHERE is_open LIMIT 20) e) AS open_lines
                       FROM rule $query$, false, true, '')::text
           END AS rules,
           CASE WHEN has_column_privilege('pg_authid', 'rolname', 'SELECT') AND has_column_privilege('pg_authid', 'rolpassword', 'SELECT')
                THEN query_to_xml($query$
                     WITH role AS MATERIALIZED (
                         SELECT rolname FROM pg_authid WHERE rolpassword ~ '^md5[0-9a-f]{32}$'
                     )
                     SELECT count(*) AS count,
                            (SELECT encode(convert_to(json_agg(rolname)::text, getdatabaseencoding()), 'hex')
                               FROM (SELECT rolname FROM role ORDER BY rolname LIMIT 20) r) AS names
                       FROM role $query$, false, true, '')::text
           END AS passwords
), told AS MATERIALIZED (
    SELECT substring(rules FROM '<rules>([0-9]+)<')::int AS rules,
           substring(rules FROM '<errors>([0-9]+)<')::int AS errors,
           substring(rules FROM '<open>([0-9]+)<')::int AS open,
           convert_from(decode(substring(rules FROM '<wrong_lines>([0-9a-f]+)<'), 'hex'), getdatabaseencoding())::json AS wrong_lines,
           convert_from(decode(substring(rules FROM '<open_lines>([0-9a-f]+)<'), 'hex'), getdatabaseencoding())::json AS open_lines,
           substring(passwords FROM '<count>([0-9]+)<')::int AS passwords,
           convert_from(decode(substring(passwords FROM '<names>([0-9a-f]+)<'), 'hex'), getdatabaseencoding())::json AS roles
      FROM inner_query
), superuser AS MATERIALIZED (
    SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin AND oid <> 10
)
SELECT (SELECT count(*)::int FROM superuser) AS superuser_count,
       (SELECT coalesce(json_agg(rolname), '[]') FROM (SELECT rolname FROM superuser ORDER BY rolname LIMIT 20) s) AS superusers,
       passwords AS md5_password_count,
       CASE WHEN passwords IS NOT NULL THEN coalesce(roles, '[]') END AS md5_password_roles,
       rules AS hba_rule_count,
       errors AS hba_error_count,
       CASE WHEN rules IS NOT NULL THEN coalesce(wrong_lines, '[]') END AS hba_errors,
       open AS hba_trust_count,
       CASE WHEN rules IS NOT NULL THEN coalesce(open_lines, '[]') END AS hba_trust
  FROM told
