"""Run by the spool's tests, to be killed: keeps argv[2] parcels in argv[1], telling each id once it is promised.

Also delivers (that is, tells and forgets) every third, and drops nothing.
"""

import sys

from pgdoctor_lib.deliver.parcel import pack
from pgdoctor_lib.deliver.spool import Spool
from pgdoctor_lib.snapshot import Sealed, new_id


def main(path: str, count: int) -> None:
    """Keep them."""
    spool = Spool(path, 10**9, 1e9)
    print("open", flush=True)
    for number in range(1, count + 1):
        snapshot_id = new_id()
        body = f'{{"snapshot_id":"{snapshot_id}","database":{{"name":"production"}},"n":"{"x" * 5000}"}}'.encode()
        parcel = pack(Sealed(snapshot_id, "production", body))
        spool.keep(parcel)
        print("kept", snapshot_id, flush=True)
        if number % 3 == 0:
            print("delivered", snapshot_id, flush=True)
            spool.forget(parcel)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
