"""`pgdoctor demo`: the whole product on this machine, in one command."""

from argh import arg


@arg("--port", help="the page's port on 127.0.0.1; 0: any that is free")
def demo(*, port: int = 0) -> None:
    """Show everything at work: a throw-away PostgreSQL with a workload, the endpoint and its page, the daemon."""
    from pgdoctor_lib.demo import show

    show.run(port)
