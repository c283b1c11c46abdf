//! Pulling from a registry on loopback. Needs root, as unpacking sets owners.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runtime::embedded::{Embedded, EmbeddedConfig};
use runtime::*;

/// A registry with one image under `app:1` and, for those who log in, `private/app:1`.
struct Registry {
    blobs: HashMap<String, Vec<u8>>,
    manifest: String,
    blob_requests: AtomicUsize,
    damaged: bool,
    /// The address of its authorization server, if there is one that it sends clients to.
    realm: Option<String>,
    /// Bytes sent of what has no end.
    poured: AtomicUsize,
}

impl Registry {
    fn start(
        archive: &std::path::Path,
        damaged: bool,
        realm: Option<&str>,
    ) -> (SocketAddr, Arc<Self>) {
        let mut blobs = HashMap::new();
        let mut index = Vec::new();
        let mut tar = tar::Archive::new(std::fs::File::open(archive).unwrap());
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            match name.strip_prefix("blobs/sha256/") {
                Some(hash) => drop(blobs.insert(format!("sha256:{hash}"), bytes)),
                None if name == "index.json" => index = bytes,
                None => {}
            }
        }
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let manifest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let registry = Arc::new(Self {
            blobs,
            manifest,
            blob_requests: AtomicUsize::new(0),
            damaged,
            realm: realm.map(|path| format!("http://{address}{path}")),
            poured: AtomicUsize::new(0),
        });
        let server = Arc::clone(&registry);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.serve(stream.unwrap()));
            }
        });
        (address, registry)
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut stream = stream;
        loop {
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                if line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim().to_owned());
            }
            let path = lines[0].split(' ').nth(1).unwrap();
            if let Some(rest) = path.strip_prefix("/v2/endless/") {
                return self.pour(rest, stream);
            }
            // user:secret
            let basic = lines.iter().any(|line| line.ends_with("Basic dXNlcjpzZWNyZXQ="));
            let bearer = lines.iter().any(|line| line.ends_with("Bearer granted"));
            let known = if self.realm.is_some() { bearer } else { basic };
            let challenge = match &self.realm {
                Some(realm) => format!("Bearer realm=\"{realm}\",service=\"test\""),
                None => "Basic realm=\"test\"".to_owned(),
            };
            let (status, kind, mut body) = self.answer(path, known);
            if self.damaged && path.contains("/blobs/") {
                *body.last_mut().unwrap() ^= 1;
            }
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                 WWW-Authenticate: {challenge}\r\n\r\n",
                body.len()
            );
            if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                return;
            }
        }
    }

    /// Documents without an end: the manifest of `endless/manifest`, the layer of `endless/blob`,
    /// and the token of `endless/token`.
    fn pour(&self, path: &str, mut stream: TcpStream) {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
        let known = path.strip_prefix("blob/manifests/").map(|_| &self.blobs[&self.manifest]);
        if let Some(bytes) = known {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            stream.write_all(&[head.as_bytes(), bytes].concat()).unwrap();
            return;
        }
        let mut sent = stream.write_all(head.as_bytes());
        while sent.is_ok() {
            self.poured.fetch_add(chunk.len(), Ordering::SeqCst);
            sent = stream.write_all(&chunk);
        }
    }

    fn answer(&self, path: &str, known: bool) -> (&'static str, &'static str, Vec<u8>) {
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        let private = path.starts_with("/v2/private/");
        let path = path.replace("/v2/private/", "/v2/");
        if private && !known {
            return (
                "401 Unauthorized",
                "application/json",
                br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#
                    .into(),
            );
        }
        if path == "/token?scope=repository%3Aprivate%2Fapp%3Apull&service=test" {
            return ("200 OK", "application/json", br#"{"access_token":"granted"}"#.into());
        }
        let blob = |digest: &str| self.blobs.get(digest).cloned();
        let found = if path == "/v2/" {
            return ("200 OK", "application/json", b"{}".into());
        } else if path == "/v2/app/manifests/1" {
            blob(&self.manifest).map(|bytes| (manifest, bytes))
        } else if let Some(digest) = path.strip_prefix("/v2/app/manifests/") {
            blob(digest).map(|bytes| (manifest, bytes))
        } else if let Some(digest) = path.strip_prefix("/v2/app/blobs/") {
            self.blob_requests.fetch_add(1, Ordering::SeqCst);
            blob(digest).map(|bytes| ("application/octet-stream", bytes))
        } else {
            None
        };
        match found {
            Some((kind, bytes)) => ("200 OK", kind, bytes),
            None => (
                "404 Not Found",
                "application/json",
                br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#.into(),
            ),
        }
    }
}

