"""Credentials: whether a task reads a secret from the tool's own store, and whether it shows anywhere else."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import random
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from benchmarks.contract import Probing
from benchmarks.finding import Finding

GZIP = b"\x1f\x8b"


class Vault(Protocol):
    """A tool's own store of secrets."""

    sources: Collection[str]  # below the trial's folder: files that a user writes secrets into, by design

    def secret(self, token: str) -> str:
        """Put the token into the store; its sha256, as a task reads it there."""
        ...

    def plain(self, token: str) -> str:
        """The same for a token that is handed to the task as a plain parameter."""
        ...


def check(one: Vault, job: Probing) -> Iterator[Finding]:
    """A task reads the secret, and nothing that the tool leaves or prints holds it; a plain parameter is found."""
    draw = random.Random(job.seed + 6)
    secret, plain = draw.randbytes(24).hex(), draw.randbytes(24).hex()
    right = one.secret(secret) == digest(secret) and one.plain(plain) == digest(plain)
    sources = {Path(job.scratch, source) for source in one.sources}
    # What a tool prints goes to the trial's log, which lies beside its folder.
    places = [*Path(job.scratch).rglob("*"), Path(job.scratch).with_suffix(".log")]
    kept, control = (holding(places, token) - sources for token in (secret, plain))
    source = f"; {', '.join(one.sources)}, where a user writes it, holds it plainly" if sources else ""
    said = f"a task read it from the tool's store; {len(kept)} other files hold it, {len(control)} a plain parameter"
    passed = right and not kept and control
    yield Finding(
        "secret", "passed" if passed else "failed", f"{said}{source}" if right else "a task read another token"
    )


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def holding(places: Iterable[Path], token: str) -> set[Path]:
    """The files among them that hold the token, plainly or in base64, and as they are or compressed by gzip."""
    # In base64 at every alignment, without the ends, which depend on what stands beside.
    encoded = [base64.b64encode(b"\0" * shift + token.encode())[4 if shift else 0 : -4] for shift in range(3)]
    forms = [token.encode(), *encoded]
    found = set()
    for path in places:
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if content.startswith(GZIP):
                with contextlib.suppress(EOFError, OSError, zlib.error):  # cut off, or only seems compressed
                    content += gzip.decompress(content)
            if any(form in content for form in forms):
                found.add(path)
    return found
