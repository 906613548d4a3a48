"""The cache of the light edge engine: RFC 9111 in nginx's words, as far as they reach.

Words in ``@AT@`` signs stand for plain names or variables. nginx decides
freshness, variants and validation itself; what is here says when not to store, when not to ask the
cache, and what the client is told about it.
"""

from typing import Final

MAPS: Final = r"""
    # Cache-Status (RFC 9211). nginx does not tell a new URI from a new variant: "miss" is for both.
    map "$upstream_status:$upstream_header_time" $fwd_status {  # none if no answer came
        "~(?<code>\d\d\d):(.*[ ,])?[0-9.]+$" "; fwd-status=$code";
        default "";
    }
    map $upstream_cache_status $cache_status {
        HIT     "hit";  # most of all requests: a plain word is found fastest
        default $rarer_status;
    }
    map "$request_method:$upstream_cache_status:$upstream_status" $rarer_status {
        ~^(?!GET:|HEAD:)    "fwd=method$fwd_status";
        ~:UPDATING:         "hit; detail=stale-while-revalidate";
        ~:STALE:$           "hit; detail=stale-while-revalidate";  # answered first, renewed behind
        ~:STALE:            "fwd=stale$fwd_status; detail=stale-if-error";
        ~:(REVALIDATED|EXPIRED): "fwd=stale$fwd_status";
        ~:BYPASS:           "fwd=bypass$fwd_status";
        default             "fwd=miss$fwd_status";
    }
    map $upstream_cache_status $cache_timing {  # Server-Timing; a hit waited for no origin
        HIT     "cdn-cache;desc=HIT";
        ""      "cdn-cache;desc=BYPASS$origin_ms";
        default "cdn-cache;desc=$upstream_cache_status$origin_ms";
    }
    map $upstream_header_time $origin_ms {  # nginx counts seconds, Server-Timing milliseconds
        ""                           "";
        ~^0\.0*(?<ms>\d+)$           ", origin;dur=$ms";
        ~^(?<s>[1-9]\d*)\.(?<f>\d+)$ ", origin;dur=$s$f";
        default                      "";
    }
    # Vary: * is never reusable, wherever it stands in the list (RFC 9110, section 12.5.5).
    map $upstream_http_vary $varies_on_all { ~\* 1; default ""; }
    # A field aimed at CDNs may forbid what Cache-Control allows (RFC 9213).
    map $upstream_http_cdn_cache_control $not_for_cdns {
        "~*(^|[ ,])(no-store|private|no-cache)([ ,=]|$)" 1;
        "~*(^|[ ,])max-age=0+([ ,]|$)" 1;
        default "";
    }
    # An answer to an authorized request is shared only if it says so (RFC 9111, section 3.5).
    map $upstream_http_cache_control $for_all {
        "~*(^|[ ,])(public|must-revalidate|s-maxage=\d+)([ ,]|$)" 1;
        default 0;
    }
    map $http_authorization $is_authorized { "" ""; default 1; }
    map "$is_authorized:$for_all" $for_one { "1:0" 1; default ""; }
    # nginx does not take Age off the freshness lifetime (RFC 9111, section 4.2.3).
    map $upstream_http_age $is_aged { ~[1-9] 1; default ""; }
    # An answer of 10 MB or more would be a good part of the cache by itself: it passes through.
    map $upstream_http_content_length $is_large { ~^\d\d\d\d\d\d\d\d 1; default ""; }
    map @COOKIE@ $has_cookie { "" ""; default 1; }"""

PROXY: Final = """\
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_set_header Upgrade "";
            proxy_set_header TE "";
            proxy_set_header Via $via;
            proxy_set_header CDN-Loop $cdn_loop;
            proxy_set_header X-Forwarded-For @CLIENT@;  # what a client claims is not passed on
            proxy_set_header X-Forwarded-Proto @SCHEME@;
            proxy_connect_timeout 2s;
            proxy_read_timeout 15s;
            proxy_redirect off;
            proxy_buffer_size 16k;
            proxy_buffers 8 16k;
            proxy_max_temp_file_size 0;  # what is not cached does not touch the disk
            proxy_pass_header Date;  # nginx sends no Age: from the origin's Date a client can tell it
            # The origin orders files and speeds of its own server, not of ours.
            proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset;
            proxy_cache edge;
            proxy_cache_key @SCHEME@://$host$request_uri;
            proxy_cache_revalidate on;
            # One request fetches, others wait. nginx looks only twice a second whether it is there, and
            # makes requests for what is never stored wait in line: so none waits longer than this.
            proxy_cache_lock on;
            proxy_cache_lock_timeout @WAIT@;
            proxy_cache_background_update on;
            proxy_cache_use_stale off;  # stale only where the origin says so (RFC 5861)
            proxy_cache_bypass $has_cookie $is_authorized;
            proxy_no_cache $has_cookie $for_one $varies_on_all $not_for_cdns $is_aged $is_large@AGED_AT_SHIELD@;
            proxy_hide_header X-Served-By;
            proxy_hide_header X-Edge-Cache;
            add_header Cache-Status "@HOST@; $cache_status" always;
            add_header Via "1.1 @HOST@" always;
            add_header Server-Timing $cache_timing always;"""
