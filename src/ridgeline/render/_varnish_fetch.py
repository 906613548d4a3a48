"""What Varnish decides about an answer: the origin's half of the VCL (RFC 9111, RFC 9213, RFC 5861).

See `_varnish_client` for the words in ``@AT@`` signs.
"""

from typing import Final

INTEGER: Final = r"([0-9]{1,9})[0-9]*"
# A dictionary of structured fields (RFC 8941, section 3.2), as far as cache directives need it.
_BARE = r"(-?[0-9]{1,15}(\.[0-9]{1,3})?|\x22[^\x22\\]*\x22|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01])"
_KEY = r"[a-z*][a-z0-9_.*-]*"
_MEMBER = rf"{_KEY}(={_BARE})?( *; *{_KEY}(={_BARE})?)*"
DICTIONARY: Final = rf"^ *{_MEMBER}([ \t]*,[ \t]*{_MEMBER})* *$"
WRONG_TYPE: Final = (
    r"(^|[ ,])(max-age|s-maxage|stale-while-revalidate|stale-if-error)(=[^0-9]|[ ,;]|$)"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTHS: Final = "".join(
    f"    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,\n"
    f'        "-{name}-", "-{number:02}-");\n'
    for number, name in enumerate(_MONTHS, 1)
)
MONTH: Final = f"({'|'.join(_MONTHS)})"
DAY: Final = "(mon|tue|wed|thu|fri|sat|sun)"
TIME: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}"

