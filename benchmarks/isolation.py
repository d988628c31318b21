"""A network of one's own: nothing but loopback, so that ports cannot collide and nothing can call home.

Servers that insist on binding every interface are then not exposed. Needs Linux and root, or a kernel that lets
users make namespaces (clone(2), user_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000  # linux/sched.h
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR = 0x8913, 0x8914, 0x8916  # linux/sockios.h
IFF_UP = 1
INTERFACE = struct.Struct("16sH22x")  # struct ifreq with flags
ADDRESS = struct.Struct("16sHH4s16x")  # struct ifreq with a sockaddr_in: name, family, port, address


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
            keep_name(control)
    except OSError as fault:
        return f"namespaces: {fault}"
    return ""


def keep_name(control: socket.socket) -> None:
    """Give loopback the address that the host's name has, for tools whose processes find each other by that name."""
    with contextlib.suppress(OSError):  # a name that does not resolve is of no use outside either
        found = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
        for number, address in enumerate(sorted(str(one) for one in found if not str(one).startswith("127."))):
            label = f"lo:{number}".encode()
            fcntl.ioctl(control, SIOCSIFADDR, ADDRESS.pack(label, socket.AF_INET, 0, socket.inet_aton(address)))


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
