//! Messages of hostile clients.

use hickory_proto::op::Message;

use super::tests::{question, with_headless};
use super::{Step, payload};

#[test]
fn messages_are_answered_or_dropped() {
    let server = with_headless(5);
    let names = [
        "db.ns.svc.cluster.local.",
        "10-1-0-0.db.ns.svc.cluster.local.",
        "_http._tcp.db.ns.svc.cluster.local.",
        "1.0.1.10.in-addr.arpa.",
        "example.org.",
    ];
    let messages: Vec<Vec<u8>> =
        names.iter().map(|name| question(name).to_vec().unwrap()).collect();
    let seeds: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let words: &[&[u8]] = &[
        b"\xc0\x0c",
        b"\xc0\x00",
        b"\x3f",
        b"\0\x01\0\x01",
        b"\0\x0c",
        b"\0\xff",
        b"\0\x21",
        b"\0\0\x29\x04\xd0\0\0\x80\0\0\0",
        b"\x07cluster\x05local\0",
        b"\x01*",
    ];
    fuzz::bytes(&seeds, words, |bytes| {
        let Ok(request) = Message::from_vec(bytes) else { return false };
        assert!(payload(&request) >= 512);
        let Some(Step::Done(answer)) = server.begin(&request) else { return true };
        assert_eq!(answer.metadata.id, request.metadata.id);
        let answered = answer.to_vec().unwrap();
        assert!(answered.len() <= usize::from(u16::MAX));
        Message::from_vec(&answered).unwrap();
        true
    });
}
