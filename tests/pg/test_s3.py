"""Seawall with its repository in a real S3 (Ceph): what a day brings, and what is said when the store refuses."""

import http.client

import pytest

pytestmark = pytest.mark.s3

BODY = bytes(range(256)) * 1000
HOW_FAR = 1000


def asked(rgw, proxy, method, body=b"", **headers):
    """What a client without any patience gets through the proxy."""
    client = rgw.store.through(f"http://127.0.0.1:{proxy.port}")
    try:
        answer = client.ask(method, f"/{rgw.name}/object", body, **headers)
    except (ConnectionError, http.client.HTTPException) as error:
        return type(error).__name__
    return answer.status, answer.body


def test_the_store_keeps_objects_honours_create_only_and_is_gone_in_an_outage(rgw, rgw_proxy):
    assert asked(rgw, rgw_proxy, "PUT", BODY, If_None_Match="*") == (200, b"")
    assert asked(rgw, rgw_proxy, "PUT", b"other", If_None_Match="*")[0] == 412
    with rgw_proxy.outage():
        assert asked(rgw, rgw_proxy, "GET") == "ConnectionResetError"
    assert asked(rgw, rgw_proxy, "GET") == (200, BODY) and rgw.keys() == ["object"]
    assert [each.status for each in rgw_proxy.requests()] == [200, 412, 200]


@pytest.mark.parametrize("kind, options, answer, kept", [
    ("refuse", {}, "ConnectionResetError", False),
    ("reset", {"after": HOW_FAR}, "ConnectionResetError", False),
    ("truncate", {"after": HOW_FAR}, "RemoteDisconnected", False),
    ("corrupt", {"after": HOW_FAR}, 400, False),
    ("stall", {"after": HOW_FAR, "seconds": 0.1}, 200, True),
    ("throttle", {"rate": 10_000_000}, 200, True),
    ("status", {"code": 500}, 500, False),
    ("status", {"code": 200, "error": "InternalError"}, 200, False),
    ("lost_reply", {}, "ConnectionResetError", True),
])
def test_the_proxy_spoils_an_upload(rgw, rgw_proxy, kind, options, answer, kept):
    fault = rgw_proxy.add(kind, method="PUT", **options)
    got = asked(rgw, rgw_proxy, "PUT", BODY)
    assert (got if isinstance(got, str) else got[0]) == answer
    assert fault.hits == 1 and rgw.keys() == (["object"] if kept else [])


@pytest.mark.parametrize("kind, answer", [("reset", "ConnectionResetError"), ("truncate", "IncompleteRead"), ("corrupt", 1),
                                          ("stall", 0)])
def test_the_proxy_spoils_a_download(rgw, rgw_proxy, kind, answer):
    """The answer: what the client was told, or how many bytes were wrong."""
    rgw.put("object", BODY)
    rgw_proxy.add(kind, method="GET", dir="down", after=HOW_FAR, seconds=0.1)
    got = asked(rgw, rgw_proxy, "GET")
    assert (got if isinstance(got, str) else sum(a != b for a, b in zip(got[1], BODY, strict=True))) == answer
    assert asked(rgw, rgw_proxy, "GET") == (200, BODY)
