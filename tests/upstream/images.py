#!/usr/bin/env python3
"""Makes the images that upstream's end-to-end tests name, in one archive for `coxswain image import`.

    images.py ARCHIVE          # needs target/upstream/bin (see `build`), root, and an apt mirror of trixie

All share one layer of Debian packages, with what upstream's images hold on top: agnhost, etcd, the sample
API server. Images that need more than that (NFS, iSCSI, device plugins) are left out.
"""
import gzip, hashlib, io, json, os, pathlib, re, shutil, subprocess, sys, tarfile, tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
UPSTREAM = ROOT / "target/upstream"
BIN = UPSTREAM / "bin"
# busybox before 1.36 drops variables like `data-1` from the environment.
PACKAGES = """base-files bash bind9-dnsutils busybox-static coreutils curl gawk grep iproute2 iputils-ping
libc-bin mount netcat-openbsd openssl procps sed socat tar util-linux""".split()
PASSWD = "root:x:0:0:root:/root:/bin/sh\nuser-defined-in-image:x:1000:1000::/home/u:/bin/sh\n"
GROUP = "root:x:0:\nuser-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n"
# The layer's programs, then what this image adds, and how it is started.
AGNHOST = {"Entrypoint": ["/agnhost"], "Cmd": ["pause"]}
SHELL = {"Cmd": ["sh"]}
IMAGES = {
    "agnhost": AGNHOST,
    "kitten": AGNHOST | {"Cmd": ["test-webserver"], "data": "kitten"},
    "nautilus": AGNHOST | {"Cmd": ["test-webserver"], "data": "nautilus"},
    "busybox": SHELL, "ipc-utils": SHELL, "glibc-dns-testing": SHELL,
    "nonroot": {"User": "1234", "Cmd": ["sh"]},
    "nonewprivs": {"Cmd": ["nnp"]},
    "nginx": {"Cmd": ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/usr/share/nginx/html"]},
    "pause": {"Entrypoint": ["/agnhost", "pause"]},
    "etcd": {"Cmd": ["etcd"]},
    "sample-apiserver": {"Entrypoint": ["/sample-apiserver"]},
}


def packages(root):
    """Unpacks the newest packages of Debian's next release by the machine's own sources."""
    apt = UPSTREAM / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    (apt / "status").write_text("")
    sources = pathlib.Path("/etc/apt/sources.list.d/debian.sources").read_text()
    sources = re.sub(r"\S+-updates", "", sources)
    (apt / "t.sources").write_text(re.sub(r"(Suites: *)\w+", r"\1trixie", sources))
    options = [f"-oDir::State::lists={apt}/lists", f"-oDir::State::status={apt}/status",
               f"-oDir::Cache={apt}/cache", f"-oDir::Etc::sourcelist={apt}/t.sources",
               "-oDir::Etc::sourceparts=-", "-oAPT::Sandbox::User=root"]
    subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
    subprocess.run(["apt-get", "-qq", *options, "-d", "-y", "--no-install-recommends", "install", *PACKAGES],
                   check=True)
    for directory in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / directory).mkdir(parents=True, exist_ok=True)
        (root / directory).symlink_to(f"usr/{directory}")
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    for bulky in ("usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/perl", "usr/share/zoneinfo"):
        shutil.rmtree(root / bulky, ignore_errors=True)


def go_build(package, to):
    subprocess.run(["go", "build", "-ldflags", "-s -w", "-o", to, package], check=True,
                   cwd=UPSTREAM / "kubernetes", env=os.environ | {"CGO_ENABLED": "0"})


def layer(root):
    packages(root)
    busybox = next(p for p in (root / "usr/bin/busybox", root / "bin/busybox") if p.exists())
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if not any((root / d / applet).is_symlink() or (root / d / applet).exists() for d in ("usr/bin", "usr/sbin")):
            (root / "usr/bin" / applet).symlink_to("/usr/bin/busybox")
    shell = root / "usr/bin/sh"
    shell.unlink(missing_ok=True)
    shell.symlink_to("/usr/bin/busybox")
    for name in ("agnhost", "sample-apiserver"):
        shutil.copy(BIN / name, root / name)
    (root / "agnhost-2").symlink_to("agnhost")
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy(BIN / "etcd", root / "usr/local/bin/etcd")
    go_build("k8s.io/kubernetes/test/images/nonewprivs", root / "usr/local/bin/nnp")
    (root / "usr/local/bin/nnp").chmod(0o6755)
    source = subprocess.run(["go", "list", "-f", "{{.Dir}}", "k8s.io/kubernetes/test/images/agnhost"], check=True,
                            capture_output=True, text=True, cwd=UPSTREAM / "kubernetes").stdout.strip()
    for name in ("localhost.crt", "localhost.key"):
        shutil.copyfile(pathlib.Path(source, "porter", name), root / name)
    for name in ("uploads", "tmp", "root", "home/u", "usr/share/nginx/html", "proc", "sys", "dev", "etc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "usr/share/nginx/html/index.html").write_text("<title>Welcome to nginx!</title>\n")
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)


def pack(root):
    """The layer, and its digest before it is compressed."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        def plain(member):
            member.uid = member.gid = member.mtime = 0
            member.uname = member.gname = ""
            return member
        tar.add(root, arcname=".", filter=plain)
    return raw.getvalue()


def main():
    names = subprocess.run([BIN / "e2e.test", "--list-images"], capture_output=True, text=True, check=True).stdout.split()
    with tempfile.TemporaryDirectory(dir=UPSTREAM) as directory, tarfile.open(sys.argv[1], "w") as archive:
        def put(name, data):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        root = pathlib.Path(directory, "base")
        root.mkdir()
        layer(root)
        layers = {"base": pack(root)}
        for name, config in IMAGES.items():
            if "data" in config:
                extra = pathlib.Path(directory, name)
                extra.mkdir()
                (extra / "data.json").write_text(json.dumps({"image": config["data"] + ".jpg"}))
                layers[name] = pack(extra)
        for name, data in layers.items():
            put(f"{name}.tar", data)
        manifest = []
        for reference in names:
            name = reference.rsplit(":", 1)[0].rsplit("/", 1)[1]
            if name not in IMAGES or "private" in reference or "invalid" in reference:
                continue
            config = {k: v for k, v in IMAGES[name].items() if k != "data"}
            mine = ["base", name] if name in layers else ["base"]
            environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
            blob = json.dumps({
                "architecture": "amd64", "os": "linux", "config": config | {"Env": environment, "Labels": {"of": reference}},
                "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layers[l]).hexdigest() for l in mine]},
            }).encode()
            digest = hashlib.sha256(blob).hexdigest()
            put(f"{digest}.json", blob)
            manifest.append({"Config": f"{digest}.json", "RepoTags": [reference], "Layers": [f"{l}.tar" for l in mine]})
        put("manifest.json", json.dumps(manifest).encode())
        print(*(m["RepoTags"][0] for m in manifest), sep="\n")


main()
