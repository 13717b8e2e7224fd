"""The page: functions that make HTML of what the store gives, a style sheet, a small script; nothing from elsewhere.

A module a view, each a pure function of dataclasses; `site` reads for each what it shows. `ask` is what an address asks
for, `frame` what is around every view, `parts` and `units` write text, numbers and times, `chart` and `listing` draw,
`measures` and `panels` say of what, `latest` puts together the newest of each section. Every text that came over the
wire goes through `parts.safe`. Everything works without the script, which draws charts that zoom and keeps pages fresh.
"""
