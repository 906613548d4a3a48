"""What an HTTP answer's head says about who answered."""

import pytest

from ridgeline.lab.watch.askers import read_head
from ridgeline.render.identity import SERVED_BY


def head(status: str, *fields: str) -> bytes:
    return "\r\n".join((status, *fields)).encode()


def test_the_site_is_in_the_field_that_our_edges_send() -> None:
    told = head("HTTP/1.1 200 OK", "Content-Type: text/plain", f"{SERVED_BY}: nrt ")
    assert read_head(told) == ("nrt", None)
    assert read_head(told.replace(SERVED_BY.encode(), SERVED_BY.lower().encode())) == ("nrt", None)


def test_an_error_status_is_no_good_answer_but_has_a_site() -> None:
    assert read_head(head("HTTP/1.1 503 Busy", f"{SERVED_BY}: nrt")) == ("nrt", "http-503")
    assert read_head(head("HTTP/1.1 404")) == (None, "http-404")


def test_an_answer_without_the_field_is_nameless() -> None:
    assert read_head(head("HTTP/1.1 204 No Content", "Server: x")) == (None, "nameless")


@pytest.mark.parametrize("status", ["", "220 smtp.example.test ESMTP", "HTTP/1.1", "HTTP/1.1 abc"])
def test_what_is_no_http_is_garbled(status: str) -> None:
    assert read_head(head(status)) == (None, "garbled")
