"""`systemd-notify`, as far as startup scripts use it: systemd_notify.py VERSION OPTION...  (of systemd).

It needs nothing but Python: a component's environment has none of this project.
"""

import os
import socket
import sys

_MESSAGES = {"--ready": "READY=1", "--stopping": "STOPPING=1"}
_SINCE = {"--ready": 0, "--stopping": 254}


def main(version: int, options: list[str]) -> int:
    """Says to NOTIFY_SOCKET what the options say; returns the exit status."""
    for option in options:
        if option not in _MESSAGES or version < _SINCE[option]:
            sys.stderr.write(f"systemd-notify: unrecognized option '{option}'\n")
            return 1
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        sys.stderr.write("Failed to notify init system: $NOTIFY_SOCKET is not set\n")
        return 1
    address = "\0" + name[1:] if name.startswith("@") else name
    reader, writer = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect(address)
        notify.send("\n".join(_MESSAGES[option] for option in options).encode())
        socket.send_fds(notify, [b"BARRIER=1"], [writer])
    os.close(writer)
    os.read(reader, 1)  # until the message has been taken
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
