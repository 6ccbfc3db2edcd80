#!/usr/bin/env python3
"""usage: ports.py FILE WHAT...

Listeners on this machine's loopback that answer and count. WHAT is tcp (127.0.0.1), udp (127.0.0.1), tcp6 ([::1] only),
tcp=PORT or udp=PORT, proxy (HTTP; control.test is 127.0.0.1). FILE gets one line each: WHAT PORT. FILE.count gets a line for each connection or datagram: WHAT PORT."""
import os
import socket
import sys
import threading

out = sys.argv[1]
lock = threading.Lock()


def count(what, port):
    with lock, open(out + ".count", "a") as f:
        f.write("%s %d\n" % (what, port))


def pump(a, b):
    try:
        while True:
            data = a.recv(65536)
            if not data:
                break
            b.sendall(data)
    except OSError:
        pass
    for s in a, b:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def connect(conn):
    head = b""
    while b"\r\n\r\n" not in head:
        more = conn.recv(4096)
        if not more:
            return
        head += more
    first = head.split()
    if len(first) < 2 or (first[0] != b"CONNECT" and not first[1].startswith(b"http://")):
        conn.sendall(b"HTTP/1.1 405 no\r\nContent-Length: 0\r\n\r\n")
        return conn.close()
    is_tunnel = first[0] == b"CONNECT"
    name, _, path = first[1].decode().partition("http://")[0 if is_tunnel else 2].partition("/")
    host, _, port = name.rpartition(":")
    try:
        there = socket.create_connection(("127.0.0.1" if host == "control.test" else host.strip("[]"), int(port)), 5)
    except OSError:
        conn.sendall(b"HTTP/1.1 502 no\r\nContent-Length: 0\r\n\r\n")
        return conn.close()
    there.settimeout(None)
    if is_tunnel:
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    else:  # one request, in the form that the server wants
        there.sendall(b"%s /%s HTTP/1.0\r\nHost: %s\r\n\r\n" % (first[0], path.encode(), name.encode()))
    threading.Thread(target=pump, args=(there, conn), daemon=True).start()
    pump(conn, there)


def serve(sock, what, port):
    while True:
        if "udp" in what:
            data, peer = sock.recvfrom(2048)
            count(what, port)
            sock.sendto(b"udp %d\n" % port, peer)
            continue
        conn = sock.accept()[0]
        count(what, port)
        if what == "proxy":
            threading.Thread(target=connect, args=(conn,), daemon=True).start()
            continue
        try:
            conn.sendall(b"tcp %d\n" % port)
            conn.close()
        except OSError:
            pass


lines, threads = [], []
for arg in sys.argv[2:]:
    what, _, port = arg.partition("=")
    family = socket.AF_INET6 if what == "tcp6" else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM if "udp" in what else socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::1" if what == "tcp6" else "127.0.0.1", int(port or 0)))
    port = s.getsockname()[1]
    if "udp" not in what:
        s.listen(64)
    lines.append("%s %d\n" % (what, port))
    threads.append(threading.Thread(target=serve, args=(s, what, port)))
open(out + ".count", "w").close()
with open(out + ".new", "w") as f:
    f.writelines(lines)
os.rename(out + ".new", out)
for t in threads:
    t.start()
