/*
 * amqpload - a small AMQP 0-9-1 load generator and correctness checker.
 *
 *   gcc -O2 -pthread -o amqpload amqpload.c
 *
 * One thread drives every connection through epoll.  Connections are set up
 * with blocking calls (handshake, declarations) and then become non-blocking.
 *
 * Producers send pre-encoded messages: a batch buffer holds many complete
 * messages (method + header + body frames), and per message only the first 16
 * bytes of the body are patched before the batch is written:
 *
 *     body = | timestamp, ns, CLOCK_MONOTONIC (8) | producer (2) | sequence (6) | ...
 *
 * Consumers check these numbers per (queue, producer), so lost, duplicated and
 * reordered messages are counted.  The result is ONE line of JSON on stdout.
 *
 * See amqpload.md next to this file for the options.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------ AMQP */

enum { FRAME_METHOD = 1, FRAME_HEADER = 2, FRAME_BODY = 3, FRAME_HEARTBEAT = 8, FRAME_END = 0xCE };

#define METHOD(class_id, method_id) ((uint32_t)(class_id) << 16 | (method_id))
enum {
    CONNECTION_START = METHOD(10, 10), CONNECTION_START_OK = METHOD(10, 11),
    CONNECTION_TUNE = METHOD(10, 30), CONNECTION_TUNE_OK = METHOD(10, 31),
    CONNECTION_OPEN = METHOD(10, 40), CONNECTION_OPEN_OK = METHOD(10, 41),
    CONNECTION_CLOSE = METHOD(10, 50), CONNECTION_CLOSE_OK = METHOD(10, 51),
    CONNECTION_BLOCKED = METHOD(10, 60), CONNECTION_UNBLOCKED = METHOD(10, 61),
    CHANNEL_OPEN = METHOD(20, 10), CHANNEL_OPEN_OK = METHOD(20, 11),
    CHANNEL_FLOW = METHOD(20, 20), CHANNEL_FLOW_OK = METHOD(20, 21),
    CHANNEL_CLOSE = METHOD(20, 40), CHANNEL_CLOSE_OK = METHOD(20, 41),
    EXCHANGE_DECLARE = METHOD(40, 10), EXCHANGE_DECLARE_OK = METHOD(40, 11),
    EXCHANGE_DELETE = METHOD(40, 20), EXCHANGE_DELETE_OK = METHOD(40, 21),
    QUEUE_DECLARE = METHOD(50, 10), QUEUE_DECLARE_OK = METHOD(50, 11),
    QUEUE_BIND = METHOD(50, 20), QUEUE_BIND_OK = METHOD(50, 21),
    QUEUE_DELETE = METHOD(50, 40), QUEUE_DELETE_OK = METHOD(50, 41),
    BASIC_QOS = METHOD(60, 10), BASIC_QOS_OK = METHOD(60, 11),
    BASIC_CONSUME = METHOD(60, 20), BASIC_CONSUME_OK = METHOD(60, 21),
    BASIC_PUBLISH = METHOD(60, 40), BASIC_RETURN = METHOD(60, 50),
    BASIC_DELIVER = METHOD(60, 60), BASIC_ACK = METHOD(60, 80),
    BASIC_NACK = METHOD(60, 120), CONFIRM_SELECT = METHOD(85, 10), CONFIRM_SELECT_OK = METHOD(85, 11),
};

static uint16_t get16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return be16toh(v); }
static uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return be32toh(v); }
static uint64_t get64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return be64toh(v); }
static void set32(uint8_t *p, uint32_t v) { v = htobe32(v); memcpy(p, &v, 4); }
static void set64(uint8_t *p, uint64_t v) { v = htobe64(v); memcpy(p, &v, 8); }

/* --------------------------------------------------------------- options */

static struct {
    const char *host, *port, *vhost, *user, *password, *prefix, *queue_type;
    int producers, consumers, queues, seconds, prefetch, multi_ack, confirm, fanout, topic, connections_only;
    double warmup, drain_wait;
    long body, count, inflight;
    double rate;
    bool persistent, auto_ack, publish_only, drain, keep;
    int pid;
} opt = {
    .host = "127.0.0.1", .port = "5672", .vhost = "/", .user = "guest", .password = "guest",
    .prefix = "amqpload", .producers = 1, .consumers = -1, .queues = 1, .seconds = 5, .body = 16,
    .multi_ack = 1, .warmup = 1, .drain_wait = 10,
};

/* ---------------------------------------------------------------- basics */

enum { BATCH_BYTES = 64 * 1024, MAX_ERRORS = 8 };

static char errors[MAX_ERRORS][300];
static int error_count;
static pthread_mutex_t error_lock = PTHREAD_MUTEX_INITIALIZER;

static void add_error(const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&error_lock);
    char *slot = errors[error_count < MAX_ERRORS ? error_count : MAX_ERRORS - 1];
    va_start(args, format);
    vsnprintf(slot, sizeof errors[0], format, args);
    va_end(args);
    error_count++;
    fprintf(stderr, "amqpload: %s\n", slot);
    for (char *p = slot; *p; p++)               /* the text ends up inside JSON */
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 32) *p = '\'';
    pthread_mutex_unlock(&error_lock);
}

static void die(const char *format, ...)
{
    va_list args;
    char text[300];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add_error("%s", text);
    printf("{\"errors\": [\"%s\"]}\n", errors[0]);
    exit(1);
}

