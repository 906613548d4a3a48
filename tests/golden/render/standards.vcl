# Varnish at nrt of example-anycast. Written by Ridgeline.
vcl 4.1;
import std;

backend way_out {
    .path = "/run/lab/nrt/edge/out.sock";
    .connect_timeout = 1s;
    .first_byte_timeout = 20s;
    .between_bytes_timeout = 15s;
}

sub vcl_recv {
    if (req.restarts == 0) {
        unset req.http.x-edge-state;  # "held": a stale answer is there; "failed": the origin failed
        unset req.http.x-edge-fwd;
        set req.grace = 1y;
    }
    if (local.socket == "control") { call edge_control; }
    if (req.url == "/.well-known/anycast-health") { return (synth(701)); }
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
    if (req.http.Cache-Control ~ "(?i)(^|[ ,])no-store([ ,]|$)") {
        set req.http.x-edge-fwd = "bypass";
        return (pass);
    }
    # Once more without the stale answer that was found; if the origin fails, with it again.
    if (req.http.x-edge-state == "held") { set req.grace = 0s; }
    if (req.http.x-edge-state == "failed") { set req.grace = 1y; }
    return (hash);
}

# What the origin is told decides what it answers: so all of that is in the key.
sub vcl_hash {
    hash_data(req.http.X-Forwarded-Proto);
    hash_data(req.http.Host);
    hash_data(req.url);
    return (lookup);
}

sub vcl_hit {
    if (obj.ttl >= 0s) { return (deliver); }
    # stale-while-revalidate (RFC 5861, section 3): answer, and renew behind.
    if (obj.ttl + std.duration(obj.http.x-edge-swr, 0s) >= 0s) {
        set req.http.x-edge-fwd = "hit; detail=stale-while-revalidate";
        return (deliver);
    }
    # stale-if-error (section 4): the origin is known to be ill, or has just failed.
    if (req.http.x-edge-state == "failed" || !std.healthy(req.backend_hint)) {
        set req.http.x-edge-state = "failed";
        set req.http.x-edge-fwd = "fwd=stale; detail=stale-if-error";
        return (deliver);
    }
    set req.http.x-edge-state = "held";
    return (restart);
}


