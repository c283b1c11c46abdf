#!/usr/bin/env python3
"""A registry on loopback that serves the images of an archive under any repository's name, for tests
whose pods pull always.

    registry.py ARCHIVE PORT
"""
import hashlib, http.server, json, re, sys, tarfile

TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def load(path):
    """All blobs by digest, and manifests by `name:tag`."""
    blobs, manifests = {}, {}
    with tarfile.open(path) as archive:
        def read(name):
            return archive.extractfile(name).read()

        def put(data, kind):
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            blobs[digest] = data
            return {"mediaType": kind, "size": len(data), "digest": digest}
        layers = {}
        for image in json.loads(read("manifest.json")):
            for name in image["Layers"]:
                if name not in layers:
                    layers[name] = put(read(name), "application/vnd.docker.image.rootfs.diff.tar")
            manifest = json.dumps({
                "schemaVersion": 2, "mediaType": TYPE,
                "config": put(read(image["Config"]), "application/vnd.docker.container.image.v1+json"),
                "layers": [layers[name] for name in image["Layers"]],
            }).encode()
            digest = put(manifest, TYPE)["digest"]
            for tag in image["RepoTags"]:
                manifests[tag.rsplit("/", 1)[1]] = digest
    return blobs, manifests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        found = re.fullmatch(r"/v2/(.*)/(manifests|blobs)/([^/]+)", self.path)
        data, kind = (b"{}", "application/json") if self.path.rstrip("/") == "/v2" else (None, TYPE)
        if found:
            repository, what, reference = found.groups()
            digest = self.server.manifests.get(f"{repository.rsplit('/', 1)[-1]}:{reference}", reference)
            data = self.server.blobs.get(digest)
            kind = TYPE if what == "manifests" else "application/octet-stream"
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.send_header("Content-Type", kind)
        if data and found:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data or b"")

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
server.blobs, server.manifests = load(sys.argv[1])
server.serve_forever()