static void *must_alloc(void *old, size_t size)
{
    void *p = realloc(old, size);
    if (!p) die("out of memory (%zu bytes)", size);
    return p;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* A growing byte buffer with AMQP encoders. */
typedef struct { uint8_t *data; size_t len, cap; } Buf;

static uint8_t *buf_room(Buf *b, size_t n)
{
    if (b->len + n > b->cap) {
        b->cap = (b->len + n) * 2;
        b->data = must_alloc(b->data, b->cap);
    }
    uint8_t *p = b->data + b->len;
    b->len += n;
    return p;
}
static void put(Buf *b, const void *p, size_t n) { memcpy(buf_room(b, n), p, n); }
static void put8(Buf *b, uint8_t v) { put(b, &v, 1); }
static void put16(Buf *b, uint16_t v) { v = htobe16(v); put(b, &v, 2); }
static void put32(Buf *b, uint32_t v) { v = htobe32(v); put(b, &v, 4); }
static void put64(Buf *b, uint64_t v) { v = htobe64(v); put(b, &v, 8); }
static void put_short(Buf *b, const char *s) { put8(b, strlen(s)); put(b, s, strlen(s)); }
static void put_long(Buf *b, const void *p, size_t n) { put32(b, n); put(b, p, n); }

static size_t begin_frame(Buf *b, int type, int channel)
{
    put8(b, type);
    put16(b, channel);
    put32(b, 0);
    return b->len;
}
static size_t begin_method(Buf *b, int channel, uint32_t method)
{
    size_t start = begin_frame(b, FRAME_METHOD, channel);
    put32(b, method);
    return start;
}
static void end_frame(Buf *b, size_t start)
{
    set32(b->data + start - 4, b->len - start);
    put8(b, FRAME_END);
}

/* A log-linear histogram: 64 steps per power of two (1.6 % resolution). */
typedef struct { uint64_t bucket[64 * 64], count, max; } Histogram;

static void hist_add(Histogram *h, uint64_t v)
{
    int shift = v < 64 ? 0 : 63 - __builtin_clzll(v) - 5;   /* v >> shift is in 32..63 */
    h->bucket[shift * 64 + (v >> shift)]++;
    h->count++;
    if (v > h->max) h->max = v;
}
static double hist_us(const Histogram *h, double quantile)
{
    uint64_t want = h->count * quantile, seen = 0;
    for (int i = 0; i < 64 * 64; i++) {
        seen += h->bucket[i];
        if (h->bucket[i] && seen > want) {
            double v = (double)(i % 64) * (1ull << (i / 64));
            return (v < h->max ? v : h->max) / 1000.0;
        }
    }
    return h->max / 1000.0;
}

/* ------------------------------------------------------------ connection */

typedef enum { PRODUCER, CONSUMER } Role;

typedef struct Conn {
    int fd, index;
    Role role;
    bool closed, want_write, blocked, flow_stopped;
    uint32_t frame_max;
    uint8_t *in;                    /* input: bytes in[in_pos..in_len) are unparsed */
    size_t in_pos, in_len, in_cap;
    Buf out;                        /* control frames and acks waiting to be written */
    size_t out_pos;

    /* producer */
    int nkeys, *keys;               /* the routing keys it uses, as indexes in routing_keys */
    int slots, slot, batch_max;     /* the pre-encoded messages, and the next one to send */
    uint8_t *batch;
    size_t *slot_at, *slot_body;    /* where each message, and its body, starts in batch */
    size_t send_pos, send_end;      /* the part of batch being written */
    uint64_t *sent_by_key;
    uint64_t sent, confirmed_to;    /* delivery tags 1..confirmed_to are all confirmed */
    uint64_t ring_mask, *ring_time; /* publish time per unconfirmed tag; 0 once confirmed */
    uint64_t rate_start;
    double rate_interval;

    /* consumer */
    int queue;
    uint64_t tag, body_left, first_body, unacked;
    bool redelivered, in_body;
    uint8_t head[16];
    int head_len;
    uint64_t *last_seq;             /* per producer: last sequence number seen + 1 */
} Conn;

static Conn *conns;
static int nconns;

static struct {
    uint64_t published, expected, delivered, delivered_bytes, acked, confirmed, nacked, returned,
        redelivered, reordered, duplicated, unique, corrupt, blocked_events;
} total, at_start, at_stop;
static Histogram latency, confirm_latency;
static bool measuring, stopping;
static uint64_t last_delivery_at, first_delivery_at;

static void conn_lost(Conn *c, const char *why)
{
    if (c->closed) return;
    c->closed = true;
    add_error("%s %d: %s", c->index < 0 ? "set-up connection" : c->role == PRODUCER ? "producer" : "consumer", c->index, why);
    stopping = true;
}

static void report_close(Conn *c, const char *what, const uint8_t *args, size_t len)
{
    char text[280];
    int code = len >= 3 ? get16(args) : 0, n = len >= 3 ? args[2] : 0;
    if (n > 200) n = 200;
    snprintf(text, sizeof text, "broker closed the %s: %d %.*s", what, code, n, (const char *)args + 3);
    conn_lost(c, text);
}

static void write_all(Conn *c, const void *data, size_t len)   /* blocking setup phase only */
{
    while (len) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n <= 0) die("send: %s", strerror(errno));
        data = (const uint8_t *)data + n;
        len -= n;
    }
}
static void flush_setup(Conn *c) { write_all(c, c->out.data, c->out.len); c->out.len = 0; }

/* Wait for one method; returns its arguments.  Blocking setup phase only. */
static const uint8_t *expect(Conn *c, uint32_t wanted, size_t *args_len)
{
    flush_setup(c);
    for (;;) {
        size_t have = c->in_len - c->in_pos;
        const uint8_t *f = c->in + c->in_pos;
        if (have >= 8 && !memcmp(f, "AMQP", 4)) die("broker refused the protocol version");
        if (have >= 7 && have >= get32(f + 3) + 8u) {
            uint32_t len = get32(f + 3), method = len >= 4 ? get32(f + 7) : 0;
            c->in_pos += len + 8;
            if (f[0] != FRAME_METHOD) continue;
            if (method == wanted) {
                if (args_len) *args_len = len - 4;
                return f + 11;
            }
            if (method == CONNECTION_CLOSE || method == CHANNEL_CLOSE) {
                report_close(c, method == CHANNEL_CLOSE ? "channel" : "connection", f + 11, len - 4);
                die("%s", errors[0]);
            }
            continue;
        }
        memmove(c->in, f, have);
        c->in_pos = 0;
        c->in_len = have;
        ssize_t n = recv(c->fd, c->in + have, c->in_cap - have, 0);
        if (n == 0) die("broker closed the TCP connection while method %u.%u was awaited", wanted >> 16, wanted & 0xFFFF);
        if (n < 0) die("recv: %s (method %u.%u was awaited)", strerror(errno), wanted >> 16, wanted & 0xFFFF);
        c->in_len += n;
    }
}

