"""What an installed distribution has: looked up, never called."""

from __future__ import annotations

import importlib
from typing import Any


def there(module: str, path: str) -> bool:
    """Whether a module can be imported and has a dotted attribute, or a message of it such a field."""
    try:
        target: Any = importlib.import_module(module)
    except ImportError:
        return False
    for part in path.split("."):
        # Fields of a message are no attributes of its class.
        fields = getattr(getattr(target, "meta", None), "fields", {})
        target = fields[part] if part in fields else getattr(target, part, None)
    return target is not None