FETCH: Final = r"""
sub vcl_backend_fetch {
    # Behind an answer that is stale because the origin failed there is no use in asking it again.
    if (bereq.is_bgfetch && bereq.http.x-edge-state == "failed") { return (abandon); }
    set bereq.http.x-edge-begun = std.time2real(now, 0.0);
    return (fetch);
}

sub vcl_backend_response {
    call edge_tell;
    set beresp.grace = 0s;
    set beresp.keep = @KEEP@;

    # The origin failed while a stale answer may stand in for it (RFC 5861, section 4).
    if (beresp.status == 500 || (beresp.status >= 502 && beresp.status <= 504)) {
        if (bereq.is_bgfetch || bereq.http.x-edge-state == "held") { return (abandon); }
    }
    if (bereq.uncacheable) { return (deliver); }
@SAFE@
    # Vary: * is never reusable, wherever it stands in the list (RFC 9110, section 12.5.5).
    # Nor is what differs for each client, by a field that the cache does not see.
    std.collect(beresp.http.Vary);
    if (beresp.http.Vary ~ "(?i)\*|(^|[ ,])x-forwarded-for([ ,]|$)") { call edge_refuse; return (deliver); }

    # A field aimed at CDNs, if it is one at all, stands in for Cache-Control and Expires (RFC 9213).
    std.collect(beresp.http.Cache-Control);
    std.collect(beresp.http.CDN-Cache-Control);
    if (beresp.http.CDN-Cache-Control ~ {"@DICTIONARY@"}
        && beresp.http.CDN-Cache-Control !~ {"@WRONG_TYPE@"}) {
        set bereq.http.x-edge-cc = beresp.http.CDN-Cache-Control;
        set beresp.ttl = 0s;
        if (bereq.http.x-edge-cc ~ "(^|[ ,])max-age=") {
            set beresp.ttl = std.duration(
                regsub(bereq.http.x-edge-cc, "^(.*[ ,])?max-age=@INTEGER@.*$", "\2") + "s", 0s);
            call edge_subtract_age;
        }
    } else {
        # A number may be quoted; nothing else in quotes is a directive (RFC 9111, section 5.2).
        set bereq.http.x-edge-cc = regsuball(beresp.http.Cache-Control,
            {"(?i)(^|[ ,])(s-maxage|max-age|stale-while-revalidate|stale-if-error)="([0-9]+)""},
            "\1\2=\3");
        if (bereq.http.x-edge-cc != beresp.http.Cache-Control) {
            set bereq.http.x-edge-again = "1";  # the core reads no quoted number
        }
        set bereq.http.x-edge-cc = regsuball(bereq.http.x-edge-cc, {""([^"\\]|\\.)*""}, "-");
        call edge_freshness;
        # An answer to an authorized request is shared only if it says so (RFC 9111, section 3.5).
        if (bereq.http.Authorization
            && bereq.http.x-edge-cc !~ "(?i)(^|[ ,])(public|must-revalidate|s-maxage=[0-9]+)([ ,]|$)") {
            call edge_refuse;
            return (deliver);
        }
    }
    # A status that we do not know may be kept only by who does; where we know it, no-store is for
    # those who know no must-understand (RFC 9111, section 5.2.2.3).
    if (bereq.http.x-edge-cc ~ "(?i)(^|[ ,])must-understand([ ,]|$)") {
        if (beresp.status != 200 && beresp.status != 203 && beresp.status != 204
            && beresp.status != 300 && beresp.status != 301 && beresp.status != 302
            && beresp.status != 303 && beresp.status != 307 && beresp.status != 308
            && beresp.status != 404 && beresp.status != 405 && beresp.status != 410
            && beresp.status != 414 && beresp.status != 501) {
            call edge_refuse;
            return (deliver);
        }
        set bereq.http.x-edge-cc =
            regsuball(bereq.http.x-edge-cc, "(?i)(^|[ ,])no-store(?=[ ,]|$)", "\1");
    }
    if (bereq.http.x-edge-cc ~ "(?i)(^|[ ,])(no-store|private)([ ,=]|$)") {
        call edge_refuse;
        return (deliver);
    }
@NO_CACHE@
    # No stale answer where the origin forbids it (RFC 9111, section 4.2.4).
    if (bereq.http.x-edge-cc !~ "(?i)(^|[ ,])(must-revalidate|proxy-revalidate|s-maxage|no-cache)([ ,=]|$)") {
        if (bereq.http.x-edge-cc ~ "(?i)(^|[ ,])stale-while-revalidate=[0-9]") {
            set beresp.http.x-edge-swr = regsub(bereq.http.x-edge-cc,
                "(?i)^(.*[ ,])?stale-while-revalidate=@INTEGER@.*$", "\2") + "s";
            set beresp.grace = std.duration(beresp.http.x-edge-swr, 0s);
        }
        if (bereq.http.x-edge-cc ~ "(?i)(^|[ ,])stale-if-error=[0-9]"
            && std.duration(regsub(bereq.http.x-edge-cc,
                "(?i)^(.*[ ,])?stale-if-error=@INTEGER@.*$", "\2") + "s", 0s) > beresp.grace) {
            set beresp.grace = std.duration(regsub(bereq.http.x-edge-cc,
                "(?i)^(.*[ ,])?stale-if-error=@INTEGER@.*$", "\2") + "s", 0s);
        }
@DISCONNECTED@    }
    return (deliver);
}

# What a miss says is stored with the answer; a hit changes it on its way out.
sub edge_tell {
    set beresp.http.x-edge-page = bereq.http.Host + bereq.url;
    unset beresp.http.x-edge-swr;  # of before a 304
    # These describe the body, which a 304 leaves as it was: so do they stay.
    if (beresp.was_304) {
        if (bereq.http.If-None-Match) { set beresp.http.ETag = bereq.http.If-None-Match; }
        if (beresp.http.x-edge-md5) { set beresp.http.Content-MD5 = beresp.http.x-edge-md5; }
    } elsif (beresp.http.Content-MD5) { set beresp.http.x-edge-md5 = beresp.http.Content-MD5; }
    # What caches nearer to the origin said stays in front, and after a 304 what we said goes.
    if (beresp.http.Via) {
        std.collect(beresp.http.Via);
        set beresp.http.x-edge-via = beresp.http.Via + ", ";
        unset beresp.http.Via;
    }
    std.collect(beresp.http.Cache-Status);
    if (beresp.http.Cache-Status && beresp.http.Cache-Status !~ "^@HOST@;") {
        set beresp.http.x-edge-said =
            regsub(beresp.http.Cache-Status, ", @HOST@;[^,]*$", "") + ", ";
    }
    if (bereq.http.x-edge-fwd) {
        set bereq.http.x-edge-fwd = bereq.http.x-edge-fwd + "; fwd-status=" + beresp.status;
        set beresp.http.Server-Timing = "cdn-cache;desc=BYPASS";
    } else {
        if (beresp.was_304) { set bereq.http.x-edge-fwd = "stale; fwd-status=304"; }
        elsif (bereq.http.x-edge-state == "held") {
            set bereq.http.x-edge-fwd = "stale; fwd-status=" + beresp.status;
        } else { set bereq.http.x-edge-fwd = "miss; fwd-status=" + beresp.status; }
        set beresp.http.Server-Timing = "cdn-cache;desc=MISS";
    }
    set beresp.http.Cache-Status = beresp.http.x-edge-said + "@HOST@; fwd=" + bereq.http.x-edge-fwd;
    set beresp.http.Server-Timing = beresp.http.Server-Timing + ", origin;dur="
        + std.integer(real=(std.time2real(now, 0.0) - std.real(bereq.http.x-edge-begun, 0.0)) * 1000,
                      fallback=0);
}

# Not kept; and for a while nobody waits to see whether the next answer might be.
sub edge_refuse {
    set beresp.uncacheable = true;
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    set beresp.ttl = 120s;
    if (beresp.status >= 500) { set beresp.ttl = 1s; }
}

sub edge_subtract_age {
    if (beresp.http.Age ~ "^[0-9]+$") {
        set beresp.ttl = beresp.ttl - std.duration(regsub(beresp.http.Age, "^@INTEGER@$", "\1") + "s", 0s);
    }
}

sub edge_freshness {
    # The first number of a list counts, and what is no number does not (RFC 9111, section 5.1).
    std.collect(beresp.http.Age);
    if (beresp.http.Age && beresp.http.Age !~ "^[0-9]+$") {
        if (beresp.http.Age ~ "^[0-9]+[ \t]*,") {
            set beresp.http.Age = regsub(beresp.http.Age, "^([0-9]+).*$", "\1");
        } else { unset beresp.http.Age; }
        set beresp.ttl = 0s;  # the core may have read it otherwise
        set bereq.http.x-edge-again = "1";
    }
    # Expires counts from Date and the time already spent (RFC 9111, section 4.2): the core forgets
    # Age, and asks for it only of the statuses that it knows.
    if (bereq.http.x-edge-cc !~ "(?i)(^|[ ,])(s-maxage|max-age)" && beresp.http.Expires
        && beresp.http.Date) {
        # What is no date has passed already (section 5.3).
        set bereq.http.x-edge-expires = beresp.http.Expires;
        if (std.time(beresp.http.Expires, std.real2time(0, now)) == std.real2time(0, now)) {
            call edge_read_expires;
        }
        set beresp.ttl = std.time(bereq.http.x-edge-expires, std.real2time(0, now))
            - std.time(beresp.http.Date, now);
        call edge_subtract_age;
    }
    # The core keeps few statuses; an explicit lifetime makes any final one cacheable (section 3).
    if (beresp.ttl <= 0s && (bereq.http.x-edge-again
            || (beresp.status != 200 && beresp.status != 206 && beresp.status != 304))
        && bereq.http.x-edge-cc ~ "(?i)(^|[ ,])(s-maxage|max-age)=[0-9]+") {
        if (bereq.http.x-edge-cc ~ "(?i)(^|[ ,])s-maxage=[0-9]+") {
            set beresp.ttl = std.duration(
                regsub(bereq.http.x-edge-cc, "(?i)^(.*[ ,])?s-maxage=@INTEGER@.*$", "\2") + "s", 0s);
        } else {
            set beresp.ttl = std.duration(
                regsub(bereq.http.x-edge-cc, "(?i)^(.*[ ,])?max-age=@INTEGER@.*$", "\2") + "s", 0s);
        }
        call edge_subtract_age;
    }
@HEURISTIC@}

# A date is read whatever its case (RFC 9111, section 4.2), and by its day, not the day's name.
sub edge_read_expires {
    set bereq.http.x-edge-expires = std.tolower(beresp.http.Expires);
    if (bereq.http.x-edge-expires ~ "^@DAY@, [0-9]{2} @MONTH@ [0-9]{4} @TIME@ gmt$") {
        set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
            "^..., (..) (...) (....) (........) gmt$", "\3-\2-\1T\4");
    } elsif (bereq.http.x-edge-expires ~ "^@DAY@ @MONTH@ [ 0-9][0-9] @TIME@ [0-9]{4}$") {
        set bereq.http.x-edge-expires = regsub(regsub(bereq.http.x-edge-expires,
            "^... (...) (..) (........) (....)$", "\4-\1-\2T\3"), "- ", "-0");
    } else { set bereq.http.x-edge-expires = "never"; }
@MONTHS@}

sub vcl_backend_error {
    if (bereq.is_bgfetch || bereq.http.x-edge-state == "held") { return (abandon); }
    set beresp.status = 502;
    set beresp.reason = "Bad Gateway";
    unset beresp.http.Server;
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Cache-Status = "@HOST@; fwd=miss";
    set beresp.http.Server-Timing = "cdn-cache;desc=MISS";
    set beresp.ttl = 0s;
    synthetic({"The origin did not answer.
"});
    return (deliver);
}
"""

