use super::*;
use runtime::RegistryAuth;

const IMAGE: &str = "reg.example/team/app:1";
const ID: &str = "sha256:11";

fn credential(name: &str, uid: &str, hash: &str) -> Credential {
    let text = |text: &str| text.to_owned();
    Credential {
        auth: RegistryAuth::Bearer(text("t")),
        secret: PullSecret {
            namespace: text("ns"),
            name: text(name),
            uid: text(uid),
            credential_hash: text(hash),
        },
    }
}

fn open(dir: &Path) -> PullRecords {
    PullRecords::open(dir.to_owned(), ImageCredentials::default()).unwrap()
}

#[test]
fn a_private_image_is_for_those_who_have_its_secret() {
    let dir = tempfile::tempdir().unwrap();
    let records = open(dir.path());
    assert!(!records.must_pull(IMAGE, ID, &[]), "it came without the kubelet");
    let owner = credential("s", "u1", "h1");
    let pull = records.begin(IMAGE).unwrap();
    assert!(records.must_pull(IMAGE, ID, &[]), "while somebody pulls it");
    pull.end(Some((ID, Some(&owner))));

    // Also for a kubelet that was started since.
    let records = open(dir.path());
    let must = |own: &[Credential]| records.must_pull(IMAGE, ID, own);
    assert!(must(&[]) && must(&[credential("other", "u2", "h2")]));
    assert!(!must(&[owner]));
    assert!(!must(&[credential("copy", "u3", "h1")]), "the same credential in another secret");
    assert!(!must(&[credential("copy", "u3", "h9")]), "which counts from now on");
    assert!(!must(&[credential("s", "u1", "h8")]), "another credential in the same secret");
    let elsewhere = "other.example/team/app:1";
    assert!(records.must_pull(elsewhere, ID, &[credential("s", "u1", "h8")]));
}

#[test]
fn what_anybody_could_pull_is_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let records = open(dir.path());
    let pull = records.begin(IMAGE).unwrap();
    pull.end(Some((ID, Some(&credential("s", "u1", "h1")))));
    let pull = records.begin(IMAGE).unwrap();
    pull.end(Some((ID, None)));
    assert!(!records.must_pull(IMAGE, ID, &[]));
    let by_digest = format!("reg.example/team/app@sha256:{}", "0".repeat(64));
    assert!(!records.must_pull(&by_digest, ID, &[]), "whatever its tag");
}

#[test]
fn a_pull_that_a_crash_interrupted_counts() {
    let dir = tempfile::tempdir().unwrap();
    // As if the process had ended here.
    std::mem::forget(open(dir.path()).begin(IMAGE).unwrap());
    let records = open(dir.path());
    assert!(records.must_pull(IMAGE, ID, &[]));
    let image = Image { id: ID.to_owned(), repo_tags: vec![IMAGE.to_owned()], ..Image::default() };
    records.adopt(std::slice::from_ref(&image));
    assert_eq!(std::fs::read_dir(dir.path().join("pulling")).unwrap().count(), 0);
    assert!(records.must_pull(IMAGE, ID, &[credential("s", "u1", "h1")]));

    records.prune(std::slice::from_ref(&image), Timestamp::now());
    assert!(records.must_pull(IMAGE, ID, &[]), "it is still there");
    records.prune(&[], Timestamp::now());
    assert!(!records.must_pull(IMAGE, ID, &[]), "whatever has this id now came otherwise");
}

#[test]
fn a_failed_pull_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let records = open(dir.path());
    let pull = records.begin(IMAGE).unwrap();
    pull.end(None);
    assert!(!records.must_pull(IMAGE, ID, &[]));
}

#[test]
fn policies() {
    let dir = tempfile::tempdir().unwrap();
    let list = ["reg.example/team/*", "docker.io/library/busybox"].map(str::to_owned);
    let listed = ImageCredentials::NeverVerifyAllowlistedImages(list.to_vec());
    for (policy, image, must) in [
        (ImageCredentials::NeverVerify, IMAGE, false),
        (ImageCredentials::NeverVerifyPreloadedImages, IMAGE, false),
        (ImageCredentials::AlwaysVerify, IMAGE, true),
        (listed.clone(), IMAGE, false),
        (listed.clone(), "busybox", false),
        (listed, "reg.example/else:1", true),
    ] {
        let records = PullRecords::open(dir.path().to_owned(), policy.clone()).unwrap();
        assert_eq!(records.must_pull(image, ID, &[]), must, "{policy:?} {image}");
    }
}

#[test]
fn a_pull_that_is_given_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let records = open(dir.path());
    drop(records.begin(IMAGE).unwrap());
    let left = |name: &str| std::fs::read_dir(dir.path().join(name)).map_or(0, Iterator::count);
    assert_eq!((left("pulling"), left("pulled")), (0, 0));
}