struct Lab {
    runtime: Embedded,
    dir: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root");
        let dir = tempfile::tempdir().unwrap();
        let runtime = Embedded::open(EmbeddedConfig {
            data_dir: dir.path().join("data"),
            cluster: "pull".into(),
            node: "node".into(),
            node_netns: None,
            pod_cidr: None,
            cluster_cidr: "10.0.0.0/8".parse().unwrap(),
            own_ports: Vec::new(),
            mtu: 1500,
            cgroup_root: "/coxswain-test-pull".into(),
            registry: RegistryConfig::default(),
        })
        .await
        .unwrap();
        let spec = ImageSpec {
            files: vec![ImageFile::new("/hello", 0o644, b"hello")],
            entrypoint: vec!["/hello".into()],
            ..ImageSpec::default()
        };
        build_image_tar(&dir.path().join("image.tar"), "app:1", &spec).unwrap();
        Self { runtime, dir }
    }

    fn registry(&self, damaged: bool) -> (SocketAddr, Arc<Registry>) {
        Registry::start(&self.dir.path().join("image.tar"), damaged, None)
    }

    async fn pull_error(&self, name: &str, auth: Option<RegistryAuth>) -> PullError {
        match self.runtime.pull_image(name, auth).await {
            Err(Error::ImagePull(error)) => error,
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_come_by_tag_and_digest_and_once() {
    let lab = Lab::new().await;
    let (address, registry) = lab.registry(false);
    let name = format!("{address}/app:1");
    let pulls = (0..5).map(|_| lab.runtime.pull_image(&name, None));
    let pulled = futures::future::try_join_all(pulls).await.unwrap();
    assert!(pulled.iter().all(|image| *image == pulled[0]));
    assert_eq!(registry.blob_requests.load(Ordering::SeqCst), 2, "one configuration, one layer");

    let image = lab.runtime.image_status(&name).await.unwrap().unwrap();
    assert_eq!(image.id, pulled[0].id);
    assert_eq!(image.repo_tags, std::slice::from_ref(&name));
    let by_digest = format!("{address}/app@{}", pulled[0].digest);
    assert_eq!(image.repo_digests, std::slice::from_ref(&by_digest));
    assert!(lab.runtime.image_status(&by_digest).await.unwrap().is_some());

    let again = lab.runtime.pull_image(&by_digest, None).await.unwrap();
    assert_eq!((again.id, again.fetched_bytes), (image.id.clone(), 0), "its layer is here");
    lab.runtime.remove_image(&image.id).await.unwrap();
    assert!(lab.runtime.image_status(&name).await.unwrap().is_none());
    assert_eq!(std::fs::read_dir(lab.dir.path().join("data/layers")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_say_what_is_wrong() {
    let lab = Lab::new().await;
    let (address, _registry) = lab.registry(false);
    let private = format!("{address}/private/app:1");
    let basic = |password: &str| {
        Some(RegistryAuth::Basic { username: "user".into(), password: password.into() })
    };
    for auth in [None, basic("wrong")] {
        let error = lab.pull_error(&private, auth).await;
        assert!(matches!(error, PullError::Unauthorized { .. }), "{error:?}");
    }
    lab.runtime.pull_image(&private, basic("secret")).await.unwrap();

    let missing = lab.pull_error(&format!("{address}/app:2"), None).await;
    assert!(matches!(missing, PullError::NotFound { .. }), "{missing:?}");
    assert!(missing.to_string().ends_with("/app:2: not found"), "{missing}");
    let invalid = lab.pull_error("Not A Name", None).await;
    assert!(matches!(invalid, PullError::InvalidName { .. }), "{invalid:?}");

    // Port 1 of loopback is closed.
    let closed = lab.pull_error("127.0.0.1:1/app:1", None).await;
    assert!(matches!(closed, PullError::RegistryUnavailable { .. }), "{closed:?}");

    let (address, _registry) = lab.registry(true);
    let damaged = lab.pull_error(&format!("{address}/app:1"), None).await;
    assert!(matches!(damaged, PullError::Failed { .. }), "{damaged:?}");
    assert!(lab.runtime.image_status(&format!("{address}/app:1")).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_end_is_cut() {
    let lab = Lab::new().await;
    let (address, registry) = lab.registry(false);
    for name in ["manifest", "blob"] {
        let image = format!("{address}/endless/{name}:1");
        let pull = lab.pull_error(&image, None);
        let error = tokio::time::timeout(Duration::from_secs(30), pull).await.unwrap();
        assert!(error.to_string().contains("is longer than"), "{name}: {error}");
    }
    assert!(registry.poured.load(Ordering::SeqCst) < 64 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_come_from_where_the_registry_says_and_are_bounded() {
    let lab = Lab::new().await;
    let archive = lab.dir.path().join("image.tar");
    let (address, _registry) = Registry::start(&archive, false, Some("/token"));
    lab.runtime.pull_image(&format!("{address}/private/app:1"), None).await.unwrap();

    let (address, registry) = Registry::start(&archive, false, Some("/v2/endless/token"));
    let image = format!("{address}/private/app:1");
    let pull = lab.pull_error(&image, None);
    let error = tokio::time::timeout(Duration::from_secs(30), pull).await.unwrap();
    assert!(error.to_string().contains("token is longer than"), "{error}");
    assert!(registry.poured.load(Ordering::SeqCst) < 64 << 20);
}