/* Connect, log in, open the virtual host and channel 1. */
static void conn_open(Conn *c, Role role, int index, size_t in_cap)
{
    struct addrinfo *ai, hints = {.ai_socktype = SOCK_STREAM};
    memset(c, 0, sizeof *c);
    c->role = role;
    c->index = index;
    c->in_cap = in_cap;
    c->in = must_alloc(NULL, in_cap);
    if (getaddrinfo(opt.host, opt.port, &hints, &ai)) die("cannot resolve %s:%s", opt.host, opt.port);
    c->fd = socket(ai->ai_family, SOCK_STREAM, 0);
    if (c->fd < 0) die("socket: %s", strerror(errno));
    if (connect(c->fd, ai->ai_addr, ai->ai_addrlen)) die("connect %s:%s: %s", opt.host, opt.port, strerror(errno));
    freeaddrinfo(ai);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 30}, sizeof(struct timeval));

    Buf *b = &c->out, props = {0}, caps = {0};
    put(b, "AMQP\0\0\x09\x01", 8);
    expect(c, CONNECTION_START, NULL);

    const char *names[] = {"publisher_confirms", "consumer_cancel_notify", "connection.blocked", "basic.nack",
                           "authentication_failure_close"};
    for (int i = 0; i < 5; i++) { put_short(&caps, names[i]); put8(&caps, 't'); put8(&caps, 1); }
    put_short(&props, "product"); put8(&props, 'S'); put_long(&props, "amqpload", 8);
    put_short(&props, "capabilities"); put8(&props, 'F'); put_long(&props, caps.data, caps.len);

    char plain[256];
    int n = snprintf(plain, sizeof plain, "%c%s%c%s", 0, opt.user, 0, opt.password);
    size_t f = begin_method(b, 0, CONNECTION_START_OK);
    put_long(b, props.data, props.len);
    put_short(b, "PLAIN");
    put_long(b, plain, n);
    put_short(b, "en_US");
    end_frame(b, f);
    free(props.data);
    free(caps.data);

    const uint8_t *tune = expect(c, CONNECTION_TUNE, NULL);
    uint16_t channel_max = get16(tune);
    c->frame_max = get32(tune + 2);
    if (!c->frame_max || c->frame_max > 131072) c->frame_max = 131072;
    f = begin_method(b, 0, CONNECTION_TUNE_OK);
    put16(b, channel_max);
    put32(b, c->frame_max);
    put16(b, 0);                                        /* no heartbeat */
    end_frame(b, f);
    f = begin_method(b, 0, CONNECTION_OPEN);
    put_short(b, opt.vhost);
    put8(b, 0);
    put8(b, 0);
    end_frame(b, f);
    expect(c, CONNECTION_OPEN_OK, NULL);

    f = begin_method(b, 1, CHANNEL_OPEN);
    put8(b, 0);
    end_frame(b, f);
    expect(c, CHANNEL_OPEN_OK, NULL);
}

/* Write waiting control frames; false if the socket is full. */
static bool flush_out(Conn *c)
{
    while (c->out_pos < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_pos, c->out.len - c->out_pos, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN) conn_lost(c, strerror(errno));
            return false;
        }
        c->out_pos += n;
    }
    c->out_pos = c->out.len = 0;
    return true;
}

/* -------------------------------------------------------------- topology */

static char **routing_keys;
static int nrouting_keys;
static uint8_t *key_matches;        /* [key * queues + queue]: does a message with key reach queue? */
static int *key_fanout;             /* how many queues a key reaches */

static char *format_name(const char *format, ...)
{
    char *s;
    va_list args;
    va_start(args, format);
    if (vasprintf(&s, format, args) < 0) die("out of memory");
    va_end(args);
    return s;
}
static char *queue_name(int q) { return format_name("%s-%d", opt.prefix, q); }

static const char *words[3][4] = {
    {"stock", "bond", "fund", "cash"}, {"usd", "eur", "gbp", "jpy"}, {"nyse", "ibm", "lse", "db"}};

static char *topic_pattern(int i)   /* a mix of five kinds; with many bindings most match nothing */
{
    int kind = i % 5, n = i / 5;
    const char *a = words[0][n % 4], *b = words[1][n / 4 % 4], *c = words[2][n / 16 % 4];
    if (n >= 64) return format_name("%s.x%d.#", a, i);
    switch (kind) {
    case 0: return format_name("%s.%s.%s", a, b, c);
    case 1: return format_name("%s.*.%s", a, words[2][n / 4 % 4]);
    case 2: return format_name("%s.#", a);
    case 3: return format_name("*.%s.#", words[1][n % 4]);
    default: return format_name("#.%s", words[2][n % 4]);
    }
}

static bool topic_matches(const char *pattern, const char *key)
{
    if (!*pattern) return !*key;
    if (*pattern == '#') {
        const char *rest = pattern[1] ? pattern + 2 : pattern + 1;
        if (!*rest) return true;
        for (const char *k = key; ; k++) {
            if (topic_matches(rest, k)) return true;
            if (!(k = strchr(k, '.'))) return false;
        }
    }
    if (!*key) return !strcmp(pattern, "#");
    size_t pw = strcspn(pattern, "."), kw = strcspn(key, ".");
    if (!(pw == 1 && *pattern == '*') && (pw != kw || memcmp(pattern, key, pw))) return false;
    pattern += pw;
    key += kw;
    if (*pattern == '.' && *key == '.') return topic_matches(pattern + 1, key + 1);
    if (*pattern == '.' && !*key) return !strcmp(pattern, ".#");
    return !*pattern && !*key;
}

static const char *exchange_name(void)
{
    static char *name;
    if (!opt.fanout && !opt.topic) return "";
    if (!name) name = format_name("%s-exchange", opt.prefix);
    return name;
}

static void bind_queue(Conn *c, int q, const char *key)
{
    Buf *b = &c->out;
    char *name = queue_name(q);
    size_t f = begin_method(b, 1, QUEUE_BIND);
    put16(b, 0);
    put_short(b, name);
    put_short(b, exchange_name());
    put_short(b, key);
    put8(b, 0);
    put32(b, 0);
    end_frame(b, f);
    expect(c, QUEUE_BIND_OK, NULL);
    free(name);
}

static void delete_topology(Conn *c)
{
    Buf *b = &c->out;
    for (int q = 0; q < opt.queues; q++) {
        char *name = queue_name(q);
        size_t f = begin_method(b, 1, QUEUE_DELETE);
        put16(b, 0);
        put_short(b, name);
        put8(b, 0);
        end_frame(b, f);
        expect(c, QUEUE_DELETE_OK, NULL);
        free(name);
    }
    if (*exchange_name()) {
        size_t f = begin_method(b, 1, EXCHANGE_DELETE);
        put16(b, 0);
        put_short(b, exchange_name());
        put8(b, 0);
        end_frame(b, f);
        expect(c, EXCHANGE_DELETE_OK, NULL);
    }
}

static void declare_topology(Conn *c)
{
    Buf *b = &c->out;
    bool durable = opt.persistent || opt.queue_type;
    for (int q = 0; q < opt.queues; q++) {
        char *name = queue_name(q);
        size_t f = begin_method(b, 1, QUEUE_DECLARE);
        put16(b, 0);
        put_short(b, name);
        put8(b, durable ? 2 : 0);
        Buf args = {0};
        if (opt.queue_type) {
            put_short(&args, "x-queue-type");
            put8(&args, 'S');
            put_long(&args, opt.queue_type, strlen(opt.queue_type));
        }
        put_long(b, args.data, args.len);
        end_frame(b, f);
        free(args.data);
        expect(c, QUEUE_DECLARE_OK, NULL);
        free(name);
    }
    if (*exchange_name()) {
        size_t f = begin_method(b, 1, EXCHANGE_DECLARE);
        put16(b, 0);
        put_short(b, exchange_name());
        put_short(b, opt.fanout ? "fanout" : "topic");
        put8(b, durable ? 2 : 0);
        put32(b, 0);
        end_frame(b, f);
        expect(c, EXCHANGE_DECLARE_OK, NULL);
    }
    if (opt.fanout)
        for (int q = 0; q < opt.queues; q++) bind_queue(c, q, "");
    for (int i = 0; i < opt.topic; i++) {
        char *pattern = topic_pattern(i);
        bind_queue(c, i % opt.queues, pattern);
        free(pattern);
    }
}

