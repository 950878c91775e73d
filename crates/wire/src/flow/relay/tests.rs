use super::*;
use proptest::prelude::*;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// What no step of a test takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket of ours that holds little, and its far end.
fn pair() -> (Socket, TcpStream) {
    let (near, far) = tcp_pair();
    (Socket::new(near), far)
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection");
    let (near, _) = listener.accept().expect("a connection");
    for socket in [&near, &far] {
        socket.set_nonblocking(true).expect("it can be told not to block");
        socket.set_nodelay(true).expect("it can be told not to wait");
        socket2::SockRef::from(socket).set_send_buffer_size(8 * 1024).expect("it can be small");
        socket2::SockRef::from(socket).set_recv_buffer_size(8 * 1024).expect("it can be small");
    }
    (near, far)
}

/// A peer of the relay: what it has said and heard, and how that ended.
struct Far {
    socket: Option<TcpStream>,
    said: Vec<u8>,
    heard: Vec<u8>,
    has_finished: bool,
    /// The end that it heard: proper, or a reset.
    heard_end: Option<Result<(), ErrorKind>>,
}

impl Far {
    fn new(socket: TcpStream) -> Self {
        Self { socket: Some(socket), said: vec![], heard: vec![], has_finished: false, heard_end: None }
    }

    /// Says as many of `count` new bytes as the system takes.
    fn say(&mut self, count: usize) {
        let begin = self.said.len();
        let bytes: Vec<u8> = (begin..begin + count).map(|at| (at * 31 / 7) as u8).collect();
        let Some(socket) = self.socket.as_mut().filter(|_| !self.has_finished) else { return };
        if let Ok(taken) = socket.write(&bytes) {
            self.said.extend_from_slice(&bytes[..taken]);
        }
    }

    fn hear(&mut self, count: usize) {
        let Some(socket) = self.socket.as_mut().filter(|_| self.heard_end.is_none()) else { return };
        let mut bytes = vec![0; count];
        match socket.read(&mut bytes) {
            Ok(0) => self.heard_end = Some(Ok(())),
            Ok(taken) => self.heard.extend_from_slice(&bytes[..taken]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.heard_end = Some(Err(error.kind())),
        }
    }

    fn finish(&mut self) {
        if let Some(socket) = &self.socket {
            let _ = socket.shutdown(std::net::Shutdown::Write);
            self.has_finished = true;
        }
    }

    fn reset(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket2::SockRef::from(&socket)
                .set_linger(Some(Duration::ZERO))
                .expect("a reset can be asked for");
        }
    }

    fn is_gone(&self) -> bool {
        self.socket.is_none()
    }
}

/// A relay between two peers, driven by hand. It is dropped when it has ended, as flows are.
struct Play {
    relay: Option<Relay>,
    ended: Option<(End, (u64, u64))>,
    hot: Vec<u8>,
    client: Far,
    endpoint: Far,
}

impl Play {
    fn new() -> Self {
        let ((client, far_client), (endpoint, far_endpoint)) = (pair(), pair());
        Self {
            relay: Some(Relay::new(client, endpoint, Early::default())),
            ended: None,
            hot: vec![0; HOT_BYTES],
            client: Far::new(far_client),
            endpoint: Far::new(far_endpoint),
        }
    }

    /// Lets the relay do what it can do now.
    async fn turn(&mut self) {
        for _ in 0..3 {
            if let Some(relay) = &mut self.relay {
                let polled = poll_fn(|cx| Poll::Ready(relay.poll(cx, &mut self.hot))).await;
                if let Poll::Ready(end) = polled {
                    match end {
                        End::Whole => {}
                        End::Broken(Peer::Client) => relay.endpoint.reset(),
                        End::Broken(Peer::Endpoint) => relay.client.reset(),
                    }
                    self.ended = Some((end, relay.carried()));
                    self.relay = None;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Turns until this holds.
    async fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "{what}");
            self.turn().await;
        }
    }
}

fn play<F: Future>(act: impl FnOnce(Play) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { act(Play::new()).await })
}

#[test]
fn an_end_goes_on_while_the_other_direction_does() {
    play(|mut play| async move {
        play.client.say(5);
        play.client.finish();
        play.until("the end arrives", |play| {
            play.endpoint.hear(100);
            play.endpoint.heard_end == Some(Ok(()))
        })
        .await;
        assert_eq!((play.endpoint.heard.len(), play.ended), (5, None));
        play.endpoint.say(7);
        play.until("the answer arrives", |play| {
            play.client.hear(100);
            play.client.heard.len() == 7
        })
        .await;
        play.endpoint.finish();
        play.until("it is over", |play| play.ended.is_some()).await;
        assert_eq!(play.ended, Some((End::Whole, (5, 7))));
        play.client.hear(1);
        assert_eq!(play.client.heard_end, Some(Ok(())));
    });
}

#[test]
fn a_receiver_that_takes_nothing_stops_its_sender() {
    play(|mut play| async move {
        for _ in 0..2_000 {
            play.client.say(10_000);
            play.turn().await;
        }
        let said = play.client.said.len();
        assert!(said < 1_000_000, "{said} bytes are kept for nobody");
        play.client.finish();
        play.until("all of it arrives", |play| {
            play.endpoint.hear(50_000);
            play.endpoint.heard_end.is_some()
        })
        .await;
        assert!(play.endpoint.heard == play.client.said);
    });
}

