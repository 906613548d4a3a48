# Varnish at nrt of example-anycast. Written by Ridgeline.
vcl 4.1;
import std;

backend way_out {
    .path = "/run/lab/nrt/edge/out.sock";
    .connect_timeout = 1s;
    .first_byte_timeout = 20s;
    .between_bytes_timeout = 15s;
}

# Fields that begin with x-edge are ours: nginx lets none in, in a request or an answer.
sub vcl_recv {
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
    # The order of languages says nothing (RFC 9110, section 12.5.4); many origins take it otherwise.
    if (req.http.Accept-Language ~ "^[a-z0-9*-]+(,[a-z0-9*-]+)+$") {
        set req.http.Accept-Language =
            regsub(std.querysort("/?" + regsuball(req.http.Accept-Language, ",", "&")), "^/.", "");
        set req.http.Accept-Language = regsuball(req.http.Accept-Language, "&", ",");
    }
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
    if (!std.ban("obj.http.x-edge-page == " + std.tolower(req.http.Host) + req.url)) {
        return (synth(500, std.ban_error()));
    }
    return (synth(200, "Purged by URL"));
}


# What is delivered from the cache passes here most often: what can be, is said when it is stored.
sub vcl_deliver {
    if (obj.hits > 0) {
        # Each cache adds to what those nearer to the origin said (RFC 9211, section 2).
        if (obj.ttl >= 0s) {
            set resp.http.Cache-Status = resp.http.x-edge-said + "nrt.example-anycast.example; hit; ttl="
                + std.integer(duration=obj.ttl, fallback=0);
            set resp.http.Server-Timing = "cdn-cache;desc=HIT";
        } else {
            set resp.http.Cache-Status =
                resp.http.x-edge-said + "nrt.example-anycast.example; hit; detail=stale-while-revalidate";
            if (req.http.x-edge-state == "failed") {
                set resp.http.Cache-Status =
                    resp.http.x-edge-said + "nrt.example-anycast.example; fwd=stale; detail=stale-if-error";
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
    set resp.http.Via = resp.http.x-edge-via + "1.1 nrt.example-anycast.example";
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
    call edge_tell;
    set beresp.grace = 0s;
    set beresp.keep = 1h;

    # The origin failed while a stale answer may stand in for it (RFC 5861, section 4).
    if (beresp.status == 500 || (beresp.status >= 502 && beresp.status <= 504)) {
        if (bereq.is_bgfetch || bereq.http.x-edge-state == "held") { return (abandon); }
    }
    if (bereq.uncacheable) { return (deliver); }

    # Vary: * is never reusable, wherever it stands in the list (RFC 9110, section 12.5.5).
    # Nor is what differs for each client, by a field that the cache does not see.
    std.collect(beresp.http.Vary);
    if (beresp.http.Vary ~ "(?i)\*|(^|[ ,])x-forwarded-for([ ,]|$)") { call edge_refuse; return (deliver); }

    # A field aimed at CDNs, if it is one at all, stands in for Cache-Control and Expires (RFC 9213).
    std.collect(beresp.http.Cache-Control);
    std.collect(beresp.http.CDN-Cache-Control);
    if (beresp.http.CDN-Cache-Control ~ {"^ *[a-z*][a-z0-9_.*-]*(=(-?[0-9]{1,15}(\.[0-9]{1,3})?|\x22[^\x22\\]*\x22|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01]))?( *; *[a-z*][a-z0-9_.*-]*(=(-?[0-9]{1,15}(\.[0-9]{1,3})?|\x22[^\x22\\]*\x22|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01]))?)*([ \t]*,[ \t]*[a-z*][a-z0-9_.*-]*(=(-?[0-9]{1,15}(\.[0-9]{1,3})?|\x22[^\x22\\]*\x22|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01]))?( *; *[a-z*][a-z0-9_.*-]*(=(-?[0-9]{1,15}(\.[0-9]{1,3})?|\x22[^\x22\\]*\x22|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*|\?[01]))?)*)* *$"}
        && beresp.http.CDN-Cache-Control !~ {"(^|[ ,])(max-age|s-maxage|stale-while-revalidate|stale-if-error)(=[^0-9]|[ ,;]|$)"}) {
        set bereq.http.x-edge-cc = beresp.http.CDN-Cache-Control;
        set beresp.ttl = 0s;
        if (bereq.http.x-edge-cc ~ "(^|[ ,])max-age=") {
            set beresp.ttl = std.duration(
                regsub(bereq.http.x-edge-cc, "^(.*[ ,])?max-age=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s);
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
    if (bereq.http.x-edge-cc ~ "(?i)(^|[ ,])no-cache([ ,=]|$)") { set beresp.ttl = 0.001ms; }
    # No stale answer where the origin forbids it (RFC 9111, section 4.2.4).
    if (bereq.http.x-edge-cc !~ "(?i)(^|[ ,])(must-revalidate|proxy-revalidate|s-maxage|no-cache)([ ,=]|$)") {
        if (bereq.http.x-edge-cc ~ "(?i)(^|[ ,])stale-while-revalidate=[0-9]") {
            set beresp.http.x-edge-swr = regsub(bereq.http.x-edge-cc,
                "(?i)^(.*[ ,])?stale-while-revalidate=([0-9]{1,9})[0-9]*.*$", "\2") + "s";
            set beresp.grace = std.duration(beresp.http.x-edge-swr, 0s);
        }
        if (bereq.http.x-edge-cc ~ "(?i)(^|[ ,])stale-if-error=[0-9]"
            && std.duration(regsub(bereq.http.x-edge-cc,
                "(?i)^(.*[ ,])?stale-if-error=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s) > beresp.grace) {
            set beresp.grace = std.duration(regsub(bereq.http.x-edge-cc,
                "(?i)^(.*[ ,])?stale-if-error=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s);
        }
        if (beresp.grace < 1h) { set beresp.grace = 1h; }
    }
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
    if (beresp.http.Cache-Status && beresp.http.Cache-Status !~ "^nrt.example-anycast.example;") {
        set beresp.http.x-edge-said =
            regsub(beresp.http.Cache-Status, ", nrt.example-anycast.example;[^,]*$", "") + ", ";
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
    set beresp.http.Cache-Status = beresp.http.x-edge-said + "nrt.example-anycast.example; fwd=" + bereq.http.x-edge-fwd;
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
                regsub(bereq.http.x-edge-cc, "(?i)^(.*[ ,])?s-maxage=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s);
        } else {
            set beresp.ttl = std.duration(
                regsub(bereq.http.x-edge-cc, "(?i)^(.*[ ,])?max-age=([0-9]{1,9})[0-9]*.*$", "\2") + "s", 0s);
        }
        call edge_subtract_age;
    }
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
}

# A date is read whatever its case (RFC 9111, section 4.2), and by its day, not the day's name.
sub edge_read_expires {
    set bereq.http.x-edge-expires = std.tolower(beresp.http.Expires);
    if (bereq.http.x-edge-expires ~ "^(mon|tue|wed|thu|fri|sat|sun), [0-9]{2} (jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} gmt$") {
        set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
            "^..., (..) (...) (....) (........) gmt$", "\3-\2-\1T\4");
    } elsif (bereq.http.x-edge-expires ~ "^(mon|tue|wed|thu|fri|sat|sun) (jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4}$") {
        set bereq.http.x-edge-expires = regsub(regsub(bereq.http.x-edge-expires,
            "^... (...) (..) (........) (....)$", "\4-\1-\2T\3"), "- ", "-0");
    } else { set bereq.http.x-edge-expires = "never"; }
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-jan-", "-01-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-feb-", "-02-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-mar-", "-03-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-apr-", "-04-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-may-", "-05-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-jun-", "-06-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-jul-", "-07-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-aug-", "-08-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-sep-", "-09-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-oct-", "-10-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-nov-", "-11-");
    set bereq.http.x-edge-expires = regsub(bereq.http.x-edge-expires,
        "-dec-", "-12-");
}

sub vcl_backend_error {
    if (bereq.is_bgfetch || bereq.http.x-edge-state == "held") { return (abandon); }
    set beresp.status = 502;
    set beresp.reason = "Bad Gateway";
    unset beresp.http.Server;
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Cache-Status = "nrt.example-anycast.example; fwd=miss";
    set beresp.http.Server-Timing = "cdn-cache;desc=MISS";
    set beresp.ttl = 0s;
    synthetic({"The origin did not answer.
"});
    return (deliver);
}
