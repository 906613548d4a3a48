// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Rescue at one site of an anycast network: what belongs to another site's flow is sent there.
//
// A route change brings segments of established TCP connections to a site that knows nothing of
// them. There the kernel would answer RST (RFC 9293, section 3.10.7.1). `rescue_in`, at the ingress
// of the site's server, looks for a socket first; if there is none, it wraps the packet in GUE
// (draft-ietf-intarea-gue) over UDP and sends it to the site that most probably owns it: where the
// client's prefix landed before. A site that does not own it either passes it on to the next of the
// list that the packet carries; the last one leaves it to its kernel. The owner answers the client
// directly. No state is kept per connection, here or elsewhere. However many sites there are, a
// packet visits at most MAX_HOPS of them, and each at most once.
//
//   outer IP | UDP (6080) | GUE, 4 bytes | ours, 36 bytes | the packet as it came
//
// Also sent on: ICMP "too big" that quotes such a flow (RFC 1191, RFC 8201), and QUIC whose
// connection ID names another site (draft-ietf-quic-load-balancers, plaintext).
// `rescue_out` lowers the MSS of our SYN-ACKs, so that a wrapped segment fits the path.
//
// Outer and inner family are the same. The outer ECN field is 00 (RFC 6040, compatibility mode).

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_SITES 1024 /* the loader makes the table as small as the network */
#define MAX_HOPS 12
#define L3 ETH_HLEN
#define GUE_FIRST 9 /* version 0, data, nine words of ours */
#define OURS_VERSION 2
#define IP_DF 0x4000
#define IP_FRAGMENT 0x3fff /* more fragments, or an offset */
#define SECOND 1000000000ULL
#define PATH_MTU_KEPT (600 * SECOND) /* RFC 1191, section 6.3 */
#define MIN_MTU4 576
#define MIN_MTU6 1280
#define MSS_OPTION 2
#define QUIC_V2 0x6b3343cf

struct address {
	__u32 word[4]; /* network order; IPv4 mapped as in RFC 4291, section 2.5.5.2 */
};

struct settings {
	__u32 token[2];	  /* in every wrapped packet; all sites share it */
	__u64 cost_ns;	  /* token bucket: what one packet costs; 0: none may be sent */
	__u64 burst_ns;	  /* and how much credit may be saved */
	__u32 self;	  /* our index among the sites */
	__u32 n_sites;
	__u32 mtu;	  /* of our link */
	__u16 quic_config; /* config rotation bits of our connection IDs; 7: leave QUIC alone */
	__u16 quic_bytes; /* of the site's number in them: 1 or 2 */
	__u16 port;	  /* UDP, network order */
	__u16 quic_port;  /* network order */
	__u16 mss[2];	  /* most that a SYN-ACK may offer: IPv4, IPv6; 0: whatever it likes */
};

struct site {
	struct address at[2]; /* IPv4 (mapped), IPv6; all zero: none */
	__u64 lowered_ns[2];  /* when the path was found to be narrow; 0: it was not */
	__u32 mtu[2];
};

struct order {
	__u16 n;
	__u16 site[MAX_HOPS + 1]; /* one may be the site that looks */
};

struct client {
	__u32 bits;
	struct address address;
};

struct bucket {
	struct bpf_spin_lock lock;
	__u64 credit_ns;
	__u64 last_ns;
};

enum counter {
	OWN,	   /* belongs here */
	SENT,	   /* wrapped here first */
	SENT_ICMP, /* of these, ICMP errors */
	SENT_QUIC, /* of these, QUIC */
	PASSED_ON, /* came wrapped, is not ours either */
	RESCUED,   /* came wrapped, is ours */
	ORPHANS,   /* nobody's: left to the kernel */
	LIMITED,   /* dropped: too many of them */
	TOO_BIG,   /* answered with ICMP: does not fit when wrapped */
	NARROW,	   /* path MTU to another site lowered */
	CLAMPED,   /* SYN-ACKs with a lowered MSS */
	REFUSED,   /* looked wrapped, but not by a site of ours */
	FAILED,	   /* the kernel refused to change or send it */
	N_COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SITES);
	__type(key, __u32);
	__type(value, struct site);
} sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct address);
	__type(value, __u32);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct client);
	__type(value, struct order);
} orders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket);
} bucket SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, N_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct gue {
	__u8 first; /* version, control bit, length of what follows in words */
	__u8 protocol;
	__be16 flags;
	__u8 version;
	__u8 at; /* which hop this is on its way to */
	__u8 n;
	__u8 zero;
	__u32 token[2];
	__be16 hop[MAX_HOPS];
};

