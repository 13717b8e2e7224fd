"""What is wrong: each check is one pure function and one page (`slot_lost.py`, `slot_lost.md` for `slot-lost`).

A check reads a snapshot, and what it is compared with, and yields findings; it knows no database, no clock and no third
party. So it runs the same in the daemon, in `pgdoctor check`, on a saved file and in the receiver.
"""
