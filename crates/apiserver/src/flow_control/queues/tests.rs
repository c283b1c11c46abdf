use super::*;

const MS: Duration = Duration::from_millis(1);

fn queues(limit: usize) -> (Queues, Instant) {
    let policy = Policy::Queue { queues: 16, hand: 4, length: 10 };
    let at = Instant::now();
    (Queues::new(policy, limit, at), at)
}

fn runs(arrival: Arrival) -> Ticket {
    match arrival {
        Arrival::Runs(ticket) => ticket,
        Arrival::Waits(..) => panic!("it waits"),
        Arrival::Refused(why) => panic!("{why}"),
    }
}

fn waits(arrival: Arrival) -> (Ticket, oneshot::Receiver<Instant>) {
    match arrival {
        Arrival::Waits(ticket, turn) => (ticket, turn),
        _ => panic!("it does not wait"),
    }
}

#[test]
fn hands_are_different_queues() {
    for hash in (0..2000u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
        let mut hand = deal(hash, 16, 4);
        assert!(hand.iter().all(|queue| *queue < 16));
        hand.sort_unstable();
        hand.dedup();
        assert_eq!(hand.len(), 4);
    }
    assert_eq!(deal(5, 3, 8).len(), 3);
}

#[test]
fn requests_wait_for_seats_and_leave_nothing_behind() {
    let (mut queues, at) = queues(2);
    let one = Estimate::seats(1);
    let first = runs(queues.arrive(at, || 1, one));
    let second = runs(queues.arrive(at, || 1, one));
    let (_, mut third) = waits(queues.arrive(at, || 1, one));
    let (given_up, fourth) = waits(queues.arrive(at, || 1, one));
    let (_, fifth) = waits(queues.arrive(at, || 1, one));
    assert!(third.try_recv().is_err());
    assert!(queues.give_up(at, &given_up));
    assert!(!queues.give_up(at, &given_up));
    drop((fourth, fifth));
    queues.end(at + MS, &first, at);
    assert!(third.try_recv().is_ok());
    // The fifth's client has left, and nobody says so.
    queues.end(at + MS, &second, at);
    let counts = queues.counts();
    assert_eq!((counts.waiting, counts.executing, counts.seats_in_use), (0, 1, 1));
    let third = Ticket { id: 3, ..second };
    queues.end(at + MS, &third, at);
    assert_eq!(queues.counts(), Counts::default());
    assert!(queues.queues.is_empty());
}

#[test]
fn a_full_queue_refuses_only_when_there_are_no_seats() {
    let (mut queues, at) = queues(1);
    let one = Estimate::seats(1);
    runs(queues.arrive(at, || 1, one));
    // A flow fills its hand: four queues of ten.
    let held: Vec<_> = (0..40).map(|_| waits(queues.arrive(at, || 1, one))).collect();
    assert!(matches!(queues.arrive(at, || 1, one), Arrival::Refused("queue-full")));
    // Other flows have queues of their own.
    let others = (2..20)
        .filter(|flow| matches!(queues.arrive(at, || *flow * 7919, one), Arrival::Waits(..)));
    assert!(others.count() > 10);
    drop(held);
}

#[test]
fn a_quiet_flow_does_not_wait_for_a_busy_one() {
    let (mut queues, mut at) = queues(4);
    let one = Estimate::seats(1);
    let mut running: VecDeque<(Ticket, Instant)> =
        (0..4).map(|_| (runs(queues.arrive(at, || 1, one)), at)).collect();
    let mut busy: Vec<_> = (0..30).map(|_| waits(queues.arrive(at, || 1, one))).collect();
    let (_, mut quiet) = waits(queues.arrive(at, || 0xDEAD_BEEF, one));
    let mut ended = 0;
    while quiet.try_recv().is_err() {
        at += 3 * MS;
        let (ticket, began) = running.pop_front().unwrap();
        queues.end(at, &ticket, began);
        ended += 1;
        busy.retain_mut(|(ticket, turn)| match turn.try_recv() {
            Ok(began) => {
                running.push_back((*ticket, began));
                false
            }
            Err(_) => true,
        });
        assert!(ended <= 8, "the quiet flow waits for all of the busy one's");
    }
}

#[test]
fn wide_requests_are_not_overtaken_for_ever_and_seats_last() {
    let (mut queues, at) = queues(4);
    let first = runs(queues.arrive(at, || 1, Estimate::seats(1)));
    let (_, mut wide) = waits(queues.arrive(at, || 2, Estimate::seats(4)));
    // There would be room for it.
    let (_, mut narrow) = waits(queues.arrive(at + 5 * MS, || 3, Estimate::seats(1)));
    assert!(narrow.try_recv().is_err());
    queues.end(at + 10 * MS, &first, at);
    assert!(wide.try_recv().is_ok() && narrow.try_recv().is_err());

    let (mut queues, at) = self::queues(2);
    let event = Estimate { initial: 1, last: 2, lasting: 5 * MS };
    let write = runs(queues.arrive(at, || 1, event));
    let (_, mut next) = waits(queues.arrive(at, || 2, Estimate::seats(1)));
    assert_eq!(queues.end(at + MS, &write, at), 5 * MS);
    assert!(next.try_recv().is_err());
    queues.release_late(at + 6 * MS, &write);
    assert!(next.try_recv().is_ok());
}

#[test]
fn one_that_is_too_wide_runs_alone_and_exempt_ones_always() {
    let (mut queues, at) = queues(2);
    let wide = runs(queues.arrive(at, || 1, Estimate::seats(5)));
    let (_, mut next) = waits(queues.arrive(at, || 1, Estimate::seats(1)));
    queues.end(at, &wide, at);
    assert!(next.try_recv().is_ok());

    let mut exempt = Queues::new(Policy::Exempt, 0, at);
    let tickets: Vec<_> =
        (0..50).map(|_| runs(exempt.arrive(at, || 1, Estimate::seats(3)))).collect();
    assert_eq!(exempt.counts().seats_in_use, 150);
    for ticket in tickets {
        exempt.end(at, &ticket, at);
    }
    assert_eq!(exempt.counts(), Counts::default());
    assert_eq!(exempt.observe(at + MS).most, 150);

    let mut reject = Queues::new(Policy::Reject, 1, at);
    runs(reject.arrive(at, || 1, Estimate::seats(1)));
    let refused = reject.arrive(at, || 1, Estimate::seats(1));
    assert!(matches!(refused, Arrival::Refused("concurrency-limit")));
}
