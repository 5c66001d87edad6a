/*
 * amqpload.h - what amqpload.c stands on: AMQP frames, options, errors, histograms, TLS, opening a connection, and
 * what Linux says of the broker's process.  It is a part of amqpload.c, which is its only reader.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
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
    QUEUE_UNBIND = METHOD(50, 50), QUEUE_UNBIND_OK = METHOD(50, 51),
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
    const char *host, *port, *vhost, *user, *password, *prefix, *queue_type, *churn;
    int producers, consumers, queues, seconds, prefetch, multi_ack, confirm, fanout, topic, headers, connections_only;
    double warmup, drain_wait;
    long body, count, inflight;
    double rate, requeue;
    bool persistent, auto_ack, publish_only, drain, keep, tls;
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

/* ------------------------------------------------------------------- TLS */

/*
 * OpenSSL 3, found when the program runs and not when it is compiled: it builds without the headers of OpenSSL, and
 * without --tls it needs no OpenSSL at all.  Numbers are those of its headers, whose macros they stand for.
 */
enum { TLS_SET_MODE = 33, TLS_SET_READ_AHEAD = 41, TLS_SET_MIN_VERSION = 123, TLS_VERSION_1_2 = 0x0303,
       TLS_MOVING_BUFFER = 2, TLS_IGNORE_EOF = 1 << 7, TLS_WANT_READ = 2, TLS_WANT_WRITE = 3, TLS_SYSCALL = 5,
       TLS_CLOSED = 6, TLS_READ_BYTES = 64 * 1024 };

static struct {
    void *context;
    const void *(*client_method)(void);
    void *(*context_new)(const void *method);
    long (*context_ctrl)(void *context, int command, long value, void *pointer);
    uint64_t (*context_set_options)(void *context, uint64_t options);
    void (*context_set_read_buffer)(void *context, size_t size);
    void *(*new)(void *context);
    int (*set_fd)(void *tls, int fd);
    int (*connect)(void *tls);
    int (*read)(void *tls, void *data, int size);
    int (*write)(void *tls, const void *data, int size);
    int (*has_pending)(const void *tls);
    int (*get_error)(const void *tls, int result);
    int (*shutdown)(void *tls);
    void (*free)(void *tls);
    unsigned long (*take_error)(void);
    void (*error_text)(unsigned long error, char *text, size_t size);
    void (*clear_errors)(void);
} openssl;

static void tls_load(void)
{
    void *library = dlopen("libssl.so.3", RTLD_NOW);
    if (!library) die("--tls needs OpenSSL 3: %s", dlerror());
    const struct { const char *name; void *place; } functions[] = {
        {"TLS_client_method", &openssl.client_method}, {"SSL_CTX_new", &openssl.context_new},
        {"SSL_CTX_ctrl", &openssl.context_ctrl}, {"SSL_CTX_set_options", &openssl.context_set_options},
        {"SSL_CTX_set_default_read_buffer_len", &openssl.context_set_read_buffer}, {"SSL_new", &openssl.new},
        {"SSL_set_fd", &openssl.set_fd}, {"SSL_connect", &openssl.connect}, {"SSL_read", &openssl.read},
        {"SSL_write", &openssl.write}, {"SSL_has_pending", &openssl.has_pending},
        {"SSL_get_error", &openssl.get_error}, {"SSL_shutdown", &openssl.shutdown}, {"SSL_free", &openssl.free},
        {"ERR_get_error", &openssl.take_error}, {"ERR_error_string_n", &openssl.error_text},
        {"ERR_clear_error", &openssl.clear_errors}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *found = dlsym(library, functions[i].name);
        if (!found) die("--tls needs OpenSSL 3: libssl.so.3 has no %s", functions[i].name);
        memcpy(functions[i].place, &found, sizeof found);
    }
    openssl.context = openssl.context_new(openssl.client_method());     /* certificates are not verified */
    if (!openssl.context) die("SSL_CTX_new failed");
    openssl.context_ctrl(openssl.context, TLS_SET_MIN_VERSION, TLS_VERSION_1_2, NULL);
    openssl.context_ctrl(openssl.context, TLS_SET_MODE, TLS_MOVING_BUFFER, NULL);
    openssl.context_ctrl(openssl.context, TLS_SET_READ_AHEAD, 1, NULL);
    openssl.context_set_read_buffer(openssl.context, TLS_READ_BYTES);
    openssl.context_set_options(openssl.context, TLS_IGNORE_EOF);
    signal(SIGPIPE, SIG_IGN);
}

