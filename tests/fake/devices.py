#!/usr/bin/env python3
"""usage: devices.py DIR [COUNT]

The API's devices: COUNT that are nobody's business, and those in DIR/devices, a JSON object a line. Prints the port. DIR/mode
says what the list is like: empty, null, partial (every second one), cut and torn (half of the bytes, with and without saying so), html, 429, 500; DIR/skew is added
to the Date. DIR/headscale: who is connected is not said. What is deleted is added to DIR/deleted, and is not there any more;
DIR/stubborn names ids that cannot be deleted."""
import email.utils
import http.server
import json
import os
import sys
import time

base, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3


def text(name):
    try:
        with open(os.path.join(base, name), encoding="utf-8") as f:
            return f.read()
    except OSError:
        return ""


def stamp(ago):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago))


def filler(i):
    return {"id": str(10**15 + i), "nodeId": f"nOther{i}CNTRL", "name": f"other{i}.lab.ts.net", "hostname": f"other{i}", "os": "linux",
            "user": "user@example.com", "ago": 10**6, "tags": ["tag:other"], "addresses": ["100.64.1.1", "fd7a:115c:a1e0::1"],
            "clientVersion": "1.102.5-t0123456789-g0123456789", "machineKey": "mkey:" + "0" * 64, "nodeKey": "nodekey:" + "0" * 64,
            "clientConnectivity": {"endpoints": [f"192.0.2.{n}:41641" for n in range(40)]}}


def devices():
    gone = text("deleted").split()
    all_of_them = [filler(i) for i in range(count)] + [json.loads(line) for line in text("devices").splitlines()]
    for d in all_of_them:
        d.setdefault("name", d.get("hostname", "") + ".lab.ts.net")
        d.setdefault("connectedToControl", False)
        d.setdefault("isExternal", False)
        if "ago" in d:
            d["lastSeen"] = stamp(d.pop("ago"))
        if text("headscale"):
            del d["connectedToControl"], d["isExternal"]
    return [d for d in all_of_them if d["nodeId"] not in gone]


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() + float(text("skew") or 0), usegmt=True)

    def answer(self, code, body, length=None, **headers):
        self.send_response(code)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def listing(self):
        mode = text("mode").strip()
        some = devices()
        if mode == "429":
            return self.answer(429, b"slow down", Retry_After="60")
        if mode == "500":
            return self.answer(500, b"oops")
        if mode == "html":
            return self.answer(200, b"<html>Please sign in</html>")
        if mode in ("empty", "null"):
            some = [] if mode == "empty" else None
        if mode == "partial":
            some = some[::2]
        body = json.dumps({"devices": some}).encode()
        if mode == "cut":
            self.close_connection = True
            return self.answer(200, body[:len(body) // 2], len(body))
        return self.answer(200, body[:len(body) // 2] if mode == "torn" else body)

    def one(self):
        found = [d for d in devices() if d["nodeId"] == self.path.split("?")[0].rpartition("/")[2]]
        if not found:
            return self.answer(404, b'{"message":"no manageable device matching found"}')
        if self.command == "GET":
            return self.answer(200, json.dumps(found[0]).encode())
        if found[0]["nodeId"] in text("stubborn"):
            return self.answer(501, b'{"message":"not owned"}')
        with open(os.path.join(base, "deleted"), "a", encoding="utf-8") as f:
            f.write(found[0]["nodeId"] + "\n")
        return self.answer(200, b"null")

    def do_GET(self):
        return self.listing() if self.path.split("?")[0].endswith("/tailnet/-/devices") else self.one()

    do_DELETE = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
print(server.server_address[1], flush=True)
server.serve_forever()
