"""Delivery: what a sealed snapshot goes through until an endpoint has it.

A `Parcel` (parcel.py) is a snapshot packed for the wire. `Spool` (spool.py, on the files of
folder.py) keeps parcels on disk until they are delivered; `Uploader` (upload.py) is the only door
to requests; answers.py says what each status means, causes.py what went wrong in the network,
token.py where the token comes from. Plain blocking code: gevent makes it cooperative.
"""