/* Which routing keys exist, and which queues each one reaches. */
static void plan_routing(void)
{
    nrouting_keys = opt.topic ? 64 : opt.fanout ? 1 : opt.queues;
    routing_keys = must_alloc(NULL, nrouting_keys * sizeof *routing_keys);
    key_fanout = must_alloc(NULL, nrouting_keys * sizeof *key_fanout);
    key_matches = must_alloc(NULL, (size_t)nrouting_keys * opt.queues);
    memset(key_matches, 0, (size_t)nrouting_keys * opt.queues);
    for (int k = 0; k < nrouting_keys; k++) {
        uint8_t *row = key_matches + (size_t)k * opt.queues;
        if (opt.topic) {
            routing_keys[k] = format_name("%s.%s.%s", words[0][k % 4], words[1][k / 4 % 4], words[2][k / 16]);
            for (int i = 0; i < opt.topic; i++) {
                char *pattern = topic_pattern(i);
                if (topic_matches(pattern, routing_keys[k])) row[i % opt.queues] = 1;
                free(pattern);
            }
        } else if (opt.fanout) {
            routing_keys[k] = "";
            memset(row, 1, opt.queues);
        } else {
            routing_keys[k] = queue_name(k);
            row[k] = 1;
        }
        key_fanout[k] = 0;
        for (int q = 0; q < opt.queues; q++) key_fanout[k] += row[q];
    }
}

/* -------------------------------------------------------------- producer */

static void producer_setup(Conn *c)
{
    Buf *b = &c->out;
    if (opt.confirm) {
        size_t f = begin_method(b, 1, CONFIRM_SELECT);
        put8(b, 0);
        end_frame(b, f);
        expect(c, CONFIRM_SELECT_OK, NULL);
        uint64_t size = 1;
        while (size < (uint64_t)opt.confirm + 1) size *= 2;
        c->ring_mask = size - 1;
        c->ring_time = calloc(size, sizeof *c->ring_time);
    }

    /* With more queues than producers, producer i serves queues i, i+P, i+2P, ... */
    c->keys = must_alloc(NULL, nrouting_keys * sizeof *c->keys);
    if (opt.topic || opt.fanout)
        for (int k = 0; k < nrouting_keys; k++) c->keys[c->nkeys++] = k;
    else if (opt.queues <= opt.producers)
        c->keys[c->nkeys++] = c->index % opt.queues;
    else
        for (int k = c->index; k < nrouting_keys; k += opt.producers) c->keys[c->nkeys++] = k;

    size_t message_size = opt.body + 80;
    c->batch_max = BATCH_BYTES / message_size ? BATCH_BYTES / message_size : 1;
    c->slots = (c->batch_max + c->nkeys - 1) / c->nkeys * c->nkeys;
    c->slot_at = must_alloc(NULL, (c->slots + 1) * sizeof(size_t));
    c->slot_body = must_alloc(NULL, c->slots * sizeof(size_t));
    c->sent_by_key = calloc(nrouting_keys, sizeof(uint64_t));

    Buf m = {0};
    for (int s = 0; s < c->slots; s++) {
        c->slot_at[s] = m.len;
        size_t f = begin_method(&m, 1, BASIC_PUBLISH);
        put16(&m, 0);
        put_short(&m, exchange_name());
        put_short(&m, routing_keys[c->keys[s % c->nkeys]]);
        put8(&m, 0);
        end_frame(&m, f);
        f = begin_frame(&m, FRAME_HEADER, 1);
        put16(&m, 60);
        put16(&m, 0);
        put64(&m, opt.body);
        put16(&m, 0x1000);                              /* delivery-mode only */
        put8(&m, opt.persistent ? 2 : 1);
        end_frame(&m, f);
        for (long left = opt.body, n; left > 0; left -= n) {
            n = left < (long)c->frame_max - 8 ? left : (long)c->frame_max - 8;
            f = begin_frame(&m, FRAME_BODY, 1);
            if (left == opt.body) c->slot_body[s] = f;
            memset(buf_room(&m, n), 'x', n);
            end_frame(&m, f);
        }
    }
    c->slot_at[c->slots] = m.len;
    c->batch = m.data;
}

/* How many messages may this producer send now, by all limits? */
static long producer_allowance(Conn *c, uint64_t now)
{
    long n = c->batch_max;
    if (stopping || c->blocked || c->flow_stopped) return 0;
    if (opt.confirm) {
        long free_window = opt.confirm - (long)(c->sent - c->confirmed_to);
        if (free_window < n) n = free_window;
    }
    if (opt.rate > 0) {
        double due = now < c->rate_start ? 0 : (now - c->rate_start) / c->rate_interval + 1 - c->sent;
        if (due < n) n = due;
    }
    if (opt.count && opt.count - (long)total.published < n) n = opt.count - (long)total.published;
    if (opt.inflight) {
        int fanout = key_fanout[c->keys[c->slot % c->nkeys]];
        long room = (opt.inflight - (long)(total.expected - total.delivered)) / (fanout ? fanout : 1);
        if (room < n) n = room;
    }
    return n > 0 ? n : 0;
}

static void stamp(Conn *c, int slot, uint64_t now)
{
    uint8_t *body = c->batch + c->slot_body[slot];
    int key = c->keys[slot % c->nkeys];
    uint64_t intended = opt.rate > 0 ? c->rate_start + (uint64_t)(c->sent * c->rate_interval) : now;
    set64(body, intended);
    set64(body + 8, (uint64_t)c->index << 48 | c->sent);
    c->sent++;
    if (opt.confirm) c->ring_time[c->sent & c->ring_mask] = intended;
    c->sent_by_key[key]++;
    total.published++;
    total.expected += key_fanout[key];
}

/* Send until the socket is full, nothing is allowed, or a fair share is used. */
static bool producer_pump(Conn *c)
{
    for (int round = 0; round < 4; round++) {
        if (c->send_pos == c->send_end) {
            if (!flush_out(c)) { c->want_write = true; return false; }
            uint64_t now = now_ns();
            long n = producer_allowance(c, now);
            if (n > c->slots - c->slot) n = c->slots - c->slot;
            if (n == 0) return false;
            for (long i = 0; i < n; i++) stamp(c, c->slot + i, now);
            c->send_pos = c->slot_at[c->slot];
            c->send_end = c->slot_at[c->slot + n];
            c->slot = (c->slot + n) % c->slots;
        }
        ssize_t sent = send(c->fd, c->batch + c->send_pos, c->send_end - c->send_pos, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN) c->want_write = true;
            else conn_lost(c, strerror(errno));
            return false;
        }
        c->send_pos += sent;
    }
    return true;
}

