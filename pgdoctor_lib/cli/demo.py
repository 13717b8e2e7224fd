"""`pgdoctor demo`: the whole product on this machine, in one command."""

from argh import arg

from pgdoctor_lib.errors import UsageError


@arg("--port", help="the page's port on 127.0.0.1; 0: any that is free")
def demo(*, port: int = 0) -> None:
    """Show everything at work: a throw-away PostgreSQL with a workload, the endpoint and its page, the daemon."""
    from pgdoctor_lib.demo import show

    if not 0 <= port <= 65_535:
        raise UsageError(f"--port {port}: must be from 0 to 65535")
    show.run(port)