struct wrap4 {
	struct iphdr ip;
	struct udphdr udp;
	struct gue gue;
};

struct wrap6 {
	struct ipv6hdr ip;
	struct udphdr udp;
	struct gue gue;
};

struct too_big4 {
	struct iphdr ip;
	__u8 type, code;
	__u16 check;
	__be16 unused, mtu;
};

struct too_big6 {
	struct ipv6hdr ip;
	__u8 type, code;
	__u16 check;
	__be32 mtu;
};

_Static_assert(sizeof(struct gue) == 4 + 4 * GUE_FIRST, "the GUE header and our part of it");

/* What a packet is to us. */
enum kind { NOT_OURS, TCP, TCP_SYN, QUIC, ICMP };

struct packet {
	enum kind kind;
	__u32 six;		/* 0: IPv4, 1: IPv6 */
	__u32 l3_bytes;		/* headers up to the transport */
	__u32 l4_bytes;		/* TCP's header, for the size of a segment of several */
	__u32 quic_site;
	struct address client;	/* of the flow, whatever the packet is */
	struct address service;
	__be16 client_port, service_port;
};

static __always_inline void count(enum counter which)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		*value += 1;
}

static __always_inline void mapped(struct address *address, __be32 four)
{
	address->word[0] = 0;
	address->word[1] = 0;
	address->word[2] = bpf_htonl(0xffff);
	address->word[3] = four;
}

static __always_inline void copied(struct address *address, const struct in6_addr *six)
{
	__builtin_memcpy(address, six, sizeof(*address));
}

static __always_inline int same(const struct address *a, const struct address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] &&
	       a->word[2] == b->word[2] && a->word[3] == b->word[3];
}

static __always_inline __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

static __always_inline void ipv4_header(struct iphdr *ip, __u32 bytes, __u8 protocol,
					__be32 source, __be32 destination)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(bytes);
	ip->frag_off = bpf_htons(IP_DF);
	ip->ttl = 64;
	ip->protocol = protocol;
	ip->saddr = source;
	ip->daddr = destination;
	ip->check = folded(bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0));
}

static __always_inline void ipv6_header(struct ipv6hdr *ip, __u32 bytes, __u8 protocol,
					const struct address *source,
					const struct address *destination)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 6;
	ip->payload_len = bpf_htons(bytes);
	ip->nexthdr = protocol;
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, source, sizeof(*source));
	__builtin_memcpy(&ip->daddr, destination, sizeof(*destination));
}

/* Read the IP header at `offset`. Returns the transport protocol, 0 if there is none for us. */
static __always_inline __u8 read_ip(struct __sk_buff *skb, __u32 offset, __u32 six,
				    struct address *source, struct address *destination,
				    __u32 *bytes)
{
	if (six) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
			return 0;
		copied(source, &ip.saddr);
		copied(destination, &ip.daddr);
		*bytes = sizeof(ip);
		return ip.nexthdr; /* extension headers: not one of ours, so the kernel's */
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
			return 0;
		if (ip.ihl < 5 || ip.frag_off & bpf_htons(IP_FRAGMENT))
			return 0; /* only the first fragment would have ports */
		mapped(source, ip.saddr);
		mapped(destination, ip.daddr);
		*bytes = ip.ihl * 4;
		return ip.protocol;
	}
}

static __always_inline int is_service(const struct address *address)
{
	return bpf_map_lookup_elem(&services, address) != 0;
}

static __always_inline int read_tcp(struct __sk_buff *skb, struct packet *packet)
{
	struct tcphdr tcp;

	if (bpf_skb_load_bytes(skb, L3 + packet->l3_bytes, &tcp, sizeof(tcp)))
		return NOT_OURS;
	packet->client_port = tcp.source;
	packet->service_port = tcp.dest;
	packet->l4_bytes = tcp.doff * 4;
	return tcp.syn ? TCP_SYN : TCP;
}

