"""Whether a file that was found, not named, may be believed: nobody but its user and root can have put it there."""

import grp
import os
import pwd
import stat

from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.secret import one_line

CHANGED = "can be changed by other users, who could have it watch and send what they like"


def others_write(status: os.stat_result) -> bool:
    """Whether a file or folder can be written to by users other than its own and root, as far as its mode tells."""
    by_group = status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid)
    return bool(status.st_mode & stat.S_IWOTH or by_group)


def require_trusted(path: str, file: str, opened: os.stat_result) -> None:
    """ConfigError where another user owns the file, or the link to it, or could change it, or exchange it.

    In a folder with the sticky bit, such as /tmp, nobody can exchange another's file, but may link one in.
    """
    folder = os.path.dirname(os.path.abspath(path))
    around = os.stat(folder)
    sticky = bool(around.st_mode & stat.S_ISVTX)
    shown = one_line(folder)
    if not {opened.st_uid, os.lstat(path).st_uid} <= _ours():
        raise _refused(file, "belongs to another user, who could have it watch and send what they like")
    if others_write(opened):
        raise _refused(file, CHANGED, f"chmod go-w {file}")
    if around.st_uid not in _ours():
        raise _refused(file, f"lies in {shown}, a folder of another user, who could exchange it")
    if others_write(around) and not sticky:
        raise _refused(file, f"lies in {shown}, where other users can write and could exchange it", "chmod go-w .")
    if sticky and opened.st_nlink > 1:
        raise _refused(file, f"has more than one name, in {shown}, where other users can write and make links")


def _refused(file: str, why: str, remedy: str = "") -> ConfigError:
    named = f"name it with --config {file} if you trust it"
    return ConfigError(f"{file}: {why}", hint=f"{remedy}, or {named}" if remedy else named)


def _ours() -> set[int]:
    return {0, os.geteuid()}


def _is_own_group(gid: int) -> bool:
    """Root's group, and one that a system made for this user alone: with these, umask 002 is usual and harmless."""
    if gid == 0:
        return True
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}
