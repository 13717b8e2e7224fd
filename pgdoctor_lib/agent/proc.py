"""Linux's /proc, where there is one."""


def sizes(path: str) -> dict[str, int]:
    """The lines "MemAvailable:   123 kB" of a file: bytes by name. Empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            words = [line.split() for line in file.read().decode("ascii", "replace").splitlines()]
    except OSError:
        return {}
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in words if line[2:] == ["kB"] and line[1].isdigit()}