/* What recv() or send() would have returned; errno says why it is -1. */
static ssize_t tls_result(void *tls, int result)
{
    if (result > 0) return result;
    int kept = errno, code = openssl.get_error(tls, result);
    if (code == TLS_CLOSED) return 0;
    if (code == TLS_WANT_READ || code == TLS_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    openssl.clear_errors();
    errno = code == TLS_SYSCALL && kept ? kept : EPROTO;
    return -1;
}

/* ------------------------------------------------------------ connection */

typedef enum { PRODUCER, CONSUMER } Role;

typedef struct Conn {
    int fd, index;
    void *tls;                      /* OpenSSL's side of it; NULL without TLS */
    Role role;
    bool closed, want_write, armed, blocked, flow_stopped;
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

static bool stopping;                /* no more publishes: the time is up, or a connection is lost */

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

static ssize_t conn_send(Conn *c, const void *data, size_t len)
{
    if (c->tls) {
        ssize_t n = tls_result(c->tls, openssl.write(c->tls, data, len));
        if (n == 0) errno = EPIPE;
        return n ? n : -1;
    }
    return send(c->fd, data, len, MSG_NOSIGNAL);
}

static ssize_t conn_recv(Conn *c, void *data, size_t len)
{
    if (c->tls) return tls_result(c->tls, openssl.read(c->tls, data, len));
    return recv(c->fd, data, len, 0);
}

/* Say goodbye where that is part of the protocol, and close the socket. */
static void conn_hang_up(Conn *c)
{
    if (c->tls) {
        openssl.shutdown(c->tls);
        openssl.clear_errors();
        openssl.free(c->tls);
        c->tls = NULL;
    }
    close(c->fd);
}

static void conn_start_tls(Conn *c)
{
    char text[200] = "the broker closed the connection or did not answer; is this a port for TLS?";
    c->tls = openssl.new(openssl.context);
    if (!c->tls || !openssl.set_fd(c->tls, c->fd)) die("SSL_new failed");
    if (openssl.connect(c->tls) == 1) return;
    unsigned long error = openssl.take_error();
    if (error) openssl.error_text(error, text, sizeof text);
    die("TLS with %s:%s: %s", opt.host, opt.port, text);
}

static void write_all(Conn *c, const void *data, size_t len)   /* blocking setup phase only */
{
    while (len) {
        ssize_t n = conn_send(c, data, len);
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
        ssize_t n = conn_recv(c, c->in + have, c->in_cap - have);
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
    if (opt.tls) conn_start_tls(c);

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

/* -------------------------------------------------------- broker process */

static double process_cpu_seconds(int pid)          /* user + system time of all threads, to the nanosecond */
{
    clockid_t clock;
    struct timespec t;
    if (!pid || clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t)) return 0;
    return t.tv_sec + t.tv_nsec / 1e9;
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

static double own_cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_times(const char *name, const Histogram *h)
{
    printf("\"%s\": {\"p50\": %.0f, \"p95\": %.0f, \"p99\": %.0f, \"p999\": %.0f, \"max\": %.0f}, ", name,
           hist_us(h, .5), hist_us(h, .95), hist_us(h, .99), hist_us(h, .999), h->max / 1000.0);
}

static void print_broker(double cpu, double seconds, const char *cost, uint64_t handled)
{
    if (opt.pid)
        printf("\"broker_cpu\": %.3f, \"%s\": %.3f, \"broker_rss_mb\": %.1f, \"broker_peak_rss_mb\": %.1f, ",
               cpu / seconds, cost, handled ? cpu * 1e6 / handled : 0,
               process_rss_mb(opt.pid, "VmRSS"), process_rss_mb(opt.pid, "VmHWM"));
}

static void print_errors(void)
{
    printf("\"errors\": [");
    for (int i = 0; i < error_count && i < MAX_ERRORS; i++) printf("%s\"%s\"", i ? ", " : "", errors[i]);
    printf("]}\n");
}