# Where the letter of RFC 9111 leaves a choice, the answer that harms nobody.
SAFE_ANSWERS: Final = r"""
    if (beresp.http.Set-Cookie) { call edge_refuse; return (deliver); }
    # An answer of 10 MB or more would be a good part of the cache by itself: it passes through, and so
    # does what comes next, with its Range: not all of it is fetched again for each part.
    if (beresp.http.Content-Length ~ "^[0-9]{8,}$") { return (pass(120s)); }
"""
# To ask each time keeps every request waiting for the one before it: so such answers pass.
SAFE_NO_CACHE: Final = r"""
    if (beresp.ttl <= 0s || bereq.http.x-edge-cc ~ "(?i)(^|[ ,])no-cache([ ,=]|$)") {
        call edge_refuse;
        return (deliver);
    }
"""
# Kept only to be validated: Varnish needs a lifetime, however short, to find it again.
STANDARDS_NO_CACHE: Final = r"""
    if (bereq.http.x-edge-cc ~ "(?i)(^|[ ,])no-cache([ ,=]|$)") { set beresp.ttl = 0.001ms; }
"""
# Cut off from the origin, a cache may answer stale though nobody asked for it (section 4.2.4).
STANDARDS_STALE: Final = """\
        if (beresp.grace < @KEEP@) { set beresp.grace = @KEEP@; }
"""
# A tenth of the time since the last change, at most a day (RFC 9111, section 4.2.2).
HEURISTIC: Final = r"""
    if (!beresp.http.Expires && bereq.http.x-edge-cc !~ "(?i)(max-age|s-maxage|no-cache)"
        && beresp.http.Last-Modified && bereq.url !~ "\?"
        && (beresp.status == 200 || beresp.status == 203 || beresp.status == 204
            || beresp.status == 300 || beresp.status == 301 || beresp.status == 308
            || beresp.status == 404 || beresp.status == 405 || beresp.status == 410
            || beresp.status == 414 || beresp.status == 501
            || bereq.http.x-edge-cc ~ "(?i)(^|[ ,])public([ ,]|$)")) {
        set beresp.ttl = (now - std.time(beresp.http.Last-Modified, now)) * 0.1;
        if (beresp.ttl > 1d) { set beresp.ttl = 1d; }
    }
"""