static void on_confirm(Conn *c, uint64_t tag, bool multiple, bool nack, uint64_t now)
{
    if (tag > c->sent || (tag <= c->confirmed_to && !(multiple && tag == 0))) {
        add_error("producer %d: confirm for tag %lu which is not outstanding", c->index, (unsigned long)tag);
        return;
    }
    if (multiple && tag == 0) tag = c->sent;
    for (uint64_t t = multiple ? c->confirmed_to + 1 : tag; t <= tag; t++) {
        uint64_t *sent_at = &c->ring_time[t & c->ring_mask];
        if (!*sent_at) {
            if (!multiple) add_error("producer %d: tag %lu confirmed twice", c->index, (unsigned long)t);
            continue;
        }
        if (measuring) hist_add(&confirm_latency, now > *sent_at ? now - *sent_at : 0);
        *sent_at = 0;
        if (nack) total.nacked++;
        else total.confirmed++;
    }
    while (c->confirmed_to < c->sent && !c->ring_time[(c->confirmed_to + 1) & c->ring_mask]) c->confirmed_to++;
}

/* -------------------------------------------------------------- consumer */

/* The sequence numbers seen from one producer in one queue: one bit each. */
typedef struct { uint64_t *bits, words, unique; } Stream;
static Stream **streams;            /* [queue] -> array indexed by producer */
static int max_producers;

static void stream_record(Conn *c, unsigned producer, uint64_t seq)
{
    if (producer >= (unsigned)max_producers) { total.corrupt++; return; }
    Stream *s = &streams[c->queue][producer];
    uint64_t word = seq / 64, bit = 1ull << (seq % 64);
    if (word > (1ull << 30)) { total.corrupt++; return; }
    if (word >= s->words) {
        uint64_t grown = (word + 1024) * 2;
        s->bits = must_alloc(s->bits, grown * 8);
        memset(s->bits + s->words, 0, (grown - s->words) * 8);
        s->words = grown;
    }
    if (s->bits[word] & bit) {
        if (!c->redelivered) total.duplicated++;
    } else {
        s->bits[word] |= bit;
        s->unique++;
        total.unique++;
    }
    if (seq + 1 <= c->last_seq[producer] && !c->redelivered) total.reordered++;
    c->last_seq[producer] = seq + 1;
}

static void consumer_setup(Conn *c)
{
    Buf *b = &c->out;
    c->queue = c->index % opt.queues;
    c->last_seq = calloc(max_producers, sizeof(uint64_t));
    if (opt.prefetch) {
        size_t f = begin_method(b, 1, BASIC_QOS);
        put32(b, 0);
        put16(b, opt.prefetch);
        put8(b, 0);
        end_frame(b, f);
        expect(c, BASIC_QOS_OK, NULL);
    }
    char *name = queue_name(c->queue), *tag = format_name("c%d", c->index);
    size_t f = begin_method(b, 1, BASIC_CONSUME);
    put16(b, 0);
    put_short(b, name);
    put_short(b, tag);
    put8(b, opt.auto_ack ? 2 : 0);
    put32(b, 0);
    end_frame(b, f);
    expect(c, BASIC_CONSUME_OK, NULL);
    free(name);
    free(tag);
}

static void send_ack(Conn *c, uint64_t tag, bool multiple)
{
    uint8_t *p = buf_room(&c->out, 21);
    memcpy(p, "\x01\0\x01\0\0\0\x0d\0\x3c\0\x50", 11);
    set64(p + 11, tag);
    p[19] = multiple;
    p[20] = FRAME_END;
}

static void message_complete(Conn *c, uint64_t now)
{
    uint64_t sent_at = get64(c->head), id = get64(c->head + 8);
    c->in_body = false;
    if (!total.delivered) first_delivery_at = now;
    last_delivery_at = now;
    total.delivered++;
    total.delivered_bytes += c->first_body;
    if (c->redelivered) total.redelivered++;
    if (c->head_len < 16) { total.corrupt++; return; }
    stream_record(c, id >> 48, id & 0xFFFFFFFFFFFFull);
    if (measuring) hist_add(&latency, now > sent_at ? now - sent_at : 0);
    if (opt.auto_ack) return;
    if (++c->unacked >= (uint64_t)opt.multi_ack) {
        send_ack(c, c->tag, opt.multi_ack > 1);
        total.acked += c->unacked;
        c->unacked = 0;
    }
}

static void on_deliver(Conn *c, const uint8_t *args)
{
    args += 1 + args[0];                                /* consumer tag */
    c->tag = get64(args);
    c->redelivered = args[8];
    c->head_len = 0;
}

/* ---------------------------------------------------------------- frames */

static void on_method(Conn *c, const uint8_t *payload, uint32_t len, uint64_t now)
{
    const uint8_t *args = payload + 4;
    size_t f;
    switch (get32(payload)) {
    case BASIC_DELIVER: on_deliver(c, args); break;
    case BASIC_ACK: on_confirm(c, get64(args), args[8] & 1, false, now); break;
    case BASIC_NACK: on_confirm(c, get64(args), args[8] & 1, true, now); break;
    case BASIC_RETURN: total.returned++; break;
    case CHANNEL_FLOW:
        c->flow_stopped = !args[0];
        f = begin_method(&c->out, 1, CHANNEL_FLOW_OK);
        put8(&c->out, args[0]);
        end_frame(&c->out, f);
        break;
    case CONNECTION_BLOCKED: c->blocked = true; total.blocked_events++; break;
    case CONNECTION_UNBLOCKED: c->blocked = false; break;
    case CHANNEL_CLOSE: report_close(c, "channel", args, len - 4); break;
    case CONNECTION_CLOSE: report_close(c, "connection", args, len - 4); break;
    }
}

static void on_frame(Conn *c, int type, const uint8_t *payload, uint32_t len, uint64_t now)
{
    switch (type) {
    case FRAME_METHOD:
        on_method(c, payload, len, now);
        break;
    case FRAME_HEADER:
        c->first_body = c->body_left = get64(payload + 4);
        c->in_body = true;
        if (c->role == CONSUMER && c->body_left == 0) message_complete(c, now);
        break;
    case FRAME_BODY:
        for (uint32_t i = 0; c->head_len < 16 && i < len; i++) c->head[c->head_len++] = payload[i];
        if (len > c->body_left) { conn_lost(c, "more body than announced"); return; }
        c->body_left -= len;
        if (c->body_left == 0 && c->role == CONSUMER) message_complete(c, now);
        break;
    case FRAME_HEARTBEAT:
        end_frame(&c->out, begin_frame(&c->out, FRAME_HEARTBEAT, 0));
        break;
    }
}