/* An error about a packet that we, or another site, sent: the flow is the quoted one. */
static __always_inline int read_icmp(struct __sk_buff *skb, struct packet *packet)
{
	__u32 at = L3 + packet->l3_bytes, bytes = 0;
	struct address quoted_service = {};
	__be16 ports[2];
	__u8 head[2];

	if (bpf_skb_load_bytes(skb, at, head, sizeof(head)))
		return NOT_OURS;
	if (packet->six ? head[0] != 2 : head[0] != 3 || head[1] != 4)
		return NOT_OURS;
	at += 8;
	if (read_ip(skb, at, packet->six, &quoted_service, &packet->client, &bytes) != IPPROTO_TCP)
		return NOT_OURS;
	if (!same(&quoted_service, &packet->service))
		return NOT_OURS;
	if (bpf_skb_load_bytes(skb, at + bytes, ports, sizeof(ports)))
		return NOT_OURS;
	packet->service_port = ports[0];
	packet->client_port = ports[1];
	return ICMP;
}

/* The first octet of our connection IDs: three bits of configuration; then the site's number. */
static __always_inline int read_quic(struct __sk_buff *skb, struct packet *packet,
				     const struct settings *set)
{
	__u32 at = L3 + packet->l3_bytes;
	struct udphdr udp;
	__u8 head[6], id[3];
	__u32 site;

	if (set->quic_config > 6 || bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)))
		return NOT_OURS;
	if (udp.dest != set->quic_port)
		return NOT_OURS;
	at += sizeof(udp);
	if (bpf_skb_load_bytes(skb, at, head, sizeof(head)))
		return NOT_OURS;
	if (head[0] & 0x80) {
		__u32 version = (__u32)head[1] << 24 | head[2] << 16 | head[3] << 8 | head[4];
		__u8 handshake = version == QUIC_V2 ? 0x30 : 0x20;

		/* Until the handshake the client made the ID up (RFC 9000, section 7.2). */
		if ((head[0] & 0x30) != handshake ||
		    head[5] < 1 + set->quic_bytes)
			return NOT_OURS;
		at += 6;
	} else {
		at += 1;
	}
	if (bpf_skb_load_bytes(skb, at, id, sizeof(id)))
		return NOT_OURS;
	site = set->quic_bytes == 1 ? id[1] : (__u32)id[1] << 8 | id[2];
	if (id[0] >> 5 != set->quic_config || site >= set->n_sites)
		return NOT_OURS;
	packet->quic_site = site;
	packet->l4_bytes = sizeof(udp);
	return QUIC;
}

