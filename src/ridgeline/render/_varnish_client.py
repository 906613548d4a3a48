"""What Varnish decides about a request: the client's half of the VCL.

Words in ``@AT@`` signs are replaced by `varnish.render_varnish`; all that stand here are plain names
or lines of our own.
"""

from typing import Final

RECEIVE: Final = r"""
# Fields that begin with x-edge are ours: nginx lets none in, in a request or an answer.
sub vcl_recv {
    if (local.socket == "control") { call edge_control; }
    if (req.url == "@HEALTH@") { return (synth(701)); }
    # Never piped: a pipe would go round the cache, its identity and its invalidation.
    if (req.method != "GET" && req.method != "HEAD") {
        set req.http.x-edge-fwd = "method";
        return (pass);
    }
    # One language list is one variant, however it is written.
    if (req.http.Accept-Language) {
        set req.http.Accept-Language =
            std.tolower(regsuball(req.http.Accept-Language, "[[:space:]]+", ""));
    }
@POLICY@
    # Once more without the stale answer that is "held"; if the origin "failed", with it again.
    if (req.restarts > 0) {
        set req.grace = 1y;
        if (req.http.x-edge-state == "held") { set req.grace = 0s; }
    }
    return (hash);
}

# What the origin is told decides what it answers: so all of that is in the key.
sub vcl_hash {
    hash_data(req.http.X-Edge-Tls);
    hash_data(req.http.Host);
    hash_data(req.url);
    return (lookup);
}

sub vcl_hit {
    if (obj.ttl >= 0s) { return (deliver); }
    # stale-while-revalidate (RFC 5861, section 3): answer, and renew behind.
    if (obj.ttl + std.duration(obj.http.x-edge-swr, 0s) >= 0s) {
        return (deliver);
    }
    # stale-if-error (section 4): the origin is known to be ill, or has just failed.
    if (req.http.x-edge-state == "failed" || !std.healthy(req.backend_hint)) {
        set req.http.x-edge-state = "failed";
        return (deliver);
    }
    set req.http.x-edge-state = "held";
    return (restart);
}
"""

SAFE_POLICY: Final = """\
    # Somebody's own: neither answered from the cache nor kept.
    if (req.http.Cookie) {
        set req.http.x-edge-fwd = "bypass";
        return (pass);
    }
"""
CAREFUL_AUTHORIZATION: Final = """\
    # Asks the origin; what it answers is kept only if it is for all (RFC 9111, section 3.5).
    if (req.http.Authorization) {
        set req.http.x-edge-fwd = "bypass";
        set req.hash_always_miss = true;
    }
"""
STANDARDS_POLICY: Final = """\
    if (req.http.Cache-Control ~ "(?i)(^|[ ,])no-store([ ,]|$)") {
        set req.http.x-edge-fwd = "bypass";
        return (pass);
    }
    # The order of languages says nothing (RFC 9110, section 12.5.4); many origins take it otherwise.
    if (req.http.Accept-Language ~ "^[a-z0-9*-]+(,[a-z0-9*-]+)+$") {
        set req.http.Accept-Language =
            regsub(std.querysort("/?" + regsuball(req.http.Accept-Language, ",", "&")), "^/.", "");
        set req.http.Accept-Language = regsuball(req.http.Accept-Language, "&", ",");
    }
"""