static void conn_parse(Conn *c);

static void conn_read(Conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        conn_lost(c, n ? strerror(errno) : "broker closed the TCP connection");
        return;
    }
    c->in_len += n;
    conn_parse(c);
}

/* Handle the whole frames in the input buffer. */
static void conn_parse(Conn *c)
{
    uint64_t now = now_ns();
    while (c->in_len - c->in_pos >= 8) {
        const uint8_t *f = c->in + c->in_pos;
        uint32_t len = get32(f + 3);
        if (len > c->frame_max) { conn_lost(c, "frame longer than frame-max"); return; }
        if (c->in_len - c->in_pos < len + 8u) break;
        if (f[7 + len] != FRAME_END) { conn_lost(c, "frame without frame-end octet"); return; }
        on_frame(c, f[0], f + 7, len, now);
        if (c->closed) return;
        c->in_pos += len + 8;
    }
    memmove(c->in, c->in + c->in_pos, c->in_len - c->in_pos);
    c->in_len -= c->in_pos;
    c->in_pos = 0;
    if (c->send_pos == c->send_end && !flush_out(c)) c->want_write = true;
}

/* ------------------------------------------------------------ event loop */

static int epoll_fd;

static void arm(Conn *c, bool *armed)
{
    if (c->want_write == *armed) return;
    struct epoll_event e = {.events = EPOLLIN | (c->want_write ? EPOLLOUT : 0), .data.u32 = c - conns};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    *armed = c->want_write;
}

static uint64_t next_due(void)      /* when does a rate-limited producer have work again? */
{
    uint64_t due = UINT64_MAX;
    for (int i = 0; i < nconns; i++)
        if (conns[i].role == PRODUCER) {
            uint64_t t = conns[i].rate_start + (uint64_t)(conns[i].sent * conns[i].rate_interval);
            if (t < due) due = t;
        }
    return due;
}

/* One turn: socket events, then every producer that may send.  Waits at most until `deadline`. */
static void turn(bool *armed, bool busy, uint64_t deadline, bool *still_busy)
{
    struct epoll_event events[256];
    struct timespec timeout = {0};
    if (!busy) {
        uint64_t now = now_ns(), until = deadline;
        if (opt.rate > 0 && !stopping && next_due() < until) until = next_due();
        uint64_t wait = until > now ? until - now : 0;
        if (wait > 100000000) wait = 100000000;
        timeout.tv_nsec = wait;
    }
    int n = epoll_pwait2(epoll_fd, events, 256, &timeout, NULL);
    for (int i = 0; i < n; i++) {
        Conn *c = &conns[events[i].data.u32];
        if (c->closed) { epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL); continue; }
        if (events[i].events & EPOLLOUT) {
            c->want_write = false;
            if (c->role == CONSUMER && !flush_out(c)) c->want_write = true;
        }
        if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) conn_read(c);
    }
    *still_busy = false;
    for (int i = 0; i < nconns; i++) {
        Conn *c = &conns[i];
        if (c->closed) continue;
        if (c->role == PRODUCER && !c->want_write && producer_pump(c)) *still_busy = true;
        arm(c, &armed[i]);
    }
}

/* -------------------------------------------------------- broker process */

static double process_cpu_seconds(int pid)          /* user + system time of the process */
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    char *p = strrchr(line, ')');
    unsigned long user = 0, system = 0;
    if (p) sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

static double process_rss_mb(int pid, const char *field)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, field, strlen(field))) sscanf(line + strlen(field) + 1, "%ld", &kb);
    fclose(f);
    return kb / 1024.0;
}

/* ------------------------------------------------------ connections only */

enum { OPENER_THREADS = 16 };

static void *opener(void *arg)
{
    for (long i = (long)arg; i < opt.connections_only; i += OPENER_THREADS)
        conn_open(&conns[i], PRODUCER, i, 4096);
    return NULL;
}

static int run_connections_only(void)
{
    pthread_t threads[OPENER_THREADS];
    nconns = opt.connections_only;
    conns = calloc(nconns, sizeof *conns);
    uint64_t start = now_ns();
    for (long t = 0; t < OPENER_THREADS; t++) pthread_create(&threads[t], NULL, opener, (void *)t);
    for (int t = 0; t < OPENER_THREADS; t++) pthread_join(threads[t], NULL);
    double took = (now_ns() - start) / 1e9;
    fprintf(stderr, "amqpload: %d connections open after %.3f s\n", nconns, took);
    double cpu = process_cpu_seconds(opt.pid);
    sleep(opt.seconds);
    cpu = process_cpu_seconds(opt.pid) - cpu;
    int alive = 0;
    for (int i = 0; i < nconns; i++) {
        struct pollfd p = {.fd = conns[i].fd, .events = POLLIN};
        char byte;
        if (poll(&p, 1, 0) == 0 || recv(conns[i].fd, &byte, 1, MSG_PEEK) > 0) alive++;
    }
    printf("{\"connections\": %d, \"open_s\": %.3f, \"connections_per_s\": %.1f, \"alive_after\": %d, "
           "\"held_s\": %d, \"broker_cpu_while_idle_s\": %.2f, \"broker_rss_mb\": %.1f, \"errors\": []}\n",
           nconns, took, nconns / took, alive, opt.seconds, cpu, process_rss_mb(opt.pid, "VmRSS"));
    return alive == nconns ? 0 : 1;
}

/* ------------------------------------------------------------------ main */

static uint64_t count_lost(void)
{
    uint64_t lost = 0;
    if (opt.drain) return (uint64_t)opt.count > total.unique ? opt.count - total.unique : 0;
    for (int i = 0; i < nconns; i++) {
        Conn *c = &conns[i];
        if (c->role != PRODUCER) continue;
        for (int q = 0; q < opt.queues; q++) {
            uint64_t expected = 0;
            for (int k = 0; k < nrouting_keys; k++)
                if (key_matches[(size_t)k * opt.queues + q]) expected += c->sent_by_key[k];
            if (expected > streams[q][c->index].unique) lost += expected - streams[q][c->index].unique;
        }
    }
    return lost > total.nacked ? lost - total.nacked : 0;
}

