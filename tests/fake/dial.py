#!/usr/bin/env python3
"""usage: dial.py SOCKET HOST PORT [tcp|udp] [TEXT]

One connection into the tailnet through a tailscaled's LocalAPI: sends TEXT, prints what comes within a second or two.
Status 0: something came; 1: refused or silent (which of them is said on stderr)."""
import os
import socket
import sys

path, host, port = sys.argv[1:4]
net = sys.argv[4] if len(sys.argv) > 4 else "tcp"
text = (sys.argv[5] if len(sys.argv) > 5 else "hello\n").encode()
s = socket.socket(socket.AF_UNIX)
s.settimeout(float(os.environ.get("DIAL_SEC", "8")))
s.connect(path)
s.sendall(("POST /localapi/v0/dial HTTP/1.1\r\nHost: local-tailscaled.sock\r\nConnection: upgrade\r\nUpgrade: ts-dial\r\n"
           "Dial-Host: %s\r\nDial-Port: %s\r\nDial-Network: %s\r\nContent-Length: 0\r\n\r\n" % (host, port, net)).encode())
head = b""
try:
    while b"\r\n\r\n" not in head:
        more = s.recv(4096)
        if not more:
            break
        head += more
except TimeoutError:
    print("no answer to the dial", file=sys.stderr)
    sys.exit(1)
status, _, got = head.partition(b"\r\n\r\n")
if b" 101 " not in status.split(b"\r\n")[0]:
    print("refused:", got.decode(errors="replace").strip(), file=sys.stderr)
    sys.exit(1)
s.settimeout(1.5)
try:
    s.sendall(text)
    got = got or s.recv(4096)
except (TimeoutError, OSError) as err:
    print("silent:", err, file=sys.stderr)
if not got:
    print("nothing came", file=sys.stderr)
    sys.exit(1)
sys.stdout.write(got.decode(errors="replace"))
