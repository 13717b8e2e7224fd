"""Extensions that are older than the files that the server has of them."""

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, info
from pgdoctor_lib.quoting import identifier


@check(category="maintenance", scope="database", reads=("extensions",))
def extension_updates(now: Document, before: Document) -> Said:
    """An extension can be updated to the version whose files are there (pg_available_extensions)."""
    for row in now.rows("extensions"):
        if row.get("update_available"):
            name, there = str(row.get("extname")), row.get("default_version")
            yield info(
                name,
                f"extension {name} is at version {row.get('extversion')}, and {there} is installed on the server",
                subject=name,
                threshold=f"pg_available_extensions.default_version is {there}",
                evidence={each: row.get(each) for each in ("extversion", "default_version", "owner")},
                remedy=f"ALTER EXTENSION {identifier(name)} UPDATE;\n",
                caution=f"as {row.get('owner')} or a superuser; the extension's own notes tell what changes",
            )