static void print_result(double seconds, double broker_cpu, double own_cpu, bool drained)
{
    bool check = opt.consumers > 0;
    uint64_t delivered = at_stop.delivered - at_start.delivered, published = at_stop.published - at_start.published;
    uint64_t handled = delivered > published ? delivered : published;
    printf("{\"published_per_s\": %.0f, \"delivered_per_s\": %.0f, \"confirmed_per_s\": %.0f, \"bytes_per_s\": %.0f, "
           "\"seconds\": %.3f, ",
           published / seconds, delivered / seconds, (at_stop.confirmed - at_start.confirmed) / seconds,
           (at_stop.delivered_bytes - at_start.delivered_bytes) / seconds, seconds);
    printf("\"published\": %lu, \"delivered\": %lu, \"acked\": %lu, \"confirmed\": %lu, \"nacked\": %lu, "
           "\"returned\": %lu, \"redelivered\": %lu, \"blocked\": %lu, ",
           total.published, total.delivered, total.acked, total.confirmed, total.nacked, total.returned,
           total.redelivered, total.blocked_events);
    printf("\"lost\": %lu, \"duplicated\": %lu, \"reordered\": %lu, \"corrupt\": %lu, \"drained\": %s, ",
           check ? count_lost() : 0, total.duplicated, total.reordered, total.corrupt, drained ? "true" : "false");
    printf("\"latency_us\": {\"p50\": %.0f, \"p95\": %.0f, \"p99\": %.0f, \"max\": %.0f}, ",
           hist_us(&latency, .5), hist_us(&latency, .95), hist_us(&latency, .99), latency.max / 1000.0);
    printf("\"confirm_latency_us\": {\"p50\": %.0f, \"p95\": %.0f, \"p99\": %.0f, \"max\": %.0f}, ",
           hist_us(&confirm_latency, .5), hist_us(&confirm_latency, .95), hist_us(&confirm_latency, .99),
           confirm_latency.max / 1000.0);
    printf("\"own_cpu\": %.2f, ", own_cpu / seconds);
    if (opt.pid)
        printf("\"broker_cpu\": %.2f, \"broker_us_per_msg\": %.2f, \"broker_rss_mb\": %.1f, \"broker_peak_rss_mb\": %.1f, ",
               broker_cpu / seconds, handled ? broker_cpu * 1e6 / handled : 0,
               process_rss_mb(opt.pid, "VmRSS"), process_rss_mb(opt.pid, "VmHWM"));
    printf("\"errors\": [");
    for (int i = 0; i < error_count && i < MAX_ERRORS; i++) printf("%s\"%s\"", i ? ", " : "", errors[i]);
    printf("]}\n");
}

static double own_cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static bool everything_settled(void)
{
    for (int i = 0; i < nconns; i++) {
        Conn *c = &conns[i];
        if (c->role == PRODUCER && (c->send_pos != c->send_end || (opt.confirm && c->confirmed_to != c->sent)))
            return false;
    }
    if (opt.consumers == 0) return true;
    if (opt.drain) return opt.count && total.unique >= (uint64_t)opt.count;
    return total.unique + total.nacked >= total.expected;
}

static int run_load(void)
{
    plan_routing();
    max_producers = opt.drain ? 1024 : opt.producers;
    streams = must_alloc(NULL, opt.queues * sizeof *streams);
    for (int q = 0; q < opt.queues; q++) streams[q] = calloc(max_producers, sizeof(Stream));

    Conn admin;
    conn_open(&admin, CONSUMER, -1, 65536);
    if (!opt.drain) {
        delete_topology(&admin);
        declare_topology(&admin);
    }

    nconns = opt.producers + opt.consumers;
    conns = calloc(nconns, sizeof *conns);
    bool *armed = calloc(nconns, sizeof *armed), busy = true;
    for (int i = 0; i < opt.producers; i++) {
        conn_open(&conns[i], PRODUCER, i, 256 * 1024);
        producer_setup(&conns[i]);
    }
    uint64_t start = now_ns();
    for (int i = 0; i < opt.consumers; i++) {
        Conn *c = &conns[opt.producers + i];
        conn_open(c, CONSUMER, i, 512 * 1024);
        if (opt.drain && i == 0) start = now_ns();
        consumer_setup(c);
    }
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < nconns; i++) {
        fcntl(conns[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conns[i].fd, &e);
    }

    /* Load phase: warm up, then measure. */
    bool fixed_amount = opt.count > 0 || opt.drain;
    if (!opt.drain) start = now_ns();
    for (int i = 0; i < opt.producers; i++) {
        conns[i].rate_interval = opt.rate > 0 ? 1e9 * opt.producers / opt.rate : 0;
        conns[i].rate_start = start + (opt.rate > 0 ? (uint64_t)(1e9 * i / opt.rate) : 0);
    }
    uint64_t measure_from = fixed_amount ? start : start + (uint64_t)(opt.warmup * 1e9);
    uint64_t stop_at = fixed_amount ? UINT64_MAX : measure_from + opt.seconds * 1000000000ull;
    double broker_cpu = process_cpu_seconds(opt.pid), own_cpu = own_cpu_seconds();
    uint64_t progress_at = start, progress = 0;
    /* Deliveries may have followed consume-ok into the input buffer: a whole window of them, so that no more comes. */
    for (int i = opt.producers; i < nconns; i++) conn_parse(&conns[i]);
    while (!stopping) {
        turn(armed, busy, stop_at, &busy);
        uint64_t now = now_ns();
        if (!measuring && now >= measure_from) {
            measuring = true;
            measure_from = now;
            at_start = total;
            broker_cpu = process_cpu_seconds(opt.pid);
            own_cpu = own_cpu_seconds();
        }
        if (total.delivered + total.published + total.confirmed != progress) {
            progress = total.delivered + total.published + total.confirmed;
            progress_at = now;
        }
        if (now >= stop_at) break;
        if (fixed_amount && everything_settled() && (opt.drain || total.published >= (uint64_t)opt.count)) break;
        if (fixed_amount && now - progress_at > opt.drain_wait * 1e9) break;
    }
    if (fixed_amount && opt.publish_only && !error_count) {
        /* A channel.close is answered after everything before it was taken in. */
        for (int i = 0; i < opt.producers; i++) {
            Conn *c = &conns[i];
            fcntl(c->fd, F_SETFL, 0);
            write_all(c, c->batch + c->send_pos, c->send_end - c->send_pos);
            c->send_pos = c->send_end;
            size_t f = begin_method(&c->out, 1, CHANNEL_CLOSE);
            put16(&c->out, 200);
            put_short(&c->out, "");
            put32(&c->out, 0);
            end_frame(&c->out, f);
            expect(c, CHANNEL_CLOSE_OK, NULL);
        }
    }
    uint64_t end = opt.drain && last_delivery_at ? last_delivery_at : now_ns();
    at_stop = total;
    measuring = false;
    stopping = true;
    broker_cpu = process_cpu_seconds(opt.pid) - broker_cpu;
    own_cpu = own_cpu_seconds() - own_cpu;

    /* Drain phase: everything published must arrive. */
    progress_at = now_ns();
    while (!error_count && !opt.drain && !everything_settled()) {
        uint64_t before = total.delivered + total.confirmed;
        turn(armed, busy, UINT64_MAX, &busy);
        if (total.delivered + total.confirmed != before) progress_at = now_ns();
        if (now_ns() - progress_at > opt.drain_wait * 1e9) break;
    }
    bool drained = everything_settled();
    if (!opt.auto_ack)
        for (int i = opt.producers; i < nconns; i++)
            if (conns[i].unacked && !conns[i].closed) {
                send_ack(&conns[i], conns[i].tag, true);
                total.acked += conns[i].unacked;
                flush_out(&conns[i]);
            }
    print_result((end - measure_from) / 1e9, broker_cpu, own_cpu, drained);
    fflush(stdout);

    bool leave = opt.keep || (opt.publish_only && !opt.drain);
    if (!leave && !error_count) delete_topology(&admin);
    bool clean = !error_count && (drained || opt.drain) && !total.duplicated && !total.reordered && !total.corrupt;
    return clean ? 0 : 1;
}

