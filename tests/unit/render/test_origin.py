from ipaddress import ip_address

import pytest

from ridgeline.render.origin import render_origin

HERE = (ip_address("198.18.0.9"), ip_address("2001:2::9"))


def test_stale_times_follow_max_age() -> None:
    text = render_origin("/run/origin", HERE, 8080, "/srv/www", max_age=5)
    assert "max-age=5, stale-while-revalidate=5, stale-if-error=50" in text
    assert "listen 198.18.0.9:8080;" in text
    assert "listen [2001:2::9]:8080;" in text


def test_what_cannot_stand_in_the_file_is_refused() -> None:
    with pytest.raises(ValueError, match="max-age -1 is negative"):
        render_origin("/run/origin", HERE, 8080, "/srv/www", max_age=-1)
    with pytest.raises(ValueError, match=r"www .* holds '\$'"):
        render_origin("/run/origin", HERE, 8080, "/srv/$host")
    with pytest.raises(ValueError, match="listen names no address"):
        render_origin("/run/origin", (), 8080, "/srv/www")