#[test]
fn the_answer_that_came_before_an_endpoint_broke_off_is_passed_on() {
    play(|mut play| async move {
        play.client.say(10);
        play.until("it arrives", |play| {
            play.endpoint.hear(100);
            !play.endpoint.heard.is_empty()
        })
        .await;
        play.endpoint.say(100);
        play.endpoint.reset();
        play.client.say(10);
        play.until("it is over", |play| play.ended.is_some()).await;
        assert_eq!(play.ended.map(|(end, _)| end), Some(End::Broken(Peer::Endpoint)));
        play.until("the reset arrives", |play| {
            play.client.hear(200);
            play.client.heard_end.is_some()
        })
        .await;
        assert_eq!(
            (play.client.heard.len(), play.client.heard_end),
            (100, Some(Err(ErrorKind::ConnectionReset)))
        );
    });
}

#[test]
fn nothing_is_kept_while_nothing_waits() {
    play(|mut play| async move {
        play.client.say(4_000);
        play.until("it arrives", |play| {
            play.endpoint.hear(5_000);
            play.endpoint.heard.len() == play.client.said.len()
        })
        .await;
        let relay = play.relay.as_ref().expect("it goes on");
        assert!(relay.up.rest.0.is_none() && relay.down.rest.0.is_none());
    });
}

#[derive(Clone, Debug)]
enum Act {
    Say(Peer, usize),
    Hear(Peer, usize),
    Finish(Peer),
    Reset(Peer),
    Turn,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let peer = || prop_oneof![Just(Peer::Client), Just(Peer::Endpoint)];
    let act = prop_oneof![
        8 => (peer(), 1..60_000_usize).prop_map(|(peer, count)| Act::Say(peer, count)),
        8 => (peer(), 1..60_000_usize).prop_map(|(peer, count)| Act::Hear(peer, count)),
        8 => Just(Act::Turn),
        1 => peer().prop_map(Act::Finish),
        1 => peer().prop_map(Act::Reset),
    ];
    prop::collection::vec(act, 1..80)
}

/// Plays the acts, and then to the end: whoever is still there says that it has finished, and hears all.
async fn to_the_end(mut play: Play, acts: Vec<Act>) {
    for act in acts {
        let (Act::Say(peer, _) | Act::Hear(peer, _) | Act::Finish(peer) | Act::Reset(peer)) = act else {
            play.turn().await;
            continue;
        };
        let acting = if peer == Peer::Client { &mut play.client } else { &mut play.endpoint };
        match act {
            Act::Say(_, count) => acting.say(count),
            Act::Hear(_, count) => acting.hear(count),
            Act::Finish(_) => acting.finish(),
            Act::Reset(_) => acting.reset(),
            Act::Turn => {}
        }
        let both_finished = play.client.has_finished && play.endpoint.has_finished;
        let one_is_gone = play.client.is_gone() || play.endpoint.is_gone();
        assert!(play.ended.is_none() || both_finished || one_is_gone, "it ended, and nobody did that");
    }
    let was_broken = play.client.is_gone() || play.endpoint.is_gone();
    play.client.finish();
    play.endpoint.finish();
    play.until("it ends", |play| {
        play.client.hear(100_000);
        play.endpoint.hear(100_000);
        play.ended.is_some()
            && (play.client.is_gone() || play.client.heard_end.is_some())
            && (play.endpoint.is_gone() || play.endpoint.heard_end.is_some())
    })
    .await;
    let Play { client, endpoint, ended, .. } = &play;
    assert!(client.said.starts_with(&endpoint.heard) && endpoint.said.starts_with(&client.heard));
    let (end, (up, down)) = ended.expect("it has ended");
    if !was_broken {
        assert_eq!(end, End::Whole);
        assert!(client.said.len() == endpoint.heard.len() && endpoint.said.len() == client.heard.len());
        assert_eq!((up, down), (client.said.len() as u64, endpoint.said.len() as u64));
        assert_eq!((client.heard_end, endpoint.heard_end), (Some(Ok(())), Some(Ok(()))));
    }
    if let End::Broken(peer) = end {
        assert!(
            if peer == Peer::Client { client.is_gone() } else { endpoint.is_gone() },
            "{peer:?} is there"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: what comes out is the beginning of what went in, all of it unless somebody
    /// broke off; and it ends when both have said all, or one is gone, and not before.
    #[test]
    fn any_conversation_is_carried_to_its_end(acts in acts()) {
        play(|play| to_the_end(play, acts));
    }
}

#[test]
fn only_the_first_message_to_an_endpoint_may_wait_for_another_one() {
    play(|mut play| async move {
        let ((client, far_client), (near, far)) = (pair(), tcp_pair());
        near.set_nodelay(false).expect("it can be told to wait");
        let seen = near.try_clone().expect("a descriptor");
        play.relay = Some(Relay::new(client, Socket::new(near), Early::default()));
        (play.client, play.endpoint) = (Far::new(far_client), Far::new(far));
        for count in 1..=2 {
            play.client.say(10);
            play.until("it arrives", |play| {
                play.endpoint.hear(100);
                play.endpoint.heard.len() == 10 * count
            })
            .await;
            assert_eq!(seen.nodelay().expect("an option"), count == 2);
        }
    });
}
