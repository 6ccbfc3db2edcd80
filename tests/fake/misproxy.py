#!/usr/bin/env python3
"""usage: misproxy.py MODE [NAME=ADDRESS | NAME=/FOLDER | CERT.pem]...
usage: misproxy.py lend PORT SOCKET

An HTTP proxy on a free loopback port, which it prints. A NAME is resolved to its ADDRESS; others as this machine does.
NAME=/FOLDER is a web server of that folder. With LOG=FILE each Upgrade that is asked for is noted there:
HOST:PORT UPGRADE passed|dropped. With SOCKET=PATH it is on no port, but waits at that unix socket for `lend`, which runs in
a network namespace without a way out and lends it the loopback port PORT of that. Then it ends with its parent, the
process PARENT=PID, and the folder of the socket with it.
MODE: pass; or for every request
  allow                      refuses, with 403, what is no NAME; NAME= is one that this machine resolves
  deny sandbox method auth   refuses, as sandboxes and proxies do: x-deny-reason, x-proxy-error, by method, 407
  bad                        cannot reach anything: 502
  hang trickle split         never answers; answers a byte each 20 ms; byte by byte
  reset cut                  resets; says half a line and closes
  junk garbage               answers what is no HTTP; 200, then what is no TLS
  big endless                403 with 64 KB of headers; 200 and headers without end
With CERT.pem (certificate and key) it opens TLS:
  open                       and changes nothing
  strip                      takes Upgrade out of every request; striponly:VALUE just that one
  cutup                      ends the connection where an Upgrade is asked for
  readonly                   lets only GET, HEAD and OPTIONS through
  page                       answers everything with a page to log in at
"""
import functools
import http.server
import os
import shutil
import signal
import socket
import ssl
import struct
import sys
import threading
import time

from pump import join

mode, _, value = sys.argv[1].partition(":")
names, cert = {}, None
for arg in sys.argv[2:]:
    if "=" in arg:
        names.update([arg.split("=", 1)])
    else:
        cert = arg
PAGE = b"<html><head><title>x</title><style>p { top: 0 }</style></head><body><h1>Please log in</h1>\x1b[31m</body></html>"
ANSWERS = {
    "deny": (b"403 Forbidden", b"x-deny-reason: host_not_allowed\r\n", b"Host not in allowlist: example\x1b[31m\x00\xff red"),
    "sandbox": (b"403 Forbidden", b"X-Proxy-Error: blocked-by-allowlist\r\nContent-Type: text/plain\r\n", b"Connection blocked"),
    "method": (b"403 Forbidden", b"x-proxy-error: blocked-by-method-policy\r\n", b""),
    "auth": (b"407 Proxy Authentication Required", b'Proxy-Authenticate: Basic realm="x"\r\n', b"who are you?"),
    "bad": (b"502 Bad Gateway", b"", b"no way there"),
    "big": (b"403 Forbidden", b"".join(b"x-%d: %s\r\n" % (i, b"y" * 1000) for i in range(64)), b"too long to read"),
}