static void usage(void)
{
    fprintf(stderr,
        "usage: amqpload [--host H] [--port N] [--vhost V] [--user U] [--password P] [--prefix NAME] [--pid BROKER_PID]\n"
        "  load:    --producers P --consumers C --queues Q --body BYTES --seconds S --warmup S\n"
        "  messages: --persistent --queue-type TYPE --confirm WINDOW --inflight N --rate MSGS_PER_S\n"
        "  acks:    --auto-ack | --ack  --prefetch N --multi-ack K\n"
        "  routing: --fanout N | --topic N\n"
        "  backlog: --publish-only --count X, then --drain --count X;  --keep leaves the queues in place\n"
        "  other:   --connections-only N --drain-wait S\n");
    exit(2);
}

int main(int argc, char **argv)
{
    enum { HOST = 256, PORT, VHOST, USER, PASSWORD, PREFIX, QUEUE_TYPE, PRODUCERS, CONSUMERS, QUEUES, BODY, SECONDS,
           WARMUP, PERSISTENT, CONFIRM, ACK, AUTO_ACK, PREFETCH, MULTI_ACK, FANOUT, TOPIC, RATE, CONNECTIONS,
           PUBLISH_ONLY, DRAIN, DRAIN_WAIT, COUNT, KEEP, INFLIGHT, PID };
    static const struct option options[] = {
        {"host", 1, 0, HOST}, {"port", 1, 0, PORT}, {"vhost", 1, 0, VHOST}, {"user", 1, 0, USER},
        {"password", 1, 0, PASSWORD}, {"prefix", 1, 0, PREFIX}, {"queue-type", 1, 0, QUEUE_TYPE},
        {"producers", 1, 0, PRODUCERS}, {"consumers", 1, 0, CONSUMERS}, {"queues", 1, 0, QUEUES},
        {"body", 1, 0, BODY}, {"seconds", 1, 0, SECONDS}, {"warmup", 1, 0, WARMUP},
        {"persistent", 0, 0, PERSISTENT}, {"confirm", 1, 0, CONFIRM}, {"ack", 0, 0, ACK},
        {"auto-ack", 0, 0, AUTO_ACK}, {"prefetch", 1, 0, PREFETCH}, {"multi-ack", 1, 0, MULTI_ACK},
        {"fanout", 1, 0, FANOUT}, {"topic", 1, 0, TOPIC}, {"rate", 1, 0, RATE},
        {"connections-only", 1, 0, CONNECTIONS}, {"publish-only", 0, 0, PUBLISH_ONLY}, {"drain", 0, 0, DRAIN},
        {"drain-wait", 1, 0, DRAIN_WAIT}, {"count", 1, 0, COUNT}, {"keep", 0, 0, KEEP},
        {"inflight", 1, 0, INFLIGHT}, {"pid", 1, 0, PID}, {0}};
    int queues_given = 0;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (o) {
        case HOST: opt.host = optarg; break;
        case PORT: opt.port = optarg; break;
        case VHOST: opt.vhost = optarg; break;
        case USER: opt.user = optarg; break;
        case PASSWORD: opt.password = optarg; break;
        case PREFIX: opt.prefix = optarg; break;
        case QUEUE_TYPE: opt.queue_type = optarg; break;
        case PRODUCERS: opt.producers = atoi(optarg); break;
        case CONSUMERS: opt.consumers = atoi(optarg); break;
        case QUEUES: opt.queues = queues_given = atoi(optarg); break;
        case BODY: opt.body = atol(optarg); break;
        case SECONDS: opt.seconds = atoi(optarg); break;
        case WARMUP: opt.warmup = atof(optarg); break;
        case PERSISTENT: opt.persistent = true; break;
        case CONFIRM: opt.confirm = atoi(optarg); break;
        case ACK: opt.auto_ack = false; break;
        case AUTO_ACK: opt.auto_ack = true; break;
        case PREFETCH: opt.prefetch = atoi(optarg); break;
        case MULTI_ACK: opt.multi_ack = atoi(optarg); break;
        case FANOUT: opt.fanout = atoi(optarg); break;
        case TOPIC: opt.topic = atoi(optarg); break;
        case RATE: opt.rate = atof(optarg); break;
        case CONNECTIONS: opt.connections_only = atoi(optarg); break;
        case PUBLISH_ONLY: opt.publish_only = true; break;
        case DRAIN: opt.drain = true; break;
        case DRAIN_WAIT: opt.drain_wait = atof(optarg); break;
        case COUNT: opt.count = atol(optarg); break;
        case KEEP: opt.keep = true; break;
        case INFLIGHT: opt.inflight = atol(optarg); break;
        case PID: opt.pid = atoi(optarg); break;
        default: usage();
        }
    if (optind != argc || (opt.fanout && opt.topic) || (opt.publish_only && opt.drain)) usage();
    if (opt.body < 16) opt.body = 16;
    if (opt.multi_ack < 1) opt.multi_ack = 1;
    if (opt.multi_ack > opt.prefetch && opt.prefetch) opt.multi_ack = opt.prefetch;
    if (opt.fanout) opt.queues = opt.fanout;
    if (opt.topic && !queues_given) opt.queues = opt.topic < 10 ? opt.topic : 10;
    if (opt.publish_only) opt.consumers = 0;
    if (opt.drain) opt.producers = 0;
    if (opt.consumers < 0) opt.consumers = opt.queues;
    if (opt.producers > 65535 || opt.queues < 1) usage();

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_TIMERSLACK, 1);
    return opt.connections_only ? run_connections_only() : run_load();
}