DELIVER: Final = r"""
# What is delivered from the cache passes here most often: what can be, is said when it is stored.
sub vcl_deliver {
    if (obj.hits > 0) {
        # Each cache adds to what those nearer to the origin said (RFC 9211, section 2).
        if (obj.ttl >= 0s) {
            set resp.http.Cache-Status = resp.http.x-edge-said + "@HOST@; hit; ttl="
                + std.integer(duration=obj.ttl, fallback=0);
            set resp.http.Server-Timing = "cdn-cache;desc=HIT";
        } else {
            set resp.http.Cache-Status =
                resp.http.x-edge-said + "@HOST@; hit; detail=stale-while-revalidate";
            if (req.http.x-edge-state == "failed") {
                set resp.http.Cache-Status =
                    resp.http.x-edge-said + "@HOST@; fwd=stale; detail=stale-if-error";
            }
            set resp.http.Server-Timing = "cdn-cache;desc=STALE";
        }
    } elsif (req.method != "GET" && req.method !~ "^(HEAD|OPTIONS|TRACE)$"
             && resp.status >= 200 && resp.status < 400) {
        # An unsafe request that went well changes what we hold (RFC 9111, section 4.4).
        call edge_invalidate;
    }
    # The core compares one tag; a client may send a list (RFC 9110, section 13.1.2).
    if (req.http.If-None-Match && resp.status == 200 && resp.http.ETag) {
        if (req.http.If-None-Match == "*"
            || std.strstr(req.http.If-None-Match, regsub(resp.http.ETag, "^W/", ""))) {
            set req.http.If-None-Match = resp.http.ETag;
        }
    }
    # nginx put aside the range of an answer that is whole: the core would refuse it.
    if (resp.http.x-edge-range && !req.http.Range) {
        set resp.http.Content-Range = resp.http.x-edge-range;
    }
    set resp.http.Via = resp.http.x-edge-via + "1.1 @HOST@";
    return (deliver);
}

# Of our own host alone: another's pages are not this answer's to change.
sub edge_invalidate {
    ban("obj.http.x-edge-page == " + req.http.Host + req.url);
    if (resp.http.Location) {
        set req.http.x-edge-also =
            regsub(resp.http.Location, "^https?://([^/?#]+)", "");
        if ((resp.http.Location ~ "^/[^/]" || regsub(resp.http.Location, "^https?://([^/?#:]+).*$", "\1")
             == req.http.Host) && req.http.x-edge-also ~ {"^/[^\s"\\]*$"}) {
            ban("obj.http.x-edge-page == " + req.http.Host + req.http.x-edge-also);
        }
    }
    if (resp.http.Content-Location) {
        set req.http.x-edge-also =
            regsub(resp.http.Content-Location, "^https?://([^/?#]+)", "");
        if ((resp.http.Content-Location ~ "^/[^/]"
             || regsub(resp.http.Content-Location, "^https?://([^/?#:]+).*$", "\1") == req.http.Host)
            && req.http.x-edge-also ~ {"^/[^\s"\\]*$"}) {
            ban("obj.http.x-edge-page == " + req.http.Host + req.http.x-edge-also);
        }
    }
    unset req.http.x-edge-also;
}
"""

SYNTH: Final = r"""
sub vcl_synth {
    if (resp.status == 503 && req.http.x-edge-state == "held") {
        set req.http.x-edge-state = "failed";
        return (restart);
    }
    unset resp.http.Server;  # nginx says what it says of all
    set resp.http.Content-Type = "text/plain; charset=utf-8";
    set resp.http.Cache-Control = "no-store";
    if (resp.status == 701) {
        set resp.status = 200;
        set resp.reason = "OK";
        synthetic("ok @SITE@" + {"
"});
        return (deliver);
    }
    if (resp.status == 503) {
        set resp.status = 502;
        set resp.reason = "Bad Gateway";
        set resp.http.Cache-Status = "@HOST@; fwd=miss";
    }
    synthetic(resp.reason + {"
"});
    return (deliver);
}
"""

CONTROL: Final = r"""
# The listener that only this machine reaches: purging, and how the cache is.
sub edge_control {
    if (req.method != "PURGE") { return (synth(405, "Only PURGE is understood here")); }
    if (req.http.Purge-Everything) {
        if (!std.ban("obj.status != 0")) { return (synth(500, std.ban_error())); }
        return (synth(200, "Purged everything"));
    }
    if (req.http.Purge-Keys) {
        if (req.http.Purge-Keys !~ "^@KEY@( @KEY@)*$") {
            return (synth(400, "Purge-Keys is no list of keys"));
        }
        set req.http.x-edge-keys = regsuball(regsuball(req.http.Purge-Keys, "\.", "[.]"), " ", "|");
        if (!std.ban("obj.http.Surrogate-Key ~ (^|[[:space:]])(" + req.http.x-edge-keys
            + ")([[:space:]]|$)")) { return (synth(500, std.ban_error())); }
        return (synth(200, "Purged by key"));
    }
    if (req.url !~ {"^/[^\s"\\]*$"} || req.http.Host !~ "^[A-Za-z0-9_.:\[\]-]+$") {
        return (synth(400, "Names neither a key nor a URL"));
    }
    if (!std.ban("obj.http.x-edge-page == " + std.tolower(req.http.Host) + req.url)) {
        return (synth(500, std.ban_error()));
    }
    return (synth(200, "Purged by URL"));
}
"""
