"""A database in which any role may create objects where everybody's search_path finds them."""

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, warning


@check(category="security", scope="database", reads=("database",))
def public_privileges(now: Document, before: Document) -> Said:
    """Any role may create tables and functions in schema public, where others' queries find them (pg_namespace)."""
    if not now.one("database").get("public_can_create"):
        return
    name = now.db_name or now.name
    yield warning(
        "",
        f"in database {name} every role may create objects in schema public: a function made there may be called by "
        "others' queries, with their rights",
        subject=name,
        threshold="PUBLIC has CREATE on schema public, as before PostgreSQL 15; an upgrade keeps it",
        evidence={"public_can_create": True},
        remedy="REVOKE CREATE ON SCHEMA public FROM PUBLIC;\n",
        caution="roles that create tables there by this right alone cannot any more; to those that are to: "
        "GRANT CREATE ON SCHEMA public TO …",
    )
