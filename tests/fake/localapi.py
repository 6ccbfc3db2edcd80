#!/usr/bin/env python3
"""usage: localapi.py SOCKET STATUS.json [UID]

A tailscaled that only tells its status, as the file has it at that moment. A dial gets 502 with the text of
STATUS.json.dial; or, with STATUS.json.self, is sent to dial that address by itself, as in TUN mode. Preferences are
STATUS.json.prefs; every other call gets 404. With UID it belongs to that user."""
import os
import socket
import sys
import threading

path, status = sys.argv[1:3]
server = socket.socket(socket.AF_UNIX)
server.bind(path)
os.chmod(path, 0o666)
files = {"status": status, "dial": status + ".dial", "prefs": status + ".prefs", "self": status + ".self"}
keep = {}
if len(sys.argv) > 3:
    for name, file in files.items():
        keep[name] = open(file, "rb").read() if os.path.exists(file) else b""
    os.setuid(int(sys.argv[3]))
server.listen(64)  # whoever listens is the owner that the kernel tells


def text_of(name):
    if name in keep:
        return keep[name]
    try:
        return open(files[name], "rb").read()
    except (KeyError, OSError):
        return None


def serve(conn):
    with conn, conn.makefile("rb") as lines:
        while True:
            first = lines.readline().split()
            while lines.readline().strip():
                pass
            if len(first) < 2:
                return
            name = first[1].decode().rpartition("/v0/")[2].partition("?")[0]
            body = text_of(name)
            if name == "dial" and text_of("self"):
                head = b"HTTP/1.1 200 OK\r\nDial-Self: true\r\nDial-Addr: %s\r\nContent-Length: 0\r\n\r\n"
                conn.sendall(head % text_of("self").strip())
                continue
            code = "404 Not Found" if body is None else "502 Bad Gateway" if name == "dial" else "200 OK"
            body = body or b""
            conn.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (code.encode(), len(body)) + body)


while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
