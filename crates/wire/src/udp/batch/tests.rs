//! Through sockets of this machine.

use super::*;
use crate::udp::message::{disconnect, send_connected, tell_more};
use std::net::UdpSocket;

fn pair() -> (UdpSocket, UdpSocket) {
    let one = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let other = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    one.connect(other.local_addr().expect("an address")).expect("a peer");
    (one, other)
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("an address")
}

#[test]
fn datagrams_come_whole_with_their_senders_empty_ones_and_the_longest_too() {
    let (sender, receiver) = pair();
    let longest = vec![7; 65_507];
    for bytes in [&b"one"[..], b"", &longest] {
        sender.send(bytes).expect("sent");
    }
    let mut batch = Batch::default();
    let places = batch.receive(&receiver, PLACES, true).expect("datagrams");
    let came: Vec<&[u8]> = places.map(|place| batch.at(place).bytes).collect();
    assert_eq!(came, [&b"one"[..], b"", &longest]);
    assert_eq!(batch.at(1).from, Some(address(&sender)));
    assert_eq!(batch.receive(&receiver, 1, true).expect_err("nothing"), Errno::AGAIN);
}

#[test]
fn what_goes_the_same_way_goes_as_trains_and_arrives_as_it_was() {
    let (sender, receiver) = pair();
    let (client, balancer) = (
        UdpSocket::bind("127.0.0.1:0").expect("it works"),
        UdpSocket::bind("127.0.0.1:0").expect("it works"),
    );
    let sizes = [100, 100, 100, 40, 100, 0, 100, 2000, 2000];
    for (at, size) in sizes.iter().enumerate() {
        sender.send(&vec![at as u8; *size]).expect("sent");
    }
    let mut batch = Batch::default();
    let places = batch.receive(&receiver, PLACES, false).expect("datagrams");
    let trains = batch.gather(places);
    assert_eq!(trains, [0, 4, 5, 6, 7, 8], "equal ones, and a shorter one at the end");
    trains.iter().for_each(|place| batch.answer(*place, address(&client), None));
    assert_eq!(batch.flush(&balancer), Flushed { sent: 9, lost: 0 });
    let mut bytes = [0; 4096];
    for (at, size) in sizes.iter().enumerate() {
        let length = client.recv(&mut bytes).expect("a datagram");
        assert_eq!((length, bytes[..length].iter().all(|byte| *byte == at as u8)), (*size, true));
    }
}

#[test]
fn datagrams_of_two_clients_make_no_train() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("it works");
    let clients = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("it works"));
    for client in [&clients[0], &clients[0], &clients[1], &clients[0]] {
        client.send_to(b"same", address(&receiver)).expect("it works");
    }
    let mut batch = Batch::default();
    let places = batch.receive(&receiver, PLACES, true).expect("datagrams");
    let trains = batch.gather(places);
    assert_eq!(trains, [0, 2, 3]);
    assert_eq!((batch.at(0).count(), batch.at(0).bytes), (2, &b"samesame"[..]));
}

#[test]
fn a_train_comes_as_one_and_goes_on_as_one_or_singly() {
    let (sender, receiver) = pair();
    tell_more(&receiver, false, false, true);
    let bytes: Vec<u8> = (0..250_u8).collect();
    send_connected(&sender, Datagram { segment: Some(100), ..Datagram::single(&bytes) }).expect("a train");
    let mut batch = Batch::default();
    let places = batch.receive(&receiver, PLACES, true).expect("a train");
    assert_eq!(places, 0..1);
    let train = batch.at(0);
    assert_eq!((train.segment, train.count()), (Some(100), 3));
    let sizes: Vec<usize> = train.each().map(<[u8]>::len).collect();
    assert_eq!(sizes, [100, 100, 50]);
    let client = UdpSocket::bind("127.0.0.1:0").expect("it works");
    batch.answer(0, address(&client), None);
    assert_eq!(batch.flush(&receiver), Flushed { sent: 3, lost: 0 });
    let mut singly = Flushed::default();
    batch.send_singly(&&receiver, Leaving { place: 0, to: address(&client), from: None }, &mut singly);
    assert_eq!(singly, Flushed { sent: 3, lost: 0 });
    let mut into = [0; 300];
    let came: Vec<usize> = (0..6).map(|_| client.recv(&mut into).expect("it works")).collect();
    assert_eq!(came, [100, 100, 50, 100, 100, 50]);
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    for (bind, asked) in [("0.0.0.0:0", "127.0.0.9"), ("[::]:0", "127.0.0.9"), ("[::]:0", "::1")] {
        let balancer = UdpSocket::bind(bind).expect("it works");
        tell_more(&balancer, true, bind.starts_with('['), true);
        let asked: IpAddr = asked.parse().expect("it works");
        let client =
            UdpSocket::bind((if asked.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).expect("it works");
        client.connect((asked, address(&balancer).port())).expect("it works");
        client.send(b"who").expect("it works");
        let mut batch = Batch::default();
        batch.receive(&balancer, 1, true).expect("a datagram");
        let came = batch.at(0);
        let (from, to) = (came.from.expect("a sender"), came.to.expect("an address"));
        assert_eq!(to.to_canonical(), asked);
        batch.answer(0, from, Some(to));
        assert_eq!(batch.flush(&balancer).sent, 1, "{bind} {asked}");
        // A connected socket hears nobody else.
        assert_eq!(client.recv(&mut [0; 9]).expect("it works"), 3);
    }
}

#[test]
fn a_socket_that_is_used_again_has_another_port() {
    let (socket, peer) = pair();
    let before = address(&socket);
    let fresh = UdpSocket::from(std::os::fd::OwnedFd::from(
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).expect("it works"),
    ));
    let mut ports = std::collections::HashSet::from([before.port()]);
    for _ in 0..5 {
        disconnect(&fresh).expect("disconnected");
        fresh.connect(address(&peer)).expect("connected");
        ports.insert(address(&fresh).port());
    }
    assert!(ports.len() > 3, "{ports:?}");
}
