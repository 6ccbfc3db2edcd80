#!/usr/bin/env python3
"""usage: ports.py FILE WHAT...

Listeners on this machine's loopback that answer and count. WHAT is tcp (127.0.0.1), udp (127.0.0.1), tcp6 ([::1] only),
tcp=PORT or udp=PORT, proxy (that of proxy.py, in its mode home). FILE gets one line each: WHAT PORT. FILE.count gets a line for each connection or datagram: WHAT PORT."""
import os
import socket
import sys
import threading

import proxy

out = sys.argv[1]
lock = threading.Lock()


def count(what, port):
    with lock, open(out + ".count", "a") as f:
        f.write("%s %d\n" % (what, port))


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
            threading.Thread(target=proxy.guarded, args=(conn, "home"), daemon=True).start()
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