static __always_inline void read_packet(struct __sk_buff *skb, struct packet *packet,
					const struct settings *set)
{
	__u8 protocol;

	packet->kind = NOT_OURS;
	packet->l4_bytes = 0;
	packet->quic_site = 0;
	protocol = read_ip(skb, L3, packet->six, &packet->client, &packet->service,
			   &packet->l3_bytes);
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IPPROTO_ICMP &&
	    protocol != IPPROTO_ICMPV6)
		return;
	if (!is_service(&packet->service))
		return;
	if (protocol == IPPROTO_TCP)
		packet->kind = read_tcp(skb, packet);
	else if (protocol == IPPROTO_UDP)
		packet->kind = read_quic(skb, packet, set);
	else if (protocol == (packet->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		packet->kind = read_icmp(skb, packet);
}

/* The socket that the site's own kernel has for this flow, or listens with; to be released. */
static __always_inline struct bpf_sock *find_socket(struct __sk_buff *skb,
						    const struct packet *packet)
{
	struct bpf_sock_tuple tuple = {};

	if (packet->six) {
		__builtin_memcpy(tuple.ipv6.saddr, &packet->client, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &packet->service, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = packet->client_port;
		tuple.ipv6.dport = packet->service_port;
		return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	tuple.ipv4.saddr = packet->client.word[3];
	tuple.ipv4.daddr = packet->service.word[3];
	tuple.ipv4.sport = packet->client_port;
	tuple.ipv4.dport = packet->service_port;
	return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
}

/* While a site answers with SYN cookies, the third segment of a handshake has no socket yet. */
static __always_inline int is_cookie(struct __sk_buff *skb, const struct packet *packet,
				     struct bpf_sock *listener)
{
	struct tcphdr tcp;

	if (packet->kind != TCP ||
	    bpf_skb_load_bytes(skb, L3 + packet->l3_bytes, &tcp, sizeof(tcp)) || !tcp.ack ||
	    tcp.rst || tcp.fin)
		return 0;
	if (packet->six) {
		struct ipv6hdr ip;

		return !bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) &&
		       !bpf_tcp_check_syncookie(listener, &ip, sizeof(ip), &tcp, sizeof(tcp));
	} else {
		struct iphdr ip;

		return !bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) &&
		       !bpf_tcp_check_syncookie(listener, &ip, sizeof(ip), &tcp, sizeof(tcp));
	}
}

/* Does the site's own kernel know this flow? */
static __always_inline int is_own(struct __sk_buff *skb, const struct packet *packet,
				  const struct settings *set)
{
	struct bpf_sock *sk;
	int own;

	if (packet->kind == QUIC)
		return packet->quic_site == set->self;
	sk = find_socket(skb, packet);
	if (!sk)
		return 0;
	/* TIME_WAIT and half-open ones count: they are known. */
	own = sk->state != BPF_TCP_LISTEN || is_cookie(skb, packet, sk);
	bpf_sk_release(sk);
	return own;
}

static __always_inline int may_send(const struct settings *set)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 key = 0;
	struct bucket *ours = bpf_map_lookup_elem(&bucket, &key);
	int may = 0;

	if (!ours || !set->cost_ns)
		return 0;
	bpf_spin_lock(&ours->lock);
	if (now > ours->last_ns) {
		ours->credit_ns += now - ours->last_ns;
		if (ours->credit_ns > set->burst_ns)
			ours->credit_ns = set->burst_ns;
		ours->last_ns = now;
	}
	if (ours->credit_ns >= set->cost_ns) {
		ours->credit_ns -= set->cost_ns;
		may = 1;
	}
	bpf_spin_unlock(&ours->lock);
	return may;
}

/* Functions that the verifier is to look at once, not in every state of the caller, are not inline. */

/* Whom to ask, in which order: where this client's prefix landed, latest first; never ourselves. */
__noinline int choose(struct gue *gue, const struct address *client, __u32 self)
{
	struct client key = {.bits = 128};
	struct order *order;
	__u32 n = 0, i;

	if (!gue || !client)
		return 0;
	key.address = *client;
	order = bpf_map_lookup_elem(&orders, &key);
	if (!order)
		return 0;
	for (i = 0; i < MAX_HOPS + 1; i++) {
		if (i >= order->n || n >= MAX_HOPS)
			break;
		if (order->site[i] == self)
			continue;
		gue->hop[n] = bpf_htons(order->site[i]);
		n++;
	}
	gue->n = n;
	return n;
}

/* How large a packet may be on its way to a site, everything counted. */
static __always_inline __u32 path_mtu(struct site *site, __u32 six, const struct settings *set)
{
	__u64 when = site->lowered_ns[six & 1];

	if (!when)
		return set->mtu;
	if (bpf_ktime_get_ns() - when > PATH_MTU_KEPT) {
		site->lowered_ns[six & 1] = 0;
		return set->mtu;
	}
	return site->mtu[six & 1] < set->mtu ? site->mtu[six & 1] : set->mtu;
}

