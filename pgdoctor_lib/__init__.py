"""PGDoctor: one small process that watches every PostgreSQL database a team has.

The rooms, in the order in which they may import one another: errors, clock, deadline,
units, secret → finding → snapshot → config → postgres → collectors | checks | deliver →
report → agent | receiver → demo → cli → pgdoctor.py.
"""

__version__ = "1.0.0"
