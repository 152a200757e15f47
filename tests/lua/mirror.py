"""A web server that fails on purpose, for test_datasets.lua: mirror.py FOLDER PORTFILE

/good/PATH serves FOLDER/PATH; /wrong/ the same with other content, /short/ only its first half, as if that were
all; /half/ announces all of it and hangs up half-way; /loop/ redirects to itself; anything else is not there.
The port goes to PORTFILE. The server ends with its standard input."""
import gzip
import http.server
import os
import sys
import threading

folder, portfile = sys.argv[1:]


class Mirror(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        how, _, path = self.path.lstrip("/").partition("/")
        name = os.path.join(folder, path)
        if how == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
            return
        if how not in ("good", "wrong", "short", "half") or not os.path.isfile(name):
            self.send_error(404)
            return
        with open(name, "rb") as file:
            content = file.read()
        if how == "wrong":
            content = gzip.compress(gzip.decompress(content) + b"!")
        if how == "short":
            content = content[:len(content) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:len(content) // 2] if how == "half" else content)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
with open(portfile + ".new", "w") as out:
    out.write(str(server.server_port))
os.rename(portfile + ".new", portfile)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