/* Tell the client that its packet is too big (RFC 1191, RFC 8201). It is consumed. */
static __always_inline int answer_too_big(struct __sk_buff *skb, const struct packet *packet,
					  __u32 mtu)
{
	if (packet->six) {
		__u8 quoted[60] = {};
		struct too_big6 answer = {};
		__u32 sum;

		if (bpf_skb_change_tail(skb, L3 + sizeof(quoted), 0) ||
		    bpf_skb_load_bytes(skb, L3, quoted, sizeof(quoted)) ||
		    bpf_skb_adjust_room(skb, sizeof(answer), BPF_ADJ_ROOM_MAC, 0))
			goto failed;
		ipv6_header(&answer.ip, 8 + sizeof(quoted), IPPROTO_ICMPV6, &packet->service,
			    &packet->client);
		answer.type = 2;
		answer.mtu = bpf_htonl(mtu < MIN_MTU6 ? MIN_MTU6 : mtu);
		sum = bpf_htonl(8 + sizeof(quoted)) + (__u32)bpf_htonl(IPPROTO_ICMPV6);
		sum = bpf_csum_diff(0, 0, (__be32 *)&answer.ip.saddr, 32, sum);
		sum = bpf_csum_diff(0, 0, (__be32 *)&answer.type, 8, sum);
		sum = bpf_csum_diff(0, 0, (__be32 *)quoted, sizeof(quoted), sum);
		answer.check = folded(sum);
		if (bpf_skb_store_bytes(skb, L3, &answer, sizeof(answer), 0))
			goto failed;
	} else {
		__u8 quoted[40] = {};
		struct too_big4 answer = {};
		__u32 sum;

		if (bpf_skb_change_tail(skb, L3 + sizeof(quoted), 0) ||
		    bpf_skb_load_bytes(skb, L3, quoted, sizeof(quoted)) ||
		    bpf_skb_adjust_room(skb, sizeof(answer), BPF_ADJ_ROOM_MAC, 0))
			goto failed;
		ipv4_header(&answer.ip, sizeof(answer) + sizeof(quoted), IPPROTO_ICMP,
			    packet->service.word[3], packet->client.word[3]);
		answer.type = 3;
		answer.code = 4;
		answer.mtu = bpf_htons(mtu < MIN_MTU4 ? MIN_MTU4 : mtu);
		sum = bpf_csum_diff(0, 0, (__be32 *)&answer.type, 8, 0);
		sum = bpf_csum_diff(0, 0, (__be32 *)quoted, sizeof(quoted), sum);
		answer.check = folded(sum);
		if (bpf_skb_store_bytes(skb, L3, &answer, sizeof(answer), 0))
			goto failed;
	}
	count(TOO_BIG);
	return bpf_redirect_neigh(skb->ifindex, 0, 0, 0);
failed:
	count(FAILED);
	return TC_ACT_SHOT;
}

__noinline int send(struct __sk_buff *skb, const struct packet *packet, struct gue *gue)
{
	__u32 key = 0, six, self, to, overhead, bytes, mtu;
	__u16 source_port;
	struct settings *set = bpf_map_lookup_elem(&settings, &key);
	struct site *ours, *theirs;
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L4_UDP;

	if (!set || !packet || !gue || gue->at >= MAX_HOPS)
		return TC_ACT_OK;
	six = packet->six & 1;
	self = set->self;
	to = bpf_ntohs(gue->hop[gue->at]);
	ours = bpf_map_lookup_elem(&sites, &self);
	theirs = bpf_map_lookup_elem(&sites, &to);
	if (!ours || !theirs)
		return TC_ACT_OK;
	if (!may_send(set)) {
		count(LIMITED);
		return TC_ACT_SHOT; /* TCP sends it again: later is better than a reset */
	}
	overhead = six ? sizeof(struct wrap6) : sizeof(struct wrap4);
	bytes = skb->gso_segs > 1 ? packet->l3_bytes + packet->l4_bytes + skb->gso_size
				  : skb->len - L3;
	mtu = path_mtu(theirs, six, set);
	if (bytes + overhead > mtu) {
		if (packet->kind == TCP)
			return answer_too_big(skb, packet, mtu - overhead);
		count(FAILED);
		return TC_ACT_SHOT;
	}
	bytes = skb->len - L3;
	source_port = bpf_htons(0xc000 | (bpf_get_hash_recalc(skb) & 0x3fff));
	flags |= six ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	if (bpf_skb_adjust_room(skb, overhead, BPF_ADJ_ROOM_MAC, flags))
		goto failed;
	gue->first = GUE_FIRST;
	gue->protocol = six ? IPPROTO_IPV6 : IPPROTO_IPIP;
	gue->flags = 0;
	gue->version = OURS_VERSION;
	gue->token[0] = set->token[0];
	gue->token[1] = set->token[1];
	if (six) {
		struct wrap6 wrap = {};

		bytes += sizeof(wrap) - sizeof(wrap.ip);
		ipv6_header(&wrap.ip, bytes, IPPROTO_UDP, &ours->at[1], &theirs->at[1]);
		wrap.udp.source = source_port;
		wrap.udp.dest = set->port;
		wrap.udp.len = bpf_htons(bytes); /* no checksum: RFC 6935 */
		wrap.gue = *gue;
		if (bpf_skb_store_bytes(skb, L3, &wrap, sizeof(wrap), BPF_F_INVALIDATE_HASH))
			goto failed;
	} else {
		struct wrap4 wrap = {};

		bytes += sizeof(wrap);
		ipv4_header(&wrap.ip, bytes, IPPROTO_UDP, ours->at[0].word[3],
			    theirs->at[0].word[3]);
		wrap.udp.source = source_port;
		wrap.udp.dest = set->port;
		wrap.udp.len = bpf_htons(bytes - sizeof(wrap.ip));
		wrap.gue = *gue;
		if (bpf_skb_store_bytes(skb, L3, &wrap, sizeof(wrap), BPF_F_INVALIDATE_HASH))
			goto failed;
	}
	return bpf_redirect_neigh(skb->ifindex, 0, 0, 0);
failed:
	count(FAILED);
	return TC_ACT_SHOT;
}