# The listener that only this machine reaches: purging, and how the cache is.
sub edge_control {
    if (req.method != "PURGE") { return (synth(405, "Only PURGE is understood here")); }
    if (req.http.Purge-Everything) {
        if (!std.ban("obj.status != 0")) { return (synth(500, std.ban_error())); }
        return (synth(200, "Purged everything"));
    }
    if (req.http.Purge-Keys) {
        if (req.http.Purge-Keys !~ "^[A-Za-z0-9_.:/-]{1,128}( [A-Za-z0-9_.:/-]{1,128})*$") {
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
    if (!std.ban("obj.http.x-edge-url == " + req.url + " && obj.http.x-edge-host == "
        + std.tolower(req.http.Host))) { return (synth(500, std.ban_error())); }
    return (synth(200, "Purged by URL"));
}


sub vcl_deliver {
    # An unsafe request that went well changes what we hold (RFC 9111, section 4.4).
    if (req.method !~ "^(GET|HEAD|OPTIONS|TRACE)$" && resp.status >= 200 && resp.status < 400) {
        call edge_invalidate;
    }
    # The core compares one tag; a client may send a list (RFC 9110, section 13.1.2).
    if (resp.status == 200 && resp.http.ETag && req.http.If-None-Match) {
        if (req.http.If-None-Match == "*"
            || std.strstr(req.http.If-None-Match, regsub(resp.http.ETag, "^W/", ""))) {
            set req.http.If-None-Match = resp.http.ETag;
        }
    }
    # Each cache adds to what those nearer to the origin said (RFC 9211, section 2).
    std.collect(resp.http.Cache-Status);
    set req.http.x-edge-said = regsub(resp.http.Cache-Status, "(.)$", "\1, ") + "nrt.example-anycast.example; ";
    if (req.http.x-edge-fwd ~ "^(hit|fwd)") {
        set resp.http.Cache-Status = req.http.x-edge-said + req.http.x-edge-fwd;
        set resp.http.Server-Timing = "cdn-cache;desc=STALE";
    } elsif (obj.hits > 0 && !req.http.x-edge-fwd) {
        set resp.http.Cache-Status =
            req.http.x-edge-said + "hit; ttl=" + std.integer(real=std.real(duration=obj.ttl, fallback=0), fallback=0);
        set resp.http.Server-Timing = "cdn-cache;desc=HIT";
    } else {
        if (req.http.x-edge-fwd) {
            set resp.http.Cache-Status =
                req.http.x-edge-said + "fwd=" + req.http.x-edge-fwd + "; fwd-status=" + resp.status;
            set resp.http.Server-Timing = "cdn-cache;desc=BYPASS";
        } else {
            set resp.http.Cache-Status = req.http.x-edge-said + "fwd=" + resp.http.x-edge-fetch;
            set resp.http.Server-Timing = "cdn-cache;desc=MISS";
        }
        if (resp.http.x-edge-ms) {
            set resp.http.Server-Timing =
                resp.http.Server-Timing + ", origin;dur=" + resp.http.x-edge-ms;
        }
    }
    # nginx put aside the range of an answer that is whole: the core would refuse it.
    if (resp.http.x-edge-range && !req.http.Range) {
        set resp.http.Content-Range = resp.http.x-edge-range;
    }
    if (req.http.X-Edge-Tier != "shield") { unset resp.http.Surrogate-Key; }
    std.collect(resp.http.Via);
    set resp.http.Via = regsub(resp.http.Via, "1\.1 [^ ,]+ \(Varnish/[0-9.]+\)$", "1.1 nrt.example-anycast.example");
    unset resp.http.X-Varnish;
    call edge_hide;
    return (deliver);
}

sub edge_hide {
    unset resp.http.x-edge-url;
    unset resp.http.x-edge-host;
    unset resp.http.x-edge-swr;
    unset resp.http.x-edge-cc;
    unset resp.http.x-edge-fetch;
    unset resp.http.x-edge-ms;
    unset resp.http.x-edge-etag;
    unset resp.http.x-edge-md5;
    unset resp.http.x-edge-range;
}

# Of our own host alone: another's pages are not this answer's to change.
sub edge_invalidate {
    ban("obj.http.x-edge-url == " + req.url + " && obj.http.x-edge-host == " + req.http.Host);
    if (resp.http.Location) {
        set req.http.x-edge-also =
            regsub(resp.http.Location, "^https?://([^/?#]+)", "");
        if ((resp.http.Location ~ "^/[^/]" || regsub(resp.http.Location, "^https?://([^/?#:]+).*$", "\1")
             == req.http.Host) && req.http.x-edge-also ~ {"^/[^\s"\\]*$"}) {
            ban("obj.http.x-edge-url == " + req.http.x-edge-also
                + " && obj.http.x-edge-host == " + req.http.Host);
        }
    }
    if (resp.http.Content-Location) {
        set req.http.x-edge-also =
            regsub(resp.http.Content-Location, "^https?://([^/?#]+)", "");
        if ((resp.http.Content-Location ~ "^/[^/]"
             || regsub(resp.http.Content-Location, "^https?://([^/?#:]+).*$", "\1") == req.http.Host)
            && req.http.x-edge-also ~ {"^/[^\s"\\]*$"}) {
            ban("obj.http.x-edge-url == " + req.http.x-edge-also
                + " && obj.http.x-edge-host == " + req.http.Host);
        }
    }
    unset req.http.x-edge-also;
}


sub vcl_synth {
    if (resp.status == 503 && req.http.x-edge-state == "held") {
        set req.http.x-edge-state = "failed";
        return (restart);
    }
    set resp.http.Content-Type = "text/plain; charset=utf-8";
    set resp.http.Cache-Control = "no-store";
    if (resp.status == 701) {
        set resp.status = 200;
        set resp.reason = "OK";
        synthetic("ok nrt" + {"
"});
        return (deliver);
    }
    if (resp.status == 503) {
        set resp.status = 502;
        set resp.reason = "Bad Gateway";
        set resp.http.Cache-Status = "nrt.example-anycast.example; fwd=miss";
    }
    synthetic(resp.reason + {"
"});
    return (deliver);
}


sub vcl_backend_fetch {
    # Behind an answer that is stale because the origin failed there is no use in asking it again.
    if (bereq.is_bgfetch && bereq.http.x-edge-state == "failed") { return (abandon); }
    set bereq.http.x-edge-begun = std.time2real(now, 0.0);
    return (fetch);
}

sub vcl_backend_response {
    call edge_clean;
    # These describe the body, which a 304 leaves as it was: so do they stay.
    if (beresp.was_304 && beresp.http.x-edge-etag) {
        set beresp.http.ETag = beresp.http.x-edge-etag;
    } else { set beresp.http.x-edge-etag = beresp.http.ETag; }
    if (beresp.was_304 && beresp.http.x-edge-md5) {
        set beresp.http.Content-MD5 = beresp.http.x-edge-md5;
    } else { set beresp.http.x-edge-md5 = beresp.http.Content-MD5; }
    set beresp.http.x-edge-ms =
        std.integer(real=(std.time2real(now, 0.0) - std.real(bereq.http.x-edge-begun, 0.0)) * 1000,
                    fallback=0);
    set beresp.http.x-edge-url = bereq.url;
    set beresp.http.x-edge-host = bereq.http.Host;
    if (beresp.was_304) { set beresp.http.x-edge-fetch = "stale; fwd-status=304"; }
    elsif (bereq.http.x-edge-state == "held") {
        set beresp.http.x-edge-fetch = "stale; fwd-status=" + beresp.status;
    } else { set beresp.http.x-edge-fetch = "miss; fwd-status=" + beresp.status; }
    set beresp.grace = 0s;
    set beresp.keep = 1h;

    # The origin failed while a stale answer may stand in for it (RFC 5861, section 4).
    if (beresp.status == 500 || (beresp.status >= 502 && beresp.status <= 504)) {
        if (bereq.is_bgfetch || bereq.http.x-edge-state == "held") { return (abandon); }
    }
    if (bereq.uncacheable) { return (deliver); }

    # Vary: * is never reusable, wherever it stands in the list (RFC 9110, section 12.5.5).
    std.collect(beresp.http.Vary);
    if (beresp.http.Vary ~ "\*") { call edge_refuse; return (deliver); }

    # A field aimed at CDNs, if it is one at all, stands in for Cache-Control and Expires (RFC 9213).
    std.collect(beresp.http.Cache-Control);
    std.collect(beresp.http.CDN-Cache-Control);
    if (beresp.http.CDN-Cache-Control ~ {"^ *[a-z*][a-z0-9_.*-]*(=(-?[0-9]{1,15}(\.[0-9]{1,3})?|\x22[^\x22\\]*\x22|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01]))?( *; *[a-z*][a-z0-9_.*-]*(=(-?[0-9]{1,15}(\.[0-9]{1,3})?|\x22[^\x22\\]*\x22|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01]))?)*([ \t]*,[ \t]*[a-z*][a-z0-9_.*-]*(=(-?[0-9]{1,15}(\.[0-9]{1,3})?|\x22[^\x22\\]*\x22|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01]))?( *; *[a-z*][a-z0-9_.*-]*(=(-?[0-9]{1,15}(\.[0-9]{1,3})?|\x22[^\x22\\]*\x22|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01]))?)*)* *$"}
        && beresp.http.CDN-Cache-Control !~ {"(^|[ ,])(max-age|s-maxage|stale-while-revalidate|stale-if-error)(=[^0-9]|[ ,;]|$)"}) {
        set beresp.http.x-edge-cc = beresp.http.CDN-Cache-Control;
        set beresp.ttl = 0s;
        if (beresp.http.x-edge-cc ~ "(^|[ ,])max-age=") {
            set beresp.ttl = std.duration(
                regsub(beresp.http.x-edge-cc, "^(.*[ ,])?max-age=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s);
            call edge_subtract_age;
        }
    } else {
        # A number may be quoted; nothing else in quotes is a directive (RFC 9111, section 5.2).
        set beresp.http.x-edge-cc = regsuball(beresp.http.Cache-Control,
            {"(?i)(^|[ ,])(s-maxage|max-age|stale-while-revalidate|stale-if-error)="([0-9]+)""},
            "\1\2=\3");
        if (beresp.http.x-edge-cc != beresp.http.Cache-Control) {
            set beresp.http.x-edge-again = "1";  # the core reads no quoted number
        }
        set beresp.http.x-edge-cc = regsuball(beresp.http.x-edge-cc, {""([^"\\]|\\.)*""}, "-");
        call edge_freshness;
        # An answer to an authorized request is shared only if it says so (RFC 9111, section 3.5).
        if (bereq.http.Authorization
            && beresp.http.x-edge-cc !~ "(?i)(^|[ ,])(public|must-revalidate|s-maxage=[0-9]+)([ ,]|$)") {
            call edge_refuse;
            return (deliver);
        }
    }
    # A status that we do not know may be kept only by who does; where we know it, no-store is for
    # those who know no must-understand (RFC 9111, section 5.2.2.3).
    if (beresp.http.x-edge-cc ~ "(?i)(^|[ ,])must-understand([ ,]|$)") {
        if (beresp.status != 200 && beresp.status != 203 && beresp.status != 204
            && beresp.status != 300 && beresp.status != 301 && beresp.status != 302
            && beresp.status != 303 && beresp.status != 307 && beresp.status != 308
            && beresp.status != 404 && beresp.status != 405 && beresp.status != 410
            && beresp.status != 414 && beresp.status != 501) {
            call edge_refuse;
            return (deliver);
        }
        set beresp.http.x-edge-cc =
            regsuball(beresp.http.x-edge-cc, "(?i)(^|[ ,])no-store(?=[ ,]|$)", "\1");
    }
    if (beresp.http.x-edge-cc ~ "(?i)(^|[ ,])(no-store|private)([ ,=]|$)") {
        call edge_refuse;
        return (deliver);
    }
    if (beresp.http.x-edge-cc ~ "(?i)(^|[ ,])no-cache([ ,=]|$)") { set beresp.ttl = 0.001ms; }
    # No stale answer where the origin forbids it (RFC 9111, section 4.2.4).
    if (beresp.http.x-edge-cc !~ "(?i)(^|[ ,])(must-revalidate|proxy-revalidate|s-maxage|no-cache)([ ,=]|$)") {
        if (beresp.http.x-edge-cc ~ "(?i)(^|[ ,])stale-while-revalidate=[0-9]") {
            set beresp.http.x-edge-swr = regsub(beresp.http.x-edge-cc,
                "(?i)^(.*[ ,])?stale-while-revalidate=([0-9]{1,9})[0-9]*.*$", "\2") + "s";
            set beresp.grace = std.duration(beresp.http.x-edge-swr, 0s);
        }
        if (beresp.http.x-edge-cc ~ "(?i)(^|[ ,])stale-if-error=[0-9]"
            && std.duration(regsub(beresp.http.x-edge-cc,
                "(?i)^(.*[ ,])?stale-if-error=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s) > beresp.grace) {
            set beresp.grace = std.duration(regsub(beresp.http.x-edge-cc,
                "(?i)^(.*[ ,])?stale-if-error=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s);
        }
        if (beresp.grace < 1h) { set beresp.grace = 1h; }
    }
    return (deliver);
}

# What an origin says in our own names is not ours, and after a 304 not new.
sub edge_clean {
    unset beresp.http.x-edge-url;
    unset beresp.http.x-edge-host;
    unset beresp.http.x-edge-swr;
    unset beresp.http.x-edge-cc;
    unset beresp.http.x-edge-fetch;
    unset beresp.http.x-edge-ms;
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
        set beresp.ttl = beresp.ttl - std.duration(regsub(beresp.http.Age, "^([0-9]{1,9})[0-9]*$", "\1") + "s", 0s);
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
        set beresp.http.x-edge-again = "1";
    }
    # Expires counts from Date and the time already spent (RFC 9111, section 4.2): the core forgets
    # Age, and asks for it only of the statuses that it knows.
    if (beresp.http.x-edge-cc !~ "(?i)(^|[ ,])(s-maxage|max-age)" && beresp.http.Expires
        && beresp.http.Date) {
        # What is no date has passed already (section 5.3).
        set beresp.ttl =
            std.time(beresp.http.Expires, std.real2time(0, now)) - std.time(beresp.http.Date, now);
        call edge_subtract_age;
    }
    # The core keeps few statuses; an explicit lifetime makes any final one cacheable (section 3).
    if (beresp.ttl <= 0s && (beresp.http.x-edge-again
            || (beresp.status != 200 && beresp.status != 206 && beresp.status != 304))
        && beresp.http.x-edge-cc ~ "(?i)(^|[ ,])(s-maxage|max-age)=[0-9]+") {
        if (beresp.http.x-edge-cc ~ "(?i)(^|[ ,])s-maxage=[0-9]+") {
            set beresp.ttl = std.duration(
                regsub(beresp.http.x-edge-cc, "(?i)^(.*[ ,])?s-maxage=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s);
        } else {
            set beresp.ttl = std.duration(
                regsub(beresp.http.x-edge-cc, "(?i)^(.*[ ,])?max-age=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s);
        }
        call edge_subtract_age;
    }
    if (!beresp.http.Expires && beresp.http.x-edge-cc !~ "(?i)(max-age|s-maxage|no-cache)"
        && beresp.http.Last-Modified && bereq.url !~ "\?"
        && (beresp.status == 200 || beresp.status == 203 || beresp.status == 204
            || beresp.status == 300 || beresp.status == 301 || beresp.status == 308
            || beresp.status == 404 || beresp.status == 405 || beresp.status == 410
            || beresp.status == 414 || beresp.status == 501
            || beresp.http.x-edge-cc ~ "(?i)(^|[ ,])public([ ,]|$)")) {
        set beresp.ttl = (now - std.time(beresp.http.Last-Modified, now)) * 0.1;
        if (beresp.ttl > 1d) { set beresp.ttl = 1d; }
    }
    unset beresp.http.x-edge-again;
}

sub vcl_backend_error {
    if (bereq.is_bgfetch || bereq.http.x-edge-state == "held") { return (abandon); }
    set beresp.status = 502;
    set beresp.reason = "Bad Gateway";
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.x-edge-fetch = "miss";
    set beresp.ttl = 0s;
    synthetic({"The origin did not answer.
"});
    return (deliver);
}
