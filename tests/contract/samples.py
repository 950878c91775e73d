"""One message of each kind in which every field and every alternative is used; their bytes are released."""

from bascule import contract

NO_EDITS = contract.HeaderEdits()
SHORT = contract.RouteTimeouts(1, 2, None, 3)
TABLE = contract.SessionTable(expiry_ms=1_800_000, entries=100_000, store="shared")
COOKIE = contract.IssuedCookie(
    name="bascule",
    path="/",
    domain="example.com",
    secure=True,
    http_only=True,
    same_site="none",
    lifetime_ms=86_400_000,
    keys=(contract.Secret("0123456789abcdef"), contract.Secret("fedcba9876543210")),
    encrypted=True,
)
KEYS: tuple[contract.KeyBy, ...] = (
    contract.ClientKey(),
    contract.HeaderKey("X-Api-Key"),
    contract.CookieKey("id"),
    contract.QueryKey("user"),
    contract.HostKey(),
    contract.PathKey(),
    contract.UriKey(),
)


def protected_pool(name: str, protection: contract.Protection, by: contract.SessionBy) -> contract.Pool:
    """A pool of which only what is protected, and how, is of interest."""
    return contract.Pool(
        id=name,
        algorithm=contract.Algorithm("least_busy", {}),
        endpoints=(),
        connect_ms=1,
        idle=contract.IdleConnections(0, 1),
        retries=contract.Retries(2, 20, 10, (500, 503), contract.FixedTryLimit(250), (8, 14)),
        panic_percent=0,
        protection=protection,
        sessions=contract.Sessions(by, strict=True),
        spread=contract.Spread("eu-1", contract.Subset(size=20, balancer=3)),
        load_reports=True,
        tls=contract.PoolTls("a1", "api.example.com", "c1", ("http/1.1",)),
        protocol="http2",
    )


def flow_route(name: str, *server_names: str) -> contract.FlowRoute:
    """A route of flows in which every field is used."""
    return contract.FlowRoute(
        id=name,
        server_names=server_names,
        alpn=("h2",),
        clients=("10.0.0.0/8",),
        pool="api",
        limits=(contract.RateLimit(name, contract.ClientKey(), 10, 1_000, 20),),
        priority=2,
        idle_ms=30_000,
        total_ms=60_000,
    )


