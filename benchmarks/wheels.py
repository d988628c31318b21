"""A package that holds nothing but its version, as a wheel: what cannot be installed twice, made without an index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

NAME = "assay_pinned"


def make(folder: Path, version: str) -> Path:
    """Write the wheel of a version (PyPA, binary distribution format 1.0) into the folder; returns its path."""
    folder.mkdir(exist_ok=True)
    about = f"{NAME}-{version}.dist-info"
    files = {
        f"{NAME}.py": f"version = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: assay\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={digest(text)},{len(text)}" for name, text in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*record, f"{about}/RECORD,,", ""])
    path = folder / f"{NAME}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as whole:
        for name, text in files.items():
            whole.writestr(name, text)
    return path


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
