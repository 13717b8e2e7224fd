"""No thread can be started any more: what is kept, and read, goes on as before."""

import subprocess
import sys

import pytest

from tests.fix_daemon import ROOT

FEW_THREADS = """
from gevent import monkey
monkey.patch_all()
import os, resource, shutil, sys, tempfile
import gevent
from pgdoctor_lib.agent.notifier import Notifier
from pgdoctor_lib.agent.store import Store
from pgdoctor_lib.clock import SYSTEM
from pgdoctor_lib.config import Spool
from pgdoctor_lib.config.notify import Channel
from pgdoctor_lib.errors import DaemonError
from pgdoctor_lib.secret import Secret
from pgdoctor_lib.snapshot import Sealed, new_id
if os.geteuid() == 0:
    os.setuid(65534)  # the limit does not bind root
gevent.get_hub().exception_stream = None
path = tempfile.mkdtemp()
notes = []
died = []
note = lambda text, **_: notes.append(text)
def sealed():
    snapshot_id = new_id()
    return Sealed(snapshot_id, "app", b'{"snapshot_id":"%s","database":{"name":"app"}}' % snapshot_id.encode())
try:
    store = Store(Spool(path, 10**7, 3600), SYSTEM, note)
    store.put_back(store.keep(sealed()))  # as in a daemon that has done so for days, one after the other
    notifier = Notifier(path, SYSTEM, note, died.append)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    try:
        monkey.get_original("_thread", "start_new_thread")(int, ())
    except RuntimeError:
        pass
    else:
        sys.exit("the limit does not bind here")
    jobs = [gevent.spawn(store.keep, sealed()) for _ in range(8)]
    gevent.joinall(jobs)
    print([job.exception for job in jobs if job.exception], store.on_disk, store.waiting)
    for job in jobs:
        with store.custody(job.value):
            pass
    reads = [gevent.spawn(read) for read in (lambda: store.last("app"), store.oldest, lambda: store.latest_mark("app"))]
    reads.append(gevent.spawn(notifier.follow, [Channel("webhook", "a", url=Secret("http://127.0.0.1:9/"))]))
    gevent.joinall(reads)
    print([job.exception for job in reads if job.exception], store.on_disk, store.waiting)
    print(len([name for name in os.listdir(path) if name.endswith(".json.gz")]), notes, died)
    try:
        Store(Spool(path + "/more", 10**7, 3600), SYSTEM, note)
    except DaemonError as error:
        print(error)
finally:
    shutil.rmtree(path)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads are not counted as processes")
def test_what_is_kept_needs_no_new_thread() -> None:
    command = [sys.executable, "-c", FEW_THREADS]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "[] 9 9",
        "[] 1 1",
        "1 [] []",
        "no thread can be started: can't start new thread; see ulimit -u, or TasksMax",
    ]