SAMPLES: dict[str, object] = {
    "material_certificate": contract.CertificateMaterial("c1", "chain", contract.Secret("key")),
    "material_authorities": contract.AuthoritiesMaterial("a1", "certificates", "lists"),
    "settings": contract.Settings(threads=4, seed=7),
    "mark": contract.Mark(
        "api",
        "10.0.0.1:8000",
        up=True,
        draining=False,
        weight=3,
        maintenance=True,
        load_permille=730,
        forget=True,
    ),
    "question": contract.Question("web", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "192.0.2.1", 1_800_000_000),
    "explanation": contract.Explanation(
        refused=contract.Refusal(400, "no Host"),
        seen=contract.Seen("a.example", "/", "192.0.2.1"),
        routes=(contract.RouteSeen("api", ("path prefix /api",)), contract.RouteSeen("rest", ())),
        deed=contract.RedirectDeed(308, "https://a.example/"),
        pools=(
            contract.PoolSeen(
                pool="api",
                permille=1000,
                algorithm="fastest",
                session="none yet",
                endpoints=(contract.EndpointSeen("10.0.0.1:80", "draining", 100, 3, 8, "3 in flight"),),
                order=("10.0.0.2:80",),
                why="fastest",
            ),
        ),
    ),
    "receipt": contract.Receipt(
        generation=2,
        live=1,
        digest="af63dc4c8601ec8c",
        binds=(
            contract.Bound("web", "127.0.0.1:0", address="127.0.0.1:43671"),
            contract.Bound("web", "unix:/run/web.sock", refused="address in use"),
        ),
        problems=('listener "web": address in use',),
    ),
    "catalog": contract.Catalog(
        algorithms=(contract.Entry("random", "Summary.", "Advice.", {"type": "object", "properties": {}}),),
        matchers=(contract.Entry("host", "Summary.", "Advice.", True),),
    ),
    "stats": contract.Stats(
        generation=3,
        draining=(1, 2),
        listeners=(
            contract.ListenerStats(
                "web",
                accepted=9,
                open=1,
                requests=8,
                in_flight=1,
                turned_away=2,
                handshakes=7,
                resumed=3,
                failed_handshakes=(contract.FailedHandshakes("unknown_name", 1),),
                refused_proxy_headers=4,
                flows=4,
                datagrams=contract.Datagrams(9, 8, (contract.DroppedDatagrams("late", 1),)),
            ),
        ),
        series=(
            contract.Series(
                listener="web",
                route="api",
                pool="api",
                endpoint=None,
                codes=(contract.CodeCount(200, 7), contract.CodeCount(0, 1)),
                endings=(contract.EndingCount("ok", 7),),
                received_bytes=100,
                sent_bytes=2**63,
                duration=contract.Histogram(1, 900, (contract.Bucket(1024, 1),)),
                response=contract.Histogram(),
                grpc_codes=(contract.CodeCount(14, 2),),
            ),
        ),
        endpoints=(
            contract.EndpointStats(
                pool="api",
                endpoint="10.0.0.1:8000",
                up=True,
                draining=False,
                weight=1,
                in_flight=2,
                picked=3,
                connects=4,
                connect_failures=5,
                retried=6,
                idle=7,
                maintenance=True,
                ejected=True,
                ejections=8,
                failures=9,
                limit=10,
                learned_limit=11,
                pace_us=12,
            ),
        ),
        log_lines_lost=1,
        pools=(
            contract.PoolStats(
                pool="api",
                waiting=1,
                queued=2,
                shed=3,
                overloaded=True,
                hedged=4,
                hedges_won=5,
                retries_denied=6,
                sessions_kept=7,
                sessions_moved=8,
                sessions_refused=9,
                sessions_remembered=10,
                mirrored=11,
            ),
        ),
        flows=(
            contract.FlowSeries(
                listener="db",
                route="db/0",
                pool="db",
                endpoint="10.0.0.1:5432",
                endings=(contract.EndingCount("idle", 2),),
                received_bytes=10,
                sent_bytes=20,
                duration=contract.Histogram(1, 900, (contract.Bucket(1024, 1),)),
                connect=contract.Histogram(),
            ),
        ),
    ),
    **{
        f"event_{what.kind}": contract.Event(1_700_000_000_000, what)
        for what in (
            contract.AcceptPaused("web", "no file descriptors"),
            contract.AcceptResumed("web"),
            contract.GenerationDrained(1),
            contract.TaskPanicked(0, "message"),
            contract.LogFailed("disk full"),
            contract.Ejected("api", "10.0.0.1:8000", "5 failures in a row", 10_000),
            contract.Restored("api", "10.0.0.1:8000"),
            contract.OverloadBegan("api"),
            contract.OverloadEnded("api"),
            contract.StoreFailed("shared", "connection refused"),
            contract.StoreRecovered("shared"),
            contract.HandshakeFailed("web", "192.0.2.1", "it took too long"),
            contract.ProxyHeaderRefused("web", "10.0.0.1", "the connection does not begin with one"),
            contract.EndpointTlsFailed("api", "10.0.0.1:8000", "the certificate has expired"),
            contract.Stopped(2),
            contract.EventsLost(3),
        )
    },
    "snapshot": contract.Snapshot(
        contract=1,
        generation=1,
        listeners=(
            contract.Listener(
                id="web",
                binds=(contract.TcpBind("[::]:8080"), contract.UnixBind("/run/web.sock", 0o660)),
                routes=(
                    contract.Route(
                        id="api",
                        matchers=(contract.Matcher("host", {"hosts": ["müller.example"]}),),
                        action=contract.PoolAction("api"),
                        rewrite=contract.PrefixRewrite("/v1", "/"),
                        request_headers=contract.HeaderEdits(
                            ("Cookie",),
                            (contract.HeaderValue("X-Route", "{route}"),),
                            (contract.HeaderValue("Via", "1.1\tb"),),
                        ),
                        response_headers=NO_EDITS,
                        timeouts=contract.RouteTimeouts(30_000, 60_000, 90_000, 3_600_000, "X-Deadline-Ms"),
                        limits=(
                            contract.RateLimit("api", None, requests=100, per_ms=1_000, burst=50),
                            *(
                                contract.RateLimit(f"api-{at}", key, 10, 60_000, 10, store="shared")
                                for at, key in enumerate(KEYS, 2)
                            ),
                        ),
                        priority=8,
                        mirror=contract.Mirror("shadow", 100),
                        connect="tunnel",
                        half_closed="abort",
                    ),
                    contract.Route(
                        id="canary",
                        matchers=(),
                        action=contract.SplitAction((contract.Share("api", 95), contract.Share("shadow", 5))),
                        rewrite=None,
                        request_headers=NO_EDITS,
                        response_headers=NO_EDITS,
                        timeouts=SHORT,
                    ),
                    contract.Route(
                        id="old",
                        matchers=(),
                        action=contract.RedirectAction(308, "https://{host}{uri}"),
                        rewrite=contract.SetRewrite("/x"),
                        request_headers=NO_EDITS,
                        response_headers=NO_EDITS,
                        timeouts=SHORT,
                    ),
                    contract.Route(
                        id="gone",
                        matchers=(),
                        action=contract.RespondAction(410, (contract.HeaderValue("A", "b"),), "gone\n"),
                        rewrite=contract.RegexRewrite("^/(.*)$", "/$1"),
                        request_headers=NO_EDITS,
                        response_headers=NO_EDITS,
                        timeouts=SHORT,
                    ),
                ),
                timeouts=contract.ClientTimeouts(10_000, 60_000, 75_000, 60_000),
                limits=contract.ClientLimits(65_536, 100, 8_192, 10_485_760, 1_000, 500, 50),
                http2=contract.Http2(enabled=False, streams=7, window_bytes=1_000_000),
                forwarded=contract.Forwarded(True, False, ("10.0.0.0/8",)),
                proxy_protocol=contract.Announced(("10.0.0.0/8",)),
                tls=contract.ListenerTls(
                    certificates=(contract.ServedCertificate("c1", ("example.com", "*.example.com")),),
                    defaults=("c1",),
                    oldest="tls12",
                    alpn=("h2", "http/1.1"),
                    tickets=contract.Tickets((contract.Secret("0123456789abcdef"),)),
                    clients=contract.ClientCertificates(required=True, authorities="a1"),
                    challenges=(contract.ServedCertificate("c2", ("new.example.com",)),),
                ),
            ),
            contract.Listener(
                id="dns",
                binds=(contract.UdpBind("[::]:53"),),
                routes=(),
                timeouts=contract.ClientTimeouts(1, 2, 3, 4),
                limits=contract.ClientLimits(1, 2, 3),
                forwarded=contract.Forwarded(False, False, ()),
                carries="udp",
                flows=contract.Flows(
                    routes=(flow_route("dns"),),
                    passthrough=(flow_route("mail", "*.example.com"),),
                    probe_ms=60_000,
                    udp=contract.Udp(responses=1, flows=1_000, quic=True),
                ),
            ),
        ),
        pools=(
            contract.Pool(
                id="api",
                flows=contract.PoolFlows(10_000, "close", 300_000, transparent=True),
                algorithm=contract.Algorithm("least_busy", {}),
                endpoints=(
                    contract.Endpoint("a", contract.TcpAddress("10.0.0.1:8000"), 1),
                    contract.Endpoint("b", contract.UnixAddress("/run/b.sock"), 65_535, 1, "eu-1", 40),
                ),
                connect_ms=5_000,
                idle=contract.IdleConnections(256, 60_000),
                retries=contract.Retries(1, 20, 3, (502,), contract.LearnedTryLimit()),
                panic_percent=50,
                proxy_protocol=contract.Announce("v2", ("alpn", "sni", "unique_id", "crc32c")),
            ),
            protected_pool(
                "shadow",
                contract.Protection(
                    limit=contract.LearnedLimit(),
                    queue=contract.Queue(1_024, 5_000, service_level_ms=200),
                    ejection=contract.Ejection(5, 50, 500, 10_000, 300_000, 50),
                    hedge=contract.Hedge(20, after_ms=100),
                    slow_start_ms=10_000,
                ),
                contract.BySessionCookie(COOKIE),
            ),
            protected_pool(
                "fixed",
                contract.Protection(
                    limit=contract.FixedLimit(8),
                    queue=contract.Queue(0, 1),
                    ejection=contract.Ejection(1, None, None, 1, 1, 1),
                    hedge=contract.Hedge(5),
                ),
                contract.ByLearnedCookie("JSESSIONID", TABLE),
            ),
            *(
                protected_pool(f"by-{key.kind}", contract.Protection(), contract.ByKey(key, TABLE))
                for key in KEYS
            ),
        ),
        access_log=contract.AccessLog("combined", "/var/log/access.log"),
        stores=(
            contract.Store(
                id="shared",
                address=contract.TcpAddress("127.0.0.1:6379"),
                username="balancer",
                password=contract.Secret("password"),
                database=2,
                prefix="bascule:",
                wait_ms=50,
            ),
            contract.Store("local", contract.UnixAddress("/run/redis.sock"), None, None, 0, "", 1),
        ),
    ),
}
"""By the name of their file in `golden`."""
