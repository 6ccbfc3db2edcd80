#!/usr/bin/env python3
"""usage: serving.py DIR

A tailscaled as far as publishing goes, on DIR/sock; a dial leads to an HTTP server that answers every path. DIR/cert tells
what asking for a certificate comes to: "CODE TEXT", "429 TEXT" with DIR/retry-after, "slow SEC", "hang". While there is
DIR/deaf, no dial is answered; while there is DIR/race, every write finds that somebody else was quicker. DIR/config is
Serve's configuration; posts counts the writes; DIR/version is what it says it is."""
import hashlib
import http.server
import json
import os
import socket
import socketserver
import sys
import threading
import time

from pump import join

base = sys.argv[1]
NAME = "box.x.ts.net"
STATUS = {"Version": "1.102.5", "BackendState": "Running", "TailscaleIPs": ["100.64.0.9"], "HaveNodeKey": True,
          "Self": {"ID": "n9CNTRL", "HostName": "box", "DNSName": NAME + ".", "Online": True, "CapMap": {"https": None}},
          "CurrentTailnet": {"Name": "x", "MagicDNSSuffix": "x.ts.net", "MagicDNSEnabled": True}, "CertDomains": [NAME]}


def text(name, default=""):
    try:
        with open(os.path.join(base, name), encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return default


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
page.daemon_threads = True
threading.Thread(target=page.serve_forever, daemon=True).start()


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def certificate(self):
        word, _, rest = text("cert", "500 no").partition(" ")
        if word == "hang":
            time.sleep(60)
        if word == "slow":
            time.sleep(float(rest))
            word = "200"
        more = {"Retry_After": text("retry-after")} if text("retry-after") else {}
        self.answer(int(word), rest.encode(), **more)

    def dial(self):
        if os.path.exists(os.path.join(base, "deaf")):
            time.sleep(60)
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: ts-dial\r\nConnection: upgrade\r\n\r\n")
        s = socket.create_connection(page.server_address)
        join(s, self.connection)
        self.close_connection = True

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.path.rpartition("/v0/")[2].partition("?")[0]
        config = text("config", "null").encode()
        tag = hashlib.sha256(config).hexdigest()
        if name == "status":
            self.answer(200, json.dumps(dict(STATUS, Version=text("version", "1.102.5"))).encode())
        elif name == "prefs":
            self.answer(200, b'{"ShieldsUp":false}')
        elif name.startswith("cert/"):
            self.certificate()
        elif name.startswith("box."):
            self.certificate()
        elif name == "dial":
            self.dial()
        elif name == "serve-config" and self.command == "GET":
            self.answer(200, config, Etag=tag)
        elif name == "serve-config":
            with open(os.path.join(base, "posts"), "a", encoding="utf-8") as f:
                f.write("post\n")
            if os.path.exists(os.path.join(base, "race")) or self.headers.get("If-Match") != tag:
                self.answer(412, b"etag mismatch\n")
                return
            with open(os.path.join(base, "config"), "wb") as f:
                f.write(body)
            self.answer(200)
        else:
            self.answer(404, b"404 page not found\n")

    do_GET = do_POST = do_PATCH = handle_any


class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


Unix(os.path.join(base, "sock"), Api).serve_forever()
