-- source: pg_settings (postgresql.org/docs/current/view-pg-settings.html)
-- scope: server
-- rows: many, every changed one
-- needs: pg_monitor, else the settings that only superusers may see are missing
--
-- reset_val, not setting: PGDoctor's own session limits are set for its transaction, and hide what others get.
-- Whatever looks like a secret in a value is masked, and the whole value where the name says that it is one.
SELECT name,
       CASE WHEN name ~* '(password|passphrase|secret|token|credential|api_?key)' AND vartype = 'string' AND reset_val <> ''
            THEN '***'
            ELSE left(regexp_replace(
                          regexp_replace(reset_val, '://[^/@[:space:]]*:[^@[:space:]]*@', '://***@', 'g'),
                          '([a-z_-]*(?:pass|pwd|secret|token|key)[a-z_-]*(?: *[=:] *|[[:space:]]+))(?:''.*''|"[^"]*"|[^[:space:]]+)',
                          E'\\1***', 'gi'), 1000)
        END AS setting,
       unit,
       vartype,
       context,
       CASE WHEN source <> 'session' THEN source END AS source,
       sourcefile,
       sourceline,
       pending_restart
  FROM pg_settings
 WHERE source NOT IN ('default', 'override', 'client', 'session')
    OR source = 'session' AND reset_val IS DISTINCT FROM boot_val
    OR pending_restart
 ORDER BY name
