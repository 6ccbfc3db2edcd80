#!/usr/bin/env python3
# packages.py DIR CERT KEY PORTS LOG: a packages host that misbehaves on demand, over https and http
#
# https://HOST:PORT/FAULT/stable/NAME is DIR/NAME, after FAULT has been done to it; a small file only suffers where the
# fault says so. PORTS gets "https http". LOG gets a line a request: path, Range, If-Range.
import http.server, os, socket, ssl, sys, threading, time

dir_, cert, key, ports, log = sys.argv[1:6]
seen = {}
lock = threading.Lock()
PAGE = b"<html><title>Log in first</title></html>"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True

    def log_message(self, *a):
        pass

    def send(self, status, body, *headers, length=None):
        self.send_response(status)
        for h in headers:
            self.send_header(*h)
        if length != "none":
            self.send_header("Content-Length", len(body) if length is None else length)
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass
        if length is not None:
            self.close_connection = True

    def cut(self, body, n, headers, status=200, total=None, reset=True):
        self.send_response(status)
        for h in headers:
            self.send_header(*h)
        self.send_header("Content-Length", total if total is not None else len(body))
        self.end_headers()
        self.wfile.write(body[:n])
        self.wfile.flush()
        if reset:  # what the other side has not read by then is lost
            time.sleep(0.02)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        self.close_connection = True

    def do_GET(self):
        path = self.path.split("?")[0]
        query = self.path.partition("?")[2]
        parts = path.strip("/").split("/")
        fault, rest = parts[0], parts[1:]
        rng, if_range = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        with lock:
            seen[path] = times = seen.get(path, 0) + 1
            with open(log, "a") as f:
                f.write("%s %s %s\n" % (path, rng, if_range))
        if fault == "hang":
            time.sleep(20)
        if fault == "slowhead":
            for c in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100:
                try:
                    self.wfile.write(bytes([c]))
                except OSError:
                    return
                time.sleep(0.2)
            return
        if fault == "garbage":
            self.wfile.write(b"SSH-2.0-no\r\n")
            self.close_connection = True
            return
        if query.startswith("mode=json"):
            if fault == "noindex":
                return self.send(404, b"")
            if fault == "badindex":
                return self.send(200, b'{"TarballsVersion":"../../x"}', ("Content-Type", "application/json"))
            return self.send(200, open(dir_ + "/index.json", "rb").read(), ("Content-Type", "application/json"))
        name = os.path.join(dir_, *(rest[1:] if rest[:1] in (["stable"], ["unstable"]) and fault != "flat" else rest))
        if fault == "flat" and rest[:1] == ["stable"] or not os.path.isfile(name):
            return self.send(404, b"no such file")
        body = open(name, "rb").read()
        etag = '"v1"'
        big = len(body) > 5000
        if fault == "sumtext" and path.endswith(".sig"):
            return self.send(200, b"failed to get hash")
        if fault == "e500":
            return self.send(500, b"failed to get hash")
        if fault == "e451":
            return self.send(451, b"not here")
        if fault == "page":
            return self.send(200, PAGE, ("Content-Type", "text/html"))
        if fault == "pagebig" and big:
            return self.send(200, PAGE)
        if fault.startswith("to"):
            to = {"tohttp": "http://localhost:%s/ok/" % H.server_port, "tofile": "file:///etc/", "tohost": "https://127.0.0.1:%s/ok/" % S.server_port,
                  "touser": "https://localhost@127.0.0.1:%s/ok/" % S.server_port, "tosame": "https://localhost:%s/ok/" % S.server_port,
                  "torel": "/ok/", "toloop": "https://localhost:%s/toloop/" % S.server_port}[fault]
            return self.send(302, b"<html>moved</html>", ("Location", to + "/".join(rest)))
        start = 0
        status, headers = 200, [("ETag", etag), ("Accept-Ranges", "bytes")]
        if fault == "changed" and times > 1:
            headers[0] = ("ETag", '"v2"')
        whole = len(body)
        if rng and if_range == headers[0][1]:
            start = int(rng[6:].rstrip("-"))
            status = 206
            shown = start
            if fault == "badrange":
                shown = start + 1
            headers.append(("Content-Range", "bytes %d-%d/%d" % (shown, whole - 1, whole)))
            body = body[start:]
        if not big:
            return self.send(200, body)
        if fault == "bits" or (fault == "bitsonce" and times == 1):
            body = body[:4000] + b"X" + body[4001:]
        if fault == "stall" or (fault == "trickle"):
            self.send_response(status)
            self.send_header("Content-Length", len(body))
            self.end_headers()
            # what is slow is an average of 5 s, so a stall after much takes that long to be seen: once is enough
            self.wfile.write(body[:100000 if fault == "stall" and times == 1 else 1000])
            for i in range(200):
                time.sleep(0.1)
                if fault == "trickle":
                    try:
                        self.wfile.write(b"x")
                    except OSError:
                        break
            self.close_connection = True
            return
        if fault in ("badrange", "changed") and times == 1:
            return self.cut(body, len(body) // 2, headers, status)
        if fault == "cutoften" and times <= 4:
            return self.cut(body, len(body) // 2, headers, status)
        if fault == "cutalways":
            return self.cut(body, 100000, [], 200)
        if fault.startswith("cutat-") and times == 1:
            return self.cut(body, len(body) * int(fault[6:]) // 1000, headers, status, reset=False)
        if fault.startswith("resetat-") and times == 1:
            return self.cut(body, len(body) * int(fault[8:]) // 1000, headers, status)
        if fault == "short":
            return self.send(status, body[:-1000], *headers, length=len(body) - 1000)
        if fault == "long":
            return self.send(status, body + b"x" * 1000, *headers, length=len(body) + 1000)
        if fault == "nolength":
            return self.send(status, body, *headers, length="none")
        if fault == "negative":
            return self.send(status, body, *headers, length=-1)
        if fault == "huge":
            return self.send(status, body, *headers, length=1 << 62)
        if fault == "unasked":
            return self.send(206, body, *headers, ("Content-Range", "bytes 0-%d/%d" % (whole - 1, whole)))
        if fault == "endless":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                self.wfile.write(body[:10])
                for i in range(200):
                    self.wfile.write(b"\0" * (1 << 20))
            except OSError:
                pass
            self.close_connection = True
            return
        self.send(status, body, *headers)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *a):
        pass


S, H = Server(("127.0.0.1", 0), Handler), Server(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
S.socket = context.wrap_socket(S.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=H.serve_forever, daemon=True).start()
with open(ports + ".new", "w") as f:
    f.write("%d %d\n" % (S.server_port, H.server_port))
os.rename(ports + ".new", ports)
S.serve_forever()
