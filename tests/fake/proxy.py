"""proxy.py PORTFILE [MODE [PORT]]: an HTTP proxy on loopback (CONNECT and plain requests); its port goes to PORTFILE.

MODE: ok; auth (407 unless user:pass is given); deny (403 and x-deny-reason); hang (takes connections and says nothing);
home (every host is 127.0.0.1).
Each request line is appended to PORTFILE.log. Ends with its parent. ports.py has the same proxy among its listeners."""
import base64, os, socket, sys, threading, time
from urllib.parse import urlsplit

from pump import join


def note(line):
    with open(sys.argv[1] + ".log", "a") as f:
        f.write(line + "\n")


def serve(c, mode, note=lambda line: None):
    head = b""
    while b"\r\n\r\n" not in head:
        more = c.recv(65536)
        if not more:
            return
        head += more
    head, rest = head.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    note(lines[0])
    if mode == "hang":
        time.sleep(600)
    if mode == "deny":
        c.sendall(b"HTTP/1.1 403 Forbidden\r\nx-deny-reason: host_not_allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    want = "basic " + base64.b64encode(b"user:pass").decode()
    given = [h.split(":", 1)[1].strip() for h in lines[1:] if h.lower().startswith("proxy-authorization:")]
    if mode == "auth" and [g[:6].lower() + g[6:] for g in given] != [want]:
        c.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    if method == "CONNECT":
        host, port = target.rsplit(":", 1)
        path = None
    else:
        url = urlsplit(target)
        host, port = url.hostname, url.port or 80
        path = (url.path or "/") + ("?" + url.query if url.query else "")
    try:
        if mode == "home":
            host = "127.0.0.1"
        s = socket.create_connection((host.strip("[]"), int(port)), 30)
    except OSError:
        c.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    if path is None:
        c.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if rest:
            s.sendall(rest)
    else:
        kept = [h for h in lines[1:] if not h.lower().startswith("proxy-")]
        s.sendall(("\r\n".join(["%s %s HTTP/1.1" % (method, path)] + kept) + "\r\n\r\n").encode("latin-1") + rest)
    join(c, s)
    s.close()


def guarded(c, *args):
    try:
        serve(c, *args)
    except (OSError, ValueError):
        pass
    finally:
        c.close()


def follow(parent):
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)


if __name__ == "__main__":
    portfile, mode, port = (sys.argv[1:] + ["ok", "0"][len(sys.argv) - 2:])[:3]
    threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=64)
    with open(portfile + ".new", "w") as f:
        f.write("%d\n" % listener.getsockname()[1])
    os.rename(portfile + ".new", portfile)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=guarded, args=(conn, mode, note), daemon=True).start()
