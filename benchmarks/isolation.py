"""A network of one's own: nothing but loopback, so that ports cannot collide and nothing can call home.

Servers that insist on binding every interface are then not exposed. Needs Linux and root, or a kernel that lets
users make namespaces (clone(2), user_namespaces(7)).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000  # linux/sched.h
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914  # linux/sockios.h
IFF_UP = 1
INTERFACE = struct.Struct("16sH14x")  # struct ifreq, as far as flags go


def enter() -> str:
    """Move this process, which must have one thread, into a new network namespace.

    Returns "" or the reason why that is not possible; the process is then where it was.
    """
    if sys.platform != "linux":
        return f"{sys.platform} has no network namespaces"
    # Some kernels allow the first step and refuse a later one: a child finds out.
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, attempt().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        reason = answer.read()
    os.waitpid(child, 0)
    return reason or attempt()


def attempt() -> str:
    """Enter, as far as it goes; returns why not, or the empty text."""
    system = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    try:
        if system.unshare(CLONE_NEWNET):
            if system.unshare(CLONE_NEWUSER | CLONE_NEWNET):
                return f"unshare: {os.strerror(ctypes.get_errno())}"
            # As the same user in there as outside: tools look for their home.
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            _, flags = INTERFACE.unpack(fcntl.ioctl(control, SIOCGIFFLAGS, INTERFACE.pack(b"lo", 0)))
            fcntl.ioctl(control, SIOCSIFFLAGS, INTERFACE.pack(b"lo", flags | IFF_UP))
    except OSError as fault:
        return f"namespaces: {fault}"
    return ""


def free_ports(host: str, count: int) -> list[int]:
    """Ports of the host's own network that nothing is bound to now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((host, 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
