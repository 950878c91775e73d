"""One message of each kind in which every field and every alternative is used; their bytes are released."""

from bascule import contract

SAMPLES: dict[str, object] = {
    "settings": contract.Settings(threads=4, seed=7),
    "mark": contract.Mark("api", "10.0.0.1:8000", up=True, draining=False, weight=3),
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
        listeners=(contract.ListenerStats("web", accepted=9, open=1, requests=8, in_flight=1),),
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
            ),
        ),
        log_lines_lost=1,
    ),
    **{
        f"event_{what.kind}": contract.Event(1_700_000_000_000, what)
        for what in (
            contract.AcceptPaused("web", "no file descriptors"),
            contract.AcceptResumed("web"),
            contract.GenerationDrained(1),
            contract.TaskPanicked(0, "message"),
            contract.LogFailed("disk full"),
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
                        response_headers=contract.HeaderEdits(),
                        timeouts=contract.RouteTimeouts(30_000, 60_000, 90_000, 3_600_000),
                    ),
                    contract.Route(
                        id="old",
                        matchers=(),
                        action=contract.RedirectAction(308, "https://{host}{uri}"),
                        rewrite=contract.SetRewrite("/x"),
                        request_headers=contract.HeaderEdits(),
                        response_headers=contract.HeaderEdits(),
                        timeouts=contract.RouteTimeouts(1, 2, None, 3),
                    ),
                    contract.Route(
                        id="gone",
                        matchers=(),
                        action=contract.RespondAction(410, (contract.HeaderValue("A", "b"),), "gone\n"),
                        rewrite=contract.RegexRewrite("^/(.*)$", "/$1"),
                        request_headers=contract.HeaderEdits(),
                        response_headers=contract.HeaderEdits(),
                        timeouts=contract.RouteTimeouts(1, 2, None, 3),
                    ),
                ),
                timeouts=contract.ClientTimeouts(10_000, 60_000, 75_000, 60_000),
                limits=contract.ClientLimits(65_536, 100, 8_192, 10_485_760, 1_000, 500),
                forwarded=contract.Forwarded(True, False, ("10.0.0.0/8",)),
            ),
        ),
        pools=(
            contract.Pool(
                id="api",
                algorithm=contract.Algorithm("least_busy", {}),
                endpoints=(
                    contract.Endpoint("a", contract.TcpAddress("10.0.0.1:8000"), 1),
                    contract.Endpoint("b", contract.UnixAddress("/run/b.sock"), 65_535),
                ),
                connect_ms=5_000,
                idle=contract.IdleConnections(256, 60_000),
                retries=contract.Retries(1, 20, 3),
                panic_percent=50,
            ),
        ),
        access_log=contract.AccessLog("combined", "/var/log/access.log"),
    ),
}
"""By the name of their file in `golden`."""