static __always_inline int is_trusted(const struct gue *gue, const struct settings *set)
{
	return gue->token[0] == set->token[0] && gue->token[1] == set->token[1];
}

/* A router on the way to another site says that its link is narrower than we think. */
static __always_inline void learn_mtu(struct __sk_buff *skb, __u32 six, __u32 at,
				      const struct settings *set)
{
	struct address us = {}, them = {};
	__u32 bytes = 0, mtu, to;
	struct udphdr udp;
	struct site *site;
	struct gue gue;
	__u8 head[8];

	if (bpf_skb_load_bytes(skb, at, head, sizeof(head)))
		return;
	if (six ? head[0] != 2 : head[0] != 3 || head[1] != 4)
		return;
	mtu = (__u32)head[6] << 8 | head[7];
	if (mtu < (six ? MIN_MTU6 : MIN_MTU4) || mtu >= set->mtu)
		return;
	at += sizeof(head);
	if (read_ip(skb, at, six, &us, &them, &bytes) != IPPROTO_UDP)
		return;
	if (bpf_skb_load_bytes(skb, at + bytes, &udp, sizeof(udp)) || udp.dest != set->port)
		return;
	if (bpf_skb_load_bytes(skb, at + bytes + sizeof(udp), &gue, sizeof(gue)) ||
	    !is_trusted(&gue, set) || gue.at >= MAX_HOPS)
		return; /* not ours, or a router that quotes too little to prove it */
	to = bpf_ntohs(gue.hop[gue.at]);
	site = bpf_map_lookup_elem(&sites, &to);
	if (!site || !same(&site->at[six & 1], &them))
		return;
	site->mtu[six & 1] = mtu;
	site->lowered_ns[six & 1] = bpf_ktime_get_ns();
	count(NARROW);
}

/* Read a wrapped packet's list; 0 unless a site of ours made it. */
static __always_inline int read_gue(struct __sk_buff *skb, __u32 at, __u32 six, struct gue *gue,
				    const struct settings *set)
{
	if (bpf_skb_load_bytes(skb, at, gue, sizeof(*gue)))
		return 0;
	return gue->first == GUE_FIRST && gue->flags == 0 && gue->version == OURS_VERSION &&
	       gue->protocol == (six ? IPPROTO_IPV6 : IPPROTO_IPIP) &&
	       is_trusted(gue, set) && gue->n <= MAX_HOPS && gue->at < gue->n;
}

