"""Delivery: what a sealed snapshot goes through until an endpoint has it.

A `Parcel` (parcel.py) is a snapshot packed for the wire. `Spool` (spool.py, on the files of
folder.py) keeps parcels on disk until they are delivered; `Uploader` (upload.py) is one exchange,
on the connections of session.py; answers.py says what each status means, causes.py what went wrong
in the network, token.py and certificates.py where the token and the TLS files come from. `Circuit`
(circuit.py) knows whether the endpoint is up, and who may try. Plain blocking code: gevent makes it
cooperative.
"""