def head_of(conn):
    data = b""
    while b"\r\n\r\n" not in data and len(data) < 65536:
        more = conn.recv(4096)
        if not more:
            return data, b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def refuse(conn, status, more, body):
    conn.sendall(b"HTTP/1.1 " + status + b"\r\n" + more + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def goes_on(conn, words):
    """Plays the mode; whether the request is then served."""
    ok = b"HTTP/1.1 200 Connection established\r\n\r\n"
    if mode == "allow":
        where = words[1] if words[0] == "CONNECT" else words[1].partition("://")[2].partition("/")[0]
        if where.partition(":")[0] in names:
            return True
        refuse(conn, *ANSWERS["deny"][:2], b"Host not in allowlist: " + where.partition(":")[0].encode())
    elif mode in ANSWERS:
        refuse(conn, *ANSWERS[mode])
    elif mode == "hang":
        time.sleep(60)
    elif mode == "reset":
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif mode == "cut":
        conn.sendall(b"HTTP/1.1 4")
    elif mode == "junk":
        conn.sendall(b"SSH-2.0-what\r\n" + os.urandom(4000))
    elif mode == "garbage":
        conn.sendall(ok + os.urandom(20000))
        time.sleep(0.2)
    elif mode == "endless":
        conn.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            conn.sendall(b"x: " + b"y" * 1000 + b"\r\n")
    elif mode in ("trickle", "split"):
        for byte in ok:
            conn.sendall(bytes([byte]))
            time.sleep(0.02 if mode == "trickle" else 0)
        return True
    else:
        return True
    return False


@functools.cache
def web_server(folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    return web.server_address


def dial(text):
    host, _, port = text.rpartition(":")
    address = names.get(host) or host.strip("[]")
    if address.startswith("/"):
        return socket.create_connection(web_server(address))
    return socket.create_connection((address, int(port)), 5)


def open_tls(conn, far, where):
    """Each request inside comes by here."""
    near = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    near.load_cert_chain(cert)
    out = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    out.check_hostname, out.verify_mode = False, ssl.CERT_NONE
    conn = near.wrap_socket(conn, server_side=True)
    head, rest = head_of(conn)
    lines = head.split(b"\r\n")
    upgrade = next((x.split(b":")[1].strip() for x in lines if x.lower().startswith(b"upgrade:")), None)
    if mode == "page":
        return refuse(conn, b"200 OK", b"Content-Type: text/html\r\n", PAGE)
    if mode == "readonly" and lines[0].split()[0] not in (b"GET", b"HEAD", b"OPTIONS"):
        return refuse(conn, b"403 Forbidden", b"x-proxy-error: blocked-by-method-policy\r\n", b"method not allowed")
    if mode == "cutup" and upgrade:
        return conn.close()
    if mode == "strip" or (mode == "striponly" and upgrade == value.encode()):
        lines = [x for x in lines if not x.lower().startswith((b"upgrade:", b"connection:"))]
    if upgrade and "LOG" in names:
        passed = any(x.lower().startswith(b"upgrade:") for x in lines)
        with open(names["LOG"], "a", encoding="utf-8") as f:
            f.write(f"{where} {upgrade.decode()} {'passed' if passed else 'dropped'}\n")
    far = out.wrap_socket(far)
    far.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + rest)
    join(conn, far)


def tunnel(conn, where, rest):
    try:
        far = dial(where)
    except OSError:
        return refuse(conn, b"502 Bad Gateway", b"", b"no way there")
    if mode not in ("trickle", "split"):
        conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    if cert:
        return open_tls(conn, far, where)
    far.sendall(rest)
    join(conn, far)


def forward(conn, words, head, rest):
    host, _, path = words[1].partition("://")[2].partition("/")
    far = dial(host if ":" in host else host + ":80")
    lines = [x for x in head.split(b"\r\n")[1:] if not x.lower().startswith((b"proxy-", b"upgrade:", b"connection:"))]
    first = f"{words[0]} /{path} HTTP/1.1".encode()
    far.sendall(b"\r\n".join([first, b"Connection: close", *lines]) + b"\r\n\r\n" + rest)
    join(conn, far)


def serve(conn):
    with conn:
        try:
            head, rest = head_of(conn)
            words = head.split(b"\r\n")[0].decode().split()
            if len(words) < 2 or not goes_on(conn, words):
                return
            if words[0] == "CONNECT":
                tunnel(conn, words[1], rest)
            else:
                forward(conn, words, head, rest)
        except (OSError, ValueError):
            pass


def lend(port, path):
    with socket.create_server(("127.0.0.1", int(port)), backlog=64) as s, socket.socket(socket.AF_UNIX) as to:
        to.connect(path)
        socket.send_fds(to, [b"x"], [s.fileno()])
        to.recv(1)  # it has it


def end(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def follow(parent, folder):
    while os.getppid() == parent and os.path.isdir(folder):
        time.sleep(0.2)
    end(folder)


def borrowed(path):
    """The socket that `lend` brings; meanwhile, and from then on, we end with our parent."""
    folder = os.path.dirname(path)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end(folder))
    threading.Thread(target=follow, args=(int(names["PARENT"]), folder), daemon=True).start()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
        conn = s.accept()[0]
        with conn:
            lent = socket.socket(fileno=socket.recv_fds(conn, 1, 1)[1][0])
    return lent


if mode == "lend":
    lend(*sys.argv[2:])
    sys.exit()
if "SOCKET" in names:
    server = borrowed(names["SOCKET"])
else:
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