SEC("tc")
int rescue_in(struct __sk_buff *skb)
{
	struct address source = {}, destination = {};
	struct packet packet = {};
	struct gue gue = {};
	__u32 key = 0, six, bytes = 0, self, wrapped = 0;
	struct settings *set;
	struct site *ours;
	__u8 protocol;

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_OK;
	six = skb->protocol == bpf_htons(ETH_P_IPV6);
	set = bpf_map_lookup_elem(&settings, &key);
	if (!set)
		return TC_ACT_OK;
	self = set->self;
	ours = bpf_map_lookup_elem(&sites, &self);
	if (!ours)
		return TC_ACT_OK;
	protocol = read_ip(skb, L3, six, &source, &destination, &bytes);
	if (!protocol)
		return TC_ACT_OK;
	if (same(&destination, &ours->at[six])) {
		struct udphdr udp;

		if (protocol == (six ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
			learn_mtu(skb, six, L3 + bytes, set);
		if (protocol != IPPROTO_UDP ||
		    bpf_skb_load_bytes(skb, L3 + bytes, &udp, sizeof(udp)) || udp.dest != set->port)
			return TC_ACT_OK;
		if (bytes != (six ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) ||
		    !read_gue(skb, L3 + bytes + sizeof(udp), six, &gue, set)) {
			count(REFUSED);
			return TC_ACT_SHOT;
		}
		if (bpf_skb_adjust_room(skb,
					six ? -(int)sizeof(struct wrap6) : -(int)sizeof(struct wrap4),
					BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO)) {
			count(FAILED);
			return TC_ACT_SHOT;
		}
		wrapped = 1;
	}
	packet.six = six;
	read_packet(skb, &packet, set);
	if (packet.kind == NOT_OURS || packet.kind == TCP_SYN) {
		if (!wrapped)
			return TC_ACT_OK;
		count(REFUSED);
		return TC_ACT_SHOT;
	}
	if (is_own(skb, &packet, set)) {
		count(wrapped ? RESCUED : OWN);
		return TC_ACT_OK;
	}
	if (wrapped) {
		gue.at++;
	} else {
		if (packet.kind == QUIC) {
			gue.hop[0] = bpf_htons(packet.quic_site);
			gue.n = 1;
		} else {
			choose(&gue, &packet.client, self);
		}
	}
	if (gue.at >= gue.n) {
		count(ORPHANS);
		return TC_ACT_OK; /* nobody knows it: the kernel says so, once */
	}
	if (wrapped) {
		count(PASSED_ON);
	} else {
		count(SENT);
		if (packet.kind == ICMP)
			count(SENT_ICMP);
		if (packet.kind == QUIC)
			count(SENT_QUIC);
	}
	return send(skb, &packet, &gue);
}

SEC("tc")
int rescue_out(struct __sk_buff *skb)
{
	struct address source = {}, destination = {};
	__u32 key = 0, six, bytes = 0, at, i, most;
	struct settings *set;
	struct tcphdr tcp;

	if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
		return TC_ACT_OK;
	six = skb->protocol == bpf_htons(ETH_P_IPV6);
	if (read_ip(skb, L3, six, &source, &destination, &bytes) != IPPROTO_TCP ||
	    bpf_skb_load_bytes(skb, L3 + bytes, &tcp, sizeof(tcp)) || !tcp.syn || !tcp.ack)
		return TC_ACT_OK;
	set = bpf_map_lookup_elem(&settings, &key);
	if (!set || !set->mss[six] || !is_service(&source))
		return TC_ACT_OK;
	most = bpf_htons(set->mss[six]);
	at = sizeof(tcp);
	for (i = 0; i < 10 && at + 4 <= tcp.doff * 4; i++) {
		__u8 option[4];

		if (bpf_skb_load_bytes(skb, L3 + bytes + at, option, sizeof(option)))
			return TC_ACT_OK;
		if (option[0] == MSS_OPTION) {
			__u16 offered;

			if (option[1] != 4)
				return TC_ACT_OK;
			offered = (__u16)option[2] | (__u16)option[3] << 8; /* as it stands there */
			if (bpf_ntohs(offered) <= set->mss[six])
				return TC_ACT_OK;
			/* An option may start at an odd byte: then the sum sees it swapped. */
			if (at & 1)
				return TC_ACT_OK;
			bpf_l4_csum_replace(skb, L3 + bytes + __builtin_offsetof(struct tcphdr, check),
					    offered, most, 2);
			offered = most;
			bpf_skb_store_bytes(skb, L3 + bytes + at + 2, &offered, 2, 0);
			count(CLAMPED);
			return TC_ACT_OK;
		}
		if (option[0] == 0)
			return TC_ACT_OK;
		at += option[0] == 1 || option[1] < 2 ? 1 : option[1];
	}
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL"; /* what the kernel must hear, for its cookies; see above */
