"""Options of `pgdoctor serve` that make no sense."""

import pytest

from tests.fix_daemon import Cli


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--keep-raw", "x"), "--keep-raw x: must be a duration: seconds, or 30s, 5m, 1h"),
        (("--keep-bodies", "1m"), "--keep-bodies 1m: must be an hour at least"),
        (("--keep-bodies", "20d"), "--keep-raw 14d: must not be less than --keep-bodies, which is 20d"),
        (("--keep-1h", "1d"), "--keep-1h 1d: must not be less than --keep-5m, which is 90d"),
        (("--keep-raw", "0"), "--keep-raw 0: must be an hour at least"),
        (("--keep-raw", "12h"), "--keep-raw 12h: must not be less than --keep-bodies, which is 1d"),
        (("--to", "postgresql://x"), "unrecognized arguments: --to postgresql://x; see pgdoctor --help"),
        (("--max-size", "1MiB"), "--max-size 1MiB: must be 16MiB at least"),
        (("--max-size", "much"), "--max-size much: must be a size: bytes, or 64MiB, 1GiB"),
    ],
)
def test_retention_that_makes_no_sense(cli: Cli, args: tuple[str, ...], said: str) -> None:
    ended = cli.run("serve", "--port", "0", *args)
    assert (ended.returncode, ended.stderr) == (2, f"pgdoctor: {said}\n")


def test_each_of_its_commands_has_its_own_help(cli: Cli) -> None:
    words = {
        (): ("usage: pgdoctor serve [-h]", "--keep-raw"),
        ("migrate",): ("usage: pgdoctor serve migrate [-h]", "--to DSN"),
        ("token",): ("usage: pgdoctor serve token [-h]", "revoke"),
        ("token", "list"): ("usage: pgdoctor serve token list [-h]", "--json"),
        ("token", "add"): ("usage: pgdoctor serve token add [-h]", "the project's name"),
    }
    told = {args: cli.run("serve", *args, "--help") for args in words}
    for args, wanted in words.items():
        assert told[args].returncode == 0
        assert all(each in told[args].stdout for each in wanted), told[args].stdout
    assert "serve migrate" in told[()].stdout
    assert "--keep-raw" not in told["migrate",].stdout
