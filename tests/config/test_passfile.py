"""The passwords that libpq reads for itself are masked, in every form, for as long as they may be named."""

import os
from pathlib import Path

from pgdoctor_lib.config.passfile import remember_passwords
from pgdoctor_lib.secret import redact


def test_the_redactor_knows_the_last_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "pgpass"
    passwords = [f"tapir-{number}" for number in range(8)]
    for password in passwords:
        (tmp_path / "new").write_text(f"# h:1:d:u:heron-comment\nh:1:d:u:{password}\\:x\nh:2:d:u:tapir-always\n")
        os.replace(tmp_path / "new", path)
        for _ in range(5):
            remember_passwords(str(path))
        assert redact(f"{password}:x {password}\\:x heron-comment") == "*** *** heron-comment"
    texts = [f"{password}:x" for password in passwords]
    assert redact(" ".join(texts)) == " ".join([*texts[:5], "***", "***", "***"])
    assert redact("tapir-always") == "***"
