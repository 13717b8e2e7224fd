"""The page: functions that make HTML of what the store gives, and one style sheet. No script, nothing from elsewhere.

`parts` has what all views share (escaping, times, units, the frame); `chart` draws; `home`, `database` and
`login` are a view each. Every text that came over the wire goes through `parts.safe`.
"""
